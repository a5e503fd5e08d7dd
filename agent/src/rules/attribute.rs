//! What a rule can look at, and which patterns can fit it.

use std::fmt;
use std::sync::Arc;

use super::number::all_counts;
use super::{Family, Number, Pattern};
use crate::catalog::CheckStatus;
use crate::event::{EventType, NodeRole};

/// What a rule can look at. The names are those of the event's data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Attribute {
    /// The node that it is about.
    Node,
    /// One entry of the metadata of that node.
    NodeMeta(String),
    /// One entry of the metadata of an instance.
    ServiceMeta(String),
    /// The datacenter that was asked.
    Datacenter,
    /// The check's id, unique on its node.
    CheckId,
    /// What a person called the check.
    CheckName,
    /// The id of the instance, or of the check's.
    ServiceId,
    /// The name of the service.
    Service,
    /// The tags of the service: one that fits is enough.
    ServiceTags,
    /// Where an instance is reached.
    Address,
    /// Its port.
    Port,
    /// What is another than before: one that fits is enough.
    Changed,
    /// Consul's identifier of a node.
    NodeId,
    /// Where a node is reached.
    NodeAddress,
    /// A key, whole.
    Key,
    /// Its value, where that is text.
    Value,
    /// Its value before, where that was text.
    OldValue,
    /// What its value has at this path, where that is JSON.
    ValueAt(Arc<[String]>),
    /// What its value before had there.
    OldValueAt(Arc<[String]>),
    /// The number that a client gave it.
    Flags,
    /// The session that holds it.
    Session,
    /// The name of a user event or of a root.
    Name,
    /// A root signs new certificates.
    Active,
    /// What it carries, where that is text.
    Payload,
    /// The name of a watch that cannot be followed.
    Watch,
    /// Why not.
    Reason,
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
    /// Consul wrote the check more often than it showed.
    Coalesced,
    /// The check's result goes to and fro too often.
    Flapping,
    /// The cluster finds the check's node dead.
    NodeFailed,
    /// How many instances of the check's service pass.
    PassingLeft,
    /// Their share of all, from 0 to 1.
    PassingLeftShare,
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

const NAMED: [(&str, Attribute); 37] = [
    ("node", Attribute::Node),
    ("datacenter", Attribute::Datacenter),
    ("check_id", Attribute::CheckId),
    ("check_name", Attribute::CheckName),
    ("service_id", Attribute::ServiceId),
    ("service", Attribute::Service),
    ("service_tags", Attribute::ServiceTags),
    ("address", Attribute::Address),
    ("port", Attribute::Port),
    ("changed", Attribute::Changed),
    ("node_id", Attribute::NodeId),
    ("node_address", Attribute::NodeAddress),
    ("key", Attribute::Key),
    ("value", Attribute::Value),
    ("old_value", Attribute::OldValue),
    ("flags", Attribute::Flags),
    ("session", Attribute::Session),
    ("name", Attribute::Name),
    ("active", Attribute::Active),
    ("payload", Attribute::Payload),
    ("watch", Attribute::Watch),
    ("reason", Attribute::Reason),
    ("from", Attribute::From),
    ("to", Attribute::To),
    ("output", Attribute::Output),
    ("notes", Attribute::Notes),
    ("initial", Attribute::Initial),
    ("coalesced", Attribute::Coalesced),
    ("flapping", Attribute::Flapping),
    ("node_failed", Attribute::NodeFailed),
    ("passing_left", Attribute::PassingLeft),
    ("passing_left_share", Attribute::PassingLeftShare),
    ("catch_up", Attribute::CatchUp),
    ("environment", Attribute::Environment),
    ("node_role", Attribute::NodeRole),
    ("receiver", Attribute::Receiver),
    ("outcome", Attribute::Outcome),
];

impl Attribute {
    /// The names that rules use; besides them there are `node_meta.<key>` and `service_meta.<key>`, and of JSON
    /// `value.<path>` and `old_value.<path>`.
    pub const NAMES: [&str; 37] = {
        let mut names = [""; 37];
        let mut at = 0;
        while at < names.len() {
            names[at] = NAMED[at].0;
            at += 1;
        }
        names
    };

    /// The attribute of that name, if there is one.
    pub fn parse(name: &str) -> Option<Self> {
        if let Some((_, attribute)) = NAMED.iter().find(|(known, _)| *known == name) {
            return Some(attribute.clone());
        }
        let (table, key) = name.split_once('.').filter(|(_, key)| !key.is_empty())?;
        let path = || key.split('.').map(str::to_owned).collect::<Vec<_>>();
        Self::of_table(table, key).or_else(|| Self::at(table, path()))
    }

