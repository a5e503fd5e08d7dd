//! The example plugins, one in each language, with their own tests and with a real check that fails; and what `lictor
//! plugin new` makes in other languages than Rust.
//!
//! The tools of those languages are hundreds of megabytes and no part of `make setup`. Where they are missing these tests say
//! so and prove nothing; `make languages` brings them.

#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test that cannot look has to fail, and says what it saw"
)]

mod support;

use std::fs;
use std::path::Path;
use std::process::Command;

use support::consul::ConsulAgent;
use support::guest::{self, repository};
use support::home::Home;
use support::inbox::Inbox;

/// The exit code of the script where a tool is not there.
const MISSING: i32 = 3;

/// Builds the plugin in a folder; false where the tool for it is missing.
fn build(language: &str, folder: &Path, source: &str) -> bool {
    let target = std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into());
    let output = Command::new(repository().join("examples/plugins/build"))
        .args([language, folder.to_str().unwrap(), source])
        .env("CARGO_TARGET_DIR", repository().join(target))
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    if output.status.code() == Some(MISSING) {
        eprintln!("Nothing is tested: {told}");
        return false;
    }
    assert!(output.status.success(), "{}\n{told}", String::from_utf8_lossy(&output.stdout));
    true
}

/// Runs a plugin's tests, and gives what was told. What is compiled for them is there for whatever runs it later.
#[track_caller]
fn try_out(home: &Home, folder: &Path, want: &str) -> String {
    let output = home.run(&["plugin", "test", folder.to_str().unwrap(), "--cache", "data/plugins"]);
    let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    assert!(output.status.success() && text.contains(want), "{text}");
    text
}

/// What a plugin is given, and what is to come of it.
struct Acts {
    /// What its own tests say.
    tests: &'static str,
    /// Its configuration beside `url`.
    config: &'static str,
    receipt: &'static str,
    /// A part of what it posts.
    post: &'static str,
}

/// Runs the plugin's own tests; then a real check fails, and Lictor has the plugin post it.
async fn acts(folder: &Path, component: &Path, so: Acts) {
    let Acts { tests, config, receipt, post } = so;
    let home = Home::warm();
    eprintln!("{}", try_out(&home, folder, tests));

    let (consul, mut inbox) = (ConsulAgent::start().await, Inbox::start().await);
    consul.register_ttl_check("web", "web-alive").await;
    fs::copy(component, home.path("plugin.wasm")).unwrap();
    let config = format!(
        "consul.address = '{}'
        rules = [{{ name = 'all', on = ['check.status'], receivers = ['post'] }}]
        [receivers.post]\nplugin = 'plugin.wasm'\nconfig = {{ url = '{url}', {config} }}
        allow.http = [{{ url = '{url}', methods = ['POST'] }}]\n",
        consul.address(),
        url = inbox.url,
    );
    let mut lictor = home.follow(&config).await;
    consul.ttl("web-alive", "fail", "no answer").await;
    let delivered = home.settled(&mut lictor, 1).await;
    assert_eq!((delivered[0].state.as_str(), delivered[0].detail.as_str()), ("delivered", receipt));
    let posted = inbox.rest();
    assert!(posted.len() == 1 && posted[0].body.contains(post), "{posted:?}");
    assert_eq!(lictor.terminate().await, 0);
}

/// An example whose language has a compiler of its own.
async fn example(language: &str, name: &str, source: &str, so: Acts) {
    let folder = repository().join("examples/plugins").join(name);
    if build(language, &folder, source) {
        acts(&folder, &folder.join(format!("target/{name}.wasm")), so).await;
    }
}

fn new(language: &str, source: &str) {
    let home = Home::warm();
    let made = home.run(&["plugin", "new", "my-hook", "--lang", language]);
    assert!(made.status.success(), "{made:?}");
    let folder = home.path("my-hook");
    let contract = std::fs::read_to_string(repository().join("sdk/wit/plugin.wit")).unwrap();
    assert_eq!(std::fs::read_to_string(folder.join("wit/plugin.wit")).unwrap(), contract);
    if build(language, &folder, source) {
        try_out(&home, &folder, "ok   critical: delivered, 200");
    }
}

#[tokio::test]
async fn the_chat_in_rust_does_what_its_tests_say_and_posts_a_failing_check() {
    let (folder, target) = (repository().join("examples/plugins/chat"), repository().join("target/examples"));
    guest::build(&folder.join("Cargo.toml"), &target);
    // Beside its tests, as in an author's folder: cargo would say another one.
    let home = Home::new();
    let component = home.path("chat.wasm");
    fs::copy(target.join("wasm32-wasip2/release/chat.wasm"), &component).unwrap();
    fs::create_dir(home.path("tests")).unwrap();
    for test in ["critical.toml", "busy.toml"] {
        fs::copy(folder.join("tests").join(test), home.path("tests").join(test)).unwrap();
    }
    let so = Acts {
        tests: "2 attempts, 0 failed",
        config: "text = '{{ data.service }} is {{ data.to }}: {{ data.output }}', mention = '@ops'",
        receipt: "posted 1 lines",
        post: "@ops web is critical: no answer",
    };
    acts(&home.path(""), &component, so).await;
}

#[tokio::test]
async fn the_pager_in_python_does_what_its_tests_say_and_opens_an_incident() {
    let so = Acts {
        tests: "4 attempts, 0 failed",
        config: "routing_key = 'R1'",
        receipt: "trigger",
        post: r#""event_action": "trigger", "dedup_key": "#,
    };
    example("python", "pager", "pager", so).await;
}

#[tokio::test]
async fn the_push_in_javascript_does_what_its_tests_say_and_pushes_a_failing_check() {
    let so = Acts {
        tests: "4 attempts, 0 failed",
        config: "title = 'Consul'",
        receipt: "pushed 1",
        post: "web-alive is critical on ",
    };
    example("javascript", "push", "push.js", so).await;
}

#[test]
fn a_new_plugin_in_python_does_what_its_tests_say() {
    new("python", "plugin");
}

#[test]
fn a_new_plugin_in_javascript_does_what_its_tests_say() {
    new("javascript", "plugin.js");
}
