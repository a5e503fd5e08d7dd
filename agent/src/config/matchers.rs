//! `match`, `unless` and `[matchers.*]`: conditions on the attributes of an event.
//!
//! Boundary: reads what is written; what it means is known to the module `rules` of the crate alone.

mod pattern;

use toml::de::{DeTable, DeValue};

use super::reader::{Entry, Key};
use super::rules::conditions;
use super::source::Place;
use super::words;
use crate::rules::{Attribute, Matcher, Named};
use pattern::pattern;

/// A named one: `[matchers.name]`.
pub(super) fn named(name: &str, entry: Entry<'_>) -> Option<Named> {
    if matches!(entry.value(), DeValue::Table(table) if table.is_empty()) {
        return entry.wrong(format!("the matcher `{name}` has no condition"), "write at least one");
    }
    Some(Named { name: name.to_owned(), matches: conditions(placed(entry)?) })
}

/// What others call an attribute, and what it is called here.
const OTHER_WORDS: [(&str, &str); 8] = [
    ("tags", "service_tags"),
    ("tag", "service_tags"),
    ("meta", "service_meta.<key>"),
    ("status", "to"),
    ("state", "to"),
    ("role", "node_role"),
    ("env", "environment"),
    ("dc", "datacenter"),
];

/// A condition, and where its attribute is written.
pub(super) type Placed = (Matcher, Place);

/// A table of attributes and patterns.
pub(super) fn placed(entry: Entry<'_>) -> Option<Vec<Placed>> {
    let matchers = entry.map("a table of attributes and patterns", |key, value| {
        let name = key.text();
        if Attribute::of_table(name, "").is_some() {
            return value.map("a table of metadata and patterns", |key, value| {
                matcher(Attribute::of_table(name, key.text()), key, value)
            });
        }
        if Attribute::at(name, vec![name.to_owned()]).is_some() && is_of_fields(value) {
            return Some(fields(name, &[], value));
        }
        if ["match", "unless"].contains(&name) {
            let problem = format!("`{name}` is of rules");
            return key.wrong(problem, "here are attributes alone, all of which must fit");
        }
        Some(vec![matcher(attribute(key), key, value)?])
    })?;
    Some(matchers.into_iter().flatten().collect())
}

fn attribute(key: Key<'_>) -> Option<Attribute> {
    let name = key.text();
    Attribute::parse(name).or_else(|| {
        let (problem, help) = unknown(name);
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
    let elsewhere = OTHER_WORDS.iter().find(|(other, _)| *other == name).map(|(_, ours)| *ours);
    let help = match elsewhere.or_else(|| words::nearest(name, Attribute::NAMES)) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!(
            "an event has {}, `node_meta.<key>`, `service_meta.<key>`, `value.<path>` and `old_value.<path>`",
            words::keys(Attribute::NAMES)
        ),
    };
    (format!("unknown attribute `{name}`"), help)
}

/// Is it a table of the fields of a JSON value? A pattern has none but its own words, and no tables.
fn is_of_fields(entry: Entry<'_>) -> bool {
    let is_field = |table: &DeTable<'_>| {
        table.iter().any(|(key, value)| {
            !pattern::WORDS.contains(&key.get_ref().as_ref()) || matches!(value.get_ref(), DeValue::Table(_))
        })
    };
    matches!(entry.value(), DeValue::Table(table) if is_field(table))
}

/// The conditions on the fields of a JSON value, at whatever depth.
fn fields(name: &str, path: &[String], entry: Entry<'_>) -> Vec<Placed> {
    let below = entry.map("a table of fields and patterns", |key, value| {
        let path = [path, &[key.text().to_owned()]].concat();
        if is_of_fields(value) {
            return Some(fields(name, &path, value));
        }
        // A misspelt pattern would be taken for a field that no value has.
        if !matches!(value.value(), DeValue::Table(_)) && words::nearest(key.text(), pattern::WORDS).is_some()
        {
            let whole = format!("{name}.{}", path.join("."));
            return key.wrong(
                format!("`{}` is read as a field of `{name}` here, and looks like a pattern", key.text()),
                format!("write {whole:?} in quotes if it is a field; a pattern has nothing else beside it"),
            );
        }
        Some(vec![matcher(Attribute::at(name, path), key, value)?])
    });
    below.into_iter().flatten().flatten().collect()
}

fn matcher(attribute: Option<Attribute>, key: Key<'_>, entry: Entry<'_>) -> Option<Placed> {
    let pattern = pattern(attribute.as_ref(), entry)?;
    Some((Matcher { attribute: attribute?, pattern }, key.place()))
}
