//! The plugins that the binary carries. `build.rs` builds them and says where they come from.

/// Their names, in alphabetical order.
pub const NAMES: [&str; 4] = ["email", "file", "shell", "webhook"];

/// A plugin that the binary carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bundled {
    /// The component.
    pub wasm: &'static [u8],
    /// The component's SHA-256 in hexadecimal digits: known from the build, so that the start need not
    /// read megabytes for it.
    pub sha256: &'static str,
}

/// What `build.rs` left of the plugin with this name.
macro_rules! bundled {
    ($name:literal) => {
        Some(Bundled {
            wasm: include_bytes!(concat!(env!("OUT_DIR"), "/", $name, ".wasm")),
            sha256: include_str!(concat!(env!("OUT_DIR"), "/", $name, ".sha256")),
        })
    };
}

/// The plugin with this name.
pub fn get(name: &str) -> Option<Bundled> {
    match name {
        "email" => bundled!("email"),
        "file" => bundled!("file"),
        "shell" => bundled!("shell"),
        "webhook" => bundled!("webhook"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use sha2::{Digest, Sha256};

    use super::*;

    #[test]
    fn every_name_has_a_component_of_its_own() {
        // The header of a component: the magic number, version 13, layer 1.
        let header = b"\0asm\x0d\0\x01\0";
        for name in NAMES {
            assert!(get(name).is_some_and(|plugin| plugin.wasm.starts_with(header)), "{name}");
        }
        let mut components = NAMES.map(|name| get(name).unwrap().wasm);
        components.sort_unstable();
        assert!(components.windows(2).all(|pair| pair[0] != pair[1]));
    }

    #[test]
    fn each_digest_is_that_of_its_component() {
        for plugin in NAMES.map(|name| get(name).unwrap()) {
            let digits =
                Sha256::digest(plugin.wasm).iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>();
            assert_eq!(plugin.sha256, digits.concat());
        }
    }

    #[test]
    fn another_name_has_none() {
        assert_eq!(get("Shell"), None);
    }
}
