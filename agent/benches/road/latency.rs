//! How long an event takes at a steady pace, from the answer to its verdict in the store.

use std::time::Duration;

use lictor::catalog::CheckStatus;
use rusqlite::Connection;

use tokio::time::Instant;

use crate::stage::Stage;
use crate::table::{Samples, Table};

/// Events per second.
const PACE: u32 = 1000;

/// How many are measured.
const EVENTS: usize = 10_000;

/// What the 99th percentile is to be under, in ms.
const P99: f64 = 10.0;

/// Measures at a pace of 1,000 events a second, each an answer of its own.
pub(crate) fn measure(table: &mut Table) {
    println!("Measuring at {PACE} events per second …");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut samples = Samples::new("ms");
    runtime.block_on(async {
        let mut stage = Stage::new(1).await;
        let checks = crate::stage::CHECKS;
        let start = Instant::now();
        for number in 0..EVENTS {
            let due = start + Duration::from_secs(1) / PACE * u32::try_from(number).unwrap();
            tokio::time::sleep_until(due).await;
            // One check after another fails, and then one after another passes.
            let (round, at) = (number / checks, number % checks);
            let failing = |check: usize| (check <= at) == (round % 2 == 0);
            let of = |check| if failing(check) { CheckStatus::Critical } else { CheckStatus::Passing };
            stage.answer(of).await;
        }
        stage.settled(EVENTS).await;
        let connection = Connection::open(stage.database()).unwrap();
        let mut took = connection.prepare("SELECT settled_at - created_at FROM delivery").unwrap();
        for took in took.query_map((), |row| row.get::<_, f64>(0)).unwrap() {
            samples.add(took.unwrap());
        }
        stage.end().await;
    });
    let p99 = samples.percentile(99);
    table.row("answer → settled, at 1,000 events per second", &samples);
    table.reach("… 99 of 100 under 10 ms", &format!("{p99:.0} ms"), p99 < P99);
}
