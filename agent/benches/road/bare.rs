//! The two limits of the road: its plugin without a store, and its rows without a plugin.

use std::sync::Arc;
use std::time::Duration;

use lictor::dispatch::{Delivery, Event, Handler};
use rusqlite::{Connection, TransactionBehavior};
use tokio::task::JoinSet;

use tokio::time::Instant;

use crate::stage::{handler, sandbox};
use crate::throughput::per;

/// How long the plugin is called.
const LONG: Duration = Duration::from_secs(2);

/// Calls side by side, two for each of two cores.
const CALLS: usize = 4;

/// Deliveries that one transaction settles and claims: as many as on the road with one receiver, where perf counted
/// 1.7 to 2.0 (a probe at the place where `SQLite` writes a transaction to its log).
const CLAIM: usize = 2;

/// Calls of the plugin per second, on two threads, with a fresh instance for each and all that is Lictor's about a
/// call, and nothing else done.
pub(crate) fn calls_per_second() -> f64 {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (host, plugin) = sandbox(2);
        let handler = Arc::new(handler(plugin));
        let start = Instant::now();
        let mut tasks = JoinSet::new();
        for _ in 0..CALLS {
            let handler = Arc::clone(&handler);
            let call = async move {
                let mut calls = 0;
                while start.elapsed() < LONG {
                    handler.handle(delivery()).await.unwrap();
                    calls += 1;
                }
                calls
            };
            tasks.spawn_on(call, host.runtime());
        }
        let calls = tasks.join_all().await.into_iter().sum();
        per(calls, start.elapsed().as_secs_f64())
    })
}

/// A delivery of one event.
pub(crate) fn delivery() -> Delivery {
    Delivery {
        id: "0123456789abcdef0123456789abcdef".into(),
        attempt: 1,
        rule: "all".into(),
        receiver: "r0".into(),
        environment: String::new(),
        node: "web1".into(),
        events: vec![Event {
            id: "0123456789abcdef0123456789abcdef".into(),
            source: "consul://dc1".into(),
            kind: "lictor.check.status".into(),
            subject: "web1/check-0000".into(),
            time: "2026-01-01T00:00:00Z".into(),
            data: DATA.into(),
        }],
    }
}

/// As long as the data of the road's events.
const DATA: &str = r#"{"node":"web1","node_meta":{},"datacenter":"dc1","check_id":"check-0000","check_name":"check-0000","service_id":"check-0000","service":"check-0000","service_tags":["prod"],"from":"passing","to":"critical","since":"2026-01-01T00:00:00.000000000Z","output":"HTTP GET http://127.0.0.1:8080/health: critical Output: as it is","notes":"","initial":false,"catch_up":false,"environment":"","node_role":"standalone","create_index":1,"modify_index":2}"#;

/// Deliveries per second where only their rows are written: one transaction for each answer, and one for two verdicts
/// and the claim of the next two, in a database with Lictor's schema and settings.
pub(crate) fn rows_per_second(answers: usize, checks: usize) -> f64 {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("lictor.db");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { lictor::store::Store::open(&path).unwrap().close().await.unwrap() });
    let mut connection = Connection::open(&path).unwrap();
    connection.execute_batch("PRAGMA synchronous = normal; PRAGMA wal_autocheckpoint = 8192").unwrap();
    connection.set_db_config(rusqlite::config::DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true).unwrap();
    connection.set_prepared_statement_cache_capacity(32);
    let start = Instant::now();
    for answer in 0..answers {
        write_answer(&mut connection, answer, checks);
    }
    let numbers: Vec<_> = (1..=answers * checks).collect();
    let mut running: &[usize] = &[];
    for next in numbers.chunks(CLAIM).chain([&[][..]]) {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).unwrap();
        settle(&transaction, running);
        claim(&transaction, next);
        transaction.commit().unwrap();
        running = next;
    }
    per(answers * checks, start.elapsed().as_secs_f64())
}

fn write_answer(connection: &mut Connection, answer: usize, checks: usize) {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).unwrap();
    {
        let mut event = transaction
            .prepare_cached(
                "INSERT INTO event (id, generation, watch, kind, source, subject, time, data, node, environment)
                 VALUES (?1, 0, 'checks/node', 'lictor.check.status', 'consul://dc1', ?2, 1, ?3, 'web1', '')",
            )
            .unwrap();
        let mut delivery = transaction
            .prepare_cached(
                "INSERT INTO delivery (id, event, rule, receiver, subject, state, head, due_at, attempts, created_at)
                 VALUES (?1, ?2, 'all', 'r0', ?3, 'pending', 1, 1, 0, 1)",
            )
            .unwrap();
        let mut state = transaction
            .prepare_cached(
                "INSERT INTO snapshot (watch, key, state) VALUES ('checks/node', ?1, ?2)
                 ON CONFLICT (watch, key) DO UPDATE SET state = excluded.state",
            )
            .unwrap();
        let mut watch = transaction
            .prepare_cached("INSERT INTO watch VALUES ('checks/node', 1, 0, 1) ON CONFLICT DO NOTHING")
            .unwrap();
        watch.execute(()).unwrap();
        for check in 0..checks {
            let number = answer * checks + check;
            // Ids are hashes, so their rows are all over the index.
            let id = format!(
                "{:032x}",
                (number as u128 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835)
            );
            let subject = format!("web1/check-{check:04}");
            state.execute((&subject, DATA)).unwrap();
            event.execute((&id, &subject, DATA)).unwrap();
            delivery.execute((&id, transaction.last_insert_rowid(), &subject)).unwrap();
        }
    }
    transaction.commit().unwrap();
}

fn claim(transaction: &Connection, numbers: &[usize]) {
    let sql = "UPDATE delivery SET state = 'running', attempts = 1, claimed_at = 1 WHERE seq = ?1";
    let mut claim = transaction.prepare_cached(sql).unwrap();
    for number in numbers {
        claim.execute([i64::try_from(*number).unwrap()]).unwrap();
    }
}

fn settle(transaction: &Connection, numbers: &[usize]) {
    let sql = "UPDATE delivery SET state = 'delivered', head = 0, settled_at = 2, outcome = 'delivered', detail = 'ok' WHERE seq = ?1";
    let mut settle = transaction.prepare_cached(sql).unwrap();
    let mut attempt =
        transaction.prepare_cached("INSERT INTO attempt VALUES (?1, 1, 1, 2, 'delivered', 'ok')").unwrap();
    for number in numbers {
        let number = i64::try_from(*number).unwrap();
        settle.execute([number]).unwrap();
        attempt.execute([number]).unwrap();
    }
}
