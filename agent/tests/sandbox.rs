//! Each folder of `agent/tests/sandbox` is a guest that does what none should: it fails alone, within its limits, and
//! nobody else is held up. The README there says what a folder holds.

#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

mod support;

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::Path;

use serde_json::Value;
use support::fake_consul::FakeConsul;
use support::guest::{named, repository};
use support::home::{Delivery, Home};

/// What Lictor may have in memory at most, whatever its guests do: their own memories, twice those texts of 32 MiB that
/// are not taken, and a debug build.
const MEMORY: usize = 512 << 20;

/// Attempts at each delivery.
const ATTEMPTS: usize = 2;

/// Lines of the log about one attempt, at most.
const LINES: usize = 80;

/// The outcome of what does not get as far as a call.
const NOT_LOADED: &str = "not loaded";

/// One folder.
struct Case {
    name: String,
    wasm: Vec<u8>,
    receiver: String,
    outcome: String,
    detail: String,
    bound: String,
    /// MiB, where it is loaded.
    memory: Option<i64>,
    log: Option<String>,
}

impl Case {
    fn read(folder: &Path) -> Self {
        let text = |file: &str| {
            let path = folder.join(file);
            fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
        };
        let mut expected: toml::Table = text("expected.toml").parse().unwrap();
        let memory = expected.remove("memory").map(|value| value.as_integer().unwrap());
        let mut word = |key: &str| expected.remove(key).map(|value| value.as_str().unwrap().to_owned());
        let (outcome, detail) = (word("outcome").unwrap(), word("detail").unwrap());
        let (bound, log) = (word("bound").unwrap(), word("log"));
        let name = folder.file_name().unwrap().to_str().unwrap().to_owned();
        assert!(expected.is_empty(), "{name}: {expected:?} is not known");
        assert!(bound.ends_with('.') && !detail.is_empty(), "{name}");
        assert_eq!(
            memory.is_some(),
            outcome != NOT_LOADED,
            "{name}: what is called has a bound on its memory"
        );
        let receiver = text("receiver.toml");
        let head = format!("[receivers.{name}]\nplugin = \"{name}/guest.wasm\"\n");
        assert!(receiver.starts_with(&head), "{name}: receiver.toml begins with {head}");
        Self { wasm: named(text("guest").trim_end()), name, receiver, outcome, detail, bound, memory, log }
    }

    fn is_loaded(&self) -> bool {
        self.outcome != NOT_LOADED
    }

    fn of<'a>(&self, deliveries: &'a [Delivery], round: usize) -> &'a Delivery {
        of(deliveries, &self.name, round)
    }

    /// The store and the log say what came of it, in this round of events.
    fn check(&self, delivery: &Delivery, log: &[Value], round: usize) {
        let Self { name, outcome, detail, bound, .. } = self;
        let refused = outcome == "refused";
        let attempts = if refused { 1 } else { ATTEMPTS };
        let fate = (delivery.state.as_str(), delivery.outcome.as_str(), delivery.attempts as usize);
        assert_eq!(fate, ("dead", outcome.as_str(), attempts), "{name}: {} ({bound})", delivery.detail);
        let log: Vec<&Value> = log.iter().filter(|line| line["receiver"] == **name).collect();
        let with = |message: &str| log.iter().filter(|line| line["message"] == message).count();
        assert_eq!(with("Not delivered, and not tried again: it is dead."), round, "{name}");
        if refused {
            let told: Vec<_> = log.iter().filter_map(|line| line["refusal"].as_str()).collect();
            assert_eq!(told.len(), round, "{name}: {told:?}");
            assert!(told[0].contains(detail), "{name}: {told:?}");
        } else {
            assert!(delivery.detail.contains(detail), "{name}: {}", delivery.detail);
        }
        if let Some(message) = &self.log {
            assert_eq!(with(message), attempts * round, "{name}: {message}");
        }
        assert!(log.len() <= round * attempts * LINES, "{name}: {} lines of the log", log.len());
    }
}

/// The most bytes that a call of each receiver held, as `lictor status` has it.
fn held(home: &Home) -> BTreeMap<String, i64> {
    let status: Value =
        serde_json::from_slice(&home.run(&["status", "--json", "-c", "lictor.toml"]).stdout).unwrap();
    let receivers = status["running"]["receivers"].as_array().unwrap().iter();
    receivers
        .map(|one| (one["receiver"].as_str().unwrap().to_owned(), one["peak_memory"].as_i64().unwrap()))
        .collect()
}