    /// One entry of a table in the event's data, if there is a table of that name.
    pub fn of_table(table: &str, key: &str) -> Option<Self> {
        match table {
            "node_meta" => Some(Self::NodeMeta(key.into())),
            "service_meta" => Some(Self::ServiceMeta(key.into())),
            _ => None,
        }
    }

    /// What a path leads to in the value of that name, if it is one that may be JSON.
    pub fn at(name: &str, path: Vec<String>) -> Option<Self> {
        if path.iter().any(String::is_empty) {
            return None;
        }
        match name {
            "value" => Some(Self::ValueAt(path.into())),
            "old_value" => Some(Self::OldValueAt(path.into())),
            _ => None,
        }
    }

    /// Has any event of this type such an attribute?
    pub fn is_of(&self, kind: EventType) -> bool {
        use Family::{Check, Delivery, Fired, Key, Leaf, Node, Root, Service, Source};
        let families: &[Family] = match self {
            Self::Datacenter | Self::CatchUp | Self::Environment => return true,
            Self::Receiver | Self::Outcome => &[],
            Self::Node => &[Check, Service, Node, Source],
            Self::NodeMeta(_) => &[Check, Service, Node],
            Self::ServiceMeta(_) | Self::Address | Self::Port => &[Service],
            Self::Changed => &[Service, Node],
            Self::CheckId
            | Self::CheckName
            | Self::From
            | Self::To
            | Self::Output
            | Self::Notes
            | Self::Initial
            | Self::Coalesced
            | Self::Flapping
            | Self::NodeFailed
            | Self::PassingLeft
            | Self::PassingLeftShare => &[Check],
            Self::ServiceId | Self::ServiceTags | Self::NodeRole => &[Check, Service],
            Self::Service => &[Check, Service, Leaf],
            Self::NodeId | Self::NodeAddress => &[Node],
            Self::Key
            | Self::Value
            | Self::OldValue
            | Self::ValueAt(_)
            | Self::OldValueAt(_)
            | Self::Flags
            | Self::Session => &[Key],
            Self::Name => &[Fired, Root],
            Self::Payload => &[Fired],
            Self::Active => &[Root],
            Self::Watch | Self::Reason => &[Source],
        };
        let family = kind.into();
        family == Delivery || families.contains(&family) && !self.is_never_of(kind)
    }

    /// What its family has, and no event of this type: nothing is before the first and after the last one.
    fn is_never_of(&self, kind: EventType) -> bool {
        match kind {
            EventType::CheckRegistered | EventType::MaintenanceStarted => matches!(self, Self::From),
            EventType::CheckDeregistered | EventType::MaintenanceEnded => matches!(self, Self::To),
            // They tell of a check of the node itself.
            EventType::NodeFailed | EventType::NodeRecovered => matches!(
                self,
                Self::Service
                    | Self::ServiceId
                    | Self::ServiceTags
                    | Self::PassingLeft
                    | Self::PassingLeftShare
            ),
            EventType::KvDeleted => matches!(self, Self::Value | Self::ValueAt(_)),
            EventType::ServiceRegistered
            | EventType::ServiceDeregistered
            | EventType::NodeJoined
            | EventType::NodeLeft => matches!(self, Self::Changed),
            _ => false,
        }
    }

    /// It may have several values at once.
    pub(super) fn is_list(&self) -> bool {
        matches!(self.kind(), Kind::List(_) | Kind::Json)
    }

