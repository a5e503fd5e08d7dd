//! The states of the things that a watch follows, and the events that tell of their changes.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::id::derive;
use super::{
    About, Change, CheckState, Event, EventData, EventType, Health, NodeRole, Snapshot, SourceState,
};
use super::{check, connect, instance, key, node, service, source, user_event};
use crate::catalog::{Entry, Instance, KeyValue, Leaf, LocalNode, Node, Right, Root, Service, UserEvent};

/// One thing as it is, and what its history says. In JSON each has a field that no other one has, by which it is
/// read back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum State {
    /// A check.
    Check(CheckState),
    /// An instance of a service.
    Instance(Box<Instance>),
    /// A node.
    Node(Box<Node>),
    /// A key.
    Key(Box<KeyValue>),
    /// A user event.
    UserEvent(Box<UserEvent>),
    /// A root of Connect's certificate authority.
    Root(Box<Root>),
    /// The certificate of a service.
    Leaf(Box<Leaf>),
    /// A watch that cannot be followed.
    Source(Box<SourceState>),
    /// A service.
    Service(Box<Service>),
}

/// When time alone makes something of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// A check that is critical without a word for longer than this is critical. Default: 5 min.
    pub initial_grace: Duration,
    /// How often it is looked whether a check's result was another meanwhile. Default: 30 s.
    pub flap_interval: Duration,
    /// A check that flaps does so until its share of such intervals is below this, in percent. Default: 20.
    pub low_flap_threshold: u32,
    /// A check flaps once its share is this, in percent. Default: 30.
    pub high_flap_threshold: u32,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            initial_grace: Duration::from_mins(5),
            flap_interval: Duration::from_secs(30),
            low_flap_threshold: 20,
            high_flap_threshold: 30,
        }
    }
}

/// What time it is, and what that means.
#[derive(Clone, Copy, Debug)]
pub struct Clock<'a> {
    /// When the answer was read.
    pub now: Timestamp,
    /// The bounds that count.
    pub timing: &'a Timing,
    /// Nothing was ever known of what the answer has.
    pub first: bool,
}

/// What all events of one answer have in common.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// The node that Lictor runs beside.
    pub node: &'a LocalNode,
    /// The datacenter that was asked.
    pub datacenter: &'a str,
    /// Where this is: `production`, for example.
    pub environment: &'a str,
    /// What a node is for a service.
    pub node_role: &'a dyn Fn(&str, &str) -> NodeRole,
    /// The answer is compared with what was known before Lictor was away.
    pub catch_up: bool,
    /// What the same answer says of nodes and services as a whole.
    pub health: &'a Health<'a>,
    /// Consul's index of the answer.
    pub index: u64,
    /// The answer has only what was chosen, so an instance may come and go without being written.
    pub is_a_choice: bool,
    /// The answer has only checks of some state.
    pub by_status: bool,
    /// Only user events of this name are of interest.
    pub user_events: Option<&'a str>,
    /// When the answer was read.
    pub now: Timestamp,
}

impl Context<'_> {
    /// The metadata of Lictor's own node; of others Consul does not tell it with their checks.
    pub(super) fn meta_of(&self, node: &str) -> BTreeMap<String, String> {
        if node == self.node.name { self.node.meta.clone() } else { BTreeMap::new() }
    }

    /// An event's id: made of the datacenter, what it is about, the indexes of its creation and of its last change,
    /// and what else tells its state from others.
    pub(super) fn id(
        &self,
        subject: &str,
        kind: EventType,
        (created, modified): (u64, u64),
        state: &[&[u8]],
    ) -> String {
        let (created, modified) = (created.to_be_bytes(), modified.to_be_bytes());
        let common =
            [self.datacenter.as_bytes(), subject.as_bytes(), kind.as_str().as_bytes(), &created, &modified];
        derive(&[&common, state].concat())
    }

    pub(super) fn event(&self, id: String, kind: EventType, subject: &str, about: About) -> Event {
        Event {
            id,
            source: format!("consul://{}", self.datacenter),
            kind,
            subject: subject.to_owned(),
            time: self.now,
            data: EventData {
                datacenter: self.datacenter.to_owned(),
                environment: self.environment.to_owned(),
                catch_up: self.catch_up,
                about,
                delivery: None,
            },
        }
    }
}

impl State {
    /// The state of `entry` after the state `old`.
    pub fn follow(old: Option<&Self>, entry: Entry, clock: Clock<'_>) -> Self {
        match entry {
            Entry::Check(check) => Self::Check(CheckState::follow(old.and_then(Self::check), check, clock)),
            Entry::Instance(instance) => Self::Instance(instance),
            Entry::Service(service) => Self::Service(service),
            Entry::Node(node) => Self::Node(node),
            Entry::Key(key) => Self::Key(key),
            Entry::UserEvent(event) => Self::UserEvent(event),
            Entry::Root(root) => Self::Root(root),
            Entry::Leaf(leaf) => Self::Leaf(leaf),
        }
    }

