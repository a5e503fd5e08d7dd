//! The plugins that the binary carries. `build.rs` builds them and says where they come from.

/// Their names, in alphabetical order.
pub const NAMES: [&str; 4] = ["email", "file", "shell", "webhook"];

/// The component of the plugin with this name.
pub fn get(name: &str) -> Option<&'static [u8]> {
    match name {
        "email" => Some(include_bytes!(concat!(env!("OUT_DIR"), "/email.wasm"))),
        "file" => Some(include_bytes!(concat!(env!("OUT_DIR"), "/file.wasm"))),
        "shell" => Some(include_bytes!(concat!(env!("OUT_DIR"), "/shell.wasm"))),
        "webhook" => Some(include_bytes!(concat!(env!("OUT_DIR"), "/webhook.wasm"))),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_has_a_component_of_its_own() {
        // The header of a component: the magic number, version 13, layer 1.
        let header = b"\0asm\x0d\0\x01\0";
        for name in NAMES {
            assert!(get(name).is_some_and(|component| component.starts_with(header)), "{name}");
        }
        let mut components = NAMES.map(get);
        components.sort_unstable();
        assert!(components.windows(2).all(|pair| pair[0] != pair[1]));
    }

    #[test]
    fn another_name_has_none() {
        assert_eq!(get("Shell"), None);
    }
}
