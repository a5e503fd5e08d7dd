//! One flip after another on the agent's own node, beside ten thousand checks of other nodes: until who knows of it,
//! and what that costs.
//!
//! In rounds, one watcher alive at a time, so that what else happens on the machine hits all of them.

use std::fs;
use std::thread::sleep;
use std::time::Duration;

use crate::checks::registration;
use crate::connection::Connection;
use crate::flips::Flips;
use crate::place::Place;
use crate::relay::Relay;
use crate::running::Running;
use crate::stamps::Stamps;
use crate::support::guest::guest;
use crate::table::{Samples, Table};
use crate::usage;
use crate::watchers::{Job, LICTOR, Scope, WATCHERS};

/// Nodes of a hundred checks each.
const NODES: usize = 100;

const ROUNDS: usize = 4;

/// Flips of a round.
const FLIPS: u32 = 25;

/// Flips whose bytes are counted, in a round of their own: what counts them takes time.
const COUNTED: u32 = 10;

/// Flips that a watcher has to see before the measured ones, and how many it may need for that.
const WARM_UP: usize = 4;
const WARM_UP_MAX: usize = 60;

/// How often a second is waited for a flip to be seen.
const PATIENCE: usize = 15;

/// What a watcher does after a flip was seen belongs to what the flip costs.
const AFTERWARDS: Duration = Duration::from_millis(200);

/// What is to be reached, as a multiple of the others' medians.
const OF_BARE_NARROW: f64 = 1.6;
const OF_BARE: f64 = 1.3;
const OF_WATCH: f64 = 0.5;

/// What was found of one watcher.
struct Found {
    latency: Samples,
    bytes: Samples,
    cpu: Samples,
    handlers: Samples,
    resident: Samples,
    peak: Samples,
}

impl Found {
    const fn new() -> Self {
        Self {
            latency: Samples::new("ms"),
            bytes: Samples::new("KB"),
            cpu: Samples::new("ms"),
            handlers: Samples::new("ms"),
            resident: Samples::new("MB"),
            peak: Samples::new("MB"),
        }
    }
}

/// Registers the other nodes.
pub(crate) fn crowd(place: &Place) {
    println!("Registering {NODES} nodes …");
    let mut connection = Connection::open(&place.address());
    for node in 0..NODES {
        connection.request("PUT", "/v1/catalog/register", &registration(node).to_string());
    }
}

/// Measures the three watchers.
pub(crate) fn measure(place: &Place, scope: Scope) -> Table {
    fs::write(place.path("misbehave.wasm"), guest()).unwrap();
    let mut found = [const { Found::new() }; 3];
    for round in 1..=ROUNDS {
        println!("  round {round} of {ROUNDS}");
        for (watcher, found) in (0..).zip(&mut found) {
            Watched::start(place, scope, watcher, None).costs(found);
        }
    }
    println!("  counting bytes");
    for (watcher, found) in (0..).zip(&mut found) {
        let relay = Relay::start(place.address());
        Watched::start(place, scope, watcher, Some(&relay)).bytes(&relay, found);
    }
    table(&found, scope)
}

/// A watcher that sees each flip.
struct Watched {
    running: Running,
    flips: Flips,
    stamps: Stamps,
    passing: bool,
}

impl Watched {
    /// Starts a watcher and waits until it is warm.
    fn start(place: &Place, scope: Scope, watcher: usize, relay: Option<&Relay>) -> Self {
        let said = place.path("watcher.log");
        // The plugin of Lictor's logs what the others note.
        let file = if watcher == LICTOR { said.clone() } else { place.path("stamps") };
        let agent = relay.map_or(place.address(), Relay::address);
        let job = Job { place, scope, agent: &agent, file: &file };
        let stamps = Stamps::new(file.clone());
        let running = Running::start(WATCHERS[watcher](&job), said);
        let mut warm = Self { running, flips: Flips::new(&place.address()), stamps, passing: true };
        let mut seen = 0;
        for _ in 0..WARM_UP_MAX {
            let flipped = warm.flip();
            seen += usize::from(warm.stamps.after(flipped).is_some());
            if seen == WARM_UP {
                sleep(AFTERWARDS);
                return warm;
            }
        }
        panic!("a watcher sees nothing; it said:\n{}", warm.running.log());
    }

