//! What a plugin asked for, as JSON, in words, and compared with what was expected.

use std::collections::BTreeMap;

use lictor_capability::{Asked, KvCall, KvStoreCall, Recorded};
use serde_json::{Map, Value, json};

use crate::cli::records::one_line;

/// Characters of a text that are shown.
const SHOWN: usize = 100;

/// A call as expectations write it: `{ "http": { "method": …, "url": … } }`.
pub(super) fn to_json(call: &Recorded) -> Value {
    let (kind, what) = match &call.asked {
        Asked::Exec(command) => {
            let env: BTreeMap<_, _> = command.env.iter().cloned().collect();
            let seconds = command.timeout.as_secs_f64();
            (
                "exec",
                json!({ "command": command.argv, "env": env, "stdin": text(&command.stdin), "timeout": seconds }),
            )
        }
        Asked::Append { path, data } => ("append", json!({ "path": path, "data": text(data) })),
        Asked::Http(request) => {
            let mut headers = Map::new();
            for (name, value) in &request.headers {
                // A name that comes more than once has a list.
                let value = Value::from(&value[..]);
                match headers.get_mut(name) {
                    None => drop(headers.insert(name.clone(), value)),
                    Some(Value::Array(values)) => values.push(value),
                    Some(first) => *first = Value::Array(vec![first.take(), value]),
                }
            }
            let mut what = json!({
                "method": request.method, "url": request.url, "headers": headers, "body": text(&request.body),
            });
            if let Ok(body) = serde_json::from_slice::<Value>(&request.body) {
                what["json"] = body;
            }
            ("http", what)
        }
        Asked::Smtp(mail) => (
            "smtp",
            json!({ "from": mail.from, "to": mail.to, "subject": mail.subject, "body": mail.body, "id": mail.id }),
        ),
        Asked::Watch => ("watch", json!({})),
        Asked::Kv(KvCall::Get(key)) => ("kv", json!({ "get": key })),
        Asked::Kv(KvCall::Keys(prefix)) => ("kv", json!({ "keys": prefix })),
        Asked::KvStore(KvStoreCall::Get(key)) => ("kv_store", json!({ "get": key })),
        Asked::KvStore(KvStoreCall::Set(key, value)) => {
            ("kv_store", json!({ "set": key, "value": text(value) }))
        }
        Asked::KvStore(KvStoreCall::Delete(key)) => ("kv_store", json!({ "delete": key })),
    };
    let mut told = Map::from_iter([(kind.to_owned(), what)]);
    told.extend(call.failed.iter().map(|failed| (failed.kind.to_owned(), failed.why.as_str().into())));
    Value::Object(told)
}

/// A call on one line.
pub(super) fn in_words(call: &Recorded) -> String {
    let words = match &call.asked {
        Asked::Exec(command) => format!("exec {}{}", quoted(&command.argv), content(&command.stdin)),
        Asked::Append { path, data } => format!("append {path}{}", content(data)),
        Asked::Http(request) => {
            format!("http {} {}{}", request.method, request.url, content(&request.body))
        }
        Asked::Smtp(mail) => {
            let (to, body) = (mail.to.join(", "), content(mail.body.as_bytes()));
            format!("smtp from {} to {to}, {:?}{body}", mail.from, mail.subject)
        }
        Asked::Watch => "watch: the list of the rule's watch".to_owned(),
        Asked::Kv(KvCall::Get(key)) => format!("kv get {key}"),
        Asked::Kv(KvCall::Keys(prefix)) => format!("kv keys {prefix}"),
        Asked::KvStore(KvStoreCall::Get(key)) => format!("kv-store get {key}"),
        Asked::KvStore(KvStoreCall::Set(key, value)) => format!("kv-store set {key}{}", content(value)),
        Asked::KvStore(KvStoreCall::Delete(key)) => format!("kv-store delete {key}"),
    };
    let failed =
        call.failed.as_ref().map(|failed| format!(" -> {}: {}", failed.kind, failed.why)).unwrap_or_default();
    one_line(&(words + &failed))
}

