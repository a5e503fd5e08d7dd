//! The text of a refusal: what was asked, and the line of TOML that would grant it.
//!
//! Boundary: words only; who is refused is decided by each capability.
//!
//! Invariant: the line is valid TOML whatever the guest wrote, so a person can paste it.

use std::fmt::{self, Display, Write as _};

use crate::CallError;

/// Bytes of a refusal that are kept. A guest chooses what is quoted in it, and it goes to the log.
const MAX_TEXT: usize = 4096;

/// Bytes of them that say what was asked, so that the line is seen however much that is.
const MAX_WHAT: usize = 300;

/// Bytes of a line that is shown; a part of one is none.
const MAX_LINE: usize = 3000;

/// Says what is not granted and what `line` would grant it.
pub(crate) fn refused(what: impl Display, line: impl Display) -> CallError {
    let (what, line) = (shorten(what, MAX_WHAT), Beginning::of(line, MAX_LINE));
    let line = match line.text.split(" =").next() {
        Some(key) if !line.is_whole => too_long(key),
        _ => line.text,
    };
    CallError::Refused(shorten(format_args!("{what} is not granted; it would be with: {line}"), MAX_TEXT))
}

/// The line that grants one thing more: with `granted` ones, which it must not take away, an item beside them.
pub(crate) fn one_more<G>(key: &str, granted: &[G], item: impl Display) -> String {
    let Beginning { text: item, is_whole, .. } = Beginning::of(item, MAX_LINE);
    match granted {
        _ if !is_whole => too_long(key),
        [] => format!("{key} = [{item}]"),
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
pub(crate) fn shorten(text: impl Display, limit: usize) -> String {
    let Beginning { mut text, is_whole, .. } = Beginning::of(text, limit);
    if !is_whole {
        text.push('…');
    }
    text
}

/// How a text begins. The rest of it is never made: a guest may have much quoted, and nobody reads it.
struct Beginning {
    text: String,
    limit: usize,
    is_whole: bool,
}

impl Beginning {
    fn of(text: impl Display, limit: usize) -> Self {
        let mut beginning = Self { text: String::new(), limit, is_whole: true };
        // It fails where the text is longer.
        write!(beginning, "{text}").ok();
        beginning
    }
}

impl fmt::Write for Beginning {
    fn write_str(&mut self, more: &str) -> fmt::Result {
        let room = self.limit - self.text.len();
        self.text.push_str(&more[..more.floor_char_boundary(room)]);
        self.is_whole &= more.len() <= room;
        if self.is_whole { Ok(()) } else { Err(fmt::Error) }
    }
}

/// The text without what a terminal would obey: each control character, and each that turns the direction of writing, as
/// an escape.
pub(crate) fn plain(text: &str) -> String {
    let shown = |c: char| if is_plain(c) { c.to_string() } else { c.escape_unicode().to_string() };
    text.chars().map(shown).collect()
}

/// Whether a character shows as itself, and has no say in how those beside it are shown.
pub fn is_plain(c: char) -> bool {
    /// What turns the direction of a text, breaks a line, or is not seen at all.
    const OTHERS: [std::ops::RangeInclusive<char>; 20] = [
        '\u{ad}'..='\u{ad}',
        '\u{34f}'..='\u{34f}',
        '\u{61c}'..='\u{61c}',
        '\u{115f}'..='\u{1160}',
        '\u{17b4}'..='\u{17b5}',
        '\u{180b}'..='\u{180f}',
        '\u{200b}'..='\u{200f}',
        '\u{2028}'..='\u{202e}',
        '\u{2060}'..='\u{206f}',
        '\u{2800}'..='\u{2800}',
        '\u{3164}'..='\u{3164}',
        '\u{fe00}'..='\u{fe0f}',
        '\u{feff}'..='\u{feff}',
        '\u{ffa0}'..='\u{ffa0}',
        '\u{fff0}'..='\u{fffb}',
        '\u{16fe4}'..='\u{16fe4}',
        '\u{1bca0}'..='\u{1bca3}',
        '\u{1d159}'..='\u{1d159}',
        '\u{1d173}'..='\u{1d17a}',
        '\u{e0000}'..='\u{e0fff}',
    ];
    !c.is_control() && !OTHERS.iter().any(|others| others.contains(&c))
}

/// A TOML string, made as it is written, so that one of which only the beginning is shown costs no more.
pub(crate) fn quote(text: &str) -> impl Display {
    fmt::from_fn(move |f| {
        f.write_char('"')?;
        for c in text.chars() {
            match c {
                '"' | '\\' => write!(f, "\\{c}")?,
                '\n' => f.write_str("\\n")?,
                c if !is_plain(c) && c > '\u{ffff}' => write!(f, "\\U{:08X}", u32::from(c))?,
                c if !is_plain(c) => write!(f, "\\u{:04X}", u32::from(c))?,
                c => f.write_char(c)?,
            }
        }
        f.write_char('"')
    })
}

/// A TOML array of strings, made in the same way.
pub(crate) fn quote_all<T: AsRef<str>>(texts: impl IntoIterator<Item = T> + Clone) -> impl Display {
    fmt::from_fn(move |f| {
        f.write_char('[')?;
        for (at, text) in texts.clone().into_iter().enumerate() {
            let comma = if at == 0 { "" } else { ", " };
            write!(f, "{comma}{}", quote(text.as_ref()))?;
        }
        f.write_char(']')
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quoted_text_is_valid_toml() {
        assert_eq!(quote("/var/log/x").to_string(), r#""/var/log/x""#);
        assert_eq!(quote("a\"b\\c\nd\u{1b}e\u{85}ü").to_string(), r#""a\"b\\c\nd\u001Be\u0085ü""#);
        assert_eq!(
            quote("/var/\u{202e}gol").to_string(),
            r#""/var/\u202Egol""#,
            "it would be read as another path"
        );
        assert_eq!(quote_all(["a", "b c"]).to_string(), r#"["a", "b c"]"#);
        assert_eq!(quote_all::<&str>([]).to_string(), "[]");
    }

    #[test]
    fn a_line_takes_no_grant_away() {
        assert_eq!(one_more::<()>("allow.kv", &[], "\"a\""), "allow.kv = [\"a\"]");
        assert_eq!(one_more("allow.kv", &[()], "\"a\""), "\"a\" as one more item of allow.kv");
        let long = "y".repeat(MAX_LINE);
        assert_eq!(
            one_more("allow.kv", &[()], quote(&long)),
            "allow.kv for it, which is too long to be shown"
        );
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
    fn of_what_is_cut_off_nothing_is_made() {
        let made = std::cell::Cell::new(0);
        let texts = (0..1_000_000).map(|number| {
            made.set(made.get() + 1);
            format!("{number}")
        });
        drop(refused(quote_all(texts.clone()), one_more::<()>("allow.kv", &[], quote_all(texts))));
        assert!(made.get() < 2 * MAX_LINE, "{} were made", made.get());
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
