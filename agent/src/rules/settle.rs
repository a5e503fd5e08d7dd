//! What of a group is sent now, and when to look at it again.

use jiff::Timestamp;

use super::alert::Phase;
use super::alerts::{Alerts, Decision, Key, Policy, Told};
use super::group::{EVENTS_MAX, Group, GroupKey};

/// What there is of a group.
#[derive(Default)]
struct View {
    /// What is to be sent.
    ready: Vec<Key>,
    /// What goes on.
    firing: Vec<Key>,
    /// Something is ready, be it that its watch cannot be followed just now.
    waits: bool,
    /// When to look at it again.
    next: Option<Timestamp>,
}

impl Alerts {
    /// Sends of a group what is to be sent now, and says when to look at it again.
    pub(super) fn settle(
        &mut self,
        policy: Policy<'_>,
        key: &GroupKey,
        now: Timestamp,
        decisions: &mut Vec<Decision>,
    ) {
        let Some(mut group) = self.groups.remove(key) else { return };
        if let Some(due) = group.due.take() {
            self.due.remove(&(due, key.clone()));
        }
        self.blocked.remove(key);
        let before = group.times;
        let rule = &policy.rules[key.0];
        let view = self.look_through(policy, key, &mut group, now);
        if !view.waits {
            group.times.send_at = None;
        }
        let send_at = (!view.ready.is_empty()).then(|| group.send_at(rule, now));
        let repeat_at = group.repeat_at(rule).filter(|_| !view.firing.is_empty());
        let mut next = view.next;
        let mut sent = match send_at {
            Some(at) if at <= now => self.free(policy, key, view.ready, (now, &mut next)),
            _ => Vec::new(),
        };
        if sent.is_empty() && repeat_at.is_some_and(|at| at <= now) {
            sent = self.free(policy, key, view.firing, (now, &mut next));
        }
        // What is in the past and was not sent waits for what is in its way.
        next = earliest(next, send_at.into_iter().chain(repeat_at).filter(|at| *at > now).min());
        if !sent.is_empty() {
            self.send(policy, (key, &mut group), sent, (now, decisions));
            next = earliest(next, group.repeat_at(rule).filter(|_| !group.members.is_empty()));
        }
        if group.members.is_empty() {
            self.changed_groups.insert(key.clone());
            return;
        }
        group.due = next;
        if let Some(due) = next {
            self.due.insert((due, key.clone()));
        }
        if group.times != before {
            self.changed_groups.insert(key.clone());
        }
        self.groups.insert(key.clone(), group);
    }

    /// Looks at the members of a group: what time made of them, what is ready, and what goes on.
    fn look_through(
        &mut self,
        policy: Policy<'_>,
        (rule, _): &GroupKey,
        group: &mut Group,
        now: Timestamp,
    ) -> View {
        let mut view = View::default();
        for (thing, condition) in group.members.clone() {
            let key = (thing, *rule, condition);
            let Some(alert) = self.known.get(&key) else { continue };
            if self.is_lost(alert, condition) {
                view.waits |= alert.phase == Phase::Ready;
                continue;
            }
            if !self.ripen(policy, &key, now) {
                group.members.remove(&(key.0.clone(), condition));
                self.known.remove(&key);
                self.changed.insert(key);
                continue;
            }
            let Some(alert) = self.known.get(&key) else { continue };
            view.next = earliest(view.next, alert.due(&policy.rules[*rule].schedule));
            match alert.phase {
                Phase::Ready => {
                    view.waits = true;
                    view.ready.push(key);
                }
                Phase::Firing => view.firing.push(key),
                Phase::Counting | Phase::Held | Phase::Ending(..) => {}
            }
        }
        view
    }

    /// Has an alert take in what time it is, and says whether there is still something to do.
    fn ripen(&mut self, policy: Policy<'_>, key: &Key, now: Timestamp) -> bool {
        let rule = &policy.rules[key.1];
        let Some(alert) = self.known.get_mut(key) else { return false };
        if alert.due(&rule.schedule).is_none_or(|due| due > now) {
            return true;
        }
        self.changed.insert(key.clone());
        let watch = alert.of.watch.clone();
        alert.ripen(&rule.schedule, |event| rule.fires(event, &watch))
    }

    /// Those of these alerts, which are to be sent now, that nothing is in the way of.
    fn free(
        &mut self,
        policy: Policy<'_>,
        group: &GroupKey,
        keys: Vec<Key>,
        (now, next): (Timestamp, &mut Option<Timestamp>),
    ) -> Vec<Key> {
        let mut free = Vec::with_capacity(keys.len());
        for key in keys {
            let Some(alert) = self.known.get(&key) else { continue };
            let Some(obstacle) = self.obstacle(policy, (key.1, &alert.event), now) else {
                free.push(key);
                continue;
            };
            self.blocked.insert(group.clone());
            *next = earliest(*next, obstacle.until);
            let blocked = Some((obstacle.reason, obstacle.detail));
            if let Some(alert) = self.known.get_mut(&key).filter(|alert| alert.blocked != blocked) {
                alert.blocked = blocked;
                self.changed.insert(key);
            }
        }
        free
    }

    /// Sends the events of these alerts as one delivery.
    fn send(
        &mut self,
        policy: Policy<'_>,
        (key, group): (&GroupKey, &mut Group),
        sent: Vec<Key>,
        (now, decisions): (Timestamp, &mut Vec<Decision>),
    ) {
        let schedule = &policy.rules[key.0].schedule;
        let mut events = Vec::new();
        for of in sent {
            let Some(alert) = self.known.get_mut(&of) else { continue };
            events.push(alert.event.clone());
            let goes_on = alert.was_sent(schedule);
            self.changed.insert(of.clone());
            if !goes_on {
                self.known.remove(&of);
                group.members.remove(&(of.0, of.2));
            }
        }
        events.sort_by(|one, other| (one.time, &one.subject).cmp(&(other.time, &other.subject)));
        let name = schedule.group.is_some().then(|| key.1.clone());
        for part in events.chunks(EVENTS_MAX) {
            let events = part.iter().map(|event| Told::Earlier(Box::new(event.clone()))).collect();
            decisions.push(Decision::Send {
                rule: key.0,
                events,
                group: name.clone(),
                nth: group.times.sent,
            });
        }
        group.was_sent(now);
    }
}

fn earliest(one: Option<Timestamp>, other: Option<Timestamp>) -> Option<Timestamp> {
    one.into_iter().chain(other).min()
}
