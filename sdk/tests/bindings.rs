//! The committed bindings are what wit-bindgen makes of `wit/plugin.wit`.
//!
//! They are committed so that a plugin's build runs no generator: that makes it many times quicker.

#![expect(clippy::unwrap_used, reason = "helpers of a test")]

use std::path::Path;

use wit_bindgen_core::{Files, WorldGenerator, wit_parser::Resolve};
use wit_bindgen_rust::Opts;

/// Set it to write the bindings anew: `LICTOR_BLESS=1 cargo test -p lictor-sdk --test bindings`.
const BLESS: &str = "LICTOR_BLESS";

#[test]
fn the_committed_bindings_are_generated_from_the_wit() {
    let sdk = Path::new(env!("CARGO_MANIFEST_DIR"));
    let committed = sdk.join("src/bindings.rs");
    let generated = generate(&sdk.join("wit/plugin.wit"));
    if std::env::var_os(BLESS).is_some() {
        std::fs::write(&committed, &generated).unwrap();
    }
    let found = std::fs::read_to_string(&committed).unwrap();
    assert!(found == generated, "{} is stale: run this test with {BLESS}=1", committed.display());
}

fn generate(wit: &Path) -> String {
    let mut resolve = Resolve::default();
    let package = resolve.push_file(wit).unwrap();
    let world = resolve.select_world(&[package], Some("plugin")).unwrap();
    let options = Opts {
        format: true,
        pub_export_macro: true,
        export_macro_name: Some("__export_handler".into()),
        default_bindings_module: Some("$crate::bindings".into()),
        runtime_path: Some("::wit_bindgen::rt".into()),
        additional_derive_attributes: vec!["PartialEq".into()],
        ..Opts::default()
    };
    let mut files = Files::default();
    options.build().generate(&mut resolve, world, &mut files).unwrap();
    let (_, bindings) = files.iter().next().unwrap();
    String::from_utf8(bindings.to_vec()).unwrap()
}
