//! Rules: which events go to which receivers.
//!
//! Boundary: pure. A rule sees an event and nothing else.

mod attribute;
mod matcher;
mod node_role;
mod verdict;

pub use attribute::Attribute;
pub use matcher::{Matcher, Pattern, PatternError};
pub use node_role::{Roles, ServiceRoles};
pub use verdict::Verdict;

use crate::event::{Event, EventType};

/// Which events go to which receivers.
#[derive(Clone, Debug)]
pub struct Rule {
    /// Unique among the rules.
    pub name: String,
    /// The kinds of event that it is about; at least one.
    pub on: Vec<EventType>,
    /// The watches whose events it is about, by their names in the store; empty for all.
    pub watches: Vec<String>,
    /// All of them must hold.
    pub matches: Vec<Matcher>,
    /// The event is left alone when there are some and all of them hold.
    pub unless: Vec<Matcher>,
    /// Where the event goes; at least one.
    pub receivers: Vec<String>,
}

/// The rules that send `event`, which a watch told of, in the order of the configuration.
pub fn route<'a>(rules: &'a [Rule], event: &Event, watch: Option<&str>) -> impl Iterator<Item = &'a Rule> {
    rules.iter().filter(move |rule| rule.fires(event, watch))
}

#[cfg(test)]
mod tests;
