//! Finds the component in a folder with an OCI image layout, as tools leave one that copy from a registry.
//!
//! What such a folder and an artifact with a component look like is said in OCI's image specification and in the CNCF's
//! "Wasm OCI artifact layout".
//!
//! Boundary: reads files. Whether what it finds is a plugin is for others to say.
//!
//! Invariant: what is handed out has the size and the digest that its manifest names, and the manifest those that the
//! index names.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};

use crate::regular;

/// The one version of the layout that there is.
const VERSION: &str = "1.0.0";

/// What says that a manifest is about WebAssembly.
const CONFIG: &str = "application/vnd.wasm.config.v0+json";

/// The config of an artifact that has none, as tools push one that are not told of another.
const EMPTY: &str = "application/vnd.oci.empty.v1+json";

/// What names several manifests.
const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// The layer that is the component.
const LAYER: &str = "application/wasm";

/// Where a tag is written in an index.
const TAG: &str = "org.opencontainers.image.ref.name";

/// Bytes of an index or a manifest, which registries do not take larger either.
const JSON_MAX: u64 = 4 << 20;

/// Bytes of a component that are read: no plugin may be larger.
const LAYER_MAX: u64 = 32 << 20;

/// Why there is no component. The message fits after "failed to".
#[derive(Debug, thiserror::Error)]
pub enum LayoutError {
    /// The folder is another one.
    #[error("find an OCI image layout in {}: there is no file `oci-layout` in it", .0.display())]
    NoLayout(PathBuf),
    /// A part of it cannot be read.
    #[error("read {}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A part of it is not what the specification says.
    #[error("read {}", path.display())]
    Json {
        /// Which.
        path: PathBuf,
        /// What is wrong.
        source: serde_json::Error,
    },
    /// It is of a later version.
    #[error("read an OCI image layout of version {0}: Lictor knows {VERSION}")]
    Version(String),
    /// It is not said which one is meant.
    #[error("choose a manifest in {}: it has {}; copy the one that you want into a folder of its own", path.display(),
        if tags.is_empty() { "none".to_owned() } else { tags.join(", ") })]
    Manifests {
        /// The index.
        path: PathBuf,
        /// What there is to choose from, by tag or digest.
        tags: Vec<String>,
    },
    /// It names others.
    #[error("find a component in {}: it is an index of several; copy the one that you want into a folder of its own", .0.display())]
    Index(PathBuf),
    /// It is something else, such as a container image.
    #[error("find a component in {}: its config is of type {found:?}, that of a component is {CONFIG:?} or {EMPTY:?}",
        path.display())]
    NotWasm {
        /// The manifest.
        path: PathBuf,
        /// The type of its config.
        found: String,
    },
    /// It has no component, or several.
    #[error("find the component of {}: it has {count} layers of type {LAYER:?}, and should have one", path.display())]
    Layers {
        /// The manifest.
        path: PathBuf,
        /// How many.
        count: usize,
    },
    /// Its digest cannot be checked.
    #[error("check the digest {0:?}: Lictor knows `sha256:` and 64 lowercase hexadecimal digits")]
    Digest(String),
    /// It was changed, or is not whole.
    #[error("trust {}: it has {found}, and should have {wanted}", path.display())]
    Mismatch {
        /// The blob.
        path: PathBuf,
        /// Its size or its digest.
        found: String,
        /// What its descriptor says.
        wanted: String,
    },
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Layout {
    image_layout_version: String,
}

#[derive(Deserialize)]
struct Index {
    #[serde(default)]
    manifests: Vec<Descriptor>,
}

