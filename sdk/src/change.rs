//! Events as types: what each kind of event tells, beside the JSON of `Event::data`.
//!
//! What an older Lictor does not tell is empty, and what a newer one tells more is left alone, so a plugin
//! need not be built anew for either.

mod data;

use serde::Serialize;

pub use data::{
    Check, Dead, InstanceBefore, Key, Leaf, Node, Root, Service, Source, Status, Undelivered, UserEvent,
};

use crate::{Event, Failure};

/// What happened.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
#[non_exhaustive]
pub enum Change {
    /// `check.status`: a check has another result than before.
    CheckStatus(Check),
    /// `check.registered`: a check appeared, or was registered anew.
    CheckRegistered(Check),
    /// `check.deregistered`: a check is gone.
    CheckDeregistered(Check),
    /// `check.output`: a check says something else with the same status.
    CheckOutput(Check),
    /// `flapping.started`: a check goes to and fro too often.
    FlappingStarted(Check),
    /// `flapping.stopped`: it does so no more.
    FlappingStopped(Check),
    /// `maintenance.started`: a node or an instance was put into maintenance.
    MaintenanceStarted(Check),
    /// `maintenance.ended`: it is out of it.
    MaintenanceEnded(Check),
    /// `node.failed`: the cluster finds a node dead.
    NodeFailed(Check),
    /// `node.recovered`: the cluster finds it alive again.
    NodeRecovered(Check),
    /// `node.joined`: a node is in the catalog that was not.
    NodeJoined(Node),
    /// `node.left`: a node is no longer in the catalog.
    NodeLeft(Node),
    /// `node.changed`: a node has another address, identifier or metadata.
    NodeChanged(Node),
    /// `service.registered`: an instance of a service appeared, or a service has its first one.
    ServiceRegistered(Service),
    /// `service.deregistered`: an instance is gone, or the last one of a service.
    ServiceDeregistered(Service),
    /// `service.changed`: an instance has another address, port, tags or metadata; a service has other tags.
    ServiceChanged(Service),
    /// `kv.set`: a key has another value, or is new.
    KvSet(Key),
    /// `kv.deleted`: a key is gone.
    KvDeleted(Key),
    /// `event.fired`: somebody fired a user event.
    EventFired(UserEvent),
    /// `root.added`: Connect's certificate authority has another root.
    RootAdded(Root),
    /// `root.changed`: one of its roots signs now, or no more.
    RootChanged(Root),
    /// `root.removed`: it has a root no more.
    RootRemoved(Root),
    /// `leaf.issued`: a service's certificate was issued anew.
    LeafIssued(Leaf),
    /// `source.suspect`: an answer of Consul is in doubt.
    SourceSuspect(Source),
    /// `source.lost`: something that is followed cannot be any more.
    SourceLost(Source),
    /// `source.recovered`: it can again.
    SourceRecovered(Source),
    /// `delivery.dead`: a delivery was given up.
    DeliveryDead(Dead),
    /// A kind that this SDK does not know yet; `Event::json` reads it.
    Other,
}

impl Event {
    /// What happened, as a type. Data that do not fit are a permanent failure.
    pub fn change(&self) -> Result<Change, Failure> {
        Ok(match self.type_.strip_prefix("lictor.").unwrap_or_default() {
            "check.status" => Change::CheckStatus(self.json()?),
            "check.registered" => Change::CheckRegistered(self.json()?),
            "check.deregistered" => Change::CheckDeregistered(self.json()?),
            "check.output" => Change::CheckOutput(self.json()?),
            "flapping.started" => Change::FlappingStarted(self.json()?),
            "flapping.stopped" => Change::FlappingStopped(self.json()?),
            "maintenance.started" => Change::MaintenanceStarted(self.json()?),
            "maintenance.ended" => Change::MaintenanceEnded(self.json()?),
            "node.failed" => Change::NodeFailed(self.json()?),
            "node.recovered" => Change::NodeRecovered(self.json()?),
            "node.joined" => Change::NodeJoined(self.json()?),
            "node.left" => Change::NodeLeft(self.json()?),
            "node.changed" => Change::NodeChanged(self.json()?),
            "service.registered" => Change::ServiceRegistered(self.json()?),
            "service.deregistered" => Change::ServiceDeregistered(self.json()?),
            "service.changed" => Change::ServiceChanged(self.json()?),
            "kv.set" => Change::KvSet(self.json()?),
            "kv.deleted" => Change::KvDeleted(self.json()?),
            "event.fired" => Change::EventFired(self.json()?),
            "root.added" => Change::RootAdded(self.json()?),
            "root.changed" => Change::RootChanged(self.json()?),
            "root.removed" => Change::RootRemoved(self.json()?),
            "leaf.issued" => Change::LeafIssued(self.json()?),
            "source.suspect" => Change::SourceSuspect(self.json()?),
            "source.lost" => Change::SourceLost(self.json()?),
            "source.recovered" => Change::SourceRecovered(self.json()?),
            "delivery.dead" => Change::DeliveryDead(self.json()?),
            _ => Change::Other,
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::testing;

    #[test]
    fn each_sample_is_a_type_that_has_all_that_is_told() {
        for kind in testing::SAMPLES {
            let event = testing::sample(kind);
            let change = event.change().unwrap();
            assert_ne!(change, Change::Other, "{kind}");
            let Value::Object(typed) = serde_json::to_value(&change).unwrap() else { panic!("{kind}") };
            let Value::Object(mut told) = event.json().unwrap() else { panic!("{kind}") };
            if matches!(change, Change::DeliveryDead(_)) {
                // The rest is what was not delivered.
                told.retain(|name, _| {
                    ["delivery", "datacenter", "environment", "catch_up"].contains(&name.as_str())
                });
            }
            for (name, value) in told {
                assert_eq!(typed.get(&name), Some(&value), "{kind}: {name}");
            }
        }
    }

    #[test]
    fn what_is_not_told_is_empty_and_what_is_more_is_left_alone() {
        let Ok(Change::CheckStatus(check)) = testing::event(&json!({ "to": "critical", "new": 1 })).change()
        else {
            panic!("no change of a check")
        };
        assert_eq!(check, Check { to: Some(Status::Critical), ..Check::default() });
        let newer = Event { type_: "lictor.lock.taken".into(), ..testing::event(&json!({})) };
        assert_eq!(newer.change(), Ok(Change::Other));
        let failure = testing::event(&json!({ "to": "fine" })).change().unwrap_err();
        assert!(
            matches!(&failure, Failure::Permanent(why) if why.starts_with("data of event e1: ")),
            "{failure}"
        );
    }
}
