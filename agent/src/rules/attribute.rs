//! What a rule can look at, and which patterns can fit it.

use std::fmt;

use super::Pattern;
use crate::catalog::CheckStatus;
use crate::event::NodeRole;

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

const NAMED: [(&str, Attribute); 35] = [
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
    ("catch_up", Attribute::CatchUp),
    ("environment", Attribute::Environment),
    ("node_role", Attribute::NodeRole),
    ("receiver", Attribute::Receiver),
    ("outcome", Attribute::Outcome),
];

impl Attribute {
    /// The names that rules use; besides them there are `node_meta.<key>` and `service_meta.<key>`.
    pub const NAMES: [&str; 35] = {
        let mut names = [""; 35];
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
        Self::of_table(table, key)
    }

    /// One entry of a table in the event's data, if there is a table of that name.
    pub fn of_table(table: &str, key: &str) -> Option<Self> {
        match table {
            "node_meta" => Some(Self::NodeMeta(key.into())),
            "service_meta" => Some(Self::ServiceMeta(key.into())),
            _ => None,
        }
    }

    /// Can `pattern` ever fit a value of this attribute? The error says what would.
    pub fn check(&self, pattern: &Pattern) -> Result<(), String> {
        let flag = matches!(
            self,
            Self::Initial
                | Self::CatchUp
                | Self::Coalesced
                | Self::Flapping
                | Self::NodeFailed
                | Self::Active
        );
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
}

impl fmt::Display for Attribute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NodeMeta(key) => write!(f, "node_meta.{key}"),
            Self::ServiceMeta(key) => write!(f, "service_meta.{key}"),
            named => {
                let name = NAMED.iter().find(|(_, known)| known == named).map(|(name, _)| *name);
                f.write_str(name.unwrap_or_default())
            }
        }
    }
}
