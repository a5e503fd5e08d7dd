//! `[inhibit]` and `[[inhibit_rules]]`: what hides what.

use super::matchers::{attribute_name, matchers};
use super::reader::{Entry, Table};
use super::rules::event_type;
use super::source::Place;
use crate::event::EventType;
use crate::rules::{BuiltIn, InhibitRule};

/// Which built-in rules there are.
pub(super) fn built_in(table: &mut Table<'_>) -> BuiltIn {
    let default = BuiltIn::default();
    BuiltIn {
        node_failed: table.get("node_failed", Entry::flag).unwrap_or(default.node_failed),
        maintenance: table.get("maintenance", Entry::flag).unwrap_or(default.maintenance),
        flapping: table.get("flapping", Entry::flag).unwrap_or(default.flapping),
    }
}

/// The name with its place, and the rule; each is none where it is not there or faulty.
pub(super) fn read(table: &mut Table<'_>) -> (Option<(String, Place)>, Option<InhibitRule>) {
    let name = table.require("name", "name = \"database-down\"", |entry| Some((name(entry)?, entry.place())));
    let source_match =
        table.require("source_match", "source_match = { service = \"db\", to = \"critical\" }", matchers);
    let target_match = table.get("target_match", matchers).unwrap_or_default();
    let target_on = table.get("target_on", |entry| entry.some("a list of event types", event_type));
    let equal = table.get("equal", |entry| entry.list("a list of attributes", attribute_name));
    let rule = name.clone().zip(source_match).map(|((name, _), source_match)| InhibitRule {
        name,
        source_match,
        target_on: target_on.unwrap_or_else(|| vec![EventType::CheckStatus, EventType::CheckOutput]),
        target_match,
        equal: equal.unwrap_or_default(),
    });
    (name, rule)
}

fn name(entry: Entry<'_>) -> Option<String> {
    let name = super::name(entry)?;
    if BuiltIn::NAMES.contains(&name.as_str()) {
        return entry.wrong(
            format!("the inhibit rule `{name}` is built in"),
            format!("write another name, or turn the built-in one off: [inhibit] {name} = false"),
        );
    }
    Some(name)
}
