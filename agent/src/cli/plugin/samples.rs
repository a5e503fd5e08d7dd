//! One event of each type, as a plugin gets it; and events from files.

use std::path::Path;

use anyhow::{Context, Result};
use lictor_host::Event;
use serde::Deserialize;
use serde_json::Value;

use super::sdk;
use crate::config::nearest;
use crate::event::EventType;
use crate::regular;

/// An event in `CloudEvents`' JSON; attributes that a plugin does not get are left alone.
#[derive(Deserialize)]
#[serde(expecting = "an event of CloudEvents, as `lictor events list --json` shows one")]
struct Written {
    id: String,
    source: String,
    #[serde(rename = "type")]
    kind: String,
    subject: String,
    time: String,
    data: Value,
}

/// The types of all samples.
pub(super) fn kinds() -> impl Iterator<Item = &'static str> {
    EventType::ALL.into_iter().map(EventType::as_str)
}

/// The sample of this type.
pub(in crate::cli) fn sample(kind: &str) -> Option<Result<Event>> {
    let text = sdk::file(&format!("events/{kind}.json"))?;
    Some(read(text).with_context(|| format!("read the sample of {kind}")))
}

/// The event that a word names: a type, or a file in `folder`.
pub(super) fn named(word: &str, folder: &Path) -> Result<Event> {
    // As an event itself has its type, too.
    if let Some(event) = sample(word.strip_prefix("lictor.").unwrap_or(word)) {
        return event;
    }
    let path = folder.join(word);
    let shown = path.display();
    let like = nearest(word, kinds()).unwrap_or("check.status");
    let help = || format!("read the event {shown}; write a file, or a type such as {like}");
    let text = regular::text(&path).with_context(help)?;
    read(&text).with_context(|| format!("read the event {shown}, which is to be one JSON object"))
}

fn read(text: &str) -> Result<Event> {
    let Written { id, source, kind, subject, time, data } = serde_json::from_str(text)?;
    anyhow::ensure!(data.is_object(), "its data is no JSON object");
    Ok(Event { id, source, kind, subject, time, data: data.to_string() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{About, EventData};

    #[test]
    fn the_sdk_gives_an_author_the_same() {
        let types = EventType::ALL.map(EventType::as_str);
        assert!(kinds().eq(types) && lictor_sdk::testing::SAMPLES == types);
        for kind in types {
            let (ours, theirs) = (sample(kind).unwrap().unwrap(), lictor_sdk::testing::sample(kind));
            assert_eq!((&ours.id, &ours.data), (&theirs.id, &theirs.data));
        }
    }

    #[test]
    fn there_is_one_of_each_type_and_each_is_what_lictor_would_tell() {
        for kind in EventType::ALL {
            let event = sample(kind.as_str()).unwrap_or_else(|| panic!("{kind} has no sample")).unwrap();
            assert_eq!(event.kind, format!("lictor.{kind}"));
            assert_eq!(event.id.len(), 32, "{kind}");
            let time: jiff::Timestamp = event.time.parse().unwrap();
            assert_eq!(time.to_string(), event.time, "{kind}");
            let data: EventData = serde_json::from_str(&event.data).unwrap();
            // Not only that it can be read: that nothing is missing from it, and nothing too much.
            let written: Value = serde_json::from_str(&event.data).unwrap();
            assert_eq!(serde_json::to_value(&data).unwrap(), written, "{kind}");
            assert_eq!(data.delivery.is_some(), kind == EventType::DeliveryDead, "{kind}");
            assert_eq!(area(&data.about), area_of(kind), "{kind}");
        }
    }

    fn area(about: &About) -> &'static str {
        match about {
            About::Check(_) => "check",
            About::Instance(_) | About::Service(_) => "service",
            About::Node(_) => "node",
            About::Key(_) => "kv",
            About::Fired(_) => "event",
            About::Root(_) => "root",
            About::Leaf(_) => "leaf",
            About::Source(_) => "source",
        }
    }

    fn area_of(kind: EventType) -> &'static str {
        match kind {
            EventType::NodeFailed | EventType::NodeRecovered | EventType::DeliveryDead => "check",
            kind => match kind.as_str().split_once('.').unwrap().0 {
                "maintenance" | "flapping" => "check",
                area => area,
            },
        }
    }
}
