//! What can be followed in Consul, and how it is asked for.
//!
//! Boundary: plain data and the shape of a query; `Client` sends it.

use std::borrow::Cow;
use std::time::Duration;

use super::{Before, Garbage, filter, wire};
use crate::catalog::{Entry, Resource, Right};

/// What a check has, for filters.
const CHECK_NAMES: [&str; 17] = [
    "Node",
    "CheckID",
    "Name",
    "Status",
    "Notes",
    "Output",
    "ServiceID",
    "ServiceName",
    "ServiceTags",
    "Type",
    "Interval",
    "Timeout",
    "ExposedPort",
    "Definition",
    "PeerName",
    "Namespace",
    "Partition",
];

/// What an instance on a node has, for filters.
const SERVICE_NAMES: [&str; 18] = [
    "ID",
    "Service",
    "Kind",
    "Tags",
    "Meta",
    "Port",
    "Ports",
    "Address",
    "TaggedAddresses",
    "SocketPath",
    "Weights",
    "EnableTagOverride",
    "Locality",
    "Proxy",
    "Connect",
    "PeerName",
    "Namespace",
    "Partition",
];

/// What a node has, for filters.
const NODE_NAMES: [&str; 9] =
    ["ID", "Node", "Address", "Datacenter", "TaggedAddresses", "Meta", "Locality", "PeerName", "Partition"];

/// One query that is followed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watch {
    /// What is asked for.
    pub what: What,
    /// Consul's filter expression; only what fits it is there.
    pub filter: Option<String>,
    /// The datacenter; none is the agent's.
    pub datacenter: Option<String>,
    /// The namespace (Consul Enterprise); none is that of the connection.
    pub namespace: Option<String>,
    /// The admin partition (Consul Enterprise); none is that of the connection.
    pub partition: Option<String>,
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
    /// The user events that the agent keeps; those of one name, or all.
    Events(Option<String>),
    /// One of the agent's own services, by its id.
    AgentService(String),
    /// The roots of Connect's certificate authority.
    ConnectRoots,
    /// The certificate that the agent has for a service.
    ConnectLeaf(String),
}

/// Whether an answer may be old.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Consistency {
    /// The leader answers; right after it lost its office it may not know of that.
    #[default]
    Default,
    /// Any server answers, however old what it knows is; where it is older than this, the leader is asked.
    Stale {
        /// None: as old as it may be.
        max: Option<Duration>,
    },
    /// The leader asks the other servers first.
    Consistent,
}

impl From<What> for Watch {
    fn from(what: What) -> Self {
        Self {
            what,
            filter: None,
            datacenter: None,
            namespace: None,
            partition: None,
            consistency: Consistency::Default,
            cached: false,
        }
    }
}

impl Watch {
    /// Its name in the store: two watches that ask for the same have the same, and what is known of a watch that is
    /// asked for otherwise than before is not compared with its answers.
    pub fn name(&self) -> String {
        let options = [
            ("filter", &self.filter),
            ("dc", &self.datacenter),
            ("ns", &self.namespace),
            ("partition", &self.partition),
        ];
        let written =
            options.into_iter().filter_map(|(key, value)| Some(format!("{key}={:?}", value.as_ref()?)));
        [self.what.name()].into_iter().chain(written).collect::<Vec<_>>().join(" ")
    }
}

impl Watch {
    /// What is followed for it: of user events all, since only all of them show whether the agent has lost some.
    #[must_use]
    pub fn asked(&self) -> Self {
        match self.what {
            What::Events(Some(_)) => Self { what: What::Events(None), ..self.clone() },
            _ => self.clone(),
        }
    }

    /// There is always some, so none is a token that may not read them.
    pub fn is_never_empty(&self) -> bool {
        self.filter.is_none() && self.what.is_never_empty()
    }

    /// A check comes and goes in the answers with its status.
    pub fn is_by_status(&self) -> bool {
        // It can be read, but not without this name.
        let names_it = |filter: &String| {
            let all = self.what.filter_names().unwrap_or_default().iter().copied();
            let others: Vec<_> = all.filter(|name| *name != "Status").collect();
            !others.is_empty() && filter::check(filter, &others).is_err()
        };
        self.filter.as_ref().is_some_and(names_it)
            || matches!(&self.what, What::StateChecks(state) if state != "any")
    }

    /// Another server than the leader may answer, or the agent from what it keeps: an answer may be behind.
    pub fn may_be_behind(&self) -> bool {
        (self.cached || matches!(self.consistency, Consistency::Stale { .. })) && !self.what.is_of_the_agent()
    }

