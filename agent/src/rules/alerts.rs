//! What the rules make of events over time: pure.
//!
//! `(state, event, now) → (state, decisions)`: [`Alerts`] is the state, and nothing here waits, reads a clock or writes.
//! What goes by in time is told with [`Alerts::tick`]; when that is worth it, [`Alerts::due`] says. All of it is in rows
//! ([`Alerts::changes`]) that are to be stored with the decisions, and is read back from them ([`Alerts::load`]).
//!
//! A rule with nothing of this sends at once and leaves no trace here, unless a silence, an inhibit rule or the clock
//! is in the way.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::alert::{Alert, Reason, Withheld};
use super::group::{Group, GroupKey};
use super::heard::Heard;
use super::step::{Step, Touched};
use super::{InhibitRule, Inhibitions, Rules, Silence};
use crate::event::{Condition, Event, EventType};

/// What is configured of it.
#[derive(Clone, Copy)]
pub struct Policy<'a> {
    /// In the order of the configuration.
    pub rules: &'a Rules,
    /// What hides what.
    pub inhibit_rules: &'a [InhibitRule],
}

/// Who told of an event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Query {
    /// The name of the watch, which rules know.
    pub watch: String,
    /// That of the query, or of one of several that follow the watch.
    pub name: String,
}

/// An event that is to be sent.
#[derive(Clone, Debug, PartialEq)]
pub enum Told {
    /// The one at this position of those that were given.
    New(usize),
    /// One of before.
    Earlier(Box<Event>),
}

/// What becomes of events.
#[derive(Clone, Debug, PartialEq)]
pub enum Decision {
    /// They go to the receivers of a rule, as one delivery.
    Send {
        /// The rule's position.
        rule: usize,
        /// At least one.
        events: Vec<Told>,
        /// What the group is called; none where an event is sent alone.
        group: Option<String>,
        /// How often its group was sent before.
        nth: u32,
    },
    /// It is not sent.
    Withhold {
        /// The rule's position.
        rule: usize,
        /// The one that is not sent.
        event: Box<Event>,
        /// Why.
        reason: Reason,
        /// The same for a person.
        detail: String,
    },
}

/// What is to be stored of an alert or a group, by rule and key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The rule's name.
    pub rule: String,
    /// What of the rule it is.
    pub key: String,
    /// JSON; none where there is nothing to know any more.
    pub state: Option<String>,
    /// When time makes something of it.
    pub due_at: Option<Timestamp>,
}

/// A condition of a thing, and the rule's position: the thing comes first, since an event is about one.
pub(super) type Key = (String, usize, Condition);

/// What is in the way of an event.
pub(super) struct Obstacle {
    pub(super) reason: Reason,
    pub(super) detail: String,
    /// Until when at least; none where that is not known.
    pub(super) until: Option<Timestamp>,
}

/// All that is remembered of events, for the rules.
#[derive(Debug, Default)]
pub struct Alerts {
    pub(super) known: BTreeMap<Key, Alert>,
    pub(super) groups: BTreeMap<GroupKey, Group>,
    /// When time makes something of a group.
    pub(super) due: BTreeSet<(Timestamp, GroupKey)>,
    /// The groups that something is in the way of.
    pub(super) blocked: BTreeSet<GroupKey>,
    /// What hides what now.
    inhibitions: Inhibitions,
    /// What persons want to hear nothing of.
    pub(super) silences: Vec<Silence>,
    /// The events that were told of late.
    heard: Heard,
    /// The silences that ended early, by id.
    pub(super) expired: Vec<(String, Timestamp)>,
    /// The queries that there are.
    queries: BTreeSet<String>,
    /// Those that cannot be followed, with their watches: what they told may be so no more.
    lost: BTreeMap<String, String>,
    pub(super) changed: BTreeSet<Key>,
    pub(super) changed_groups: BTreeSet<GroupKey>,
    /// Rows that the rules have no use for: rule and key.
    pub(super) unknown: Vec<(String, String)>,
}

