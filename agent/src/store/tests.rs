//! The store by examples: whose file it is, what is refused, what survives.

mod model;
mod records;
mod retention;

use std::convert::identity;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::fixture::{at, attempts, commit, delivery, event, limit_pages, nothing, nothing_follows, state};
use super::open::CACHE_PAGES;
use super::schema::{APPLICATION_ID, VERSION};
use super::thread::{QUIET, ROWS};
use super::*;
use crate::catalog::CheckStatus;
use crate::event::Change;

/// A folder and the database in it.
fn folder() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("lictor.db");
    (folder, path)
}

/// The text of an error and of all its causes.
fn text(error: &dyn std::error::Error) -> String {
    error.source().map_or_else(|| error.to_string(), |source| format!("{error}: {}", text(source)))
}

async fn pragma(store: &Store, name: &'static str) -> String {
    let read = move |connection: &mut Connection| {
        connection.pragma_query_value(None, name, |row| {
            Ok(row
                .get_ref(0)?
                .as_i64()
                .map_or_else(|_| row.get::<_, String>(0).unwrap(), |number| number.to_string()))
        })
    };
    store.run(read).await.unwrap()
}

async fn claim(store: &Store, receiver: &str) -> Vec<Claimed> {
    store.claim(receiver, 10, at(1000)).await.unwrap().claimed
}

/// `id attempt` of each event that is claimed.
async fn claimed(store: &Store, receiver: &str) -> Vec<String> {
    let claimed = claim(store, receiver).await;
    claimed.into_iter().map(|claimed| format!("{} {}", claimed.event.id, claimed.attempt)).collect()
}

fn settlement(claimed: &Claimed, verdict: Verdict) -> Settlement {
    Settlement {
        id: claimed.id.clone(),
        attempt: claimed.attempt,
        started_at: at(5),
        now: at(9),
        verdict,
        aftermath: Aftermath::default(),
    }
}

fn delivered() -> Verdict {
    Verdict::Delivered { receipt: "ok".into() }
}

#[tokio::test]
async fn a_new_database_is_signed_and_set_up() {
    let (_folder, path) = folder();
    let store = Store::open(&path).unwrap();
    for (name, want) in [
        ("application_id", APPLICATION_ID.to_string()),
        ("user_version", VERSION.to_string()),
        ("journal_mode", "wal".to_owned()),
        ("synchronous", "1".to_owned()),
        ("foreign_keys", "1".to_owned()),
        ("cache_size", CACHE_PAGES.to_string()),
        ("busy_timeout", "5000".to_owned()),
    ] {
        assert_eq!(pragma(&store, name).await, want, "{name}");
    }
}

/// Has `make` write a file, and checks that opening it is refused with `want` and leaves it as it is.
#[track_caller]
fn refused(make: impl FnOnce(&Path), want: &str) {
    let (folder, path) = folder();
    make(&path);
    let before = std::fs::read(&path).unwrap();
    let refusal = text(&Store::open(&path).unwrap_err()).replace(folder.path().to_str().unwrap(), "DIR");
    assert_eq!(refusal, want);
    assert_eq!(std::fs::read(&path).unwrap(), before);
}

#[test]
fn a_file_that_is_not_ours_is_refused_and_left_alone() {
    refused(
        |path| Connection::open(path).unwrap().execute_batch("CREATE TABLE song (name TEXT)").unwrap(),
        "open DIR/lictor.db: it belongs to another program \
         (application id 0x00000000, lictor's is 0x6c696374)",
    );
    refused(
        |path| {
            let connection = Connection::open(path).unwrap();
            connection.pragma_update(None, "application_id", 0x4750_4b47).unwrap();
        },
        "open DIR/lictor.db: it belongs to another program \
         (application id 0x47504b47, lictor's is 0x6c696374)",
    );
    refused(
        |path| {
            let connection = Connection::open(path).unwrap();
            connection.pragma_update(None, "application_id", APPLICATION_ID).unwrap();
            connection.pragma_update(None, "user_version", VERSION + 1).unwrap();
        },
        "open DIR/lictor.db: it has schema version 4, and this lictor knows versions up to 3; \
         run the lictor that wrote it, or move the file away to start anew",
    );
}