#[derive(Deserialize)]
struct Manifest {
    config: Option<Descriptor>,
    #[serde(default)]
    layers: Vec<Descriptor>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor {
    #[serde(default)]
    media_type: String,
    digest: String,
    size: u64,
    #[serde(default)]
    annotations: std::collections::BTreeMap<String, String>,
}

/// Does the folder say that it is one?
pub fn is_layout(folder: &Path) -> bool {
    folder.join("oci-layout").is_file()
}

/// The bytes of the only component in the folder.
///
/// # Errors
/// There is none, or it is not what its manifest says.
pub fn component(folder: &Path) -> Result<Vec<u8>, LayoutError> {
    if !is_layout(folder) {
        return Err(LayoutError::NoLayout(folder.to_owned()));
    }
    let layout: Layout = parse(&folder.join("oci-layout"))?;
    if layout.image_layout_version != VERSION {
        return Err(LayoutError::Version(layout.image_layout_version));
    }
    let path = folder.join("index.json");
    let Index { mut manifests } = parse(&path)?;
    // One may have several tags.
    let mut seen = BTreeSet::new();
    manifests.retain(|manifest| seen.insert(manifest.digest.clone()));
    let [manifest] = manifests.as_slice() else {
        let tag = |manifest: &Descriptor| manifest.annotations.get(TAG).unwrap_or(&manifest.digest).clone();
        return Err(LayoutError::Manifests { path, tags: manifests.iter().map(tag).collect() });
    };
    let (path, bytes) = manifest.blob(folder, JSON_MAX)?;
    if manifest.media_type == INDEX {
        return Err(LayoutError::Index(path));
    }
    let Manifest { config, layers } =
        serde_json::from_slice(&bytes).map_err(|source| LayoutError::Json { path: path.clone(), source })?;
    let found = config.map(|config| config.media_type).unwrap_or_default();
    if found != CONFIG && found != EMPTY {
        return Err(LayoutError::NotWasm { path, found });
    }
    let components: Vec<_> = layers.iter().filter(|layer| layer.media_type == LAYER).collect();
    let [component] = components.as_slice() else {
        return Err(LayoutError::Layers { path, count: components.len() });
    };
    Ok(component.blob(folder, LAYER_MAX)?.1)
}

impl Descriptor {
    /// What it describes, and where that is.
    fn blob(&self, folder: &Path, max: u64) -> Result<(PathBuf, Vec<u8>), LayoutError> {
        let hex = self.digest.strip_prefix("sha256:").filter(|hex| {
            hex.len() == 64 && hex.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
        });
        // Only such a name is looked up, so that no digest leads out of the folder.
        let hex = hex.ok_or_else(|| LayoutError::Digest(self.digest.clone()))?;
        let path = folder.join("blobs/sha256").join(hex);
        let mismatch = |found, wanted| LayoutError::Mismatch { path: path.clone(), found, wanted };
        if self.size > max {
            return Err(mismatch(format!("{} bytes", self.size), format!("at most {max}")));
        }
        let bytes = read(&path, self.size)?;
        if bytes.len() as u64 != self.size {
            let size = fs::metadata(&path).map_or(bytes.len() as u64, |found| found.len());
            return Err(mismatch(format!("{size} bytes"), self.size.to_string()));
        }
        let digest = digest(&bytes);
        if digest != self.digest {
            return Err(mismatch(format!("the digest {digest}"), self.digest.clone()));
        }
        Ok((path, bytes))
    }
}

/// As a descriptor has it.
fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold("sha256:".to_owned(), |mut text, byte| {
        let digit = |half: u8| char::from_digit(half.into(), 16).unwrap_or('?');
        text.extend([byte >> 4, byte & 0xf].map(digit));
        text
    })
}

fn parse<T: DeserializeOwned>(path: &Path) -> Result<T, LayoutError> {
    let bytes = read(path, JSON_MAX)?;
    serde_json::from_slice(&bytes).map_err(|source| LayoutError::Json { path: path.to_owned(), source })
}

