//! What events tell. The field names are those that rules match and templates use.
//!
//! Boundary: plain data. In JSON all of it is one flat object, so that `data.node` is a node whatever the event is.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::NodeRole;
use crate::catalog::CheckStatus;

/// What an event tells.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EventData {
    /// The datacenter that was asked.
    pub datacenter: String,
    /// `[agent] environment`, else the metadata `environment` of Lictor's node, else empty.
    pub environment: String,
    /// It happened while Lictor was away.
    pub catch_up: bool,
    /// What it is about.
    #[serde(flatten)]
    pub about: About,
    /// Only in `delivery.dead`: what was given up. The rest is what it was to tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delivery: Option<Undelivered>,
}

/// What an event is about. Each has a field that no other one has, by which it is read back.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum About {
    /// `check.*`, `maintenance.*`, `node.failed` and `node.recovered`.
    Check(CheckData),
    /// `service.*` of one instance.
    Instance(InstanceData),
    /// `node.joined`, `node.left` and `node.changed`.
    Node(NodeData),
    /// `kv.*`.
    Key(KeyData),
    /// `event.fired`.
    Fired(FiredData),
    /// `root.*`.
    Root(RootData),
    /// `leaf.issued`.
    Leaf(LeafData),
    /// `source.*`.
    Source(SourceData),
    /// `service.*` of a whole service. The last one, since its fields are also those of an instance.
    Service(ServiceData),
}

/// A check.
#[expect(clippy::struct_excessive_bools, reason = "each is an attribute of its own, that rules match")]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CheckData {
    /// The node that the check belongs to.
    pub node: String,
    /// The metadata of that node, where it is Lictor's own; else empty: Consul does not tell it with checks.
    pub node_meta: BTreeMap<String, String>,
    /// Unique on its node.
    pub check_id: String,
    /// What a person called it.
    pub check_name: String,
    /// Empty for a check of the node itself.
    pub service_id: String,
    /// Empty for a check of the node itself.
    pub service: String,
    /// The tags of the service.
    pub service_tags: Vec<String>,
    /// The result before; null for the first one.
    pub from: Option<CheckStatus>,
    /// The result now; null when the check is gone.
    pub to: Option<CheckStatus>,
    /// When the former state began.
    pub since: Timestamp,
    /// What the check's last run said.
    pub output: String,
    /// What a person wrote about the check.
    pub notes: String,
    /// The check was registered and has not run yet: its `critical` is Consul's default, no result.
    pub initial: bool,
    /// Consul wrote the check at least once more than its answers showed, and nothing of it is another: a change
    /// and its way back, for example.
    #[serde(default)]
    pub coalesced: bool,
    /// Its result goes to and fro too often.
    #[serde(default)]
    pub flapping: bool,
    /// The cluster finds the check's node dead, so what the check said is of the past.
    #[serde(default)]
    pub node_failed: bool,
    /// How many instances of its service pass, of those that the watch shows: an instance passes where its checks and
    /// those of its node pass. Null for a check of a node, and where the watch has only checks of some state.
    #[serde(default)]
    pub passing_left: Option<u32>,
    /// Their share of all that the watch shows, from 0 to 1.
    #[serde(default)]
    pub passing_left_share: Option<f64>,
    /// `primary`, `secondary` or `standalone`.
    pub node_role: NodeRole,
    /// Consul's index when the check was registered.
    pub create_index: u64,
    /// Consul's index when the check was last written.
    pub modify_index: u64,
}

/// An instance of a service: as it is, or as it was when it is gone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct InstanceData {
    /// The node that it runs on.
    pub node: String,
    /// The metadata of that node.
    pub node_meta: BTreeMap<String, String>,
    /// Unique on its node.
    pub service_id: String,
    /// The name of the service.
    pub service: String,
    /// Its tags.
    pub service_tags: Vec<String>,
    /// Its metadata.
    pub service_meta: BTreeMap<String, String>,
    /// Where it is reached: its own address, else that of its node.
    pub address: String,
    /// 0: it has none.
    pub port: u16,
    /// Which of `address`, `port`, `service_tags` and `service_meta` are others than before.
    pub changed: Vec<String>,
    /// What they were; null where nothing of it changed.
    pub before: Option<InstanceFacts>,
    /// `primary`, `secondary` or `standalone`.
    pub node_role: NodeRole,
    /// Consul's index when it was registered.
    pub create_index: u64,
    /// Consul's index when it was last written.
    pub modify_index: u64,
}

