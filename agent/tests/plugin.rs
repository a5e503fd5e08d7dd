//! What the writer of a plugin and its operator can do with it from the command line.

#![expect(clippy::unwrap_used, reason = "a test that cannot look has to fail")]

mod support;

use std::process::Output;

use serde_json::Value;
use support::guest::guest;
use support::home::Home;

/// Runs a verb, and gives its exit code and what it wrote: what was found, then what was wrong.
fn run(home: &Home, arguments: &[&str]) -> (i32, String) {
    let Output { status, stdout, stderr } = home.run(&[&["plugin"], arguments].concat());
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
    assert_eq!(about["needs"]["grants"][0], "may run /bin/true with exactly these arguments: a");
    assert_eq!(about["imports"][0], "exec");
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
