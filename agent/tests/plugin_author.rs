//! The way of a plugin, as the SDK's front page and `lictor plugin new` have it: each step is done here.

#![expect(clippy::unwrap_used, reason = "a test that cannot look has to fail")]

mod support;

use std::fs;
use std::path::Path;

use serde_json::Value;
use support::fake_consul::FakeConsul;
use support::guest::{build, cargo, repository};
use support::home::Home;
use support::inbox::Inbox;

/// Runs a verb, and gives its exit code and what it wrote.
fn run(home: &Home, arguments: &[&str]) -> (i32, String) {
    let output = home.run(arguments);
    let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    (output.status.code().unwrap(), text)
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

/// The lines of the page's block of code that begins with this one, as far as they are shown.
fn block<'p>(page: &'p str, first: &str) -> Vec<&'p str> {
    let page = page.lines().filter_map(|line| line.strip_prefix("//!"));
    let page = page.map(|line| line.strip_prefix(' ').unwrap_or(line));
    page.skip_while(|line| *line != first)
        .take_while(|line| *line != "```" && !line.starts_with("# #["))
        .collect()
}

#[test]
fn the_plugin_of_the_front_page_is_the_example() {
    let page = fs::read_to_string(repository().join("sdk/src/lib.rs")).unwrap();
    let example = fs::read_to_string(repository().join("examples/plugins/chat/src/lib.rs")).unwrap();
    let example: Vec<_> =
        example.lines().skip_while(|line| line.starts_with("//!") || line.is_empty()).collect();
    let told = [block(&page, example[0]), vec![""], block(&page, "#[cfg(test)]")].concat();
    assert_eq!(told, example);

    let file =
        |file: &str| fs::read_to_string(repository().join("examples/plugins/chat").join(file)).unwrap();
    let test = file("tests/critical.toml");
    assert_eq!(block(&page, test.lines().next().unwrap()), test.lines().collect::<Vec<_>>());
    // All but its name, and that it is in a folder of ours.
    let manifest = file("Cargo.toml").replace("../../../sdk", "lictor-sdk");
    let (_, manifest) = manifest.split_once("\n\n").unwrap();
    let (manifest, _) = manifest.split_once("\n\n# It is").unwrap();
    let manifest: Vec<_> = manifest.lines().collect();
    assert_eq!(block(&page, manifest[0]), manifest);
}

