//! The SDK that this Lictor was built with, as `build.rs` found it: a new plugin gets a copy of it, and its samples of events
//! are those that a plugin is tried on.

include!(concat!(env!("OUT_DIR"), "/sdk.rs"));

/// The text of one of its files.
pub(super) fn file(path: &str) -> Option<&'static str> {
    FILES.iter().find(|(known, _)| *known == path).map(|(_, text)| *text)
}
