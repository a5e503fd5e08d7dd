//! What events tell, by what they are about. The field names are those that rules match and templates use.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};

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