#[test]
fn a_folder_that_is_not_there_is_named() {
    let (folder, path) = folder();
    drop(folder);
    let refusal = Store::open(&path).unwrap_err();
    assert_eq!(refusal.to_string(), format!("lock {}", path.with_extension("lock").display()));
}

#[tokio::test]
async fn the_second_to_open_is_refused_until_the_first_is_closed() {
    let (_folder, path) = folder();
    let store = Store::open(&path).unwrap();
    let refusal = Store::open(&path).unwrap_err().to_string();
    let pid = std::process::id();
    assert!(refusal.contains(&format!("another lictor (process {pid}) uses it")), "{refusal}");
    let other = store.clone();
    store.close().await.unwrap();
    assert!(matches!(other.load("checks").await, Err(StoreError::Closed)));
    assert!(!path.with_extension("db-wal").exists(), "the log is written back");
    Store::open(&path).unwrap();
}

#[tokio::test]
async fn a_restart_keeps_everything() {
    let (_folder, path) = folder();
    let store = Store::open(&path).unwrap();
    assert_eq!(store.load("checks").await.unwrap(), None);
    let (a, b, c) = ("web1/a", "web1/b", "web1/c");
    let added = [a, b, c].map(|key| Change::Added(key.to_owned(), state(key, CheckStatus::Passing)));
    let first = Commit { changes: added.into(), index: 1, ..nothing() };
    store.commit(&first, |committed| committed.claimed).await.unwrap();
    let old = state(b, CheckStatus::Passing);
    let new = state(b, CheckStatus::Critical);
    let changes = vec![
        Change::Modified { key: b.into(), old: old.clone(), new: new.clone() },
        Change::Removed(c.into(), old.clone()),
    ];
    let index = u64::MAX - 1;
    let second = Commit {
        changes,
        index,
        events: vec![event("e1", b)],
        deliveries: vec![delivery("mail")],
        ..nothing()
    };
    store.commit(&second, |committed| committed.claimed).await.unwrap();
    store.close().await.unwrap();

    let store = Store::open(&path).unwrap();
    let states = [(a.to_owned(), state(a, CheckStatus::Passing)), (b.to_owned(), new)].into();
    assert_eq!(store.load("checks").await.unwrap(), Some(Saved { index, generation: 0, states }));
    assert_eq!(store.load("other").await.unwrap(), None);
    let claimed = claim(&store, "mail").await.remove(0);
    assert_eq!((claimed.id.len(), claimed.attempt, claimed.rule.as_str()), (32, 1, "down"));
    assert_eq!((claimed.event.subject.as_str(), claimed.created_at), (b, at(0)));
    let stored = claimed.event;
    assert_eq!((stored.id.as_str(), stored.kind.as_str()), ("e1", "lictor.check.status"));
    assert_eq!((stored.source.as_str(), stored.subject.as_str()), ("consul://dc1", b));
    assert_eq!(stored.time, at(1));
    assert_eq!(stored.data, serde_json::to_string(&event("e1", b).data).unwrap());
}

