//! Resident memory after a thousand deliveries, beside one `consul watch` that saw the same changes.

use std::thread::sleep;
use std::time::Duration;

use crate::flips::Flips;
use crate::place::Place;
use crate::running::Running;
use crate::sidecar::{RECEIVERS, Sidecar};
use crate::stamps::Stamps;
use crate::table::{Samples, Table};

const RUNS: usize = 3;
const DELIVERIES: usize = 1000;

/// Long enough that each change is an answer of its own, and that four plugins are called for it.
const PAUSE: Duration = Duration::from_millis(12);

/// How long deliveries and handlers that are still on their way may take, in tenths of a second.
const PATIENCE: usize = 600;

/// What is to be reached, as a part of what `consul watch` has.
const OF_WATCH: f64 = 0.5;

/// Measures both.
pub(crate) fn measure(place: &Place, table: &mut Table) {
    println!("Measuring memory …");
    let sidecar = Sidecar::prepare(place);
    let (mut watch, mut lictor) = (Samples::new("MB"), Samples::new("MB"));
    // The first start compiles the plugins; it is a start like all others once that is cached.
    drop(after_deliveries(place, &sidecar, RECEIVERS));
    for run in 1..=RUNS {
        println!("  run {run} of {RUNS}");
        watch.add(megabytes(&after_changes(place)));
        lictor.add(megabytes(&after_deliveries(place, &sidecar, DELIVERIES)));
    }
    let part = lictor.median() / watch.median();
    table.row("memory of consul watch", &watch);
    table.row("memory of Lictor, four plugins, 1,000 deliveries", &lictor);
    table.reach("… under 0.5 × consul watch", &format!("{part:.2} ×"), part < OF_WATCH);
}

/// `consul watch` after as many changes as make a thousand deliveries.
fn after_changes(place: &Place) -> Running {
    let file = place.path("stamps");
    let (mut stamps, mut flips) = (Stamps::new(file.clone()), Flips::new(&place.address()));
    let watch = Running::start(Place::consul_watch(&place.url(), &file), place.path("watcher.log"));
    stamps.after(0).expect("consul watch runs its handler at the start");
    for _ in 0..DELIVERIES / RECEIVERS / 2 {
        both_ways(&mut flips);
    }
    let last = flips.fail();
    stamps.after(last).expect("consul watch sees the last change");
    flips.pass();
    watch
}

/// Lictor after so many deliveries.
fn after_deliveries(place: &Place, sidecar: &Sidecar, deliveries: usize) -> Running {
    let mut flips = Flips::new(&place.address());
    let lictor = Running::start(sidecar.command(&place.url()), sidecar.log());
    wait("start", &lictor, || lictor.log().contains("Following the checks"));
    let delivered = || lictor.log().matches("Delivered.").count();
    // One that was started a moment ago may miss the first.
    wait("deliver", &lictor, || {
        both_ways(&mut flips);
        delivered() > 0
    });
    for _ in 0..deliveries / RECEIVERS / 2 {
        both_ways(&mut flips);
    }
    wait("deliver all", &lictor, || delivered() >= deliveries);
    lictor
}

/// A failure and its end, each seen for itself.
fn both_ways(flips: &mut Flips) {
    flips.fail();
    sleep(PAUSE);
    flips.pass();
    sleep(PAUSE);
}

/// Waits until it is `done`.
pub(crate) fn wait(what: &str, lictor: &Running, mut done: impl FnMut() -> bool) {
    for _ in 0..PATIENCE {
        if done() {
            return;
        }
        sleep(Duration::from_millis(100));
    }
    panic!("Lictor did not {what}; it said:\n{}", lictor.log());
}

fn megabytes(running: &Running) -> f64 {
    f64::from(running.resident_kb()) / 1024.0
}
