//! Sends a mail for each delivery: one mail, however many events the delivery holds.
//!
//! Invariants: nothing of an event reaches a header but by way of the subject, which is one line; every
//! attempt of a delivery has the same Message-ID.

use lictor_sdk::{
    Delivery, Description, Failure, Plugin, Request,
    smtp::Message,
    template::{self, Template},
};
use serde::Deserialize;

/// The plugin.
pub struct Email;

/// The receiver's `config`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    from: String,
    to: Vec<String>,
    #[serde(default = "default_subject")]
    subject: Template,
    #[serde(default = "default_body")]
    body: Template,
}

fn default_subject() -> Template {
    Template::from_static(include_str!("subject.j2"))
}

fn default_body() -> Template {
    Template::from_static(include_str!("body.j2"))
}

impl Plugin for Email {
    type Config = Config;

    fn describe() -> Description {
        Description {
            name: "email".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            summary: env!("CARGO_PKG_DESCRIPTION").into(),
            config_schema: include_str!("../config.schema.json").into(),
        }
    }

    fn requests(config: &Config) -> Result<Vec<Request>, String> {
        check_address("from", &config.from)?;
        if config.to.is_empty() {
            return Err("to: expected at least one address".into());
        }
        for (index, address) in config.to.iter().enumerate() {
            check_address(&format!("to[{index}]"), address)?;
        }
        Ok(vec![Request::smtp(&config.from, &config.to)])
    }

    fn handle(delivery: &Delivery, config: &Config) -> Result<String, Failure> {
        let event = delivery.first()?;
        let [subject, body] = template::render([&config.subject, &config.body], delivery, event)?;
        let message = Message::new(&delivery.id, &config.from, &config.to).subject(&subject).body(body);
        Ok(message.send()?)
    }
}

lictor_sdk::export!(Email);

/// Only what would surely go wrong; whether an address is good, its relay decides.
fn check_address(field: &str, address: &str) -> Result<(), String> {
    let parts = address.rsplit_once('@').filter(|(local, domain)| !local.is_empty() && !domain.is_empty());
    if parts.is_none() || address.chars().any(char::is_control) {
        return Err(format!("{field}: {address:?} is no mail address"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use lictor_sdk::{
        smtp::SendError,
        testing::{self, Call, Host},
    };
    use serde_json::{Value, json};

    use super::*;

    fn config() -> Value {
        json!({ "from": "lictor@example.com", "to": ["a@example.com", "b@example.com"] })
    }

    /// The subject and the body that the plugin sent for a delivery of these events' data.
    #[track_caller]
    fn check(data: impl IntoIterator<Item = Value>, config: &Value, subject: &str, body: &str) {
        let host = Host::start();
        assert_eq!(testing::handle::<Email>(&testing::delivery(data), config), Ok("250 OK".into()));
        let want = Message::new("d1", "lictor@example.com", ["a@example.com", "b@example.com"]);
        assert_eq!(
            host.calls(),
            [Call::Smtp(Message { subject: subject.into(), body: body.into(), ..want })]
        );
    }

    #[track_caller]
    fn check_refused(config: &Value, want: &str) {
        assert_eq!(testing::requests::<Email>(config).unwrap_err(), want);
    }

    #[test]
    fn the_schema_is_true() {
        let mut config = config();
        config["subject"] = "s".into();
        config["body"] = "b".into();
        testing::check_schema::<Email>(&config).unwrap();
    }

    #[test]
    fn it_requests_to_send_to_the_configured_addresses() {
        let want = Request::smtp("lictor@example.com", ["a@example.com", "b@example.com"]);
        assert_eq!(testing::requests::<Email>(&config()), Ok(vec![want]));
    }

    #[test]
    fn a_configuration_that_cannot_work_is_refused() {
        check_refused(&json!({ "from": "a@b", "to": [] }), "to: expected at least one address");
        check_refused(&json!({ "from": "a", "to": ["a@b"] }), r#"from: "a" is no mail address"#);
        check_refused(
            &json!({ "from": "a@b", "to": ["a@b", "c@d\nBcc: e@f"] }),
            r#"to[1]: "c@d\nBcc: e@f" is no mail address"#,
        );
        check_refused(
            &json!({ "from": "a@b", "to": ["a@b"], "subject": "{{ service }}" }),
            "subject: unknown name `service`, expected one of id, source, type, subject, time, data, rule, \
             receiver, environment, node, events",
        );
    }

    #[test]
    fn the_defaults_tell_what_happened() {
        check(
            [json!({ "from": "passing", "to": "critical", "output": "connection refused" })],
            &config(),
            "[production] n1/service:web is critical",
            "n1/service:web is critical (was passing)\n2026-01-01T00:00:00Z lictor.check.status\n\n\
             connection refused\n\nSent by Lictor on n1: rule web-down, receiver ops.",
        );
    }

    #[test]
    fn the_defaults_need_nothing_of_the_data() {
        check(
            [json!({}), json!({ "to": null })],
            &config(),
            "[production] n1/service:web: lictor.check.status and 1 more",
            "n1/service:web\n2026-01-01T00:00:00Z lictor.check.status\n\n\
             n1/service:web\n2026-01-01T00:00:00Z lictor.check.status\n\n\
             Sent by Lictor on n1: rule web-down, receiver ops.",
        );
    }

    #[test]
    fn no_event_can_add_a_header() {
        let mut config = config();
        config["subject"] = "{{ data.output }}".into();
        config["body"] = "b".into();
        check(
            [json!({ "output": "x\r\nBcc: e@example.com\r\n\r\ny" })],
            &config,
            "x Bcc: e@example.com y",
            "b",
        );
    }

    #[test]
    fn the_relays_answer_decides() {
        let host = Host::start();
        let delivery = testing::delivery([json!({})]);
        host.answer_smtp(Err(SendError::Transient("451 later".into())));
        host.answer_smtp(Err(SendError::Permanent("550 no such user".into())));
        assert_eq!(testing::handle::<Email>(&delivery, &config()), Err(Failure::transient("451 later")));
        assert_eq!(
            testing::handle::<Email>(&delivery, &config()),
            Err(Failure::permanent("550 no such user"))
        );
    }
}