#[tokio::test]
async fn an_event_is_delivered_once_in_a_generation() {
    let (_folder, path) = folder();
    let store = Store::open(&path).unwrap();
    let once = |id: &str, watch: &str, reset| Commit {
        watch: watch.into(),
        reset,
        events: vec![event(id, "web1/a")],
        deliveries: vec![delivery("mail"), delivery("mail")],
        ..nothing()
    };
    for (id, watch, reset, want) in [
        ("e1", "checks", false, vec!["e1 1"]),
        ("e1", "checks", false, vec![]),  // made again by mistake
        ("e1", "service", false, vec![]), // seen by another watch
        ("e1", "checks", true, vec!["e1 1"]),
        ("e1", "service", true, vec![]), // it sees the same reset
        ("e2", "service", false, vec!["e2 1"]),
        ("e2", "late", false, vec![]), // new, it joins the generation of the others
        ("e3", "checks", true, vec!["e3 1"]), // a reset that only one watch sees, for its question alone
        ("e3", "service", false, vec![]), // what both see is one event all the same
        ("e4", "service", false, vec!["e4 1"]),
        ("e4", "checks", false, vec![]),
    ] {
        store.commit(&once(id, watch, reset), |committed| committed.claimed).await.unwrap();
        let claims = claim(&store, "mail").await;
        let got: Vec<_> =
            claims.iter().map(|claimed| format!("{} {}", claimed.event.id, claimed.attempt)).collect();
        assert_eq!(got, want, "{id} {watch} {reset}");
        for claimed in &claims {
            store.settle(settlement(claimed, delivered())).await.unwrap();
        }
    }
    let ids = "SELECT count(DISTINCT id) FROM delivery";
    let ids: i64 = store.run(|connection| connection.query_row(ids, (), |row| row.get(0))).await.unwrap();
    assert_eq!(ids, 5, "each generation has its own delivery of e1");
}

#[tokio::test]
async fn a_subject_waits_for_its_first_and_others_do_not() {
    let (_folder, path) = folder();
    let store = Store::open(&path).unwrap();
    commit(&store, "mail", &[("a1", "a"), ("a2", "a"), ("b1", "b"), ("a3", "a")]).await;
    commit(&store, "chat", &[("a4", "a")]).await;
    let first = claim(&store, "mail").await;
    assert_eq!(first.iter().map(|claimed| claimed.event.id.as_str()).collect::<Vec<_>>(), ["a1", "b1"]);
    assert_eq!(claimed(&store, "chat").await, ["a4 1"]);
    assert_eq!(claimed(&store, "mail").await, [""; 0]);
    assert_eq!(store.claim("mail", 0, at(0)).await.unwrap().next_due, None, "what waits is not due");
    let retry = Verdict::RetryAt { at: at(2000), outcome: "transient", detail: "refused".into() };
    store.settle(settlement(&first[0], retry)).await.unwrap();
    assert_eq!(claimed(&store, "mail").await, [""; 0], "a retry keeps its place");
    assert_eq!(store.claim("mail", 0, at(0)).await.unwrap().next_due, Some(at(2000)));
    let again = store.claim("mail", 10, at(2000)).await.unwrap().claimed.remove(0);
    assert_eq!((again.id.as_str(), again.attempt), (first[0].id.as_str(), 2));
    let dead = Verdict::Dead { outcome: "permanent", detail: "no such address".into() };
    store.settle(settlement(&again, dead)).await.unwrap();
    assert_eq!(claimed(&store, "mail").await, ["a2 1"]);
    assert_eq!(attempts(&store).await, ["1 transient: refused", "2 permanent: no such address"]);
}

#[tokio::test]
async fn a_retry_is_never_a_fraction_early() {
    let (_folder, path) = folder();
    let store = Store::open(&path).unwrap();
    commit(&store, "mail", &[("a1", "a")]).await;
    let first = claim(&store, "mail").await.remove(0);
    let at_fraction = at(2000) + jiff::SignedDuration::from_nanos(1);
    let retry = Verdict::RetryAt { at: at_fraction, outcome: "retry-after", detail: String::new() };
    store.settle(settlement(&first, retry)).await.unwrap();
    assert_eq!(store.claim("mail", 0, at(0)).await.unwrap().next_due, Some(at(2001)));
}

#[tokio::test]
async fn a_settlement_that_comes_again_or_late_changes_nothing() {
    let (_folder, path) = folder();
    let store = Store::open(&path).unwrap();
    commit(&store, "mail", &[("a1", "a")]).await;
    let first = claim(&store, "mail").await.remove(0);
    let retry = Verdict::RetryAt { at: at(10), outcome: "transient", detail: "1st".into() };
    store.settle(settlement(&first, retry)).await.unwrap();
    store.settle(settlement(&first, delivered())).await.unwrap();
    let second = claim(&store, "mail").await.remove(0);
    store.settle(settlement(&first, delivered())).await.unwrap();
    store.settle(settlement(&second, delivered())).await.unwrap();
    store.settle(settlement(&second, delivered())).await.unwrap();
    assert_eq!(attempts(&store).await, ["1 transient: 1st", "2 delivered: ok"]);
    assert_eq!(claimed(&store, "mail").await, [""; 0]);
}

