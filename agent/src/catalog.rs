//! Consul's nouns as plain data.
//!
//! Boundary: no I/O, no wire format. What Consul's JSON looks like is known to `consul::wire` alone.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

pub use self::entry::Entry;

mod entry;

/// The health of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CheckStatus {
    /// Exit 0, HTTP 2xx.
    Passing,
    /// Exit 1, HTTP 429.
    Warning,
    /// All else; also the state of a check that has not run yet.
    Critical,
}

/// Not one of the words that Consul uses for the health of a check.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("read check status {0:?}: not passing, warning or critical")]
pub struct UnknownStatus(pub String);

impl CheckStatus {
    /// Every status, mildest first.
    pub const ALL: [Self; 3] = [Self::Passing, Self::Warning, Self::Critical];

    /// Consul's own word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Passing => "passing",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

impl fmt::Display for CheckStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for CheckStatus {
    type Err = UnknownStatus;

    fn from_str(word: &str) -> Result<Self, UnknownStatus> {
        Self::ALL.into_iter().find(|status| status.as_str() == word).ok_or_else(|| UnknownStatus(word.into()))
    }
}

/// One health check as the catalog holds it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// The node that it belongs to.
    pub node: String,
    /// Unique on its node.
    pub check_id: String,
    /// What a person called it.
    pub name: String,
    /// How it is made, in Consul's words (`http`, `ttl`, `script` and so on); empty before Consul 1.7.
    #[serde(rename = "type")]
    pub kind: String,
    /// Its present health.
    pub status: CheckStatus,
    /// What a person wrote about it.
    pub notes: String,
    /// What its last run said; at most 4 KiB are kept.
    pub output: String,
    /// Empty for a check of the node itself.
    pub service_id: String,
    /// Empty for a check of the node itself.
    pub service: String,
    /// The tags of its service.
    pub service_tags: Vec<String>,
    /// Consul's index when it was registered; another one means that it was registered anew.
    pub create_index: u64,
    /// Consul's index when it was last written.
    pub modify_index: u64,
}

/// A kind of thing that a token may be allowed to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Resource {
    /// An entry of the key/value store.
    Key,
    /// A node.
    Node,
    /// A service.
    Service,
}

impl Resource {
    /// The word of Consul's policies.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Key => "key",
            Self::Node => "node",
            Self::Service => "service",
        }
    }
}

/// What a token has to be allowed to read, so that Consul shows it something: a kind and a name.
pub type Right<'a> = (Resource, &'a str);

impl Check {
    /// What a token has to be allowed to read to be shown it.
    pub fn rights(&self) -> [Option<Right<'_>>; 2] {
        let service = Some(&self.service[..]).filter(|service| !service.is_empty());
        [Some((Resource::Node, &self.node)), service.map(|service| (Resource::Service, service))]
    }

    /// `critical` without output: Consul's default for a check that has not run, or a failure without a word.
    pub fn says_nothing(&self) -> bool {
        self.status == CheckStatus::Critical && self.output.is_empty() && !self.is_maintenance()
    }

    /// It is no check: Consul marks a node or an instance that is in maintenance with it.
    pub fn is_maintenance(&self) -> bool {
        self.check_id == "_node_maintenance" || self.check_id.starts_with("_service_maintenance:")
    }
}

/// One instance of a service, on its node.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Instance {
    /// The node that it runs on.
    pub node: String,
    /// The metadata of that node.
    pub node_meta: BTreeMap<String, String>,
    /// Unique on its node.
    pub service_id: String,
    /// The name of the service.
    pub service: String,
    /// Its tags, in Consul's order.
    pub service_tags: Vec<String>,
    /// Its metadata.
    pub service_meta: BTreeMap<String, String>,
    /// Where it is reached: its own address, else that of its node.
    pub address: String,
    /// 0: it has none.
    pub port: u16,
    /// Consul's index when it was registered; another one means that it was registered anew. 0 where an agent tells
    /// of its own, which knows no index.
    pub create_index: u64,
    /// Consul's index when it was last written; 0 as above.
    pub modify_index: u64,
}

