//! Builds the plugins that the binary embeds, with the cargo that builds the binary, and lists the files of the SDK, which
//! `lictor plugin new` gives to a project.
//!
//! They are a workspace of their own, for another target and with another profile. The build goes to a target
//! directory of its own, because this cargo holds the lock on its own one until this script ends. That directory
//! is shared by all profiles, so that `cargo test` after `cargo build` builds no plugin again.
//!
//! `LICTOR_PLUGINS_DIR` names a directory with `shell.wasm` and so on to embed instead, for packagers who build
//! the plugins themselves.

use std::{
    env,
    error::Error,
    fmt::Write,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use sha2::{Digest, Sha256};

/// Each is a crate in `plugins/`. `src/bundled.rs` embeds the same.
const PLUGINS: [&str; 4] = ["email", "file", "shell", "webhook"];
const TARGET: &str = "wasm32-wasip2";
/// The variable with the directory of ready components.
const PREBUILT: &str = "LICTOR_PLUGINS_DIR";

fn main() {
    link_small();
    if let Err(error) = run() {
        // Cargo prints just this line, and fails.
        println!("cargo::error=failed to embed the plugins: {error}");
    }
}

/// Functions of the same code are one, and relocations are packed: 2 MB less that a process has in memory. It takes LLVM's
/// linker, which is rustc's own on this target unless another one is asked for, and at run time a glibc of 2.36, which a
/// binary that is built beside one needs anyway.
fn link_small() {
    let is = |name: &str, value: &str| env::var(name).is_ok_and(|found| found == value);
    let own_linker = env::var_os("RUSTC_LINKER").is_none()
        && env::var("CARGO_ENCODED_RUSTFLAGS").is_ok_and(|flags| !flags.contains("link"));
    if !is("TARGET", "x86_64-unknown-linux-gnu") || !is("PROFILE", "release") || !own_linker {
        return;
    }
    println!("cargo::rustc-link-arg-bins=-Wl,--icf=all");
    if glibc_minor().is_some_and(|minor| minor >= 36) {
        println!("cargo::rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
    }
}

/// The second number of the version of this machine's glibc.
fn glibc_minor() -> Option<u32> {
    let output = Command::new("getconf").arg("GNU_LIBC_VERSION").output().ok()?;
    String::from_utf8(output.stdout).ok()?.trim().strip_prefix("glibc 2.")?.parse().ok()
}

fn run() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-env-changed={PREBUILT}");
    println!("cargo::rerun-if-changed=build.rs");
    let out = PathBuf::from(env::var("OUT_DIR")?);
    let built = match env::var_os(PREBUILT) {
        Some(directory) => PathBuf::from(directory),
        None => build(&out)?,
    };
    for plugin in PLUGINS {
        let file = format!("{plugin}.wasm");
        let from = built.join(&file);
        if env::var_os(PREBUILT).is_some() {
            println!("cargo::rerun-if-changed={}", from.display());
        }
        let wasm = fs::read(&from).map_err(|error| format!("read {}: {error}", from.display()))?;
        let digits: Vec<_> = Sha256::digest(&wasm).iter().map(|byte| format!("{byte:02x}")).collect();
        fs::write(out.join(&file), wasm)?;
        fs::write(out.join(format!("{plugin}.sha256")), digits.concat())?;
    }
    list_sdk(&out)
}

/// Writes `sdk.rs`: the files of the SDK with their texts, by their paths in it.
fn list_sdk(out: &Path) -> Result<(), Box<dyn Error>> {
    let agent = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?);
    let sdk = agent.parent().ok_or("the agent has no parent directory")?.join("sdk");
    let mut files = Vec::new();
    for folder in ["src", "events", "wit"] {
        println!("cargo::rerun-if-changed={}", sdk.join(folder).display());
        files_below(&sdk.join(folder), &mut files)?;
    }
    files.sort();
    let mut list = String::from(
        "/// Its files with their texts, by their paths in it.\npub(super) const FILES: &[(&str, &str)] = &[\n",
    );
    for file in files {
        let path = file.to_str().ok_or("the path of the SDK is no text")?;
        let name = file.strip_prefix(&sdk)?.to_string_lossy();
        writeln!(list, "    ({name:?}, include_str!({path:?})),")?;
    }
    fs::write(out.join("sdk.rs"), list + "];\n")?;
    Ok(())
}

