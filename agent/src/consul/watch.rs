//! What can be followed in Consul, and how it is asked for.
//!
//! Boundary: plain data and the shape of a query; `Client` sends it.

use super::{Garbage, wire};
use crate::catalog::Entry;

/// One query that is followed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watch {
    /// What is asked for.
    pub what: What,
    /// Consul's filter expression; only what fits it is there.
    pub filter: Option<String>,
    /// The datacenter; none is the agent's.
    pub datacenter: Option<String>,
    /// Whether an answer may be old. Default: as Consul does by itself.
    pub consistency: Consistency,
    /// The agent may answer from its cache.
    pub cached: bool,
}

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// The checks of the node that Lictor runs beside.
    NodeChecks,
    /// The checks of one service, on all nodes.
    ServiceChecks(String),
    /// All checks of the datacenter, or those in one state.
    StateChecks(String),
    /// The instances of a service.
    Service {
        /// Its name.
        service: String,
        /// Only those that have all of these tags.
        tags: Vec<String>,
        /// Only those whose checks pass.
        passing_only: bool,
    },
    /// The instances on a node; none is the one that Lictor runs beside.
    Node(Option<String>),
    /// The services of the datacenter.
    Services,
    /// The nodes of the datacenter.
    Nodes,
    /// One key.
    Key(String),
    /// All keys with this beginning.
    KeyPrefix(String),
    /// The user events that the agent keeps.
    Events,
}

/// Whether an answer may be old.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Consistency {
    /// The leader answers; right after it lost its office it may not know of that.
    #[default]
    Default,
    /// Any server answers, however old what it knows is.
    Stale,
    /// The leader asks the other servers first.
    Consistent,
}

impl From<What> for Watch {
    fn from(what: What) -> Self {
        Self { what, filter: None, datacenter: None, consistency: Consistency::Default, cached: false }
    }
}

impl Watch {
    /// Its name in the store: two watches that ask for the same have the same, and what is known of a watch that is
    /// asked for otherwise than before is not compared with its answers.
    pub fn name(&self) -> String {
        let options = [("filter", &self.filter), ("dc", &self.datacenter)];
        let written =
            options.into_iter().filter_map(|(key, value)| Some(format!("{key}={:?}", value.as_ref()?)));
        [self.what.name()].into_iter().chain(written).collect::<Vec<_>>().join(" ")
    }
}

impl What {
    fn name(&self) -> String {
        match self {
            Self::NodeChecks => "checks/node".into(),
            Self::ServiceChecks(service) => format!("checks/service/{service}"),
            Self::StateChecks(state) => format!("checks/state/{state}"),
            Self::Service { service, tags, passing_only } => {
                let tags = tags.iter().map(|tag| format!("tag={tag:?}"));
                let passing = passing_only.then(|| "passing".to_owned());
                let parts = [format!("service/{service}")].into_iter().chain(tags).chain(passing);
                parts.collect::<Vec<_>>().join(" ")
            }
            Self::Node(None) => "node".into(),
            Self::Node(Some(node)) => format!("node/{node}"),
            Self::Services => "services".into(),
            Self::Nodes => "nodes".into(),
            Self::Key(key) => format!("key/{key}"),
            Self::KeyPrefix(prefix) => format!("keyprefix/{prefix}"),
            Self::Events => "event".into(),
        }
    }

    /// For a person: `the checks of this node`.
    pub fn in_words(&self) -> String {
        match self {
            Self::NodeChecks => "the checks of this node".into(),
            Self::ServiceChecks(service) => format!("the checks of the service {service}"),
            Self::StateChecks(state) if state == "any" => "all checks of the datacenter".into(),
            Self::StateChecks(state) => format!("all {state} checks of the datacenter"),
            Self::Service { service, .. } => format!("the instances of the service {service}"),
            Self::Node(None) => "the services of this node".into(),
            Self::Node(Some(node)) => format!("the services of the node {node}"),
            Self::Services => "the services of the datacenter".into(),
            Self::Nodes => "the nodes of the datacenter".into(),
            Self::Key(key) => format!("the key {key}"),
            Self::KeyPrefix(prefix) => format!("the keys under {prefix:?}"),
            Self::Events => "the user events".into(),
        }
    }