#[tokio::test]
async fn what_ran_at_the_end_is_recovered_with_its_id() {
    let (_folder, path) = folder();
    let store = Store::open(&path).unwrap();
    commit(&store, "mail", &[("a1", "a"), ("b1", "b"), ("a2", "a")]).await;
    let first = store.claim("mail", 1, at(1)).await.unwrap().claimed.remove(0);
    store.close().await.unwrap();
    let store = Store::open(&path).unwrap();
    let recover = async || store.recover(BTreeMap::new(), nothing_follows(), at(500)).await.unwrap();
    assert_eq!(recover().await, Recovered { repeated: 1, dead: 0 });
    assert_eq!(recover().await, Recovered::default());
    let again = claim(&store, "mail").await;
    assert_eq!(again.iter().map(|claimed| claimed.event.id.as_str()).collect::<Vec<_>>(), ["b1", "a1"]);
    assert_eq!((again[1].id.as_str(), again[1].attempt), (first.id.as_str(), 2));
    assert_eq!(attempts(&store).await, ["1 interrupted: Lictor ended while it ran"]);
}

#[tokio::test]
async fn the_last_attempt_is_the_last_even_if_lictor_ended_while_it_ran() {
    let (_folder, path) = folder();
    let store = Store::open(&path).unwrap();
    commit(&store, "mail", &[("a1", "a"), ("a2", "a")]).await;
    commit(&store, "chat", &[("b1", "a")]).await;
    let bounded = || BTreeMap::from([("mail".to_owned(), 2)]);
    for (dead, want) in [(0, "a1 1"), (1, "a1 2"), (0, "a2 1")] {
        assert_eq!(claimed(&store, "mail").await, [want]);
        claimed(&store, "chat").await;
        let recovered = store.recover(bounded(), nothing_follows(), at(500)).await.unwrap();
        assert_eq!(recovered, Recovered { repeated: 2 - dead, dead }, "{want}");
    }
    let ended = "interrupted: Lictor ended while it ran";
    assert_eq!(
        attempts(&store).await[..2],
        [format!("1 {ended}"), format!("2 {ended}, and this was the last attempt")]
    );
    assert_eq!(claimed(&store, "chat").await, ["b1 4"], "without a bound it goes on");
}

#[tokio::test]
async fn a_commit_claims_what_it_may_and_what_could_be_claimed() {
    let (_folder, path) = folder();
    let store = Store::open(&path).unwrap();
    commit(&store, "mail", &[("open", "a")]).await;
    let later = NewDelivery { event: 2, due_at: at(1), ..delivery("mail") };
    let of = |event| NewDelivery { event, ..delivery("mail") };
    let events = vec![
        event("a", "a"),
        event("b", "b"),
        event("late", "c"),
        event("b2", "b"),
        event("d", "d"),
        event("e", "e"),
    ];
    let deliveries = vec![of(0), of(1), later, of(3), of(4), of(5), delivery("chat")];
    let claim = BTreeMap::from([("mail".to_owned(), 2)]);
    let begun = store
        .commit(&Commit { events, deliveries, claim, ..nothing() }, |committed| committed.claimed)
        .await
        .unwrap();
    let ids: Vec<_> = begun.iter().map(|claimed| (&*claimed.event.id, claimed.attempt)).collect();
    assert_eq!(ids, [("b", 1), ("d", 1)], "the heads that are due, as far as there are slots");
    assert_eq!(claimed(&store, "mail").await, ["open 1", "e 1", "late 1"]);
    // What a commit gives is what a claim would have given.
    store
        .settle(settlement(
            &begun[0],
            Verdict::RetryAt { at: at(9), outcome: "transient", detail: "no".into() },
        ))
        .await
        .unwrap();
    let again = super::tests::claim(&store, "mail").await.remove(0);
    assert_eq!(Claimed { attempt: 1, ..again }, begun[0]);
}

