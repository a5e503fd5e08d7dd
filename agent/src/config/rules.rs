//! `[[rules]]`: which events go to which receivers.
//!
//! Boundary: reads what is written; what it means is known to the module `rules` of the crate alone.

use super::fault::Fault;
use super::matchers::{Placed, placed};
use super::reader::{Entry, Table};
use super::source::Place;
use super::timing;
use crate::event::EventType;
use crate::rules::{Attribute, Matcher, Pattern, Rule};

/// A rule, and the places of what other parts of the configuration have to agree with.
pub(super) struct Written {
    /// None when something in it is faulty.
    pub(super) rule: Option<Rule>,
    pub(super) name: Option<(String, Place)>,
    pub(super) receivers: Vec<(String, Place)>,
    pub(super) watches: Vec<(String, Place)>,
    pub(super) named: Vec<(String, Place)>,
    pub(super) intervals: Vec<(String, Place)>,
    /// What is right, and perhaps not what was meant.
    pub(super) warnings: Vec<Fault>,
}

pub(super) fn read(table: &mut Table<'_>) -> Written {
    let name =
        table.require_own("name", "name = \"web-down\"", |entry| Some((super::name(entry)?, entry.place())));
    let enabled = table.get("enabled", Entry::flag).unwrap_or(true);
    let is_final = table.get("final", Entry::flag).unwrap_or(false);
    let on = table
        .require("on", "on = [\"check.status\"]", |entry| entry.some("a list of event types", event_type));
    let watches = table.get("watch", |entry| names(entry, "the label of a watch or a list of them"));
    let watches = watches.unwrap_or_default();
    let matches = table.get("match", placed).unwrap_or_default();
    let named = table.get("matchers", |entry| names(entry, "the name of a matcher or a list of them"));
    let named = named.unwrap_or_default();
    let unless = table.get("unless", placed).unwrap_or_default();
    let receivers = table
        .require("receivers", "receivers = [\"…\"]", |entry| {
            entry.some("a list of receivers", |item| Some((item.string()?, item.place())))
        })
        .unwrap_or_default();
    let (schedule, intervals) = timing::read(table, on.as_deref().unwrap_or_default());
    let on_types = on.as_deref().unwrap_or_default();
    let mut warnings: Vec<_> =
        matches.iter().filter_map(|(matcher, place)| never(on_types, matcher, place)).collect();
    if table.writes("unless") {
        // As a default it may be meant for rules about other types.
        warnings.extend(unless.iter().filter_map(|(matcher, place)| never(on_types, matcher, place)));
    }
    let rule = name.clone().zip(on).map(|((name, _), on)| {
        let [matches, unless] = [matches, unless].map(conditions);
        let receivers = receivers.iter().map(|(name, _)| name.clone()).collect();
        let watches = watches.iter().map(|(name, _)| name.clone()).collect();
        Rule { name, enabled, is_final, on, watches, matches, named: Vec::new(), unless, receivers, schedule }
    });
    Written { rule, name, receivers, watches, named, intervals, warnings }
}

pub(super) fn conditions(placed: Vec<Placed>) -> Vec<Matcher> {
    placed.into_iter().map(|(matcher, _)| matcher).collect()
}

/// A warning where no event of these types has what the condition looks at.
pub(super) fn never(on: &[EventType], matcher: &Matcher, place: &Place) -> Option<Fault> {
    let Matcher { attribute, pattern } = matcher;
    let has = |kind: EventType| attribute.is_of(kind) && can_be(kind, matcher);
    if on.is_empty() || on.iter().any(|kind| has(*kind)) || matches!(pattern, Pattern::Present(false)) {
        return None;
    }
    let list = |kinds: Vec<EventType>| kinds.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let others = EventType::ALL.into_iter().filter(|kind| has(*kind)).collect();
    let such = if on.iter().any(|kind| attribute.is_of(*kind)) { "such a " } else { "" };
    let problem = format!("no event of {} has {such}`{attribute}`, so this never holds", list(on.to_vec()));
    Some(
        Fault::at(place.clone(), problem)
            .help(format!("events of these types have it: {}", list(others)))
            .warning(),
    )
}

/// Can what an event of this type has ever fit, as far as the type says what that is?
fn can_be(kind: EventType, Matcher { attribute, pattern }: &Matcher) -> bool {
    match (kind, attribute) {
        (EventType::CheckOutput | EventType::DeliveryDead, Attribute::Coalesced) => true,
        // A result says what is another, so nothing is hidden behind it.
        (_, Attribute::Coalesced) => !matches!(pattern, Pattern::Flag(true)),
        // Consul's own check is critical for as long as it is there.
        (EventType::MaintenanceStarted, Attribute::To) | (EventType::MaintenanceEnded, Attribute::From) => {
            matches!(pattern, Pattern::Present(true)) || pattern.fits_text("critical")
        }
        _ => true,
    }
}

/// What the rule names: one or several.
fn names(entry: Entry<'_>, what: &str) -> Option<Vec<(String, Place)>> {
    let name = |entry: Entry<'_>| Some((entry.string()?, entry.place()));
    entry.one_or_some(what, name)
}

pub(super) fn event_type(entry: Entry<'_>) -> Option<EventType> {
    entry.word(&EventType::ALL.map(EventType::as_str))?.parse().ok()
}
