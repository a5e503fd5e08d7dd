//! What of a group is sent now, and when to look at it again.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::Rule;
use super::alerts::{Alerts, Decision, Key, Policy, Told};
use super::group::{EVENTS_MAX, Group, GroupKey, Member, Times};

impl Alerts {
    /// Sends of a group what is to be sent now, and says when to look at it again. `touched` are the members that
    /// events told of; none where time or something else is the reason.
    pub(super) fn settle(
        &mut self,
        policy: Policy<'_>,
        (key, touched): (&GroupKey, Option<&BTreeSet<Member>>),
        now: Timestamp,
        decisions: &mut Vec<Decision>,
    ) {
        let Some(mut group) = self.groups.remove(key) else { return };
        let was_due = group.due.take();
        if let Some(due) = was_due {
            self.due.remove(&(due, key.clone()));
        }
        let was_blocked = self.blocked.remove(key);
        let before = group.times;
        let rule = &policy.rules[key.0];
        self.ripen(policy, key, &mut group, now);
        if group.ready.is_empty() {
            group.times.send_at = None;
        }
        let is_ready = self.told(key, &group.ready).next().is_some();
        let send_at = is_ready.then(|| group.send_at(rule, now));
        let mut next = group.next_due(now);
        let mut sent = Vec::new();
        if send_at.is_some_and(|at| at <= now) {
            let new = touched.filter(|_| was_blocked);
            next = earliest(next, was_due.filter(|_| new.is_some()));
            sent = self.free_ready(policy, (key, &group, new), (now, &mut next));
        }
        // What is in the past and was not sent waits for what is in its way.
        next = earliest(next, send_at.filter(|at| *at > now));
        let with_news = !sent.is_empty();
        sent.extend(self.free_repeats(policy, (key, &group), (now, &mut next)));
        if !sent.is_empty() {
            self.send(policy, (key, &mut group), sent, (now, decisions));
            group.was_sent(now, with_news);
        }
        next = earliest(next, group.next_repeat(rule, now));
        self.put_back((key, rule), group, (before, next), now);
    }

    /// Those of a group that are to be sent now, and that nothing is in the way of. Where something is in the way of the
    /// others, `new` are those of which that is not known yet.
    fn free_ready(
        &mut self,
        policy: Policy<'_>,
        (key, group, new): (&GroupKey, &Group, Option<&BTreeSet<Member>>),
        (now, next): (Timestamp, &mut Option<Timestamp>),
    ) -> Vec<Key> {
        if let Some(new) = new {
            self.blocked.insert(key.clone());
            let ready =
                self.told(key, new).filter(|(thing, _, what)| group.ready.contains(&(thing.clone(), *what)));
            let ready = ready.collect();
            if self.free(policy, key, ready, (now, next)).is_empty() {
                return Vec::new();
            }
        }
        let ready = self.told(key, &group.ready).collect();
        self.free(policy, key, ready, (now, next))
    }

    /// What goes on and is told again now, all of the group: where it is time for one that nothing is in the way of.
    fn free_repeats(
        &mut self,
        policy: Policy<'_>,
        (key, group): (&GroupKey, &Group),
        (now, next): (Timestamp, &mut Option<Timestamp>),
    ) -> Vec<Key> {
        let due: Vec<_> = self.told(key, group.repeats(&policy.rules[key.0], now)).collect();
        if due.is_empty() || self.free(policy, key, due, (now, next)).is_empty() {
            return Vec::new();
        }
        let firing = self.told(key, group.firing.iter().map(|(_, member)| member)).collect();
        self.free(policy, key, firing, (now, next))
    }

    /// Keeps a group, unless there is nothing more to know of it.
    fn put_back(
        &mut self,
        (key, rule): (&GroupKey, &Rule),
        mut group: Group,
        (before, due): (Times, Option<Timestamp>),
        now: Timestamp,
    ) {
        let rests_until = group.rests_until(rule).filter(|until| group.is_empty() && *until > now);
        if group.is_empty() && rests_until.is_none() {
            self.changed_groups.insert(key.clone());
            return;
        }
        group.due = due.or(rests_until);
        if let Some(due) = group.due {
            self.due.insert((due, key.clone()));
        }
        if group.times != before {
            self.changed_groups.insert(key.clone());
        }
        self.groups.insert(key.clone(), group);
    }

    /// Those of a group's members whose watch can be followed just now.
    fn told<'a>(
        &'a self,
        (rule, _): &'a GroupKey,
        members: impl IntoIterator<Item = &'a Member> + 'a,
    ) -> impl Iterator<Item = Key> + 'a {
        let keys = members.into_iter().map(|(thing, condition)| (thing.clone(), *rule, *condition));
        keys.filter(|key| self.known.get(key).is_some_and(|alert| !self.is_lost(alert, key.2)))
    }

    /// Has the members of a group take in what time it is.
    fn ripen(&mut self, policy: Policy<'_>, (rule, _): &GroupKey, group: &mut Group, now: Timestamp) {
        for member in group.ripe(now) {
            let key = (member.0.clone(), *rule, member.1);
            if self.known.get(&key).is_some_and(|alert| self.is_lost(alert, key.2)) {
                continue;
            }
            let goes_on = self.known.get_mut(&key).is_some_and(|alert| {
                let (rule, watch) = (&policy.rules[*rule], alert.of.watch.clone());
                alert.ripen(&rule.schedule, |event| rule.fires(event, &watch))
            });
            if let Some(alert) = self.known.get(&key).filter(|_| goes_on) {
                group.put(member, alert.standing(&policy.rules[*rule].schedule));
            } else {
                group.remove(&member);
                self.known.remove(&key);
            }
            self.changed.insert(key);
        }
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
            let goes_on = alert.was_sent(schedule, now);
            self.changed.insert(of.clone());
            if goes_on {
                group.put((of.0, of.2), alert.standing(schedule));
            } else {
                self.known.remove(&of);
                group.remove(&(of.0, of.2));
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
    }
}

fn earliest(one: Option<Timestamp>, other: Option<Timestamp>) -> Option<Timestamp> {
    one.into_iter().chain(other).min()
}
