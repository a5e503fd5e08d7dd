//! Makes a guest's words safe to show: on one line, and not too many.
//!
//! Invariant: what leaves this module holds no control characters and none that turn the direction of writing, so a guest can
//! neither fake a line of the log, nor move a terminal's cursor, nor have one text read as another.

use lictor_capability::is_plain;

/// Bytes of a receipt or a failure's reason that are kept. They go into the record and into one log line.
pub(crate) const WORDS: usize = 4 << 10;

/// What stands where text was cut off.
const CUT: &str = " […]";

/// The text on one line, without control characters, and at most `max` bytes of it (plus a mark).
pub(crate) fn one_line(text: &str, max: usize) -> String {
    let text = text.trim();
    let kept = cut(text, max);
    let mut line: String = kept.chars().map(|c| if is_plain(c) { c } else { ' ' }).collect();
    if kept.len() < text.len() {
        line.push_str(CUT);
    }
    line
}

/// The longest beginning of `text` that has at most `max` bytes and ends between characters.
pub(crate) fn cut(text: &str, max: usize) -> &str {
    &text[..text.floor_char_boundary(max)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, max: usize, want: &str) {
        assert_eq!(one_line(text, max), want);
    }

    #[test]
    fn a_guests_words_become_one_short_harmless_line() {
        check(" said\n", 80, "said");
        check("one\ntwo\r\x1b[31mred", 80, "one two  [31mred");
        check("/var/\u{202e}gol", 80, "/var/ gol");
        check("abcdef", 6, "abcdef");
        check("abcdefg", 6, "abcdef […]");
        check("äöü", 3, "ä […]");
        check("", 0, "");
    }
}
