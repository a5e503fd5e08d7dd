//! `[[watch]]`: what is followed in Consul.

use super::reader::Table;

/// One thing that is followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Watch {
    /// `type = "checks"`, `scope = "node"`: the checks of the node that Lictor runs beside.
    NodeChecks,
}

impl Watch {
    /// Its name in the store.
    pub fn name(self) -> &'static str {
        match self {
            Self::NodeChecks => "checks/node",
        }
    }
}

/// What is followed when nothing is said.
pub(super) const DEFAULT: Watch = Watch::NodeChecks;

pub(super) fn read(table: &mut Table<'_>) -> Option<Watch> {
    let kind = table.require("type", "type = \"checks\"", |entry| entry.word(&["checks"]));
    // A scope that is there and wrong was noted; one that is not there is that of the node.
    table.get("scope", |entry| entry.word(&["node"]));
    kind.map(|_| Watch::NodeChecks)
}
