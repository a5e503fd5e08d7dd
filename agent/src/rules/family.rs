//! What kinds of event have in common: what they are about.

use crate::event::EventType;

/// What an event is about, by its type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// A check, or what checks say of a node.
    Check,
    /// A service or an instance.
    Service,
    /// A node of the catalog.
    Node,
    /// A key.
    Key,
    /// A user event.
    Fired,
    /// A root of Connect's certificate authority.
    Root,
    /// The certificate of a service.
    Leaf,
    /// A watch.
    Source,
    /// A delivery, and what it was to tell, whatever that is about.
    Delivery,
}

impl From<EventType> for Family {
    fn from(kind: EventType) -> Self {
        match kind {
            EventType::CheckStatus
            | EventType::CheckRegistered
            | EventType::CheckDeregistered
            | EventType::CheckOutput
            | EventType::NodeFailed
            | EventType::NodeRecovered
            | EventType::MaintenanceStarted
            | EventType::MaintenanceEnded
            | EventType::FlappingStarted
            | EventType::FlappingStopped => Self::Check,
            EventType::ServiceRegistered | EventType::ServiceDeregistered | EventType::ServiceChanged => {
                Self::Service
            }
            EventType::NodeJoined | EventType::NodeLeft | EventType::NodeChanged => Self::Node,
            EventType::KvSet | EventType::KvDeleted => Self::Key,
            EventType::EventFired => Self::Fired,
            EventType::RootAdded | EventType::RootChanged | EventType::RootRemoved => Self::Root,
            EventType::LeafIssued => Self::Leaf,
            EventType::SourceSuspect | EventType::SourceLost | EventType::SourceRecovered => Self::Source,
            EventType::DeliveryDead => Self::Delivery,
        }
    }
}
