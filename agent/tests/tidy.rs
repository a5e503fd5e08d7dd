//! The rules of `ARCHITECTURE.md` that a compiler does not hold.

#![expect(clippy::unwrap_used, reason = "a test that cannot read the sources has failed")]

use std::fs;
use std::path::{Path, PathBuf};

/// The most lines of a source file, without its tests.
const LINES_MAX: usize = 400;

/// Module, and what of ours it may use; the last table of `ARCHITECTURE.md`.
const MAY_USE: [(&str, &[&str]); 14] = [
    ("admin", &["consul", "metrics"]),
    ("catalog", &[]),
    ("migrate", &[]),
    ("oci", &["regular"]),
    ("event", &["catalog"]),
    ("rules", &["catalog", "event"]),
    ("consul", &["catalog", "chain", "regular"]),
    ("source", &["catalog", "chain", "consul"]),
    ("store", &["catalog", "event"]),
    ("handover", &["store"]),
    ("pipeline", &["catalog", "chain", "event", "handover", "metrics", "rules", "source", "store"]),
    ("rehearsal", &["catalog", "event", "pipeline", "rules", "store"]),
    ("dispatch", &["handover", "metrics", "shutdown", "store"]),
    ("config", &["catalog", "chain", "event", "rules", "consul", "dispatch", "pipeline", "store"]),
];

/// Crates that do I/O; the pure modules name none of them.
const IO: [&str; 9] = [
    "tokio",
    "reqwest",
    "rusqlite",
    "rustix",
    "std::fs",
    "std::net",
    "std::process",
    "std::env",
    "lictor_host",
];

/// The modules that do no I/O.
const PURE: [&str; 5] = ["catalog", "event", "migrate", "rehearsal", "rules"];

fn sources() -> Vec<(PathBuf, String)> {
    fn walk(folder: &Path, found: &mut Vec<(PathBuf, String)>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() && path.file_name().unwrap() != "target" {
                walk(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                found.push((path, text));
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut found = Vec::new();
    for folder in ["agent", "sdk", "plugins", "examples"] {
        walk(&root.join(folder), &mut found);
    }
    assert!(found.len() > 40, "the sources were not found");
    found.into_iter().map(|(path, text)| (path.strip_prefix(root).unwrap().to_owned(), text)).collect()
}

/// The lines before the tests that are written in the same file.
fn before_tests(text: &str) -> &str {
    text.split_once("#[cfg(test)]\nmod tests {").map_or(text, |(before, _)| before)
}

/// The code of a file without its tests and comments.
fn code(text: &str) -> impl Iterator<Item = &str> {
    before_tests(text).lines().filter(|line| !line.trim_start().starts_with("//"))
}

/// The first folder or file below `agent/src`.
fn module(path: &Path) -> Option<String> {
    let inner = path.strip_prefix("agent/src").ok()?;
    Some(inner.components().next()?.as_os_str().to_str()?.trim_end_matches(".rs").to_owned())
}

fn is_test(path: &Path) -> bool {
    path.components().any(|part| part.as_os_str() == "tests" || part.as_os_str() == "tests.rs")
}

#[track_caller]
fn none(faults: &[String], rule: &str) {
    assert!(faults.is_empty(), "{rule}:\n{}", faults.join("\n"));
}

#[test]
fn every_file_begins_with_what_it_is_for() {
    let faults: Vec<_> = sources()
        .iter()
        .filter(|(path, text)| {
            !is_test(path) && !text.starts_with("//!") && !text.starts_with("// Generated")
        })
        .map(|(path, _)| path.display().to_string())
        .collect();
    none(&faults, "a file without a `//!` head");
}

#[test]
fn no_file_is_longer_than_one_subject() {
    let faults: Vec<_> = sources()
        .iter()
        .filter(|(path, text)| !is_test(path) && !text.starts_with("// Generated"))
        .map(|(path, text)| (path, before_tests(text).lines().count()))
        .filter(|(_, lines)| *lines > LINES_MAX)
        .map(|(path, lines)| format!("{}: {lines} lines", path.display()))
        .collect();
    none(&faults, "a file over the limit");
}

#[test]
fn modules_use_only_what_they_may() {
    let mut faults = Vec::new();
    for (path, text) in sources() {
        let Some(module) = module(&path) else { continue };
        let Some((_, allowed)) = MAY_USE.iter().find(|(name, _)| *name == module) else { continue };
        if is_test(&path) {
            continue;
        }
        for line in code(&text) {
            // Each name is then on the line of its own `crate::`, where this test looks.
            assert!(!line.contains("crate::{"), "{}: write one `use` for each module", path.display());
            for (at, _) in line.match_indices("crate::") {
                let used: String =
                    line[at + 7..].chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
                if used != module && !allowed.contains(&used.as_str()) {
                    faults.push(format!("{}: {module} uses {used}", path.display()));
                }
            }
        }
    }
    none(&faults, "an import that the table of ARCHITECTURE.md does not allow");
}

#[test]
fn pure_modules_name_nothing_that_does_io() {
    let mut faults = Vec::new();
    for (path, text) in sources() {
        let Some(module) = module(&path) else { continue };
        if !PURE.contains(&module.as_str()) || is_test(&path) {
            continue;
        }
        for line in code(&text) {
            for crate_name in IO.iter().chain(&["Timestamp::now", "SystemTime", "Instant"]) {
                if line.contains(crate_name) {
                    faults.push(format!("{}: {}", path.display(), line.trim()));
                }
            }
        }
    }
    none(&faults, "I/O or a clock in a pure module");
}

#[test]
fn the_table_is_the_one_of_the_documentation() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let text = fs::read_to_string(root.join("ARCHITECTURE.md")).unwrap();
    for (module, allowed) in MAY_USE.iter().filter(|(module, _)| *module != "config") {
        let row = text.lines().find(|line| line.starts_with(&format!("| `{module}` |"))).unwrap();
        let cell = row.split('|').nth(2).unwrap();
        for name in *allowed {
            assert!(
                cell.contains(&format!("`{name}`")),
                "{module} may use {name}, but ARCHITECTURE.md does not say so"
            );
        }
    }
}

/// The SDK uses nothing of the agent's, so the list stands in both.
#[test]
fn a_fake_host_takes_the_headers_that_lictor_does() {
    let sources = sources();
    for name in ["FRAMING_HEADERS", "FORBIDDEN_HEADERS"] {
        let list = |wanted: &str| {
            let (_, text) = sources.iter().find(|(path, _)| path == Path::new(wanted)).unwrap();
            let (_, rest) = text.split_once(&format!("const {name}: ")).unwrap();
            rest.split_once("];").unwrap().0.to_owned()
        };
        assert_eq!(list("sdk/src/testing/form.rs"), list("agent/capability/src/http/headers.rs"));
    }
}

#[test]
fn no_test_is_skipped() {
    // Written in two pieces, so that this file does not find itself.
    let skip = concat!("#[ign", "ore");
    let faults: Vec<_> = sources()
        .iter()
        .filter(|(_, text)| text.contains(skip))
        .map(|(path, _)| path.display().to_string())
        .collect();
    none(&faults, "a test that is skipped");
}
