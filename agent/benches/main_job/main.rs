//! What the main job costs, measured with real parts in one run on one machine: a Consul agent, the release
//! binary of Lictor, and beside it a bare client and `consul watch`.
//!
//! Boundary: everything is on loopback and ends with this program. It prints one table of what was found,
//! and whether that is what was to be reached; it passes no judgement by its exit code.
//!
//! The same binary is also the two programs that Lictor is compared with: the handler that `consul watch`
//! runs, and the bare client. `benches/README.md` says more.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a measurement that cannot be made ends with what was seen"
)]

mod bare;
mod cold_start;
mod connection;
mod flips;
mod idle;
mod latency;
mod memory;
mod place;
mod running;
mod servers;
mod sidecar;
mod stamps;
#[path = "../../tests/support/mod.rs"]
mod support;
mod table;

use place::Place;
use table::Table;

fn main() {
    // Before anything else: as a handler of `consul watch`, this is what was waited for.
    let started = stamps::now_ns();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["stamp", file] => stamps::append(file.as_ref(), started),
        ["bare", address, path, check, file] => bare::follow(address, path, check, file.as_ref()),
        ref names => measure(names),
    }
}

/// Measures what is named: `latency`, `memory`, `idle`, `cold-start`; without a name all of it.
fn measure(names: &[&str]) {
    // Cargo says `--bench` to each benchmark.
    let names: Vec<_> = names.iter().filter(|name| !name.starts_with("--")).collect();
    let wanted = |name| names.is_empty() || names.contains(&&name);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    println!("Starting a Consul agent …");
    let place = runtime.block_on(Place::prepare());
    let mut table = Table::default();
    if wanted("latency") {
        latency::measure(&place, &mut table);
    }
    if wanted("memory") {
        memory::measure(&place, &mut table);
    }
    if wanted("idle") {
        idle::measure(&place, &mut table);
    }
    if wanted("cold-start") {
        cold_start::measure(&place, &mut table);
    }
    println!("\n{table}");
}
