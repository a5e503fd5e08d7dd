//! What an attribute must look like: a value, a list of which one is enough, or a table that says how it is compared.

use std::ops::Bound;

use toml::de::DeValue;

use crate::config::reader::{Entry, Table};
use crate::rules::{Attribute, Number, Pattern, PatternError, Range};

/// The keys of a pattern.
pub(super) const WORDS: [&str; 10] =
    ["glob", "regex", "prefix", "any", "all", "present", "gt", "ge", "lt", "le"];

const PATTERNS: &str = r#"write "…", ["…", "…"], 80, [80, 443], true, false, { glob = "…" }, { regex = "…" }, { prefix = "…" }, { all = ["…"] }, { any = ["…"] }, { ge = 1, lt = 9 } or { present = true }"#;

const ALONE: &str = "a pattern has one of `glob`, `regex`, `prefix`, `any`, `all` and `present`, or bounds: `gt` or `ge`, \
                     `lt` or `le`";

/// A pattern that can fit the attribute. Where that is not known, one that can be read.
pub(super) fn pattern(attribute: Option<&Attribute>, entry: Entry<'_>) -> Option<Pattern> {
    let pattern = match entry.value() {
        DeValue::String(_) => Pattern::Any(vec![word(attribute, entry)?]),
        DeValue::Integer(_) | DeValue::Float(_) => Pattern::Numbers(vec![number(entry)?]),
        DeValue::Array(_) => any(attribute, entry)?,
        DeValue::Boolean(flag) => Pattern::Flag(*flag),
        DeValue::Table(_) => entry.table("a pattern", |table| in_table(attribute, table))??,
        DeValue::Datetime(_) => return entry.expected("a pattern", PATTERNS),
    };
    fits(attribute, entry, &pattern)?;
    Some(pattern)
}

/// A list of texts or of numbers.
fn any(attribute: Option<&Attribute>, entry: Entry<'_>) -> Option<Pattern> {
    const WHAT: &str = "a list of texts or of numbers";
    let is_number = |entry: Entry<'_>| matches!(entry.value(), DeValue::Integer(_) | DeValue::Float(_));
    let is_of_numbers = matches!(entry.value(), DeValue::Array(items)
        if items.first().is_some_and(|item| matches!(item.get_ref(), DeValue::Integer(_) | DeValue::Float(_))));
    if is_of_numbers {
        let numbers = |entry: Entry<'_>| {
            entry.some(WHAT, |item| {
                if !is_number(item) {
                    return item
                        .expected("a number as before it", "write two conditions for texts and numbers");
                }
                let found = number(item)?;
                fits(attribute, item, &Pattern::Numbers(vec![found]))?;
                Some(found)
            })
        };
        return entry.sound(numbers).map(Pattern::Numbers);
    }
    texts(attribute, entry, WHAT).map(Pattern::Any)
}

fn texts(attribute: Option<&Attribute>, entry: Entry<'_>, what: &str) -> Option<Vec<String>> {
    entry.sound(|entry| entry.some(what, |item| word(attribute, item)))
}

/// One of the texts that an attribute may have; checked alone, so that the fault is under that text.
fn word(attribute: Option<&Attribute>, entry: Entry<'_>) -> Option<String> {
    let word = entry.string()?;
    fits(attribute, entry, &Pattern::Any(vec![word.clone()]))?;
    Some(word)
}

fn number(entry: Entry<'_>) -> Option<Number> {
    match entry.value() {
        DeValue::Integer(number) => match i128::from_str_radix(number.as_str(), number.radix()) {
            Ok(number) => Some(number.into()),
            Err(_) => entry.wrong("this number is too large", "no attribute has such a number"),
        },
        DeValue::Float(number) => match number.as_str().parse().ok().and_then(Number::from_float) {
            Some(number) => Some(number),
            None => entry.wrong("no attribute has this number", "write a finite number"),
        },
        _ => entry.expected("a number", "write it without quotes: 80"),
    }
}

