//! Plugins that misbehave and receivers that fail: that delivery ends within its limits, the rest goes on.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by a panic")]

mod support;

use std::fmt::Write;
use std::fs;

use axum::Router;
use serde_json::Value;
use support::fake_consul::FakeConsul;
use support::home::{Delivery, Home};
use support::lictor::Lictor;
use support::mail::MailServer;
use support::nginx::{Nginx, RETRY_AFTER};
use tokio::net::TcpListener;

/// Where Consul is, and one rule that sends every change to all of `receivers`.
fn rule(consul: &FakeConsul, receivers: &[&str]) -> String {
    format!(
        "consul.address = '{}'\nrules = [{{ name = 'all', on = ['check.status'], receivers = {receivers:?} }}]\n",
        consul.address(),
    )
}

/// What became of the deliveries of one receiver, in their order.
fn of<'a>(deliveries: &'a [Delivery], receiver: &str) -> Vec<&'a Delivery> {
    deliveries.iter().filter(|one| one.receiver == receiver).collect()
}

/// A way to misbehave and what comes of it.
struct Case {
    /// The guest's `do`, and the name of its receiver.
    act: &'static str,
    /// What else is in its configuration.
    config: &'static str,
    /// Its receiver's limits and grants.
    receiver: &'static str,
    outcome: &'static str,
    /// A part of the reason.
    reason: &'static str,
}

