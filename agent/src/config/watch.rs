//! `[[watch]]`: what is followed in Consul.

use toml::de::DeValue;

use super::reader::{Entry, Table};
use crate::catalog::CheckStatus;
use crate::consul::{Consistency, Watch, What};

/// The types of a watch, in Consul's words.
const TYPES: [&str; 8] = ["checks", "service", "services", "nodes", "node", "key", "keyprefix", "event"];

/// What is followed when nothing is said.
pub(super) fn default() -> Watch {
    What::NodeChecks.into()
}

pub(super) fn read(table: &mut Table<'_>) -> Option<Watch> {
    let what = match table.require("type", "type = \"checks\"", |entry| entry.word(&TYPES))? {
        "checks" => checks(table),
        "service" => service(table),
        "services" => Some(What::Services),
        "nodes" => Some(What::Nodes),
        "node" => Some(What::Node(table.get("node", Entry::string))),
        "key" => table.require("key", "key = \"app/color\"", path).map(What::Key),
        "keyprefix" => table.require("prefix", "prefix = \"app/\"", path).map(What::KeyPrefix),
        _ => Some(What::Events),
    };
    let filter = table.get("filter", Entry::string);
    let datacenter = table.get("datacenter", Entry::string);
    let stale = table.get("stale", Entry::flag).unwrap_or(false);
    let consistent = table.get("consistent", Entry::flag).unwrap_or(false);
    let cached = table.get("cached", Entry::flag).unwrap_or(false);
    let consistency = match (stale, consistent) {
        (true, true) => {
            return table.wrong(
                "a watch is `stale` or `consistent`, not both",
                "`stale` lets any server answer, `consistent` lets the leader ask the others first",
            );
        }
        (true, false) => Consistency::Stale,
        (false, true) => Consistency::Consistent,
        (false, false) => Consistency::Default,
    };
    if cached && consistent {
        return table.wrong("a watch is `cached` or `consistent`, not both", "leave one of them out");
    }
    Some(Watch { what: what?, filter, datacenter, consistency, cached })
}

/// Of the node, of one service, in one state, or all.
fn checks(table: &mut Table<'_>) -> Option<What> {
    let scope = table.get("scope", |entry| entry.word(&["node", "datacenter"]));
    let service = table.get("service", Entry::string);
    let state = table.get("state", |entry| {
        let words: Vec<_> = CheckStatus::ALL.into_iter().map(CheckStatus::as_str).chain(["any"]).collect();
        entry.word(&words)
    });
    match (scope, service, state) {
        (Some("datacenter"), None, None) => Some(What::StateChecks("any".into())),
        (Some("node") | None, None, None) => Some(What::NodeChecks),
        (Some("datacenter") | None, Some(service), None) => Some(What::ServiceChecks(service)),
        (Some("datacenter") | None, None, Some(state)) => Some(What::StateChecks(state.into())),
        _ => table.wrong(
            "these do not go together",
            "a watch of checks has a `scope`, or it is of one `service`, or of one `state`, in the whole datacenter",
        ),
    }
}

fn service(table: &mut Table<'_>) -> Option<What> {
    let service = table.require("service", "service = \"web\"", Entry::string);
    let tags = table.get("tag", |entry| match entry.value() {
        DeValue::String(_) => Some(vec![entry.string()?]),
        _ => entry.some("a tag or a list of tags", Entry::string),
    });
    let passing_only = table.get("passing_only", Entry::flag).unwrap_or(false);
    Some(What::Service { service: service?, tags: tags.unwrap_or_default(), passing_only })
}

/// A URL has no way to say `.` and `..`, and Consul takes a key without a slash before it.
fn path(entry: Entry<'_>) -> Option<String> {
    let path = entry.string()?;
    if path.starts_with('/') {
        return entry
            .wrong("keys begin without a slash", format!("write {:?}", path.trim_start_matches('/')));
    }
    if path.split('/').any(|part| part == "." || part == "..") {
        return entry.wrong("a part of a key is not `.` or `..`", "Consul cannot be asked for such a key");
    }
    Some(path)
}
