//! The configuration: TOML files to one `Config`, or all that is wrong with them.
//!
//! A file becomes a tree of values with their places (`toml`), `reader` asks it for settings and notes
//! every fault, one file per section says which settings there are, and `load` adds the files up.
//!
//! Boundary: reads the files that it is given and looks whether the files that they name exist. Plugins
//! are loaded, and their requests compared with the grants, elsewhere; faults found there are told in
//! the same form, by the places that a `Receiver` keeps.
//!
//! Invariant: a `Config` has no fault: every rule's receivers exist, every number is in its range.

mod agent;
mod allow;
mod consul;
mod doubts;
mod effective;
mod fallback;
mod fault;
mod files;
mod finish;
mod inhibit;
mod keys;
mod load;
mod matchers;
mod reader;
mod receivers;
mod roles;
mod rules;
mod schema;
mod source;
mod syntax;
mod time_intervals;
mod timing;
mod watch;
mod words;

use std::collections::BTreeMap;
use std::path::PathBuf;

pub use crate::consul::Watch;
pub use agent::Agent;
pub use allow::Allow;
pub(crate) use effective::{Effective, effective};
pub(crate) use fault::visible;
pub use fault::{Fault, Faults};
pub(crate) use keys::{KEYS, Key, Kind, Unwritten};
pub use receivers::{BUNDLED, Limits, Places, PluginRef, Receiver, Unread};
pub use schema::schema;
pub use source::Place;
pub(crate) use words::{duration, nearest, size};

use crate::consul::Settings;
use crate::rules::{InhibitRule, Roles, Rules, TimeIntervals};
use reader::Entry;

/// All settings.
#[derive(Clone, Debug)]
pub struct Config {
    /// This process.
    pub agent: Agent,
    /// How Consul is reached.
    pub consul: Settings,
    /// What is followed; at least one.
    pub watches: Vec<Watch>,
    /// What nodes are for services.
    pub roles: Roles,
    /// In the order in which they are written.
    pub rules: Rules,
    /// In the order in which they are written.
    pub receivers: Vec<Receiver>,
    /// Times that rules name.
    pub time_intervals: BTreeMap<String, TimeIntervals>,
    /// The names in the store of the watches that have a label, by it.
    pub labels: BTreeMap<String, String>,
    /// What hides what: those that are built in, and then those that are written.
    pub inhibit_rules: Vec<InhibitRule>,
    /// What is right, and perhaps not what was meant.
    pub warnings: Faults,
}

/// A configuration that has faults.
#[derive(Debug)]
pub struct Rejected {
    /// All that is wrong with what is written.
    pub faults: Faults,
    /// What can be relied on all the same: receivers whose plugin is known and may still object, each with
    /// what of it is `unread`.
    pub receivers: Vec<Receiver>,
    /// The folder of compiled plugins is in this one.
    pub data_dir: PathBuf,
}

/// What besides the configuration itself is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// The files and variables that it names must exist.
    Everywhere,
    /// They need not: the configuration is meant for another machine.
    Inside,
}

impl Config {
    /// Reads the files and folders of `paths`, by default `/etc/lictor/lictor.toml`, else
    /// `./lictor.toml`. `env` gives the variables of the environment. All faults are reported at once.
    pub fn load(
        paths: &[PathBuf],
        env: &dyn Fn(&str) -> Option<String>,
        look: Look,
    ) -> Result<Self, Box<Rejected>> {
        load::load(paths, env, look)
    }
}

/// Characters of a name.
const NAME_MAX: usize = 200;

/// The name of a rule or a receiver. It is part of log lines, metrics and command lines.
fn name(entry: Entry<'_>) -> Option<String> {
    let name = entry.string()?;
    match check_name(&name) {
        Ok(()) => Some(name),
        Err((problem, help)) => entry.wrong(problem, help),
    }
}

fn check_name(name: &str) -> Result<(), (String, &'static str)> {
    let fits = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
    // A receiver has a folder of this name.
    let is_path = matches!(name, "" | "." | "..") || name.len() > NAME_MAX;
    if !is_path && name.chars().all(fits) {
        return Ok(());
    }
    Err((
        format!("{name:?} cannot be a name"),
        "use letters, digits, `_`, `.` and `-` only, at most 200, and not `.` or `..` alone",
    ))
}
