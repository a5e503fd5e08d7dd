//! Posts events to a chat, through an incoming webhook such as those of Slack and Mattermost.

use std::time::Duration;

use lictor_sdk::template::Template;
use lictor_sdk::{Change, Delivery, Description, Failure, Plugin, Request, Status, http};
use serde::Deserialize;
use serde_json::json;

/// The plugin: a type without a value, since each call runs in a fresh instance.
pub struct Chat;

/// The receiver's `config`. Whatever does not fit is refused, with the name of the field.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The webhook.
    url: String,
    /// The text of an event.
    #[serde(default = "default_text")]
    text: Template,
    /// Who is called when something is critical.
    mention: Option<String>,
}

/// Such as `[production] web1/service:web: critical (connection refused)`.
const TEXT: &str = "{% if environment %}[{{ environment }}] {% endif %}{{ subject }}: {{ data.to or type }}\
    {% if data.output %} ({{ data.output | lines | first }}){% endif %}";

fn default_text() -> Template {
    Template::from_static(TEXT)
}

/// For the operator, and for whoever makes a form of it.
const SCHEMA: &str = r#"{
    "type": "object",
    "properties": {
        "url": { "type": "string", "description": "The incoming webhook." },
        "text": { "type": "string", "description": "The text of an event (Jinja)." },
        "mention": { "type": "string", "description": "Who is called when something is critical." }
    },
    "required": ["url"],
    "additionalProperties": false
}"#;

impl Plugin for Chat {
    type Config = Config;

    fn describe() -> Description {
        Description {
            name: "chat".into(),
            version: "0.1.0".into(),
            summary: "Posts events to a chat's incoming webhook".into(),
            config_schema: SCHEMA.into(),
        }
    }

    /// What it needs. The host asks when the configuration is loaded, and holds it against the grants.
    fn requests(config: &Config) -> Result<Vec<Request>, String> {
        if !config.url.starts_with("https://") && !config.url.starts_with("http://") {
            return Err(format!("url: {:?} begins with neither https:// nor http://", config.url));
        }
        Ok(vec![Request::http("POST", &config.url)])
    }

    /// One attempt. What fails in passing is tried again, with the same `delivery.id`.
    fn handle(delivery: &Delivery, config: &Config) -> Result<String, Failure> {
        let mut lines = Vec::new();
        for event in &delivery.events {
            let text = config.text.render(delivery, event)?;
            let call = match event.change()? {
                Change::CheckStatus(check) if check.to == Some(Status::Critical) => config.mention.as_ref(),
                _ => None,
            };
            lines.push(call.map_or(text.clone(), |who| format!("{who} {text}")));
        }
        let response = http::Request::new("POST", &config.url)
            .header("Content-Type", "application/json")
            .header("Idempotency-Key", &delivery.id)
            .body(json!({ "text": lines.join("\n") }).to_string())
            .timeout(Duration::from_secs(10))
            .send()?;
        match response.status {
            200..=299 => Ok(format!("posted {} lines", lines.len())),
            429 => Err(Failure::retry_after("the chat wants to be left alone", Duration::from_secs(30))),
            500..=599 => Err(Failure::transient(format!("the chat answered {}", response.status))),
            status => Err(Failure::permanent(format!("the chat answered {status}: {}", response.text()))),
        }
    }
}

lictor_sdk::export!(Chat);

#[cfg(test)]
mod tests {
    use lictor_sdk::testing::{self, Call, Host};

    use super::*;

    #[test]
    fn an_event_is_posted_as_the_operator_writes_it() {
        let host = Host::start();
        let delivery = testing::delivery_of([testing::sample("check.status"), testing::sample("kv.set")]);
        let text = "{{ subject }} is {{ data.to | default('set') }}";
        let config = json!({ "url": "https://chat.example.com/x", "text": text, "mention": "@ops" });
        assert_eq!(testing::handle::<Chat>(&delivery, &config), Ok("posted 2 lines".into()));
        let calls = host.calls();
        let [Call::Http(request)] = calls.as_slice() else { panic!("{calls:?}") };
        let body: serde_json::Value = serde_json::from_slice(&request.body).unwrap();
        assert_eq!(body["text"], "@ops web1/service:web is critical\napp/web/workers is set");
    }

    #[test]
    fn the_default_text_says_what_happened() {
        let text = |delivery: &Delivery| {
            let host = Host::start();
            testing::handle::<Chat>(delivery, &json!({ "url": "https://chat.example.com/x" })).unwrap();
            let calls = host.calls();
            let [Call::Http(request)] = calls.as_slice() else { panic!("{calls:?}") };
            String::from_utf8(request.body.clone()).unwrap()
        };
        let output = "refused\nfor the third time";
        let mut delivery = testing::delivery([json!({ "to": "critical", "output": output })]);
        assert_eq!(text(&delivery), r#"{"text":"[production] n1/service:web: critical (refused)"}"#);
        delivery.environment = String::new();
        delivery.events = vec![testing::sample("kv.set")];
        assert_eq!(text(&delivery), r#"{"text":"app/web/workers: lictor.kv.set"}"#);
    }

    #[test]
    fn the_answer_decides_whether_it_is_tried_again() {
        let answer = |status| {
            let host = Host::start();
            host.answer_http(Ok(http::Response { status, headers: Vec::new(), body: b"no".to_vec() }));
            let delivery = testing::delivery_of([testing::sample("check.status")]);
            testing::handle::<Chat>(&delivery, &json!({ "url": "https://chat.example.com/x" })).unwrap_err()
        };
        assert!(matches!(answer(429), Failure::RetryAfter(_, wait) if wait == Duration::from_secs(30)));
        assert_eq!(answer(502), Failure::transient("the chat answered 502"));
        assert_eq!(answer(404), Failure::permanent("the chat answered 404: no"));
    }

    #[test]
    fn the_schema_is_true() {
        let config = json!({ "url": "https://chat.example.com/x", "text": "{{ id }}", "mention": "@ops" });
        testing::check_schema::<Chat>(&config).unwrap();
        assert!(testing::requests::<Chat>(&json!({ "url": "chat.example.com" })).is_err());
    }
}
