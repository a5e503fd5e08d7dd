//! What an operator does with plugins of somebody else: grants them something to remember, takes them from a registry,
//! replaces them, and looks at how they do.

#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test that cannot look has to fail, or to say what it did not try"
)]

mod support;

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;
use support::consul::ConsulAgent;
use support::fake_consul::FakeConsul;
use support::guest::guest;
use support::home::Home;
use support::layout;

/// Where Consul is, and one rule that sends every change to all of `receivers`.
fn rule(consul: &FakeConsul, receivers: &[&str]) -> String {
    format!(
        "consul.address = '{}'\nrules = [{{ name = 'all', on = ['check.status'], receivers = {receivers:?} }}]\n",
        consul.address(),
    )
}

/// Runs a verb with the configuration of the folder, and gives its exit code and what it wrote.
fn run(home: &Home, arguments: &[&str]) -> (i32, String) {
    let Output { status, stdout, stderr } = home.run(&[arguments, &["-c", "lictor.toml"]].concat());
    (status.code().unwrap(), String::from_utf8([stdout, stderr].concat()).unwrap())
}

fn status(home: &Home) -> Value {
    let (_, text) = run(home, &["status", "--json"]);
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// The receipts and reasons of a receiver's deliveries, in their order.
fn details(home: &Home, receiver: &str) -> Vec<String> {
    let all = home.deliveries().into_iter().filter(|one| one.receiver == receiver);
    all.map(|one| one.detail).collect()
}

#[tokio::test]
async fn what_a_plugin_keeps_is_its_receivers_alone_and_there_after_a_restart() {
    let (consul, home) = (FakeConsul::start().await, Home::warm());
    home.misbehave();
    let config = rule(&consul, &["one", "other", "small", "bare"])
        + "[defaults.receivers]\nplugin = 'misbehave.wasm'
        [receivers.one]\nconfig = { do = 'count', request = 1024 }\nallow.kv_store = { size = '1KiB' }
        [receivers.other]\nconfig = { do = 'count' }\nallow.kv_store = { size = '1KiB' }
        [receivers.small]\nconfig = { do = 'count' }\nallow.kv_store = { size = '5B' }
        [receivers.bare]\nconfig = { do = 'count' }\n";
    let mut lictor = home.follow(&config).await;
    consul.set("critical");
    home.settled(&mut lictor, 4).await;
    consul.set("passing");
    home.settled(&mut lictor, 8).await;
    assert_eq!(
        (details(&home, "one"), details(&home, "other")),
        (details(&home, "other"), vec!["1".into(), "2".into()])
    );
    for (receiver, line) in
        [("small", r#"allow.kv_store = { size = "6B" }"#), ("bare", "allow.kv_store = { size = ")]
    {
        let told = details(&home, receiver);
        assert!(told.iter().all(|detail| detail.contains(line)), "{told:?}");
        let logged = lictor.log().into_iter().filter(|entry| entry["receiver"] == receiver);
        let refusals: Vec<_> =
            logged.filter_map(|entry| entry["refusal"].as_str().map(String::from)).collect();
        assert!(refusals.len() == 2 && refusals[0].contains(line), "{refusals:?}");
    }
    lictor.kill();

    let mut lictor = home.start(&config);
    lictor.told("Lictor runs.", 1).await;
    consul.set("critical");
    home.settled(&mut lictor, 12).await;
    assert_eq!(details(&home, "one"), ["1", "2", "3"]);
    fs::write(home.path("data/kv-store/one/values"), "x").unwrap();
    consul.set("passing");
    // The operator is told, whatever the plugin makes of it.
    let damaged =
        |line: &str| line.contains("WARN") && line.contains("file `values`") && line.contains("\"one\"");
    lictor.wait_for("that a file is damaged", damaged).await;
    assert_eq!(lictor.terminate().await, 0);
    let kept: Vec<_> =
        fs::read_dir(home.path("data/kv-store")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(kept.len() == 3, "whoever may keep nothing has no folder: {kept:?}");

    let (code, told) = run(&home, &["validate"]);
    assert!(code == 0 && told.contains("may keep 1 KiB under 1000 keys between its calls"), "{told}");
    home.write("lictor.toml", config.replace("'1KiB'", "'1000B'"));
    let (code, told) = run(&home, &["validate"]);
    assert!(code == 78 && told.contains(r#"it would be with: allow.kv_store = { size = "1KiB" }"#), "{told}");
}

#[tokio::test]
async fn a_program_runs_with_no_descriptor_but_its_own_and_as_whom_its_grant_names() {
    let (consul, home) = (FakeConsul::start().await, Home::warm());
    let (out, as_user) = (home.path("out"), fs::metadata("/proc/self").unwrap().uid() == 0);
    let seen = format!("{{ ls -l /proc/self/fd; id -u; }} > {}\n", out.display());
    let program = home.script("look", &seen);
    let user = if as_user { ", user = 'nobody'" } else { "" };
    if as_user {
        // What Lictor makes as root, nobody is to enter and to write.
        fs::set_permissions(home.path(""), fs::Permissions::from_mode(0o777)).unwrap();
    } else {
        eprintln!("no other user's program was run, since this user is not root");
    }
    let config = rule(&consul, &["act"])
        + &format!(
            "[receivers.act]\nplugin = 'shell'\nconfig = {{ command = ['{program}'] }}
            allow.exec = [{{ command = ['{program}']{user} }}]\n"
        );
    // As a careless supervisor starts it: with something open.
    let mut careless = Command::new("/bin/sh");
    careless.args(["-c", "exec 9</dev/zero; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_lictor")]);
    let mut lictor = home.follow_by(&config, careless).await;
    consul.set("critical");
    let settled = home.settled(&mut lictor, 1).await;
    assert_eq!(settled[0].state, "delivered", "{}", settled[0].detail);
    let lines = home.lines("out");
    assert!(lines.iter().any(|line| line.contains(" 0 -> ")), "{lines:?}");
    assert!(!lines.iter().any(|line| line.contains("/dev/zero")), "{lines:?}");
    assert!(!as_user || lines.last().unwrap() == "65534", "{lines:?}");
    assert_eq!(lictor.terminate().await, 0);
}

#[tokio::test]
async fn a_file_that_the_shipped_plugin_makes_is_as_its_grant_says() {
    let (consul, home) = (FakeConsul::start().await, Home::warm());
    let (path, as_root) = (home.path("journal"), fs::metadata("/proc/self").unwrap().uid() == 0);
    let owner = if as_root { ", owner = 'nobody', group = '54321'" } else { "" };
    if !as_root {
        eprintln!("no file was given to another user, since this user is not root");
    }
    let config = rule(&consul, &["note"])
        + &format!(
            "[receivers.note]\nplugin = 'file'\nconfig = {{ path = {path:?} }}
            allow.append = [{{ path = {path:?}, mode = '0646', sync = true{owner} }}]\n"
        );
    let mut lictor = home.follow(&config).await;
    consul.set("critical");
    home.settled(&mut lictor, 1).await;
    let made = fs::metadata(&path).unwrap();
    assert_eq!((home.lines("journal").len(), made.mode() & 0o7777), (1, 0o646));
    assert!(!as_root || (made.uid(), made.gid()) == (65534, 54321), "{} {}", made.uid(), made.gid());
    assert_eq!(lictor.terminate().await, 0);
}

#[tokio::test]
async fn a_plugin_reads_the_keys_of_consul_that_its_receiver_grants() {
    let (consul, home) = (ConsulAgent::start().await, Home::warm());
    consul.register_ttl_check("web", "web").await;
    for (key, value) in
        [("app/on%20call", "ann"), ("app/empty", ""), ("apple", "x"), ("other/secret", "hunter2")]
    {
        consul.put(&format!("/v1/kv/{key}"), value).await;
    }
    home.misbehave();
    let receivers = ["reads", "requests", "misses", "asks", "asks-more", "climbs", "short"];
    let rule = format!("rules = [{{ name = 'all', on = ['check.status'], receivers = {receivers:?} }}]");
    let config = format!(
        "consul.address = '{}'\n{rule}
        [defaults.receivers]\nplugin = 'misbehave.wasm'\nallow.kv = ['app/']\nretry.attempts = 1
        [receivers.reads]\nconfig = {{ do = 'keys', key = 'app/on call', prefix = 'app/' }}
        [receivers.requests]\nconfig = {{ do = 'keys', key = 'app/empty', prefix = 'app/o', request = true }}
        [receivers.misses]\nconfig = {{ do = 'keys', key = 'app/none', prefix = 'app/none/' }}
        [receivers.asks]\nconfig = {{ do = 'keys', key = 'other/secret', prefix = 'app/' }}
        [receivers.asks-more]\nconfig = {{ do = 'keys', key = 'app/empty', prefix = 'app' }}
        [receivers.climbs]\nconfig = {{ do = 'keys', key = 'app/../other/secret', prefix = 'app/' }}
        [receivers.short]\nconfig = {{ do = 'keys', key = 'app/on call', prefix = 'app/' }}\nlimits.response = '2B'\n",
        consul.address()
    );
    let mut lictor = home.follow(&config).await;
    consul.ttl("web", "fail", "by hand").await;
    home.settled(&mut lictor, receivers.len()).await;
    for (receiver, want) in [
        ("reads", r#"(Some("ann"), ["app/empty", "app/on call"])"#),
        ("requests", r#"(Some(""), ["app/on call"])"#),
        ("misses", "(None, [])"),
        ("asks", r#""other/secret" as one more item of allow.kv"#),
        ("asks-more", r#""app" as one more item of allow.kv"#),
        ("climbs", "is never granted"),
        ("short", "limits.response"),
    ] {
        let told = details(&home, receiver);
        assert!(told.len() == 1 && told[0].contains(want), "{receiver}: {told:?}");
    }
    let log = lictor.log();
    let refusal =
        log.iter().find(|entry| entry["receiver"] == "asks" && entry["refusal"].is_string()).unwrap();
    assert!(
        refusal["refusal"].as_str().unwrap().contains(r#""other/secret" as one more item of allow.kv"#),
        "{refusal}"
    );
    assert_eq!(lictor.terminate().await, 0);

    let (code, told) = run(&home, &["validate"]);
    let line = "    may read the keys of Consul that begin with app/\n";
    assert!(code == 0 && told.contains(line), "{told}");
    home.write("lictor.toml", config.replace("['app/']", "['app/x']"));
    let (code, told) = run(&home, &["validate"]);
    assert!(code == 78 && told.contains(r#""app/o" as one more item of allow.kv"#), "{told}");
}

#[tokio::test]
async fn how_it_stands_is_told_with_and_without_a_lictor() {
    let (consul, home) = (FakeConsul::start().await, Home::warm());
    home.misbehave();
    let config = format!(
        "consul.address = '{}'
        [[rules]]\nname = 'all'\non = ['check.status']\nreceivers = ['good', 'bad']
        [[rules]]\nname = 'slow'\non = ['check.status']\nfor = '1h'\nreceivers = ['good']
        [defaults.receivers]\nplugin = 'misbehave.wasm'\nretry.attempts = 1
        [receivers.good]\nconfig = {{ do = 'ok' }}
        [receivers.bad]\nconfig = {{ do = 'append', path = '/tmp/forbidden' }}
        [receivers.idle]\nconfig = {{ do = 'ok' }}\n",
        consul.address()
    );
    let mut lictor = home.follow(&config).await;
    consul.set("critical");
    home.settled(&mut lictor, 2).await;
    let (code, _) = run(&home, &["silence", "add", "--match", "service=db", "--for", "1h"]);
    assert_eq!(code, 0);

    check_status(&status(&home));
    consul.trouble(Some((500, "no")));
    lictor
        .until("lose the watch", async || {
            (!status(&home)["outages"].as_array().unwrap().is_empty()).then_some(())
        })
        .await;
    let (code, words) = run(&home, &["status"]);
    assert_eq!(code, 0, "{words}");
    for want in [
        "Lictor 0.1.0 runs since ",
        "refused 1",
        "lost since ",
        "rule slow: 1 held for a while\n",
        "1 silence holds.\n",
    ] {
        assert!(words.contains(want), "{want:?} is not in:\n{words}");
    }
    assert_eq!(lictor.terminate().await, 0);

    let (code, words) = run(&home, &["status"]);
    assert_eq!(code, 69, "{words}");
    for want in ["No Lictor runs here: nobody listens at ", "rule slow: 1 held", "lost since "] {
        assert!(words.contains(want), "{want:?} is not in:\n{words}");
    }
    let bad = words.lines().find(|line| line.starts_with("bad ")).unwrap();
    assert!(bad.split_whitespace().eq(["bad", "-", "-", "-", "-", "-", "-", "-", "0", "1"]), "{words}");
    assert_eq!(status(&home)["running"], Value::Null);
}

/// One receiver that delivered, one that was refused, and one with nothing to do; and what waits.
fn check_status(told: &Value) {
    let running = &told["running"];
    assert_eq!(running["version"], env!("CARGO_PKG_VERSION"));
    let names: Vec<_> = running["receivers"].as_array().unwrap().iter().map(|one| &one["receiver"]).collect();
    assert_eq!(names, ["bad", "good", "idle"]);
    let of = |at: usize, key: &str| running["receivers"][at][key].clone();
    let hash = layout::sha256(guest());
    assert_eq!((of(0, "calls"), of(0, "refusals"), of(0, "sha256")), (1.into(), 1.into(), hash.into()));
    assert_eq!(of(0, "failures"), serde_json::json!({ "refused": 1 }));
    assert_eq!(
        (of(1, "calls"), of(1, "failures"), of(2, "calls")),
        (1.into(), serde_json::json!({}), 0.into())
    );
    assert!(
        of(1, "peak_memory").as_u64().unwrap() > 1 << 16 && of(1, "max_us") == of(1, "mean_us"),
        "{running}"
    );
    let dead = serde_json::json!([{ "receiver": "bad", "state": "dead", "count": 1 }]);
    assert_eq!(told["deliveries"], dead);
    assert_eq!(told["alerts"], serde_json::json!([{ "rule": "slow", "phase": "held", "count": 1 }]));
    assert_eq!(told["queries"][0]["name"], "checks/node");
    assert_eq!(told["silences"][0]["matchers"][0], "service=db");
}

/// The guest with one text of it in another spelling: other code that does the same.
fn another_guest() -> Vec<u8> {
    let mut wasm = guest().to_vec();
    let text = b"standard input\n";
    let places: Vec<_> = (0..wasm.len() - text.len()).filter(|&at| wasm[at..].starts_with(text)).collect();
    let [at] = places[..] else { panic!("the text is there {} times", places.len()) };
    wasm[at..at + text.len()].copy_from_slice(b"another input \n");
    wasm
}

#[tokio::test]
async fn a_call_that_runs_ends_on_the_code_that_it_began_with() {
    let (consul, home) = (FakeConsul::start().await, Home::warm());
    home.misbehave();
    let script = home.script(
        "act.sh",
        r#"cat; echo "begins" >>"$home/acts"
        for i in $(seq 400); do [ -e "$home/go" ] && break; [ -d "$home" ] || exit 1; sleep 0.05; done"#,
    );
    let config = rule(&consul, &["act"])
        + &format!(
            "[receivers.act]\nplugin = 'misbehave.wasm'\nconfig = {{ do = 'exec', command = ['{script}'] }}
            allow.exec = [{{ command = ['{script}'] }}]\n"
        );
    let mut lictor = home.follow(&config).await;
    consul.set("critical");
    home.wait_for_lines("acts", 1).await;
    home.write("misbehave.wasm", another_guest());
    assert_eq!(run(&home, &["reload"]).0, 0);
    let hash = layout::sha256(&another_guest());
    assert_eq!(status(&home)["running"]["receivers"][0]["sha256"], hash);
    consul.set("passing");
    lictor.until("commit the second change", async || (home.deliveries().len() == 2).then_some(())).await;
    home.write("go", "");
    let deliveries = home.settled(&mut lictor, 2).await;
    assert!(deliveries.iter().all(|one| one.attempts == 1), "{deliveries:?}");
    let told: Vec<_> = deliveries.iter().map(|one| one.detail.contains("standard input")).collect();
    assert_eq!(told, [true, false], "{deliveries:?}");
    assert!(deliveries[1].detail.contains("another input"), "{deliveries:?}");
    assert_eq!(lictor.terminate().await, 0);
}

#[tokio::test]
async fn a_plugin_is_taken_from_a_folder_that_a_registrys_tool_left() {
    let (consul, home) = (FakeConsul::start().await, Home::warm());
    layout::make(&home.path("act"), layout::WASM_CONFIG, &[("application/wasm", guest())]);
    let hash = layout::sha256(guest());
    let config = |hash: &str| {
        rule(&consul, &["act"])
            + &format!("[receivers.act]\nplugin = './act'\nsha256 = '{hash}'\nconfig = {{ do = 'ok' }}\n")
    };
    let mut lictor = home.follow(&config(&hash)).await;
    consul.set("critical");
    assert_eq!(home.settled(&mut lictor, 1).await[0].detail, "ok");
    assert_eq!(lictor.terminate().await, 0);

    let inspected = home.run(&["plugin", "inspect", "act"]);
    let inspected = String::from_utf8(inspected.stdout).unwrap();
    assert!(inspected.contains(&hash), "{inspected}");
    home.write("lictor.toml", config(&"0".repeat(64)));
    let (code, told) = run(&home, &["validate"]);
    assert!(code == 78 && told.contains(&format!("it is {hash}")), "{told}");
    let shown = run(&home, &["config", "show"]).1;
    assert!(shown.contains(Path::new("act").file_name().unwrap().to_str().unwrap()), "{shown}");
}
