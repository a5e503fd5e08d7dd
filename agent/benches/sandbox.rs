//! What each guest of `agent/tests/sandbox` costs a receiver beside it: calls of a plugin that returns at once, and of one
//! that computes for some milliseconds, alone and while four calls at a time are made of one that does what none should,
//! without a pause; or while it is loaded a hundred times a second where it is not taken.
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
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use lictor::config::{Config, Look, Receiver};
use lictor_capability::{Capabilities, Grants, HttpClients, OutputLimits};
use lictor_host::{Call, Delivery, Host, HostSettings, Limits, Plugin};
use table::{Samples, Table};
use tokio::runtime::Runtime;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

#[path = "../tests/support/guest.rs"]
mod guest;
#[path = "main_job/table.rs"]
mod table;

/// Rounds of a folder, and how long the receiver is looked at in each, beside it and then alone. Short ones, and each is held
/// against what was before and after it: a machine that others use, too, is half as quick from one second to the next.
const ROUNDS: usize = 15;
const LOOK: Duration = Duration::from_millis(150);

/// So long a guest goes on before anybody looks for the first time, so that it is known what it does; and later on.
const FIRST: Duration = Duration::from_secs(1);
const BEFORE: Duration = Duration::from_millis(20);

/// The same where it counts who used how much of late, in times that the receiver has nothing to do.
const SETTLED: u32 = 20;

/// Between two loads. A file is loaded once for each reload.
const BETWEEN: Duration = Duration::from_millis(10);

/// Calls at once of what goes on beside it: the default of `max_in_flight`.
const AT_ONCE: usize = 4;