fn fits(attribute: Option<&Attribute>, entry: Entry<'_>, pattern: &Pattern) -> Option<()> {
    let Some(attribute) = attribute else { return Some(()) };
    match attribute.check(pattern) {
        Ok(()) => Some(()),
        Err(why) => entry.wrong(format!("`{attribute}` never fits this"), why),
    }
}

/// A table with one of the words, or with bounds.
fn in_table(attribute: Option<&Attribute>, table: &mut Table<'_>) -> Option<Pattern> {
    let glob =
        table.entry("glob").map(|entry| written(entry, Pattern::glob, "write a glob, such as \"web-*\""));
    let regex = table
        .entry("regex")
        .map(|entry| written(entry, Pattern::regex, "write a regular expression, such as \"web[0-9]+\""));
    let prefix = table.entry("prefix").map(|entry| entry.string().map(|text| Pattern::prefix(&text)));
    let any = table.entry("any").map(|entry| any(attribute, entry));
    let all = table.entry("all").map(|entry| {
        let words = |entry: Entry<'_>| entry.some("a list of texts", |item| word(attribute, item));
        entry.sound(words).map(Pattern::All)
    });
    let present = table.entry("present").map(|entry| entry.flag().map(Pattern::Present));
    let (is_range, range) = range(table);
    let range = is_range.then_some(range);
    let mut found = [glob, regex, prefix, any, all, present, range].into_iter().flatten();
    match (found.next(), found.next()) {
        (Some(pattern), None) => pattern,
        // Its key is unknown, and told as such.
        (None, _) if !table.is_empty() => None,
        _ => table.wrong(ALONE, "write { glob = \"…\" } or { ge = 1, lt = 9 }, for example"),
    }
}

/// Whether there is a bound, and what they are if they can be read.
fn range(table: &mut Table<'_>) -> (bool, Option<Pattern>) {
    let [gt, ge, lt, le] =
        ["gt", "ge", "lt", "le"].map(|word| table.entry(word).map(|entry| entry.sound(number)));
    table.exclude("gt", "ge");
    table.exclude("lt", "le");
    if [gt, ge, lt, le].iter().all(Option::is_none) {
        return (false, None);
    }
    let bound =
        |excluded: Option<Option<Number>>, included: Option<Option<Number>>| match (excluded, included) {
            (None, None) => Some(Bound::Unbounded),
            (Some(at), None) => at.map(Bound::Excluded),
            (None, Some(at)) => at.map(Bound::Included),
            (Some(_), Some(_)) => None,
        };
    let (from, to) = (bound(gt, ge), bound(lt, le));
    (true, from.zip(to).map(|(from, to)| Pattern::Range(Range { from, to })))
}

fn written(
    entry: Entry<'_>,
    parse: fn(&str) -> Result<Pattern, PatternError>,
    help: &str,
) -> Option<Pattern> {
    let text = entry.string()?;
    match parse(&text) {
        Ok(pattern) => {
            if let Some(fits) = everything(&pattern) {
                entry.warn(format!("this fits {fits}"), "write { present = true } if it must only be there");
            }
            Some(pattern)
        }
        Err(error) => entry.wrong(format!("failed to read this pattern: {error}"), help),
    }
}

/// What a pattern fits, where it says no more than that there is a value. It is tried, since there are many ways to write
/// that: no pattern of a person fits nothing, all characters of the living scripts in one line, and not everything.
fn everything(pattern: &Pattern) -> Option<&'static str> {
    if !["", "0", " "].iter().all(|text| pattern.fits_text(text)) {
        return None;
    }
    let line: String = ('\u{1}'..'\u{ffff}').filter(|character| !character.is_whitespace()).collect();
    let fits_line = pattern.fits_text(&line);
    let fits_lines = || pattern.fits_text(&format!("\n{line}\n \n"));
    fits_line.then(|| if fits_lines() { "every value" } else { "every value of one line" })
}
