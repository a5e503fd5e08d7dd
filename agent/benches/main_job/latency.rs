//! From the PUT that fails a check to the moment at which somebody knows of it.
//!
//! In rounds, one watcher alive at a time, so that what else happens on the machine hits all of them.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::flips::{CHECK, Flips};
use crate::place::Place;
use crate::running::Running;
use crate::stamps::Stamps;
use crate::support::guest::guest;
use crate::support::lictor;
use crate::table::{Samples, Table};

const ROUNDS: usize = 5;
const FLIPS: usize = 40;

/// Flips that a watcher has to see before the measured ones of a round, and how many it may need for that:
/// the first of them find it still starting.
const WARM_UP: usize = 5;
const WARM_UP_MAX: usize = 40;

/// What a watcher says. Lictor's log tells when its plugin called the host for the first time.
const SAID: &str = "watcher.log";

/// How a watcher is started, and what its stamps are in: a file of its own, or what it says.
type Watcher = (fn(&Place, &Path) -> Command, &'static str);

/// What is to be reached, as a multiple of the others' medians.
const OF_BARE: f64 = 1.6;
const OF_WATCH: f64 = 0.7;

/// Measures the three watchers.
pub(crate) fn measure(place: &Place, table: &mut Table) {
    println!("Measuring the way of an event …");
    fs::write(place.path("misbehave.wasm"), guest()).unwrap();
    let watchers: [Watcher; 3] = [(bare, "stamps"), (consul_watch, "stamps"), (noting_lictor, SAID)];
    let mut found = [const { Samples::new("ms") }; 3];
    for round in 1..=ROUNDS {
        println!("  round {round} of {ROUNDS}");
        for (watcher, samples) in watchers.iter().zip(&mut found) {
            watch(place, watcher, samples);
        }
    }
    let [bare, watch, lictor] = found;
    let (of_bare, of_watch) = (lictor.median() / bare.median(), lictor.median() / watch.median());
    table.row("check fails → a bare client has parsed it", &bare);
    table.row("check fails → the handler of consul watch starts", &watch);
    table.row("check fails → Lictor's plugin is in handle", &lictor);
    table.reach("… at most 1.6 × the bare client", &format!("{of_bare:.2} ×"), of_bare <= OF_BARE);
    table.reach("… under 0.7 × consul watch", &format!("{of_watch:.2} ×"), of_watch < OF_WATCH);
}

/// One round of one watcher.
fn watch(place: &Place, (watcher, file): &Watcher, samples: &mut Samples) {
    let file = place.path(file);
    let (mut stamps, mut flips) = (Stamps::new(file.clone()), Flips::new(&place.address()));
    let running = Running::start(watcher(place, &file), place.path(SAID));
    let mut seen = 0;
    for _ in 0..WARM_UP_MAX {
        seen += usize::from(flip(&mut flips, &mut stamps).is_some());
        if seen == WARM_UP {
            break;
        }
    }
    assert_eq!(seen, WARM_UP, "a watcher sees nothing; it said:\n{}", running.log());
    for _ in 0..FLIPS {
        let ns = flip(&mut flips, &mut stamps).expect("a watcher that was warm sees each change");
        samples.add(f64::from(u32::try_from(ns).unwrap()) / 1e6);
    }
}

/// Fails the check and passes it again. Gives back how long it took until the failure was seen, in ns.
fn flip(flips: &mut Flips, stamps: &mut Stamps) -> Option<u64> {
    let failed = flips.fail();
    let seen = stamps.after(failed);
    let passed = flips.pass();
    stamps.after(passed)?;
    Some(seen? - failed)
}

fn bare(place: &Place, stamps: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["bare", &place.address(), &format!("/v1/health/node/{}", place.node()), CHECK]).arg(stamps);
    command
}

fn consul_watch(place: &Place, stamps: &Path) -> Command {
    Place::consul_watch(&place.url(), stamps)
}

/// Lictor with one receiver: a plugin that logs a line when its `handle` begins.
fn noting_lictor(place: &Place, _: &Path) -> Command {
    let file = place.path("noting.toml");
    let (data, plugin) = (place.path("noting"), place.path("misbehave.wasm"));
    let (data, plugin, url) = (data.display(), plugin.display(), place.url());
    let config = format!(
        r#"
        [agent]
        data_dir = "{data}"
        [consul]
        address = "{url}"
        [[rules]]
        name = "web"
        on = ["check.status"]
        match = {{ service = "web" }}
        receivers = ["note"]
        [receivers.note]
        plugin = "{plugin}"
        config = {{ do = "note" }}
        "#
    );
    fs::write(&file, config).unwrap();
    let mut command = lictor::command();
    command.args(["run", "--log-format", "json", "-c"]).arg(file);
    command
}