#[rustfmt::skip]
const CASES: [Case; 13] = [
    Case { act: "trap", config: "", receiver: "", outcome: "trapped", reason: "asked to" },
    Case { act: "recurse", config: "", receiver: "limits.cpu = '10s'", outcome: "trapped", reason: "the plugin" },
    Case { act: "exit", config: "", receiver: "", outcome: "trapped", reason: "exited with status" },
    Case { act: "loop", config: "", receiver: "limits.cpu = '200ms'", outcome: "deadline", reason: "more than 200ms of CPU time" },
    Case { act: "flood", config: "", receiver: "limits = { cpu = '200ms', log = '1KiB' }", outcome: "deadline", reason: "more than 200ms of CPU time" },
    Case { act: "eat", config: "", receiver: "limits.memory = '16MiB'", outcome: "memory", reason: "more memory than its 16 MiB" },
    Case { act: "big_result", config: "", receiver: "", outcome: "trapped", reason: "too much data" },
    Case { act: "huge_log", config: "", receiver: "limits.memory = '128MiB'", outcome: "trapped", reason: "too much data" },
    Case { act: "sleep", config: "command = ['/bin/sleep', '86397'], timeout = '1h'", receiver: "timeout = '1s'\nallow.exec = [{ command = ['/bin/sleep', '86397'] }]", outcome: "deadline", reason: "not done within 1s" },
    Case { act: "exec", config: "command = ['/bin/true', 'x']", receiver: "allow.exec = [{ command = ['/bin/true'] }]", outcome: "refused", reason: r#"allow.exec = [{ command = ["/bin/true", "x"] }]"# },
    Case { act: "append", config: "path = '/tmp/forbidden'", receiver: "allow.append = ['/var/log/']", outcome: "refused", reason: r#"allow.append = ["/tmp/forbidden"]"# },
    Case { act: "http", config: "method = 'POST', url = 'http://127.0.0.1:9/x'", receiver: "", outcome: "refused", reason: r#"allow.http = [{ url = "http://127.0.0.1:9/x", methods = ["POST"] }]"# },
    Case { act: "smtp", config: "from = 'a@example.com', to = ['b@example.com']", receiver: "", outcome: "refused", reason: "allow.smtp = {" },
];

#[tokio::test]
async fn a_plugin_that_misbehaves_fails_alone_and_within_its_limits() {
    let (consul, home) = (FakeConsul::start().await, Home::warm());
    home.misbehave();
    let mut names = CASES.map(|case| case.act).to_vec();
    names.push("steady");
    let mut config = rule(&consul, &names);
    for Case { act, config: more, receiver, .. } in &CASES {
        let comma = if more.is_empty() { "" } else { ", " };
        write!(
            config,
            "[receivers.{act}]\nplugin = 'misbehave.wasm'\nconfig = {{ do = '{act}'{comma}{more} }}
            retry = {{ attempts = 2, backoff = '50ms' }}\n{receiver}\n"
        )
        .unwrap();
    }
    write!(
        config,
        "[receivers.steady]\nplugin = 'file'\nconfig = {{ path = '{}', template = '{{{{ data.to }}}}' }}\n",
        home.path("steady").display()
    )
    .unwrap();
    let mut lictor = home.follow(&config).await;

    // The second event shows that the first one left nothing behind.
    for (round, status) in [(1, "critical"), (2, "passing")] {
        consul.set(status);
        let deliveries = home.settled(&mut lictor, round * names.len()).await;
        assert_eq!(home.lines("steady").last().map(String::as_str), Some(status));
        let took = |receiver| of(&deliveries, receiver)[round - 1].took;
        assert!(took("steady") < took("sleep"), "nobody waits for the one that sleeps twice a second");
        for case in &CASES {
            check_case(case, of(&deliveries, case.act)[round - 1], &lictor, round);
        }
    }
    let is_sleeping = || is_running(&["/bin/sleep", "86397"]).then_some(());
    assert!(is_sleeping().is_none(), "a program ends with the call that started it");
    assert_eq!(lictor.terminate().await, 0);
}

/// The store and the log say what came of it, in this round of events.
fn check_case(case: &Case, delivery: &Delivery, lictor: &Lictor, round: usize) {
    let Case { act, outcome, reason, .. } = case;
    let refused = *outcome == "refused";
    let attempts = if refused { 1 } else { 2 };
    let fate = (delivery.state.as_str(), delivery.outcome.as_str(), delivery.attempts);
    assert_eq!(fate, ("dead", *outcome, attempts), "{act}: {}", delivery.detail);
    let log: Vec<Value> = lictor.log().into_iter().filter(|line| line["receiver"] == *act).collect();
    let count = |message: &str| log.iter().filter(|line| line["message"] == message).count();
    assert_eq!(count("Not delivered, and not tried again: it is dead."), round, "{act}");
    if refused {
        let message = "The plugin asked for what no grant covers.";
        let told: Vec<_> = log.iter().filter(|line| line["message"] == message).collect();
        assert_eq!(told.len(), round, "{act}");
        assert!(told[0]["refusal"].as_str().is_some_and(|text| text.contains(reason)), "{act}: {told:?}");
    } else {
        assert!(delivery.detail.contains(reason), "{act}: {}", delivery.detail);
    }
    if *act == "flood" {
        let left_out = "The plugin wrote more to the log than its limit; the rest is left out.";
        assert_eq!(count(left_out), 2 * round);
        // A line of it has 17 bytes, and 1 KiB is kept of each attempt.
        assert!(log.len() < 2 * round * 70, "{} lines of a flood", log.len());
    }
}

/// Whether a process with exactly these arguments is there.
fn is_running(command: &[&str]) -> bool {
    let wanted: Vec<u8> = command.iter().flat_map(|argument| [argument.as_bytes(), b"\0"].concat()).collect();
    let mut processes = fs::read_dir("/proc").unwrap().flatten();
    processes.any(|process| fs::read(process.path().join("cmdline")).is_ok_and(|line| line == wanted))
}

/// Each receiver of the next test, what became of its delivery, and a part of the reason.
const FATES: [(&str, &str, &str, u32, &str); 7] = [
    ("busy", "dead", "retry-after", 2, "503: busy"),
    ("bad", "dead", "permanent", 1, "400: bad"),
    ("moved", "dead", "permanent", 1, "302: /ok"),
    ("mail-busy", "dead", "transient", 3, "451"),
    ("mail-unknown", "dead", "permanent", 1, "550"),
    ("exit-75", "dead", "transient", 3, "later"),
    ("exit-1", "dead", "permanent", 1, "never"),
];

#[tokio::test]
async fn what_may_work_later_is_tried_again_and_what_never_will_is_not() {
    let (consul, home) = (FakeConsul::start().await, Home::warm());
    let (nginx, mail) = tokio::join!(Nginx::start(), MailServer::start());
    let script = home.script("exit.sh", "echo \"$2\" >&2; exit \"$1\"");
    let relay = format!("smtp://127.0.0.1:{}", mail.ports().plain);
    let retry = |attempts| format!("retry = {{ attempts = {attempts}, backoff = '20ms' }}");
    let mut config = rule(&consul, &FATES.map(|(name, ..)| name));
    for (name, attempts) in [("busy", 2), ("bad", 3), ("moved", 3)] {
        write!(
            config,
            "[receivers.{name}]\nplugin = 'webhook'\n{}\nconfig.url = '{}'\n",
            retry(attempts),
            nginx.http(&format!("/{name}"))
        )
        .unwrap();
    }
    for name in ["busy", "unknown"] {
        write!(
            config,
            "[receivers.mail-{name}]\nplugin = 'email'\n{}\nallow.smtp = {{ relay = '{relay}' }}
            config = {{ from = 'lictor@example.com', to = ['{name}@example.com'] }}\n",
            retry(3)
        )
        .unwrap();
    }
    for (code, word) in [(75, "later"), (1, "never")] {
        write!(config, "[receivers.exit-{code}]\nplugin = 'shell'\n{}\nconfig.command = ['{script}', '{code}', '{word}']\n",
            retry(3)).unwrap();
    }
    let mut lictor = home.follow(&config).await;
    consul.set("critical");
    let deliveries = home.settled(&mut lictor, FATES.len()).await;
    for (name, state, outcome, attempts, reason) in FATES {
        let delivery = of(&deliveries, name)[0];
        let fate = (delivery.state.as_str(), delivery.outcome.as_str(), delivery.attempts);
        assert_eq!(fate, (state, outcome, attempts), "{name}: {}", delivery.detail);
        assert!(delivery.detail.contains(reason), "{name}: {}", delivery.detail);
    }
    let wait = 1000 * i64::try_from(RETRY_AFTER).unwrap();
    let busy = of(&deliveries, "busy")[0];
    assert!(busy.took >= Some(wait), "a Retry-After is kept: {:?}", busy.took);
    let keys: Vec<_> = nginx.requests().into_iter().filter(|seen| seen.uri == "/busy").collect();
    assert_eq!([&keys[0].idempotency_key, &keys[1].idempotency_key], [&busy.id, &busy.id]);
    assert_eq!(keys.len(), 2);
    assert!(nginx.requests().iter().all(|seen| seen.uri != "/ok"), "a redirect is not followed");
}

#[tokio::test]
async fn a_receiver_that_is_down_gets_its_deliveries_in_their_order_once_it_is_up() {
    let (consul, home) = (FakeConsul::start().await, Home::warm());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let path = home.path("steady");
    let config = rule(&consul, &["hook", "steady"])
        + &format!(
            "[receivers.hook]\nplugin = 'webhook'\nconfig.url = 'http://{address}/'
            retry = {{ attempts = 0, backoff = '50ms', max_backoff = '200ms' }}
            [receivers.steady]\nplugin = 'file'\nconfig = {{ path = '{}', template = '{{{{ data.to }}}}' }}\n",
            path.display()
        );
    let mut lictor = home.follow(&config).await;
    let changes = ["critical", "warning", "passing"];
    for (at, status) in changes.into_iter().enumerate() {
        consul.set(status);
        home.wait_for_lines("steady", at + 1).await;
    }
    let tried = async || {
        let deliveries = home.deliveries();
        of(&deliveries, "hook").first().filter(|one| one.attempts >= 3).map(|_| ())
    };
    lictor.until("try it three times", tried).await;
    let waiting: Vec<_> = of(&home.deliveries(), "hook").iter().map(|one| one.attempts.min(1)).collect();
    assert_eq!(waiting, [1, 0, 0], "the later ones wait for the first");

    let (bodies, mut received) = tokio::sync::mpsc::unbounded_channel();
    let listener = TcpListener::bind(address).await.unwrap();
    let app = Router::new().fallback(async move |body: String| drop(bodies.send(body)));
    tokio::spawn(async { axum::serve(listener, app).await });
    let deliveries = home.settled(&mut lictor, 6).await;
    assert!(deliveries.iter().all(|one| one.state == "delivered"));
    let mut told = Vec::new();
    while let Ok(body) = received.try_recv() {
        told.push(serde_json::from_str::<Value>(&body).unwrap()["data"]["to"].clone());
    }
    assert_eq!(told, changes);
}