impl Instance {
    /// What a token has to be allowed to read to be shown it.
    pub fn rights(&self) -> [Option<Right<'_>>; 2] {
        [Some((Resource::Node, &self.node)), Some((Resource::Service, &self.service))]
    }
}

/// A service of the datacenter, whatever instances it has.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Service {
    /// Its name.
    pub service_name: String,
    /// All tags of its instances, sorted.
    pub service_tags: Vec<String>,
}

/// A node of the datacenter.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Node {
    /// Its name.
    pub node: String,
    /// Consul's identifier for it; empty for one that was registered without.
    pub node_id: String,
    /// Where it is reached.
    pub node_address: String,
    /// Its metadata.
    pub node_meta: BTreeMap<String, String>,
    /// Consul's index when it joined; another one means that it joined anew.
    pub create_index: u64,
    /// Consul's index when it was last written.
    pub modify_index: u64,
}

/// An entry of the key/value store.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct KeyValue {
    /// Its whole key.
    pub key: String,
    /// Its value in base64, as Consul gives it; empty where there is none. 512 KiB at most are Consul's limit.
    pub value: String,
    /// A number that a client may set.
    pub flags: u64,
    /// The session that holds it; empty where none does.
    pub session: String,
    /// Consul's index when it was made; another one means that it was deleted and made anew.
    pub create_index: u64,
    /// Consul's index when it was last written.
    pub modify_index: u64,
}

/// A user event (`consul event`), which an agent keeps among the last 256.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct UserEvent {
    /// Unique.
    pub user_event_id: String,
    /// What it is called.
    pub name: String,
    /// What it carries, in base64; empty where it carries nothing.
    pub payload: String,
    /// A regular expression for the nodes that it is for; empty for all.
    pub node_filter: String,
    /// The same for services.
    pub service_filter: String,
    /// The same for the tags of services.
    pub tag_filter: String,
    /// Lamport's clock of the cluster when it was fired.
    pub ltime: u64,
}

/// A root certificate of the certificate authority that Connect has.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Root {
    /// Unique.
    pub root_id: String,
    /// What it is called.
    pub name: String,
    /// New certificates are signed with it.
    pub active: bool,
    /// The host part of the identities that it vouches for.
    pub trust_domain: String,
    /// From when on it counts: RFC 3339.
    pub not_before: String,
    /// Until when: RFC 3339.
    pub not_after: String,
    /// PEM.
    pub certificate: String,
    /// Consul's index when it was made.
    pub create_index: u64,
    /// Consul's index when it was last written.
    pub modify_index: u64,
}

/// The certificate that the agent has for a service. Its private key is never read.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Leaf {
    /// The name of the service.
    pub service: String,
    /// Another one means that it was issued anew.
    pub serial_number: String,
    /// The identity that it vouches for.
    pub service_uri: String,
    /// From when on it counts: RFC 3339.
    pub valid_after: String,
    /// Until when: RFC 3339.
    pub valid_before: String,
    /// PEM.
    pub certificate: String,
    /// Consul's index when it was made.
    pub create_index: u64,
    /// Consul's index when it was last written.
    pub modify_index: u64,
}

impl Service {
    /// What a token has to be allowed to read to be shown it.
    pub fn rights(&self) -> [Option<Right<'_>>; 2] {
        [Some((Resource::Service, &self.service_name)), None]
    }
}

impl Node {
    /// What a token has to be allowed to read to be shown it.
    pub fn rights(&self) -> [Option<Right<'_>>; 2] {
        [Some((Resource::Node, &self.node)), None]
    }
}

impl KeyValue {
    /// What a token has to be allowed to read to be shown it.
    pub fn rights(&self) -> [Option<Right<'_>>; 2] {
        [Some((Resource::Key, &self.key)), None]
    }
}

/// The node that Lictor runs beside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalNode {
    /// Its name in the catalog.
    pub name: String,
    /// Its datacenter.
    pub datacenter: String,
    /// Its metadata.
    pub meta: BTreeMap<String, String>,
}
