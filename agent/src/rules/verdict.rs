//! What a rule makes of an event, and why.

use std::fmt;

use super::{Facts, Matcher, Named, Rule};
use crate::event::Event;

/// What a rule makes of an event.
#[derive(Debug)]
pub enum Verdict<'a> {
    /// It sends it.
    Sends,
    /// It takes no part.
    Disabled,
    /// This one, before it, sends the event and is final.
    NotReached(&'a Rule),
    /// It is about other types of event.
    OtherType,
    /// It is about what other watches tell.
    OtherWatch,
    /// The first condition of `match` that does not hold.
    Fails(&'a Matcher),
    /// The first condition that does not hold of the first named matcher that does not.
    NamedFails(&'a Named, &'a Matcher),
    /// All conditions of `unless` hold.
    Excepted(&'a [Matcher]),
}

impl Verdict<'_> {
    /// The event goes to the rule's receivers.
    pub fn sends(&self) -> bool {
        matches!(self, Self::Sends)
    }
}

impl Rule {
    /// What this rule makes of an event, which a watch told of, where no rule before it is final.
    pub fn verdict(&self, facts: &Facts<'_>, watch: Option<&str>) -> Verdict<'_> {
        if !self.enabled {
            return Verdict::Disabled;
        }
        if !self.on.contains(&facts.kind()) {
            return Verdict::OtherType;
        }
        if !self.watches.is_empty() && !watch.is_some_and(|watch| self.hears(watch)) {
            return Verdict::OtherWatch;
        }
        self.held_against(facts)
    }

    /// Do its conditions hold for what `event` tells, whatever its type?
    pub(super) fn describes(&self, event: &Event) -> bool {
        self.held_against(&Facts::of(event)).sends()
    }

    fn held_against(&self, facts: &Facts<'_>) -> Verdict<'_> {
        let fails = |matcher: &&Matcher| !matcher.holds(facts);
        if let Some(first) = self.matches.iter().find(fails) {
            return Verdict::Fails(first);
        }
        for named in &self.named {
            if let Some(first) = named.matches.iter().find(fails) {
                return Verdict::NamedFails(named, first);
            }
        }
        if !self.unless.is_empty() && self.unless.iter().all(|matcher| matcher.holds(facts)) {
            return Verdict::Excepted(&self.unless);
        }
        Verdict::Sends
    }

    /// Is this rule about what that watch tells?
    pub fn hears(&self, watch: &str) -> bool {
        self.watches.is_empty() || self.watches.iter().any(|known| known == watch)
    }

    /// Does this rule send `event`, where no rule before it is final?
    pub(super) fn fires(&self, event: &Event, watch: &str) -> bool {
        self.verdict(&Facts::of(event), Some(watch)).sends()
    }

    /// Can `event`, which it does not send, end what this rule remembers? Not where another watch tells it, and not where
    /// only a final rule before this one keeps it from being sent.
    pub(super) fn ends_by(&self, event: &Event, watch: &str) -> bool {
        self.hears(watch) && !self.fires(event, watch)
    }

    /// Why this rule, whose `verdict` on an event it is, leaves the event alone; none where it sends it.
    pub fn objection(&self, verdict: &Verdict<'_>, facts: &Facts<'_>, watch: Option<&str>) -> Option<String> {
        Some(match verdict {
            Verdict::Sends => return None,
            Verdict::Disabled => "`enabled` is false".into(),
            Verdict::NotReached(last) => format!("not reached: rule {} before it is final", last.name),
            Verdict::OtherType => {
                let on: Vec<_> = self.on.iter().map(ToString::to_string).collect();
                format!("it is about {}", on.join(", "))
            }
            Verdict::OtherWatch => {
                let seen = watch.map_or_else(|| "none".to_owned(), |watch| format!("the watch {watch:?}"));
                format!("it is about what {:?} tells, and this is of {seen}", self.watches)
            }
            Verdict::Fails(matcher) => format!("{}, and it wants {}", Shown(matcher, facts), matcher.pattern),
            Verdict::NamedFails(named, matcher) => {
                format!("{}, and its matcher {} wants {}", Shown(matcher, facts), named.name, matcher.pattern)
            }
            Verdict::Excepted(unless) => {
                let held: Vec<_> = unless.iter().map(|matcher| Shown(matcher, facts).to_string()).collect();
                format!("its `unless` holds: {}", held.join(" and "))
            }
        })
    }
}

/// The value that a condition looks at: `service` is "web".
struct Shown<'a>(&'a Matcher, &'a Facts<'a>);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(Matcher { attribute, .. }, facts) = self;
        match facts.text(attribute) {
            Some(text) => write!(f, "`{attribute}` is {text}"),
            None => write!(f, "`{attribute}` is not there"),
        }
    }
}
