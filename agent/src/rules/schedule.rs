//! When a rule sends what it matches: the times that it names.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::{Attribute, TimeIntervals};

/// When a rule sends what it matches. Default: at once, each event alone.
#[derive(Clone, Debug, Default)]
pub struct Schedule {
    /// `for`: it must be so for this long. Default: no time.
    pub hold: Duration,
    /// For this long after it is over it counts as going on, so that it is not told anew. Default: no time.
    pub keep_firing_for: Duration,
    /// Which events are sent together, and when. Default: none.
    pub group: Option<Grouping>,
    /// What goes on is told again after this time. Default: never.
    pub repeat_interval: Option<Duration>,
    /// What ends it is sent too, although the rule does not match it. Default: it is not.
    pub send_resolved: bool,
    /// How often it must happen first. Default: once.
    pub occurrences: Option<Occurrences>,
    /// Nothing is sent in these.
    pub mute: Vec<Hours>,
    /// Where there are some, nothing is sent outside of them.
    pub active: Vec<Hours>,
}

/// Which events are sent together, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grouping {
    /// Those that have the same of these; all where there is none.
    pub by: Vec<Attribute>,
    /// How long the first one of a group waits for others. Default: 30 s.
    pub wait: Duration,
    /// How long a group waits after it was sent. Default: 5 min.
    pub interval: Duration,
}

/// How often something must happen before it is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Occurrences {
    /// At least this often, 2 or more.
    pub count: usize,
    /// Within this time.
    pub within: Duration,
}

/// Time intervals, by the name that the configuration gives them.
#[derive(Clone, Debug)]
pub struct Hours {
    /// The name.
    pub name: String,
    /// When that is.
    pub intervals: Arc<TimeIntervals>,
}

impl Schedule {
    /// What was sent has to be remembered until it is over.
    pub(super) fn remembers(&self) -> bool {
        self.send_resolved
            || self.repeat_interval.is_some()
            || self.group.is_some()
            || !self.hold.is_zero()
            || !self.keep_firing_for.is_zero()
    }

    /// Something of it is written.
    pub fn is_timed(&self) -> bool {
        !self.is_plain() || !self.mute.is_empty() || !self.active.is_empty()
    }

    /// What it matches is sent at once, if nothing is in the way.
    pub(super) fn is_plain(&self) -> bool {
        !self.remembers() && self.occurrences.is_none()
    }

    /// Why nothing is sent at `now`, by the clock; none where something is.
    pub(super) fn muted(&self, now: Timestamp) -> Option<String> {
        if let Some(hours) = self.mute.iter().find(|hours| hours.intervals.contains(now)) {
            return Some(format!("it is in the time interval {:?}", hours.name));
        }
        let is_active =
            self.active.is_empty() || self.active.iter().any(|hours| hours.intervals.contains(now));
        let names: Vec<_> = self.active.iter().map(|hours| hours.name.as_str()).collect();
        (!is_active).then(|| format!("it is in none of the time intervals {names:?}"))
    }
}
