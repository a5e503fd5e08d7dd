//! One condition of a rule: an attribute of an event, and the pattern that it must fit.
//!
//! Invariant: an attribute that an event does not have fits no pattern, but for the one that wants it not to be there.

use std::fmt;

use globset::{Glob, GlobBuilder};
use regex::Regex;

use serde_json::Value as Json;

use super::facts::Value;
use super::{Attribute, Facts, Number, Range};

/// The most memory that one compiled regular expression may take, in bytes.
///
/// Enough for hundreds of alternatives; a pattern such as `(.{1000}){1000}` is refused instead of
/// taking the node's memory.
const REGEX_SIZE_MAX: usize = 1 << 20;

/// What a value must look like.
#[derive(Clone, Debug)]
pub enum Pattern {
    /// Exactly one of these; a list has one of them.
    Any(Vec<String>),
    /// A list has each of these.
    All(Vec<String>),
    /// One of these numbers.
    Numbers(Vec<Number>),
    /// A number between two others.
    Range(Range),
    /// It is there, or it is not there.
    Present(bool),
    /// Exactly this.
    Flag(bool),
    /// `*`, `?`, `[…]` and `{a,b}`; `*` also covers `/`.
    Glob(Glob, regex::bytes::Regex),
    /// Over the whole value, from its beginning to its end.
    Regex(Regex),
    /// The beginning of the value.
    Prefix(String),
}

/// A pattern that cannot be read. The text says why.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct PatternError(String);

/// One condition of a rule.
#[derive(Clone, Debug)]
pub struct Matcher {
    /// What is looked at.
    pub attribute: Attribute,
    /// What it must look like.
    pub pattern: Pattern,
}

impl Matcher {
    /// Reads `service=web`, or `node=~web.*` with a regular expression, as a person writes it on a command line.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        let error = |why: String| PatternError(format!("read the matcher {text:?}: {why}"));
        let (name, value) =
            text.split_once('=').ok_or_else(|| error("write attribute=value or attribute=~regex".into()))?;
        if value.is_empty() || value == "~" {
            return Err(error("there is no value".into()));
        }
        let attribute = Attribute::parse(name).ok_or_else(|| error(format!("unknown attribute {name:?}")))?;
        let pattern = match (value.strip_prefix('~'), value) {
            (Some(regex), _) => Pattern::regex(regex).map_err(|why| error(why.to_string()))?,
            (None, "true" | "false") if attribute.check(&Pattern::Flag(true)).is_ok() => {
                Pattern::Flag(value == "true")
            }
            (None, value) => Pattern::Any(vec![value.to_owned()]),
        };
        attribute.check(&pattern).map_err(error)?;
        Ok(Self { attribute, pattern })
    }

    /// Does the event have the attribute, and does it fit the pattern?
    pub(super) fn holds(&self, facts: &Facts<'_>) -> bool {
        self.pattern.fits(&facts.value(&self.attribute))
    }
}

/// As the configuration writes it.
impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any(words) => match &words[..] {
                [word] => write!(f, "{word:?}"),
                words => write!(f, "one of {words:?}"),
            },
            Self::All(words) => write!(f, "{{ all = {words:?} }}"),
            Self::Numbers(numbers) => {
                let shown: Vec<_> = numbers.iter().map(ToString::to_string).collect();
                match &shown[..] {
                    [number] => f.write_str(number),
                    numbers => write!(f, "one of [{}]", numbers.join(", ")),
                }
            }
            Self::Range(range) => write!(f, "{range}"),
            Self::Present(present) => write!(f, "{{ present = {present} }}"),
            Self::Flag(flag) => write!(f, "{flag}"),
            Self::Glob(glob, _) => write!(f, "{{ glob = {:?} }}", glob.glob()),
            Self::Regex(regex) => {
                let text = regex.as_str();
                let inner = text.strip_prefix(r"\A(?:").and_then(|text| text.strip_suffix(r")\z"));
                write!(f, "{{ regex = {:?} }}", inner.unwrap_or(text))
            }
            Self::Prefix(prefix) => write!(f, "{{ prefix = {prefix:?} }}"),
        }
    }
}