#[tokio::test]
async fn a_long_text_is_cut_at_a_character() {
    let (_folder, path) = folder();
    let store = Store::open(&path).unwrap();
    commit(&store, "mail", &[("a1", "a")]).await;
    let first = claim(&store, "mail").await.remove(0);
    let receipt = format!("x{}", "ü".repeat(DETAIL_MAX));
    store.settle(settlement(&first, Verdict::Delivered { receipt })).await.unwrap();
    let kept = attempts(&store).await.remove(0);
    assert_eq!(kept.len(), "1 delivered: ".len() + DETAIL_MAX - 1);
}

#[tokio::test]
async fn a_full_disk_is_told_and_leaves_nothing_half_done() {
    let (_folder, path) = folder();
    let store = Store::open(&path).unwrap();
    commit(&store, "mail", &[("a1", "a")]).await;
    limit_pages(&store, 0).await;
    let mut big = event("a2", "a");
    big.data.environment = "x".repeat(100_000);
    let key = "web1/a".to_owned();
    let changes = vec![Change::Added(key.clone(), state(&key, CheckStatus::Passing))];
    let commit =
        Commit { index: 8, changes, events: vec![big], deliveries: vec![delivery("mail")], ..nothing() };
    let error = store.commit(&commit, |committed| committed.claimed).await.unwrap_err();
    assert_eq!(error.to_string(), format!("write {}: no room is left on its disk", path.display()));
    let saved = store.load("checks").await.unwrap().unwrap();
    assert_eq!((saved.index, saved.states.len()), (7, 0));
    limit_pages(&store, u32::MAX).await;
    store.commit(&commit, |committed| committed.claimed).await.unwrap();
    assert_eq!(store.load("checks").await.unwrap().unwrap().index, 8);
    assert_eq!(claimed(&store, "mail").await, ["a1 1"]);
}

#[tokio::test]
async fn a_verdict_on_a_full_disk_is_told_as_that_and_can_be_given_again() {
    let (_folder, path) = folder();
    let store = Store::open(&path).unwrap();
    commit(&store, "mail", &[("a1", "a"), ("b1", "b")]).await;
    let claimed = claim(&store, "mail").await;
    limit_pages(&store, 0).await;
    let large = |claimed| {
        let receipt = "x".repeat(DETAIL_MAX);
        settlement(claimed, Verdict::Delivered { receipt })
    };
    let full = |result: Result<(), StoreError>| matches!(result, Err(StoreError::Full { .. }));
    assert!(full(store.settle(large(&claimed[0])).await));
    let (first, second) = tokio::join!(store.settle(large(&claimed[0])), store.settle(large(&claimed[1])));
    assert!(first.is_err() && second.is_err());
    limit_pages(&store, u32::MAX).await;
    for claimed in &claimed {
        store.settle(large(claimed)).await.unwrap();
    }
    assert_eq!(attempts(&store).await.len(), 2);
}

#[tokio::test]
async fn a_delivery_without_its_event_is_not_committed() {
    let (_folder, path) = folder();
    let store = Store::open(&path).unwrap();
    let error = store
        .commit(&Commit { deliveries: vec![delivery("mail")], ..nothing() }, |committed| committed.claimed)
        .await
        .unwrap_err();
    assert_eq!(error.to_string(), "commit a delivery of event 0, where there are 0");
    assert_eq!(store.load("checks").await.unwrap(), None);
}

