//! From what a person names to a component: a file, a project's folder, or a plugin that Lictor carries.

use std::borrow::Cow;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context, Result, bail};

use crate::bundled;
use crate::config::BUNDLED;
use crate::oci;

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
        fs::read(path).with_context(|| format!("read {shown}"))?
    };
    let sha256 = Cow::Owned(lictor_host::digest(&wasm));
    Ok(Found { shown, wasm: Cow::Owned(wasm), sha256, carried: false })
}

/// The component of the project in this folder: what cargo built, else the only one in it or in its `target`.
fn component(folder: &Path) -> Result<PathBuf> {
    let shown = folder.display();
    let manifest = folder.join("Cargo.toml");
    if !manifest.exists() {
        let target = folder.join("target");
        let mut built = wasm(folder)?;
        if built.is_empty() && target.is_dir() {
            built = wasm(&target)?;
        }
        return match <[PathBuf; 1]>::try_from(built) {
            Ok([path]) => Ok(path),
            Err(built) if built.is_empty() => {
                bail!(
                    "find the component of {shown}: there is no .wasm file in it or its target; build it first"
                )
            }
            Err(built) => {
                bail!("find the component of {shown}: it has {} .wasm files; name one", built.len())
            }
        };
    }
    let text = fs::read_to_string(&manifest).with_context(|| format!("read {}", manifest.display()))?;
    let manifest: toml::Table =
        toml::from_str(&text).with_context(|| format!("read {}", manifest.display()))?;
    let Some(package) = manifest.get("package").and_then(|package| package.get("name")?.as_str()) else {
        bail!("find the plugin in {shown}: its Cargo.toml has no [package] name");
    };
    let file = format!("{BUILT}/{}.wasm", package.replace('-', "_"));
    let Some(path) = targets(folder)?.into_iter().map(|target| target.join(&file)).find(|path| path.exists())
    else {
        bail!(
            "find the component of {shown}: build it first, with cargo build --release --target wasm32-wasip2"
        );
    };
    if is_older(&path, &folder.join("src"))? {
        tracing::warn!(path = %path.display(), "The component is older than its sources: build it anew.");
    }
    Ok(path)
}

/// Where cargo may have built: in the folder that it was told, else in that of the package or its workspace.
fn targets(folder: &Path) -> Result<Vec<PathBuf>> {
    let told: Option<OsString> = std::env::var_os("CARGO_TARGET_DIR");
    let folder = folder.canonicalize().with_context(|| format!("look at {}", folder.display()))?;
    let own = folder.ancestors().map(|folder| folder.join("target"));
    Ok(told.map(PathBuf::from).into_iter().chain(own).collect())
}

/// The components in a folder.
fn wasm(folder: &Path) -> Result<Vec<PathBuf>> {
    let is_wasm = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "wasm");
    Ok(files(folder)?.into_iter().filter(is_wasm).collect())
}

/// Whether a file of the folder was written after the component.
fn is_older(component: &Path, sources: &Path) -> Result<bool> {
    let written = |path: &Path| fs::metadata(path).and_then(|found| found.modified()).ok();
    let newest: Option<SystemTime> = files(sources)?.iter().filter_map(|path| written(path)).max();
    Ok(newest.zip(written(component)).is_some_and(|(source, component)| source > component))
}

/// The files of a folder, by name.
pub(super) fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let read = || -> std::io::Result<Vec<PathBuf>> {
        fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect()
    };
    let mut found = read().with_context(|| format!("read the folder {}", folder.display()))?;
    found.retain(|path| path.is_file());
    found.sort();
    Ok(found)
}
