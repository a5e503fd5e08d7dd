//! What the road costs without Consul: synthetic answers, through diff, rules and store, to a plugin that returns at
//! once, until each delivery is settled. Beside it its two limits alone: the same plugin called without a store, and
//! the same rows written without a plugin.
//!
//! Boundary: one process, no network. It prints one table, and passes no judgement by its exit code.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a measurement that cannot be made ends with what was seen"
)]

mod backlog;
mod bare;
mod call;
#[path = "../../tests/support/guest.rs"]
mod guest;
mod idle;
mod latency;
mod stage;
#[path = "../main_job/table.rs"]
mod table;
mod throughput;

use table::Table;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    // Cargo says `--bench` to each benchmark.
    let names: Vec<_> = arguments.iter().map(String::as_str).filter(|name| !name.starts_with("--")).collect();
    let wanted = |name| names.is_empty() || names.contains(&name);
    let mut table = Table::default();
    if wanted("throughput") {
        throughput::measure(&mut table);
    }
    if wanted("call") {
        call::measure(&mut table);
    }
    if wanted("idle") {
        idle::measure(&mut table);
    }
    if wanted("pace") {
        latency::measure(&mut table);
    }
    if wanted("backlog") {
        backlog::measure(&mut table);
    }
    println!("\n{table}");
}
