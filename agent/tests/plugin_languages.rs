//! Plugins in other languages than Rust: the examples, and what `lictor plugin new` makes.
//!
//! Their tools are hundreds of megabytes and no part of `make setup`. Where they are missing these tests say so and
//! prove nothing; `make languages` brings them.

#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test that cannot look has to fail, and says what it saw"
)]

mod support;

use std::path::Path;
use std::process::Command;

use support::guest::repository;
use support::home::Home;

/// The exit code of the script where a tool is not there.
const MISSING: i32 = 3;

/// Builds the plugin in a folder; false where the tool for it is missing.
fn build(language: &str, folder: &Path, source: &str) -> bool {
    let output = Command::new(repository().join("examples/plugins/build"))
        .args([language, folder.to_str().unwrap(), source])
        .env("CARGO_TARGET_DIR", repository().join("target"))
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

/// Runs a plugin's tests, and gives what was told.
#[track_caller]
fn try_out(home: &Home, folder: &Path, want: &str) -> String {
    let output = home.run(&["plugin", "test", folder.to_str().unwrap()]);
    let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    assert!(output.status.success() && text.contains(want), "{text}");
    text
}

fn example(language: &str, name: &str, source: &str) {
    let folder = repository().join("examples/plugins").join(name);
    if build(language, &folder, source) {
        eprintln!("{}", try_out(&Home::new(), &folder, "4 attempts, 0 failed"));
    }
}

fn new(language: &str, source: &str) {
    let home = Home::new();
    let made = home.run(&["plugin", "new", "my-hook", "--lang", language]);
    assert!(made.status.success(), "{made:?}");
    let folder = home.path("my-hook");
    let contract = std::fs::read_to_string(repository().join("sdk/wit/plugin.wit")).unwrap();
    assert_eq!(std::fs::read_to_string(folder.join("wit/plugin.wit")).unwrap(), contract);
    if build(language, &folder, source) {
        try_out(&home, &folder, "ok   critical: delivered, 200");
    }
}

#[test]
fn the_pager_in_python_does_what_its_tests_say() {
    example("python", "pager", "pager");
}

#[test]
fn the_push_in_javascript_does_what_its_tests_say() {
    example("javascript", "push", "push.js");
}

#[test]
fn a_new_plugin_in_python_does_what_its_tests_say() {
    new("python", "plugin");
}

#[test]
fn a_new_plugin_in_javascript_does_what_its_tests_say() {
    new("javascript", "plugin.js");
}
