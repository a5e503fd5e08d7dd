//! What a rule makes of one condition of one thing over time: pure.
//!
//! `for`, `occurrences`, `keep_firing_for` and what waits for its turn are phases of an [`Alert`]. Each is entered by an
//! event or because time went by; when, is computed from the times in it and from the rule's schedule, so another
//! schedule counts at once.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Query, Schedule};
use crate::event::Event;

/// Why an event that a rule matches was not sent to its receivers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// It was over before the rule's `for`.
    Held,
    /// It was over, or another one came, while it waited for its group.
    Grouped,
    /// It happened less often than the rule's `occurrences`.
    Occurrences,
    /// It goes on since before: `keep_firing_for`.
    KeepFiringFor,
    /// A later one told more.
    Overtaken,
    /// The clock was in the way.
    Muted,
    /// A silence was in the way.
    Silenced,
    /// An inhibit rule was in the way.
    Inhibited,
    /// The check went to and fro.
    Flapping,
}

impl Reason {
    /// Every reason.
    pub const ALL: [Self; 9] = [
        Self::Held,
        Self::Grouped,
        Self::Occurrences,
        Self::KeepFiringFor,
        Self::Overtaken,
        Self::Muted,
        Self::Silenced,
        Self::Inhibited,
        Self::Flapping,
    ];

    /// The word for it, in the store and in rule tests.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Held => "held",
            Self::Grouped => "grouped",
            Self::Occurrences => "occurrences",
            Self::KeepFiringFor => "keep_firing_for",
            Self::Overtaken => "overtaken",
            Self::Muted => "muted",
            Self::Silenced => "silenced",
            Self::Inhibited => "inhibited",
            Self::Flapping => "flapping",
        }
    }
}

/// An event that is not sent, and why.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Withheld {
    pub(super) event: Event,
    pub(super) reason: Reason,
    pub(super) detail: String,
}

/// Where an alert is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Phase {
    /// It did not happen often enough.
    Counting,
    /// It must go on for a while.
    Held,
    /// Its event is to be sent, and waits for its group or for what is in the way.
    Ready,
    /// Its event was sent, and it goes on.
    Firing,
    /// It was sent and is over, by this event, since then; it may come again.
    Ending(Box<Event>, Timestamp),
}

/// What one rule makes of one condition of one thing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Alert {
    /// Who told of it.
    pub(super) of: Query,
    /// What is to be told, or was told last.
    pub(super) event: Event,
    /// Since when it is so.
    pub(super) since: Timestamp,
    pub(super) phase: Phase,
    /// Something of it was sent.
    pub(super) sent: bool,
    /// When that was, the last time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    told_at: Option<Timestamp>,
    /// What is to be told is that it is over.
    pub(super) last: bool,
    /// What the receivers believe, as a word; none where they know nothing.
    believed: Option<String>,
    /// When it happened, of late; only where that is counted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    times: Vec<Timestamp>,
    /// Why it is not sent although it is ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) blocked: Option<(Reason, String)>,
    /// What its group is called, by its first event.
    pub(super) group: String,
    /// The attributes that this is made of; another configuration may group by others.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) group_by: String,
}

pub(super) fn later(time: Timestamp, by: Duration) -> Timestamp {
    time.checked_add(by).unwrap_or(Timestamp::MAX)
}

/// The result before, as a word, where the event tells of one.
fn was(event: &Event) -> Option<String> {
    event.result()?.from.map(|from| from.as_str().to_owned())
}

/// The result now.
fn is(event: &Event) -> Option<String> {
    event.result()?.to.map(|to| to.as_str().to_owned())
}

impl Alert {
    /// Begins with an event that the rule matches.
    pub(super) fn begin(event: &Event, query: &Query, (group, group_by): (String, String)) -> Self {
        Self {
            of: query.clone(),
            event: event.clone(),
            since: event.time,
            phase: Phase::Counting,
            sent: false,
            told_at: None,
            last: event.is_resolved(),
            believed: was(event),
            times: Vec::new(),
            blocked: None,
            group,
            group_by,
        }
    }

