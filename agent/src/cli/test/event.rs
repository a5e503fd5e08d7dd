//! An event of a test: what is written of it, and for the rest nothing.

use std::mem::discriminant;

use anyhow::{Context, Result, bail};
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::cli::plugin::samples::sample;
use crate::event::Event;
use crate::event::{EventData, EventType, id};

/// What an event has that no test has to write: the words that have no empty form.
const KEPT: [&str; 6] = ["since", "not_before", "not_after", "valid_after", "valid_before", "datacenter"];

/// The event of this type at `at`, the `number`th of its test, with these data. What they do not have is empty.
pub(super) fn event(kind: EventType, data: &toml::Table, (at, number): (Timestamp, usize)) -> Result<Event> {
    let sample = sample(kind.as_str()).context("find its sample")??;
    let mut fields: Map<String, Value> = serde_json::from_str(&sample.data).context("read its sample")?;
    for (name, value) in &mut fields {
        if !KEPT.contains(&name.as_str()) {
            *value = empty(name, value);
        }
    }
    let written = serde_json::to_value(data).context("read its data")?;
    let mut subject = None;
    for (name, value) in written.as_object().into_iter().flatten() {
        match (name.as_str(), fields.get_mut(name)) {
            ("subject", _) => subject = value.as_str().map(str::to_owned),
            (_, Some(field)) => *field = value.clone(),
            (_, None) => {
                let names: Vec<_> = fields.keys().map(String::as_str).collect();
                bail!("read `{name}`: the data of {kind} have {}", names.join(", "));
            }
        }
    }
    complete(kind, &mut fields);
    // Data with a wrong value may be read as those of something else.
    let is_of = |data: &EventData, text: &str| {
        let sample: EventData = serde_json::from_str(text).ok()?;
        (discriminant(&data.about) == discriminant(&sample.about)).then_some(())
    };
    let data = serde_json::from_value(Value::Object(fields.clone())).ok();
    let data = data.filter(|data| is_of(data, &sample.data).is_some());
    let data = data.with_context(|| format!("read the data of {kind}: a value is not of its kind"))?;
    let subject = subject.unwrap_or_else(|| subject_of(kind, &fields));
    let id = id::derive(&[subject.as_bytes(), kind.as_str().as_bytes(), &number.to_be_bytes()]);
    Ok(Event { id, source: format!("consul://{}", data.datacenter), kind, subject, time: at, data })
}

fn empty(name: &str, value: &Value) -> Value {
    match (name, value) {
        ("node_role", _) => "standalone".into(),
        // What is left of a service is not known where nobody says it.
        ("from" | "to" | "before" | "tags_before" | "passing_left" | "passing_left_share", _)
        | (_, Value::Null) => Value::Null,
        ("delivery", Value::Object(of)) => {
            of.iter().map(|(name, value)| (name.clone(), empty(name, value))).collect()
        }
        (_, Value::String(_)) => "".into(),
        (_, Value::Number(_)) => 0.into(),
        (_, Value::Bool(_)) => false.into(),
        (_, Value::Array(_)) => json!([]),
        (_, Value::Object(_)) => json!({}),
    }
}

/// What follows from what is written: a node has a name, and a check of a service is Consul's own.
fn complete(kind: EventType, fields: &mut Map<String, Value>) {
    let is_empty =
        |fields: &Map<String, Value>, name: &str| fields.get(name).is_some_and(|value| value == "");
    let text = |fields: &Map<String, Value>, name: &str| {
        fields.get(name).and_then(Value::as_str).unwrap_or("").to_owned()
    };
    if is_empty(fields, "node") {
        fields.insert("node".into(), "node1".into());
    }
    if is_empty(fields, "service_id") {
        let service = text(fields, "service");
        fields.insert("service_id".into(), service.into());
    }
    if is_empty(fields, "check_id") {
        let service = text(fields, "service_id");
        let check = match kind {
            EventType::NodeFailed | EventType::NodeRecovered => "serfHealth".to_owned(),
            EventType::MaintenanceStarted | EventType::MaintenanceEnded if service.is_empty() => {
                "_node_maintenance".to_owned()
            }
            EventType::MaintenanceStarted | EventType::MaintenanceEnded => {
                format!("_service_maintenance:{service}")
            }
            _ => format!("service:{service}"),
        };
        fields.insert("check_id".into(), check.into());
    }
}

/// What the event is about, as Lictor names it.
fn subject_of(kind: EventType, fields: &Map<String, Value>) -> String {
    let text = |name: &str| fields.get(name).and_then(Value::as_str).unwrap_or_default();
    match kind {
        EventType::NodeFailed | EventType::NodeRecovered => text("node").to_owned(),
        _ if fields.contains_key("check_id") => format!("{}/{}", text("node"), text("check_id")),
        _ if fields.contains_key("service_id") => format!("{}/{}", text("node"), text("service_id")),
        _ => ["key", "watch", "name", "service", "node"]
            .into_iter()
            .find(|name| fields.contains_key(*name))
            .map(text)
            .unwrap_or_default()
            .to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_can_be_one_of_each_type_without_a_word() {
        for kind in EventType::ALL {
            let event = event(kind, &toml::Table::new(), (Timestamp::UNIX_EPOCH, 0)).unwrap();
            assert_eq!(event.kind, kind);
        }
    }

    #[test]
    fn what_is_written_is_in_it_and_what_it_cannot_have_is_told() {
        let of =
            |text: &str| event(EventType::CheckStatus, &text.parse().unwrap(), (Timestamp::UNIX_EPOCH, 0));
        let whole = of("service = 'web'\nnode = 'web1'\nto = 'critical'").unwrap();
        assert_eq!(whole.subject, "web1/service:web");
        assert_eq!(whole.data.check().unwrap().service_id, "web");
        let wrong = |text| format!("{:#}", of(text).unwrap_err());
        assert!(wrong("sevice = 'web'").starts_with("read `sevice`: the data of check.status have "));
        assert!(
            wrong("to = 'crit'").starts_with("read the data of check.status: a value is not of its kind")
        );
    }
}
