//! The text of a refusal: what was asked, and the line of TOML that would grant it.
//!
//! Boundary: words only; who is refused is decided by each capability.
//!
//! Invariant: the line is valid TOML whatever the guest wrote, so a person can paste it.

use std::fmt::Display;

use crate::CallError;

/// Bytes of a refusal that are kept. A guest chooses what is quoted in it, and it goes to the log.
const MAX_TEXT: usize = 4096;

/// Bytes of them that say what was asked, so that the line is seen however much that is.
const MAX_WHAT: usize = 300;

/// Bytes of a line that is shown; a part of one is none.
const MAX_LINE: usize = 3000;

/// Says what is not granted and what `line` would grant it.
pub(crate) fn refused(what: impl Display, line: impl Display) -> CallError {
    let (what, mut line) = (shorten(&what.to_string(), MAX_WHAT), line.to_string());
    if line.len() > MAX_LINE {
        line = too_long(line.split(" =").next().unwrap_or_default());
    }
    CallError::Refused(shorten(&format!("{what} is not granted; it would be with: {line}"), MAX_TEXT))
}

/// The line that grants one thing more: with `granted` ones, which it must not take away, an item beside them.
pub(crate) fn one_more<G>(key: &str, granted: &[G], item: &str) -> String {
    match granted {
        [] => format!("{key} = [{item}]"),
        [..] if item.len() > MAX_LINE => too_long(key),
        [..] => format!("{item} as one more item of {key}"),
    }
}

fn too_long(key: &str) -> String {
    format!("{key} for it, which is too long to be shown")
}

/// What is to be said before texts that are patterns in a grant, and whose line grants more than was asked.
pub(crate) fn widely<T: AsRef<str>>(texts: impl IntoIterator<Item = T>) -> &'static str {
    let is_pattern = texts.into_iter().any(|text| text.as_ref().contains('*'));
    if is_pattern { ", with all that `*` takes in a grant," } else { "" }
}

/// The first `limit` bytes, marked where something was cut off.
pub(crate) fn shorten(text: &str, limit: usize) -> String {
    if text.len() <= limit {
        return text.to_owned();
    }
    format!("{}…", &text[..text.floor_char_boundary(limit)])
}

/// The text without what a terminal would obey: each control character, and each that turns the direction of writing, as
/// an escape.
pub(crate) fn plain(text: &str) -> String {
    let shown = |c: char| if is_plain(c) { c.to_string() } else { c.escape_unicode().to_string() };
    text.chars().map(shown).collect()
}

/// Whether a character shows as itself, and has no say in how those beside it are shown.
pub fn is_plain(c: char) -> bool {
    const TURNS: [std::ops::RangeInclusive<char>; 4] =
        ['\u{61c}'..='\u{61c}', '\u{200b}'..='\u{200f}', '\u{2028}'..='\u{202e}', '\u{2066}'..='\u{2069}'];
    !c.is_control() && !TURNS.iter().any(|turns| turns.contains(&c))
}

/// A TOML string.
pub(crate) fn quote(text: &str) -> String {
    let escaped = |c: char| match c {
        '"' | '\\' => format!("\\{c}"),
        '\n' => "\\n".to_owned(),
        c if !is_plain(c) => format!("\\u{:04X}", u32::from(c)),
        c => c.to_string(),
    };
    format!("\"{}\"", text.chars().map(escaped).collect::<String>())
}

/// A TOML array of strings.
pub(crate) fn quote_all<T: AsRef<str>>(texts: impl IntoIterator<Item = T>) -> String {
    let quoted: Vec<String> = texts.into_iter().map(|text| quote(text.as_ref())).collect();
    format!("[{}]", quoted.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quoted_text_is_valid_toml() {
        assert_eq!(quote("/var/log/x"), r#""/var/log/x""#);
        assert_eq!(quote("a\"b\\c\nd\u{1b}e\u{85}ü"), r#""a\"b\\c\nd\u001Be\u0085ü""#);
        assert_eq!(quote("/var/\u{202e}gol"), r#""/var/\u202Egol""#, "it would be read as another path");
        assert_eq!(quote_all(["a", "b c"]), r#"["a", "b c"]"#);
        assert_eq!(quote_all::<&str>([]), "[]");
    }

    #[test]
    fn a_line_takes_no_grant_away() {
        assert_eq!(one_more::<()>("allow.kv", &[], "\"a\""), "allow.kv = [\"a\"]");
        assert_eq!(one_more("allow.kv", &[()], "\"a\""), "\"a\" as one more item of allow.kv");
        let long = quote(&"y".repeat(MAX_LINE));
        assert_eq!(one_more("allow.kv", &[()], &long), "allow.kv for it, which is too long to be shown");
    }

    #[test]
    fn a_line_that_grants_more_than_was_asked_says_so() {
        assert_eq!(widely(["/bin/ls", "a"]), "");
        assert!(widely(["/bin/ls", "a*"]).contains("all that `*` takes"));
    }

    #[test]
    fn what_a_terminal_would_obey_is_shown() {
        assert_eq!(plain("a\u{1b}[2J\u{202e}ü\n\u{2028}"), "a\\u{1b}[2J\\u{202e}ü\\u{a}\\u{2028}");
    }

    #[test]
    fn a_long_refusal_is_cut_between_characters() {
        assert_eq!(shorten("aüb", 2), "a…");
        assert_eq!(shorten("aüb", 4), "aüb");
        let text = |what: &str, line: &str| match refused(what, line) {
            CallError::Refused(text) => text,
            other => panic!("{other:?} is no refusal"),
        };
        assert!(text(&"ü".repeat(MAX_TEXT), "x").len() <= MAX_TEXT + '…'.len_utf8());
        let long = format!("allow.kv = [{}]", quote(&"y".repeat(MAX_LINE)));
        assert_eq!(
            text("x", &long),
            "x is not granted; it would be with: allow.kv for it, which is too long to be shown"
        );
    }
}