    /// The rule matches `event`, which is the one that it began with or a later one. Gives what is not sent for it, and whether
    /// there is still something to do.
    pub(super) fn matched(
        &mut self,
        event: &Event,
        schedule: &Schedule,
        now: Timestamp,
    ) -> (Vec<Withheld>, bool) {
        match &self.phase {
            Phase::Counting => self.count(event, schedule, now),
            Phase::Ready if self.sent && event.is_resolved() => self.over(event, true, schedule, now),
            Phase::Held | Phase::Ready => self.replace(event, schedule, now),
            Phase::Firing if event.is_resolved() => self.over(event, true, schedule, now),
            // Since when it is over stays as it was.
            Phase::Ending(_, at) if event.is_resolved() => {
                self.phase = Phase::Ending(Box::new(event.clone()), *at);
                (Vec::new(), true)
            }
            Phase::Ending(..) if is(event).is_some() && is(event) == self.believed => {
                self.phase = Phase::Firing;
                let detail = format!("it goes on within {:?} of its end", schedule.keep_firing_for);
                (vec![withheld(event, Reason::KeepFiringFor, detail)], true)
            }
            Phase::Firing | Phase::Ending(..) => {
                self.news(event);
                (Vec::new(), true)
            }
        }
    }

    fn news(&mut self, event: &Event) {
        self.blocked = None;
        self.event = event.clone();
        self.last = event.is_resolved();
        self.phase = Phase::Ready;
    }

    /// It happened once more, and not often enough until now.
    fn count(&mut self, event: &Event, schedule: &Schedule, now: Timestamp) -> (Vec<Withheld>, bool) {
        let mut few = Vec::new();
        if let Some(occurrences) = schedule.occurrences {
            self.times.retain(|time| later(*time, occurrences.within) > now);
            self.times.push(now);
            if self.times.len() < occurrences.count {
                let detail =
                    format!("{} of {} within {:?}", self.times.len(), occurrences.count, occurrences.within);
                few.push(withheld(event, Reason::Occurrences, detail));
                self.event = event.clone();
                return (few, true);
            }
            self.times.clear();
        }
        self.believed = was(event);
        self.since = now;
        self.news(event);
        if !schedule.hold.is_zero() {
            self.phase = Phase::Held;
        }
        (few, true)
    }

    /// A later event takes the place of one that was not sent.
    fn replace(&mut self, event: &Event, schedule: &Schedule, now: Timestamp) -> (Vec<Withheld>, bool) {
        let old = self.event.clone();
        let net_nothing = is(event).is_some() && is(event) == self.believed;
        if net_nothing {
            let (reason, detail) = self.why(schedule);
            let detail = format!("{detail}, and it is again as it was");
            let gone = vec![withheld(&old, reason, detail.clone()), withheld(event, reason, detail)];
            return self.believed_goes_on(event, gone);
        }
        let detail = format!("event {} came before it was sent", event.id);
        let gone = vec![withheld(&old, Reason::Overtaken, detail)];
        if self.phase == Phase::Held && event.is_resolved() != self.last {
            self.since = now;
        }
        self.event = event.clone();
        self.last = event.is_resolved();
        (gone, true)
    }

    /// What was not sent is not news any more. What was sent before goes on, if it does.
    fn believed_goes_on(&mut self, event: &Event, gone: Vec<Withheld>) -> (Vec<Withheld>, bool) {
        self.blocked = None;
        if !self.sent || event.is_resolved() {
            return (gone, false);
        }
        self.event = event.clone();
        self.phase = Phase::Firing;
        self.last = false;
        (gone, true)
    }

