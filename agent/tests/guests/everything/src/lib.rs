//! Calls every function of the contract once, and answers with what came of each. The binaries of `agent/tests/contract`
//! are this guest, built with the SDK of each release.
//!
//! They are kept for ever, so it is written to be small: below the SDK's convenience (no `Plugin`, so no reader of JSON),
//! and without `format!`, which alone is as large as all that is here.

use lictor_sdk::bindings::{
    __export_handler,
    exports::lictor::plugin::handler::{
        AppendRequest, Description, ExecRequest, Guest, HttpRequest, KvRequest, KvStoreRequest, Request,
        SmtpRequest,
    },
    lictor::plugin::{
        append, exec, http, kv, kv_store,
        log::{self, Level},
        smtp,
        types::{CallError, Delivery, Event, Failure},
        watch,
    },
};

/// The plugin.
pub struct Everything;

__export_handler!(Everything);

impl Guest for Everything {
    fn describe() -> Description {
        Description {
            name: "everything".into(),
            version: "0.1.0".into(),
            summary: "Calls every function of the contract once".into(),
            config_schema: r#"{ "type": "object" }"#.into(),
        }
    }

    /// `do` in the configuration says how a call ends: `all`, `transient`, `retry_after` or `permanent`.
    fn requests(config: String) -> Result<Vec<Request>, String> {
        if config == "{}" {
            return Err("do is missing".into());
        }
        Ok(vec![
            Request::Exec(ExecRequest { command: command(), timeout_ms: 1000 }),
            Request::Append(AppendRequest { path: PATH.into() }),
            Request::Http(HttpRequest { method: METHOD.into(), url: URL.into() }),
            Request::Smtp(SmtpRequest { from: FROM.into(), to: vec![TO.into()] }),
            Request::Watch,
            Request::Kv(KvRequest { prefix: PREFIX.into() }),
            Request::KvStore(KvStoreRequest { size: 1024 }),
        ])
    }

    fn handle(delivery: Delivery, config: String) -> Result<String, Failure> {
        match config.as_str() {
            r#"{"do":"transient"}"# => return Err(Failure::Transient("not now".into())),
            r#"{"do":"retry_after"}"# => return Err(Failure::RetryAfter(("later".into(), 2000))),
            r#"{"do":"permanent"}"# => return Err(Failure::Permanent("never".into())),
            _ => {}
        }
        for level in [Level::Debug, Level::Info, Level::Warn, Level::Error] {
            log::log(level, "a line");
        }
        let mut receipt = told(delivery);
        for came in asked() {
            receipt.push_str(" | ");
            receipt.push_str(&came);
        }
        Ok(receipt)
    }
}

const PATH: &str = "/tmp/everything";
const METHOD: &str = "PUT";
const URL: &str = "https://example.com/x";
const FROM: &str = "a@example.com";
const TO: &str = "b@example.com";
const PREFIX: &str = "app/";

fn command() -> Vec<String> {
    vec!["/bin/true".into(), "x".into()]
}

/// All that a delivery says.
fn told(delivery: Delivery) -> String {
    let Delivery { id, attempt, rule, receiver, environment, node, events } = delivery;
    let mut told = joined(&[&id, &number(attempt.into()), &rule, &receiver, &environment, &node]);
    for event in events {
        let Event { id, source, type_, subject, time, data } = event;
        told = joined(&[&told, &id, &source, &type_, &subject, &time, &data]);
    }
    told
}

/// What came of each call.
fn asked() -> [String; 10] {
    let ran = exec::run(&exec::Command {
        argv: command(),
        env: vec![("LICTOR_A".into(), "b".into())],
        stdin: b"in".to_vec(),
        timeout_ms: 1000,
    });
    let appended = append::append(PATH, b"a line\n");
    let sent = http::send(&http::Request {
        method: METHOD.into(),
        url: URL.into(),
        headers: vec![("a".into(), "b".into())],
        body: b"a body".to_vec(),
        timeout_ms: 1000,
    });
    let mailed = smtp::send(&smtp::Message {
        from: FROM.into(),
        to: vec![TO.into()],
        subject: "s".into(),
        body: "b".into(),
        id: "d1".into(),
        timeout_ms: 1000,
    });
    [
        came(ran.map(|exec::Output { status, stdout, stderr }| {
            let (kind, number) = match status {
                exec::ExitStatus::Code(code) => ("code", signed(code)),
                exec::ExitStatus::Signal(signal) => ("signal", signed(signal)),
            };
            joined(&[kind, &number, &stdout, &stderr])
        })),
        came(appended.map(|()| "appended".into())),
        came(sent.map(|http::Response { status, headers, body }| {
            let headers = headers.into_iter().map(|(name, value)| joined(&[&name, &value]));
            joined(&[&number(status.into()), &headers.collect::<String>(), &text(body)])
        })),
        match mailed {
            Ok(receipt) => joined(&["ok", &receipt]),
            Err(smtp::SmtpError::Refused(reason)) => joined(&["refused", &reason]),
            Err(smtp::SmtpError::Transient(reason)) => joined(&["transient", &reason]),
            Err(smtp::SmtpError::Permanent(reason)) => joined(&["permanent", &reason]),
        },
        came(watch::current().map(|watch::Answer { index, body }| joined(&[&number(index), &text(body)]))),
        came(kv::get(PREFIX).map(|value| value.map_or("nothing".into(), text))),
        came(kv::keys(PREFIX).map(|keys| keys.concat())),
        came(kv_store::set("k", b"v").map(|()| "set".into())),
        came(kv_store::get("k").map(|value| value.map_or("nothing".into(), text))),
        came(kv_store::delete("k").map(|()| "deleted".into())),
    ]
}

/// The result of a call in words.
fn came(result: Result<String, CallError>) -> String {
    match result {
        Ok(what) => joined(&["ok", &what]),
        Err(CallError::Refused(reason)) => joined(&["refused", &reason]),
        Err(CallError::TimedOut(reason)) => joined(&["timed out", &reason]),
        Err(CallError::Failed(reason)) => joined(&["failed", &reason]),
    }
}

/// These words, with a space between them.
fn joined(words: &[&str]) -> String {
    let mut joined = String::new();
    for word in words {
        if !joined.is_empty() {
            joined.push(' ');
        }
        joined.push_str(word);
    }
    joined
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap_or_default()
}

/// A number in decimal digits.
fn number(number: u64) -> String {
    let mut digits = if number < 10 { String::new() } else { self::number(number / 10) };
    digits.push((b'0' + (number % 10) as u8).into());
    digits
}

fn signed(signed: i32) -> String {
    let sign = if signed < 0 { "-" } else { "" };
    sign.to_owned() + &number(signed.unsigned_abs().into())
}
