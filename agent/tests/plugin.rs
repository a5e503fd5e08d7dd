//! What the writer of a plugin and its operator can do with it from the command line.

#![expect(clippy::unwrap_used, reason = "a test that cannot look has to fail")]

mod support;

use std::process::Output;

use serde_json::Value;
use support::guest::{compiled, guest};
use support::home::Home;

/// Runs a verb, and gives its exit code and what it wrote: what was found, then what was wrong.
fn run(home: &Home, arguments: &[&str]) -> (i32, String) {
    let compiled = compiled();
    let cache = ["--cache", compiled.to_str().unwrap()];
    // Each run would compile what it loads, which takes a debug build seconds.
    let cache = if arguments[0] == "list" { &[][..] } else { &cache };
    let Output { status, stdout, stderr } = home.run(&[&["plugin"], arguments, cache].concat());
    (status.code().unwrap(), String::from_utf8([stdout, stderr].concat()).unwrap())
}

#[track_caller]
fn check(home: &Home, arguments: &[&str], code: i32, wanted: &[&str]) -> String {
    let (found, text) = run(home, arguments);
    assert_eq!(found, code, "{arguments:?}: {text}");
    for want in wanted {
        assert!(text.contains(want), "{arguments:?} does not say {want:?}:\n{text}");
    }
    text
}

