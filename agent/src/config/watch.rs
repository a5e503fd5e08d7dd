//! `[[watch]]`: what is followed in Consul.

use std::time::Duration;

use toml::de::DeValue;

use super::reader::{Entry, Table};
use crate::catalog::CheckStatus;
use crate::consul::{self, Consistency, FilterError, Watch, What};

/// The types of a watch, in Consul's words.
const TYPES: [&str; 11] = [
    "checks",
    "service",
    "services",
    "nodes",
    "node",
    "key",
    "keyprefix",
    "event",
    "agent_service",
    "connect_roots",
    "connect_leaf",
];

/// A server that has not heard of its leader for a day is as good as none.
const MAX_STALE_MAX: Duration = Duration::from_hours(24);

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
        "agent_service" => {
            table.require("service_id", "service_id = \"web-1\"", Entry::string).map(What::AgentService)
        }
        "connect_roots" => Some(What::ConnectRoots),
        "connect_leaf" => table.require("service", "service = \"web\"", Entry::string).map(What::ConnectLeaf),
        _ => Some(What::Events(table.get("name", Entry::string))),
    };
    let filter = table.get("filter", |entry| filter(entry, what.as_ref()));
    let datacenter = table.get("datacenter", Entry::string);
    let namespace = table.get("namespace", Entry::string);
    let partition = table.get("partition", Entry::string);
    let consistency = consistency(table);
    let cached = table.get("cached", Entry::flag).unwrap_or(false);
    let consistency = consistency?;
    if cached && consistency == Consistency::Consistent {
        return table.wrong("a watch is `cached` or `consistent`, not both", "leave one of them out");
    }
    if table.unread("filter", filter.is_some()) {
        return None;
    }
    Some(Watch { what: what?, filter, datacenter, namespace, partition, consistency, cached })
}

/// A filter that Consul can read and use; of a watch that could not be read, one that it can read.
fn filter(entry: Entry<'_>, what: Option<&What>) -> Option<String> {
    let text = entry.string()?;
    let Some(names) = what.map_or(Some(&[][..]), What::filter_names) else {
        return entry.wrong("Consul cannot filter these", "leave it out");
    };
    match consul::check_filter(&text, names) {
        Ok(()) => Some(text),
        Err(FilterError { at, found, right }) => entry.wrong(
            format!("failed to read this filter: {found} at character {at}"),
            format!("right there is {right}"),
        ),
    }
}

fn consistency(table: &mut Table<'_>) -> Option<Consistency> {
    let stale = table.get("stale", Entry::flag).unwrap_or(false);
    let max = table.get("max_stale", |entry| entry.duration(Duration::from_millis(1)..=MAX_STALE_MAX));
    let consistent = table.get("consistent", Entry::flag).unwrap_or(false);
    if stale && consistent {
        return table.wrong(
            "a watch is `stale` or `consistent`, not both",
            "`stale` lets any server answer, `consistent` lets the leader ask the others first",
        );
    }
    if max.is_some() && !stale {
        return table
            .wrong("`max_stale` is for a watch that is `stale`", "add `stale = true`, or leave it out");
    }
    Some(match (stale, consistent) {
        (true, _) => Consistency::Stale { max },
        (false, true) => Consistency::Consistent,
        (false, false) => Consistency::Default,
    })
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
