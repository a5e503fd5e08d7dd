//! Events as types: what each kind of event tells, beside the JSON of `Event::data`.
//!
//! What an older Lictor does not tell is empty, and what a newer one tells more is left alone, so a plugin
//! need not be built anew for either.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};

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

/// The result of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// All is well.
    Passing,
    /// Something may become worse.
    Warning,
    /// Something is broken.
    Critical,
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Passing => "passing",
            Self::Warning => "warning",
            Self::Critical => "critical",
        })
    }
}

/// A struct of an event's data, with what all of them have.
macro_rules! data {
    ($(#[$about:meta])* $name:ident { $($(#[$field_about:meta])* $field:ident: $type:ty,)* }) => {
        $(#[$about])*
        #[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
        #[serde(default)]
        #[non_exhaustive]
        pub struct $name {
            $($(#[$field_about])* pub $field: $type,)*
            /// The datacenter that was asked.
            pub datacenter: String,
            /// For example `production`; empty where none is configured.
            pub environment: String,
            /// It happened while Lictor was away.
            pub catch_up: bool,
        }
    };
}

data! {
    /// A check.
    Check {
        /// The node that it belongs to.
        node: String,
        /// The metadata of that node, where it is Lictor's own.
        node_meta: BTreeMap<String, String>,
        /// Unique on its node.
        check_id: String,
        /// What a person called it.
        check_name: String,
        /// Empty for a check of the node itself.
        service_id: String,
        /// Empty for a check of the node itself.
        service: String,
        /// The tags of the service.
        service_tags: Vec<String>,
        /// The result before; none for the first one.
        from: Option<Status>,
        /// The result now; none when the check is gone.
        to: Option<Status>,
        /// When the former state began: RFC 3339.
        since: String,
        /// What its last run said.
        output: String,
        /// What a person wrote about it.
        notes: String,
        /// It was registered and has not run yet.
        initial: bool,
        /// Consul wrote it more often than its answers showed.
        coalesced: bool,
        /// Its result goes to and fro too often.
        flapping: bool,
        /// The cluster finds its node dead.
        node_failed: bool,
        /// How many instances of its service pass, of those that the watch shows; none where that is not known.
        passing_left: Option<u32>,
        /// Their share of all, from 0 to 1.
        passing_left_share: Option<f64>,
        /// `primary`, `secondary` or `standalone`.
        node_role: String,
        /// Consul's index when it was registered.
        create_index: u64,
        /// Consul's index when it was last written.
        modify_index: u64,
    }
}

data! {
    /// An instance of a service, or a service as a whole: then `node` is empty.
    Service {
        /// The name of the service.
        service: String,
        /// The tags, as they are now.
        service_tags: Vec<String>,
        /// Of a service as a whole: its tags before, where they are others.
        tags_before: Option<Vec<String>>,
        /// The node that the instance runs on.
        node: String,
        /// The metadata of that node.
        node_meta: BTreeMap<String, String>,
        /// Unique on its node.
        service_id: String,
        /// The metadata of the instance.
        service_meta: BTreeMap<String, String>,
        /// Where it is reached.
        address: String,
        /// 0: it has none.
        port: u16,
        /// Which of `address`, `port`, `service_tags` and `service_meta` are others than before.
        changed: Vec<String>,
        /// What they were; none where nothing of it changed.
        before: Option<InstanceBefore>,
        /// `primary`, `secondary` or `standalone`.
        node_role: String,
        /// Consul's index when it was registered.
        create_index: u64,
        /// Consul's index when it was last written.
        modify_index: u64,
    }
}

/// What an instance was before it changed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct InstanceBefore {
    /// Where it was reached.
    pub address: String,
    /// 0: it had none.
    pub port: u16,
    /// Its tags.
    pub service_tags: Vec<String>,
    /// Its metadata.
    pub service_meta: BTreeMap<String, String>,
}

data! {
    /// A node.
    Node {
        /// Its name.
        node: String,
        /// Consul's identifier for it; empty for one that was registered without.
        node_id: String,
        /// Where it is reached.
        node_address: String,
        /// Its metadata.
        node_meta: BTreeMap<String, String>,
        /// Which of `node_id`, `node_address` and `node_meta` are others than before.
        changed: Vec<String>,
        /// Consul's index when it joined.
        create_index: u64,
        /// Consul's index when it was last written.
        modify_index: u64,
    }
}

data! {
    /// A key of the key/value store.
    Key {
        /// The whole key.
        key: String,
        /// Its value; none when it is gone or no text.
        value: Option<String>,
        /// Its value in base64, where it is no text.
        value_base64: Option<String>,
        /// The value before; none when it is new or was no text.
        old_value: Option<String>,
        /// The value before in base64, where it was no text.
        old_value_base64: Option<String>,
        /// A number that a client may set.
        flags: u64,
        /// The session that holds it; empty where none does.
        session: String,
        /// Consul's index when it was made.
        create_index: u64,
        /// Consul's index when it was last written.
        modify_index: u64,
    }
}

data! {
    /// A user event.
    UserEvent {
        /// Unique.
        user_event_id: String,
        /// What it is called.
        name: String,
        /// What it carries; none where that is no text.
        payload: Option<String>,
        /// The same in base64, where it is no text.
        payload_base64: Option<String>,
        /// A regular expression for the nodes that it is for; empty for all.
        node_filter: String,
        /// The same for services.
        service_filter: String,
        /// The same for the tags of services.
        tag_filter: String,
        /// Lamport's clock of the cluster when it was fired.
        ltime: u64,
        /// How many before it were not seen, at most.
        lost: u64,
    }
}

data! {
    /// A root of Connect's certificate authority.
    Root {
        /// Unique.
        root_id: String,
        /// What it is called.
        name: String,
        /// New certificates are signed with it.
        active: bool,
        /// The host part of the identities that it vouches for.
        trust_domain: String,
        /// From when on it counts: RFC 3339.
        not_before: String,
        /// Until when: RFC 3339.
        not_after: String,
        /// PEM.
        certificate: String,
        /// Consul's index when it was made.
        create_index: u64,
        /// Consul's index when it was last written.
        modify_index: u64,
    }
}

data! {
    /// The certificate of a service, without its private key.
    Leaf {
        /// The name of the service.
        service: String,
        /// That of the certificate.
        serial_number: String,
        /// The identity that it vouches for.
        service_uri: String,
        /// From when on it counts: RFC 3339.
        valid_after: String,
        /// Until when: RFC 3339.
        valid_before: String,
        /// PEM.
        certificate: String,
        /// Consul's index when it was made.
        create_index: u64,
        /// Consul's index when it was last written.
        modify_index: u64,
    }
}

data! {
    /// A watch of Lictor's that cannot be followed, or can again.
    Source {
        /// The node that Lictor runs beside.
        node: String,
        /// Its name: what it asks for.
        watch: String,
        /// Why it could not be followed.
        reason: String,
        /// Since when it could not: RFC 3339.
        since: String,
    }
}

data! {
    /// A delivery that was given up. What it was to tell is in `Event::data` too.
    Dead {
        /// What was given up.
        delivery: Undelivered,
    }
}

/// What was given up.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Undelivered {
    /// Its id.
    pub id: String,
    /// The rule that wanted it.
    pub rule: String,
    /// The receiver that did not get it.
    pub receiver: String,
    /// How many attempts were made.
    pub attempts: u32,
    /// How the last one ended: a word, such as `permanent` or `deadline`.
    pub outcome: String,
    /// Why.
    pub detail: String,
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
