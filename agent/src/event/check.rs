//! From a change of a check to the events that tell of it.
//!
//! Consul gives a check that has not run yet the status `critical` and no output (its default, see
//! the agent's documentation of checks). That is no result: it never counts as a failure, and the
//! result before it is carried across it. A check that was registered anew shows it by its
//! `CreateIndex`. One whose agent restarted with its data does not, so there the kind of check
//! decides: those that Consul makes itself always say something when they fail.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::id::derive;
use super::{Change, CheckData, Event, EventType, NodeRole};
use crate::catalog::{Check, CheckStatus};

/// A check, and what its history says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckState {
    /// As Consul has it now.
    pub check: Check,
    /// It has run since it was registered or its agent started; before that its status is Consul's default.
    pub ran: bool,
    /// Its last real result; none before its very first run.
    pub result: Option<CheckStatus>,
    /// When `result` began.
    pub since: Timestamp,
}

/// What all events of one answer have in common.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// The datacenter that was asked.
    pub datacenter: &'a str,
    /// The metadata of the checks' node.
    pub node_meta: &'a BTreeMap<String, String>,
    /// Where this is: `production`, for example.
    pub environment: &'a str,
    /// What a node is for a service.
    pub node_role: &'a dyn Fn(&str, &str) -> NodeRole,
    /// The answer is compared with what was known before Lictor was away.
    pub catch_up: bool,
    /// When the answer was read.
    pub now: Timestamp,
}

/// The kinds of check whose failures have an output: Consul itself writes it. A script or a TTL may
/// fail without a word.
const ALWAYS_SPEAK: [&str; 5] = ["http", "tcp", "udp", "grpc", "h2ping"];

impl CheckState {
    /// The state of `check` after the state `old`.
    pub fn follow(old: Option<&Self>, check: Check, now: Timestamp) -> Self {
        let ran_before = old.is_some_and(|old| old.ran && old.check.create_index == check.create_index);
        let ran = !check.says_nothing() || ran_before && !ALWAYS_SPEAK.contains(&check.kind.as_str());
        let result = if ran { Some(check.status) } else { old.and_then(|old| old.result) };
        let since = old.filter(|old| old.result == result).map_or(now, |old| old.since);
        Self { check, ran, result, since }
    }

    /// The key of a check in a snapshot, and the subject of its events.
    pub fn key(check: &Check) -> String {
        format!("{}/{}", check.node, check.check_id)
    }
}

/// The events that tell of `change`, in the order in which they happened.
pub fn events(change: &Change<CheckState>, context: &Context<'_>) -> Vec<Event> {
    let (key, old, new) = match change {
        Change::Removed(key, old) => {
            return vec![event(EventType::CheckDeregistered, key, Some(old), old, context)];
        }
        Change::Added(key, new) => (key, None, new),
        Change::Modified { key, old, new } => (key, Some(old), new),
    };
    let mut kinds = Vec::new();
    if old.is_none_or(|old| old.check.create_index != new.check.create_index) {
        kinds.push(EventType::CheckRegistered);
    }
    if old.and_then(|old| old.result) != new.result {
        kinds.push(EventType::CheckStatus);
    } else if old.is_some_and(|old| old.ran && new.ran && old.check.output != new.check.output) {
        kinds.push(EventType::CheckOutput);
    }
    kinds.into_iter().map(|kind| event(kind, key, old, new, context)).collect()
}

