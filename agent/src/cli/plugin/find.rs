//! From what a person names to a component: a file, a project's folder, or a plugin that Lictor carries.

use std::borrow::Cow;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use crate::bundled;
use crate::config::BUNDLED;
use crate::{oci, regular};

/// Where cargo leaves what it builds for plugins, below its target folder.
const BUILT: &str = "wasm32-wasip2/release";

/// A component that was found.
pub(super) struct Found {
    /// What to call it.
    pub(super) shown: String,
    pub(super) wasm: Cow<'static, [u8]>,
    pub(super) sha256: Cow<'static, str>,
    /// Lictor carries it.
    pub(super) carried: bool,
}

/// Finds the component that `name` names.
pub(super) fn find(name: &str) -> Result<Found> {
    if let Some(plugin) = bundled::get(name) {
        let (wasm, sha256) = (Cow::Borrowed(plugin.wasm), Cow::Borrowed(plugin.sha256));
        return Ok(Found { shown: format!("the plugin {name}"), wasm, sha256, carried: true });
    }
    let path = Path::new(name);
    if path.is_dir() && !oci::is_layout(path) {
        return file(&component(path)?);
    }
    if !path.exists() && !name.contains(['/', '.']) {
        bail!(
            "find the plugin {name}: Lictor carries {}, and no file or folder has this name",
            BUNDLED.join(", ")
        );
    }
    file(path)
}

/// Reads a component, from a file or from a folder with an OCI image layout.
pub(super) fn file(path: &Path) -> Result<Found> {
    let shown = path.display().to_string();
    let wasm = if path.is_dir() {
        oci::component(path)?
    } else {
        regular::whole(path, lictor_host::COMPONENT_MAX as u64).with_context(|| format!("read {shown}"))?
    };
    let sha256 = Cow::Owned(lictor_host::digest(&wasm));
    Ok(Found { shown, wasm: Cow::Owned(wasm), sha256, carried: false })
}

/// The component of the project in this folder: what cargo built, else the only one in it or in its `target`.
fn component(folder: &Path) -> Result<PathBuf> {
    let path = if folder.join("Cargo.toml").exists() { cargos(folder)? } else { only_one(folder)? };
    let path = path.canonicalize().with_context(|| format!("look at {}", path.display()))?;
    if is_older(&path, folder)? {
        tracing::warn!(path = %path.display(), "The component is older than its sources: build it anew.");
    }
    Ok(path)
}

fn only_one(folder: &Path) -> Result<PathBuf> {
    let (shown, target) = (folder.display(), folder.join("target"));
    let mut built = wasm(folder)?;
    if built.is_empty() && target.is_dir() {
        built = wasm(&target)?;
    }
    match <[PathBuf; 1]>::try_from(built) {
        Ok([path]) => Ok(path),
        Err(built) if built.is_empty() => {
            bail!("find the component of {shown}: there is no .wasm file in it or its target; build it first")
        }
        Err(built) => bail!("find the component of {shown}: it has {} .wasm files; name one", built.len()),
    }
}

/// What we need of `cargo metadata`.
#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    target_directory: PathBuf,
}

#[derive(Deserialize)]
struct Package {
    manifest_path: PathBuf,
    targets: Vec<Target>,
}

#[derive(Deserialize)]
struct Target {
    name: String,
    crate_types: Vec<String>,
}

/// Where cargo builds the component of the package in this folder; cargo knows of workspaces, names and settings.
fn cargos(folder: &Path) -> Result<PathBuf> {
    let shown = folder.display();
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--no-deps", "--format-version", "1"])
        .current_dir(folder)
        .output()
        .with_context(|| format!("ask cargo about {shown} (without cargo, name the .wasm file instead)"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("find the component of {shown}: cargo says: {}", said.trim());
    }
    let metadata: Metadata =
        serde_json::from_slice(&output.stdout).context("read what cargo metadata says")?;
    let manifest = folder.join("Cargo.toml").canonicalize().with_context(|| format!("look at {shown}"))?;
    let own = metadata.packages.iter().find(|package| package.manifest_path == manifest);
    let mut targets = own.into_iter().flat_map(|package| &package.targets);
    let Some(target) = targets.find(|target| target.crate_types.iter().any(|kind| kind == "cdylib")) else {
        bail!(
            "find the component of {shown}: its Cargo.toml has no [lib] with crate-type = [\"cdylib\"], which makes one"
        );
    };
    let path = metadata.target_directory.join(BUILT).join(format!("{}.wasm", target.name.replace('-', "_")));
    if !path.exists() {
        bail!(
            "find the component of {shown}: there is no {}; build it first, with cargo build --release --target \
             wasm32-wasip2",
            path.display()
        );
    }
    Ok(path)
}

/// The components in a folder.
fn wasm(folder: &Path) -> Result<Vec<PathBuf>> {
    let is_wasm = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "wasm");
    Ok(files(folder)?.into_iter().filter(is_wasm).collect())
}