/// What may change of an instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceFacts {
    /// Where it was reached.
    pub address: String,
    /// 0: it had none.
    pub port: u16,
    /// Its tags.
    pub service_tags: Vec<String>,
    /// Its metadata.
    pub service_meta: BTreeMap<String, String>,
}

/// A service, whatever instances it has.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ServiceData {
    /// Its name.
    pub service: String,
    /// All tags of its instances.
    pub service_tags: Vec<String>,
    /// The tags before; null where they are the same.
    pub tags_before: Option<Vec<String>>,
}

/// A node: as it is, or as it was when it is gone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NodeData {
    /// Its name.
    pub node: String,
    /// Consul's identifier for it; empty for one that was registered without.
    pub node_id: String,
    /// Where it is reached.
    pub node_address: String,
    /// Its metadata.
    pub node_meta: BTreeMap<String, String>,
    /// Which of `node_id`, `node_address` and `node_meta` are others than before.
    pub changed: Vec<String>,
    /// Consul's index when it joined.
    pub create_index: u64,
    /// Consul's index when it was last written.
    pub modify_index: u64,
}

/// A key of the key/value store.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KeyData {
    /// The whole key.
    pub key: String,
    /// Its value; null when it is gone or no text.
    pub value: Option<String>,
    /// Its value in base64, where it is no text.
    pub value_base64: Option<String>,
    /// The value before; null when it is new or was no text.
    pub old_value: Option<String>,
    /// The value before in base64, where it was no text.
    pub old_value_base64: Option<String>,
    /// A number that a client may set.
    pub flags: u64,
    /// The session that holds it; empty where none does.
    pub session: String,
    /// Consul's index when it was made.
    pub create_index: u64,
    /// Consul's index when it was last written.
    pub modify_index: u64,
}

/// A user event.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FiredData {
    /// Unique.
    pub user_event_id: String,
    /// What it is called.
    pub name: String,
    /// What it carries; null where that is no text.
    pub payload: Option<String>,
    /// The same in base64, where it is no text.
    pub payload_base64: Option<String>,
    /// A regular expression for the nodes that it is for; empty for all.
    pub node_filter: String,
    /// The same for services.
    pub service_filter: String,
    /// The same for the tags of services.
    pub tag_filter: String,
    /// Lamport's clock of the cluster when it was fired.
    pub ltime: u64,
    /// How many before it were not seen, at most: an agent keeps 256. 0 for all but the first one after a gap.
    pub lost: u64,
}

/// A root of Connect's certificate authority.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RootData {
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

/// The certificate of a service, without its private key.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LeafData {
    /// The name of the service.
    pub service: String,
    /// That of the certificate.
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

/// A watch that cannot be followed, or can again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SourceData {
    /// The node that Lictor runs beside.
    pub node: String,
    /// Its name: what it asks for.
    pub watch: String,
    /// Why it could not be followed.
    pub reason: String,
    /// Since when it could not.
    pub since: Timestamp,
}

/// A delivery that was given up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Undelivered {
    /// 32 hexadecimal digits.
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

