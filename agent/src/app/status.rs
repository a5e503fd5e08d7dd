//! What a Lictor that runs says of itself.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::receivers::Ready;
use crate::metrics::{Calls, Metrics};

/// A receiver, and what runs for it.
pub(super) struct Loaded {
    receiver: String,
    plugin: String,
    sha256: String,
}

/// A Lictor that runs.
#[derive(Debug, Serialize, Deserialize)]
pub struct Status {
    /// Which one.
    pub version: String,
    /// Since when.
    pub started_at: Timestamp,
    /// Its receivers, by name.
    pub receivers: Vec<Called>,
}

/// A receiver, and what its calls came to since the start.
#[derive(Debug, Serialize, Deserialize)]
pub struct Called {
    /// Its name.
    pub receiver: String,
    /// Its plugin.
    pub plugin: String,
    /// SHA-256 of the component that runs.
    pub sha256: String,
    /// How many calls ended.
    pub calls: u64,
    /// How those did that did not deliver.
    pub failures: BTreeMap<String, u64>,
    /// What they asked for and no grant covers.
    pub refusals: u64,
    /// How long a call took in the mean, in microseconds.
    pub mean_us: u64,
    /// How long the longest took.
    pub max_us: u64,
    /// The most bytes of memory that one held.
    pub peak_memory: usize,
}

impl Loaded {
    pub(super) fn of(ready: &Ready<'_>) -> Self {
        Self {
            receiver: ready.config.name.clone(),
            plugin: ready.config.plugin.to_string(),
            sha256: ready.plugin.digest().to_owned(),
        }
    }
}

impl Status {
    pub(super) fn of(loaded: &[Loaded], metrics: &Metrics, started_at: Timestamp) -> Self {
        let mut receivers: Vec<_> =
            loaded.iter().map(|loaded| called(loaded, metrics.calls(&loaded.receiver))).collect();
        receivers.sort_by(|a, b| a.receiver.cmp(&b.receiver));
        Self { version: env!("CARGO_PKG_VERSION").into(), started_at, receivers }
    }

    /// One line.
    pub(super) fn to_json(&self) -> String {
        // Texts and numbers always become JSON.
        serde_json::to_string(self).unwrap_or_default()
    }
}

fn called(loaded: &Loaded, calls: Calls) -> Called {
    let Calls { outcomes, made, refusals, time, longest, peak_memory } = calls;
    let microseconds = |time: std::time::Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
    let failures = outcomes.into_iter().filter(|(outcome, _)| *outcome != "delivered");
    Called {
        receiver: loaded.receiver.clone(),
        plugin: loaded.plugin.clone(),
        sha256: loaded.sha256.clone(),
        calls: made,
        failures: failures.map(|(outcome, count)| (outcome.to_owned(), count)).collect(),
        refusals,
        mean_us: microseconds(time).checked_div(made).unwrap_or(0),
        max_us: microseconds(longest),
        peak_memory,
    }
}
