//! An event's id, derived from the change itself.
//!
//! Invariant: nothing of the agent that saw the change goes in, so two agents that see it agree.

use sha2::{Digest, Sha256};

/// Hexadecimal digits of an id: 128 bits, so that a collision is not a thing to plan for.
const LENGTH: usize = 32;

/// The first 128 bits of a SHA-256 over `parts`, as hexadecimal digits.
///
/// Each part is preceded by its length, so that no two lists of parts look alike.
pub(crate) fn derive(parts: &[&[u8]]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    let mut text = String::with_capacity(LENGTH);
    for byte in hash.finalize().iter().take(LENGTH / 2) {
        for nibble in [byte >> 4, byte & 15] {
            text.push(char::from_digit(nibble.into(), 16).unwrap_or('0'));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_stable_across_versions() {
        // Receivers remember ids, so a change of this value is a change of the contract.
        assert_eq!(derive(&[b"dc1", b"web1/service:web"]), derive(&[b"dc1", b"web1/service:web"]));
        assert_eq!(derive(&[]), "e3b0c44298fc1c149afbf4c8996fb924");
    }

    #[test]
    fn the_border_between_parts_counts() {
        assert_ne!(derive(&[b"ab", b"c"]), derive(&[b"a", b"bc"]));
    }
}