impl Alerts {
    /// Takes in `events` that a query told, in the order in which they happened.
    pub fn take(
        &mut self,
        policy: Policy<'_>,
        events: &[Event],
        query: &Query,
        now: Timestamp,
    ) -> Vec<Decision> {
        let watch = &query.watch[..];
        let (mut decisions, mut touched) = (Vec::new(), Touched::new());
        for (at, event) in events.iter().enumerate() {
            let before = self.heard.note(&event.id, watch);
            let fired = policy.rules.firing(event, Some(watch));
            let thing = event.thing();
            let standing: Vec<(usize, Condition)> = self.standing(&thing);
            let resolves = self.resolves(event, &thing, now);
            let rules: BTreeSet<usize> =
                fired.iter().copied().chain(standing.iter().map(|(rule, _)| *rule)).collect();
            for rule in rules {
                if before.iter().any(|watch| policy.rules[rule].hears(watch)) {
                    // It is known what this rule makes of it.
                    continue;
                }
                let is_fired = fired.contains(&rule);
                if !is_fired && !policy.rules[rule].ends_by(event, watch) {
                    continue;
                }
                let mut step = Step { policy, rule, now, decisions: &mut decisions, touched: &mut touched };
                self.removed(event, (&thing, &standing), is_fired, &mut step);
                self.said_otherwise(event, (&thing, &standing), &mut step);
                let key = (thing.clone(), rule, event.kind.condition());
                let plain = policy.rules[rule].schedule.is_plain() && !self.known.contains_key(&key);
                if is_fired && plain && self.obstacle(policy, (rule, event), now).is_none() {
                    let events = vec![Told::New(at)];
                    step.decisions.push(Decision::Send { rule, events, group: None, nth: 0 });
                } else if is_fired {
                    self.matched(key, (event, query), &mut step);
                } else {
                    self.over(&key, event, &mut step);
                }
            }
            self.end_silences(&resolves, now);
            // What is not grouped is sent before what comes next.
            let is_alone = |(rule, _): &GroupKey| policy.rules[*rule].schedule.group.is_none();
            let (alone, grouped) = touched.into_iter().partition(|(group, _)| is_alone(group));
            touched = grouped;
            self.settle_all(policy, alone, now, &mut decisions);
        }
        self.settle_all(policy, touched, now, &mut decisions);
        decisions
    }

    /// Takes in that it is `now`.
    pub fn tick(&mut self, policy: Policy<'_>, now: Timestamp) -> Vec<Decision> {
        let mut decisions = Vec::new();
        let due: Vec<GroupKey> =
            self.due.iter().take_while(|(due, _)| *due <= now).map(|(_, group)| group.clone()).collect();
        for group in due {
            self.settle(policy, (&group, None), now, &mut decisions);
        }
        decisions
    }

    fn settle_all(
        &mut self,
        policy: Policy<'_>,
        touched: Touched,
        now: Timestamp,
        decisions: &mut Vec<Decision>,
    ) {
        for (group, members) in touched {
            self.settle(policy, (&group, Some(&members)), now, decisions);
        }
    }

    /// When time makes something of it; none where it does not.
    pub fn due(&self) -> Option<Timestamp> {
        self.due.first().map(|(due, _)| *due)
    }

