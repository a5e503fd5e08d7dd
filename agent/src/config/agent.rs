//! `[agent]`: this process.

use std::path::PathBuf;
use std::time::Duration;

use super::reader::{Entry, Table};
use crate::event::Timing;
use crate::store::{Durability, Retention};

/// A check that has not run for a day never will.
const INITIAL_GRACE_MAX: Duration = Duration::from_hours(24);

/// A shorter one would take each transition for a sample of its own.
const FLAP_INTERVAL_MIN: Duration = Duration::from_secs(1);
/// Twenty-one of a longer one are more than a day.
const FLAP_INTERVAL_MAX: Duration = Duration::from_hours(1);
/// All samples together weigh 99 percent.
pub(super) const PERCENT_MAX: u32 = 99;

/// More than this and a service manager would have killed the process.
const SHUTDOWN_GRACE_MAX: Duration = Duration::from_mins(10);

/// Less than this and nobody could look at what happened last night.
const AGE_MIN: Duration = Duration::from_hours(1);
/// Ten years.
const AGE_MAX: Duration = Duration::from_hours(3650 * 24);
/// Some thousand events.
const SIZE_MIN: u64 = 8 << 20;
/// More than a database of a node should ever hold.
const SIZE_MAX: u64 = 1 << 40;

/// What concerns the process as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agent {
    /// Where this is, `production` for example. Default: the node's metadata say it.
    pub environment: Option<String>,
    /// The folder of the database and of compiled plugins. Default: `/var/lib/lictor`.
    pub data_dir: PathBuf,
    /// When time alone makes something of a check.
    pub timing: Timing,
    /// How long running calls may go on after the first signal. Default: 10 s.
    pub shutdown_grace: Duration,
    /// How much of the past is kept.
    pub retention: Retention,
    /// What a power cut may take.
    pub durability: Durability,
}

impl Default for Agent {
    fn default() -> Self {
        Self {
            environment: None,
            data_dir: PathBuf::from("/var/lib/lictor"),
            timing: Timing::default(),
            shutdown_grace: Duration::from_secs(10),
            retention: Retention::default(),
            durability: Durability::default(),
        }
    }
}

fn retention(table: &mut Table<'_>) -> Retention {
    let default = Retention::default();
    Retention {
        age: table.get("age", |entry| entry.duration(AGE_MIN..=AGE_MAX)).unwrap_or(default.age),
        size: table.get("size", |entry| entry.size(SIZE_MIN..=SIZE_MAX)).unwrap_or(default.size),
    }
}

fn timing(table: &mut Table<'_>) -> Timing {
    let default = Timing::default();
    let grace = |entry: Entry<'_>| entry.duration(Duration::ZERO..=INITIAL_GRACE_MAX);
    let interval = |entry: Entry<'_>| entry.duration(FLAP_INTERVAL_MIN..=FLAP_INTERVAL_MAX);
    let percent = |entry: Entry<'_>| entry.number(1..=PERCENT_MAX);
    let low = table.get("low_flap_threshold", percent);
    let high = table.get("high_flap_threshold", percent);
    let timing = Timing {
        initial_grace: table.get("initial_grace", grace).unwrap_or(default.initial_grace),
        flap_interval: table.get("flap_interval", interval).unwrap_or(default.flap_interval),
        low_flap_threshold: low.unwrap_or(default.low_flap_threshold),
        high_flap_threshold: high.unwrap_or(default.high_flap_threshold),
    };
    let read = !table.unread("low_flap_threshold", low.is_some())
        && !table.unread("high_flap_threshold", high.is_some());
    if read && timing.low_flap_threshold >= timing.high_flap_threshold {
        table.wrong::<()>(
            format!(
                "`low_flap_threshold` is {} and `high_flap_threshold` {}",
                timing.low_flap_threshold, timing.high_flap_threshold
            ),
            "a check stops flapping below the low one, which is lower than the high one at which it starts",
        );
    }
    timing
}

fn durability(entry: Entry<'_>) -> Option<Durability> {
    let full = entry.word(&["normal", "full"])? == "full";
    Some(if full { Durability::Full } else { Durability::Normal })
}

pub(super) fn read(table: &mut Table<'_>) -> Agent {
    let default = Agent::default();
    let until = |most: Duration| move |entry: Entry<'_>| entry.duration(Duration::ZERO..=most);
    Agent {
        environment: table.get("environment", Entry::string),
        data_dir: table.get("data_dir", Entry::path).unwrap_or(default.data_dir),
        timing: timing(table),
        shutdown_grace: table
            .get("shutdown_grace", until(SHUTDOWN_GRACE_MAX))
            .unwrap_or(default.shutdown_grace),
        retention: table
            .get("retention", |entry| entry.table("`retention`", retention))
            .unwrap_or(default.retention),
        durability: table.get("durability", durability).unwrap_or(default.durability),
    }
}