#[tokio::test]
async fn those_who_wait_share_a_transaction_and_each_has_its_own_fate() {
    let (_folder, path) = folder();
    let store = Store::open(&path).unwrap();
    let put = |name: &'static str| {
        move |transaction: &Connection| {
            transaction.execute("INSERT INTO watch VALUES (?1, 1, 1, 1)", [name])?;
            // The log grows with each transaction, so who shares one sees the same.
            transaction.query_row("SELECT count(*) FROM watch", (), |row| row.get::<_, i64>(0))
        }
    };
    let fails = move |transaction: &Connection| {
        put("b")(transaction)?;
        transaction.execute("INSERT INTO nowhere VALUES (1)", ())
    };
    let told = Arc::new(Mutex::new(Vec::new()));
    let tell = || {
        let (told, log) = (Arc::clone(&told), path.with_extension("db-wal"));
        move |count| told.lock().unwrap().push((count, std::fs::metadata(&log).unwrap().len()))
    };
    let shared = Arc::clone(&store.open);
    let busy = shared.lock().unwrap();
    let (first, second, ()) = tokio::join!(
        store.write(put("a"), tell()),
        store.write(put("c"), tell()),
        // Both wait by now.
        async move { drop(busy) },
    );
    assert!(first.is_ok() && second.is_ok());
    let together = std::mem::take(&mut *told.lock().unwrap());
    assert_eq!(together.iter().map(|(count, _)| *count).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(together[0].1, together[1].1, "they are told when all of it is stored");

    let busy = shared.lock().unwrap();
    let (first, second, third, ()) = tokio::join!(
        store.write(put("d"), tell()),
        store.write(fails, identity),
        store.write(put("e"), tell()),
        async move { drop(busy) },
    );
    assert!(first.is_ok() && third.is_ok());
    assert!(matches!(second, Err(StoreError::Sqlite { .. })), "{second:?}");
    let counts: Vec<_> = told.lock().unwrap().iter().map(|(count, _)| *count).collect();
    assert_eq!(counts, [3, 4], "what failed is taken back, and costs nobody anything");
}

#[tokio::test]
async fn the_log_starts_over_after_a_quiet_moment() {
    let (_folder, path) = folder();
    let store = Store::open(&path).unwrap();
    let ids: Vec<_> = (0..ROWS).map(|number| number.to_string()).collect();
    let events: Vec<_> = ids.iter().map(|id| (id.as_str(), "a")).collect();
    let database = || std::fs::metadata(&path).unwrap().len();
    let before = database();
    commit(&store, "mail", &events).await;
    // A thousand times the quiet moment at most, and then the test fails.
    for _ in 0..1000 {
        if database() > before {
            return;
        }
        tokio::time::sleep(QUIET).await;
    }
    panic!("the database has not grown");
}

#[tokio::test]
async fn each_statement_that_a_backlog_could_slow_down_uses_its_index() {
    let (_folder, path) = folder();
    let store = Store::open(&path).unwrap();
    let by_seq = "SEARCH delivery USING INTEGER PRIMARY KEY (rowid=?)";
    let lane = "SEARCH delivery USING INDEX delivery_lane (receiver=? AND subject=?)";
    let open = "SCAN delivery USING INDEX delivery_lane";
    let due = "SEARCH delivery USING INDEX delivery_due (receiver=? AND due_at<?)";
    let next = "SEARCH delivery USING COVERING INDEX delivery_due (receiver=?)";
    let its_event = "SEARCH event USING INTEGER PRIMARY KEY (rowid=?)";
    for (sql, want) in [
        (made::LANE_IS_OPEN, vec!["SCAN CONSTANT ROW", "SCALAR SUBQUERY 1", lane]),
        (outbox::CLAIMABLE, vec![due, its_event]),
        (outbox::NEXT_DUE, vec![next]),
        (outbox::PROMOTE, vec![by_seq, "SCALAR SUBQUERY 1", lane]),
        (outbox::RUNNING, vec![open, its_event]),
    ] {
        let plan = move |connection: &mut Connection| {
            let mut plan = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}"))?;
            let mut rows = plan.raw_query();
            let mut lines = Vec::new();
            while let Some(row) = rows.next()? {
                lines.push(row.get::<_, String>(3)?);
            }
            Ok(lines)
        };
        assert_eq!(store.run(plan).await.unwrap(), want, "{sql}");
    }
}
