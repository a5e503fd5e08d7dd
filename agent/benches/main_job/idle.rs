//! What a receiver costs that has nothing to do: memory with a hundred of one plugin, and with one of them.
//!
//! All hundred were called by the same change, so as many calls ran at once as wait for something outside of Lictor. What
//! they share counts once: `VmRSS` would count the data of a component for each instance that has it mapped. It is looked at
//! three seconds after the last call: for the first of them the guests' clock goes on, in case another call follows.
//!
//! The plugins are the four that Lictor carries and an example in each language, as far as it was built.

use std::fmt::Write;
use std::fs;
use std::net::SocketAddr;
use std::time::Duration;

use crate::flips::Flips;
use crate::place::Place;
use crate::running::Running;
use crate::servers;
use crate::support::{guest, lictor};
use crate::table::{Samples, Table};

const RUNS: usize = 2;

/// Receivers more in the second of two.
const MORE: usize = 99;

/// What one may cost, in KiB.
const LIMIT: f64 = 100.0;

/// How long nothing was called when it is looked at.
const REST: Duration = Duration::from_secs(3);

/// A plugin, and what stands in its receivers' tables.
struct Kind {
    name: &'static str,
    table: String,
}

/// Measures each plugin, after each receiver was called.
pub(crate) fn measure(place: &Place, table: &mut Table) {
    let (webhooks, mails) = (servers::webhooks(), servers::mails());
    for kind in kinds(place, webhooks, mails) {
        println!("Measuring idle receivers of {} …", kind.name);
        // The first start compiles the plugin.
        drop(after_a_change(place, &kind, 1));
        let (mut lonely, mut each) = (Samples::new("MB"), Samples::new("KiB"));
        for _ in 0..RUNS {
            let one = shared_once_kb(&after_a_change(place, &kind, 1));
            let hundred = shared_once_kb(&after_a_change(place, &kind, 1 + MORE));
            let more = f64::from(hundred) - f64::from(one);
            lonely.add(f64::from(one) / 1024.0);
            each.add(more / f64::from(u32::try_from(MORE).unwrap()));
        }
        let (name, cost) = (kind.name, each.median());
        table.row(&format!("Lictor with one idle receiver of {name}"), &lonely);
        table.row("… each of 99 more", &each);
        table.reach("… under 100 KB", &format!("{cost:.0} KiB"), cost < LIMIT);
    }
}

/// Its memory in kB, where a page that several of its mappings share counts once: all instances of a plugin begin with the
/// same data.
fn shared_once_kb(lictor: &Running) -> u32 {
    let rollup = fs::read_to_string(format!("/proc/{}/smaps_rollup", lictor.id())).unwrap();
    let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// Those that are there.
fn kinds(place: &Place, webhooks: SocketAddr, mails: SocketAddr) -> Vec<Kind> {
    let url = format!("http://{webhooks}/hook");
    let kind = |name, table| Kind { name, table };
    let mut kinds = vec![
        kind("shell", "plugin = 'shell'\nconfig = { command = ['/bin/true'] }".into()),
        kind(
            "file",
            format!("plugin = 'file'\nconfig = {{ path = '{}' }}", place.path("idle.jsonl").display()),
        ),
        kind("webhook", format!("plugin = 'webhook'\nconfig = {{ url = '{url}' }}")),
        kind(
            "email",
            format!(
                "plugin = 'email'\nconfig = {{ from = 'a@example.com', to = ['b@example.com'] }}
                 allow.smtp = {{ relay = 'smtp://{mails}' }}"
            ),
        ),
    ];
    let repository = guest::repository();
    for (name, file, config) in [
        ("chat (Rust)", "target/examples/wasm32-wasip2/release/chat.wasm", ""),
        ("push (JavaScript)", "examples/plugins/push/target/push.wasm", ""),
        ("pager (Python)", "examples/plugins/pager/target/pager.wasm", ", routing_key = 'R1'"),
    ] {
        let file = repository.join(file);
        if file.exists() {
            let file = file.display();
            let table = format!(
                "plugin = '{file}'\nconfig = {{ url = '{url}'{config} }}
                 allow.http = [{{ url = '{url}', methods = ['POST'] }}]"
            );
            kinds.push(kind(name, table));
        }
    }
    kinds
}

/// Lictor with so many receivers, each of which was called, and has nothing more to do.
fn after_a_change(place: &Place, kind: &Kind, receivers: usize) -> Running {
    let config = place.path(&format!("idle-{receivers}.toml"));
    fs::write(&config, text(place, kind, receivers)).unwrap();
    let mut command = lictor::command();
    command.arg("run").arg("-c").arg(&config).env("CONSUL_HTTP_ADDR", place.url());
    let mut flips = Flips::new(&place.address());
    let lictor = Running::start(command, place.path(&format!("idle-{receivers}.log")));
    crate::memory::wait("start", &lictor, || lictor.log().contains("Following the checks"));
    let delivered = || lictor.log().matches("Delivered.").count();
    // One that was started a moment ago may miss the first. A busy agent tells its servers later than it takes to go back, so
    // each state is left for a while.
    let mut fails = false;
    crate::memory::wait("deliver", &lictor, || {
        fails = !fails;
        if fails {
            flips.fail()
        } else {
            flips.pass()
        };
        delivered() > 0
    });
    crate::memory::wait("deliver to all", &lictor, || delivered() >= receivers);
    std::thread::sleep(REST);
    lictor
}

fn text(place: &Place, kind: &Kind, receivers: usize) -> String {
    let data = place.path("idle");
    let names: Vec<_> = (0..receivers).map(|number| format!("r{number}")).collect();
    let mut text = format!(
        "agent.data_dir = '{}'\ninhibit.flapping = false\n[[rules]]\nname = 'web'\non = ['check.status']\nmatch = {{ service = 'web' }}
        receivers = {names:?}\n",
        data.display()
    );
    for name in names {
        writeln!(text, "[receivers.{name}]\n{}", kind.table).unwrap();
    }
    text
}
