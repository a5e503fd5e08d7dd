//! `[agent]`: this process.

use std::path::PathBuf;
use std::time::Duration;

use super::reader::{Entry, Table};

/// More than this and a service manager would have killed the process.
const SHUTDOWN_GRACE_MAX: Duration = Duration::from_mins(10);

/// What concerns the process as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agent {
    /// Where this is, `production` for example. Default: the node's metadata say it.
    pub environment: Option<String>,
    /// The folder of the database and of compiled plugins. Default: `/var/lib/lictor`.
    pub data_dir: PathBuf,
    /// How long running calls may go on after the first signal. Default: 10 s.
    pub shutdown_grace: Duration,
}

impl Default for Agent {
    fn default() -> Self {
        Self {
            environment: None,
            data_dir: PathBuf::from("/var/lib/lictor"),
            shutdown_grace: Duration::from_secs(10),
        }
    }
}

pub(super) fn read(table: &mut Table<'_>) -> Agent {
    let default = Agent::default();
    let grace = |entry: Entry<'_>| entry.duration(Duration::ZERO..=SHUTDOWN_GRACE_MAX);
    Agent {
        environment: table.get("environment", Entry::string),
        data_dir: table.get("data_dir", Entry::path).unwrap_or(default.data_dir),
        shutdown_grace: table.get("shutdown_grace", grace).unwrap_or(default.shutdown_grace),
    }
}
