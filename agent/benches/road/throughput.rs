//! Deliveries per second, and what each one writes.

use std::fs;

use lictor::catalog::CheckStatus;

use tokio::time::Instant;

use crate::bare;
use crate::stage::{CHECKS, Stage};
use crate::table::{Samples, Table};

/// Answers of a run, in each of which every check is another than before.
const ANSWERS: usize = 40;

const RUNS: usize = 5;

/// What is to be reached, as a part of the lower limit.
const PART: f64 = 0.6;

/// Measures the road and its two limits, one after the other, in rounds.
pub(crate) fn measure(table: &mut Table) {
    println!("Measuring deliveries per second …");
    let mut road = [const { Samples::new("/s") }; 2];
    let mut limits = [const { Samples::new("/s") }; 2];
    let mut bytes = Samples::new("KiB");
    for run in 1..=RUNS {
        println!("  run {run} of {RUNS}");
        for (receivers, samples) in [1, 4].into_iter().zip(&mut road) {
            samples.add(one_run(receivers, &mut bytes));
        }
        limits[0].add(bare::calls_per_second());
        limits[1].add(bare::rows_per_second(ANSWERS, CHECKS));
    }
    let lower = limits[0].median().min(limits[1].median());
    let part = road[0].median() / lower;
    table.row("the road, one receiver", &road[0]);
    table.row("the road, four receivers", &road[1]);
    table.row("the plugin alone, a fresh instance for each call", &limits[0]);
    table.row("the rows alone, in the same transactions", &limits[1]);
    table.row("written per delivery", &bytes);
    table.reach("… at least 0.6 × the lower limit", &format!("{part:.2} ×"), part >= PART);
}

/// Deliveries per second of one run.
fn one_run(receivers: usize, bytes: &mut Samples) -> f64 {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut stage = Stage::new(receivers).await;
        let (start, written) = (Instant::now(), written());
        for answer in 0..ANSWERS {
            let status = if answer % 2 == 0 { CheckStatus::Critical } else { CheckStatus::Passing };
            stage.answer(|_| status).await;
        }
        let deliveries = ANSWERS * CHECKS * receivers;
        stage.settled(deliveries).await;
        let rate = per(deliveries, start.elapsed().as_secs_f64());
        bytes.add(per(usize::try_from(self::written() - written).unwrap(), 1024.0) / per(deliveries, 1.0));
        stage.end().await;
        rate
    })
}

/// Bytes that this process gave to `write` calls so far.
fn written() -> u64 {
    let counters = fs::read_to_string("/proc/self/io").unwrap();
    let line = counters.lines().find_map(|line| line.strip_prefix("wchar: ")).unwrap();
    line.parse().unwrap()
}

/// So many in such a time.
pub(crate) fn per(count: usize, seconds: f64) -> f64 {
    f64::from(u32::try_from(count).unwrap()) / seconds
}
