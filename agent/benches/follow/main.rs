//! What it costs to follow checks, from few to very many, beside a bare client and `consul watch`.
//!
//! Boundary: everything is on loopback and ends with this program. It prints one table for each part, and whether
//! that is what was to be reached; it passes no judgement by its exit code.
//!
//! The same binary is also the programs that Lictor is compared with, as in `main_job`. `benches/README.md` says more.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a measurement that cannot be made ends with what was seen"
)]

#[path = "../main_job/bare.rs"]
mod bare;
mod checks;
#[path = "../main_job/connection.rs"]
mod connection;
#[path = "../main_job/flips.rs"]
mod flips;
#[path = "../main_job/place.rs"]
mod place;
mod plan;
mod reading;
mod relay;
#[path = "../main_job/running.rs"]
mod running;
mod scope;
#[path = "../main_job/stamps.rs"]
mod stamps;
mod storm;
#[path = "../../tests/support/mod.rs"]
mod support;
#[path = "../main_job/table.rs"]
mod table;
mod transitions;
mod usage;
mod watchers;

use place::Place;
use table::Table;
use watchers::Scope;

fn main() {
    // Before anything else: as a handler of `consul watch`, this is what was waited for.
    let started = stamps::now_ns();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["stamp", file] => stamps::append(file.as_ref(), started),
        ["bare", address, path, check, file] => bare::follow(address, path, check, file.as_ref()),
        ["count", address, path, file] => transitions::follow(address, path, file.as_ref()),
        ref names => measure(names),
    }
}

/// Measures what is named: `diff`, `node`, `service`, `datacenter`, `flips`; without a name all of it.
fn measure(names: &[&str]) {
    // Cargo says `--bench` to each benchmark.
    let names: Vec<_> = names.iter().filter(|name| !name.starts_with("--")).collect();
    let wanted = |name| names.is_empty() || names.contains(&&name);
    if wanted("diff") {
        let mut table = Table::default();
        plan::measure(&mut table);
        reading::measure(&mut table);
        println!("\n{table}");
    }
    let scopes = [("node", Scope::Node), ("service", Scope::Service), ("datacenter", Scope::Datacenter)];
    let scopes: Vec<_> = scopes.into_iter().filter(|(name, _)| wanted(*name)).collect();
    if !scopes.is_empty() {
        let place = start();
        scope::crowd(&place);
        for (name, scope) in scopes {
            println!("Measuring what a watch of the {name} costs …");
            println!("\n{}", scope::measure(&place, scope));
        }
    }
    if wanted("flips") {
        println!("\n{}", storm::measure(&start()));
    }
}

fn start() -> Place {
    println!("Starting a Consul agent …");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(Place::prepare())
}
