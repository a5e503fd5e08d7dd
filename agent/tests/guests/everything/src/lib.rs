//! Calls every function of the contract once, and answers with what came of each. The binaries of `agent/tests/contract`
//! are this guest, built with the SDK of each release.

use std::collections::BTreeMap;
use std::time::Duration;

use lictor_sdk::{
    Delivery, Description, Failure, Plugin, Request, append, exec::Command, http, kv_store, log, smtp, watch,
};

/// The plugin.
pub struct Everything;

impl Plugin for Everything {
    /// `do` says how it ends: `all`, `transient`, `retry_after` or `permanent`.
    type Config = BTreeMap<String, String>;

    fn describe() -> Description {
        Description {
            name: "everything".into(),
            version: "0.1.0".into(),
            summary: "Calls every function of the contract once".into(),
            config_schema: r#"{ "type": "object" }"#.into(),
        }
    }

    fn requests(config: &Self::Config) -> Result<Vec<Request>, String> {
        if !config.contains_key("do") {
            return Err("do is missing".into());
        }
        Ok(vec![
            Request::exec(["/bin/true", "x"], Duration::from_secs(1)),
            Request::append("/tmp/everything"),
            Request::http("PUT", "https://example.com/x"),
            Request::smtp("a@example.com", ["b@example.com"]),
            Request::Watch,
            Request::kv_store(1024),
        ])
    }

    fn handle(delivery: &Delivery, config: &Self::Config) -> Result<String, Failure> {
        match config["do"].as_str() {
            "transient" => return Err(Failure::transient("not now")),
            "retry_after" => return Err(Failure::retry_after("later", Duration::from_secs(2))),
            "permanent" => return Err(Failure::permanent("never")),
            _ => {}
        }
        for say in [log::debug, log::info, log::warn, log::error] {
            say("a line");
        }
        let event = &delivery.events[0];
        let ran = Command::new(["/bin/true", "x"]).env("LICTOR_A", "b").stdin("in").run();
        let appended = append::append("/tmp/everything", "a line\n");
        let sent = http::Request::new("PUT", "https://example.com/x").header("a", "b").body("a body").send();
        let mailed = smtp::Message::new(&delivery.id, "a@example.com", ["b@example.com"])
            .subject("s")
            .body("b")
            .send();
        let read = watch::current();
        let kept = (kv_store::set("k", "v"), kv_store::get("k"), kv_store::delete("k"));
        Ok(format!(
            "{} {} {} {} {} {} | {} {} {} {} {} {} | {ran:?} | {appended:?} | {sent:?} | {mailed:?} | {read:?} | {kept:?}",
            delivery.id,
            delivery.attempt,
            delivery.rule,
            delivery.receiver,
            delivery.environment,
            delivery.node,
            event.id,
            event.source,
            event.type_,
            event.subject,
            event.time,
            event.data,
        ))
    }
}

lictor_sdk::export!(Everything);
