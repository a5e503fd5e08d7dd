//! What a rule can look at, and the value that an event has of it.
//!
//! Invariant: what an event does not have is missing, whatever the pattern.

use std::fmt;

use super::Pattern;
use crate::catalog::CheckStatus;
use crate::event::{
    About, CheckData, Event, FiredData, InstanceData, KeyData, LeafData, NodeData, NodeRole, RootData,
    ServiceData, SourceData,
};

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

/// The value of an attribute.
pub(super) enum Value<'a> {
    Missing,
    Text(&'a str),
    Number(u64),
    List(&'a [String]),
    Flag(bool),
}

impl<'a> Value<'a> {
    fn text(text: Option<&'a str>) -> Self {
        text.map_or(Self::Missing, Self::Text)
    }

    /// Where it is empty, it is not there.
    fn some(text: &'a str) -> Self {
        Self::text(Some(text).filter(|text| !text.is_empty()))
    }

    fn word(status: Option<CheckStatus>) -> Self {
        Self::text(status.map(CheckStatus::as_str))
    }
}

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

    /// The value that `event` has of it, for a person: in quotes, a list in brackets.
    pub fn text(&self, event: &Event) -> Option<String> {
        match self.of(event) {
            Value::Missing => None,
            Value::Text(text) => Some(format!("{text:?}")),
            Value::Number(number) => Some(number.to_string()),
            Value::List(list) => Some(format!("{list:?}")),
            Value::Flag(flag) => Some(flag.to_string()),
        }
    }

    pub(super) fn of<'a>(&self, event: &'a Event) -> Value<'a> {
        let data = &event.data;
        match self {
            Self::Datacenter => Value::Text(&data.datacenter),
            Self::CatchUp => Value::Flag(data.catch_up),
            Self::Environment => Value::some(&data.environment),
            Self::Receiver => Value::text(data.delivery.as_ref().map(|dead| &dead.receiver[..])),
            Self::Outcome => Value::text(data.delivery.as_ref().map(|dead| &dead.outcome[..])),
            of => match &data.about {
                About::Check(check) => of.of_check(check),
                About::Instance(instance) => of.of_instance(instance),
                About::Service(service) => of.of_service(service),
                About::Node(node) => of.of_node(node),
                About::Key(key) => of.of_key(key),
                About::Fired(fired) => of.of_fired(fired),
                About::Root(root) => of.of_root(root),
                About::Leaf(leaf) => of.of_leaf(leaf),
                About::Source(source) => of.of_source(source),
            },
        }
    }

    fn of_check<'a>(&self, check: &'a CheckData) -> Value<'a> {
        match self {
            Self::Node => Value::Text(&check.node),
            Self::NodeMeta(key) => Value::text(check.node_meta.get(key).map(String::as_str)),
            Self::CheckId => Value::Text(&check.check_id),
            Self::CheckName => Value::Text(&check.check_name),
            // A check of the node itself belongs to no service.
            Self::ServiceId | Self::Service | Self::ServiceTags if check.service_id.is_empty() => {
                Value::Missing
            }
            Self::ServiceId => Value::Text(&check.service_id),
            Self::Service => Value::Text(&check.service),
            Self::ServiceTags => Value::List(&check.service_tags),
            Self::From => Value::word(check.from),
            Self::To => Value::word(check.to),
            Self::Output => Value::Text(&check.output),
            Self::Notes => Value::Text(&check.notes),
            Self::Initial => Value::Flag(check.initial),
            Self::Coalesced => Value::Flag(check.coalesced),
            Self::Flapping => Value::Flag(check.flapping),
            Self::NodeFailed => Value::Flag(check.node_failed),
            Self::NodeRole => Value::Text(check.node_role.as_str()),
            _ => Value::Missing,
        }
    }

    fn of_instance<'a>(&self, instance: &'a InstanceData) -> Value<'a> {
        match self {
            Self::Node => Value::Text(&instance.node),
            Self::NodeMeta(key) => Value::text(instance.node_meta.get(key).map(String::as_str)),
            Self::ServiceId => Value::Text(&instance.service_id),
            Self::Service => Value::Text(&instance.service),
            Self::ServiceTags => Value::List(&instance.service_tags),
            Self::ServiceMeta(key) => Value::text(instance.service_meta.get(key).map(String::as_str)),
            Self::Address => Value::Text(&instance.address),
            Self::Port => Value::Number(instance.port.into()),
            Self::Changed => Value::List(&instance.changed),
            Self::NodeRole => Value::Text(instance.node_role.as_str()),
            _ => Value::Missing,
        }
    }

    fn of_service<'a>(&self, service: &'a ServiceData) -> Value<'a> {
        match self {
            Self::Service => Value::Text(&service.service),
            Self::ServiceTags => Value::List(&service.service_tags),
            _ => Value::Missing,
        }
    }

    fn of_node<'a>(&self, node: &'a NodeData) -> Value<'a> {
        match self {
            Self::Node => Value::Text(&node.node),
            Self::NodeMeta(key) => Value::text(node.node_meta.get(key).map(String::as_str)),
            Self::NodeId => Value::some(&node.node_id),
            Self::NodeAddress => Value::Text(&node.node_address),
            Self::Changed => Value::List(&node.changed),
            _ => Value::Missing,
        }
    }

    fn of_key<'a>(&self, key: &'a KeyData) -> Value<'a> {
        match self {
            Self::Key => Value::Text(&key.key),
            Self::Value => Value::text(key.value.as_deref()),
            Self::OldValue => Value::text(key.old_value.as_deref()),
            Self::Flags => Value::Number(key.flags),
            Self::Session => Value::some(&key.session),
            _ => Value::Missing,
        }
    }

    fn of_source<'a>(&self, source: &'a SourceData) -> Value<'a> {
        match self {
            Self::Node => Value::Text(&source.node),
            Self::Watch => Value::Text(&source.watch),
            Self::Reason => Value::Text(&source.reason),
            _ => Value::Missing,
        }
    }

    fn of_root<'a>(&self, root: &'a RootData) -> Value<'a> {
        match self {
            Self::Name => Value::Text(&root.name),
            Self::Active => Value::Flag(root.active),
            _ => Value::Missing,
        }
    }

    fn of_leaf<'a>(&self, leaf: &'a LeafData) -> Value<'a> {
        match self {
            Self::Service => Value::Text(&leaf.service),
            _ => Value::Missing,
        }
    }

    fn of_fired<'a>(&self, fired: &'a FiredData) -> Value<'a> {
        match self {
            Self::Name => Value::Text(&fired.name),
            Self::Payload => Value::text(fired.payload.as_deref()),
            _ => Value::Missing,
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