/// All files of a folder and of those in it.
fn files_below(folder: &Path, files: &mut Vec<PathBuf>) -> Result<(), Box<dyn Error>> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            files_below(&path, files)?;
        } else {
            files.push(path);
        }
    }
    Ok(())
}

/// Builds the plugins and returns the directory that holds them.
fn build(out: &Path) -> Result<PathBuf, Box<dyn Error>> {
    let agent = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?);
    let root = agent.parent().ok_or("the agent has no parent directory")?;
    rerun_if_changed(root);
    check_target()?;

    // OUT_DIR is <target>/<profile>/build/<package>/out.
    let target_dir = out.ancestors().nth(4).ok_or("OUT_DIR is too short")?.join("bundled-plugins");
    let mut cargo = Command::new(env::var("CARGO")?);
    cargo
        .args(["build", "--quiet", "--release", "--locked", "--target", TARGET])
        .arg("--manifest-path")
        .arg(root.join("plugins/Cargo.toml"))
        .arg("--target-dir")
        .arg(&target_dir);
    for (name, _) in env::vars_os().filter(|(name, _)| !is_inherited(&name.to_string_lossy())) {
        cargo.env_remove(name);
    }
    // Empty, not absent: so it also takes the place of the flags in a configuration file, which are for the host.
    cargo.env("CARGO_ENCODED_RUSTFLAGS", "");
    let output = cargo.output()?;
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr);
        for line in stderr.lines() {
            println!("cargo::error={line}");
        }
        return Err(format!("the build ended with {}", output.status).into());
    }
    Ok(target_dir.join(TARGET).join("release"))
}

/// What the plugins are made of; never a directory that holds a target directory.
fn rerun_if_changed(root: &Path) {
    let shared = ["Cargo.toml", "plugins/Cargo.toml", "plugins/Cargo.lock", "sdk/Cargo.toml", "sdk/src"];
    let own = PLUGINS.iter().flat_map(|plugin| {
        ["Cargo.toml", "config.schema.json", "src"].map(|path| format!("plugins/{plugin}/{path}"))
    });
    for path in shared.map(String::from).into_iter().chain(own) {
        println!("cargo::rerun-if-changed={}", root.join(path).display());
    }
}

/// Says what to install; the compiler itself would only miss the crate `core`.
fn check_target() -> Result<(), Box<dyn Error>> {
    let rustc = env::var("RUSTC")?;
    let output = Command::new(rustc).args(["--print", "target-libdir", "--target", TARGET]).output()?;
    let directory = PathBuf::from(String::from_utf8(output.stdout)?.trim());
    if output.status.success() && directory.is_dir() {
        return Ok(());
    }
    Err(format!("the target {TARGET} is not installed, run: rustup target add {TARGET}").into())
}

/// Whether the plugins' build may see this variable of ours. This cargo's own are about the binary: flags for its
/// target, its profile, its target directory, its features, its job server (whose tokens we hold no claim to).
/// `RUSTC` stays, so that the compiler is the one that was asked for the target.
fn is_inherited(name: &str) -> bool {
    const CARGO_PREFIXES: [&str; 4] = ["CARGO_HTTP_", "CARGO_NET_", "CARGO_REGISTRIES_", "CARGO_SOURCE_"];
    const BUILD: [&str; 8] =
        ["RUSTFLAGS", "RUSTDOCFLAGS", "RUSTDOC", "MAKEFLAGS", "MFLAGS", "MAKELEVEL", "PROFILE", "TARGET"];
    if name.starts_with("CARGO") {
        return name == "CARGO_HOME" || CARGO_PREFIXES.iter().any(|prefix| name.starts_with(prefix));
    }
    !BUILD.contains(&name) && !name.starts_with("RUSTC_") && !name.starts_with("DEP_")
}
