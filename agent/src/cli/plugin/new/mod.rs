//! `lictor plugin new`: a project to begin with.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use clap::{Args, ValueEnum};

use crate::cli::plugin::sdk;
use crate::cli::records::say;

/// A file of the project, and its text.
type File = (&'static str, &'static str);

const RUST: &[File] = &[
    ("Cargo.toml", include_str!("rust/Cargo.toml.txt")),
    ("src/lib.rs", include_str!("rust/lib.rs.txt")),
    ("config.schema.json", include_str!("rust/config.schema.json")),
    ("README.md", include_str!("rust/README.md")),
];

const PYTHON: &[File] = &[
    ("plugin.py", include_str!("python/plugin.py")),
    ("README.md", include_str!("python/README.md")),
    ("wit/plugin.wit", CONTRACT),
];

const JAVASCRIPT: &[File] = &[
    ("plugin.js", include_str!("javascript/plugin.js")),
    ("package.json", include_str!("javascript/package.json")),
    ("README.md", include_str!("javascript/README.md")),
    ("wit/plugin.wit", CONTRACT),
];

/// Where a project has its copy of the SDK.
const SDK_FOLDER: &str = "lictor-sdk";

/// Letters of a name.
const NAME_MAX: usize = 64;

/// In any language.
const COMMON: &[File] = &[
    ("tests/critical.toml", include_str!("critical.toml")),
    (".gitignore", "/target\n/node_modules\n__pycache__/\n"),
];

/// What other languages make their bindings of; in Rust the SDK has them.
const CONTRACT: &str = include_str!("../../../../../sdk/wit/plugin.wit");

/// What to make.
#[derive(Args)]
pub(in crate::cli) struct NewArgs {
    /// The plugin, and the folder that is made for it: small letters, digits, `-`.
    name: String,
    /// The language.
    #[arg(long, value_enum, default_value = "rust")]
    lang: Lang,
    /// The folder of the SDK to build with; without it the project gets a copy of the one of this version.
    #[arg(long, value_name = "PATH")]
    sdk: Option<PathBuf>,
}

/// A language that plugins can be made in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Lang {
    /// With cargo alone.
    Rust,
    /// With componentize-py.
    Python,
    /// With jco.
    Javascript,
}

pub(super) fn new(args: &NewArgs) -> Result<()> {
    let NewArgs { name, lang, sdk: given } = args;
    check_name(name)?;
    if *lang != Lang::Rust && given.is_some() {
        bail!("use --sdk: only plugins in Rust are built with the SDK");
    }
    let carried = *lang == Lang::Rust && given.is_none();
    let dependency = given.as_deref().map_or_else(|| Ok(format!("path = {SDK_FOLDER:?}")), path_of)?;
    let files = match lang {
        Lang::Rust => RUST,
        Lang::Python => PYTHON,
        Lang::Javascript => JAVASCRIPT,
    };
    let folder = Path::new(name);
    ensure!(
        !folder.exists(),
        "make the folder {name}: it is there already; write another name, or move it away"
    );
    fs::create_dir(folder).with_context(|| format!("make the folder {name}"))?;
    for (file, text) in files.iter().chain(COMMON) {
        let path = folder.join(file);
        let text = text.replace("@NAME@", name).replace("@FILE@", &name.replace('-', "_"));
        write(&path, &text.replace("@SDK@", &dependency))?;
    }
    if carried {
        let folder = folder.join(SDK_FOLDER);
        write(&folder.join("Cargo.toml"), &sdk_manifest())?;
        for (file, text) in sdk::FILES {
            write(&folder.join(file), text)?;
        }
    }
    say(&format!("Made {name}/. What to run next is in {name}/README.md.\n"))
}

fn write(path: &Path, text: &str) -> Result<()> {
    let made = path.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| fs::write(path, text));
    made.with_context(|| format!("write {}", path.display()))
}

/// The SDK's manifest without what it has from its workspace, and without what its own tests need.
fn sdk_manifest() -> String {
    let manifest = include_str!("../../../../../sdk/Cargo.toml");
    let own = [
        ("version.workspace = true", concat!("version = \"", env!("CARGO_PKG_VERSION"), "\"")),
        ("edition.workspace = true", "edition = \"2024\""),
        ("rust-version.workspace = true", concat!("rust-version = \"", env!("CARGO_PKG_RUST_VERSION"), "\"")),
        ("license.workspace = true", concat!("license = \"", env!("CARGO_PKG_LICENSE"), "\"")),
        ("publish.workspace = true", "publish = false"),
        ("serde.workspace = true", "serde = { version = \"1\", features = [\"derive\"] }"),
        ("serde_json.workspace = true", "serde_json = { version = \"1\", features = [\"raw_value\"] }"),
    ];
    let mut kept = true;
    let mut text = String::new();
    for line in manifest.lines() {
        // Those of its tests are between the two comments.
        kept =
            (kept || line.starts_with("# The workspace's lints")) && !line.starts_with("# Only for `tests/");
        if kept {
            let written = own.iter().find(|(inherited, _)| *inherited == line).map_or(line, |(_, own)| own);
            text.push_str(written);
            text.push('\n');
        }
    }
    text
}