    /// What rules matched and did not send until now, by the rule's position, and what is in the way.
    pub fn waiting<'a>(&'a self, policy: Policy<'_>) -> Vec<(usize, &'a Event, Reason)> {
        let waits = |(key, alert): (&Key, &'a Alert)| match alert.waits() {
            Some(reason) => Some((key.1, &alert.event, reason)),
            None => Some((key.1, alert.untold(&policy.rules[key.1])?, Reason::KeepFiringFor)),
        };
        self.known.iter().filter_map(waits).collect()
    }

    /// Takes in how a check is now, as [`Inhibitions::observe`] does.
    pub fn observe(&mut self, policy: Policy<'_>, check: &str, event: Option<&Event>) {
        if self.inhibitions.observe(policy.inhibit_rules, check, event) {
            self.look_again();
        }
    }

    /// Consul's indexes began anew: events that are told from now on are others than those before, whatever their ids.
    pub fn begin_anew(&mut self) {
        self.heard.forget();
    }

    /// A query of a watch can be followed, or cannot any more. In the meantime nothing is concluded from time that goes
    /// by about what it told.
    pub fn followed(&mut self, query: &Query, is_followed: bool) {
        self.queries.insert(query.name.clone());
        if !is_followed {
            self.lost.insert(query.name.clone(), query.watch.clone());
        } else if self.lost.remove(&query.name).is_some() {
            let of_watch = self.known.iter().filter(|(_, alert)| alert.of.watch == query.watch);
            let groups: BTreeSet<_> = of_watch.map(|(key, alert)| (key.1, alert.group.clone())).collect();
            for group in groups {
                self.look_at(&group);
            }
        }
    }

    /// What it tells may be so no more. What an earlier configuration asked is a part of what its watch asks now.
    pub(super) fn is_lost(&self, alert: &Alert, condition: Condition) -> bool {
        let Query { watch, name } = &alert.of;
        condition != Condition::Outage
            && (self.lost.contains_key(name)
                || !self.queries.contains(name) && self.lost.values().any(|of| of == watch))
    }

    pub(super) fn look_again(&mut self) {
        for group in self.blocked.clone() {
            self.look_at(&group);
        }
    }

    /// The group is looked at by the next tick.
    pub(super) fn look_at(&mut self, key: &GroupKey) {
        let Some(group) = self.groups.get_mut(key) else { return };
        if let Some(due) = group.due.replace(Timestamp::MIN) {
            self.due.remove(&(due, key.clone()));
        }
        self.due.insert((Timestamp::MIN, key.clone()));
    }

    /// The conditions of a thing that rules remember.
    pub(super) fn standing(&self, thing: &str) -> Vec<(usize, Condition)> {
        if self.known.is_empty() {
            return Vec::new();
        }
        let from = (thing.to_owned(), 0, Condition::Status);
        let of_thing = self.known.range(from..).take_while(|((of, ..), _)| of == thing);
        of_thing.map(|((_, rule, condition), _)| (*rule, *condition)).collect()
    }

    /// Where the thing is gone, all else that was so of it is over.
    fn removed(
        &mut self,
        event: &Event,
        (thing, standing): (&str, &[(usize, Condition)]),
        is_fired: bool,
        step: &mut Step<'_>,
    ) {
        let own = (step.rule, event.kind.condition());
        let others = standing
            .iter()
            .filter(|(rule, condition)| event.kind.removes() && *rule == own.0 && *condition != own.1);
        for (rule, condition) in others {
            let key = (thing.to_owned(), *rule, *condition);
            if is_fired {
                // The event is sent by itself.
                let rule = &step.policy.rules[step.rule];
                step.withhold(self.known.get(&key).and_then(|alert| alert.left(rule)));
                self.forget(&key, step.touched);
            } else {
                self.over(&key, event, step);
            }
        }
    }

    /// A result comes with what the check says now, which is no event of its own then.
    fn said_otherwise(
        &mut self,
        event: &Event,
        (thing, standing): (&str, &[(usize, Condition)]),
        step: &mut Step<'_>,
    ) {
        let says = standing.contains(&(step.rule, Condition::Output)) && event.kind == EventType::CheckStatus;
        if says && !step.policy.rules[step.rule].describes(event) {
            self.over(&(thing.to_owned(), step.rule, Condition::Output), event, step);
        }
    }

    fn matched(&mut self, key: Key, (event, query): (&Event, &Query), step: &mut Step<'_>) {
        let rule = &step.policy.rules[step.rule];
        if self.known.get(&key).is_some_and(|alert| alert.event.id == event.id) {
            // Another watch told of it.
            return;
        }
        let begin = || Alert::begin(event, query, rule.group_of(event));
        let alert = self.known.entry(key.clone()).or_insert_with(begin);
        let untold = alert.untold(rule).cloned();
        let done = alert.matched(event, &rule.schedule, step.now);
        step.withhold(alert.replaced(untold));
        self.after(key, done, step);
    }

    fn over(&mut self, key: &Key, event: &Event, step: &mut Step<'_>) {
        let rule = &step.policy.rules[step.rule];
        let Some(alert) = self.known.get_mut(key).filter(|alert| alert.event.id != event.id) else { return };
        let untold = alert.untold(rule).cloned();
        let done = alert.over(event, false, &rule.schedule, step.now);
        step.withhold(alert.replaced(untold));
        self.after(key.clone(), done, step);
    }

    fn after(&mut self, key: Key, (withheld, goes_on): (Vec<Withheld>, bool), step: &mut Step<'_>) {
        let rule = step.rule;
        step.withhold(withheld);
        if !goes_on {
            return self.forget(&key, step.touched);
        }
        if let Some(alert) = self.known.get(&key) {
            let group = (rule, alert.group.clone());
            let member = (key.0.clone(), key.2);
            let standing = alert.standing(&step.policy.rules[rule].schedule);
            self.groups.entry(group.clone()).or_default().put(member.clone(), standing);
            step.touched.entry(group).or_default().insert(member);
        }
        self.changed.insert(key);
    }

    /// There is nothing more to know of it.
    fn forget(&mut self, key: &Key, touched: &mut Touched) {
        let Some(alert) = self.known.remove(key) else { return };
        let group = (key.1, alert.group);
        if let Some(of) = self.groups.get_mut(&group) {
            of.remove(&(key.0.clone(), key.2));
            touched.entry(group).or_default();
        }
        self.changed.insert(key.clone());
    }

    /// What is in the way of `event`, for a rule.
    pub(super) fn obstacle(
        &self,
        policy: Policy<'_>,
        (rule, event): (usize, &Event),
        now: Timestamp,
    ) -> Option<Obstacle> {
        // What was given up is told at once, here and where it happens.
        if event.kind == EventType::DeliveryDead {
            return None;
        }
        if let Some(detail) = policy.rules[rule].schedule.muted(now) {
            return Some(Obstacle { reason: Reason::Muted, detail, until: Some(next_minute(now)) });
        }
        if let Some(silence) = self.silences.iter().find(|silence| silence.hides(event, now)) {
            let detail =
                format!("the silence {} of {} hides it: {}", silence.id, silence.created_by, silence.comment);
            return Some(Obstacle { reason: Reason::Silenced, detail, until: Some(silence.ends_at) });
        }
        let (hides, check) = self.inhibitions.hides(policy.inhibit_rules, event)?;
        let reason =
            if hides.name == super::inhibit::FLAPPING { Reason::Flapping } else { Reason::Inhibited };
        let detail = format!("the inhibit rule {:?} hides it because of {check}", hides.name);
        Some(Obstacle { reason, detail, until: None })
    }
}

/// Time intervals begin and end with a minute.
fn next_minute(now: Timestamp) -> Timestamp {
    let down = now.as_second().div_euclid(60);
    Timestamp::from_second((down + 1) * 60).unwrap_or(Timestamp::MAX)
}
