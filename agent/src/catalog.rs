//! Consul's nouns as plain data.
//!
//! Boundary: no I/O, no wire format. What Consul's JSON looks like is known to `consul::wire` alone.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The health of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CheckStatus {
    /// Exit 0, HTTP 2xx.
    Passing,
    /// Exit 1, HTTP 429.
    Warning,
    /// All else; also the state of a check that has not run yet.
    Critical,
}

/// Not one of the words that Consul uses for the health of a check.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("read check status {0:?}: not passing, warning or critical")]
pub struct UnknownStatus(pub String);

impl CheckStatus {
    /// Every status, mildest first.
    pub const ALL: [Self; 3] = [Self::Passing, Self::Warning, Self::Critical];

    /// Consul's own word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Passing => "passing",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

impl fmt::Display for CheckStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for CheckStatus {
    type Err = UnknownStatus;

    fn from_str(word: &str) -> Result<Self, UnknownStatus> {
        Self::ALL.into_iter().find(|status| status.as_str() == word).ok_or_else(|| UnknownStatus(word.into()))
    }
}

/// One health check as the catalog holds it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// The node that it belongs to.
    pub node: String,
    /// Unique on its node.
    pub check_id: String,
    /// What a person called it.
    pub name: String,
    /// How it is made, in Consul's words (`http`, `ttl`, `script` and so on); empty before Consul 1.7.
    #[serde(rename = "type")]
    pub kind: String,
    /// Its present health.
    pub status: CheckStatus,
    /// What a person wrote about it.
    pub notes: String,
    /// What its last run said; at most 4 KiB are kept.
    pub output: String,
    /// Empty for a check of the node itself.
    pub service_id: String,
    /// Empty for a check of the node itself.
    pub service: String,
    /// The tags of its service.
    pub service_tags: Vec<String>,
    /// Consul's index when it was registered; another one means that it was registered anew.
    pub create_index: u64,
    /// Consul's index when it was last written.
    pub modify_index: u64,
}

impl Check {
    /// `critical` without output: Consul's default for a check that has not run, or a failure without a word.
    pub fn says_nothing(&self) -> bool {
        self.status == CheckStatus::Critical && self.output.is_empty()
    }
}

/// The node that Lictor runs beside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalNode {
    /// Its name in the catalog.
    pub name: String,
    /// Its datacenter.
    pub datacenter: String,
    /// Its metadata.
    pub meta: BTreeMap<String, String>,
}