fn read(path: &Path, max: u64) -> Result<Vec<u8>, LayoutError> {
    regular::read(path, max).map_err(|source| LayoutError::Read { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const WASM: &[u8] = b"\0asm\x0d\0\x01\0";

    /// A folder with these blobs, and an index that a function makes of their descriptors.
    fn layout(blobs: &[(&str, &[u8])], manifest: impl Fn(&[Value]) -> Value) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("blobs/sha256")).unwrap();
        let keep = |kind: &str, bytes: &[u8]| {
            let digest = digest(bytes);
            fs::write(dir.path().join("blobs").join(digest.replace(':', "/")), bytes).unwrap();
            json!({ "mediaType": kind, "digest": digest, "size": bytes.len() })
        };
        let descriptors: Vec<_> = blobs.iter().map(|(kind, bytes)| keep(kind, bytes)).collect();
        let manifest = manifest(&descriptors).to_string();
        let manifest = keep("application/vnd.oci.image.manifest.v1+json", manifest.as_bytes());
        let index = json!({ "schemaVersion": 2, "manifests": [manifest] });
        fs::write(dir.path().join("index.json"), index.to_string()).unwrap();
        fs::write(dir.path().join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
        dir
    }

    fn wasm() -> tempfile::TempDir {
        layout(
            &[(CONFIG, b"{}"), (LAYER, WASM), ("text/plain", b"x")],
            |blobs| json!({ "schemaVersion": 2, "config": blobs[0], "layers": [blobs[2], blobs[1]] }),
        )
    }

    #[track_caller]
    fn check(dir: &tempfile::TempDir, want: &str) {
        let error = component(dir.path()).unwrap_err();
        let text = crate::chain::chain(&error).replace(dir.path().to_str().unwrap(), "DIR");
        assert!(text.contains(want), "{text}");
    }

    /// Has a part of the index be another.
    fn change(dir: &tempfile::TempDir, change: impl Fn(&mut Value)) {
        let path = dir.path().join("index.json");
        let mut index = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        change(&mut index);
        fs::write(path, index.to_string()).unwrap();
    }

    #[test]
    fn the_component_is_the_only_layer_of_its_type() {
        assert_eq!(component(wasm().path()).unwrap(), WASM);
        let plain = layout(
            &[(EMPTY, b"{}"), (LAYER, WASM)],
            |blobs| json!({ "config": blobs[0], "layers": [blobs[1]] }),
        );
        assert_eq!(component(plain.path()).unwrap(), WASM);
        let tagged = wasm();
        change(&tagged, |index| {
            let mut other = index["manifests"][0].clone();
            other["annotations"] = json!({ TAG: "latest" });
            index["manifests"].as_array_mut().unwrap().push(other);
        });
        assert_eq!(component(tagged.path()).unwrap(), WASM, "it is one");
    }

    #[test]
    fn what_is_not_there_or_too_often_is_told() {
        let dir = wasm();
        fs::remove_file(dir.path().join("oci-layout")).unwrap();
        check(&dir, "find an OCI image layout in DIR: there is no file `oci-layout` in it");

        let dir = wasm();
        fs::write(dir.path().join("oci-layout"), r#"{"imageLayoutVersion":"2.0.0"}"#).unwrap();
        check(&dir, "read an OCI image layout of version 2.0.0: Lictor knows 1.0.0");
        fs::write(dir.path().join("oci-layout"), "x").unwrap();
        check(&dir, "read DIR/oci-layout: expected value");

        let dir = wasm();
        change(&dir, |index| index["manifests"] = json!([]));
        check(&dir, "choose a manifest in DIR/index.json: it has none;");

        let dir = wasm();
        change(&dir, |index| {
            let mut other = index["manifests"][0].clone();
            other["annotations"] = json!({ TAG: "1.2.0" });
            other["digest"] = "sha256:ff".into();
            index["manifests"].as_array_mut().unwrap().push(other);
        });
        check(&dir, ", 1.2.0; copy the one that you want into a folder of its own");

        let dir = wasm();
        change(&dir, |index| index["manifests"][0]["mediaType"] = INDEX.into());
        check(&dir, "it is an index of several; copy the one that you want into a folder of its own");

        let image = layout(
            &[("application/vnd.oci.image.config.v1+json", b"{}")],
            |blobs| json!({ "config": blobs[0], "layers": [] }),
        );
        check(&image, r#"its config is of type "application/vnd.oci.image.config.v1+json""#);
        for count in [0, 2] {
            let dir = layout(
                &[(CONFIG, b"{}"), (LAYER, WASM)],
                |blobs| json!({ "config": blobs[0], "layers": vec![&blobs[1]; count] }),
            );
            check(&dir, &format!("it has {count} layers of type"));
        }
    }

    #[test]
    fn what_was_changed_is_not_trusted() {
        let blob = |dir: &tempfile::TempDir, wanted: &[u8]| {
            let blobs = fs::read_dir(dir.path().join("blobs/sha256")).unwrap();
            blobs.map(|blob| blob.unwrap().path()).find(|path| fs::read(path).unwrap() == wanted).unwrap()
        };
        let dir = wasm();
        fs::write(blob(&dir, WASM), b"\0asm\x0d\0\x01\x01").unwrap();
        check(&dir, "it has the digest sha256:");
        let dir = wasm();
        fs::write(blob(&dir, WASM), b"\0asm\x0d\0\x01").unwrap();
        check(&dir, "it has 7 bytes, and should have 8");
        let dir = wasm();
        fs::remove_file(blob(&dir, WASM)).unwrap();
        check(&dir, "No such file");
        // The manifest is checked too.
        let dir = wasm();
        change(&dir, |index| index["manifests"][0]["size"] = 3.into());
        check(&dir, "and should have 3");
        for digest in ["sha256:../../oci-layout", "sha512:00", "x"] {
            let dir = wasm();
            change(&dir, |index| index["manifests"][0]["digest"] = digest.into());
            check(&dir, &format!("check the digest {digest:?}"));
        }
    }
}