    /// The check, if it is one.
    pub fn check(&self) -> Option<&CheckState> {
        match self {
            Self::Check(check) => Some(check),
            _ => None,
        }
    }

    fn instance(&self) -> Option<&Instance> {
        match self {
            Self::Instance(instance) => Some(instance),
            _ => None,
        }
    }

    fn service(&self) -> Option<&Service> {
        match self {
            Self::Service(service) => Some(service),
            _ => None,
        }
    }

    fn node(&self) -> Option<&Node> {
        match self {
            Self::Node(node) => Some(node),
            _ => None,
        }
    }

    fn key(&self) -> Option<&KeyValue> {
        match self {
            Self::Key(key) => Some(key),
            _ => None,
        }
    }

    pub(super) fn user_event(&self) -> Option<&UserEvent> {
        match self {
            Self::UserEvent(user_event) => Some(user_event),
            _ => None,
        }
    }

    fn root(&self) -> Option<&Root> {
        match self {
            Self::Root(root) => Some(root),
            _ => None,
        }
    }

    fn leaf(&self) -> Option<&Leaf> {
        match self {
            Self::Leaf(leaf) => Some(leaf),
            _ => None,
        }
    }

    /// The watch that cannot be followed, if it is one.
    pub fn source(&self) -> Option<&SourceState> {
        match self {
            Self::Source(source) => Some(source),
            _ => None,
        }
    }

    /// The node that it is on, where it is on one.
    pub fn node_name(&self) -> Option<&str> {
        match self {
            Self::Check(state) => Some(&state.check.node),
            Self::Instance(instance) => Some(&instance.node),
            _ => None,
        }
    }

    /// What a token has to be allowed to read to be shown it.
    pub fn rights(&self) -> [Option<Right<'_>>; 2] {
        match self {
            Self::Check(state) => state.check.rights(),
            Self::Instance(instance) => instance.rights(),
            Self::Service(service) => service.rights(),
            Self::Node(node) => node.rights(),
            Self::Key(key) => key.rights(),
            Self::UserEvent(_) | Self::Root(_) | Self::Leaf(_) | Self::Source(_) => [None, None],
        }
    }

    /// Consul's index when it was last written, where it has one.
    pub fn modify_index(&self) -> Option<u64> {
        match self {
            Self::Check(state) => Some(state.check.modify_index),
            Self::Instance(instance) => Some(instance.modify_index),
            Self::Node(node) => Some(node.modify_index),
            Self::Key(key) => Some(key.modify_index),
            Self::Root(root) => Some(root.modify_index),
            // That of a certificate begins anew with its agent.
            Self::Leaf(_) | Self::Service(_) | Self::UserEvent(_) | Self::Source(_) => None,
        }
    }
}

/// The events that tell of the `changes` that led to these `states`, in the order of their subjects, and of one subject
/// in that in which they happened. User events are in the order in which they were fired.
pub fn events(states: &Snapshot<State>, changes: &[Change<State>], context: &Context<'_>) -> Vec<Event> {
    let mut events: Vec<_> = changes.iter().flat_map(|change| of_one(change, context)).collect();
    events.extend(user_event::events(states, changes, context));
    events
}

/// How a check is, as an event that tells it; none for what passes, or is no check.
pub fn standing(key: &str, state: &State, context: &Context<'_>) -> Option<Event> {
    state.check().and_then(|state| check::standing(key, state, context))
}

fn of_one(change: &Change<State>, context: &Context<'_>) -> Vec<Event> {
    let (subject, old, new) = change.parts();
    let one = match new.or(old) {
        Some(State::Check(_)) => {
            let (old, new) = (old.and_then(State::check), new.and_then(State::check));
            return check::events(&check::Changed { key: subject, old, new }, context);
        }
        Some(State::Instance(_)) => {
            instance::event(subject, old.and_then(State::instance), new.and_then(State::instance), context)
        }
        Some(State::Service(_)) => {
            service::event(subject, old.and_then(State::service), new.and_then(State::service), context)
        }
        Some(State::Node(_)) => {
            node::event(subject, old.and_then(State::node), new.and_then(State::node), context)
        }
        Some(State::Key(_)) => {
            key::event(subject, old.and_then(State::key), new.and_then(State::key), context)
        }
        Some(State::Root(_)) => {
            connect::root(subject, old.and_then(State::root), new.and_then(State::root), context)
        }
        Some(State::Leaf(_)) => {
            connect::leaf(subject, old.and_then(State::leaf), new.and_then(State::leaf), context)
        }
        Some(State::Source(_)) => {
            source::event(subject, old.and_then(State::source), new.and_then(State::source), context)
        }
        Some(State::UserEvent(_)) | None => None,
    };
    one.into_iter().collect()
}
