//! How a watch is asked for: its path and its parameters.

use std::borrow::Cow;
use std::time::Duration;

use super::{Consistency, Query, Watch, What};

/// A parameter of a query, or one without a value.
type Parameter<'a> = (&'static str, Option<Cow<'a, str>>);

impl Watch {
    /// The path of its query, and the parameters.
    pub(super) fn question<'a>(&'a self, here: &'a str, query: Query) -> (Vec<&'a str>, Vec<Parameter<'a>>) {
        let (path, own) = self.what.path(here);
        let mut all: Vec<Parameter<'_>> =
            own.into_iter().map(|(key, value)| (key, value.map(Cow::Borrowed))).collect();
        let options = [
            ("dc", &self.datacenter),
            ("ns", &self.namespace),
            ("partition", &self.partition),
            ("filter", &self.filter),
        ];
        let given = options.into_iter().filter_map(|(key, value)| Some((key, value.as_deref()?)));
        all.extend(given.map(|(key, value)| (key, Some(Cow::Borrowed(value)))));
        if let Some(index) = query.index {
            let position = if self.what.is_hashed() {
                ("hash", format!("{:x}", index.get()))
            } else {
                ("index", index.to_string())
            };
            let wait = ("wait", format!("{}ms", query.wait.as_millis()));
            all.extend([position, wait].map(|(key, value)| (key, Some(value.into()))));
        }
        match (query.consistent, &self.consistency) {
            // The agent knows by itself.
            _ if self.what.is_of_the_agent() => {}
            (true, _) | (false, Consistency::Consistent) => all.push(("consistent", None)),
            (false, Consistency::Stale { .. }) => all.push(("stale", None)),
            (false, Consistency::Default) => {}
        }
        if self.cached && !query.consistent {
            all.push(("cached", None));
        }
        (path, all)
    }
}

impl Consistency {
    /// Is the answer of a server too old that heard of the leader so long ago?
    pub(super) fn is_too_old(&self, last_contact: Option<Duration>) -> bool {
        match self {
            Self::Stale { max: Some(max) } => last_contact.is_some_and(|ago| ago > *max),
            Self::Stale { max: None } | Self::Default | Self::Consistent => false,
        }
    }
}

impl What {
    /// The path, and what is asked with it.
    fn path<'a>(&'a self, here: &'a str) -> (Vec<&'a str>, Vec<(&'static str, Option<&'a str>)>) {
        match self {
            Self::NodeChecks => (vec!["health", "node", here], vec![]),
            Self::ServiceChecks(service) => (vec!["health", "checks", service], vec![]),
            Self::StateChecks(state) => (vec!["health", "state", state], vec![]),
            Self::Service { service, tags, passing_only } => {
                let tags = tags.iter().map(|tag| ("tag", Some(&tag[..])));
                let passing = passing_only.then_some(("passing", None));
                (vec!["health", "service", service], tags.chain(passing).collect())
            }
            Self::Node(node) => (vec!["catalog", "node", node.as_deref().unwrap_or(here)], vec![]),
            Self::Services => (vec!["catalog", "services"], vec![]),
            Self::Nodes => (vec!["catalog", "nodes"], vec![]),
            // A key's slashes part it, as the path's do.
            Self::Key(key) => (["kv"].into_iter().chain(key.split('/')).collect(), vec![]),
            Self::KeyPrefix(prefix) => {
                (["kv"].into_iter().chain(prefix.split('/')).collect(), vec![("recurse", None)])
            }
            Self::Events(name) => {
                let named = name.iter().map(|name| ("name", Some(&name[..])));
                (vec!["event", "list"], named.collect())
            }
            Self::AgentService(id) => (vec!["agent", "service", id], vec![]),
            Self::ConnectRoots => (vec!["agent", "connect", "ca", "roots"], vec![]),
            Self::ConnectLeaf(service) => (vec!["agent", "connect", "ca", "leaf", service], vec![]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::consul::WaitIndex;

    /// The path and the parameters of a query that waits from index 26.
    #[track_caller]
    fn check(watch: &Watch, consistent: bool, want: &str) {
        let query = Query { index: Some(WaitIndex::new(26)), wait: Duration::from_secs(1), consistent };
        let (path, parameters) = watch.question("n1", query);
        let written = parameters.into_iter().map(|(key, value)| match value {
            Some(value) => format!("{key}={value}"),
            None => key.to_owned(),
        });
        assert_eq!(format!("{} {}", path.join("/"), written.collect::<Vec<_>>().join("&")), want);
    }

    #[test]
    fn a_question_says_what_the_watch_says() {
        let plain = Watch::from(What::NodeChecks);
        check(&plain, false, "health/node/n1 index=26&wait=1000ms");
        check(&plain, true, "health/node/n1 index=26&wait=1000ms&consistent");
        let stale = Consistency::Stale { max: Some(Duration::from_secs(5)) };
        let all = Watch {
            filter: Some("Status == passing".into()),
            datacenter: Some("dc2".into()),
            namespace: Some("team".into()),
            partition: Some("east".into()),
            consistency: stale,
            cached: true,
            ..Watch::from(What::Nodes)
        };
        let common =
            "catalog/nodes dc=dc2&ns=team&partition=east&filter=Status == passing&index=26&wait=1000ms";
        check(&all, false, &format!("{common}&stale&cached"));
        check(&all, true, &format!("{common}&consistent"));
    }

    #[test]
    fn an_agent_is_asked_by_hash_and_without_a_leader() {
        let service = Watch::from(What::AgentService("web-1".into()));
        check(&service, true, "agent/service/web-1 hash=1a&wait=1000ms");
        check(&Watch::from(What::ConnectRoots), true, "agent/connect/ca/roots index=26&wait=1000ms");
    }

    #[test]
    fn an_old_answer_is_too_old_where_the_watch_says_how_old_it_may_be() {
        let (max, millis) = (Some(Duration::from_millis(500)), |millis| Some(Duration::from_millis(millis)));
        assert!(Consistency::Stale { max }.is_too_old(millis(501)));
        assert!(!Consistency::Stale { max }.is_too_old(millis(500)));
        assert!(!Consistency::Stale { max }.is_too_old(None));
        assert!(!Consistency::Stale { max: None }.is_too_old(millis(60_000)));
        assert!(!Consistency::Default.is_too_old(millis(60_000)));
    }
}