    /// It is about the node that Lictor runs beside, so another node's answers say nothing about it.
    pub fn is_of_this_node(&self) -> bool {
        matches!(self, Self::NodeChecks | Self::Node(None))
    }

    /// An answer has all that the datacenter has of its kind.
    pub fn is_wide(&self) -> bool {
        matches!(self, Self::StateChecks(_) | Self::Services | Self::Nodes)
    }

    /// Each cluster has some, so none is a token that may not read them.
    pub fn is_never_empty(&self) -> bool {
        match self {
            Self::NodeChecks | Self::Services | Self::Nodes | Self::Node(None) => true,
            Self::StateChecks(state) => state == "any",
            Self::ServiceChecks(_)
            | Self::Service { .. }
            | Self::Node(Some(_))
            | Self::Key(_)
            | Self::KeyPrefix(_)
            | Self::Events => false,
        }
    }

    /// The answers' indexes go up as the cluster is written to. Those of user events do not.
    pub fn has_order(&self) -> bool {
        *self != Self::Events
    }

    /// The path, and what is asked with it.
    pub(super) fn path<'a>(&'a self, here: &'a str) -> (Vec<&'a str>, Vec<(&'static str, Option<&'a str>)>) {
        match self {
            Self::NodeChecks => (vec!["health", "node", here], vec![]),
            Self::ServiceChecks(service) => (vec!["health", "checks", service], vec![]),
            Self::StateChecks(state) => (vec!["health", "state", state], vec![]),
            Self::Service { service, tags, passing_only } => {
                let tags = tags.iter().map(|tag| ("tag", Some(&tag[..])));
                let passing = passing_only.then_some(("passing", None));
                (vec!["health", "service", service], tags.chain(passing).collect())
            }
            Self::Node(node) => (vec!["catalog", "node", node.as_deref().unwrap_or(here)], vec![]),
            Self::Services => (vec!["catalog", "services"], vec![]),
            Self::Nodes => (vec!["catalog", "nodes"], vec![]),
            // A key's slashes part it, as the path's do.
            Self::Key(key) => (["kv"].into_iter().chain(key.split('/')).collect(), vec![]),
            Self::KeyPrefix(prefix) => {
                (["kv"].into_iter().chain(prefix.split('/')).collect(), vec![("recurse", None)])
            }
            Self::Events => (vec!["event", "list"], vec![]),
        }
    }

    /// Where there is no key, Consul says 404, which is an answer like others.
    pub(super) fn may_be_missing(&self) -> bool {
        matches!(self, Self::Key(_) | Self::KeyPrefix(_))
    }

    /// What a token has to be allowed to read, where nothing is an answer like others; none where nothing follows
    /// from one.
    pub(super) fn rights(&self) -> Option<(&'static str, &str)> {
        match self {
            Self::ServiceChecks(service) | Self::Service { service, .. } => Some(("service", service)),
            Self::Node(node) => node.as_deref().map(|node| ("node", node)),
            Self::Key(key) | Self::KeyPrefix(key) => Some(("key", key)),
            Self::NodeChecks | Self::StateChecks(_) | Self::Services | Self::Nodes | Self::Events => None,
        }
    }

    pub(super) fn read(&self, body: &[u8]) -> Result<Vec<Entry>, Garbage> {
        fn all<T>(found: Vec<T>, entry: fn(T) -> Entry) -> Vec<Entry> {
            found.into_iter().map(entry).collect()
        }
        Ok(match self {
            Self::NodeChecks | Self::ServiceChecks(_) | Self::StateChecks(_) => {
                all(wire::checks(body)?, Entry::Check)
            }
            Self::Service { .. } => all(wire::instances(body)?, Entry::Instance),
            Self::Node(_) => all(wire::of_node(body)?, Entry::Instance),
            Self::Services => all(wire::services(body)?, Entry::Service),
            Self::Nodes => all(wire::nodes(body)?, Entry::Node),
            Self::Key(_) | Self::KeyPrefix(_) => all(wire::keys(body)?, Entry::Key),
            Self::Events => all(wire::user_events(body)?, Entry::UserEvent),
        })
    }
}
