//! `[inhibit]` and `[[inhibit_rules]]`: what hides what.

use super::fault::Fault;
use super::matchers::{Placed, attribute_name, placed};
use super::reader::{Entry, Table};
use super::rules::{conditions, event_type, never};
use super::source::Place;
use crate::event::EventType;
use crate::rules::{Attribute, BuiltIn, InhibitRule, Pattern};

/// Which built-in rules there are.
pub(super) fn built_in(table: &mut Table<'_>) -> BuiltIn {
    let default = BuiltIn::default();
    BuiltIn {
        node_failed: table.get("node_failed", Entry::flag).unwrap_or(default.node_failed),
        maintenance: table.get("maintenance", Entry::flag).unwrap_or(default.maintenance),
        flapping: table.get("flapping", Entry::flag).unwrap_or(default.flapping),
    }
}

/// An inhibit rule; its name with its place and the rule are none where they are not there or faulty.
pub(super) struct Written {
    pub(super) rule: Option<InhibitRule>,
    pub(super) name: Option<(String, Place)>,
    /// What is right, and perhaps not what was meant.
    pub(super) warnings: Vec<Fault>,
}

pub(super) fn read(table: &mut Table<'_>) -> Written {
    let name = table.require("name", "name = \"database-down\"", |entry| Some((name(entry)?, entry.place())));
    let source_match =
        table.require("source_match", "source_match = { service = \"db\", to = \"critical\" }", placed);
    let target_match = table.get("target_match", placed).unwrap_or_default();
    let target_on = table.get("target_on", |entry| entry.some("a list of event types", event_type));
    let target_on = target_on.unwrap_or_else(|| vec![EventType::CheckStatus, EventType::CheckOutput]);
    let equal = table.get("equal", |entry| {
        entry.list("a list of attributes", |item| Some((attribute_name(item)?, item.place())))
    });
    let equal = equal.unwrap_or_default();
    let mut warnings = doubts(source_match.as_deref().unwrap_or_default(), &equal);
    warnings.extend(target_match.iter().filter_map(|(matcher, place)| never(&target_on, matcher, place)));
    let rule = name.clone().zip(source_match).map(|((name, _), source_match)| InhibitRule {
        name,
        source_match: conditions(source_match),
        target_on,
        target_match: conditions(target_match),
        equal: equal.into_iter().map(|(attribute, _)| attribute).collect(),
    });
    Written { rule, name, warnings }
}

/// Where no check can be the source, or none has what it must have the same of.
fn doubts(source: &[Placed], equal: &[(Attribute, Place)]) -> Vec<Fault> {
    let result = [EventType::CheckStatus];
    let mut doubts: Vec<_> =
        source.iter().filter_map(|(matcher, place)| never(&result, matcher, place)).collect();
    let flaps = source.iter().any(|(matcher, _)| matcher.attribute == Attribute::Flapping);
    let passes = source.iter().find(|(matcher, _)| {
        matches!(&matcher.pattern, Pattern::Any(words) if words.iter().all(|word| word == "passing"))
            && matcher.attribute == Attribute::To
    });
    if let Some((_, place)) = passes.filter(|_| !flaps) {
        let fault = Fault::at(place.clone(), "a check that passes hides nothing, so this never holds");
        doubts.push(fault.help("name results that do not pass: \"warning\", \"critical\"").warning());
    }
    doubts.extend(equal.iter().filter(|(attribute, _)| !attribute.is_of(EventType::CheckStatus)).map(
        |(attribute, place)| {
            let problem = format!("no check has `{attribute}`, so it says nothing here");
            let help = "leave it out, or name what the source and its targets have: \"node\", \"service\"";
            Fault::at(place.clone(), problem).help(help).warning()
        },
    ));
    doubts
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
