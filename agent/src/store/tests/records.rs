//! What a person sees and does, beside a store that is open.

use super::*;
use crate::store::schema::FIRST;
use crate::store::{Filter, Records, RecordsError, State};

const ALL: Filter = Filter { state: None, receiver: None, limit: 100 };

/// `event state attempts` of each delivery, the newest first.
fn listed(records: &Records, filter: &Filter) -> Vec<String> {
    let text = |record: Record| format!("{} {} {}", record.event, record.state.as_str(), record.attempts);
    records.list(filter).unwrap().into_iter().map(text).collect()
}

/// The one delivery of this event.
fn of(records: &Records, event: &str) -> Record {
    let mut deliveries = records.events(event).unwrap().remove(0).deliveries;
    assert_eq!(deliveries.len(), 1);
    deliveries.remove(0)
}

fn dead() -> Verdict {
    Verdict::Dead { outcome: "permanent", detail: "no such address".into() }
}

/// A store with deliveries in every state, and its records.
async fn every_state() -> (TempDir, Store, Records) {
    let (folder, path) = folder();
    let store = Store::open(&path).unwrap();
    commit(&store, "mail", &[("a1", "a"), ("b1", "b"), ("c1", "c"), ("d1", "d"), ("a2", "a")]).await;
    commit(&store, "chat", &[("e1", "e")]).await;
    for claimed in claim(&store, "mail").await {
        let verdict = match &*claimed.event.id {
            "a1" => dead(),
            "b1" => delivered(),
            "c1" => Verdict::RetryAt { at: at(10_000), outcome: "transient", detail: "refused".into() },
            _ => continue,
        };
        store.settle(settlement(&claimed, verdict)).await.unwrap();
    }
    let records = Records::open(&path).unwrap();
    (folder, store, records)
}

#[tokio::test]
async fn deliveries_are_listed_by_state_and_receiver() {
    let (_folder, _store, records) = every_state().await;
    let of = |state| listed(&records, &Filter { state: Some(state), ..ALL });
    assert_eq!(of(State::Pending), ["e1 pending 0", "a2 pending 0"]);
    assert_eq!(of(State::Running), ["d1 running 1"]);
    assert_eq!(of(State::Failed), ["c1 failed 1"]);
    assert_eq!(of(State::Delivered), ["b1 delivered 1"]);
    assert_eq!(of(State::Dead), ["a1 dead 1"]);
    assert_eq!(of(State::Suppressed), [""; 0]);
    assert_eq!(listed(&records, &ALL).len(), 6);
    let chat = Filter { receiver: Some("chat".into()), ..ALL };
    assert_eq!(listed(&records, &chat), ["e1 pending 0"]);
    assert_eq!(listed(&records, &Filter { limit: 1, ..ALL }), ["e1 pending 0"]);
}

#[tokio::test]
async fn one_is_found_by_the_beginning_of_its_id_and_shown_with_its_attempts() {
    let (_folder, _store, records) = every_state().await;
    let id = of(&records, "a1").id;
    let found = records.find(&id[..8]).unwrap();
    assert_eq!((found.id.as_str(), found.outcome.as_deref()), (id.as_str(), Some("permanent")));
    let attempts = records.attempts(&found).unwrap();
    assert_eq!(attempts.len(), 1);
    assert_eq!((attempts[0].number, attempts[0].detail.as_str()), (1, "no such address"));
    let error = |id: &str| records.find(id).unwrap_err().to_string();
    assert_eq!(error("nowhere"), "find a delivery \"nowhere\": none has an id that begins so");
    assert_eq!(error(""), "find one delivery \"\": several begin so; write more of it");
    let error = records.events("nowhere").unwrap_err().to_string();
    assert_eq!(error, "find an event \"nowhere\": none has an id that begins so");
}

#[tokio::test]
async fn what_is_sent_again_goes_before_what_waits_and_counts_its_attempts_anew() {
    let (_folder, store, mut records) = every_state().await;
    let record = of(&records, "a1");
    records.retry(&record, at(20)).unwrap();
    let again = store.claim("mail", 10, at(20)).await.unwrap().claimed.remove(0);
    assert_eq!((&*again.event.id, again.attempt, again.redriven), ("a1", 2, 1));
    assert_eq!((again.created_at, again.tried_since), (at(0), at(20)));
    store.settle(settlement(&again, delivered())).await.unwrap();
    assert_eq!(claimed(&store, "mail").await, ["a2 1"]);
    let error = records.retry(&record, at(30)).map_err(|error| error.to_string());
    // The record is of before: what counts is what is stored.
    let want = format!("send again delivery {}: it is delivered; it changed just now; look again", record.id);
    assert_eq!(error, Err(want));
}

