//! Sends a delivery's events to a URL, as `CloudEvents` in JSON.
//!
//! Every attempt of a delivery carries the same `Idempotency-Key`, so that its receiver can tell a repeated
//! delivery from a new one.

use std::{collections::BTreeMap, time::Duration};

use lictor_sdk::{
    Delivery, Description, Failure, Plugin, Request, duration,
    http::{self, Response},
    watch,
};
use serde::Deserialize;

/// How much of an answer a failure quotes, in characters.
const QUOTE: usize = 200;

/// The plugin.
pub struct Webhook;

/// The receiver's `config`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    url: String,
    #[serde(default = "default_method")]
    method: String,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    #[serde(default)]
    body: Body,
    #[serde(default = "default_timeout", with = "duration")]
    timeout: Duration,
}

#[derive(Default, Deserialize, PartialEq)]
#[serde(rename_all = "kebab-case")]
enum Body {
    #[default]
    Event,
    ConsulWatch,
}

fn default_method() -> String {
    "POST".into()
}

fn default_timeout() -> Duration {
    Duration::from_secs(30)
}

impl Plugin for Webhook {
    type Config = Config;

    fn describe() -> Description {
        Description {
            name: "webhook".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            summary: env!("CARGO_PKG_DESCRIPTION").into(),
            config_schema: include_str!("../config.schema.json").into(),
        }
    }

    fn requests(config: &Config) -> Result<Vec<Request>, String> {
        if !config.url.starts_with("http://") && !config.url.starts_with("https://") {
            return Err(format!("url: {:?} begins with neither http:// nor https://", config.url));
        }
        if config.method.is_empty() || !config.method.bytes().all(|b| b.is_ascii_uppercase()) {
            return Err(format!("method: {:?} is no HTTP method, as in \"POST\"", config.method));
        }
        for (name, value) in &config.headers {
            check_header(name, value)?;
        }
        let mut requests = vec![Request::http(&config.method, &config.url)];
        requests.extend((config.body == Body::ConsulWatch).then_some(Request::Watch));
        Ok(requests)
    }

    fn handle(delivery: &Delivery, config: &Config) -> Result<String, Failure> {
        let request = http::Request::new(&config.method, &config.url).timeout(config.timeout);
        let request = match config.body {
            Body::ConsulWatch => {
                let watch::Answer { index, body } = watch::current()?;
                let request = request.header("Content-Type", "application/json").body(body);
                request.header("X-Consul-Index", index.to_string())
            }
            Body::Event => {
                let batch = if delivery.events.len() == 1 { "" } else { "-batch" };
                let content_type = format!("application/cloudevents{batch}+json");
                request.header("Content-Type", content_type).body(delivery.to_json()?)
            }
        };
        let mut request = request.header("User-Agent", concat!("lictor/", env!("CARGO_PKG_VERSION")));
        for (name, value) in &config.headers {
            request = request.header(name, value);
        }
        judge(&request.header("Idempotency-Key", &delivery.id).send()?)
    }
}

lictor_sdk::export!(Webhook);

/// RFC 9110's token, and a value that stays on its line.
fn check_header(name: &str, value: &str) -> Result<(), String> {
    let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    if name.is_empty() || !name.bytes().all(token) {
        return Err(format!("headers: {name:?} is no header's name"));
    }
    // The value may be a secret, so it is not quoted.
    if value.chars().any(|c| c.is_control() && c != '\t') {
        return Err(format!("headers.{name}: the value holds a control character"));
    }
    Ok(())
}

fn judge(response: &Response) -> Result<String, Failure> {
    let message = explain(response);
    match response.status {
        200..=299 => Ok(response.status.to_string()),
        status @ (429 | 500..=599) => match retry_after(response).filter(|_| matches!(status, 429 | 503)) {
            Some(wait) => Err(Failure::retry_after(message, wait)),
            None => Err(Failure::transient(message)),
        },
        _ => Err(Failure::permanent(message)),
    }
}

/// In seconds; as a date it is left to Lictor's own backoff.
fn retry_after(response: &Response) -> Option<Duration> {
    response.header("retry-after")?.trim().parse().ok().map(Duration::from_secs)
}

/// The status, and where a redirect leads or how the body begins.
fn explain(response: &Response) -> String {
    let text = response.text();
    let quote =
        response.header("location").filter(|_| (300..400).contains(&response.status)).unwrap_or(&text);
    let line: String = quote.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(QUOTE).collect();
    if line.is_empty() { response.status.to_string() } else { format!("{}: {line}", response.status) }
}

#[cfg(test)]
mod tests {
    use lictor_sdk::{
        CallError,
        testing::{self, Call, Host},
    };
    use serde_json::{Value, json};

    use super::*;

    /// What the plugin sent for a delivery of these events' data.
    #[track_caller]
    fn sent(data: impl IntoIterator<Item = Value>, config: &Value) -> http::Request {
        let host = Host::start();
        assert_eq!(testing::handle::<Webhook>(&testing::delivery(data), config), Ok("200".into()));
        match host.calls().as_slice() {
            [Call::Http(request)] => request.clone(),
            calls => panic!("expected one request, found {calls:?}"),
        }
    }

    #[track_caller]
    fn check_answered(status: u16, header: (&str, &str), body: &str, want: Result<&str, Failure>) {
        let host = Host::start();
        let headers = vec![(header.0.into(), header.1.into())];
        host.answer_http(Ok(Response { status, headers, body: body.into() }));
        let receipt =
            testing::handle::<Webhook>(&testing::delivery([json!({})]), &json!({ "url": "http://h/" }));
        assert_eq!(receipt, want.map(str::to_owned));
    }

