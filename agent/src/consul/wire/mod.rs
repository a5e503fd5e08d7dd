//! Consul's JSON, and how it becomes the nouns of `catalog`.
//!
//! Boundary: bytes in, plain data out. Fields that we do not use are ignored, so a newer Consul is
//! no surprise; a field that we live by and that is missing is an error that names it, never a
//! default: an empty `ServiceID`, for example, would turn a service's check into its node's.
//!
//! Invariant: no bytes make this panic.

mod agent;
mod before;
mod entries;
mod rights;

use std::collections::BTreeMap;

use serde::Deserialize;

pub(super) use agent::{leaf, own_service, roots};
pub use before::Before;
pub(super) use entries::{instances, keys, nodes, of_node, services, user_events};
pub(super) use rights::{first_denied, question};

use super::Garbage;
use crate::catalog::{self, CheckStatus, LocalNode};

/// Bytes of an output or of notes that are kept: as many as an agent keeps of an output.
const TEXT_MAX: usize = 4096;

/// One element of `/v1/health/node/<node>` and its kin.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Check {
    node: Option<String>,
    #[serde(rename = "CheckID")]
    id: Option<String>,
    name: Option<String>,
    #[serde(rename = "Type")]
    kind: Option<String>,
    status: Option<String>,
    notes: Option<String>,
    output: Option<String>,
    #[serde(rename = "ServiceID")]
    service_id: Option<String>,
    service_name: Option<String>,
    /// `null` for no tags.
    service_tags: Option<Vec<String>>,
    create_index: Option<u64>,
    modify_index: Option<u64>,
}

/// What we need of `/v1/agent/self`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Agent {
    config: Option<AgentConfig>,
    /// `null` for no metadata.
    meta: Option<BTreeMap<String, String>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct AgentConfig {
    node_name: Option<String>,
    datacenter: Option<String>,
}

/// Reads a list of checks; `null` is an empty one.
fn checks(body: &[u8]) -> Result<Vec<catalog::Check>, Garbage> {
    let list: Option<Vec<Check>> = serde_json::from_slice(body)?;
    list.unwrap_or_default().into_iter().map(Check::read).collect()
}

/// Reads an agent's own checks: the outputs of those that fail with a word, by their ids.
pub(super) fn failures(body: &[u8]) -> Result<BTreeMap<String, String>, Garbage> {
    let checks: Option<BTreeMap<String, Check>> = serde_json::from_slice(body)?;
    let critical = |check: &Check| check.status.as_deref() == Some(CheckStatus::Critical.as_str());
    let failures = checks.unwrap_or_default().into_iter().filter(|(_, check)| critical(check));
    let spoken = failures
        .filter_map(|(id, check)| Some((id, cut(check.output?))))
        .filter(|(_, output)| !output.is_empty());
    Ok(spoken.collect())
}

/// The beginning of a text that anybody who registers a check can make as long as they like. The agent
/// itself keeps 4 KiB of an output.
fn cut(mut text: String) -> String {
    text.truncate(text.floor_char_boundary(TEXT_MAX));
    text
}

/// Reads what an agent says of itself.
pub(super) fn local_node(body: &[u8]) -> Result<LocalNode, Garbage> {
    let missing = |field| Garbage::MissingField { thing: "the agent's description".into(), field };
    let agent: Agent = serde_json::from_slice(body)?;
    let config = agent.config.ok_or_else(|| missing("Config"))?;
    Ok(LocalNode {
        name: config.node_name.filter(|name| !name.is_empty()).ok_or_else(|| missing("NodeName"))?,
        datacenter: config.datacenter.ok_or_else(|| missing("Datacenter"))?,
        meta: agent.meta.unwrap_or_default(),
    })
}