#[test]
fn a_plugin_is_inspected_with_and_without_a_configuration() {
    let home = Home::new();
    let bare = check(
        &home,
        &["inspect", "webhook"],
        0,
        &[
            "plugin     webhook 0.1.0\n",
            "contract   0.1.0\n",
            "may ask    to send HTTP requests\n",
            "url (string, required)",
        ],
    );
    assert!(!bare.contains("With this configuration"), "{bare}");
    home.write("chat.toml", "url = 'https://chat.example.com/hooks/x'\nmethod = 'PUT'");
    check(
        &home,
        &["inspect", "webhook", "--config", "chat.toml"],
        0,
        &[
            "may send PUT to https://chat.example.com/hooks/x\n",
            r#"allow.http = [{ url = "https://chat.example.com/hooks/x", methods = ["PUT"] }]"#,
        ],
    );
    let json = check(
        &home,
        &["inspect", "shell", "--json", "--config-json", r#"{"command":["/bin/true","a"]}"#],
        0,
        &[],
    );
    let about: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(
        about["needs"]["grants"][0],
        "may run /bin/true with exactly these arguments: a; with any input"
    );
    assert_eq!((&about["imports"][0], &about["debug_info"]), (&"exec".into(), &0.into()));
    assert_eq!(about["config_schema"]["required"][0], "command");
    assert_eq!(about["sha256"].as_str().map(str::len), Some(64));
    // What it is can still be read where its configuration is wrong.
    check(
        &home,
        &["inspect", "file", "--config-json", r#"{"path":"/x","pth":1}"#],
        1,
        &[
            "plugin     file 0.1.0\n",
            "failed to have the plugin accept this configuration: pth: unknown field `pth`",
        ],
    );
    check(&home, &["inspect", "file", "--config-json", "[]"], 1, &["it is no JSON object"]);
}

#[test]
fn a_file_that_is_no_plugin_is_refused_with_what_it_is() {
    let home = Home::new();
    let wrong = |content: &[u8], want: &str| {
        home.write("plugin.wasm", content);
        check(&home, &["inspect", "plugin.wasm"], 1, &["failed to inspect plugin.wasm: ", want]);
    };
    let newer = {
        let wasm: Vec<u8> = guest().to_vec();
        let name = b"lictor:plugin/handler@0.";
        let places: Vec<_> =
            (0..wasm.len() - name.len()).filter(|&at| wasm[at..].starts_with(name)).collect();
        places.into_iter().fold(wasm, |mut wasm, at| {
            wasm[at + name.len()] = b'3';
            wasm
        })
    };
    wrong(
        b"\0asm\x01\0\0\0",
        "a core WebAssembly module: a plugin is a component, so build it for wasm32-wasip2",
    );
    wrong(&guest()[..guest().len() / 2], "damaged, cut off or something else");
    wrong(b"#!/bin/sh\n", "it does not begin as WebAssembly does");
    wrong(b"\0asm\x0d\0\x01\0", "it is a component, but not a plugin of Lictor; it exports nothing");
    wrong(
        &newer,
        "built for contract 0.3 (lictor:plugin): this Lictor knows 0.1, so run it in a newer Lictor",
    );
    check(&home, &["inspect", "web"], 1, &["Lictor carries shell, file, email, webhook"]);
    check(&home, &["inspect", "./gone.wasm"], 1, &["failed to read ./gone.wasm: No such file"]);
    home.write("plugin.wasm", guest());
    check(&home, &["inspect", "."], 0, &["plugin     misbehave"]);
}

#[test]
fn the_plugins_that_there_are_are_listed_with_those_who_use_them() {
    let home = Home::new();
    let bundled =
        check(&home, &["list"], 0, &["email", "file", "shell", "Sends a delivery's events to a URL"]);
    assert_eq!(bundled.lines().count(), 5, "{bundled}");
    home.misbehave();
    home.write("broken.wasm", "x");
    home.write(
        "lictor.toml",
        "receivers.a = { plugin = 'file', config = { path = '/tmp/x' } }
        receivers.b = { plugin = 'file', config = { path = '/tmp/y' } }
        receivers.c = { plugin = 'misbehave.wasm' }
        receivers.d = { plugin = 'broken.wasm' }",
    );
    let listed = check(&home, &["list", "--json", "-c", "lictor.toml"], 0, &[]);
    let rows: Vec<Value> = listed.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let row = |name: &str| rows.iter().find(|row| row["plugin"].as_str().unwrap().ends_with(name)).unwrap();
    assert_eq!(row("file")["receivers"], serde_json::json!(["a", "b"]));
    assert_eq!(row("shell")["receivers"], serde_json::json!([]));
    assert_eq!(
        (&row("misbehave.wasm")["version"], &row("misbehave.wasm")["contract"]),
        (&"0.1.0".into(), &"0.1.0".into())
    );
    assert!(row("broken.wasm")["fault"].as_str().unwrap().contains("does not begin as WebAssembly does"));

    home.write("lictor.toml", "receivers.a = { plugn = 'file' }");
    check(&home, &["list", "-c", "lictor.toml"], 78, &["plugn"]);
}

/// What a plugin does with each of the samples, as JSON.
fn tried(home: &Home, code: i32, arguments: &[&str]) -> Vec<Value> {
    let text = check(home, &[&["test", "--json"], arguments].concat(), code, &[]);
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn each_plugin_of_ours_is_tried_on_an_event_of_each_type_and_nothing_happens() {
    let home = Home::new();
    let path = home.path("journal");
    let file = format!(r#"{{"path":{path:?}}}"#);
    let command = home.script("act.sh", r#"touch "$home/acted""#);
    let shell = format!(r#"{{"command":[{command:?},"a b"]}}"#);
    let configs = [
        ("file", file.as_str()),
        ("shell", &shell),
        ("webhook", r#"{"url":"https://h.example/x"}"#),
        ("email", r#"{"from":"a@b.c","to":["x@b.c"]}"#),
    ];
    for (plugin, config) in configs {
        let attempts = tried(&home, 0, &[plugin, "--config-json", config]);
        assert_eq!(attempts.len(), 27);
        for attempt in &attempts {
            assert_eq!(attempt["result"], "delivered", "{plugin}: {attempt}");
            assert_eq!(attempt["calls"].as_array().unwrap().len(), 1, "{plugin}: {attempt}");
            assert!(
                attempt["peak_memory"].as_u64().unwrap() > 0 && attempt["microseconds"].as_u64().unwrap() > 0
            );
        }
        let of =
            |kind: &str| attempts.iter().find(|attempt| attempt["name"] == kind).unwrap()["calls"][0].clone();
        match plugin {
            "file" => assert_eq!(of("kv.set")["append"]["path"], path.to_str().unwrap()),
            "shell" => {
                let exec = &of("check.status")["exec"];
                assert_eq!(exec["command"], serde_json::json!([command, "a b"]));
                assert_eq!(exec["env"]["LICTOR_TO"], "critical");
            }
            "webhook" => assert_eq!(of("node.left")["http"]["json"]["type"], "lictor.node.left"),
            _ => assert_eq!(of("check.status")["smtp"]["to"], serde_json::json!(["x@b.c"])),
        }
    }
    assert!(!path.exists() && !home.path("acted").exists());
}

#[test]
fn what_a_plugin_keeps_stays_from_one_event_to_the_next() {
    let home = Home::new();
    home.write("plugin.wasm", guest());
    let config = r#"{"do":"count","request":100}"#;
    let events = ["--event", "kv.set", "--event", "check.status", "--event", "node.left"];
    let attempts = tried(&home, 0, &[&["plugin.wasm", "--config-json", config], &events[..]].concat());
    let receipts: Vec<_> = attempts.iter().map(|attempt| attempt["text"].as_str().unwrap()).collect();
    assert_eq!(receipts, ["1", "2", "3"]);
}

#[test]
fn calls_are_answered_as_the_author_says_and_what_fails_is_told() {
    let home = Home::new();
    home.write(
        "responses.toml",
        "[[responses]]\nhttp = { status = 429, headers = { Retry-After = '7' }, body = 'slow down' }",
    );
    let hook = [
        "test",
        "webhook",
        "--event",
        "check.status",
        "--config-json",
        r#"{"url":"https://h.example/x"}"#,
        "--responses",
        "responses.toml",
    ];
    check(
        &home,
        &hook,
        1,
        &[
            "FAIL check.status: retry-after, 429: slow down (after 7000 ms)",
            "http POST https://h.example/x",
            "1 attempt, 1 failed",
        ],
    );
    home.write(
        "responses.toml",
        "[[responses]]\nhttp = { status = 429, headers = { Retry-After = '7200' } }",
    );
    check(&home, &hook, 1, &["(after 7200000 ms, of which Lictor waits for an hour)"]);
    home.write("responses.toml", "[[responses]]\nkv = { value = 'on' }");
    check(&home, &hook, 0, &["       no call took these answers: kv\n", "1 attempt, 0 failed"]);
    home.write("responses.toml", "[[responses]]\nhttp = { stats = 429 }");
    check(&home, &hook, 1, &["failed to read responses.toml: ", "unknown field `stats`"]);
    home.write("responses.toml", "[[responses]]\nhttp = { status = 9999 }");
    check(&home, &hook, 1, &["failed to read responses.toml: ", "9999 is no status of HTTP"]);
    home.write("event.json", "{}");
    check(
        &home,
        &["test", "file", "--event", "event.json"],
        1,
        &["failed to read the event event.json, which is to be one JSON object: missing field"],
    );
    check(
        &home,
        &["test", "file", "--event", "check.stats"],
        1,
        &["write a file, or a type such as check.status"],
    );
}

#[test]
fn a_plugin_that_fails_is_told_with_how() {
    let home = Home::new();
    home.misbehave();
    let misbehave = |config: &str, want: &str| {
        let text = check(
            &home,
            &["test", "misbehave.wasm", "--event", "kv.set", "--config-json", config],
            1,
            &[want],
        );
        assert!(text.contains("1 attempt, 1 failed"), "{text}");
    };
    misbehave(
        r#"{"do":"trap"}"#,
        "FAIL kv.set: trapped, the plugin crashed: panicked at misbehave/src/lib.rs",
    );
    misbehave(r#"{"do":"eat"}"#, "FAIL kv.set: memory, the plugin needed more memory than its 64 MiB");
    misbehave(r#"{"do":"loop"}"#, "FAIL kv.set: deadline, the plugin used more than 1s of CPU time");
    misbehave(r#"{"do":"permanent"}"#, "FAIL kv.set: permanent, never");
    misbehave(r#"{"do":"nonsense"}"#, "FAIL kv.set: config, ");
    // What it does not say that it needs is refused, as it would be in a receiver without a grant.
    misbehave(r#"{"do":"stamp","path":"/tmp/x"}"#, "refused: append to \"/tmp/x\" is not granted");
    let said = [
        "test",
        "misbehave.wasm",
        "--event",
        "kv.set",
        "--config-json",
        r#"{"do":"stamp","path":"/tmp/x","request":true}"#,
    ];
    check(&home, &said, 0, &["ok   kv.set: delivered, stamped", "append /tmp/x"]);
    let short = [
        "test",
        "misbehave.wasm",
        "--event",
        "kv.set",
        "--config-json",
        r#"{"do":"loop"}"#,
        "--cpu",
        "300ms",
    ];
    check(&home, &short, 1, &["FAIL kv.set: deadline, the plugin used more than 300ms of CPU time"]);
    check(&home, &[&short[..6], &["--timeout", "0s"]].concat(), 2, &["write a time such as 500ms, 5s or 2m"]);
}

#[test]
fn the_tests_of_a_folder_hold_or_are_told_with_what_differs() {
    let home = Home::new();
    std::fs::create_dir(home.path("tests")).unwrap();
    home.misbehave();
    let case = "event = ['check.status', 'kv.set']\nattempt = 2\nconfig = { do = 'stamp', path = '/tmp/x', request = true }\n";
    let expect = "[expect]\ntext = 'stamp'\nneeds = ['may append to /tmp/x']\ncalls = [{ append = { path = '/tmp/x' } }]\n";
    home.write("tests/right.toml", format!("{case}{expect}"));
    home.write(
        "tests/full.toml",
        format!("{case}responses = [{{ append = {{ error = {{ failed = 'no space' }} }} }}]\n[expect]\nresult = 'transient'"),
    );
    home.write("tests/own.toml", "event = 'mine.json'\ndata = { to = 'critical' }\nconfig = { do = 'ok' }");
    home.write(
        "tests/mine.json",
        r#"{"id":"1","source":"s","type":"t","subject":"x","time":"2026-01-01T00:00:00Z","data":{"a":1}}"#,
    );
    check(
        &home,
        &["test", "."],
        0,
        &["ok   full: transient, no space", "ok   own: ", "ok   right: ", "3 attempts, 0 failed"],
    );

    home.write(
        "tests/right.toml",
        format!("{case}[expect]\nresult = 'permanent'\ntext = 'no'\nneeds = []\ncalls = [{{ append = {{ path = '/tmp/y' }} }}, {{ watch = {{}} }}]"),
    );
    check(
        &home,
        &["test", "."],
        1,
        &[
            "! it is delivered, expected permanent",
            r#"! it says "stamped", expected "no""#,
            r#"! it needs ["may append to /tmp/x"], expected []"#,
            "! it made 1 calls, expected 2",
            r#"! call 1: append.path is "/tmp/x", expected "/tmp/y""#,
            "3 attempts, 1 failed",
        ],
    );
    home.write("tests/right.toml", "event = 'check.status'\nexpcet = {}");
    check(&home, &["test", "."], 1, &["failed to read ./tests/right.toml: ", "unknown field `expcet`"]);
    home.write("tests/right.toml", "event = ['kv.set', 'check.status']\ndata = { oputt = 'x' }");
    check(&home, &["test", "."], 1, &["right.toml: read data.oputt: kv.set has no such field"]);
    home.write("tests/right.toml", "event = 'check.status'\ndata = { oputput = 'x' }");
    check(&home, &["test", "."], 1, &["check.status has no such field; did you mean `output`?"]);
    home.write("tests/right.toml", "event = 'check.status'\ndata = { to = 'bogus' }");
    check(&home, &["test", "."], 1, &["check.status never has \"bogus\" there; its sample has \"critical\""]);
    home.write("tests/right.toml", "event = 1");
    check(&home, &["test", "."], 1, &["a type of event or a file with one, or a list of these"]);
    // Asked for by hand, the tests are left alone.
    check(
        &home,
        &["test", ".", "--event", "kv.set", "--config-json", r#"{"do":"ok"}"#],
        0,
        &["1 attempt, 0 failed"],
    );
}
