//! `[[rules]]`: which events go to which receivers.
//!
//! Boundary: reads what is written; what it means is known to the module `rules` of the crate alone.

use toml::de::DeValue;

use super::reader::{Entry, Key, Table};
use super::source::Place;
use super::words;
use crate::event::EventType;
use crate::rules::{Attribute, Matcher, Pattern, PatternError, Rule};

/// A rule, and the places of what other parts of the configuration have to agree with.
pub(super) struct Written {
    /// None when something in it is faulty.
    pub(super) rule: Option<Rule>,
    pub(super) name: Option<(String, Place)>,
    pub(super) receivers: Vec<(String, Place)>,
    pub(super) watches: Vec<(String, Place)>,
}

const PATTERNS: &str =
    r#"write "…", ["…", "…"], true, false, { glob = "…" }, { regex = "…" } or { prefix = "…" }"#;

pub(super) fn read(table: &mut Table<'_>) -> Written {
    let name =
        table.require_own("name", "name = \"web-down\"", |entry| Some((super::name(entry)?, entry.place())));
    let enabled = table.get("enabled", Entry::flag).unwrap_or(true);
    let is_final = table.get("final", Entry::flag).unwrap_or(false);
    let on = table
        .require("on", "on = [\"check.status\"]", |entry| entry.some("a list of event types", event_type));
    let watches = table.get("watch", watches).unwrap_or_default();
    let matches = table.get("match", matchers).unwrap_or_default();
    let unless = table.get("unless", matchers).unwrap_or_default();
    let receivers = table
        .require("receivers", "receivers = [\"…\"]", |entry| {
            entry.some("a list of receivers", |item| Some((item.string()?, item.place())))
        })
        .unwrap_or_default();
    let rule = name.clone().zip(on).map(|((name, _), on)| {
        let receivers = receivers.iter().map(|(name, _)| name.clone()).collect();
        let watches = watches.iter().map(|(name, _)| name.clone()).collect();
        Rule { name, enabled, is_final, on, watches, matches, named: Vec::new(), unless, receivers }
    });
    Written { rule, name, receivers, watches }
}

/// The labels of watches.
fn watches(entry: Entry<'_>) -> Option<Vec<(String, Place)>> {
    let label = |entry: Entry<'_>| Some((entry.string()?, entry.place()));
    match entry.value() {
        DeValue::String(_) => Some(vec![label(entry)?]),
        _ => entry.some("the label of a watch or a list of them", label),
    }
}

fn event_type(entry: Entry<'_>) -> Option<EventType> {
    entry.word(&EventType::ALL.map(EventType::as_str))?.parse().ok()
}

fn matchers(entry: Entry<'_>) -> Option<Vec<Matcher>> {
    let matchers = entry.map("a table of attributes and patterns", |key, value| {
        let table = key.text().to_owned();
        if Attribute::of_table(&table, "").is_none() {
            return Some(vec![matcher(attribute(key), value)?]);
        }
        value.map("a table of metadata and patterns", |key, value| {
            matcher(Attribute::of_table(&table, key.text()), value)
        })
    })?;
    Some(matchers.into_iter().flatten().collect())
}

fn attribute(key: Key<'_>) -> Option<Attribute> {
    Attribute::parse(key.text()).or_else(|| {
        let help = match words::nearest(key.text(), Attribute::NAMES) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!(
                "an event has {}, `node_meta.<key>` and `service_meta.<key>`",
                words::keys(Attribute::NAMES)
            ),
        };
        key.wrong(format!("unknown attribute `{}`", key.text()), help)
    })
}

/// The pattern of an unknown attribute is looked at too.
fn matcher(attribute: Option<Attribute>, entry: Entry<'_>) -> Option<Matcher> {
    let known = attribute.as_ref();
    let pattern = match entry.value() {
        DeValue::String(_) => Pattern::Any(vec![word(known, entry)?]),
        DeValue::Array(_) => {
            let words = |entry: Entry<'_>| entry.some("a list of texts", |item| word(known, item));
            Pattern::Any(entry.sound(words)?)
        }
        DeValue::Boolean(flag) => Pattern::Flag(*flag),
        DeValue::Table(_) => entry.table("a pattern", pattern)??,
        _ => return entry.expected("a pattern", PATTERNS),
    };
    fits(known, entry, &pattern)?;
    Some(Matcher { attribute: attribute?, pattern })
}

/// One of the texts that an attribute may have; checked alone, so that the fault is under that text.
fn word(attribute: Option<&Attribute>, entry: Entry<'_>) -> Option<String> {
    let word = entry.string()?;
    fits(attribute, entry, &Pattern::Any(vec![word.clone()]))?;
    Some(word)
}

fn fits(attribute: Option<&Attribute>, entry: Entry<'_>, pattern: &Pattern) -> Option<()> {
    let Some(attribute) = attribute else { return Some(()) };
    match attribute.check(pattern) {
        Ok(()) => Some(()),
        Err(why) => entry.wrong(format!("`{attribute}` never fits this"), why),
    }
}

/// A table with one of `glob`, `regex` and `prefix`.
fn pattern(table: &mut Table<'_>) -> Option<Pattern> {
    let glob =
        table.entry("glob").map(|entry| written(entry, Pattern::glob, "write a glob, such as \"web-*\""));
    let regex = table
        .entry("regex")
        .map(|entry| written(entry, Pattern::regex, "write a regular expression, such as \"web[0-9]+\""));
    let prefix = table.entry("prefix").map(|entry| entry.string().map(|text| Pattern::prefix(&text)));
    let mut found = [glob, regex, prefix].into_iter().flatten();
    match (found.next(), found.next()) {
        (Some(pattern), None) => pattern,
        // Its key is unknown, and told as such.
        (None, _) if !table.is_empty() => None,
        _ => table.wrong(
            "a pattern has one of `glob`, `regex` and `prefix`",
            "write { glob = \"…\" }, for example",
        ),
    }
}

fn written(
    entry: Entry<'_>,
    parse: fn(&str) -> Result<Pattern, PatternError>,
    help: &str,
) -> Option<Pattern> {
    match parse(&entry.string()?) {
        Ok(pattern) => Some(pattern),
        Err(error) => entry.wrong(format!("failed to read this pattern: {error}"), help),
    }
}
