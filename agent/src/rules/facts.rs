//! An event as rules look at it: the values of its attributes.
//!
//! Invariant: what an event does not have is missing, whatever the pattern.

use std::cell::OnceCell;

use serde_json::Value as Json;

use super::Attribute;
use crate::catalog::CheckStatus;
use crate::event::{
    About, CheckData, Event, EventType, FiredData, InstanceData, KeyData, LeafData, NodeData, RootData,
    ServiceData, SourceData,
};

/// An event, for all rules that look at it.
#[derive(Debug)]
pub struct Facts<'a> {
    event: &'a Event,
    /// Read once, when the first rule asks for it.
    value: OnceCell<Option<Json>>,
    old_value: OnceCell<Option<Json>>,
}

/// The value of an attribute.
pub(super) enum Value<'a> {
    Missing,
    Text(&'a str),
    /// One of the catalog, which rules may also take for the text of its digits.
    Count(u64),
    Share(f64),
    List(&'a [String]),
    Flag(bool),
    /// Anything but null.
    Json(&'a Json),
}

impl<'a> Value<'a> {
    fn text(text: Option<&'a str>) -> Self {
        text.map_or(Self::Missing, Self::Text)
    }

    /// Where it is empty, it is not there.
    fn some(text: &'a str) -> Self {
        Self::text(Some(text).filter(|text| !text.is_empty()))
    }

    /// A list that has nothing is not there either.
    pub(super) fn is_there(&self) -> bool {
        match self {
            Self::Missing | Self::List([]) => false,
            Self::Json(Json::Array(items)) => !items.is_empty(),
            _ => true,
        }
    }

    fn word(status: Option<CheckStatus>) -> Self {
        Self::text(status.map(CheckStatus::as_str))
    }
}

impl<'a> Facts<'a> {
    /// Those of `event`.
    pub fn of(event: &'a Event) -> Self {
        Self { event, value: OnceCell::new(), old_value: OnceCell::new() }
    }

    /// The kind of the event.
    pub(super) fn kind(&self) -> EventType {
        self.event.kind
    }

    /// The value of an attribute, for a person: in quotes, a list in brackets.
    pub fn text(&self, attribute: &Attribute) -> Option<String> {
        match self.value(attribute) {
            Value::Missing => None,
            Value::Text(text) => Some(format!("{text:?}")),
            Value::Count(number) => Some(number.to_string()),
            Value::Share(share) => Some(share.to_string()),
            Value::Json(json) => Some(json.to_string()),
            Value::List(list) => Some(format!("{list:?}")),
            Value::Flag(flag) => Some(flag.to_string()),
        }
    }

    /// The value of an attribute.
    pub(super) fn value(&self, attribute: &Attribute) -> Value<'_> {
        let data = &self.event.data;
        match attribute {
            Attribute::Datacenter => Value::Text(&data.datacenter),
            Attribute::CatchUp => Value::Flag(data.catch_up),
            Attribute::Environment => Value::some(&data.environment),
            Attribute::Receiver => Value::text(data.delivery.as_ref().map(|dead| &dead.receiver[..])),
            Attribute::Outcome => Value::text(data.delivery.as_ref().map(|dead| &dead.outcome[..])),
            Attribute::ValueAt(path) => self.json(path, &self.value, |key| key.value.as_deref()),
            Attribute::OldValueAt(path) => self.json(path, &self.old_value, |key| key.old_value.as_deref()),
            of => match &data.about {
                About::Check(check) => of_check(of, check),
                About::Instance(instance) => of_instance(of, instance),
                About::Service(service) => of_service(of, service),
                About::Node(node) => of_node(of, node),
                About::Key(key) => of_key(of, key),
                About::Fired(fired) => of_fired(of, fired),
                About::Root(root) => of_root(of, root),
                About::Leaf(leaf) => of_leaf(of, leaf),
                About::Source(source) => of_source(of, source),
            },
        }
    }

    /// What a path leads to in a value of the key.
    fn json<'f>(
        &'f self,
        path: &[String],
        read: &'f OnceCell<Option<Json>>,
        value: impl FnOnce(&KeyData) -> Option<&str>,
    ) -> Value<'f> {
        let About::Key(key) = &self.event.data.about else { return Value::Missing };
        let json = read.get_or_init(|| serde_json::from_str(value(key)?).ok());
        match json.as_ref().and_then(|json| at(json, path)) {
            None | Some(Json::Null) => Value::Missing,
            Some(json) => Value::Json(json),
        }
    }
}

/// What a path leads to. A part is the name of a field, or the place in a list.
fn at<'j>(json: &'j Json, path: &[String]) -> Option<&'j Json> {
    path.iter().try_fold(json, |inner, part| match inner {
        Json::Object(fields) => fields.get(part),
        Json::Array(items) => items.get(part.parse::<usize>().ok()?),
        _ => None,
    })
}

