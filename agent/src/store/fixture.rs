//! Small things to store, for the tests of this crate.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use super::{AfterDeath, Aftermath, Commit, Lane, NewDelivery, Overlap, Store};
use crate::catalog::{Check, CheckStatus};
use crate::event::{About, CheckData, CheckState, Event, EventData, EventType, NodeRole, State};

/// A time `milliseconds` after a certain moment.
pub(crate) fn at(milliseconds: i64) -> Timestamp {
    Timestamp::from_second(1_700_000_000).unwrap() + SignedDuration::from_millis(milliseconds)
}

/// A state of the check `key`.
pub(crate) fn state(key: &str, status: CheckStatus) -> State {
    let check = Check {
        node: "web1".into(),
        check_id: key.into(),
        name: key.into(),
        kind: String::new(),
        status,
        notes: String::new(),
        output: "said \"no\"".into(),
        service_id: "web".into(),
        service: "web".into(),
        service_tags: vec!["prod".into()],
        create_index: u64::MAX,
        modify_index: 7,
    };
    State::Check(CheckState {
        check: check.into(),
        ran: true,
        result: Some(status),
        since: at(0),
        silent_since: None,
        flaps: None,
    })
}

/// An event about `subject`.
pub(crate) fn event(id: &str, subject: &str) -> Event {
    let about = CheckData {
        node: "web1".into(),
        node_meta: BTreeMap::new(),
        check_id: subject.into(),
        check_name: subject.into(),
        service_id: "web".into(),
        service: "web".into(),
        service_tags: Vec::new(),
        from: Some(CheckStatus::Passing),
        to: Some(CheckStatus::Critical),
        since: at(0),
        output: String::new(),
        notes: String::new(),
        initial: false,
        coalesced: false,
        flapping: false,
        node_failed: false,
        passing_left: None,
        passing_left_share: None,
        node_role: NodeRole::Standalone,
        create_index: 7,
        modify_index: 9,
    };
    let data = EventData {
        datacenter: "dc1".into(),
        environment: String::new(),
        catch_up: false,
        about: About::Check(about),
        delivery: None,
    };
    let source = "consul://dc1".into();
    Event { id: id.into(), source, kind: EventType::CheckStatus, subject: subject.into(), time: at(1), data }
}

/// A delivery of the first event of a commit, due at once.
pub(crate) fn delivery(receiver: &str) -> NewDelivery {
    NewDelivery {
        event: 0,
        more: Vec::new(),
        group: None,
        nth: 0,
        withheld: None,
        rule: "down".into(),
        receiver: receiver.into(),
        due_at: at(0),
        overlap: Overlap::Queue,
        lane: Lane::Subject,
    }
}

/// A commit of the watch `checks` with nothing in it.
pub(crate) fn nothing() -> Commit {
    Commit {
        watch: "checks".into(),
        told_as: "checks".into(),
        index: 7,
        reset: false,
        changes: Vec::new(),
        events: Vec::new(),
        recalled: Vec::new(),
        deliveries: Vec::new(),
        rule_states: Vec::new(),
        expired: Vec::new(),
        claim: BTreeMap::new(),
        node: "web1".into(),
        environment: "production".into(),
        now: at(0),
    }
}

/// Commits one event for each of `(id, subject)`, each to be delivered to `receiver` at once.
pub(crate) async fn commit(store: &Store, receiver: &str, events: &[(&str, &str)]) {
    let deliveries = (0..events.len()).map(|event| NewDelivery { event, ..delivery(receiver) }).collect();
    let events = events.iter().map(|(id, subject)| event(id, subject)).collect();
    store.commit(&Commit { events, deliveries, ..nothing() }, |committed| committed.claimed).await.unwrap();
}

/// Lets the database have no more than `pages`, or than it has now: a full disk for `SQLite`.
pub(crate) async fn limit_pages(store: &Store, pages: u32) {
    let limit = move |connection: &mut rusqlite::Connection| {
        connection.pragma_update_and_check(None, "max_page_count", pages.max(1), |_| Ok(()))
    };
    store.run(limit).await.unwrap();
}

/// Has every write fail, as on a disk that became read-only.
pub(crate) async fn refuse_writes(store: &Store, refuse: bool) {
    store.run(move |connection| connection.pragma_update(None, "query_only", refuse)).await.unwrap();
}

/// `number outcome: detail` of each attempt, in the order of deliveries.
pub(crate) async fn attempts(store: &Store) -> Vec<String> {
    let read = |connection: &mut rusqlite::Connection| {
        let sql = "SELECT number || ' ' || outcome || ': ' || detail FROM attempt ORDER BY delivery, number";
        connection.prepare(sql)?.query_map((), |row| row.get(0))?.collect()
    };
    store.run(read).await.unwrap()
}

/// Nothing follows from a death.
pub(crate) fn nothing_follows() -> AfterDeath {
    Arc::new(|_, _, _| Aftermath::default())
}
