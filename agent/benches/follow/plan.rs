//! The pure cost of a flipped check: from all checks of an answer to what is to be committed.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use lictor::catalog::{Check, CheckStatus, Entry, LocalNode};
use lictor::event::{EventType, Timing};
use lictor::pipeline::{Answer, History, Known, Place, Routing};
use lictor::rules::{Alerts, BuiltIn, Query, Roles, Rule};
use tokio::time::Instant;

use crate::checks::check;
use crate::table::{Samples, Table};

/// How many checks there are, and how often one of them flips.
const SIZES: [(usize, usize, &str); 4] =
    [(100, 2_000, "100"), (1_000, 1_000, "1,000"), (10_000, 200, "10,000"), (100_000, 40, "100,000")];

/// The step from one flip to the next; no multiple of it is a multiple of a size.
const STRIDE: usize = 37;

/// Measures each size.
pub(crate) fn measure(table: &mut Table) {
    println!("Measuring the pure cost of a flip …");
    for (checks, runs, written) in SIZES {
        table.row(&format!("1 of {written} flips → what is to be committed"), &flips(checks, runs));
    }
}

/// Flips one check after another.
fn flips(count: usize, runs: usize) -> Samples {
    let mut planned = Samples::new("µs");
    let (routing, node, now) = (routing(), node(), Timestamp::UNIX_EPOCH);
    let place = Place {
        node: &node,
        datacenter: "dc1",
        watch: "checks/state/any",
        is_a_choice: false,
        by_status: false,
        user_events: None,
    };
    let mut checks: Vec<_> = (0..count).map(check).map(Arc::new).collect();
    let mut known = Known::default();
    routing.plan(&mut known, place, answer(&checks, 1), now);
    known.history = History::Live;
    let query = Query { watch: "checks/state/any".into(), name: "checks/state/any".into() };
    let mut alerts = Alerts::default();
    for run in 0..runs {
        let index = (count + 1_000 + run) as u64;
        flip(Arc::make_mut(&mut checks[run * STRIDE % count]), index);
        let answer = answer(&checks, index);
        let start = Instant::now();
        let plan = routing.plan(&mut known, place, answer, now);
        let decisions = alerts.take(routing.policy(), &plan.events, &query, now);
        let deliveries = routing.in_deliveries(&plan.events, decisions, now).deliveries;
        planned.add(start.elapsed().as_secs_f64() * 1e6);
        assert_eq!((plan.changes.len(), plan.events.len(), deliveries.len()), (1, 1, 1));
    }
    planned
}

fn flip(check: &mut Check, index: u64) {
    check.modify_index = index;
    check.status = match check.status {
        CheckStatus::Passing => CheckStatus::Critical,
        CheckStatus::Warning | CheckStatus::Critical => CheckStatus::Passing,
    };
}

fn answer(checks: &[Arc<Check>], index: u64) -> Answer {
    Answer { entries: checks.iter().map(Arc::clone).map(Entry::Check).collect(), index, reset: false }
}

fn node() -> LocalNode {
    LocalNode { name: "app0000".into(), datacenter: "dc1".into(), meta: BTreeMap::new() }
}

/// One rule that wants every change of a status.
fn routing() -> Routing {
    let rule = Rule {
        name: "all".into(),
        on: vec![EventType::CheckStatus],
        receivers: vec!["journal".into()],
        ..Rule::default()
    };
    Routing {
        inhibit_rules: BuiltIn::default().rules(),
        rules: vec![rule].into(),
        roles: Roles::default(),
        environment: None,
        timing: Timing::default(),
        wishes: BTreeMap::new(),
    }
}