/// An event about `state`, which is the new one, or the last one of a check that is gone.
fn event(
    kind: EventType,
    subject: &str,
    old: Option<&CheckState>,
    state: &CheckState,
    context: &Context<'_>,
) -> Event {
    let check = &state.check;
    let gone = kind == EventType::CheckDeregistered;
    let to = (!gone).then_some(check.status);
    let id = derive(&[
        context.datacenter.as_bytes(),
        subject.as_bytes(),
        kind.as_str().as_bytes(),
        &check.create_index.to_be_bytes(),
        &check.modify_index.to_be_bytes(),
        to.map_or("", CheckStatus::as_str).as_bytes(),
        check.output.as_bytes(),
    ]);
    let data = CheckData {
        node: check.node.clone(),
        node_meta: context.node_meta.clone(),
        datacenter: context.datacenter.to_owned(),
        check_id: check.check_id.clone(),
        check_name: check.name.clone(),
        service_id: check.service_id.clone(),
        service: check.service.clone(),
        service_tags: check.service_tags.clone(),
        from: old.and_then(|old| old.result),
        to,
        since: old.map_or(state.since, |old| old.since),
        output: check.output.clone(),
        notes: check.notes.clone(),
        initial: !gone && !state.ran,
        catch_up: context.catch_up,
        environment: context.environment.to_owned(),
        node_role: (context.node_role)(&check.service, &check.node),
        create_index: check.create_index,
        modify_index: check.modify_index,
        delivery: None,
    };
    Event {
        id,
        source: format!("consul://{}", context.datacenter),
        kind,
        subject: subject.to_owned(),
        time: context.now,
        data,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(status: CheckStatus, output: &str, create_index: u64) -> Check {
        Check {
            node: "web1".into(),
            check_id: "service:web".into(),
            name: "Service 'web' check".into(),
            kind: "script".into(),
            status,
            notes: String::new(),
            output: output.into(),
            service_id: "web".into(),
            service: "web".into(),
            service_tags: vec!["prod".into()],
            create_index,
            modify_index: create_index,
        }
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    /// Follows `answers` one second apart and tells of each event: `type from>to since`.
    #[track_caller]
    fn follow(answers: &[Option<(CheckStatus, &str, u64)>], want: &[&str]) {
        let meta = BTreeMap::new();
        let mut state = None;
        let mut told = Vec::new();
        for (second, answer) in (1..).zip(answers) {
            let new = answer.map(|(status, output, create_index)| {
                CheckState::follow(state.as_ref(), check(status, output, create_index), at(second))
            });
            let key = "web1/service:web".to_owned();
            let change = match (state.clone(), new.clone()) {
                (None, None) => None,
                (None, Some(new)) => Some(Change::Added(key, new)),
                (Some(old), None) => Some(Change::Removed(key, old)),
                (Some(old), Some(new)) => (old != new).then_some(Change::Modified { key, old, new }),
            };
            let context = Context {
                datacenter: "dc1",
                node_meta: &meta,
                environment: "",
                node_role: &|_, _| NodeRole::Standalone,
                catch_up: false,
                now: at(second),
            };
            for event in change.iter().flat_map(|change| events(change, &context)) {
                let data = &event.data;
                let word = |status: Option<CheckStatus>| status.map_or("-", CheckStatus::as_str);
                let initial = if data.initial { " initial" } else { "" };
                let since = data.since.as_second();
                told.push(format!("{} {}>{} {since}{initial}", event.kind, word(data.from), word(data.to)));
            }
            state = new;
        }
        assert_eq!(told, want);
    }

    use CheckStatus::{Critical, Passing, Warning};

    #[test]
    fn a_new_check_has_no_result_before_its_first_run() {
        follow(
            &[Some((Critical, "", 7)), Some((Passing, "ok", 7))],
            &["check.registered ->critical 1 initial", "check.status ->passing 1"],
        );
        follow(
            &[Some((Critical, "", 7)), Some((Critical, "refused", 7))],
            &["check.registered ->critical 1 initial", "check.status ->critical 1"],
        );
    }

    #[test]
    fn a_check_that_comes_with_a_result_tells_both() {
        follow(&[Some((Warning, "", 7))], &["check.registered ->warning 1", "check.status ->warning 1"]);
    }

    #[test]
    fn a_transition_says_since_when_the_former_state_was() {
        follow(
            &[
                Some((Passing, "a", 7)),
                Some((Passing, "b", 7)),
                Some((Critical, "", 7)),
                Some((Passing, "", 7)),
            ],
            &[
                "check.registered ->passing 1",
                "check.status ->passing 1",
                "check.output passing>passing 1",
                "check.status passing>critical 1",
                "check.status critical>passing 3",
            ],
        );
    }

    #[test]
    fn registering_anew_is_no_outage() {
        follow(
            &[Some((Passing, "ok", 7)), Some((Critical, "", 9)), Some((Passing, "ok", 9))],
            &[
                "check.registered ->passing 1",
                "check.status ->passing 1",
                "check.registered passing>critical 1 initial",
            ],
        );
    }

    #[test]
    fn an_agent_that_restarts_with_its_data_is_no_outage_where_consul_makes_the_check() {
        let state = |kind: &str, status, output: &str, old: Option<&CheckState>| {
            let check = Check { kind: kind.into(), ..check(status, output, 7) };
            CheckState::follow(old, check, at(1))
        };
        for (kind, counts) in [("http", false), ("tcp", false), ("script", true), ("ttl", true), ("", true)] {
            let before = state(kind, Passing, "ok", None);
            let restarted = state(kind, Critical, "", Some(&before));
            assert_eq!((restarted.ran, restarted.result == Some(Critical)), (counts, counts), "{kind}");
            let down = state(kind, Critical, "refused", Some(&restarted));
            assert_eq!((down.ran, down.result), (true, Some(Critical)), "{kind}");
        }
    }

    #[test]
    fn an_outage_that_begins_while_registering_anew_is_told() {
        follow(
            &[Some((Passing, "ok", 7)), Some((Critical, "", 9)), Some((Critical, "refused", 9))],
            &[
                "check.registered ->passing 1",
                "check.status ->passing 1",
                "check.registered passing>critical 1 initial",
                "check.status passing>critical 1",
            ],
        );
    }

    #[test]
    fn a_check_that_is_gone_is_told_with_its_last_result() {
        follow(
            &[Some((Passing, "ok", 7)), None],
            &["check.registered ->passing 1", "check.status ->passing 1", "check.deregistered passing>- 1"],
        );
    }
}
