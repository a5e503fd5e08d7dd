//! Folders with an OCI image layout, as tools of registries leave them.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// The type of the config of an artifact with a component.
pub const WASM_CONFIG: &str = "application/vnd.wasm.config.v0+json";

/// Makes the folder, with one manifest whose config has this type and whose layers are these.
pub fn make(folder: &Path, config: &str, layers: &[(&str, &[u8])]) {
    fs::create_dir_all(folder.join("blobs/sha256")).unwrap();
    let layers: Vec<_> = layers.iter().map(|(kind, bytes)| blob(folder, kind, bytes)).collect();
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": blob(folder, config, br#"{"architecture":"wasm","os":"wasip2"}"#),
        "layers": layers,
    });
    let manifest =
        blob(folder, "application/vnd.oci.image.manifest.v1+json", manifest.to_string().as_bytes());
    fs::write(folder.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
    index(folder, &[manifest]);
}

/// Writes the index anew, with these manifests.
pub fn index(folder: &Path, manifests: &[Value]) {
    let index = json!({ "schemaVersion": 2, "manifests": manifests });
    fs::write(folder.join("index.json"), index.to_string()).unwrap();
}

/// The manifests in the index.
pub fn manifests(folder: &Path) -> Vec<Value> {
    let index: Value = serde_json::from_slice(&fs::read(folder.join("index.json")).unwrap()).unwrap();
    index["manifests"].as_array().unwrap().clone()
}

/// Writes a blob, and gives its descriptor.
fn blob(folder: &Path, kind: &str, bytes: &[u8]) -> Value {
    let digest = sha256(bytes);
    fs::write(folder.join("blobs/sha256").join(&digest), bytes).unwrap();
    json!({ "mediaType": kind, "digest": format!("sha256:{digest}"), "size": bytes.len() })
}

/// As `sha256sum` shows it.
pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}