/// Names that cargo, Rust, Lictor or the project's own dependencies have.
const TAKEN: &[&str] = &[
    "abstract",
    "alloc",
    "as",
    "async",
    "await",
    "become",
    "box",
    "break",
    "build",
    "const",
    "continue",
    "core",
    "crate",
    "deps",
    "do",
    "dyn",
    "else",
    "email",
    "enum",
    "examples",
    "extern",
    "false",
    "file",
    "final",
    "fn",
    "for",
    "gen",
    "if",
    "impl",
    "in",
    "incremental",
    "let",
    "lictor-sdk",
    "loop",
    "macro",
    "match",
    "mod",
    "move",
    "mut",
    "override",
    "priv",
    "proc-macro",
    "pub",
    "ref",
    "return",
    "self",
    "serde",
    "serde-json",
    "shell",
    "static",
    "std",
    "struct",
    "super",
    "test",
    "trait",
    "true",
    "try",
    "type",
    "typeof",
    "unsafe",
    "unsized",
    "use",
    "virtual",
    "webhook",
    "where",
    "while",
    "yield",
];

/// What cargo takes for a package, and Lictor for no plugin that it carries.
fn check_name(name: &str) -> Result<()> {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let begins = name.starts_with(|c: char| c.is_ascii_lowercase());
    ensure!(
        begins && name.chars().all(fits) && !name.ends_with('-') && !name.contains("--"),
        "name the plugin {name:?}: write small letters, digits and single `-`, beginning with a letter"
    );
    ensure!(
        !TAKEN.contains(&name),
        "name the plugin {name:?}: that is taken by Rust, by what the project needs, or by a plugin that Lictor carries"
    );
    ensure!(name.len() <= NAME_MAX, "name the plugin {name:?}: write at most {NAME_MAX} letters");
    Ok(())
}

/// The dependency on the SDK in this folder.
fn path_of(folder: &Path) -> Result<String> {
    let shown = folder.display();
    let path = folder.canonicalize().with_context(|| format!("find the SDK in {shown}"))?;
    let manifest = fs::read_to_string(path.join("Cargo.toml"));
    let manifest = manifest.with_context(|| format!("read the Cargo.toml of the SDK in {shown}"))?;
    let manifest: toml::Table =
        toml::from_str(&manifest).with_context(|| format!("read the SDK in {shown}"))?;
    let name = manifest.get("package").and_then(|package| package.get("name")?.as_str());
    if name != Some("lictor-sdk") {
        bail!("use {shown} as the SDK: its package is not lictor-sdk");
    }
    let path = path.to_str().with_context(|| format!("write down the path {shown}: it is no text"))?;
    // JSON's texts are TOML's too.
    Ok(format!("path = {}", serde_json::Value::from(path)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_that_of_a_package() {
        for name in ["chat", "my-chat", "a1-2b"] {
            check_name(name).unwrap();
        }
        for name in ["", "Chat", "1a", "-a", "a-", "a--b", "a_b", "a/b", "ä", ".."] {
            assert!(check_name(name).unwrap_err().to_string().contains("small letters"), "{name}");
        }
        for name in TAKEN {
            assert!(check_name(name).unwrap_err().to_string().contains("taken"), "{name}");
        }
        assert!(check_name(&"a".repeat(NAME_MAX + 1)).is_err());
    }

    #[test]
    fn the_sdk_of_a_project_is_the_one_of_this_workspace_and_needs_nothing_of_it() {
        let manifest = sdk_manifest();
        let _: toml::Table = toml::from_str(&manifest).unwrap();
        assert!(!manifest.contains("workspace =") && !manifest.contains("dev-dependencies"), "{manifest}");
        let all: toml::Table = toml::from_str(include_str!("../../../../../Cargo.toml")).unwrap();
        let ours: toml::Table = toml::from_str(&manifest).unwrap();
        for name in ["serde", "serde_json"] {
            let shared = &all["workspace"]["dependencies"][name];
            let features = |of: &toml::Value| of.get("features").cloned();
            let version = |of: &toml::Value| of.get("version").unwrap_or(of).clone();
            let own = &ours["dependencies"][name];
            assert_eq!(version(own), version(shared), "{name}");
            // The workspace has one feature more, for the agent alone.
            assert_eq!(features(own).is_some(), features(shared).is_some(), "{name}");
        }
        assert!(sdk::file("src/lib.rs").is_some() && sdk::file("wit/plugin.wit").is_some());
    }
}
