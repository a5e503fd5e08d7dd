//! Rules: which events go to which receivers.
//!
//! Boundary: pure. A rule sees an event and nothing else.

mod alert;
mod alerts;
mod attribute;
mod facts;
mod family;
mod group;
mod heard;
mod hides;
mod index;
mod inhibit;
mod kept;
mod matcher;
mod node_role;
mod number;
mod schedule;
mod set;
mod settle;
mod silence;
mod step;
mod time_interval;
mod untold;
mod verdict;

use std::sync::Arc;

pub use alert::Reason;
pub use alerts::{Alerts, Decision, Policy, Query, Row, Told};
pub use attribute::Attribute;
pub use facts::Facts;
pub use family::Family;
pub use inhibit::{BuiltIn, InhibitRule, Inhibitions};
pub use kept::{KeptError, remembered};
pub use matcher::{Matcher, Pattern, PatternError};
pub use node_role::{Roles, ServiceRoles};
pub use number::{Number, Range};
pub use schedule::{Grouping, Hours, Occurrences, Schedule};
pub use set::Rules;
pub use silence::Silence;
pub use time_interval::{TimeInterval, TimeIntervals};
pub use verdict::Verdict;

use crate::event::EventType;

/// Which events go to which receivers.
#[derive(Clone, Debug)]
pub struct Rule {
    /// Unique among the rules.
    pub name: String,
    /// It takes part. One that does not is read and checked all the same. Default: it does.
    pub enabled: bool,
    /// An event that it sends is not looked at by the rules after it. Default: it is.
    pub is_final: bool,
    /// The kinds of event that it is about; at least one.
    pub on: Vec<EventType>,
    /// The watches whose events it is about, by their names in the store; empty for all.
    pub watches: Vec<String>,
    /// All of them must hold.
    pub matches: Vec<Matcher>,
    /// All of theirs must hold, too.
    pub named: Vec<Arc<Named>>,
    /// The event is left alone when there are some and all of them hold.
    pub unless: Vec<Matcher>,
    /// Where the event goes; at least one.
    pub receivers: Vec<String>,
    /// When.
    pub schedule: Schedule,
}

/// Conditions with a name, which several rules may have.
#[derive(Debug)]
pub struct Named {
    /// Unique among them.
    pub name: String,
    /// All of them must hold.
    pub matches: Vec<Matcher>,
}

/// Without a name, a type and a receiver, which every rule has to have.
impl Default for Rule {
    fn default() -> Self {
        Self {
            name: String::new(),
            enabled: true,
            is_final: false,
            on: Vec::new(),
            watches: Vec::new(),
            matches: Vec::new(),
            named: Vec::new(),
            unless: Vec::new(),
            receivers: Vec::new(),
            schedule: Schedule::default(),
        }
    }
}

impl Rule {
    /// All conditions that must hold, its own first.
    pub fn conditions(&self) -> impl Iterator<Item = &Matcher> {
        self.matches.iter().chain(self.named.iter().flat_map(|named| &named.matches))
    }
}

#[cfg(test)]
mod tests;
