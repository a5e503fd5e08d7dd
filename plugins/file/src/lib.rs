//! Appends one line per event to a file, the lines of one delivery together.
//!
//! Invariant: one event is one line, whatever its data holds.

use std::fmt::Write;

use lictor_sdk::{Delivery, Description, Event, Failure, Plugin, Request, append, template::Template};
use serde::Deserialize;

/// The plugin.
pub struct File;

/// The receiver's `config`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    path: String,
    template: Option<Template>,
}

impl Plugin for File {
    type Config = Config;

    fn describe() -> Description {
        Description {
            name: "file".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            summary: env!("CARGO_PKG_DESCRIPTION").into(),
            config_schema: include_str!("../config.schema.json").into(),
        }
    }

    fn requests(config: &Config) -> Result<Vec<Request>, String> {
        if !config.path.starts_with('/') || config.path.ends_with('/') {
            return Err(format!("path: {:?} is no absolute path of a file", config.path));
        }
        Ok(vec![Request::append(&config.path)])
    }

    fn handle(delivery: &Delivery, config: &Config) -> Result<String, Failure> {
        let mut lines = String::new();
        let each = match &config.template {
            Some(template) => template.render_each(delivery)?,
            None => delivery.events.iter().map(Event::to_cloudevent).collect::<Result<_, _>>()?,
        };
        for line in each {
            escape(&line, &mut lines);
            lines.push('\n');
        }
        append::append(&config.path, &lines)?;
        Ok(format!("{} bytes", lines.len()))
    }
}

lictor_sdk::export!(File);

/// Writes control characters as JSON does, so that a line of JSON stays JSON. Unicode's two line separators are
/// none by its own tables, but some readers break lines at them.
fn escape(line: &str, to: &mut String) {
    for c in line.chars() {
        match c {
            '\n' => to.push_str("\\n"),
            '\r' => to.push_str("\\r"),
            '\t' => to.push_str("\\t"),
            '\u{2028}' | '\u{2029}' => push_code(c, to),
            c if c.is_control() => push_code(c, to),
            c => to.push(c),
        }
    }
}

fn push_code(c: char, to: &mut String) {
    // Writing to a string cannot fail.
    write!(to, "\\u{:04x}", u32::from(c)).unwrap_or_default();
}

#[cfg(test)]
mod tests {
    use lictor_sdk::{
        CallError,
        testing::{self, Call, Host},
    };
    use serde_json::{Value, json};

    use super::*;

    /// What the plugin appended for a delivery of these events' data.
    #[track_caller]
    fn check(data: impl IntoIterator<Item = Value>, template: &str, want: &str) {
        let host = Host::start();
        let config = json!({ "path": "/a", "template": template });
        let receipt = testing::handle::<File>(&testing::delivery(data), &config);
        assert_eq!(receipt, Ok(format!("{} bytes", want.len())));
        assert_eq!(host.calls(), [Call::append("/a", want)]);
    }

    #[track_caller]
    fn check_refused(config: &Value, want: &str) {
        assert_eq!(testing::requests::<File>(config).unwrap_err(), want);
    }

    #[test]
    fn the_schema_is_true() {
        testing::check_schema::<File>(&json!({ "path": "/a", "template": "{{ id }}" })).unwrap();
    }

    #[test]
    fn it_requests_the_file_that_it_appends_to() {
        assert_eq!(testing::requests::<File>(&json!({ "path": "/a" })), Ok(vec![Request::append("/a")]));
    }

    #[test]
    fn a_configuration_that_cannot_work_is_refused() {
        check_refused(&json!({ "path": "a" }), r#"path: "a" is no absolute path of a file"#);
        check_refused(&json!({ "path": "/a/" }), r#"path: "/a/" is no absolute path of a file"#);
        check_refused(
            &json!({ "path": "/a", "template": "{{ data." }),
            "template: line 1: unexpected end of input, expected identifier or integer",
        );
    }

    #[test]
    fn one_event_is_one_line_whatever_it_holds() {
        check([json!({ "to": "critical" })], "{{ data.to }}", "critical\n");
        check(
            [json!({ "create_index": 1 }), json!({ "create_index": 2 })],
            "{{ id }} {{ data.create_index }}",
            "e1 1\ne2 2\n",
        );
        check([json!({ "output": "a\r\nb\tc" })], "{{ data.output }}", "a\\r\\nb\\tc\n");
        check(
            [json!({ "output": "\u{1b}[31m\u{0}\u{85}\u{2028}" })],
            "{{ data.output }}",
            "\\u001b[31m\\u0000\\u0085\\u2028\n",
        );
        check([json!({})], "a\nb", "a\\nb\n");
    }

    #[test]
    fn without_a_template_each_line_is_a_cloudevent() {
        let host = Host::start();
        let delivery = testing::delivery([json!({ "o": "a\n\u{2028}" }), json!({})]);
        testing::handle::<File>(&delivery, &json!({ "path": "/a" })).unwrap();
        let calls = host.calls();
        let [Call::Append(_, data)] = calls.as_slice() else {
            panic!("expected one append, found {calls:?}")
        };
        let lines = std::str::from_utf8(data).unwrap().lines();
        let events: Vec<Value> = lines.map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!((&events[0]["data"]["o"], &events[1]["id"]), (&json!("a\n\u{2028}"), &json!("e2")));
        assert_eq!(events.len(), 2);
    }

    #[test]
    fn a_name_without_a_value_fails_before_anything_is_written() {
        let host = Host::start();
        let delivery = testing::delivery([json!({ "to": "critical" }), json!({})]);
        let config = json!({ "path": "/a", "template": "{{ data.to }}" });
        let want = Failure::permanent("template: line 1: `data.to` is undefined");
        assert_eq!(testing::handle::<File>(&delivery, &config), Err(want));
        assert_eq!(host.calls(), []);
    }

    #[test]
    fn an_append_that_fails_is_tried_again() {
        let host = Host::start();
        host.answer_append(Err(CallError::Failed("no space left on device".into())));
        let receipt = testing::handle::<File>(&testing::delivery([json!({})]), &json!({ "path": "/a" }));
        assert_eq!(receipt, Err(Failure::transient("no space left on device")));
    }
}
