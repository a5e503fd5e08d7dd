//! What an event tells the state of, so that a later one can be seen to end it.
//!
//! Boundary: pure. Two events that tell of the same condition of the same thing follow each other: the later one says
//! what is so now.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{CheckData, Event, EventType};
use crate::catalog::CheckStatus;

/// What of a thing an event tells of. The order is that in which they are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Condition {
    /// The result of a check.
    Status,
    /// That it is there.
    Registration,
    /// What a check says.
    Output,
    /// How it is described.
    Change,
    /// Whether the cluster finds a node dead.
    Failure,
    /// Whether it is in maintenance.
    Maintenance,
    /// The value of a key.
    Value,
    /// Whether a check goes to and fro.
    Flapping,
    /// Something that happens and is over at once.
    Moment,
    /// Whether a watch can be followed.
    Outage,
}

impl Condition {
    /// Every one.
    pub const ALL: [Self; 10] = [
        Self::Status,
        Self::Registration,
        Self::Output,
        Self::Change,
        Self::Failure,
        Self::Maintenance,
        Self::Value,
        Self::Flapping,
        Self::Moment,
        Self::Outage,
    ];

    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Status => "status",
            Self::Registration => "registration",
            Self::Output => "output",
            Self::Change => "change",
            Self::Failure => "failure",
            Self::Maintenance => "maintenance",
            Self::Value => "value",
            Self::Flapping => "flapping",
            Self::Moment => "moment",
            Self::Outage => "outage",
        }
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl EventType {
    /// What it tells of.
    pub fn condition(self) -> Condition {
        match self {
            Self::CheckStatus => Condition::Status,
            Self::CheckOutput => Condition::Output,
            Self::CheckRegistered
            | Self::CheckDeregistered
            | Self::ServiceRegistered
            | Self::ServiceDeregistered
            | Self::NodeJoined
            | Self::NodeLeft
            | Self::RootAdded
            | Self::RootRemoved => Condition::Registration,
            Self::ServiceChanged | Self::NodeChanged | Self::RootChanged => Condition::Change,
            Self::NodeFailed | Self::NodeRecovered => Condition::Failure,
            Self::MaintenanceStarted | Self::MaintenanceEnded => Condition::Maintenance,
            Self::KvSet | Self::KvDeleted => Condition::Value,
            Self::FlappingStarted | Self::FlappingStopped => Condition::Flapping,
            Self::EventFired | Self::LeafIssued | Self::SourceSuspect | Self::DeliveryDead => {
                Condition::Moment
            }
            Self::SourceLost | Self::SourceRecovered => Condition::Outage,
        }
    }

    /// The kind of thing that its subject names.
    fn noun(self) -> &'static str {
        match self {
            Self::CheckStatus
            | Self::CheckRegistered
            | Self::CheckDeregistered
            | Self::CheckOutput
            | Self::FlappingStarted
            | Self::FlappingStopped => "check",
            Self::ServiceRegistered | Self::ServiceDeregistered | Self::ServiceChanged => "service",
            Self::NodeJoined
            | Self::NodeLeft
            | Self::NodeChanged
            | Self::NodeFailed
            | Self::NodeRecovered => "node",
            Self::MaintenanceStarted | Self::MaintenanceEnded => "maintenance",
            Self::KvSet | Self::KvDeleted => "key",
            Self::EventFired => "event",
            Self::RootAdded | Self::RootChanged | Self::RootRemoved => "root",
            Self::LeafIssued => "leaf",
            Self::SourceSuspect | Self::SourceLost | Self::SourceRecovered => "watch",
            Self::DeliveryDead => "delivery",
        }
    }

    /// The thing is gone, and with it all that was so of it.
    pub fn removes(self) -> bool {
        matches!(
            self,
            Self::CheckDeregistered
                | Self::ServiceDeregistered
                | Self::NodeLeft
                | Self::KvDeleted
                | Self::RootRemoved
        )
    }

    /// Something can follow it that ends what it tells.
    pub fn can_end(self) -> bool {
        self.condition() != Condition::Moment
    }
}

impl Event {
    /// The kind and the name of what it is about: a check and an instance may have the same name. What is over at once
    /// is about itself.
    pub fn thing(&self) -> String {
        let name = if self.kind.can_end() { &self.subject } else { &self.id };
        format!("{} {name}", self.kind.noun())
    }

    /// It tells that something is over, or as it should be.
    pub fn is_resolved(&self) -> bool {
        match self.kind {
            EventType::CheckStatus => {
                self.result().is_some_and(|check| check.to == Some(CheckStatus::Passing))
            }
            EventType::NodeRecovered
            | EventType::MaintenanceEnded
            | EventType::FlappingStopped
            | EventType::SourceRecovered => true,
            kind => kind.removes(),
        }
    }

    /// What it says of a check's result, if it tells of one.
    pub fn result(&self) -> Option<&CheckData> {
        self.data.check().filter(|_| self.kind == EventType::CheckStatus)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What follows each other, by the rows of the documentation.
    #[test]
    fn what_ends_something_tells_of_the_same_condition() {
        for (begins, ends) in [
            (EventType::CheckStatus, EventType::CheckStatus),
            (EventType::CheckRegistered, EventType::CheckDeregistered),
            (EventType::ServiceRegistered, EventType::ServiceDeregistered),
            (EventType::NodeJoined, EventType::NodeLeft),
            (EventType::NodeFailed, EventType::NodeRecovered),
            (EventType::MaintenanceStarted, EventType::MaintenanceEnded),
            (EventType::KvSet, EventType::KvDeleted),
            (EventType::FlappingStarted, EventType::FlappingStopped),
            (EventType::RootAdded, EventType::RootRemoved),
            (EventType::SourceLost, EventType::SourceRecovered),
        ] {
            assert_eq!(
                (begins.condition(), begins.noun()),
                (ends.condition(), ends.noun()),
                "{begins} {ends}"
            );
            assert!(begins.can_end(), "{begins}");
        }
        for moment in [EventType::EventFired, EventType::LeafIssued, EventType::DeliveryDead] {
            assert!(!moment.can_end(), "{moment}");
        }
    }
}