/// What of `wanted` is not in `found`, by its place. Of a table only what is named is compared.
pub(super) fn differences(wanted: &Value, found: &Value, place: &str) -> Vec<String> {
    match (wanted, found) {
        (Value::Object(wanted), Value::Object(found)) => wanted
            .iter()
            .flat_map(|(name, wanted)| {
                let place = if place.is_empty() { name.clone() } else { format!("{place}.{name}") };
                differences(wanted, found.get(name).unwrap_or(&Value::Null), &place)
            })
            .collect(),
        // A number in TOML is one in JSON, but for how it is written.
        (Value::Number(wanted), Value::Number(found)) if wanted.as_f64() == found.as_f64() => Vec::new(),
        _ if wanted == found => Vec::new(),
        _ => vec![format!("{place} is {}, expected {}", shown(found), shown(wanted))],
    }
}

fn shown(value: &Value) -> String {
    if value.is_null() { "not there".to_owned() } else { value.to_string() }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn content(bytes: &[u8]) -> String {
    let text = text(bytes);
    if text.is_empty() {
        return text;
    }
    let cut: String = text.trim_end().chars().take(SHOWN).collect();
    let more = if cut.len() < text.trim_end().len() { "…" } else { "" };
    format!(" <- {cut}{more}")
}

/// A command as a person would tell its arguments apart.
fn quoted(argv: &[String]) -> String {
    let plain =
        |arg: &str| !arg.is_empty() && !arg.contains(|c: char| c.is_whitespace() || "\"'\\".contains(c));
    let shown = argv.iter().map(|arg| if plain(arg) { arg.clone() } else { format!("{arg:?}") });
    shown.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use lictor_capability::Failed;

    use super::*;

    #[track_caller]
    fn check(wanted: &Value, found: &Value, want: &[&str]) {
        assert_eq!(differences(wanted, found, ""), want);
    }

    #[test]
    fn of_what_was_asked_only_what_is_named_is_compared() {
        let found =
            json!({ "http": { "url": "http://h/", "json": { "text": "a", "n": 1 }, "list": [1, 2] } });
        check(&json!({}), &found, &[]);
        check(&json!({ "http": { "url": "http://h/", "json": { "n": 1.0 } } }), &found, &[]);
        check(&json!({ "http": { "list": [1] } }), &found, &["http.list is [1,2], expected [1]"]);
        check(
            &json!({ "http": { "url": "x", "json": { "text": "b" }, "body": "c" } }),
            &found,
            &[
                r#"http.body is not there, expected "c""#,
                r#"http.json.text is "a", expected "b""#,
                r#"http.url is "http://h/", expected "x""#,
            ],
        );
        check(&json!({ "exec": {} }), &found, &["exec is not there, expected {}"]);
    }

    #[test]
    fn a_call_is_told_on_one_line() {
        let call = |asked| in_words(&Recorded { asked, failed: None });
        let append = Asked::Append { path: "/x".into(), data: b"a\nb\x1b\n".to_vec() };
        assert_eq!(call(append), "append /x <- a b ");
        let command = lictor_capability::Command {
            argv: ["/bin/x", "a b", ""].map(String::from).to_vec(),
            env: Vec::new(),
            stdin: Vec::new(),
            timeout: std::time::Duration::from_secs(1),
        };
        assert_eq!(call(Asked::Exec(command)), r#"exec /bin/x "a b" """#);
        let long = Asked::Append { path: "/x".into(), data: vec![b'y'; SHOWN + 1] };
        assert!(call(long).ends_with("yy…"));
        let set = Asked::KvStore(KvStoreCall::Set("web".into(), b"3".to_vec()));
        assert_eq!(call(set), "kv-store set web <- 3");
        let late = Recorded {
            asked: Asked::Watch,
            failed: Some(Failed { kind: "timed-out", why: "after 10s".into() }),
        };
        assert_eq!(in_words(&late), "watch: the list of the rule's watch -> timed-out: after 10s");
        assert_eq!(to_json(&late), json!({ "watch": {}, "timed-out": "after 10s" }));
    }
}