impl Pattern {
    /// A glob over the whole value.
    pub fn glob(text: &str) -> Result<Self, PatternError> {
        let glob = GlobBuilder::new(text).literal_separator(false).backslash_escape(true).build();
        let glob = glob.map_err(|error| PatternError(error.kind().to_string()))?;
        // The crate's own matcher looks at each value as a path first, which takes most of its time.
        let regex = regex::bytes::RegexBuilder::new(glob.regex())
            .dot_matches_new_line(true)
            .size_limit(REGEX_SIZE_MAX)
            .build()
            .map_err(|error| PatternError(last_line(&error.to_string())))?;
        Ok(Self::Glob(glob, regex))
    }

    /// A regular expression over the whole value, matched in linear time.
    pub fn regex(text: &str) -> Result<Self, PatternError> {
        // The text must be whole by itself: `a)|(b` would break out of the group around it.
        let build = |text: &str| regex::RegexBuilder::new(text).size_limit(REGEX_SIZE_MAX).build();
        build(text)
            .and_then(|_| build(&format!(r"\A(?:{text})\z")))
            .map(Self::Regex)
            .map_err(|error| PatternError(last_line(&error.to_string())))
    }

    /// The beginning of a value.
    pub fn prefix(text: &str) -> Self {
        Self::Prefix(text.into())
    }

    fn fits(&self, value: &Value<'_>) -> bool {
        match (self, value) {
            (Self::Present(wanted), value) => *wanted == value.is_there(),
            (Self::All(words), Value::List(list)) => words.iter().all(|word| list.contains(word)),
            (_, Value::List(list)) => list.iter().any(|text| self.fits_text(text)),
            (Self::Numbers(_) | Self::Range(_), Value::Text(text)) => {
                Number::read(text).is_some_and(|number| self.fits_number(number))
            }
            (_, Value::Text(text)) => self.fits_text(text),
            (_, Value::Count(number)) => {
                self.fits_number(i128::from(*number).into()) || self.fits_text(&number.to_string())
            }
            (_, Value::Share(share)) => {
                Number::from_float(*share).is_some_and(|share| self.fits_number(share))
            }
            (Self::Flag(wanted), Value::Flag(flag)) => wanted == flag,
            (_, Value::Missing | Value::Flag(_)) => false,
            (_, Value::Json(json)) => self.fits_json(json),
        }
    }

    /// Texts, numbers and flags are three different things in JSON, and of a list one that fits is enough.
    fn fits_json(&self, json: &Json) -> bool {
        match (self, json) {
            (Self::All(words), Json::Array(items)) => {
                words.iter().all(|word| items.iter().any(|item| item.as_str() == Some(word)))
            }
            (_, Json::Array(items)) => items.iter().any(|item| !item.is_array() && self.fits_json(item)),
            (Self::Flag(wanted), Json::Bool(flag)) => wanted == flag,
            (_, Json::String(text)) => self.fits_text(text),
            (_, Json::Number(number)) => {
                Number::of_json(number).is_some_and(|number| self.fits_number(number))
            }
            _ => false,
        }
    }

    fn fits_number(&self, number: Number) -> bool {
        match self {
            Self::Numbers(numbers) => numbers.contains(&number),
            Self::Range(range) => range.contains(number),
            _ => false,
        }
    }

    /// Does a text fit it?
    pub fn fits_text(&self, text: &str) -> bool {
        match self {
            Self::Any(words) => words.iter().any(|word| word == text),
            Self::Glob(_, regex) => regex.is_match(text.as_bytes()),
            Self::Regex(regex) => regex.is_match(text),
            Self::Prefix(prefix) => text.starts_with(prefix),
            Self::All(_) | Self::Numbers(_) | Self::Range(_) | Self::Present(_) | Self::Flag(_) => false,
        }
    }
}

/// The crate `regex` draws the pattern over several lines and says what is wrong in the last one.
fn last_line(message: &str) -> String {
    let line = message.lines().last().unwrap_or(message);
    line.trim_start_matches("error: ").to_owned()
}