#[tokio::test]
async fn what_is_sent_again_waits_for_a_call_that_runs_and_goes_next() {
    let (_folder, store, mut records) = every_state().await;
    let running = store.claim("mail", 10, at(20)).await.unwrap().claimed.remove(0);
    assert_eq!(&*running.event.id, "a2");
    records.retry(&of(&records, "a1"), at(20)).unwrap();
    assert_eq!(claimed(&store, "mail").await, [""; 0]);
    store.settle(settlement(&running, delivered())).await.unwrap();
    assert_eq!(claimed(&store, "mail").await, ["a1 2"]);
}

#[tokio::test]
async fn what_is_discarded_lets_the_next_go_and_keeps_the_reason() {
    let (_folder, store, mut records) = every_state().await;
    commit(&store, "mail", &[("c2", "c")]).await;
    records.discard(&of(&records, "c1"), "the check was wrong", at(20)).unwrap();
    let record = of(&records, "c1");
    assert_eq!((record.state, record.detail.as_deref()), (State::Suppressed, Some("the check was wrong")));
    assert_eq!(claimed(&store, "mail").await, ["a2 1", "c2 1"]);
    records.discard(&of(&records, "a1"), "told by phone", at(20)).unwrap();
    let mut refused = |event: &str| match records.discard(&of(&records, event), "", at(20)) {
        Err(RecordsError::State { state, .. }) => state,
        other => panic!("{other:?}"),
    };
    assert_eq!(["b1", "d1", "a1"].map(&mut refused), [State::Delivered, State::Running, State::Suppressed]);
}

#[tokio::test]
async fn a_database_of_the_first_version_is_brought_up_with_what_is_in_it() {
    let (_folder, path) = folder();
    let connection = Connection::open(&path).unwrap();
    connection.execute_batch(FIRST).unwrap();
    connection
        .execute_batch(
            "INSERT INTO event VALUES (1, 'a1', 0, 'checks', 'lictor.check.status', 'consul://dc1', 'a', 0, '{}', 'n', '');
             INSERT INTO delivery VALUES (1, 'd1', 1, 'down', 'mail', 'a', 'pending', 1, 0, 0, 0, NULL, NULL, NULL, NULL);",
        )
        .unwrap();
    connection.pragma_update(None, "application_id", APPLICATION_ID).unwrap();
    connection.pragma_update(None, "user_version", 1).unwrap();
    drop(connection);
    assert!(matches!(Records::open(&path), Err(StoreError::Old { found: 1, .. })), "a look changes nothing");
    let store = Store::open(&path).unwrap();
    assert_eq!(claimed(&store, "mail").await, ["a1 1"]);
    store.close().await.unwrap();
    assert_eq!(listed(&Records::open(&path).unwrap(), &ALL), ["a1 running 1"]);
}

/// Commits `second` about the subject of a delivery that waits and of one that runs, and gives back what became of
/// all and what the commit replaced.
async fn overlapping(overlap: Overlap) -> (Vec<String>, usize) {
    let (_folder, path) = folder();
    let store = Store::open(&path).unwrap();
    commit(&store, "mail", &[("a1", "a")]).await;
    let running = claim(&store, "mail").await.remove(0);
    commit(&store, "mail", &[("a2", "a")]).await;
    let third = NewDelivery { overlap, ..delivery("mail") };
    let third = Commit { events: vec![event("a3", "a")], deliveries: vec![third], ..nothing() };
    let replaced = store.commit(&third, |committed| committed.replaced).await.unwrap();
    assert!(replaced.iter().all(|replaced| replaced.id == running.id && replaced.receiver == "mail"));
    store.settle(settlement(&running, delivered())).await.unwrap();
    while let Some(next) = claim(&store, "mail").await.pop() {
        store.settle(settlement(&next, delivered())).await.unwrap();
    }
    let records = Records::open(&path).unwrap();
    assert!(records.health().unwrap().is_whole());
    let mut listed = listed(&records, &ALL);
    listed.reverse();
    (listed, replaced.len())
}

#[tokio::test]
async fn each_overlap_has_its_way_with_what_waits_and_what_runs() {
    let delivered = |event: &str| format!("{event} delivered 1");
    let suppressed = |event: &str| format!("{event} suppressed 0");
    let all = vec![delivered("a1"), delivered("a2"), delivered("a3")];
    assert_eq!(overlapping(Overlap::Queue).await, (all, 0));
    let newest = vec![delivered("a1"), suppressed("a2"), delivered("a3")];
    assert_eq!(overlapping(Overlap::Coalesce).await, (newest.clone(), 0));
    assert_eq!(overlapping(Overlap::Replace).await, (newest, 1));
    let first = vec![delivered("a1"), delivered("a2"), suppressed("a3")];
    assert_eq!(overlapping(Overlap::Skip).await, (first, 0));
}

