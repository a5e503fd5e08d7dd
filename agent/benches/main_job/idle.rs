//! What a receiver costs that has nothing to do: resident memory with a hundred of one plugin, and with one of them.

use std::fmt::Write;
use std::fs;
use std::time::Duration;

use crate::flips::Flips;
use crate::place::Place;
use crate::running::Running;
use crate::support::lictor;
use crate::table::{Samples, Table};

const RUNS: usize = 3;

/// Receivers more in the second of two.
const MORE: usize = 99;

/// What one may cost, in KiB.
const LIMIT: f64 = 100.0;

/// Measures both, after each receiver was called.
pub(crate) fn measure(place: &Place, table: &mut Table) {
    println!("Measuring idle receivers …");
    // The first start compiles the plugin.
    drop(after_a_change(place, 1));
    let mut each = Samples::new("KiB");
    for _ in 0..RUNS {
        let one = after_a_change(place, 1).resident_kb();
        let hundred = after_a_change(place, 1 + MORE).resident_kb();
        let more = f64::from(hundred) - f64::from(one);
        each.add(more / f64::from(u32::try_from(MORE).unwrap()));
    }
    let cost = each.median();
    table.row("an idle receiver, one of 100 of one plugin", &each);
    table.reach("… under 100 KB", &format!("{cost:.0} KiB"), cost < LIMIT);
}

/// Lictor with so many receivers, each of which was called, and has nothing more to do.
fn after_a_change(place: &Place, receivers: usize) -> Running {
    let config = place.path(&format!("idle-{receivers}.toml"));
    fs::write(&config, text(place, receivers)).unwrap();
    let mut command = lictor::command();
    command.arg("run").arg("-c").arg(&config).env("CONSUL_HTTP_ADDR", place.url());
    let mut flips = Flips::new(&place.address());
    let lictor = Running::start(command, place.path(&format!("idle-{receivers}.log")));
    crate::memory::wait("start", &lictor, || lictor.log().contains("Following the checks"));
    let delivered = || lictor.log().matches("Delivered.").count();
    // One that was started a moment ago may miss the first.
    crate::memory::wait("deliver", &lictor, || {
        crate::memory::both_ways(&mut flips);
        delivered() > 0
    });
    crate::memory::wait("deliver to all", &lictor, || delivered() >= receivers);
    std::thread::sleep(Duration::from_secs(1));
    lictor
}

fn text(place: &Place, receivers: usize) -> String {
    let data = place.path("idle");
    let names: Vec<_> = (0..receivers).map(|number| format!("r{number}")).collect();
    let mut text = format!(
        "agent.data_dir = '{}'\n[[rules]]\nname = 'web'\non = ['check.status']\nmatch = {{ service = 'web' }}
        receivers = {names:?}\n[defaults.receivers]\nplugin = 'shell'\nconfig = {{ command = ['/bin/true'] }}\n",
        data.display()
    );
    for name in names {
        writeln!(text, "[receivers.{name}]").unwrap();
    }
    text
}
