//! The shape of an event: `CloudEvents` attributes and typed data.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::EventData;

/// What kind of change an event tells of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "&'static str")]
pub enum EventType {
    /// A check has another result than before. Where a watch has only those of one state: it came into that state, or
    /// left it for one that is not known.
    CheckStatus,
    /// A check appeared, or was registered anew.
    CheckRegistered,
    /// A check is gone.
    CheckDeregistered,
    /// A check says something else with the same status, or was written and nothing of it is another.
    CheckOutput,
    /// An instance of a service was registered, or a service has its first one.
    ServiceRegistered,
    /// An instance of a service is gone, or the last one of a service.
    ServiceDeregistered,
    /// An instance has another address, port, tags or metadata; a service has other tags.
    ServiceChanged,
    /// A node is in the catalog that was not.
    NodeJoined,
    /// A node is no longer in the catalog.
    NodeLeft,
    /// A node has another address, identifier or metadata.
    NodeChanged,
    /// The cluster finds a node dead.
    NodeFailed,
    /// The cluster finds a node alive again.
    NodeRecovered,
    /// A node or an instance was put into maintenance.
    MaintenanceStarted,
    /// A node or an instance is out of maintenance.
    MaintenanceEnded,
    /// A key has another value, or is new.
    KvSet,
    /// A key is gone.
    KvDeleted,
    /// A check goes to and fro too often.
    FlappingStarted,
    /// It does so no more.
    FlappingStopped,
    /// Somebody fired a user event.
    EventFired,
    /// Connect's certificate authority has another root.
    RootAdded,
    /// One of its roots signs now, or no more.
    RootChanged,
    /// It has a root no more.
    RootRemoved,
    /// A service's certificate was issued anew.
    LeafIssued,
    /// An answer is in doubt, and nothing follows from it before the leader was asked.
    SourceSuspect,
    /// Something that is followed cannot be any more.
    SourceLost,
    /// It can again.
    SourceRecovered,
    /// A delivery was given up.
    DeliveryDead,
}

/// Not the name of an event type.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("read event type {0:?}")]
pub struct UnknownType(pub String);

impl EventType {
    /// Every type, in the order of the documentation.
    pub const ALL: [Self; 27] = [
        Self::CheckStatus,
        Self::CheckRegistered,
        Self::CheckDeregistered,
        Self::CheckOutput,
        Self::ServiceRegistered,
        Self::ServiceDeregistered,
        Self::ServiceChanged,
        Self::NodeJoined,
        Self::NodeLeft,
        Self::NodeChanged,
        Self::NodeFailed,
        Self::NodeRecovered,
        Self::MaintenanceStarted,
        Self::MaintenanceEnded,
        Self::KvSet,
        Self::KvDeleted,
        Self::FlappingStarted,
        Self::FlappingStopped,
        Self::EventFired,
        Self::RootAdded,
        Self::RootChanged,
        Self::RootRemoved,
        Self::LeafIssued,
        Self::SourceSuspect,
        Self::SourceLost,
        Self::SourceRecovered,
        Self::DeliveryDead,
    ];

    /// The short form, as rules write it. The `CloudEvents` type has `lictor.` before it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::CheckStatus => "check.status",
            Self::CheckRegistered => "check.registered",
            Self::CheckDeregistered => "check.deregistered",
            Self::CheckOutput => "check.output",
            Self::ServiceRegistered => "service.registered",
            Self::ServiceDeregistered => "service.deregistered",
            Self::ServiceChanged => "service.changed",
            Self::NodeJoined => "node.joined",
            Self::NodeLeft => "node.left",
            Self::NodeChanged => "node.changed",
            Self::NodeFailed => "node.failed",
            Self::NodeRecovered => "node.recovered",
            Self::MaintenanceStarted => "maintenance.started",
            Self::MaintenanceEnded => "maintenance.ended",
            Self::KvSet => "kv.set",
            Self::KvDeleted => "kv.deleted",
            Self::FlappingStarted => "flapping.started",
            Self::FlappingStopped => "flapping.stopped",
            Self::EventFired => "event.fired",
            Self::RootAdded => "root.added",
            Self::RootChanged => "root.changed",
            Self::RootRemoved => "root.removed",
            Self::LeafIssued => "leaf.issued",
            Self::SourceSuspect => "source.suspect",
            Self::SourceLost => "source.lost",
            Self::SourceRecovered => "source.recovered",
            Self::DeliveryDead => "delivery.dead",
        }
    }
}

impl fmt::Display for EventType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl From<EventType> for &'static str {
    fn from(kind: EventType) -> Self {
        kind.as_str()
    }
}

impl TryFrom<String> for EventType {
    type Error = UnknownType;

    fn try_from(word: String) -> Result<Self, UnknownType> {
        word.parse()
    }
}

impl FromStr for EventType {
    type Err = UnknownType;

    fn from_str(word: &str) -> Result<Self, UnknownType> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word).ok_or_else(|| UnknownType(word.into()))
    }
}

/// One change in Consul's state.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Derived from the change, so that two agents that see it agree: 32 hexadecimal digits.
    pub id: String,
    /// `consul://<datacenter>`.
    pub source: String,
    /// What kind of change.
    pub kind: EventType,
    /// What it is about: `<node>/<check id>`, `<node>/<service id>`, or the name of a service, a node, a key, a user
    /// event or a watch.
    pub subject: String,
    /// When Lictor saw it.
    pub time: Timestamp,
    /// What happened.
    pub data: EventData,
}

/// What this node is for a service. Never just "role": that is Consul's ACL object.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NodeRole {
    /// One of the service's `active_nodes`.
    Primary,
    /// One of the service's `standby_nodes`.
    Secondary,
    /// Nothing is said of the service, or not of this node.
    #[default]
    Standalone,
}

impl NodeRole {
    /// Every role.
    pub const ALL: [Self; 3] = [Self::Primary, Self::Secondary, Self::Standalone];

    /// The word that rules and templates use.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Primary => "primary",
            Self::Secondary => "secondary",
            Self::Standalone => "standalone",
        }
    }
}
