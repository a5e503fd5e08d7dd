//! Builds the guests of `agent/tests/guests` and says where compiled code is shared between tests.
//!
//! Included with `#[path]` by the tests of several crates. The build has a target folder and a lock of its
//! own, so that it neither waits for the build that runs the tests nor undoes its work.

#![allow(clippy::allow_attributes, dead_code, reason = "each test and benchmark uses a part of it")]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Once, OnceLock};

/// The component `misbehave`: it does what its configuration's `do` says.
pub(crate) fn guest() -> &'static [u8] {
    static WASM: OnceLock<Vec<u8>> = OnceLock::new();
    WASM.get_or_init(|| built("misbehave"))
}

/// The guest `misbehave`, with one text in place of another one of the same length wherever it stands.
pub(crate) fn patched(from: &str, to: &str) -> Vec<u8> {
    replaced(guest().to_vec(), from.as_bytes(), to.as_bytes())
}

/// A component with these bytes in place of other ones wherever they stand.
fn replaced(mut wasm: Vec<u8>, from: &[u8], to: &[u8]) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let mut patches = 0;
    for at in 0..wasm.len() - from.len() {
        if wasm[at..].starts_with(from) {
            wasm[at..at + to.len()].copy_from_slice(to);
            patches += 1;
        }
    }
    assert!(patches > 0, "{from:02x?} is not in the guest");
    wasm
}

/// The guest `raw`, which grows its table where it grew its memory: no language has a word for that.
fn growing_its_table() -> Vec<u8> {
    // i32.const 0x0f000fff, memory.grow
    const MEMORY: [u8; 8] = [0x41, 0xff, 0x9f, 0x80, 0xf8, 0x00, 0x40, 0x00];
    // ref.null func, i32.const 8191, table.grow 0
    const TABLE: [u8; 8] = [0xd0, 0x70, 0x41, 0xff, 0x3f, 0xfc, 0x0f, 0x00];
    replaced(built("raw"), &MEMORY, &TABLE)
}

/// The guest `misbehave`, and a module with a memory that it has twice and never uses.
fn with_two_more_memories() -> Vec<u8> {
    // The sections of a component that hold a module, and instances of modules.
    const MODULE: u8 = 1;
    const INSTANCES: u8 = 2;
    let mut wasm = guest().to_vec();
    let (mut modules, mut at) = (0, 8);
    while at < wasm.len() {
        modules += u8::from(wasm[at] == MODULE);
        // The length: seven bits in each byte, the last one below 128.
        let digits = wasm[at + 1..].iter().position(|byte| *byte < 128).expect("it is whole") + 1;
        let digits = &wasm[at + 1..][..digits];
        let length = digits.iter().rev().fold(0, |length, digit| length << 7 | usize::from(digit & 127));
        at += 1 + digits.len() + length;
    }
    wasm.extend([MODULE, 13]);
    wasm.extend(b"\0asm\x01\0\0\0\x05\x03\x01\0\x01");
    wasm.extend([INSTANCES, 7, 2, 0, modules, 0, 0, modules, 0]);
    wasm
}

/// What the file `guest` in a folder of `agent/tests/sandbox` names.
pub(crate) fn named(guest: &str) -> Vec<u8> {
    match guest {
        "core module" => b"\0asm\x01\0\0\0".to_vec(),
        "misbehave, its first half" => {
            let whole = built("misbehave");
            whole[..whole.len() / 2].to_vec()
        }
        "misbehave, for contract 0.3.0" => {
            patched("lictor:plugin/handler@0.1.0", "lictor:plugin/handler@0.3.0")
        }
        "misbehave, importing lictor:plugin/kill" => {
            patched("lictor:plugin/exec@0.1.0", "lictor:plugin/kill@0.1.0")
        }
        "raw, growing its table" => growing_its_table(),
        "misbehave, with two more memories" => with_two_more_memories(),
        name => built(name),
    }
}

/// A guest's component; all guests are built once per process.
pub(crate) fn built(name: &str) -> Vec<u8> {
    static BUILD: Once = Once::new();
    let target = repository().join("target/guests");
    BUILD.call_once(|| build(&repository().join("agent/tests/guests/Cargo.toml"), &target));
    std::fs::read(target.join(format!("wasm32-wasip2/release/{name}.wasm")))
        .expect("the guest was just built")
}

/// Where the tests of all processes keep compiled components: a debug build of the compiler takes seconds
/// for each.
pub(crate) fn compiled() -> PathBuf {
    repository().join("target/tmp/cwasm")
}

/// The checkout that the tests run in.
pub(crate) fn repository() -> &'static Path {
    let mut folders = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors();
    folders.find(|folder| folder.join("agent/tests/guests").is_dir()).expect("the tests run in a checkout")
}

/// Builds a plugin's component as its author does.
pub(crate) fn build(manifest: &Path, target: &Path) {
    cargo(&["build", "--release", "--quiet", "--target", "wasm32-wasip2"], manifest, target);
}

/// Runs cargo on a workspace of its own, with what is locked there.
pub(crate) fn cargo(arguments: &[&str], manifest: &Path, target: &Path) {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(arguments).args(["--locked", "--manifest-path"]);
    command.arg(manifest).arg("--target-dir").arg(target);
    for (name, _) in std::env::vars_os() {
        if is_of_the_outer_build(&name.to_string_lossy()) {
            command.env_remove(&name);
        }
    }
    let status = command.status().expect("cargo starts");
    assert!(
        status.success(),
        "{} does not build; is the target there? rustup target add wasm32-wasip2",
        manifest.display()
    );
}

/// Variables with which the outer build would change the guest's: its flags, its wrappers, its job server.
fn is_of_the_outer_build(name: &str) -> bool {
    const PLACES: [&str; 4] = ["CARGO_HOME", "CARGO_HTTP_", "CARGO_NET_", "CARGO_REGISTRIES_"];
    const FLAGS: [&str; 4] = ["RUSTFLAGS", "RUSTDOCFLAGS", "MAKEFLAGS", "MFLAGS"];
    let of_cargo = name.starts_with("CARGO_") && !PLACES.iter().any(|place| name.starts_with(place));
    of_cargo || name.starts_with("RUSTC") || FLAGS.contains(&name)
}
