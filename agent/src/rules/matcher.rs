//! One condition of a rule: an attribute of an event, and the pattern that it must fit.
//!
//! Invariant: an attribute that an event does not have fits no pattern.

use std::fmt;

use globset::{GlobBuilder, GlobMatcher};
use regex::Regex;

use crate::catalog::CheckStatus;
use crate::event::{Event, NodeRole};

/// The most memory that one compiled regular expression may take, in bytes.
///
/// Enough for hundreds of alternatives; a pattern such as `(.{1000}){1000}` is refused instead of
/// taking the node's memory.
const REGEX_SIZE_MAX: usize = 1 << 20;

/// What a rule can look at. The names are those of the event's data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Attribute {
    /// The node that the check belongs to.
    Node,
    /// One entry of that node's metadata.
    NodeMeta(String),
    /// The node's datacenter.
    Datacenter,
    /// The check's id, unique on its node.
    CheckId,
    /// What a person called the check.
    CheckName,
    /// The id of the check's service.
    ServiceId,
    /// The name of the check's service.
    Service,
    /// The tags of the service: one that fits is enough.
    ServiceTags,
    /// The result before.
    From,
    /// The result now.
    To,
    /// What the check said.
    Output,
    /// What a person wrote about the check.
    Notes,
    /// The check has not run since it was registered.
    Initial,
    /// It happened while Lictor was away.
    CatchUp,
    /// Where this is.
    Environment,
    /// What the node is for the service.
    NodeRole,
    /// The receiver that did not get a delivery.
    Receiver,
    /// How its last attempt ended.
    Outcome,
}

