//! Rules on a simulated clock: what becomes of a sequence of events, without Consul, a store or a plugin.
//!
//! Boundary: decides nothing itself. It gives the rules what a pipeline gives them, and the time that a test says.

use jiff::Timestamp;

use crate::catalog::CheckStatus;
use crate::event::{About, CheckData, Event, EventType};
use crate::pipeline::{Decided, Routing};
use crate::rules::{Alerts, Decision, Query, Silence};
use crate::store::NewDelivery;

/// What is done with events at some time.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// When.
    pub at: Timestamp,
    /// The rule that says it.
    pub rule: String,
    /// The receiver that gets them, or does not.
    pub receiver: String,
    /// In the order in which they are sent; at least one.
    pub events: Vec<Event>,
    /// Why they are not sent: a word, and a text.
    pub withheld: Option<(&'static str, String)>,
}

/// Rules that are tried out.
pub struct Rehearsal<'a> {
    routing: &'a Routing,
    alerts: Alerts,
    silences: Vec<Silence>,
    outcomes: Vec<Outcome>,
}

impl<'a> Rehearsal<'a> {
    /// Nothing has happened yet.
    pub fn new(routing: &'a Routing) -> Self {
        Self { routing, alerts: Alerts::default(), silences: Vec::new(), outcomes: Vec::new() }
    }

    /// Adds a silence, at the time at which it starts.
    pub fn silence(&mut self, silence: Silence) {
        let now = silence.starts_at;
        self.until(now);
        // Those that ended early stay so.
        for (id, at) in self.alerts.expired() {
            if let Some(silence) = self.silences.iter_mut().find(|silence| silence.id == id) {
                silence.ends_at = at;
            }
        }
        self.silences.push(silence);
        self.alerts.silence(self.silences.clone());
        self.tick(now);
    }

    /// Lets time go by until `now`, doing what is due on the way.
    pub fn until(&mut self, now: Timestamp) {
        while let Some(due) = self.alerts.due().filter(|due| *due <= now) {
            self.tick(due);
        }
    }

    fn tick(&mut self, now: Timestamp) {
        let decisions = self.alerts.tick(self.routing.policy(), now);
        self.note(&[], decisions, now);
    }

    /// Events of one answer to the query of `watch`, all at the time `now`.
    pub fn events(&mut self, events: &[Event], watch: &str, now: Timestamp) {
        self.until(now);
        for event in events {
            self.observe(event);
        }
        let query = Query { watch: watch.to_owned(), name: watch.to_owned() };
        let decisions = self.alerts.take(self.routing.policy(), events, &query, now);
        self.note(events, decisions, now);
        // What was hidden by what is over now.
        self.tick(now);
    }

    /// Does some rule send the event, if nothing is in the way?
    pub fn is_wanted(&self, event: &Event, watch: &str) -> bool {
        !self.routing.rules.firing(event, Some(watch)).is_empty()
    }

    /// All that was done, in order, and last what still waits, at the times at which it happened.
    pub fn into_outcomes(mut self) -> Vec<Outcome> {
        for (rule, event, reason) in self.alerts.waiting(self.routing.policy()) {
            let rule = &self.routing.rules[rule];
            self.outcomes.extend(rule.receivers.iter().map(|receiver| Outcome {
                at: event.time,
                rule: rule.name.clone(),
                receiver: receiver.clone(),
                events: vec![event.clone()],
                withheld: Some((reason.as_str(), "it still waits at the end".to_owned())),
            }));
        }
        self.outcomes
    }

    fn note(&mut self, events: &[Event], decisions: Vec<Decision>, at: Timestamp) {
        // Rows are for the store.
        drop(self.alerts.changes(self.routing.policy()));
        let Decided { deliveries, recalled } = self.routing.in_deliveries(events, decisions, at);
        let event = |at: usize| events.get(at).or_else(|| recalled.get(at.checked_sub(events.len())?));
        let outcome = |delivery: NewDelivery| Outcome {
            at,
            rule: delivery.rule,
            receiver: delivery.receiver,
            events: std::iter::once(delivery.event).chain(delivery.more).filter_map(event).cloned().collect(),
            withheld: delivery.withheld,
        };
        self.outcomes.extend(deliveries.into_iter().map(outcome));
    }

    /// Takes in what an event says of a state that may hide something.
    fn observe(&mut self, event: &Event) {
        let About::Check(check) = &event.data.about else { return };
        let (key, seen) = match event.kind {
            EventType::CheckStatus => (event.subject.clone(), Some(check.clone())),
            EventType::CheckDeregistered => (event.subject.clone(), None),
            EventType::FlappingStarted | EventType::FlappingStopped => {
                let flapping = event.kind == EventType::FlappingStarted;
                (event.subject.clone(), Some(CheckData { flapping, ..check.clone() }))
            }
            EventType::NodeFailed | EventType::NodeRecovered => {
                let fails = event.kind == EventType::NodeFailed;
                let check_id = "serfHealth".to_owned();
                let dead = CheckData { check_id, to: Some(CheckStatus::Critical), ..check.clone() };
                (format!("{}/serfHealth", check.node), fails.then_some(dead))
            }
            EventType::MaintenanceStarted | EventType::MaintenanceEnded => {
                let starts = event.kind == EventType::MaintenanceStarted;
                let marked = CheckData { to: Some(CheckStatus::Critical), ..check.clone() };
                (format!("{}/{}", check.node, check.check_id), starts.then_some(marked))
            }
            _ => return,
        };
        let hides = |check: &CheckData| check.flapping || check.to != Some(CheckStatus::Passing);
        let seen = seen.filter(hides).map(|check| {
            let mut seen = Event { kind: EventType::CheckStatus, ..event.clone() };
            seen.data.about = About::Check(check);
            seen
        });
        self.alerts.observe(self.routing.policy(), &key, seen.as_ref());
    }
}
