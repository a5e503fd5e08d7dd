//! What is sent together.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::alert::{Alert, Phase, later};
use super::{Facts, Rule, Schedule};
use crate::event::{Condition, Event};

/// Events of one delivery at most; what is more comes in further ones. A node has some hundred checks.
pub(super) const EVENTS_MAX: usize = 1000;

/// The rule's position, and what the group is called.
pub(super) type GroupKey = (usize, String);

/// A thing, and what of it.
pub(super) type Member = (String, Condition);

/// What a group has to know of a member.
#[derive(Clone, Copy, Debug)]
pub(super) struct Standing {
    ready: bool,
    /// Since it was told last.
    firing: Option<Timestamp>,
    /// When time makes something else of it.
    due: Option<Timestamp>,
}

/// The alerts of one rule that are sent together; of a rule that does not group each is a group of its own. One event
/// costs the same however many there are.
#[derive(Clone, Debug, Default)]
pub(super) struct Group {
    members: BTreeMap<Member, Standing>,
    /// Those whose event is to be sent.
    pub(super) ready: BTreeSet<Member>,
    /// Those whose event was sent, and that go on, by when they were told last.
    pub(super) firing: BTreeSet<(Timestamp, Member)>,
    dues: BTreeSet<(Timestamp, Member)>,
    pub(super) times: Times,
    /// When to look at it.
    pub(super) due: Option<Timestamp>,
}

/// What is stored of a group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Times {
    /// When what is ready is sent; none where nothing is.
    pub(super) send_at: Option<Timestamp>,
    /// When something was sent.
    sent_at: Option<Timestamp>,
    /// How often.
    pub(super) sent: u32,
}

impl Alert {
    /// Where it is, for its group.
    pub(super) fn standing(&self, schedule: &Schedule) -> Standing {
        let ready = self.phase == Phase::Ready;
        let fires = matches!(self.phase, Phase::Firing | Phase::Ending(..));
        let firing = fires.then(|| self.told_at());
        Standing { ready, firing, due: self.due(schedule) }
    }
}

impl Group {
    /// Takes in where a member is now.
    pub(super) fn put(&mut self, member: Member, standing: Standing) {
        self.remove(&member);
        if standing.ready {
            self.ready.insert(member.clone());
        }
        self.firing.extend(standing.firing.map(|told_at| (told_at, member.clone())));
        self.dues.extend(standing.due.map(|due| (due, member.clone())));
        self.members.insert(member, standing);
    }

    pub(super) fn remove(&mut self, member: &Member) {
        let Some(before) = self.members.remove(member) else { return };
        self.ready.remove(member);
        if let Some(told_at) = before.firing {
            self.firing.remove(&(told_at, member.clone()));
        }
        if let Some(due) = before.due {
            self.dues.remove(&(due, member.clone()));
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// The members of which time makes something else now.
    pub(super) fn ripe(&self, now: Timestamp) -> Vec<Member> {
        self.dues.iter().take_while(|(due, _)| *due <= now).map(|(_, member)| member.clone()).collect()
    }

    /// When time makes something else of one of them, after `now`.
    pub(super) fn next_due(&self, now: Timestamp) -> Option<Timestamp> {
        // Who was due before, waits for a watch that cannot be followed.
        self.dues.iter().map(|(due, _)| *due).find(|due| *due > now)
    }

    /// When what is ready is sent.
    pub(super) fn send_at(&mut self, rule: &Rule, now: Timestamp) -> Timestamp {
        let Some(grouping) = &rule.schedule.group else { return now };
        let Times { sent_at, .. } = self.times;
        let at = || {
            sent_at.map_or_else(|| later(now, grouping.wait), |sent| later(sent, grouping.interval).max(now))
        };
        *self.times.send_at.get_or_insert_with(at)
    }

    /// Those of what goes on that are to be told again now.
    pub(super) fn repeats(&self, rule: &Rule, now: Timestamp) -> Vec<&Member> {
        let Some(interval) = rule.schedule.repeat_interval else { return Vec::new() };
        let due = self.firing.iter().take_while(|(told_at, _)| later(*told_at, interval) <= now);
        due.map(|(_, member)| member).collect()
    }

    /// When something that goes on is told again, after `now`.
    pub(super) fn next_repeat(&self, rule: &Rule, now: Timestamp) -> Option<Timestamp> {
        let interval = rule.schedule.repeat_interval?;
        // Who was to be told before, waits for what is in the way.
        self.firing.iter().map(|(told_at, _)| later(*told_at, interval)).find(|at| *at > now)
    }

    /// Until when it is remembered that it was sent, although nobody is in it.
    pub(super) fn rests_until(&self, rule: &Rule) -> Option<Timestamp> {
        Some(later(self.times.sent_at?, rule.schedule.group.as_ref()?.interval))
    }

    /// It was sent, with news or not: what is repeated holds up no news.
    pub(super) fn was_sent(&mut self, now: Timestamp, with_news: bool) {
        self.times.sent = self.times.sent.saturating_add(1);
        if with_news {
            (self.times.send_at, self.times.sent_at) = (None, Some(now));
        }
    }
}

impl Times {
    /// Those of two groups that become one.
    pub(super) fn join(&mut self, other: Self) {
        self.send_at = self.send_at.into_iter().chain(other.send_at).min();
        self.sent_at = self.sent_at.max(other.sent_at);
        self.sent = self.sent.max(other.sent);
    }
}

impl Rule {
    /// The attributes that it groups by; none where it does not.
    pub(super) fn grouped_by(&self) -> String {
        let Some(grouping) = &self.schedule.group else { return String::new() };
        format!("{{{}}}", grouping.by.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))
    }

    /// What the group of an event is called, and what that is made of.
    pub(super) fn group_of(&self, event: &Event) -> (String, String) {
        let Some(grouping) = &self.schedule.group else {
            return (format!("{} {}", event.kind.condition(), event.thing()), String::new());
        };
        let facts = Facts::of(event);
        let named = grouping.by.iter().map(|attribute| {
            format!("{attribute}={}", facts.text(attribute).as_deref().unwrap_or("").trim_matches('"'))
        });
        (format!("{{{}}}", named.collect::<Vec<_>>().join(", ")), self.grouped_by())
    }
}