    /// Can `pattern` ever fit a value of this attribute? The error says what would.
    pub fn check(&self, pattern: &Pattern) -> Result<(), String> {
        let kind = self.kind();
        let fits = match (pattern, kind) {
            (Pattern::Present(false), _) if matches!(self, Self::Datacenter | Self::CatchUp) => {
                return Err("every event has it".into());
            }
            (Pattern::Range(range), _) if !range.has_any() => {
                return Err("no number is in this range".into());
            }
            (Pattern::Present(_), _) => true,
            (Pattern::Flag(_), kind) => matches!(kind, Kind::Flag | Kind::Json),
            (Pattern::Numbers(numbers), Kind::Count(max)) => all_counts(numbers, max),
            (Pattern::Range(range), Kind::Count(max)) => range.has_count(max),
            (Pattern::Any(words), Kind::Count(max)) => words.iter().all(|word| is_count(word, max)),
            (Pattern::Numbers(numbers), Kind::Share) => {
                numbers.iter().all(|number| (Number::from(0)..=Number::from(1)).contains(number))
            }
            (Pattern::Range(range), Kind::Share) => range.has_share(),
            (_, Kind::Flag | Kind::Share) => false,
            (Pattern::Numbers(_) | Pattern::Range(_), kind) => matches!(kind, Kind::Loose | Kind::Json),
            (Pattern::All(_), kind) if !matches!(kind, Kind::List(_) | Kind::Json) => {
                return Err("it is one value and no list".into());
            }
            (Pattern::Any(words) | Pattern::All(words), Kind::Word(known) | Kind::List(known)) => {
                return check_words(words, known);
            }
            _ => true,
        };
        let is_number = matches!(pattern, Pattern::Numbers(_) | Pattern::Range(_));
        match kind {
            _ if fits => Ok(()),
            Kind::Flag => Err("it is true or false".into()),
            Kind::Count(max) if max < u64::MAX => Err(format!("it is a whole number from 0 to {max}")),
            Kind::Count(_) => Err("it is a whole number from 0 on".into()),
            Kind::Share => Err("it is a number from 0 to 1".into()),
            _ if is_number => Err("it is a text, not a number".into()),
            _ => Err("it is a text, not true or false".into()),
        }
    }

    fn kind(&self) -> Kind {
        match self {
            Self::Initial
            | Self::CatchUp
            | Self::Coalesced
            | Self::Flapping
            | Self::NodeFailed
            | Self::Active => Kind::Flag,
            Self::Port => Kind::Count(u16::MAX.into()),
            Self::PassingLeft => Kind::Count(u32::MAX.into()),
            Self::Flags => Kind::Count(u64::MAX),
            Self::PassingLeftShare => Kind::Share,
            Self::From | Self::To => Kind::Word(&STATUSES),
            Self::NodeRole => Kind::Word(&ROLES),
            Self::ServiceTags => Kind::List(&[]),
            Self::Changed => Kind::List(&CHANGED),
            Self::NodeMeta(_) | Self::ServiceMeta(_) | Self::Value | Self::OldValue => Kind::Loose,
            Self::ValueAt(_) | Self::OldValueAt(_) => Kind::Json,
            _ => Kind::Text,
        }
    }
}

/// What values an attribute can have.
#[derive(Clone, Copy)]
enum Kind {
    Text,
    /// One of these.
    Word(&'static [&'static str]),
    /// Of these; of any texts where there are none.
    List(&'static [&'static str]),
    Flag,
    /// A whole number up to this one.
    Count(u64),
    /// From 0 to 1.
    Share,
    /// A text, which may be a number.
    Loose,
    /// Whatever JSON has.
    Json,
}

const STATUSES: [&str; 3] = {
    let [a, b, c] = CheckStatus::ALL;
    [a.as_str(), b.as_str(), c.as_str()]
};
const ROLES: [&str; 3] = {
    let [a, b, c] = NodeRole::ALL;
    [a.as_str(), b.as_str(), c.as_str()]
};
/// What can be another than before, of an instance or of a node.
const CHANGED: [&str; 7] =
    ["address", "port", "service_tags", "service_meta", "node_id", "node_address", "node_meta"];

/// As the number is written by whoever writes it without ornament.
fn is_count(word: &str, max: u64) -> bool {
    word.parse::<u64>().is_ok_and(|number| number <= max && number.to_string() == word)
}

fn check_words(words: &[String], known: &[&str]) -> Result<(), String> {
    match words.iter().find(|word| !known.is_empty() && !known.contains(&word.as_str())) {
        Some(word) => Err(format!("{word:?} is none of {}", known.join(", "))),
        None => Ok(()),
    }
}

impl fmt::Display for Attribute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NodeMeta(key) => write!(f, "node_meta.{key}"),
            Self::ServiceMeta(key) => write!(f, "service_meta.{key}"),
            Self::ValueAt(path) => write!(f, "value.{}", path.join(".")),
            Self::OldValueAt(path) => write!(f, "old_value.{}", path.join(".")),
            named => {
                let name = NAMED.iter().find(|(_, known)| known == named).map(|(name, _)| *name);
                f.write_str(name.unwrap_or_default())
            }
        }
    }
}
