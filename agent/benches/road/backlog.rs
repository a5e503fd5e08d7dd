//! A million deliveries: those that wait, and those of the past.

use std::path::Path;

use jiff::Timestamp;
use lictor::store::{Aftermath, Filter, Records, State, Store};
use rusqlite::Connection;

use tokio::time::Instant;

use crate::table::{Samples, Table};

const MILLION: usize = 1_000_000;

/// How often each thing is done.
const RUNS: usize = 20;

/// Measures claims of a backlog, and the start and the lists of a store with a long past.
pub(crate) fn measure(table: &mut Table) {
    println!("Measuring a million that wait …");
    for (count, what) in [
        (1000, "a claim of four, 1,000 wait"),
        (100_000, "a claim of four, 100,000 wait"),
        (MILLION, "a claim of four, 1,000,000 wait"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lictor.db");
        fill(&path, count, "'pending', 1, NULL, NULL");
        table.row(what, &claims(&path));
        if count == MILLION {
            let memory = memory();
            table.reach("… memory of this process under 64 MiB", &format!("{memory:.1} MiB"), memory < 64.0);
        }
    }
    println!("Measuring a million of the past …");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("lictor.db");
    fill(&path, MILLION, "'delivered', 0, 1, 'delivered'");
    let starts = starts(&path);
    table.row("a start with 1,000,000 of the past", &starts);
    let started = starts.median();
    table.reach("… under 1 s", &format!("{started:.0} ms"), started < 1000.0);
    let lists = lists(&path);
    table.row("the newest 50 of them, the dead, the pending", &lists);
    let listed = lists.median();
    table.reach("… under 100 ms", &format!("{listed:.0} ms"), listed < 100.0);
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// So many deliveries, each of another subject, with these columns: state, head, `settled_at`, outcome.
fn fill(path: &Path, count: usize, columns: &str) {
    runtime().block_on(async { Store::open(path).unwrap().close().await.unwrap() });
    let connection = Connection::open(path).unwrap();
    let sql = format!(
        "BEGIN;
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {count})
         INSERT INTO event (id, generation, watch, kind, source, subject, time, data, node, environment)
         SELECT printf('%032x', i), 0, 'checks/node', 'lictor.check.status', 'consul://dc1', 'web1/check-' || i, i,
           printf('%.400c', 'x'), 'web1', '' FROM n;
         INSERT INTO delivery (id, event, rule, receiver, subject, due_at, attempts, created_at,
           state, head, settled_at, outcome)
         SELECT id, seq, 'all', 'r0', subject, 0, 0, time, {columns} FROM event;
         COMMIT; PRAGMA wal_checkpoint(TRUNCATE);"
    );
    connection.execute_batch(&sql).unwrap();
}

fn milliseconds(start: Instant) -> f64 {
    start.elapsed().as_secs_f64() * 1e3
}

fn claims(path: &Path) -> Samples {
    let mut samples = Samples::new("ms");
    runtime().block_on(async {
        let store = Store::open(path).unwrap();
        for _ in 0..RUNS * 10 {
            let start = Instant::now();
            assert_eq!(store.claim("r0", 4, Timestamp::now()).await.unwrap().claimed.len(), 4);
            samples.add(milliseconds(start));
        }
        store.close().await.unwrap();
    });
    samples
}

/// What a start does before it follows Consul.
fn starts(path: &Path) -> Samples {
    let mut samples = Samples::new("ms");
    for _ in 0..RUNS {
        let start = Instant::now();
        runtime().block_on(async {
            let store = Store::open(path).unwrap();
            let nothing = std::sync::Arc::new(|_: &_, _: (&str, &str), _| Aftermath::default());
            store.recover(std::collections::BTreeMap::new(), nothing, Timestamp::now()).await.unwrap();
            store.open_by_receiver().await.unwrap();
            store.load("checks/node").await.unwrap();
            samples.add(milliseconds(start));
            store.close().await.unwrap();
        });
    }
    samples
}

/// Three lists, each with a connection of its own, as the command line has.
fn lists(path: &Path) -> Samples {
    let mut samples = Samples::new("ms");
    for state in [None, Some(State::Dead), Some(State::Pending)].repeat(RUNS) {
        let start = Instant::now();
        let records = Records::open(path).unwrap();
        records.list(&Filter { state, receiver: None, limit: 50 }).unwrap();
        samples.add(milliseconds(start));
    }
    samples
}

/// The most MiB that this process ever had in memory.
fn memory() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let kib: f64 = line.trim().trim_end_matches(" kB").parse().unwrap();
    kib / 1024.0
}
