//! What an alert has to tell and did not tell until now.

use super::alert::{Alert, Phase, Withheld, withheld};
use super::{Reason, Rule};
use crate::event::Event;

impl Alert {
    /// What is not sent of it where it is forgotten, since the thing is gone.
    pub(super) fn left(&self, rule: &Rule) -> Option<Withheld> {
        let (reason, detail) = self.why(&rule.schedule);
        let gone = |event: &Event| withheld(event, reason, format!("{detail}, and it was gone"));
        match self.phase {
            Phase::Held | Phase::Ready => Some(gone(&self.event)),
            _ => self.untold(rule).map(gone),
        }
    }

    /// The event that tells that it is over, while that is not told yet, where the rule tells it.
    pub(super) fn untold(&self, rule: &Rule) -> Option<&Event> {
        self.ending().filter(|event| rule.schedule.send_resolved || rule.fires(event, &self.of.watch))
    }

    /// What is not sent where `untold` was, and is not what is to be told any more.
    pub(super) fn replaced(&self, untold: Option<Event>) -> Option<Withheld> {
        let still = |event: &Event| self.ending().is_some_and(|ending| ending.id == event.id);
        let detail = "something else came before its end was told";
        untold
            .filter(|event| !still(event))
            .map(|event| withheld(&event, Reason::KeepFiringFor, detail.into()))
    }

    /// The event by which it is over, while it counts as going on.
    pub(super) fn ending(&self) -> Option<&Event> {
        match &self.phase {
            Phase::Ending(event, _) => Some(event),
            _ => None,
        }
    }

    /// Why its event was not sent until now, if it is to be sent.
    pub(super) fn waits(&self) -> Option<Reason> {
        match self.phase {
            Phase::Held => Some(Reason::Held),
            Phase::Ready => Some(self.blocked.as_ref().map_or(Reason::Grouped, |(reason, _)| *reason)),
            Phase::Counting | Phase::Firing | Phase::Ending(..) => None,
        }
    }
}
