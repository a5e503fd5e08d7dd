//! `match`, `unless` and `[matchers.*]`: conditions on the attributes of an event.
//!
//! Boundary: reads what is written; what it means is known to the module `rules` of the crate alone.

use toml::de::DeValue;

use super::reader::{Entry, Key, Table};
use super::words;
use crate::rules::{Attribute, Matcher, Named, Pattern, PatternError};

const PATTERNS: &str =
    r#"write "…", ["…", "…"], true, false, { glob = "…" }, { regex = "…" } or { prefix = "…" }"#;

/// A named one: `[matchers.name]`.
pub(super) fn named(name: &str, entry: Entry<'_>) -> Option<Named> {
    if matches!(entry.value(), DeValue::Table(table) if table.is_empty()) {
        return entry.wrong(format!("the matcher `{name}` has no condition"), "write at least one");
    }
    Some(Named { name: name.to_owned(), matches: matchers(entry)? })
}

/// A table of attributes and patterns.
pub(super) fn matchers(entry: Entry<'_>) -> Option<Vec<Matcher>> {
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
        if ["match", "unless"].contains(&key.text()) {
            return key.wrong(
                format!("`{}` is of rules", key.text()),
                "here are attributes alone, all of which must fit",
            );
        }
        let (problem, help) = unknown(key.text());
        key.wrong(problem, help)
    })
}

/// The name of an attribute.
pub(super) fn attribute_name(entry: Entry<'_>) -> Option<Attribute> {
    let name = entry.string()?;
    Attribute::parse(&name).or_else(|| {
        let (problem, help) = unknown(&name);
        entry.wrong(problem, help)
    })
}

fn unknown(name: &str) -> (String, String) {
    let help = match words::nearest(name, Attribute::NAMES) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!(
            "an event has {}, `node_meta.<key>` and `service_meta.<key>`",
            words::keys(Attribute::NAMES)
        ),
    };
    (format!("unknown attribute `{name}`"), help)
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
