//! Events and deliveries to test with.

use serde::Deserialize;
use serde_json::Value;

use crate::{Delivery, Event};

/// The text of `events/<type>.json`, by its type.
macro_rules! samples {
    ($($kind:literal),* $(,)?) => {
        /// The types of events that there is a [`sample`] of: all that Lictor tells.
        pub const SAMPLES: &[&str] = &[$($kind),*];
        const TEXTS: &[&str] = &[$(include_str!(concat!("../../events/", $kind, ".json"))),*];
    };
}

samples![
    "check.status",
    "check.registered",
    "check.deregistered",
    "check.output",
    "service.registered",
    "service.deregistered",
    "service.changed",
    "node.joined",
    "node.left",
    "node.changed",
    "node.failed",
    "node.recovered",
    "maintenance.started",
    "maintenance.ended",
    "kv.set",
    "kv.deleted",
    "flapping.started",
    "flapping.stopped",
    "event.fired",
    "root.added",
    "root.changed",
    "root.removed",
    "leaf.issued",
    "source.suspect",
    "source.lost",
    "source.recovered",
    "delivery.dead",
];

/// An event of this type, such as `check.status`, as Lictor tells it. Its data can be changed:
/// `Event { data: …, ..sample("kv.set") }`.
///
/// # Panics
/// There is no such type.
pub fn sample(kind: &str) -> Event {
    #[derive(Deserialize)]
    struct Written {
        id: String,
        source: String,
        #[serde(rename = "type")]
        kind: String,
        subject: String,
        time: String,
        data: Value,
    }
    let text = SAMPLES.iter().position(|known| *known == kind).map(|at| TEXTS[at]);
    let written = text.and_then(|text| serde_json::from_str(text).ok());
    let Some(Written { id, source, kind: type_, subject, time, data }) = written else {
        panic!("there is no sample of {kind:?}, only of {}", SAMPLES.join(", "))
    };
    Event { id, source, type_, subject, time, data: data.to_string() }
}

/// A check's change of status, with this `data`.
pub fn event(data: &Value) -> Event {
    Event {
        id: "e1".into(),
        source: "consul://dc1".into(),
        type_: "lictor.check.status".into(),
        subject: "n1/service:web".into(),
        time: "2026-01-01T00:00:00Z".into(),
        data: data.to_string(),
    }
}

/// The first attempt to deliver one change of a check's status (`e1`, `e2`, …) for each `data`.
pub fn delivery(data: impl IntoIterator<Item = Value>) -> Delivery {
    let numbered = (1..).zip(data).map(|(number, data)| Event { id: format!("e{number}"), ..event(&data) });
    delivery_of(numbered)
}

/// The first attempt to deliver these events.
pub fn delivery_of(events: impl IntoIterator<Item = Event>) -> Delivery {
    Delivery {
        id: "d1".into(),
        attempt: 1,
        rule: "web-down".into(),
        receiver: "ops".into(),
        environment: "production".into(),
        node: "n1".into(),
        events: events.into_iter().collect(),
    }
}