impl EventData {
    /// The check that it is about, if it is one.
    pub fn check(&self) -> Option<&CheckData> {
        match &self.about {
            About::Check(check) => Some(check),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn data(about: About) -> EventData {
        let delivery = Undelivered {
            id: "d".into(),
            rule: "r".into(),
            receiver: "mail".into(),
            attempts: 3,
            outcome: "permanent".into(),
            detail: "no".into(),
        };
        EventData {
            datacenter: "dc1".into(),
            environment: String::new(),
            catch_up: false,
            about,
            delivery: Some(delivery),
        }
    }

    fn text() -> String {
        "text".to_owned()
    }

    fn meta() -> BTreeMap<String, String> {
        BTreeMap::from([("rack".to_owned(), "r7".to_owned())])
    }

    fn check() -> CheckData {
        CheckData {
            node: text(),
            node_meta: meta(),
            check_id: text(),
            check_name: text(),
            service_id: text(),
            service: text(),
            service_tags: vec![text()],
            from: None,
            to: Some(CheckStatus::Critical),
            since: Timestamp::UNIX_EPOCH,
            output: text(),
            notes: text(),
            initial: false,
            coalesced: true,
            flapping: false,
            node_failed: false,
            passing_left: Some(2),
            passing_left_share: Some(0.5),
            node_role: NodeRole::Primary,
            create_index: u64::MAX,
            modify_index: 7,
        }
    }

    fn instance() -> InstanceData {
        InstanceData {
            node: text(),
            node_meta: meta(),
            service_id: text(),
            service: text(),
            service_tags: vec![],
            service_meta: meta(),
            address: text(),
            port: 8080,
            changed: vec!["port".into()],
            before: Some(InstanceFacts {
                address: text(),
                port: 1,
                service_tags: vec![],
                service_meta: meta(),
            }),
            node_role: NodeRole::Standalone,
            create_index: 7,
            modify_index: u64::MAX,
        }
    }

    fn key() -> KeyData {
        KeyData {
            key: text(),
            value: Some(text()),
            value_base64: None,
            old_value: None,
            old_value_base64: Some(text()),
            flags: u64::MAX,
            session: text(),
            create_index: 7,
            modify_index: 8,
        }
    }

    fn fired() -> FiredData {
        FiredData {
            user_event_id: text(),
            name: text(),
            payload: None,
            payload_base64: Some(text()),
            node_filter: text(),
            service_filter: text(),
            tag_filter: text(),
            ltime: 9,
            lost: 2,
        }
    }

    fn root() -> RootData {
        RootData {
            root_id: text(),
            name: text(),
            active: true,
            trust_domain: text(),
            not_before: text(),
            not_after: text(),
            certificate: text(),
            create_index: 7,
            modify_index: 8,
        }
    }

    fn leaf() -> LeafData {
        LeafData {
            service: text(),
            serial_number: text(),
            service_uri: text(),
            valid_after: text(),
            valid_before: text(),
            certificate: text(),
            create_index: 7,
            modify_index: 8,
        }
    }

    /// One of each kind.
    fn abouts() -> [About; 9] {
        let node = NodeData {
            node: text(),
            node_id: text(),
            node_address: text(),
            node_meta: meta(),
            changed: vec![],
            create_index: 7,
            modify_index: 8,
        };
        let source = SourceData { node: text(), watch: text(), reason: text(), since: Timestamp::UNIX_EPOCH };
        let service = ServiceData { service: text(), service_tags: vec![text()], tags_before: None };
        [
            About::Check(check()),
            About::Instance(instance()),
            About::Node(node),
            About::Key(key()),
            About::Fired(fired()),
            About::Root(root()),
            About::Leaf(leaf()),
            About::Source(source),
            About::Service(service),
        ]
    }

    #[test]
    fn what_is_written_is_read_back_as_what_it_is() {
        for about in abouts() {
            let whole = data(about);
            let json = serde_json::to_string(&whole).unwrap();
            assert_eq!(serde_json::from_str::<EventData>(&json).unwrap(), whole, "{json}");
        }
    }

    #[test]
    fn templates_know_every_name_in_the_data() {
        let names = |about| match serde_json::to_value(data(about)).unwrap() {
            serde_json::Value::Object(fields) => fields.into_iter().map(|(name, _)| name),
            other => panic!("{other} is no object"),
        };
        let all: BTreeSet<_> = abouts().into_iter().flat_map(names).collect();
        let known: BTreeSet<_> = lictor_sdk::template::DATA.iter().map(|&name| name.to_owned()).collect();
        assert_eq!(all, known);
    }

    proptest! {
        #[test]
        fn no_text_makes_reading_panic(text in ".{0,200}") {
            drop(serde_json::from_str::<EventData>(&text));
        }
    }
}