/// What is looked at: a plugin that returns at once, and one that computes for some milliseconds, as an interpreter does.
const LIGHT: Steady = Steady { config: r#"{"do":"ok"}"#, between: Duration::ZERO };
const HEAVY: Steady = Steady { config: r#"{"do":"compute"}"#, between: Duration::ZERO };

/// What is looked at beside the guest that spins, too: a plugin that is refused something in each call, and waits before the
/// next one for that.
const REFUSED: Steady =
    Steady { config: r#"{"do":"sleep","command":["/bin/true"],"timeout":"1s"}"#, between: Duration::ZERO };
const BESIDE_REFUSED: &str = "endless-loop";

/// What is looked at beside one that computes for some milliseconds in each call, and is called without a pause.
const NOW_AND_THEN: Steady = Steady { between: Duration::from_millis(20), ..HEAVY };

/// What is to be reached.
const SLOWER_MAX: f64 = 1.1;

fn main() {
    let names: Vec<String> = std::env::args().skip(1).filter(|name| !name.starts_with("--")).collect();
    let settings = HostSettings { cache_dir: Some(guest::compiled()), workers: 1, instances: 50 };
    let stage = Stage::new(Host::new(settings).unwrap());
    let mut table = Table::default();
    let folder = guest::repository().join("agent/tests/sandbox");
    let mut folders: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    folders.sort();
    for folder in folders {
        let name = folder.file_name().unwrap().to_string_lossy().into_owned();
        if folder.is_dir() && (names.is_empty() || names.contains(&name)) {
            let other = Other::of(&folder, &stage.host);
            stage.measure(&name, LIGHT, Some(&other), &mut table);
            stage.measure(&format!("{name}, and a heavy call"), HEAVY, Some(&other), &mut table);
            if name == BESIDE_REFUSED {
                stage.measure(&format!("{name}, and a refused call"), REFUSED, Some(&other), &mut table);
            }
        }
    }
    if names.is_empty() || names.contains(&"busy".into()) {
        stage.measure("busy, and a heavy call now and then", NOW_AND_THEN, Some(&Other::Busy), &mut table);
    }
    // What two looks at the same differ by.
    stage.measure("nothing", LIGHT, None, &mut table);
    stage.measure("nothing, and a heavy call", HEAVY, None, &mut table);
    println!("\n{table}");
}

/// A receiver that is looked at: its configuration, and how long it has nothing to do from one call to the next.
#[derive(Clone, Copy)]
struct Steady {
    config: &'static str,
    between: Duration,
}

/// What goes on beside the receiver that is looked at.
enum Other {
    /// This plugin is called, as the receiver says.
    Called(Plugin, Box<Receiver>),
    /// This file is loaded, and not taken.
    Loaded(Vec<u8>),
    /// A plugin that computes for some milliseconds is called without a pause, and does nothing wrong.
    Busy,
}

impl Other {
    fn of(folder: &Path, host: &Host) -> Self {
        let wasm = guest::named(fs::read_to_string(folder.join("guest")).unwrap().trim_end());
        match host.load(&wasm) {
            Ok(plugin) => Self::Called(plugin, Box::new(receiver(folder))),
            Err(_) => Self::Loaded(wasm),
        }
    }
}

/// The receiver that a folder has.
fn receiver(folder: &Path) -> Receiver {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("lictor.toml");
    fs::write(&file, fs::read(folder.join("receiver.toml")).unwrap()).unwrap();
    let config = Config::load(slice::from_ref(&file), &|_| None, Look::Inside).expect("it is a receiver");
    config.receivers[0].clone()
}

struct Stage {
    host: Arc<Host>,
    plugin: Plugin,
    runtime: Runtime,
}

impl Stage {
    fn new(host: Host) -> Self {
        let plugin = host.load(guest::guest()).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        Self { host: Arc::new(host), plugin, runtime }
    }

    /// Measures calls of a receiver, alone and beside the other one.
    fn measure(&self, name: &str, steady: Steady, other: Option<&Other>, table: &mut Table) {
        println!("Measuring beside {name} …");
        let (mut alone, mut beside, mut ratios) = (Samples::new("µs"), Samples::new("µs"), Samples::new("×"));
        let mut before = self.look(steady);
        for round in 0..ROUNDS {
            let end = other.map(|other| self.begin(other));
            std::thread::sleep(if round == 0 { FIRST } else { BEFORE.max(steady.between * SETTLED) });
            let during = self.look(steady);
            if let Some(end) = end {
                end();
            }
            self.runtime.block_on(self.host.close());
            let after = self.look(steady);
            alone.add(after);
            beside.add(during);
            ratios.add(2.0 * during / (before + after));
            before = after;
        }
        table.row(&format!("{name}: a call alone"), &alone);
        table.row("… beside it", &beside);
        let ratio = ratios.median();
        table.reach("… at most a tenth slower", &format!("{ratio:.2} ×"), ratio <= SLOWER_MAX);
    }

    /// Microseconds that a call takes on average, one after the other where receivers' tasks run.
    fn look(&self, steady: Steady) -> f64 {
        let plugin = self.plugin.clone();
        let look = async move {
            let (start, mut calls, mut idle) = (Instant::now(), 0_u32, Duration::ZERO);
            while start.elapsed() < LOOK {
                plugin.handle(steady.call()).await.result.expect("it does what it should");
                calls += 1;
                if !steady.between.is_zero() {
                    let began = Instant::now();
                    tokio::time::sleep(steady.between).await;
                    idle += began.elapsed();
                }
            }
            start.elapsed().saturating_sub(idle).as_secs_f64() * 1e6 / f64::from(calls)
        };
        self.runtime.block_on(self.host.runtime().spawn(look)).unwrap()
    }

    /// Begins calls without a pause, all of them good or none.
    fn begin_calls(
        &self,
        plugin: &Plugin,
        make: impl Fn() -> Call + Clone + Send + 'static,
        good: bool,
    ) -> Box<dyn FnOnce()> {
        let calls = [(); AT_ONCE].map(|()| {
            let calls = endless(plugin.clone(), make.clone(), good);
            AbortOnDropHandle::new(self.host.runtime().spawn(calls))
        });
        Box::new(move || drop(calls))
    }

    /// Begins what goes on beside it, and says how it is ended.
    fn begin(&self, other: &Other) -> Box<dyn FnOnce()> {
        match other {
            Other::Called(plugin, receiver) => self.begin_calls(plugin, call(receiver), false),
            Other::Busy => {
                let call = || Call { delivery: delivery("busy"), ..HEAVY.call() };
                self.begin_calls(&self.plugin, call, true)
            }
            Other::Loaded(wasm) => {
                let (host, wasm, ended) =
                    (Arc::clone(&self.host), wasm.clone(), Arc::new(AtomicBool::new(false)));
                let is_ended = Arc::clone(&ended);
                let loads = std::thread::spawn(move || {
                    while !is_ended.load(Ordering::Relaxed) {
                        host.load(&wasm).err().expect("it is not taken");
                        std::thread::sleep(BETWEEN);
                    }
                });
                Box::new(move || {
                    ended.store(true, Ordering::Relaxed);
                    loads.join().unwrap();
                })
            }
        }
    }
}

async fn endless(plugin: Plugin, make: impl Fn() -> Call + Send, good: bool) {
    loop {
        assert_eq!(plugin.handle(make()).await.result.is_ok(), good);
    }
}

impl Steady {
    /// A call of a receiver of its own for each configuration: what is known of one counts for its next calls.
    fn call(self) -> Call {
        Call {
            delivery: delivery(self.config),
            config: self.config.into(),
            capabilities: able(Grants::default()),
            limits: Limits::default(),
        }
    }
}

/// Calls of this receiver's.
fn call(receiver: &Receiver) -> impl Fn() -> Call + Clone + Send + use<> {
    let (exec, smtp) = (receiver.allow.exec.clone().unwrap_or_default(), receiver.allow.smtp.clone());
    let (name, config): (_, Arc<str>) = (receiver.name.clone(), receiver.config.to_string().into());
    let capabilities = able(Grants { exec, smtp, ..Grants::default() });
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
        delivery: delivery(&name),
        config: Arc::clone(&config),
        capabilities: Arc::clone(&capabilities),
        limits: limits.clone(),
    }
}

fn able(grants: Grants) -> Arc<Capabilities> {
    let outputs = OutputLimits { exec_output: 4096, http_response: 4096 };
    Arc::new(Capabilities::new(grants, outputs, &mut HttpClients::default()).unwrap())
}

fn delivery(receiver: &str) -> Delivery {
    Delivery {
        id: "0123456789abcdef0123456789abcdef".into(),
        attempt: 1,
        rule: "all".into(),
        receiver: receiver.into(),
        environment: String::new(),
        node: "web1".into(),
        events: Vec::new(),
    }
}
