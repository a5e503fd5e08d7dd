//! What it costs to ask the rules about an event, from few to very many, and to read and check very many.
//!
//! Boundary: one process, and `lictor validate` as a person runs it; no network. It prints one table, and whether that
//! is what was to be reached; it passes no judgement by its exit code.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::panic,
    reason = "a measurement that cannot be made ends with what was seen"
)]

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs::DirBuilder;
use std::hint::black_box;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;
use std::{fs, slice, thread};

use jiff::Timestamp;
use lictor::catalog::CheckStatus;
use lictor::config::{Config, Look};
use lictor::event::{About, CheckData, Event, EventData, EventType, NodeRole};
use lictor::rules::{
    Alerts, Attribute, BuiltIn, Decision, Grouping, Matcher, Pattern, Policy, Query, Rule, Rules, Schedule,
};
use table::{Samples, Table};
use tokio::time::Instant;

#[path = "main_job/table.rs"]
mod table;

const SIZES: [(usize, &str); 3] = [(10, "10"), (1_000, "1,000"), (10_000, "10,000")];
const MANY: usize = 10_000;

/// Samples of a size.
const RUNS: usize = 200;

/// How often an event is asked about in a sample, by the number of rules: what takes longer needs fewer.
const OFTEN: fn(usize) -> u32 = |_| 100;
const SELDOM: fn(usize) -> u32 = |count| if count > 10 { 1 } else { 100 };

/// What is to be reached.
const EXACT_US_MAX: f64 = 2.0;
const OF_FEW_MAX: f64 = 3.0;
const VALIDATE_MS_MAX: f64 = 300.0;
const DEATH_MS_MAX: f64 = 5.0;

/// The checks of a node that dies.
const CHECKS: usize = 500;

fn main() {
    let mut table = Table::default();
    let exact: fn(usize) -> Pattern = |number| Pattern::Any(vec![service(number)]);
    let few = ask(&mut table, "exact services", exact, OFTEN);
    let glob: fn(usize) -> Pattern = |number| Pattern::glob(&format!("{}*", service(number))).unwrap();
    ask(&mut table, "globs", glob, SELDOM);
    let regex: fn(usize) -> Pattern = |number| Pattern::regex(&format!("{}x?", service(number))).unwrap();
    ask(&mut table, "regular expressions", regex, SELDOM);
    let [few, .., many] = few;
    table.reach("… exact: under 2 µs with 10,000", &format!("{many:.2} µs"), many < EXACT_US_MAX);
    let ratio = many / few;
    table.reach("… exact: at most 3 × that with 10", &format!("{ratio:.2} ×"), ratio <= OF_FEW_MAX);
    memory(&mut table, "exact service", exact);
    death(&mut table);
    group(&mut table);
    read(&mut table);
    print!("{table}");
}

fn service(number: usize) -> String {
    format!("service-{number:05}")
}

fn rules(count: usize, pattern: impl Fn(usize) -> Pattern) -> Rules {
    let rule = |number| Rule {
        name: format!("rule-{number}"),
        on: vec![EventType::CheckStatus],
        matches: vec![Matcher { attribute: Attribute::Service, pattern: pattern(number) }],
        receivers: vec!["journal".into()],
        ..Rule::default()
    };
    (0..count).map(rule).collect::<Vec<_>>().into()
}

/// An event that one rule in the middle wants.
fn event(count: usize) -> Event {
    let about = CheckData {
        node: "web1".into(),
        node_meta: BTreeMap::new(),
        check_id: "service:web".into(),
        check_name: "Service check".into(),
        service_id: "web-1".into(),
        service: service(count / 2),
        service_tags: vec!["prod".into()],
        from: Some(CheckStatus::Passing),
        to: Some(CheckStatus::Critical),
        since: Timestamp::UNIX_EPOCH,
        output: "connect: refused".into(),
        notes: String::new(),
        initial: false,
        coalesced: false,
        flapping: false,
        node_failed: false,
        passing_left: Some(1),
        passing_left_share: Some(0.5),
        node_role: NodeRole::Standalone,
        create_index: 7,
        modify_index: 9,
    };
    let data = EventData {
        datacenter: "dc1".into(),
        environment: String::new(),
        catch_up: false,
        about: About::Check(about),
        delivery: None,
    };
    Event {
        id: "0".into(),
        source: "consul://dc1".into(),
        kind: EventType::CheckStatus,
        subject: "web1/service:web".into(),
        time: Timestamp::UNIX_EPOCH,
        data,
    }
}

/// Asks about one event with each number of rules; the medians.
fn ask(
    table: &mut Table,
    what: &str,
    pattern: fn(usize) -> Pattern,
    asked: fn(usize) -> u32,
) -> [f64; SIZES.len()] {
    println!("Asking rules with {what} …");
    SIZES.map(|(count, written)| {
        let (rules, event) = (rules(count, pattern), event(count));
        let mut samples = Samples::new("µs");
        for _ in 0..RUNS {
            let start = Instant::now();
            for _ in 0..asked(count) {
                assert_eq!(black_box(&rules).firing(black_box(&event), None).len(), 1);
            }
            samples.add(start.elapsed().as_secs_f64() * 1e6 / f64::from(asked(count)));
        }
        table.row(&format!("one event, {written} rules with {what}"), &samples);
        samples.median()
    })
}