    /// What is there is more than what is chosen, and by more than what is written of it: an instance comes and goes
    /// with its health, and its own indexes stay.
    pub fn is_a_choice(&self) -> bool {
        self.filter.is_some() || matches!(self.what, What::Service { passing_only: true, .. })
    }
}

/// In quotes where it could be taken for more than a name.
fn word(name: &str) -> Cow<'_, str> {
    if name.contains([' ', '"']) { format!("{name:?}").into() } else { name.into() }
}

impl What {
    fn name(&self) -> String {
        match self {
            Self::NodeChecks => "checks/node".into(),
            Self::ServiceChecks(service) => format!("checks/service/{}", word(service)),
            Self::StateChecks(state) => format!("checks/state/{state}"),
            Self::Service { service, tags, passing_only } => {
                let tags = tags.iter().map(|tag| format!("tag={tag:?}"));
                let passing = passing_only.then(|| "passing".to_owned());
                let parts = [format!("service/{}", word(service))].into_iter().chain(tags).chain(passing);
                parts.collect::<Vec<_>>().join(" ")
            }
            Self::Node(None) => "node".into(),
            Self::Node(Some(node)) => format!("node/{}", word(node)),
            Self::Services => "services".into(),
            Self::Nodes => "nodes".into(),
            Self::Key(key) => format!("key/{}", word(key)),
            Self::KeyPrefix(prefix) => format!("keyprefix/{}", word(prefix)),
            Self::Events(None) => "event".into(),
            Self::Events(Some(name)) => format!("event/{}", word(name)),
            Self::AgentService(id) => format!("agent_service/{}", word(id)),
            Self::ConnectRoots => "connect_roots".into(),
            Self::ConnectLeaf(service) => format!("connect_leaf/{}", word(service)),
        }
    }

    /// The name that user events have to have.
    pub fn user_events(&self) -> Option<&str> {
        match self {
            Self::Events(name) => name.as_deref(),
            _ => None,
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
            Self::Events(None) => "the user events".into(),
            Self::Events(Some(name)) => format!("the user events {name}"),
            Self::AgentService(id) => format!("the agent's service {id}"),
            Self::ConnectRoots => "the roots of Connect's certificate authority".into(),
            Self::ConnectLeaf(service) => format!("the certificate of the service {service}"),
        }
    }

