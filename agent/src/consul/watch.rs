//! What can be followed in Consul, and how it is asked for.
//!
//! Boundary: plain data and the shape of a query; `Client` sends it.

use std::borrow::Cow;
use std::time::Duration;

use super::{Garbage, Query, wire};
use crate::catalog::Entry;

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

/// A parameter of a query, or one without a value.
type Parameter<'a> = (&'static str, Option<Cow<'a, str>>);

impl Watch {
    /// The path of its query, and the parameters.
    pub(super) fn question<'a>(&'a self, here: &'a str, query: Query) -> (Vec<&'a str>, Vec<Parameter<'a>>) {
        let (path, own) = self.what.path(here);
        let mut all: Vec<Parameter<'_>> =
            own.into_iter().map(|(key, value)| (key, value.map(Cow::Borrowed))).collect();
        let options = [
            ("dc", &self.datacenter),
            ("ns", &self.namespace),
            ("partition", &self.partition),
            ("filter", &self.filter),
        ];
        let given = options.into_iter().filter_map(|(key, value)| Some((key, value.as_deref()?)));
        all.extend(given.map(|(key, value)| (key, Some(Cow::Borrowed(value)))));
        if let Some(index) = query.index {
            let position = if self.what.is_hashed() {
                ("hash", format!("{:x}", index.get()))
            } else {
                ("index", index.to_string())
            };
            let wait = ("wait", format!("{}ms", query.wait.as_millis()));
            all.extend([position, wait].map(|(key, value)| (key, Some(value.into()))));
        }
        match (query.consistent, &self.consistency) {
            // The agent knows by itself.
            _ if self.what.is_of_the_agent() => {}
            (true, _) | (false, Consistency::Consistent) => all.push(("consistent", None)),
            (false, Consistency::Stale { .. }) => all.push(("stale", None)),
            (false, Consistency::Default) => {}
        }
        if self.cached && !query.consistent {
            all.push(("cached", None));
        }
        (path, all)
    }
}

impl Consistency {
    /// Is the answer of a server too old that heard of the leader so long ago?
    pub(super) fn is_too_old(&self, last_contact: Option<Duration>) -> bool {
        match self {
            Self::Stale { max: Some(max) } => last_contact.is_some_and(|ago| ago > *max),
            Self::Stale { max: None } | Self::Default | Self::Consistent => false,
        }
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
            Self::Events(None) => "event".into(),
            Self::Events(Some(name)) => format!("event/{name}"),
            Self::AgentService(id) => format!("agent_service/{id}"),
            Self::ConnectRoots => "connect_roots".into(),
            Self::ConnectLeaf(service) => format!("connect_leaf/{service}"),
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
            | Self::Events
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

    /// Each cluster has some, so none is a token that may not read them.
    pub fn is_never_empty(&self) -> bool {
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
            Self::Events(name) => {
                let named = name.iter().map(|name| ("name", Some(&name[..])));
                (vec!["event", "list"], named.collect())
            }
            Self::AgentService(id) => (vec!["agent", "service", id], vec![]),
            Self::ConnectRoots => (vec!["agent", "connect", "ca", "roots"], vec![]),
            Self::ConnectLeaf(service) => (vec!["agent", "connect", "ca", "leaf", service], vec![]),
        }
    }

    /// Where there is no key or no service, Consul says 404, which is an answer like others.
    pub(super) fn may_be_missing(&self) -> bool {
        matches!(self, Self::Key(_) | Self::KeyPrefix(_) | Self::AgentService(_))
    }

    /// What a token has to be allowed to read, where nothing is an answer like others; none where nothing follows
    /// from one.
    pub(super) fn rights(&self) -> Option<(&'static str, &str)> {
        match self {
            Self::ServiceChecks(service) | Self::Service { service, .. } => Some(("service", service)),
            Self::Node(node) => node.as_deref().map(|node| ("node", node)),
            Self::Key(key) | Self::KeyPrefix(key) => Some(("key", key)),
            Self::NodeChecks
            | Self::StateChecks(_)
            | Self::Services
            | Self::Nodes
            | Self::Events(_)
            | Self::AgentService(_)
            | Self::ConnectRoots
            | Self::ConnectLeaf(_) => None,
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

    /// Reads an answer of the agent of the node `here`.
    pub(super) fn read(&self, body: &[u8], here: &str) -> Result<Vec<Entry>, Garbage> {
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
            Self::Events(_) => all(wire::user_events(body)?, Entry::UserEvent),
            Self::AgentService(_) => {
                wire::own_service(body, here)?.map(Entry::Instance).into_iter().collect()
            }
            Self::ConnectRoots => all(wire::roots(body)?, Entry::Root),
            Self::ConnectLeaf(_) => vec![Entry::Leaf(wire::leaf(body)?)],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::consul::WaitIndex;

    /// The path and the parameters of a query that waits from index 26.
    #[track_caller]
    fn check(watch: &Watch, consistent: bool, want: &str) {
        let query = Query { index: Some(WaitIndex::new(26)), wait: Duration::from_secs(1), consistent };
        let (path, parameters) = watch.question("n1", query);
        let written = parameters.into_iter().map(|(key, value)| match value {
            Some(value) => format!("{key}={value}"),
            None => key.to_owned(),
        });
        assert_eq!(format!("{} {}", path.join("/"), written.collect::<Vec<_>>().join("&")), want);
    }

    #[test]
    fn a_question_says_what_the_watch_says() {
        let plain = Watch::from(What::NodeChecks);
        check(&plain, false, "health/node/n1 index=26&wait=1000ms");
        check(&plain, true, "health/node/n1 index=26&wait=1000ms&consistent");
        let stale = Consistency::Stale { max: Some(Duration::from_secs(5)) };
        let all = Watch {
            filter: Some("Status == passing".into()),
            datacenter: Some("dc2".into()),
            namespace: Some("team".into()),
            partition: Some("east".into()),
            consistency: stale,
            cached: true,
            ..Watch::from(What::Nodes)
        };
        let common =
            "catalog/nodes dc=dc2&ns=team&partition=east&filter=Status == passing&index=26&wait=1000ms";
        check(&all, false, &format!("{common}&stale&cached"));
        check(&all, true, &format!("{common}&consistent"));
    }

    #[test]
    fn an_agent_is_asked_by_hash_and_without_a_leader() {
        let service = Watch::from(What::AgentService("web-1".into()));
        check(&service, true, "agent/service/web-1 hash=1a&wait=1000ms");
        check(&Watch::from(What::ConnectRoots), true, "agent/connect/ca/roots index=26&wait=1000ms");
    }

    #[test]
    fn an_old_answer_is_too_old_where_the_watch_says_how_old_it_may_be() {
        let (max, millis) = (Some(Duration::from_millis(500)), |millis| Some(Duration::from_millis(millis)));
        assert!(Consistency::Stale { max }.is_too_old(millis(501)));
        assert!(!Consistency::Stale { max }.is_too_old(millis(500)));
        assert!(!Consistency::Stale { max }.is_too_old(None));
        assert!(!Consistency::Stale { max: None }.is_too_old(millis(60_000)));
        assert!(!Consistency::Default.is_too_old(millis(60_000)));
    }
}
