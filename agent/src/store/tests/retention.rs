//! What goes, what stays, and whether what is left is whole.

use std::time::Duration;

use super::*;
use crate::store::{Filter, Health, Pruned, Records, Repaired, Retention, repair};

const DAY: i64 = 86_400_000;

fn kept_for(days: u64) -> Retention {
    Retention { age: Duration::from_hours(24 * days), size: u64::MAX }
}

fn health(path: &Path) -> Health {
    Records::open(path).unwrap().health().unwrap()
}

/// The events that have deliveries, the newest first.
fn left(path: &Path) -> Vec<String> {
    let all = Filter { state: None, receiver: None, limit: 100_000 };
    Records::open(path).unwrap().list(&all).unwrap().into_iter().map(|record| record.event).collect()
}

/// Settles all that can be claimed, those of the subject `dead` as dead.
async fn settle_all(store: &Store) {
    loop {
        let claimed = claim(store, "mail").await;
        if claimed.is_empty() {
            return;
        }
        for claimed in claimed {
            let verdict = match &*claimed.event.subject {
                "dead" => Verdict::Dead { outcome: "permanent", detail: "no".into() },
                _ => delivered(),
            };
            store.settle(settlement(&claimed, verdict)).await.unwrap();
        }
    }
}

#[tokio::test]
async fn what_is_old_and_settled_goes_with_all_that_belongs_to_it() {
    let (_folder, path) = folder();
    let store = Store::open(&path).unwrap();
    commit(&store, "mail", &[("a1", "a"), ("d1", "dead")]).await;
    settle_all(&store).await;
    commit(&store, "mail", &[("open", "b"), ("a2", "a")]).await;
    let prune = async |days, now| store.prune(kept_for(days), at(now)).await.unwrap();
    assert_eq!(prune(1, DAY).await, Pruned::default(), "nothing is older than a day");
    assert_eq!(prune(1, DAY + 2).await, Pruned { events: 2, dead: 1 });
    assert_eq!(left(&path), ["a2", "open"]);
    assert_eq!(attempts(&store).await, [""; 0]);
    settle_all(&store).await;
    assert_eq!(prune(1, 9 * DAY).await, Pruned { events: 1, dead: 0 });
    assert_eq!(left(&path), ["a2"], "the newest stays, so that no row has its number again");
    assert!(health(&path).is_whole());
}

#[tokio::test]
async fn where_the_store_is_too_large_the_oldest_go_until_it_is_not() {
    let (_folder, path) = folder();
    let store = Store::open(&path).unwrap();
    let ids: Vec<_> = (0..3000).map(|number| format!("{number:04}")).collect();
    let events: Vec<_> = ids.iter().map(|id| (id.as_str(), id.as_str())).collect();
    commit(&store, "mail", &events).await;
    settle_all(&store).await;
    let before = health(&path).used;
    let retention = Retention { age: Duration::from_hours(24), size: before / 2 };
    let pruned = store.prune(retention, at(1)).await.unwrap();
    let left = left(&path);
    assert_eq!(left.len() as u64 + pruned.events, 3000);
    assert!((1000..2000).contains(&left.len()), "{} are left", left.len());
    assert_eq!(left[0], "2999");
    let after = health(&path);
    assert!(after.is_whole() && after.used <= before / 2 + (64 << 10), "{after:?}");
}

#[tokio::test]
async fn a_lane_without_a_head_is_found_and_mended() {
    let (_folder, path) = folder();
    let store = Store::open(&path).unwrap();
    commit(&store, "mail", &[("a1", "a"), ("b1", "b"), ("a2", "a"), ("b2", "b")]).await;
    store.run(|connection| connection.execute("UPDATE delivery SET head = (seq = 4)", ())).await.unwrap();
    assert_eq!(health(&path).wrong_lanes, 2, "one without a head, one with a head that must wait");
    assert!(matches!(repair(&path, at(0)), Err(StoreError::InUse { .. })));
    store.close().await.unwrap();
    let Repaired::Whole(health) = repair(&path, at(0)).unwrap() else { panic!("set aside") };
    assert_eq!((health.wrong_lanes, health.events), (0, 4));
    let store = Store::open(&path).unwrap();
    assert_eq!(claimed(&store, "mail").await, ["a1 1", "b1 1"]);
}

#[tokio::test]
async fn what_cannot_be_mended_is_set_aside() {
    let (_folder, path) = folder();
    std::fs::write(&path, "no database".repeat(100)).unwrap();
    let Repaired::SetAside(aside) = repair(&path, at(0)).unwrap() else { panic!("mended") };
    assert!(std::fs::read(&aside).unwrap().starts_with(b"no database"));
    assert!(!path.exists());
}

#[tokio::test]
async fn what_is_followed_no_more_is_forgotten_and_how_often_consul_began_anew_is_not() {
    let (_folder, path) = folder();
    let store = Store::open(&path).unwrap();
    let answer = |watch: &str, reset| Commit {
        watch: watch.into(),
        reset,
        changes: vec![Change::Added("web1/a".into(), state("a", CheckStatus::Passing))],
        ..nothing()
    };
    for (watch, reset) in [("one", false), ("other", false), ("other", true)] {
        store.commit(&answer(watch, reset), |_| ()).await.unwrap();
    }
    assert_eq!(store.queries().await.unwrap(), ["one", "other"]);
    store.forget(vec!["other".into(), "none".into()]).await.unwrap();
    assert_eq!(store.load("other").await.unwrap(), None);
    let kept = store.load("one").await.unwrap().unwrap();
    assert_eq!((kept.generation, kept.states.len()), (1, 1));
}
