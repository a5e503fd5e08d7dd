//! The shape of an event: `CloudEvents` attributes and typed data.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::catalog::CheckStatus;

/// What kind of change an event tells of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EventType {
    /// A check has another result than before.
    CheckStatus,
    /// A check appeared, or was registered anew.
    CheckRegistered,
    /// A check is gone.
    CheckDeregistered,
    /// A check says something else, with the same status.
    CheckOutput,
    /// A delivery was given up.
    DeliveryDead,
}

/// Not the name of an event type.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("read event type {0:?}")]
pub struct UnknownType(pub String);

impl EventType {
    /// Every type, in the order of the documentation.
    pub const ALL: [Self; 5] = [
        Self::CheckStatus,
        Self::CheckRegistered,
        Self::CheckDeregistered,
        Self::CheckOutput,
        Self::DeliveryDead,
    ];

    /// The short form, as rules write it. The `CloudEvents` type has `lictor.` before it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::CheckStatus => "check.status",
            Self::CheckRegistered => "check.registered",
            Self::CheckDeregistered => "check.deregistered",
            Self::CheckOutput => "check.output",
            Self::DeliveryDead => "delivery.dead",
        }
    }
}

impl fmt::Display for EventType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for EventType {
    type Err = UnknownType;

    fn from_str(word: &str) -> Result<Self, UnknownType> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word).ok_or_else(|| UnknownType(word.into()))
    }
}

/// One change in Consul's state.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// Derived from the change, so that two agents that see it agree: 32 hexadecimal digits.
    pub id: String,
    /// `consul://<datacenter>`.
    pub source: String,
    /// What kind of change.
    pub kind: EventType,
    /// `<node>/<check id>`.
    pub subject: String,
    /// When Lictor saw it.
    pub time: Timestamp,
    /// What happened.
    pub data: CheckData,
}

/// What a check event tells. The field names are those that rules match and templates use.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CheckData {
    /// The node that the check belongs to.
    pub node: String,
    /// The metadata of that node.
    pub node_meta: BTreeMap<String, String>,
    /// The node's datacenter.
    pub datacenter: String,
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
    /// It happened while Lictor was away.
    pub catch_up: bool,
    /// `[agent] environment`, else the node's metadata `environment`, else empty.
    pub environment: String,
    /// `primary`, `secondary` or `standalone`.
    pub node_role: NodeRole,
    /// Consul's index when the check was registered.
    pub create_index: u64,
    /// Consul's index when the check was last written.
    pub modify_index: u64,
    /// Only in `delivery.dead`: what was given up. The rest is what it was to tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delivery: Option<Undelivered>,
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
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Primary => "primary",
            Self::Secondary => "secondary",
            Self::Standalone => "standalone",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_know_every_name_in_the_data() {
        let data = CheckData {
            node: String::new(),
            node_meta: BTreeMap::new(),
            datacenter: String::new(),
            check_id: String::new(),
            check_name: String::new(),
            service_id: String::new(),
            service: String::new(),
            service_tags: Vec::new(),
            from: None,
            to: None,
            since: Timestamp::UNIX_EPOCH,
            output: String::new(),
            notes: String::new(),
            initial: false,
            catch_up: false,
            environment: String::new(),
            node_role: NodeRole::Standalone,
            create_index: 0,
            modify_index: 0,
            delivery: Some(Undelivered {
                id: String::new(),
                rule: String::new(),
                receiver: String::new(),
                attempts: 0,
                outcome: String::new(),
                detail: String::new(),
            }),
        };
        let json = serde_json::to_value(data).unwrap();
        let mut names: Vec<_> = json.as_object().unwrap().keys().map(String::as_str).collect();
        let mut known = lictor_sdk::template::DATA.to_vec();
        names.sort_unstable();
        known.sort_unstable();
        assert_eq!(names, known);
    }
}