/// A node dies with many checks, and a rule groups by node: planning all of it up to its one delivery.
fn death(table: &mut Table) {
    println!("Grouping the checks of a node that dies …");
    let (rules, inhibit_rules) = (by_node(), BuiltIn::default().rules());
    let policy = Policy { rules: &rules, inhibit_rules: &inhibit_rules };
    let query = Query { watch: "checks".into(), name: "checks".into() };
    let events: Vec<_> = (0..CHECKS).map(failure).collect();
    let mut samples = Samples::new("ms");
    for _ in 0..RUNS {
        let mut alerts = Alerts::default();
        let start = Instant::now();
        let now = alerts.take(policy, &events, &query, Timestamp::UNIX_EPOCH);
        let rows = alerts.changes(policy).len();
        let later = alerts.tick(policy, Timestamp::from_second(30).unwrap());
        black_box(alerts.changes(policy));
        samples.add(start.elapsed().as_secs_f64() * 1e3);
        assert!(now.is_empty() && rows >= CHECKS);
        let [Decision::Send { events, .. }] = &later[..] else { panic!("{} decisions", later.len()) };
        assert_eq!(events.len(), CHECKS);
    }
    table.row("500 checks of a node fail: to one delivery, with all rows", &samples);
    let median = samples.median();
    table.reach("… planned in under 5 ms", &format!("{median:.2} ms"), median < DEATH_MS_MAX);
}

/// One rule that groups what checks say by node.
fn by_node() -> Rules {
    let grouping = Grouping {
        by: vec![Attribute::Node],
        wait: Duration::from_secs(30),
        interval: Duration::from_mins(5),
    };
    let rule = Rule {
        name: "by-node".into(),
        on: vec![EventType::CheckStatus],
        receivers: vec!["mail".into()],
        schedule: Schedule { group: Some(grouping), ..Schedule::default() },
        ..Rule::default()
    };
    vec![rule].into()
}

/// One of many checks of a node fails.
fn failure(number: usize) -> Event {
    let mut event = event(2 * number);
    event.id = format!("{number:032x}");
    event.subject = format!("web1/check-{number}");
    event
}

/// One more event, after so many others each by itself, in a group that waits to be sent.
fn group(table: &mut Table) {
    println!("Adding to a group …");
    let (rules, inhibit_rules) = (by_node(), BuiltIn::default().rules());
    let policy = Policy { rules: &rules, inhibit_rules: &inhibit_rules };
    let query = Query { watch: "checks".into(), name: "checks".into() };
    for (count, shown) in SIZES {
        let mut alerts = Alerts::default();
        let mut take = |number: usize| {
            let sent = alerts.take(policy, &[failure(number)], &query, Timestamp::UNIX_EPOCH);
            assert!(sent.is_empty());
            black_box(alerts.changes(policy));
        };
        (0..count).for_each(&mut take);
        let mut samples = Samples::new("µs");
        for number in count..count + RUNS {
            let start = Instant::now();
            take(number);
            samples.add(start.elapsed().as_secs_f64() * 1e6);
        }
        table.row(&format!("one more check of a node fails, {shown} wait for their group"), &samples);
    }
}

/// What many rules take, by what the process has more with them. On a thread of its own, so that what others gave back
/// is not taken again.
fn memory(table: &mut Table, what: &str, pattern: fn(usize) -> Pattern) {
    let mut samples = Samples::new("B");
    let measured = thread::spawn(move || {
        let before = resident();
        let rules = black_box(rules(MANY, pattern));
        let more = resident().saturating_sub(before);
        drop(rules);
        more
    });
    let more = u32::try_from(measured.join().unwrap() / MANY).unwrap();
    samples.add(f64::from(more));
    table.row(&format!("memory of a rule with an {what}, of 10,000"), &samples);
}

/// Bytes of this process.
fn resident() -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() * 1024
}

/// Reads and checks a configuration of one rule, and of many.
fn read(table: &mut Table) {
    println!("Reading and checking configurations …");
    let folder = tempfile::tempdir().unwrap();
    // As beside a Lictor that has run: its plugins are compiled, which takes a second and has nothing to do with rules.
    DirBuilder::new().mode(0o700).create(folder.path().join("plugins")).unwrap();
    let mut medians = Vec::new();
    for (count, written) in [(1, "1 rule"), (MANY, "10,000 rules")] {
        let path = folder.path().join(format!("{count}.toml"));
        fs::write(&path, configuration(folder.path(), count)).unwrap();
        validate(&path);
        let (mut loaded, mut validated) = (Samples::new("ms"), Samples::new("ms"));
        for _ in 0..20 {
            let start = Instant::now();
            let config = Config::load(slice::from_ref(&path), &|_| None, Look::Inside).unwrap();
            loaded.add(start.elapsed().as_secs_f64() * 1e3);
            assert_eq!(config.rules.len(), count);
            let start = Instant::now();
            validate(&path);
            validated.add(start.elapsed().as_secs_f64() * 1e3);
        }
        table.row(&format!("{written} are read"), &loaded);
        table.row(&format!("lictor validate --offline, {written}"), &validated);
        medians.push(validated.median());
    }
    let many = medians[1];
    table.reach("… under 300 ms", &format!("{many:.0} ms"), many < VALIDATE_MS_MAX);
}

fn validate(path: &Path) {
    let mut lictor = Command::new(env!("CARGO_BIN_EXE_lictor"));
    lictor.args(["validate", "--offline", "-c"]).arg(path);
    assert!(lictor.stdout(Stdio::null()).status().unwrap().success());
}

fn configuration(data_dir: &Path, count: usize) -> String {
    let mut text = format!(
        "agent.data_dir = \"{}\"\n[receivers.journal]\nplugin = \"file\"\nconfig = {{ path = \"/tmp/journal\" }}\n",
        data_dir.display()
    );
    for number in 0..count {
        let service = service(number);
        write!(
            text,
            "[[rules]]\nname = \"rule-{number}\"\non = [\"check.status\"]\nmatch = {{ service = \"{service}\", to = \
             [\"warning\", \"critical\"] }}\nreceivers = [\"journal\"]\n"
        )
        .unwrap();
    }
    text
}
