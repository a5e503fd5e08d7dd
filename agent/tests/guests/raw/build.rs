//! The linker gives a table its final size, unless it is told that it grows.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-link-arg-cdylib=--growable-table");
}
