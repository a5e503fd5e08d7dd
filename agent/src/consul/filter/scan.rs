//! The small parts of a filter expression: spaces, words, names, numbers and texts.
//!
//! Boundary: where a part ends and whether it is whole, not what it means.

use super::{FilterError, SHOWN_MAX};

const SPACE: &str = "a space";
const NAME: &str = "a name: letters, digits and `_`, beginning with a letter";
const INDEX: &str = "a text in quotes, as in `Meta[\"team\"]`";
const INDEX_END: &str = "`]`";
const NUMBER: &str =
    "a number, such as `8080` or `-1.5`, with a space after it; other values belong in quotes";
const TEXT_END: &str = "a text with the same quote at its end";
const ESCAPE: &str = "an escape, such as `\\\\` or `\\n`; a text with `\"` in it belongs in backquotes";
const LINE_END: &str = "the text in one line, or in backquotes";

/// A place in a text.
#[derive(Clone, Copy)]
pub(super) struct Scan<'t> {
    text: &'t str,
    /// In bytes.
    at: usize,
}

/// What can stand on either side of an operator.
#[derive(Clone, Copy)]
pub(super) enum Token<'t> {
    /// The first name of those that dots and brackets join.
    Name(&'t str),
    /// A text in double quotes, without them.
    Quoted(&'t str),
    /// A number, or a text in backquotes.
    Value,
}

impl<'t> Token<'t> {
    /// The first name, if it can be a selector. Newer versions also take `"/Meta/team"`.
    pub(super) fn name(self) -> Option<&'t str> {
        match self {
            Self::Name(name) => Some(name),
            Self::Quoted(text) => {
                let parts = text.strip_prefix('/')?;
                let fits = |c: char| c.is_alphanumeric() || "-_.~:|".contains(c);
                let sound = parts.split('/').all(|part| !part.is_empty() && part.chars().all(fits));
                sound.then(|| parts.split_once('/').map_or(parts, |(first, _)| first))
            }
            Self::Value => None,
        }
    }
}