/// What a value must look like.
#[derive(Clone, Debug)]
pub enum Pattern {
    /// Exactly one of these.
    Any(Vec<String>),
    /// Exactly this.
    Flag(bool),
    /// `*`, `?`, `[…]` and `{a,b}`; `*` also covers `/`.
    Glob(GlobMatcher),
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

/// The value of an attribute.
enum Value<'a> {
    Missing,
    Text(&'a str),
    List(&'a [String]),
    Flag(bool),
}

impl Matcher {
    /// Does `event` have the attribute, and does it fit the pattern?
    pub fn holds(&self, event: &Event) -> bool {
        match self.attribute.of(event) {
            Value::Missing => false,
            Value::Text(text) => self.pattern.fits(text),
            Value::List(list) => list.iter().any(|text| self.pattern.fits(text)),
            Value::Flag(flag) => matches!(self.pattern, Pattern::Flag(wanted) if wanted == flag),
        }
    }
}

impl Attribute {
    /// The names that rules use; besides them there is `node_meta.<key>`.
    pub const NAMES: [&str; 17] = [
        "node",
        "datacenter",
        "check_id",
        "check_name",
        "service_id",
        "service",
        "service_tags",
        "from",
        "to",
        "output",
        "notes",
        "initial",
        "catch_up",
        "environment",
        "node_role",
        "receiver",
        "outcome",
    ];

    /// The attribute of that name, if there is one.
    pub fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "node" => Self::Node,
            "datacenter" => Self::Datacenter,
            "check_id" => Self::CheckId,
            "check_name" => Self::CheckName,
            "service_id" => Self::ServiceId,
            "service" => Self::Service,
            "service_tags" => Self::ServiceTags,
            "from" => Self::From,
            "to" => Self::To,
            "output" => Self::Output,
            "notes" => Self::Notes,
            "initial" => Self::Initial,
            "catch_up" => Self::CatchUp,
            "environment" => Self::Environment,
            "node_role" => Self::NodeRole,
            "receiver" => Self::Receiver,
            "outcome" => Self::Outcome,
            _ => Self::NodeMeta(name.strip_prefix("node_meta.").filter(|key| !key.is_empty())?.into()),
        })
    }

    /// Can `pattern` ever fit a value of this attribute? The error says what would.
    pub fn check(&self, pattern: &Pattern) -> Result<(), String> {
        let flag = matches!(self, Self::Initial | Self::CatchUp);
        match pattern {
            Pattern::Flag(_) if !flag => Err("it is a text, not true or false".into()),
            Pattern::Flag(_) => Ok(()),
            _ if flag => Err("it is true or false".into()),
            Pattern::Any(words) => self.check_words(words),
            Pattern::Glob(_) | Pattern::Regex(_) | Pattern::Prefix(_) => Ok(()),
        }
    }

    fn check_words(&self, words: &[String]) -> Result<(), String> {
        let known: Vec<&str> = match self {
            Self::From | Self::To => CheckStatus::ALL.map(CheckStatus::as_str).into(),
            Self::NodeRole => NodeRole::ALL.map(NodeRole::as_str).into(),
            _ => return Ok(()),
        };
        match words.iter().find(|word| !known.contains(&word.as_str())) {
            Some(word) => Err(format!("{word:?} is none of {}", known.join(", "))),
            None => Ok(()),
        }
    }

    /// The value that `event` has of it, for a person: in quotes, a list in brackets.
    pub fn text(&self, event: &Event) -> Option<String> {
        match self.of(event) {
            Value::Missing => None,
            Value::Text(text) => Some(format!("{text:?}")),
            Value::List(list) => Some(format!("{list:?}")),
            Value::Flag(flag) => Some(flag.to_string()),
        }
    }

    fn of<'a>(&self, event: &'a Event) -> Value<'a> {
        let data = &event.data;
        match self {
            Self::Node => Value::Text(&data.node),
            Self::NodeMeta(key) => data.node_meta.get(key).map_or(Value::Missing, |text| Value::Text(text)),
            Self::Datacenter => Value::Text(&data.datacenter),
            Self::CheckId => Value::Text(&data.check_id),
            Self::CheckName => Value::Text(&data.check_name),
            // A check of the node itself belongs to no service.
            Self::ServiceId | Self::Service | Self::ServiceTags if data.service_id.is_empty() => {
                Value::Missing
            }
            Self::ServiceId => Value::Text(&data.service_id),
            Self::Service => Value::Text(&data.service),
            Self::ServiceTags => Value::List(&data.service_tags),
            Self::From => data.from.map_or(Value::Missing, |status| Value::Text(status.as_str())),
            Self::To => data.to.map_or(Value::Missing, |status| Value::Text(status.as_str())),
            Self::Output => Value::Text(&data.output),
            Self::Notes => Value::Text(&data.notes),
            Self::Initial => Value::Flag(data.initial),
            Self::CatchUp => Value::Flag(data.catch_up),
            Self::Environment if data.environment.is_empty() => Value::Missing,
            Self::Environment => Value::Text(&data.environment),
            Self::NodeRole => Value::Text(data.node_role.as_str()),
            Self::Receiver => {
                data.delivery.as_ref().map_or(Value::Missing, |dead| Value::Text(&dead.receiver))
            }
            Self::Outcome => data.delivery.as_ref().map_or(Value::Missing, |dead| Value::Text(&dead.outcome)),
        }
    }
}

impl fmt::Display for Attribute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NodeMeta(key) => write!(f, "node_meta.{key}"),
            named => {
                let name = Self::NAMES.iter().find(|name| Self::parse(name).as_ref() == Some(named));
                f.write_str(name.copied().unwrap_or_default())
            }
        }
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
            Self::Flag(flag) => write!(f, "{flag}"),
            Self::Glob(glob) => write!(f, "{{ glob = {:?} }}", glob.glob().glob()),
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
        glob.map(|glob| Self::Glob(glob.compile_matcher()))
            .map_err(|error| PatternError(error.kind().to_string()))
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

    fn fits(&self, text: &str) -> bool {
        match self {
            Self::Any(words) => words.iter().any(|word| word == text),
            Self::Flag(_) => false,
            Self::Glob(glob) => glob.is_match(text),
            Self::Regex(regex) => regex.is_match(text),
            Self::Prefix(prefix) => text.starts_with(prefix),
        }
    }
}

/// The crate `regex` draws the pattern over several lines and says what is wrong in the last one.
fn last_line(message: &str) -> String {
    let line = message.lines().last().unwrap_or(message);
    line.trim_start_matches("error: ").to_owned()
}
