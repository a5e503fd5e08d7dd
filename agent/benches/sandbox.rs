//! What each guest of `agent/tests/sandbox` costs a receiver beside it: calls of a plugin that returns at once, alone and
//! while one that does what none should is called without a pause.
//!
//! Boundary: the sandbox alone, with one thread for guests, as Lictor has on two cores. It prints one table, and passes
//! no judgement by its exit code.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a measurement that cannot be made ends with what was seen"
)]

use std::fs;
use std::path::Path;
use std::slice;
use std::sync::Arc;
use std::time::Duration;

use lictor::config::{Config, Look, Receiver};
use lictor_capability::{Capabilities, Grants, OutputLimits};
use lictor_host::{Call, Delivery, Host, HostSettings, Limits, Plugin};
use table::{Samples, Table};
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

#[path = "../tests/support/guest.rs"]
mod guest;
#[path = "main_job/table.rs"]
mod table;

/// Rounds of a folder, and how long the receiver is looked at in each, alone and then beside it.
const ROUNDS: usize = 7;
const LOOK: Duration = Duration::from_millis(400);

/// What is to be reached.
const SLOWER_MAX: f64 = 1.1;

fn main() {
    let names: Vec<String> = std::env::args().skip(1).filter(|name| !name.starts_with("--")).collect();
    let settings = HostSettings { cache_dir: Some(guest::compiled()), workers: 1, instances: 50 };
    let host = Host::new(settings).unwrap();
    let plugin = host.load(guest::guest()).unwrap();
    let mut table = Table::default();
    let folder = guest::repository().join("agent/tests/sandbox");
    let mut folders: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    folders.sort();
    for folder in folders {
        let name = folder.file_name().unwrap().to_string_lossy().into_owned();
        let wanted = names.is_empty() || names.contains(&name);
        if wanted && fs::read_to_string(folder.join("guest")).is_ok_and(|guest| guest == "misbehave\n") {
            measure(&host, &plugin, &name, &receiver(&folder), &mut table);
        }
    }
    println!("\n{table}");
}

/// The receiver that a folder has.
fn receiver(folder: &Path) -> Receiver {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("lictor.toml");
    fs::write(&file, fs::read(folder.join("receiver.toml")).unwrap()).unwrap();
    let config = Config::load(slice::from_ref(&file), &|_| None, Look::Inside).expect("it is a receiver");
    config.receivers[0].clone()
}

fn measure(host: &Host, plugin: &Plugin, name: &str, receiver: &Receiver, table: &mut Table) {
    println!("Measuring beside {name} …");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (mut alone, mut beside, mut ratios) = (Samples::new("µs"), Samples::new("µs"), Samples::new("×"));
    for _ in 0..ROUNDS {
        let (one, other) = runtime.block_on(async {
            let one = look(host, plugin).await;
            let misbehaving =
                AbortOnDropHandle::new(host.runtime().spawn(endless(plugin.clone(), call(receiver))));
            let other = look(host, plugin).await;
            drop(misbehaving);
            host.close().await;
            (one, other)
        });
        alone.add(one);
        beside.add(other);
        ratios.add(other / one);
    }
    table.row(&format!("{name}: a call alone"), &alone);
    table.row("… beside it", &beside);
    let ratio = ratios.median();
    table.reach("… at most a tenth slower", &format!("{ratio:.2} ×"), ratio <= SLOWER_MAX);
}

/// Microseconds that a call takes on average, one after the other where receivers' tasks run.
async fn look(host: &Host, plugin: &Plugin) -> f64 {
    let plugin = plugin.clone();
    let look = async move {
        let (start, mut calls) = (Instant::now(), 0_u32);
        while start.elapsed() < LOOK {
            plugin.handle(steady()).await.result.expect("it returns at once");
            calls += 1;
        }
        start.elapsed().as_secs_f64() * 1e6 / f64::from(calls)
    };
    host.runtime().spawn(look).await.unwrap()
}

async fn endless(plugin: Plugin, make: impl Fn() -> Call + Send) {
    loop {
        plugin.handle(make()).await.result.expect_err("it does what none should");
    }
}

fn steady() -> Call {
    Call {
        delivery: delivery(),
        config: r#"{"do":"ok"}"#.into(),
        capabilities: able(Grants::default()),
        limits: Limits::default(),
    }
}

/// Calls of this receiver's.
fn call(receiver: &Receiver) -> impl Fn() -> Call + Send + use<> {
    let exec = receiver.allow.exec.clone().unwrap_or_default();
    let config: Arc<str> = receiver.config.to_string().into();
    let capabilities = able(Grants { exec, ..Grants::default() });
    let of = &receiver.limits;
    let limits = Limits {
        timeout: receiver.timeout,
        cpu: of.cpu,
        memory: of.memory,
        log: of.log,
        transfer: of.transfer,
        ..Limits::default()
    };
    move || Call {
        delivery: delivery(),
        config: Arc::clone(&config),
        capabilities: Arc::clone(&capabilities),
        limits: limits.clone(),
    }
}

fn able(grants: Grants) -> Arc<Capabilities> {
    let outputs = OutputLimits { exec_output: 4096, http_response: 4096 };
    Arc::new(Capabilities::new(grants, outputs).unwrap())
}

fn delivery() -> Delivery {
    Delivery {
        id: "0123456789abcdef0123456789abcdef".into(),
        attempt: 1,
        rule: "all".into(),
        receiver: "r0".into(),
        environment: String::new(),
        node: "web1".into(),
        events: Vec::new(),
    }
}