impl<'t> Scan<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        Self { text, at: 0 }
    }

    /// Something else should be here.
    pub(super) fn fault(self, right: &str) -> FilterError {
        let word = self.rest().split(is_space).next().unwrap_or_default();
        let mut shown: String = word.chars().take(SHOWN_MAX).flat_map(show).collect();
        if word.chars().nth(SHOWN_MAX).is_some() {
            shown.push('…');
        }
        let found = match shown.as_str() {
            "" if self.is_over() => "the end".to_owned(),
            "" => "a space".to_owned(),
            word => format!("`{word}`"),
        };
        let before = self.text.get(..self.at).unwrap_or_default();
        FilterError { at: before.chars().count() + 1, found, right: right.to_owned() }
    }

    pub(super) fn is_over(self) -> bool {
        self.rest().is_empty()
    }

    /// Passes over spaces. Were there any?
    pub(super) fn spaces(&mut self) -> bool {
        !self.take_while(is_space).is_empty()
    }

    /// Passes over the spaces that must be here. At the end something else is missing, too, which says more.
    pub(super) fn gap(&mut self) -> Result<(), FilterError> {
        if self.spaces() || self.is_over() { Ok(()) } else { Err(self.fault(SPACE)) }
    }

    /// Passes over `word`, if it is here.
    pub(super) fn eat(&mut self, word: &str) -> bool {
        let is_here = self.rest().starts_with(word);
        if is_here {
            self.at += word.len();
        }
        is_here
    }

    /// Passes over `word` and the spaces that must follow it, if it is here.
    pub(super) fn word(&mut self, word: &str) -> Result<bool, FilterError> {
        let mut next = *self;
        if !next.eat(word) || next.first().is_some_and(is_inner) {
            return Ok(false);
        }
        *self = next;
        self.gap().map(|()| true)
    }

    /// Reads a name, a number or a text; `right` is what else is said to belong here.
    pub(super) fn token(&mut self, right: &str) -> Result<Token<'t>, FilterError> {
        match self.first() {
            Some(c) if c.is_ascii_alphabetic() => self.path().map(Token::Name),
            Some(c) if c == '-' || c.is_ascii_digit() => self.number().map(|()| Token::Value),
            Some('"') => self.quoted().map(Token::Quoted),
            Some('`') => self.enclosed('`').map(|_| Token::Value),
            _ => Err(self.fault(right)),
        }
    }

    /// `Meta.team`, `Meta["team"]`; gives the first name.
    fn path(&mut self) -> Result<&'t str, FilterError> {
        let name = self.take_while(is_inner);
        loop {
            if self.eat(".") {
                let part = match self.first() {
                    Some(c) if c.is_ascii_alphabetic() => self.take_while(is_inner),
                    // Newer versions take the place in a list.
                    _ => self.take_while(|c| c.is_ascii_digit()),
                };
                if part.is_empty() {
                    return Err(self.fault(NAME));
                }
            } else if self.eat("[") {
                self.index()?;
            } else {
                return Ok(name);
            }
        }
    }

    fn index(&mut self) -> Result<(), FilterError> {
        self.spaces();
        match self.first() {
            Some('"') => self.quoted()?,
            Some('`') => self.enclosed('`')?,
            _ => return Err(self.fault(INDEX)),
        };
        self.spaces();
        if self.eat("]") { Ok(()) } else { Err(self.fault(INDEX_END)) }
    }

    fn number(&mut self) -> Result<(), FilterError> {
        let before = *self;
        self.eat("-");
        let whole = self.take_while(|c| c.is_ascii_digit());
        let is_whole = whole == "0" || (!whole.is_empty() && !whole.starts_with('0'));
        let is_exact = !self.eat(".") || !self.take_while(|c| c.is_ascii_digit()).is_empty();
        let is_over = self.first().is_none_or(|c| is_space(c) || c == ')');
        if is_whole && is_exact && is_over { Ok(()) } else { Err(before.fault(NUMBER)) }
    }

    /// A text in double quotes, whose escapes are those of Go.
    fn quoted(&mut self) -> Result<&'t str, FilterError> {
        let mut inside = *self;
        let text = self.enclosed('"')?;
        inside.eat("\"");
        let end = inside.at + text.len();
        while inside.at < end {
            let before = inside;
            if inside.eat("\n") {
                return Err(before.fault(LINE_END));
            }
            if !inside.eat("\\") {
                inside.take_while(|c| c != '\\' && c != '\n');
            } else if !inside.escape() {
                return Err(before.fault(ESCAPE));
            }
        }
        Ok(text)
    }

    /// What follows a `\`. The quote at the end of the text fits none of it.
    fn escape(&mut self) -> bool {
        let Some(kind) = self.rest().chars().next() else { return false };
        let (skipped, digits, radix, max) = match kind {
            'a' | 'b' | 'f' | 'n' | 'r' | 't' | 'v' | '\\' => (1, 0, 16, 0),
            'x' => (1, 2, 16, 0xFF),
            'u' => (1, 4, 16, 0xFFFF),
            'U' => (1, 8, 16, 0x0010_FFFF),
            '0'..='7' => (0, 3, 8, 0xFF),
            _ => return false,
        };
        self.at += skipped;
        let Some(code) = self.rest().get(..digits) else { return false };
        self.at += digits;
        let is_written = code.chars().all(|c| c.is_digit(radix));
        digits == 0 || (is_written && u32::from_str_radix(code, radix).is_ok_and(|code| code <= max))
    }

    /// All between two of the same quote.
    fn enclosed(&mut self, quote: char) -> Result<&'t str, FilterError> {
        let before = *self;
        self.at += quote.len_utf8();
        let text = self.take_while(|c| c != quote);
        if self.is_over() {
            return Err(before.fault(TEXT_END));
        }
        self.at += quote.len_utf8();
        Ok(text)
    }

    fn rest(self) -> &'t str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn first(self) -> Option<char> {
        self.rest().chars().next()
    }

    fn take_while(&mut self, fits: impl Fn(char) -> bool) -> &'t str {
        let rest = self.rest();
        let length = rest.find(|c| !fits(c)).unwrap_or(rest.len());
        self.at += length;
        rest.get(..length).unwrap_or_default()
    }
}

fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\r' | '\n')
}

/// Newer versions take a slash inside of a name.
fn is_inner(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == '/'
}

fn show(c: char) -> impl Iterator<Item = char> {
    let escaped = c.is_control().then(|| c.escape_default());
    let plain = escaped.is_none().then_some(c);
    escaped.into_iter().flatten().chain(plain)
}