    /// The names that a filter of these answers may begin a selector with, in any version of Consul. None: it cannot
    /// filter them, and most versions ignore a filter without a word. No names: that differs between versions.
    pub fn filter_names(&self) -> Option<&'static [&'static str]> {
        match self {
            Self::NodeChecks | Self::ServiceChecks(_) | Self::StateChecks(_) => Some(&CHECK_NAMES),
            Self::Service { .. } => Some(&["Node", "Service", "Checks"]),
            Self::Node(_) => Some(&SERVICE_NAMES),
            Self::Nodes => Some(&NODE_NAMES),
            Self::Services => Some(&[]),
            Self::Key(_)
            | Self::KeyPrefix(_)
            | Self::Events(_)
            | Self::AgentService(_)
            | Self::ConnectRoots
            | Self::ConnectLeaf(_) => None,
        }
    }

    /// It is about the node that Lictor runs beside, so another node's answers say nothing about it.
    pub fn is_of_this_node(&self) -> bool {
        matches!(self, Self::NodeChecks | Self::Node(None) | Self::AgentService(_))
    }

    /// The agent answers of itself or from its cache, and says nothing of a leader that would mean something.
    pub fn is_of_the_agent(&self) -> bool {
        matches!(self, Self::Events(_) | Self::AgentService(_) | Self::ConnectRoots | Self::ConnectLeaf(_))
    }

    /// Consul does not wait for it where it is not there.
    pub fn is_asked_again_where_missing(&self) -> bool {
        matches!(self, Self::AgentService(_))
    }

    /// An answer has all that the datacenter has of its kind.
    pub fn is_wide(&self) -> bool {
        matches!(self, Self::StateChecks(_) | Self::Services | Self::Nodes)
    }

    /// Each cluster has some.
    fn is_never_empty(&self) -> bool {
        match self {
            Self::NodeChecks
            | Self::Services
            | Self::Nodes
            | Self::Node(None)
            | Self::ConnectRoots
            | Self::ConnectLeaf(_) => true,
            Self::StateChecks(state) => state == "any",
            Self::ServiceChecks(_)
            | Self::Service { .. }
            | Self::Node(Some(_))
            | Self::Key(_)
            | Self::KeyPrefix(_)
            | Self::Events(_)
            | Self::AgentService(_) => false,
        }
    }

    /// The answers' indexes go up as the cluster is written to. Those of user events do not, a hash does not, and
    /// that of a certificate begins anew with its agent.
    pub fn has_order(&self) -> bool {
        !matches!(self, Self::Events(_) | Self::AgentService(_) | Self::ConnectLeaf(_))
    }

    /// The position in the answers is a hash of what is asked for.
    pub(super) fn is_hashed(&self) -> bool {
        matches!(self, Self::AgentService(_))
    }

    /// Where there is no key or no service, Consul says 404, which is an answer like others.
    pub(super) fn may_be_missing(&self) -> bool {
        matches!(self, Self::Key(_) | Self::KeyPrefix(_) | Self::AgentService(_))
    }

    /// What a token has to be allowed to read so that nothing means that there is nothing, beside the node `here`; none
    /// where nothing follows from it.
    pub fn right<'a>(&'a self, here: &'a str) -> Option<Right<'a>> {
        match self {
            Self::ServiceChecks(service) | Self::Service { service, .. } => {
                Some((Resource::Service, service))
            }
            Self::NodeChecks | Self::StateChecks(_) | Self::Services | Self::Nodes => {
                Some((Resource::Node, here))
            }
            Self::Node(node) => Some((Resource::Node, node.as_deref().unwrap_or(here))),
            Self::Key(key) | Self::KeyPrefix(key) => Some((Resource::Key, key)),
            Self::Events(_) | Self::AgentService(_) | Self::ConnectRoots | Self::ConnectLeaf(_) => None,
        }
    }

    /// An answer as a handler of a watch of Consul gets it: of one key the entry itself, or `null`.
    pub(super) fn shape(&self, body: Vec<u8>) -> Result<Vec<u8>, Garbage> {
        match self {
            Self::Key(_) => {
                let found: Option<Vec<serde_json::Value>> = serde_json::from_slice(&body)?;
                let first = found.and_then(|found| found.into_iter().next());
                Ok(serde_json::to_vec(&first)?)
            }
            _ => Ok(body),
        }
    }

    /// Reads an answer of the agent of the node `here`, after the one `before`.
    pub(super) fn read(&self, body: Vec<u8>, here: &str, before: &mut Before) -> Result<Vec<Entry>, Garbage> {
        fn all<T>(found: Vec<T>, entry: fn(Box<T>) -> Entry) -> Vec<Entry> {
            found.into_iter().map(Box::new).map(entry).collect()
        }
        Ok(match self {
            Self::NodeChecks | Self::ServiceChecks(_) | Self::StateChecks(_) => {
                before.checks(body)?.into_iter().map(Entry::Check).collect()
            }
            Self::Service { .. } => all(wire::instances(&body)?, Entry::Instance),
            Self::Node(_) => all(wire::of_node(&body)?, Entry::Instance),
            Self::Services => all(wire::services(&body)?, Entry::Service),
            Self::Nodes => all(wire::nodes(&body)?, Entry::Node),
            Self::Key(_) | Self::KeyPrefix(_) => all(wire::keys(&body)?, Entry::Key),
            Self::Events(_) => all(wire::user_events(&body)?, Entry::UserEvent),
            Self::AgentService(_) => {
                all(wire::own_service(&body, here)?.into_iter().collect(), Entry::Instance)
            }
            Self::ConnectRoots => all(wire::roots(&body)?, Entry::Root),
            Self::ConnectLeaf(_) => all(vec![wire::leaf(&body)?], Entry::Leaf),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_watches_that_ask_for_something_else_have_other_names() {
        let service = |service: &str, passing_only| {
            Watch::from(What::Service { service: service.into(), tags: Vec::new(), passing_only }).name()
        };
        assert_eq!(service("web", true), "service/web passing");
        assert_eq!(service("web passing", false), "service/\"web passing\"");
    }

    #[test]
    fn a_filter_chooses_by_status_where_it_names_it() {
        let by_status = |filter: &str| {
            Watch { filter: Some(filter.into()), ..What::StateChecks("any".into()).into() }.is_by_status()
        };
        assert!(by_status("ServiceName == web and (Status != passing)"));
        assert!(!by_status("ServiceName == \"StatusPage\" or Name contains \"x Status\""));
        assert!(Watch::from(What::StateChecks("critical".into())).is_by_status());
        assert!(!Watch::from(What::StateChecks("any".into())).is_by_status());
    }
}