    /// It is over, as `event` tells, which the rule itself matches or not. Gives what is not sent, and whether there is still
    /// something to do.
    pub(super) fn over(
        &mut self,
        event: &Event,
        matched: bool,
        schedule: &Schedule,
        now: Timestamp,
    ) -> (Vec<Withheld>, bool) {
        match self.phase {
            Phase::Counting => (Vec::new(), !self.times.is_empty()),
            // That it is over is to be told already.
            Phase::Ready if self.sent && self.last => (Vec::new(), true),
            Phase::Held | Phase::Ready => {
                let (reason, detail) = self.why(schedule);
                let gone = vec![withheld(&self.event, reason, format!("{detail}, and it was over"))];
                if !self.sent {
                    return (gone, false);
                }
                self.blocked = None;
                self.end(event, matched, schedule, now);
                (gone, self.phase != Phase::Firing)
            }
            Phase::Firing => {
                self.end(event, matched, schedule, now);
                (Vec::new(), self.phase != Phase::Firing)
            }
            Phase::Ending(_, at) => {
                self.phase = Phase::Ending(Box::new(event.clone()), at);
                (Vec::new(), true)
            }
        }
    }

    /// When it was told last, as far as is known.
    pub(super) fn told_at(&self) -> Timestamp {
        self.told_at.unwrap_or(self.since)
    }

    /// It is so, as far as is known.
    pub(super) fn goes_on(&self) -> bool {
        !self.last && matches!(self.phase, Phase::Held | Phase::Ready | Phase::Firing)
    }

    /// Leaves it firing where nothing more is to be told of it.
    fn end(&mut self, event: &Event, matched: bool, schedule: &Schedule, now: Timestamp) {
        if !schedule.keep_firing_for.is_zero() {
            self.phase = Phase::Ending(Box::new(event.clone()), now);
        } else if matched || schedule.send_resolved {
            self.news(event);
            self.last = true;
        } else {
            self.phase = Phase::Firing;
        }
    }

    /// Takes in that what it waited for is there, and says whether there is still something to do. `matches` says of an event
    /// whether the rule matches it.
    pub(super) fn ripen(&mut self, schedule: &Schedule, matches: impl Fn(&Event) -> bool) -> bool {
        match &self.phase {
            Phase::Counting => return false,
            Phase::Held => self.phase = Phase::Ready,
            Phase::Ending(event, _) => {
                if !schedule.send_resolved && !matches(event) {
                    return false;
                }
                self.event = Event::clone(event);
                self.last = true;
                self.phase = Phase::Ready;
            }
            Phase::Ready | Phase::Firing => {}
        }
        true
    }

    /// When time alone makes something else of it; none where it does not.
    pub(super) fn due(&self, schedule: &Schedule) -> Option<Timestamp> {
        match &self.phase {
            Phase::Counting => {
                let within = schedule.occurrences.map(|occurrences| occurrences.within);
                Some(later(*self.times.last()?, within.unwrap_or_default()))
            }
            Phase::Held => Some(later(self.since, schedule.hold)),
            Phase::Ending(_, at) => Some(later(*at, schedule.keep_firing_for)),
            Phase::Ready | Phase::Firing => None,
        }
    }

    /// What it has to tell was sent. Says whether there is still something to do.
    pub(super) fn was_sent(&mut self, schedule: &Schedule, now: Timestamp) -> bool {
        self.sent = true;
        self.told_at = Some(now);
        if self.ending().is_some() {
            // It counts as going on, and was repeated.
            return true;
        }
        self.blocked = None;
        self.believed = is(&self.event);
        self.phase = Phase::Firing;
        schedule.remembers() && !self.last && self.event.kind.can_end()
    }

    /// Why it was not sent until now.
    pub(super) fn why(&self, schedule: &Schedule) -> (Reason, String) {
        if self.phase == Phase::Held {
            return (Reason::Held, format!("it had to be so for {:?}", schedule.hold));
        }
        if self.ending().is_some() {
            return (Reason::KeepFiringFor, "it counted as going on".into());
        }
        match &self.blocked {
            Some((reason, detail)) => (*reason, detail.clone()),
            None => (Reason::Grouped, "it waited to be sent".into()),
        }
    }
}

pub(super) fn withheld(event: &Event, reason: Reason, detail: String) -> Withheld {
    Withheld { event: event.clone(), reason, detail }
}
