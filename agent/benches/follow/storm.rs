//! Ten thousand flips of a thousand checks, as fast as the agent takes them: who sees how many of them, for how much
//! CPU time.
//!
//! In rounds, one watcher alive at a time. All follow `/v1/health/state/any`.

use std::fs::{self, File};
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

use serde_json::json;
use tokio::time::Instant;

use crate::connection::Connection;
use crate::flips::Flips;
use crate::place::Place;
use crate::running::Running;
use crate::support::guest;
use crate::table::{Samples, Table};
use crate::transitions::Lines;
use crate::usage;
use crate::watchers::{Job, LICTOR, Scope, consul_watch, counting_bare, idle_lictor};

const CHECKS: usize = 1_000;
const FLIPS: usize = 10_000;
const ROUNDS: usize = 4;

/// How often it is looked at what a watcher has noted. It is done where it noted nothing for so many looks, and is
/// waited for no longer than for so many.
const POLL: Duration = Duration::from_millis(100);
const QUIET: usize = 30;
const PATIENCE: usize = 1_200;

/// Flips that a watcher may need until it sees one.
const WARM_UP_MAX: usize = 100;

/// What is to be reached, as a multiple of the others' CPU time.
const OF_BARE: f64 = 1.5;
const OF_WATCH: f64 = 0.33;

/// What was found of one watcher.
struct Found {
    taken: Samples,
    noted: Samples,
    cpu: Samples,
    handlers: Samples,
    resident: Samples,
}

impl Found {
    const fn new() -> Self {
        Self {
            taken: Samples::new("/s"),
            noted: Samples::new(""),
            cpu: Samples::new("s"),
            handlers: Samples::new("s"),
            resident: Samples::new("MB"),
        }
    }
}

/// Measures the three watchers.
pub(crate) fn measure(place: &Place) -> Table {
    println!("Measuring many flips …");
    register(place);
    fs::write(place.path("misbehave.wasm"), guest::guest()).unwrap();
    let watchers: [fn(&Job<'_>) -> Command; 3] = [counting_bare, idle_lictor, consul_watch];
    let mut found = [const { Found::new() }; 3];
    for round in 1..=ROUNDS {
        println!("  round {round} of {ROUNDS}");
        for (at, (watcher, found)) in watchers.iter().zip(&mut found).enumerate() {
            watch(place, (*watcher, at == LICTOR), found);
        }
    }
    table(&found)
}

/// A service with all the checks.
fn register(place: &Place) {
    let check = |number| {
        let id = id(number);
        json!({ "CheckID": id, "Name": id, "TTL": "1h", "Status": "passing" })
    };
    let checks: Vec<_> = (0..CHECKS).map(check).collect();
    let body = json!({ "ID": "many", "Name": "many", "Checks": checks }).to_string();
    Connection::open(&place.address()).request("PUT", "/v1/agent/service/register", &body);
}

fn id(number: usize) -> String {
    format!("many-{number:04}")
}

/// One round of one watcher. What Lictor has delivered stands in its log.
fn watch(place: &Place, (watcher, is_lictor): (fn(&Job<'_>) -> Command, bool), found: &mut Found) {
    let (file, log) = (place.path("noted"), place.path("watcher.log"));
    File::create(&file).unwrap();
    let job = Job { place, scope: Scope::Datacenter, agent: &place.address(), file: &file };
    let running = Running::start(watcher(&job), log.clone());
    let mut lines = if is_lictor { Lines::of(&log, "Delivered.") } else { Lines::of(&file, "") };
    warm_up(place, &running, &mut lines);
    let before = finish(&mut lines, usize::MAX);
    let (id, cpu_before) = (running.id(), usage::cpu(running.id()));
    let handlers_before = usage::cpu_of_children(id);
    let start = Instant::now();
    flip_all(place);
    found.taken.add(whole(FLIPS) / start.elapsed().as_secs_f64());
    let after = finish(&mut lines, before + FLIPS);
    found.noted.add(whole(after - before));
    found.cpu.add((usage::cpu(id) - cpu_before) / 1e3);
    found.handlers.add((usage::cpu_of_children(id) - handlers_before) / 1e3);
    found.resident.add(f64::from(running.resident_kb()) / 1024.0);
}

/// Flips a check that is none of the many, until the watcher notes it.
fn warm_up(place: &Place, running: &Running, lines: &mut Lines) {
    let mut flips = Flips::new(&place.address());
    let start = lines.count();
    for _ in 0..WARM_UP_MAX {
        flips.fail();
        sleep(POLL);
        flips.pass();
        sleep(POLL);
        if lines.count() > start {
            return;
        }
    }
    panic!("a watcher sees nothing; it said:\n{}", running.log());
}

/// Each check in its turn, all to the same status, and then all to the other.
fn flip_all(place: &Place) {
    let mut connection = Connection::open(&place.address());
    for flip in 0..FLIPS {
        let status = if (flip / CHECKS).is_multiple_of(2) { "critical" } else { "passing" };
        let body = json!({ "Status": status, "Output": status }).to_string();
        connection.request("PUT", &format!("/v1/agent/check/update/{}", id(flip % CHECKS)), &body);
    }
}

/// Waits until there are so many lines, or no new ones come. Gives back how many there are.
fn finish(lines: &mut Lines, wanted: usize) -> usize {
    let (mut known, mut quiet) = (lines.count(), 0);
    for _ in 0..PATIENCE {
        sleep(POLL);
        let now = lines.count();
        quiet = if now == known { quiet + 1 } else { 0 };
        known = now;
        if known >= wanted || quiet == QUIET {
            break;
        }
    }
    known
}

#[expect(clippy::cast_precision_loss, reason = "numbers far below those that do not fit")]
fn whole(number: usize) -> f64 {
    number as f64
}

fn table(found: &[Found; 3]) -> Table {
    let mut table = Table::default();
    let [bare, lictor, watch] = found;
    table.row("flips that the agent took, beside a bare client", &bare.taken);
    table.row("flips that the agent took, beside Lictor", &lictor.taken);
    table.row("flips that the agent took, beside consul watch", &watch.taken);
    table.row("transitions that a bare client saw, of 10,000", &bare.noted);
    table.row("transitions that Lictor delivered, of 10,000", &lictor.noted);
    table.row("runs of the handler of consul watch", &watch.noted);
    table.row("CPU of a bare client", &bare.cpu);
    table.row("CPU of Lictor", &lictor.cpu);
    table.row("CPU of consul watch", &watch.cpu);
    table.row("… its handlers", &watch.handlers);
    table.row("memory of a bare client", &bare.resident);
    table.row("memory of Lictor", &lictor.resident);
    table.row("memory of consul watch", &watch.resident);
    // The fewest that were delivered in any round, and the most that were seen.
    let (delivered, seen) = (lictor.noted.percentile(0), bare.noted.percentile(100));
    let all = format!("{delivered:.0} of {seen:.0}");
    table.reach("… each transition that was seen is delivered", &all, delivered >= seen);
    let (of_bare, of_watch) =
        (lictor.cpu.median() / bare.cpu.median(), lictor.cpu.median() / watch.cpu.median());
    table.reach("… CPU at most 1.5 × the bare client", &format!("{of_bare:.2} ×"), of_bare <= OF_BARE);
    table.reach("… CPU under 0.33 × consul watch", &format!("{of_watch:.2} ×"), of_watch < OF_WATCH);
    table
}