fn of_check<'a>(of: &Attribute, check: &'a CheckData) -> Value<'a> {
    match of {
        Attribute::Node => Value::Text(&check.node),
        Attribute::NodeMeta(key) => Value::text(check.node_meta.get(key).map(String::as_str)),
        Attribute::CheckId => Value::Text(&check.check_id),
        Attribute::CheckName => Value::Text(&check.check_name),
        // A check of the node itself belongs to no service.
        Attribute::ServiceId | Attribute::Service | Attribute::ServiceTags if check.service_id.is_empty() => {
            Value::Missing
        }
        Attribute::ServiceId => Value::Text(&check.service_id),
        Attribute::Service => Value::Text(&check.service),
        Attribute::ServiceTags => Value::List(&check.service_tags),
        Attribute::From => Value::word(check.from),
        Attribute::To => Value::word(check.to),
        Attribute::Output => Value::Text(&check.output),
        Attribute::Notes => Value::Text(&check.notes),
        Attribute::Initial => Value::Flag(check.initial),
        Attribute::Coalesced => Value::Flag(check.coalesced),
        Attribute::Flapping => Value::Flag(check.flapping),
        Attribute::NodeFailed => Value::Flag(check.node_failed),
        Attribute::PassingLeft => check.passing_left.map_or(Value::Missing, |left| Value::Count(left.into())),
        Attribute::PassingLeftShare => check.passing_left_share.map_or(Value::Missing, Value::Share),
        Attribute::NodeRole => Value::Text(check.node_role.as_str()),
        _ => Value::Missing,
    }
}

fn of_instance<'a>(of: &Attribute, instance: &'a InstanceData) -> Value<'a> {
    match of {
        Attribute::Node => Value::Text(&instance.node),
        Attribute::NodeMeta(key) => Value::text(instance.node_meta.get(key).map(String::as_str)),
        Attribute::ServiceId => Value::Text(&instance.service_id),
        Attribute::Service => Value::Text(&instance.service),
        Attribute::ServiceTags => Value::List(&instance.service_tags),
        Attribute::ServiceMeta(key) => Value::text(instance.service_meta.get(key).map(String::as_str)),
        Attribute::Address => Value::Text(&instance.address),
        Attribute::Port => Value::Count(instance.port.into()),
        Attribute::Changed => Value::List(&instance.changed),
        Attribute::NodeRole => Value::Text(instance.node_role.as_str()),
        _ => Value::Missing,
    }
}

fn of_service<'a>(of: &Attribute, service: &'a ServiceData) -> Value<'a> {
    match of {
        Attribute::Service => Value::Text(&service.service),
        Attribute::ServiceTags => Value::List(&service.service_tags),
        _ => Value::Missing,
    }
}

fn of_node<'a>(of: &Attribute, node: &'a NodeData) -> Value<'a> {
    match of {
        Attribute::Node => Value::Text(&node.node),
        Attribute::NodeMeta(key) => Value::text(node.node_meta.get(key).map(String::as_str)),
        Attribute::NodeId => Value::some(&node.node_id),
        Attribute::NodeAddress => Value::Text(&node.node_address),
        Attribute::Changed => Value::List(&node.changed),
        _ => Value::Missing,
    }
}

fn of_key<'a>(of: &Attribute, key: &'a KeyData) -> Value<'a> {
    match of {
        Attribute::Key => Value::Text(&key.key),
        Attribute::Value => Value::text(key.value.as_deref()),
        Attribute::OldValue => Value::text(key.old_value.as_deref()),
        Attribute::Flags => Value::Count(key.flags),
        Attribute::Session => Value::some(&key.session),
        _ => Value::Missing,
    }
}

fn of_source<'a>(of: &Attribute, source: &'a SourceData) -> Value<'a> {
    match of {
        Attribute::Node => Value::Text(&source.node),
        Attribute::Watch => Value::Text(&source.watch),
        Attribute::Reason => Value::Text(&source.reason),
        _ => Value::Missing,
    }
}

fn of_root<'a>(of: &Attribute, root: &'a RootData) -> Value<'a> {
    match of {
        Attribute::Name => Value::Text(&root.name),
        Attribute::Active => Value::Flag(root.active),
        _ => Value::Missing,
    }
}

fn of_leaf<'a>(of: &Attribute, leaf: &'a LeafData) -> Value<'a> {
    match of {
        Attribute::Service => Value::Text(&leaf.service),
        _ => Value::Missing,
    }
}

fn of_fired<'a>(of: &Attribute, fired: &'a FiredData) -> Value<'a> {
    match of {
        Attribute::Name => Value::Text(&fired.name),
        Attribute::Payload => Value::text(fired.payload.as_deref()),
        _ => Value::Missing,
    }
}