#[tokio::test]
async fn of_one_answer_only_the_newest_of_a_lane_is_made_where_only_that_counts() {
    let made = async |overlap, lane| {
        let (_folder, path) = folder();
        let store = Store::open(&path).unwrap();
        let of = |event| NewDelivery { event, overlap, lane, ..delivery("mail") };
        // The last one twice, as two rules of one name would send it.
        let deliveries = vec![of(0), of(1), of(2), of(2)];
        let events = vec![event("a1", "a"), event("b1", "b"), event("a2", "a")];
        let claim = BTreeMap::from([("mail".to_owned(), 9)]);
        let commit = Commit { events, deliveries, claim, ..nothing() };
        store.commit(&commit, |committed| committed.claimed).await.unwrap();
        let records = Records::open(&path).unwrap();
        assert!(records.health().unwrap().is_whole());
        let mut listed = listed(&records, &ALL);
        listed.reverse();
        listed.join(", ")
    };
    let all = "a1 running 1, b1 running 1, a2 pending 0";
    assert_eq!(made(Overlap::Queue, Lane::Subject).await, all);
    assert_eq!(made(Overlap::Queue, Lane::Receiver).await, "a1 running 1, b1 pending 0, a2 pending 0");
    for overlap in [Overlap::Coalesce, Overlap::Replace] {
        assert_eq!(made(overlap, Lane::Subject).await, "a1 suppressed 0, b1 running 1, a2 running 1");
        assert_eq!(made(overlap, Lane::Receiver).await, "a1 suppressed 0, b1 suppressed 0, a2 running 1");
    }
}

#[tokio::test]
async fn an_event_that_another_watch_told_goes_to_those_whom_its_own_rules_name() {
    let (_folder, path) = folder();
    let store = Store::open(&path).unwrap();
    commit(&store, "mail", &[("a1", "a")]).await;
    let running = claim(&store, "mail").await.remove(0);
    let seen_too = Commit {
        watch: "checks/service/a".into(),
        events: vec![event("a1", "a")],
        // What the first watch had sent is not sent again, and does not take the place of itself.
        deliveries: vec![NewDelivery { overlap: Overlap::Replace, ..delivery("mail") }, delivery("chat")],
        ..nothing()
    };
    let replaced = store.commit(&seen_too, |committed| committed.replaced).await.unwrap();
    assert_eq!(replaced, []);
    store.settle(settlement(&running, delivered())).await.unwrap();
    assert_eq!(claimed(&store, "chat").await, ["a1 1"]);
    assert_eq!(claimed(&store, "mail").await, [""; 0]);
}

#[tokio::test]
async fn what_was_made_before_takes_the_place_of_nothing() {
    let (_folder, path) = folder();
    let store = Store::open(&path).unwrap();
    commit(&store, "mail", &[("a2", "a")]).await;
    let running = claim(&store, "mail").await.remove(0);
    store.settle(settlement(&running, delivered())).await.unwrap();
    let of = |event| NewDelivery { event, overlap: Overlap::Coalesce, ..delivery("mail") };
    let events = vec![event("a1", "a"), event("a2", "a")];
    let seen_too = Commit { watch: "web".into(), events, deliveries: vec![of(0), of(1)], ..nothing() };
    store.commit(&seen_too, |committed| committed.claimed).await.unwrap();
    assert_eq!(claimed(&store, "mail").await, ["a1 1"]);
}

#[tokio::test]
async fn what_follows_from_a_death_is_stored_with_it_once() {
    let (_folder, path) = folder();
    let store = Store::open(&path).unwrap();
    commit(&store, "mail", &[("a1", "a")]).await;
    let first = claim(&store, "mail").await.remove(0);
    let aftermath = || Aftermath {
        fallback: Some(Fallback { receiver: "pager".into(), overlap: Overlap::Queue, lane: Lane::Subject }),
        events: vec![event("dead", "a")],
        deliveries: vec![delivery("log")],
    };
    let death = Settlement { aftermath: aftermath(), ..settlement(&first, dead()) };
    store.settle(death.clone()).await.unwrap();
    store.settle(death).await.unwrap();
    let instead = claim(&store, "pager").await.remove(0);
    assert_eq!((&instead.event.id, &instead.rule), (&first.event.id, &first.rule));
    let told = claim(&store, "log").await.remove(0);
    assert_eq!(
        (&*told.event.id, &*told.event.node, &*told.event.environment),
        ("dead", "web1", "production")
    );
    assert_eq!(listed(&Records::open(&path).unwrap(), &ALL).len(), 3);
    // The same where the end of Lictor was the death.
    commit(&store, "mail", &[("b1", "b")]).await;
    assert_eq!(claimed(&store, "mail").await, ["b1 1"]);
    let last = BTreeMap::from([("mail".to_owned(), 1)]);
    let after_death: AfterDeath = Arc::new(move |dead, (outcome, _), _| {
        assert_eq!((&*dead.event.id, dead.attempt, outcome), ("b1", 1, "interrupted"));
        Aftermath { events: vec![event("cut off", "b")], ..aftermath() }
    });
    let recovered = store.recover(last, after_death, at(10)).await.unwrap();
    assert_eq!(recovered, Recovered { repeated: 2, dead: 1 }, "those of pager and log go on");
    let mut pager = claimed(&store, "pager").await;
    pager.sort();
    assert_eq!(pager, ["a1 2", "b1 1"]);
}