    /// Flips the check, and gives back when that was asked for.
    fn flip(&mut self) -> u64 {
        self.passing = !self.passing;
        if self.passing { self.flips.pass() } else { self.flips.fail() }
    }

    /// Flips the check and waits until that was seen. Gives back how long it took, in ms.
    fn seen(&mut self) -> f64 {
        let flipped = self.flip();
        let seen = (0..PATIENCE).find_map(|_| self.stamps.after(flipped));
        let seen = seen.unwrap_or_else(|| panic!("a flip is not seen; it said:\n{}", self.running.log()));
        f64::from(u32::try_from((seen - flipped) / 1_000).unwrap()) / 1e3
    }

    fn costs(mut self, found: &mut Found) {
        let id = self.running.id();
        let (before, handlers_before) = (usage::cpu(id), usage::cpu_of_children(id));
        for _ in 0..FLIPS {
            found.latency.add(self.seen());
        }
        sleep(AFTERWARDS);
        found.cpu.add((usage::cpu(id) - before) / f64::from(FLIPS));
        found.handlers.add((usage::cpu_of_children(id) - handlers_before) / f64::from(FLIPS));
        found.resident.add(f64::from(self.running.resident_kb()) / 1024.0);
        found.peak.add(f64::from(usage::peak_kb(id)) / 1024.0);
        self.end();
    }

    fn bytes(mut self, relay: &Relay, found: &mut Found) {
        for _ in 0..COUNTED {
            let before = relay.bytes();
            self.seen();
            sleep(AFTERWARDS);
            found.bytes.add(f64::from(u32::try_from(relay.bytes() - before).unwrap()) / 1e3);
        }
        self.end();
    }

    /// Leaves the check as it was found.
    fn end(mut self) {
        if !self.passing {
            self.flip();
        }
    }
}

fn table(found: &[Found; 3], scope: Scope) -> Table {
    let mut table = Table::default();
    let [bare, lictor, watch] = found;
    table.row("a check flips → a bare client has parsed it", &bare.latency);
    table.row("a check flips → Lictor's plugin is in handle", &lictor.latency);
    table.row("a check flips → the handler of consul watch starts", &watch.latency);
    table.row("bytes per flip, a bare client", &bare.bytes);
    table.row("bytes per flip, Lictor", &lictor.bytes);
    table.row("bytes per flip, consul watch", &watch.bytes);
    table.row("CPU per flip, a bare client", &bare.cpu);
    table.row("CPU per flip, Lictor", &lictor.cpu);
    table.row("CPU per flip, consul watch", &watch.cpu);
    table.row("… its handlers", &watch.handlers);
    table.row("memory of a bare client", &bare.resident);
    table.row("memory of Lictor", &lictor.resident);
    table.row("memory of Lictor at its most", &lictor.peak);
    table.row("memory of consul watch", &watch.resident);
    table.row("memory of consul watch at its most", &watch.peak);
    let of_bare = if scope == Scope::Datacenter { OF_BARE } else { OF_BARE_NARROW };
    let mut reach = |what: &str, of: &str, (ours, theirs): (&Samples, &Samples), most: f64| {
        let part = ours.median() / theirs.median();
        table.reach(&format!("… {what} {most} × {of}"), &format!("{part:.2} ×"), part <= most);
    };
    reach("latency at most", "the bare client", (&lictor.latency, &bare.latency), of_bare);
    if scope == Scope::Datacenter {
        reach("CPU under", "consul watch", (&lictor.cpu, &watch.cpu), OF_WATCH);
        reach("memory under", "consul watch", (&lictor.resident, &watch.resident), OF_WATCH);
        reach("most memory under", "consul watch", (&lictor.peak, &watch.peak), OF_WATCH);
    }
    table
}
