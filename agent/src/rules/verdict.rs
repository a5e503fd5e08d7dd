//! What a rule makes of an event, and why.

use std::fmt;

use super::{Matcher, Rule};
use crate::event::Event;

/// What a rule makes of an event.
#[derive(Debug)]
pub enum Verdict<'a> {
    /// It sends it.
    Sends,
    /// It is about other types of event.
    OtherType,
    /// It is about what other watches tell.
    OtherWatch,
    /// The first condition of `match` that does not hold.
    Fails(&'a Matcher),
    /// All conditions of `unless` hold.
    Excepted(&'a [Matcher]),
}

impl Rule {
    /// What this rule makes of `event`, which a watch told of.
    pub fn verdict(&self, event: &Event, watch: Option<&str>) -> Verdict<'_> {
        if !self.on.contains(&event.kind) {
            return Verdict::OtherType;
        }
        if !self.watches.is_empty() && !self.watches.iter().any(|known| Some(&known[..]) == watch) {
            return Verdict::OtherWatch;
        }
        if let Some(first) = self.matches.iter().find(|matcher| !matcher.holds(event)) {
            return Verdict::Fails(first);
        }
        if !self.unless.is_empty() && self.unless.iter().all(|matcher| matcher.holds(event)) {
            return Verdict::Excepted(&self.unless);
        }
        Verdict::Sends
    }

    /// Does this rule send `event`?
    pub fn fires(&self, event: &Event, watch: Option<&str>) -> bool {
        matches!(self.verdict(event, watch), Verdict::Sends)
    }

    /// Why this rule leaves `event` alone, in words; none where it sends it.
    pub fn objection(&self, event: &Event, watch: Option<&str>) -> Option<String> {
        match self.verdict(event, watch) {
            Verdict::Sends => None,
            Verdict::OtherType => {
                let on: Vec<_> = self.on.iter().map(ToString::to_string).collect();
                Some(format!("it is about {}", on.join(", ")))
            }
            Verdict::OtherWatch => {
                let seen = watch.map_or_else(|| "none".to_owned(), |watch| format!("the watch {watch:?}"));
                Some(format!("it is about what {:?} tells, and this is of {seen}", self.watches))
            }
            Verdict::Fails(matcher) => Some(format!(
                "`{}` {}, and it wants {}",
                matcher.attribute,
                Shown(matcher, event),
                matcher.pattern
            )),
            Verdict::Excepted(unless) => {
                let held: Vec<_> = unless
                    .iter()
                    .map(|matcher| format!("`{}` {}", matcher.attribute, Shown(matcher, event)))
                    .collect();
                Some(format!("its `unless` holds: {}", held.join(" and ")))
            }
        }
    }
}

/// The value that a condition looks at: `is "web"`.
struct Shown<'a>(&'a Matcher, &'a Event);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.attribute.text(self.1) {
            Some(text) => write!(f, "is {text}"),
            None => f.write_str("is not there"),
        }
    }
}