/// Whether a file of the project was written after the component.
fn is_older(component: &Path, project: &Path) -> Result<bool> {
    let written = |path: &Path| fs::metadata(path).and_then(|found| found.modified()).ok();
    let manifest = project.join("Cargo.toml");
    let mut sources = Vec::new();
    match fs::read_to_string(component.with_extension("d")) {
        Ok(rule) if manifest.exists() => {
            sources.extend(needed(&rule));
            sources.push(manifest);
        }
        _ => sources_below(project, &mut sources)?,
    }
    let newest = sources.iter().filter_map(|path| written(path)).max();
    Ok(newest.zip(written(component)).is_some_and(|(source, component)| source > component))
}

/// What a component was built of, as cargo writes it beside that: a rule of `make`.
fn needed(rule: &str) -> Vec<PathBuf> {
    let (_, files) = rule.trim_end().split_once(": ").unwrap_or_default();
    // A space within a name has a backslash before it.
    let files = files.replace("\\ ", "\0");
    files.split(' ').map(|file| file.replace('\0', " ").into()).collect()
}

/// What a project is built of where nobody has noted it: all its files but those that tools write, that tests read (an event
/// that somebody kept beside them is JSON, too), and text for people.
fn sources_below(folder: &Path, sources: &mut Vec<PathBuf>) -> Result<()> {
    for path in entries(folder)? {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let is_of_tools =
            name.starts_with(['.', '_']) || ["target", "node_modules", "tests"].contains(&&*name);
        let ends_in =
            |ends: &[&str]| path.extension().is_some_and(|found| ends.iter().any(|end| found == *end));
        let is_event = ends_in(&["json"]) && !name.starts_with("package");
        if path.is_dir() && !path.is_symlink() && !is_of_tools {
            sources_below(&path, sources)?;
        } else if path.is_file() && !is_of_tools && !is_event && !ends_in(&["md", "wasm"]) {
            sources.push(path);
        }
    }
    Ok(())
}

/// The files of a folder, by name.
pub(super) fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = entries(folder)?;
    found.retain(|path| path.is_file());
    found.sort();
    Ok(found)
}

/// What is in a folder.
fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let read = || -> std::io::Result<Vec<PathBuf>> {
        fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect()
    };
    read().with_context(|| format!("read the folder {}", folder.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_component_is_older_than_what_it_was_built_of_and_than_nothing_else() {
        let project = tempfile::tempdir().unwrap();
        let at = |name: &str| project.path().join(name);
        let write = |name: &str, text: &str, seconds: u64| {
            fs::write(at(name), text).unwrap();
            let file = fs::File::options().append(true).open(at(name)).unwrap();
            file.set_modified(std::time::UNIX_EPOCH + std::time::Duration::from_secs(seconds)).unwrap();
        };
        let of = |rule: &str| rule.replace('@', &project.path().to_string_lossy());
        write("Cargo.toml", "", 1);
        write("a b.rs", "", 1);
        write("p.wasm", "", 2);
        write("p.d", &of("@/p.wasm: @/a\\ b.rs\n"), 2);
        write("event.json", "{}", 3);
        let older = || is_older(&at("p.wasm"), project.path()).unwrap();
        assert!(!older(), "nothing is built of the event");
        for source in ["a b.rs", "Cargo.toml"] {
            write(source, "", 3);
            assert!(older(), "{source}");
            write(source, "", 1);
        }
        fs::remove_file(at("p.d")).unwrap();
        assert!(!older(), "nor is it where nobody has noted of what it is built");
        for source in ["plugin.py", "package.json"] {
            write(source, "", 3);
            assert!(older(), "{source}");
            write(source, "", 1);
        }
    }
}