    #[track_caller]
    fn check_refused(config: &Value, want: &str) {
        assert_eq!(testing::requests::<Webhook>(config).unwrap_err(), want);
    }

    fn pairs<const N: usize>(headers: [(&str, &str); N]) -> Vec<(String, String)> {
        headers.map(|(name, value)| (name.into(), value.into())).to_vec()
    }

    #[test]
    fn the_schema_is_true() {
        let config = json!({ "url": "http://h/", "method": "PUT", "headers": { "A": "b" }, "body": "event", "timeout": "5s" });
        testing::check_schema::<Webhook>(&config).unwrap();
    }

    #[test]
    fn it_requests_the_method_and_the_url_that_it_uses() {
        let config = json!({ "url": "https://h/x", "method": "PUT", "timeout": "5s" });
        assert_eq!(testing::requests::<Webhook>(&config), Ok(vec![Request::http("PUT", "https://h/x")]));
        let request = sent([json!({})], &config);
        assert_eq!((request.method.as_str(), request.url.as_str()), ("PUT", "https://h/x"));
        assert_eq!(request.timeout, Duration::from_secs(5));
    }

    #[test]
    fn a_configuration_that_cannot_work_is_refused() {
        check_refused(
            &json!({ "url": "ftp://h/" }),
            r#"url: "ftp://h/" begins with neither http:// nor https://"#,
        );
        check_refused(
            &json!({ "url": "http://h/", "method": "GET /" }),
            r#"method: "GET /" is no HTTP method, as in "POST""#,
        );
        check_refused(
            &json!({ "url": "http://h/", "headers": { "a b": "c" } }),
            r#"headers: "a b" is no header's name"#,
        );
        check_refused(
            &json!({ "url": "http://h/", "headers": { "A": "b\r\nC: d" } }),
            "headers.A: the value holds a control character",
        );
    }

    #[test]
    fn the_handler_of_a_watch_gets_the_whole_list_and_its_index() {
        let config = json!({ "url": "http://h/", "method": "PUT", "body": "consul-watch" });
        let requests = vec![Request::http("PUT", "http://h/"), Request::Watch];
        assert_eq!(testing::requests::<Webhook>(&config), Ok(requests));
        let host = Host::start();
        host.answer_watch(Ok(watch::Answer { index: 42, body: b"[]".to_vec() }));
        assert_eq!(testing::handle::<Webhook>(&testing::delivery([json!({})]), &config), Ok("200".into()));
        let calls = host.calls();
        let [Call::Watch, Call::Http(request)] = calls.as_slice() else { panic!("{calls:?}") };
        assert_eq!(request.body, b"[]");
        for header in
            [("Content-Type", "application/json"), ("X-Consul-Index", "42"), ("Idempotency-Key", "d1")]
        {
            assert!(request.headers.contains(&(header.0.into(), header.1.into())), "{header:?}");
        }
    }

    #[test]
    fn one_event_is_sent_as_itself_and_several_as_a_batch() {
        let delivery = testing::delivery([json!({ "n": 1 }), json!({ "n": 2 })]);
        let config = json!({ "url": "http://h/" });
        let one = sent([json!({ "n": 1 })], &config);
        assert_eq!(one.body, delivery.events[0].to_cloudevent().unwrap().into_bytes());
        assert_eq!(
            one.headers,
            pairs([
                ("Content-Type", "application/cloudevents+json"),
                ("User-Agent", "lictor/0.1.0"),
                ("Idempotency-Key", "d1"),
            ])
        );
        let both = sent([json!({ "n": 1 }), json!({ "n": 2 })], &config);
        assert_eq!(both.body, delivery.to_cloudevents_batch().unwrap().into_bytes());
        assert_eq!(both.headers[0].1, "application/cloudevents-batch+json");
    }

    #[test]
    fn configured_headers_win_except_over_the_idempotency_key() {
        let headers = json!({ "user-agent": "x", "idempotency-key": "y", "X-Team": "z" });
        let request = sent([json!({})], &json!({ "url": "http://h/", "headers": headers }));
        assert_eq!(
            request.headers,
            pairs([
                ("Content-Type", "application/cloudevents+json"),
                ("X-Team", "z"),
                ("user-agent", "x"),
                ("Idempotency-Key", "d1"),
            ])
        );
    }

    #[test]
    fn the_answer_decides() {
        let none = ("x", "y");
        let seconds = ("retry-after", "7");
        let wait = Duration::from_secs(7);
        check_answered(204, none, "", Ok("204"));
        check_answered(429, seconds, "slow\n down", Err(Failure::retry_after("429: slow down", wait)));
        check_answered(503, seconds, "", Err(Failure::retry_after("503", wait)));
        check_answered(500, seconds, "", Err(Failure::transient("500")));
        check_answered(
            503,
            ("retry-after", "Fri, 01 Jan 2027 00:00:00 GMT"),
            "",
            Err(Failure::transient("503")),
        );
        check_answered(429, none, "", Err(Failure::transient("429")));
        check_answered(404, none, "no such hook", Err(Failure::permanent("404: no such hook")));
        check_answered(302, ("location", "/login"), "moved", Err(Failure::permanent("302: /login")));
        check_answered(
            404,
            none,
            &"ä".repeat(300),
            Err(Failure::permanent(format!("404: {}", "ä".repeat(QUOTE)))),
        );
    }

    #[test]
    fn a_network_that_fails_is_tried_again() {
        let host = Host::start();
        host.answer_http(Err(CallError::TimedOut("no answer within 30s".into())));
        let receipt =
            testing::handle::<Webhook>(&testing::delivery([json!({})]), &json!({ "url": "http://h/" }));
        assert_eq!(receipt, Err(Failure::transient("timed out: no answer within 30s")));
    }
}
