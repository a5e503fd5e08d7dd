//! Patterns: text in which each `*` stands for any characters, also none. Nothing else is special.
//!
//! Boundary: pure. What a `*` must not reach across (a path segment, an `@`) is for the caller, who
//! cuts the text there first.
//!
//! Invariant: a `*` in the matched text is matched by a `*` of the pattern only. So a pattern that
//! matches another pattern's text covers everything that the other one does.

use std::fmt;

/// The sign that stands for any characters.
pub(crate) const ANY: char = '*';

/// Text, exact but for its `*`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pattern(String);

impl Pattern {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// Has no `*`.
    pub(crate) fn is_exact(&self) -> bool {
        !self.0.contains(ANY)
    }

    /// Whether the whole text fits.
    ///
    /// Each part between two `*` is taken at its first place: a later one could only leave less room
    /// for the rest. So the time is bounded by the product of the lengths.
    pub(crate) fn matches(&self, text: &str) -> bool {
        let Some((first, rest)) = self.0.split_once(ANY) else { return self.0 == text };
        let Some(mut text) = text.strip_prefix(first) else { return false };
        let (middle, last) = rest.rsplit_once(ANY).unwrap_or(("", rest));
        for part in middle.split(ANY) {
            let Some(at) = text.find(part) else { return false };
            text = &text[at + part.len()..];
        }
        text.ends_with(last)
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(pattern: &str, text: &str, want: bool) {
        assert_eq!(Pattern::new(pattern).matches(text), want, "{pattern:?} on {text:?}");
    }

    #[test]
    fn a_star_stands_for_any_characters() {
        check("", "", true);
        check("", "a", false);
        check("web", "web", true);
        check("web", "web1", false);
        check("*", "", true);
        check("*", "a/b c\n", true);
        check("web*", "web1", true);
        check("web*", "we", false);
        check("*.log", "a.log", true);
        check("*.log", "a.log2", false);
        check("a*a", "a", false);
        check("a*a", "aa", true);
        check("a*b*c", "a-b-b-c", true);
        check("a*b*c", "a-c-b", false);
        check("a**c", "ac", true);
        check("*ab*ab", "ab", false);
        check("ü*", "übel", true);
    }

    #[test]
    fn a_star_in_the_text_needs_a_star_in_the_pattern() {
        check("a*", "a*", true);
        check("a", "*", false);
        check("ab*", "a*", false);
        check("a*", "a*b*", true);
    }

    /// The definition, character by character.
    fn slow(pattern: &[u8], text: &[u8]) -> bool {
        match (pattern, text) {
            ([], []) => true,
            ([b'*', rest @ ..], _) => (0..=text.len()).any(|skip| slow(rest, &text[skip..])),
            ([p, pattern @ ..], [t, text @ ..]) => p == t && slow(pattern, text),
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn agrees_with_the_definition(pattern in "[ab*]{0,7}", text in "[ab*]{0,9}") {
            let want = slow(pattern.as_bytes(), text.as_bytes());
            prop_assert_eq!(Pattern::new(pattern).matches(&text), want);
        }

        #[test]
        fn covering_a_pattern_is_covering_what_it_matches(
            outer in "[ab*]{0,6}", inner in "[ab*]{0,5}", text in "[ab]{0,7}"
        ) {
            let (outer, inner) = (Pattern::new(outer), Pattern::new(inner));
            prop_assert!(!outer.matches(inner.as_str()) || !inner.matches(&text) || outer.matches(&text));
        }
    }
}