/// The folders, by name.
fn cases() -> Vec<Case> {
    let folder = repository().join("agent/tests/sandbox");
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut folders: Vec<_> = entries.filter(|path| path.is_dir()).collect();
    folders.sort();
    folders.iter().map(|folder| Case::read(folder)).collect()
}

/// The delivery of one receiver in one round.
fn of<'a>(deliveries: &'a [Delivery], receiver: &str, round: usize) -> &'a Delivery {
    deliveries.iter().filter(|one| one.receiver == receiver).nth(round - 1).unwrap()
}

/// Whether a process with exactly these arguments is there.
fn is_running(command: &[&str]) -> bool {
    let wanted: Vec<u8> = command.iter().flat_map(|argument| [argument.as_bytes(), b"\0"].concat()).collect();
    let mut processes = fs::read_dir("/proc").unwrap().flatten();
    processes.any(|process| fs::read(process.path().join("cmdline")).is_ok_and(|line| line == wanted))
}

/// A configuration in which every change goes to `receivers`, and to one that writes it down.
fn config(consul: &FakeConsul, home: &Home, receivers: &[&Case]) -> String {
    let mut names: Vec<_> = receivers.iter().map(|case| case.name.as_str()).collect();
    names.push("steady");
    let mut config = format!(
        "consul.address = '{}'
        rules = [{{ name = 'all', on = ['check.status'], receivers = {names:?} }}]
        defaults.receivers.retry = {{ attempts = {ATTEMPTS}, backoff = '50ms' }}
        [receivers.steady]\nplugin = 'file'\nconfig = {{ path = '{}', template = '{{{{ data.to }}}}' }}\n",
        consul.address(),
        home.path("steady").display()
    );
    for case in receivers {
        let folder = home.path(&case.name);
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("guest.wasm"), &case.wasm).unwrap();
        write!(config, "\n{}", case.receiver).unwrap();
    }
    config
}

#[tokio::test]
async fn a_guest_fails_alone_and_within_its_limits() {
    let (consul, home, cases) = (FakeConsul::start().await, Home::warm(), cases());
    let cases: Vec<_> = cases.iter().filter(|case| case.is_loaded()).collect();
    assert!(cases.len() > 15, "the folders were not found");
    let mut lictor = home.follow(&config(&consul, &home, &cases)).await;
    // The second event shows that the first one left nothing behind.
    for (round, status) in [(1, "critical"), (2, "passing")] {
        consul.set(status);
        let deliveries = home.settled(&mut lictor, round * (cases.len() + 1)).await;
        assert_eq!(home.lines("steady").last().map(String::as_str), Some(status));
        let steady = of(&deliveries, "steady", round).took;
        let log = lictor.log();
        for case in &cases {
            let delivery = case.of(&deliveries, round);
            case.check(delivery, &log, round);
            // How much later, the benchmark says.
            if case.outcome == "deadline" {
                assert!(steady < delivery.took, "it waited until {} was stopped, twice", case.name);
            }
        }
    }
    for seconds in ["86396", "86397"] {
        assert!(!is_running(&["/bin/sleep", seconds]), "a program ends with the call that started it");
    }
    let held = held(&home);
    for Case { name, memory, bound, .. } in &cases {
        let (held, most) = (held[name], memory.unwrap() << 20);
        assert!(0 < held && held <= most, "{name} held {} KiB ({bound})", held >> 10);
    }
    let peak = lictor.peak_memory();
    assert!(peak < MEMORY, "{} MiB", peak >> 20);
    assert_eq!(lictor.terminate().await, 0);
}

#[tokio::test]
async fn a_file_that_is_no_plugin_for_this_lictor_is_not_taken_and_what_runs_goes_on() {
    let (consul, home, cases) = (FakeConsul::start().await, Home::warm(), cases());
    let cases: Vec<_> = cases.iter().filter(|case| !case.is_loaded()).collect();
    assert!(cases.len() > 3, "the folders were not found");
    let mut lictor = home.follow(&config(&consul, &home, &[])).await;
    for (at, case) in cases.iter().enumerate() {
        let config = config(&consul, &home, &[case]);
        home.write("lictor.toml", format!("agent.data_dir = 'data'\n{config}"));
        let reload = home.run(&["reload", "-c", "lictor.toml"]);
        let said = String::from_utf8_lossy(&reload.stderr);
        assert!(
            !reload.status.success() && said.contains(&case.detail),
            "{}: {said} ({})",
            case.name,
            case.bound
        );
        consul.set(if at % 2 == 0 { "critical" } else { "passing" });
        home.wait_for_lines("steady", at + 1).await;
    }
    assert_eq!(lictor.terminate().await, 0);
}