impl Check {
    fn read(self) -> Result<catalog::Check, Garbage> {
        let anonymous = || Garbage::MissingField { thing: "a check".into(), field: "CheckID" };
        let check_id = self.id.ok_or_else(anonymous)?;
        let missing = |field| Garbage::MissingField { thing: format!("check {check_id:?}"), field };
        let status = self.status.ok_or_else(|| missing("Status"))?;
        Ok(catalog::Check {
            node: self.node.ok_or_else(|| missing("Node"))?,
            name: self.name.ok_or_else(|| missing("Name"))?,
            kind: self.kind.unwrap_or_default(),
            status: status.parse().map_err(|source| Garbage::Status { check: check_id.clone(), source })?,
            notes: cut(self.notes.ok_or_else(|| missing("Notes"))?),
            output: cut(self.output.ok_or_else(|| missing("Output"))?),
            service_id: self.service_id.ok_or_else(|| missing("ServiceID"))?,
            service: self.service_name.ok_or_else(|| missing("ServiceName"))?,
            service_tags: self.service_tags.unwrap_or_default(),
            create_index: self.create_index.ok_or_else(|| missing("CreateIndex"))?,
            modify_index: self.modify_index.ok_or_else(|| missing("ModifyIndex"))?,
            check_id,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;
    use crate::catalog::CheckStatus;
    use crate::chain::chain;

    fn web() -> Value {
        json!({
            "Node": "n1", "CheckID": "service:web", "Name": "web alive", "Status": "warning",
            "Notes": "who to call", "Output": "429", "ServiceID": "web-1", "ServiceName": "web",
            "ServiceTags": ["a", "b"], "CreateIndex": 7, "ModifyIndex": u64::MAX,
            "Definition": {}, "Type": "http", "SomethingNew": [1, {"deep": null}],
        })
    }

    #[track_caller]
    fn check_fault(edit: impl FnOnce(&mut Value), want: &str) {
        let mut check = web();
        edit(&mut check);
        let error = checks(json!([check]).to_string().as_bytes()).unwrap_err();
        assert_eq!(chain(&error), want);
    }

    #[test]
    fn texts_are_kept_as_far_as_an_agent_keeps_them() {
        let long = format!("a{}", "\u{fc}".repeat(3000));
        let mut check = web();
        (check["Output"], check["Notes"]) = (long.clone().into(), long.into());
        let found = checks(json!([check]).to_string().as_bytes()).unwrap().remove(0);
        // A character of two bytes begins at the last one, so it is left out whole.
        assert_eq!((found.output.len(), found.notes.len()), (TEXT_MAX - 1, TEXT_MAX - 1));
    }

    #[test]
    fn of_the_agents_own_checks_those_that_fail_with_a_word_are_read() {
        let body = json!({
            "down": { "CheckID": "down", "Status": "critical", "Output": "refused" },
            "new": { "CheckID": "new", "Status": "critical", "Output": "" },
            "up": { "CheckID": "up", "Status": "passing", "Output": "ok" },
        });
        let found = failures(body.to_string().as_bytes()).unwrap();
        assert_eq!(found, BTreeMap::from([("down".to_owned(), "refused".to_owned())]));
        assert!(failures(b"null").unwrap().is_empty());
        assert!(failures(b"[]").is_err());
    }

    #[test]
    fn a_check_is_read_and_unknown_fields_are_ignored() {
        let found = checks(json!([web()]).to_string().as_bytes()).unwrap();
        let want = catalog::Check {
            node: "n1".into(),
            check_id: "service:web".into(),
            name: "web alive".into(),
            kind: "http".into(),
            status: CheckStatus::Warning,
            notes: "who to call".into(),
            output: "429".into(),
            service_id: "web-1".into(),
            service: "web".into(),
            service_tags: vec!["a".into(), "b".into()],
            create_index: 7,
            modify_index: u64::MAX,
        };
        assert_eq!(found, [want]);
    }

    #[test]
    fn null_is_an_empty_list() {
        assert_eq!(checks(b"null").unwrap(), []);
        assert_eq!(checks(b"[]").unwrap(), []);
        let mut check = web();
        check["ServiceTags"] = Value::Null;
        let found = checks(json!([check]).to_string().as_bytes()).unwrap();
        assert_eq!(found[0].service_tags, Vec::<String>::new());
    }

    #[test]
    fn a_check_that_makes_no_sense_is_named() {
        check_fault(
            |check| check["Status"] = "maintenance".into(),
            r#"read check "service:web": read check status "maintenance": not passing, warning or critical"#,
        );
        check_fault(|check| drop(check["CheckID"].take()), "read a check: the field CheckID is missing");
        for field in [
            "Node",
            "Name",
            "Status",
            "Notes",
            "Output",
            "ServiceID",
            "ServiceName",
            "CreateIndex",
            "ModifyIndex",
        ] {
            check_fault(
                |check| drop(check.as_object_mut().unwrap().remove(field)),
                &format!(r#"read check "service:web": the field {field} is missing"#),
            );
        }
    }

    #[test]
    fn an_agent_is_read() {
        let body =
            json!({"Config": {"NodeName": "n1", "Datacenter": "dc1"}, "Meta": {"rack": "7"}, "Stats": {}});
        let node = local_node(body.to_string().as_bytes()).unwrap();
        let meta = BTreeMap::from([("rack".into(), "7".into())]);
        assert_eq!(node, LocalNode { name: "n1".into(), datacenter: "dc1".into(), meta });

        let body = json!({"Config": {"NodeName": "n1", "Datacenter": "dc1"}, "Meta": null});
        assert_eq!(local_node(body.to_string().as_bytes()).unwrap().meta, BTreeMap::new());
    }

    #[test]
    fn an_agent_that_makes_no_sense_is_told_by_field() {
        let fault = |body: Value| local_node(body.to_string().as_bytes()).unwrap_err().to_string();
        let want = |field| format!("read the agent's description: the field {field} is missing");
        assert_eq!(fault(json!({})), want("Config"));
        assert_eq!(fault(json!({"Config": {"Datacenter": "dc1"}})), want("NodeName"));
        assert_eq!(fault(json!({"Config": {"NodeName": "n1"}})), want("Datacenter"));
        assert_eq!(fault(json!([])), "read the body as JSON");
    }

    /// Bytes that look like an answer with a few of them overwritten, cut or repeated.
    fn damaged() -> impl Strategy<Value = Vec<u8>> {
        let body = json!([web(), web()]).to_string().into_bytes();
        let hits = prop::collection::vec((0..body.len(), any::<u8>()), 0..8);
        (hits, 0..=body.len()).prop_map(move |(hits, length)| {
            let mut body = body.clone();
            for (at, byte) in hits {
                body[at] = byte;
            }
            body.truncate(length);
            body
        })
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..512)) {
            drop((checks(&bytes), local_node(&bytes)));
        }

        #[test]
        fn no_damage_makes_it_panic(bytes in damaged()) {
            drop((checks(&bytes), local_node(&bytes)));
        }
    }
}