#[tokio::test]
async fn the_chat_plugin_is_tested_inspected_granted_and_run() {
    let folder = repository().join("examples/plugins/chat");
    let target = repository().join("target/examples");
    let home = Home::new();
    cargo(&["test", "--quiet"], &folder.join("Cargo.toml"), &target);
    build(&folder.join("Cargo.toml"), &target);
    let wasm = fs::read(target.join("wasm32-wasip2/release/chat.wasm")).unwrap();
    // Beside its tests, as in an author's folder.
    home.write("chat.wasm", wasm);
    fs::create_dir(home.path("tests")).unwrap();
    for test in ["critical.toml", "busy.toml"] {
        fs::copy(folder.join("tests").join(test), home.path("tests").join(test)).unwrap();
    }
    check(
        &home,
        &["plugin", "test", "."],
        0,
        &["ok   critical: delivered, posted 1 lines", "2 attempts, 0 failed"],
    );

    let mut chat = Inbox::start().await;
    let url = chat.url.clone();
    let config =
        format!(r#"{{"url":"{url}","text":"{{{{ data.service }}}} is {{{{ data.to }}}}","mention":"@ops"}}"#);
    check(
        &home,
        &["plugin", "test", ".", "--event", "check.status", "--config-json", &config],
        0,
        &["@ops web is critical"],
    );
    assert!(chat.rest().is_empty(), "a test posts nothing");
    let told = check(&home, &["plugin", "inspect", "chat.wasm", "--json", "--config-json", &config], 0, &[]);
    let told: Value = serde_json::from_str(&told).unwrap();
    assert_eq!(told["needs"]["grants"][0], format!("may send POST to {url}"));
    assert_eq!(told["imports"], serde_json::json!(["http"]));

    // Without its grant it is refused, with the line that `inspect` says.
    let consul = FakeConsul::start().await;
    let lictor = |allow: &str| {
        format!(
            "consul.address = '{}'\nrules = [{{ name = 'all', on = ['check.status'], receivers = ['chat'] }}]\n\
             [receivers.chat]\nplugin = 'chat.wasm'\nconfig = {{ url = '{url}', text = '{{{{ data.to }}}}', mention = '@ops' }}\n{allow}",
            consul.address()
        )
    };
    let allow = told["needs"]["allow"][0].as_str().unwrap();
    home.write("lictor.toml", lictor(""));
    check(&home, &["validate", "-c", "lictor.toml"], 78, &[allow]);
    home.write("lictor.toml", lictor(allow));
    check(&home, &["validate", "-c", "lictor.toml"], 0, &[&format!("may send POST to {url}")]);

    let mut running = home.follow(&lictor(allow)).await;
    consul.set("critical");
    let posted = chat.next().await;
    assert_eq!(posted.json()["text"], "@ops critical");
    let delivered = home.settled(&mut running, 1).await;
    assert_eq!(delivered[0].id, posted.header("idempotency-key"));
    assert_eq!(delivered[0].detail, "posted 1 lines");
    assert_eq!(running.terminate().await, 0);

    // What happened can be given to a plugin again.
    let listed = check(&home, &["deliveries", "list", "--json", "-c", "lictor.toml"], 0, &[]);
    let listed: Value = serde_json::from_str(&listed).unwrap();
    let event = listed["event"].as_str().unwrap();
    let event = check(&home, &["explain", event, "--json", "-c", "lictor.toml"], 0, &[]);
    home.write("event.json", event);
    let again = ["plugin", "test", ".", "--event", "event.json", "--config-json", &config];
    check(&home, &again, 0, &["@ops web is critical", "1 attempt, 0 failed"]);
}

#[test]
fn a_new_plugin_builds_and_its_tests_hold() {
    let home = Home::new();
    check(&home, &["plugin", "new", "my-hook"], 0, &["my-hook/README.md"]);
    let folder = home.path("my-hook");
    // What is locked for the plugins of ours, so that nothing is fetched.
    fs::copy(repository().join("plugins/Cargo.lock"), folder.join("Cargo.lock")).unwrap();
    let target = repository().join("target/examples");
    let manifest = folder.join("Cargo.toml");
    offline(&manifest);
    cargo(&["test", "--quiet", "--offline"], &manifest, &target);
    build(&manifest, &target);
    let built = folder.join("target/wasm32-wasip2/release");
    fs::create_dir_all(&built).unwrap();
    fs::copy(target.join("wasm32-wasip2/release/my_hook.wasm"), built.join("my_hook.wasm")).unwrap();
    check(
        &home,
        &["plugin", "test", "my-hook"],
        0,
        &["ok   critical: delivered, 200", "1 attempt, 0 failed"],
    );
    let config = ["--config-json", r#"{"url":"https://example.com/x"}"#];
    check(&home, &[&["plugin", "test", "my-hook"], &config[..]].concat(), 0, &["27 attempts, 0 failed"]);
    check(&home, &["plugin", "inspect", "my-hook"], 0, &["plugin     my-hook 0.1.0"]);

    check(
        &home,
        &["plugin", "new", "my-hook"],
        1,
        &["failed to make the folder my-hook: it is there already"],
    );
    check(&home, &["plugin", "new", "My Hook"], 1, &["small letters"]);
    check(&home, &["plugin", "new", "other", "--sdk", "my-hook"], 1, &["its package is not lictor-sdk"]);
    assert!(!home.path("other").exists());
    check(&home, &["plugin", "new", "email"], 1, &["a plugin that Lictor carries"]);
    let sdk = repository().join("sdk");
    check(&home, &["plugin", "new", "other", "--sdk", sdk.to_str().unwrap()], 0, &[]);
    let manifest = fs::read_to_string(home.path("other/Cargo.toml")).unwrap();
    assert!(manifest.contains(&format!("lictor-sdk = {{ path = {sdk:?},")), "{manifest}");
    check(
        &home,
        &["plugin", "test", "other"],
        1,
        &["build it first, with cargo build --release --target wasm32-wasip2"],
    );
}

/// Writes the lock file of a package anew for what it needs, from what is there.
fn offline(manifest: &Path) {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = std::process::Command::new(cargo)
        .args(["metadata", "--offline", "--format-version", "1", "--manifest-path"])
        .arg(manifest)
        .stdout(std::process::Stdio::null())
        .status();
    assert!(status.unwrap().success());
}
