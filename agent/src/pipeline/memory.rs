//! What the rules remember, shared by all pipelines, and the time that goes by for it.
//!
//! Invariant: what is in memory is what was committed. Whoever changes it has it alone until the commit is done; where a
//! commit is given up because Lictor ends, nobody gets it any more.

use std::ops::ControlFlow;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::{Mutex, MutexGuard, Notify};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::info;

use super::{Line, OUTAGES};
use crate::catalog::LocalNode;
use crate::event::{Event, State};
use crate::rules::{Alerts, Decision, Query, Silence, Told};
use crate::store::{Commit, NewDelivery, RuleState};

/// A due time is one of the wall clock, a sleep is not: after so long it is looked at again, in case the clock was set or
/// the machine slept.
const SLEEP_MAX: Duration = Duration::from_secs(30);

/// What the rules remember.
#[derive(Debug)]
pub struct Memory {
    /// None once a commit was given up.
    alerts: Mutex<Option<Alerts>>,
    /// The node that Lictor runs beside, once one of the pipelines knows it.
    node: Mutex<Option<LocalNode>>,
    /// There may be another due time.
    changed: Notify,
}

/// The alerts of somebody who has them alone.
pub(super) struct Held<'a> {
    guard: MutexGuard<'a, Option<Alerts>>,
    pub(super) alerts: Alerts,
    due: Option<Timestamp>,
}

/// What becomes of some events, in the terms of the store.
#[derive(Debug, Default, PartialEq)]
pub struct Decided {
    /// What is delivered, and what is withheld.
    pub deliveries: Vec<NewDelivery>,
    /// The events of before that are among them.
    pub recalled: Vec<Event>,
}

impl Memory {
    /// Begins with what is known.
    pub fn new(alerts: Alerts) -> Self {
        Self { alerts: Mutex::new(Some(alerts)), node: Mutex::default(), changed: Notify::new() }
    }

    /// Takes the alerts; nobody else has them until they are given back.
    pub(super) async fn take(&self) -> ControlFlow<(), Held<'_>> {
        let mut guard = self.alerts.lock().await;
        match guard.take() {
            Some(alerts) => ControlFlow::Continue(Held { due: alerts.due(), guard, alerts }),
            None => ControlFlow::Break(()),
        }
    }

    pub(super) fn give_back(&self, Held { mut guard, alerts, due }: Held<'_>) {
        let sooner = alerts.due() != due;
        *guard = Some(alerts);
        if sooner {
            self.changed.notify_one();
        }
    }

    /// The silences are these from now on.
    pub async fn silence(&self, silences: Vec<Silence>) {
        if let ControlFlow::Continue(mut held) = self.take().await {
            held.alerts.silence(silences);
            self.give_back(held);
        }
    }

    /// A query is followed, or is not any more.
    pub async fn followed(&self, query: &Query, is_followed: bool) {
        if let ControlFlow::Continue(mut held) = self.take().await {
            held.alerts.followed(query, is_followed);
            self.give_back(held);
        }
    }

    pub(super) async fn located(&self, node: &LocalNode) {
        *self.node.lock().await = Some(node.clone());
        self.changed.notify_one();
    }

    async fn due(&self) -> Option<Timestamp> {
        self.node.lock().await.as_ref()?;
        self.alerts.lock().await.as_ref()?.due()
    }
}

impl Line {
    /// Does what time asks of the rules, until `stop`.
    pub async fn keep_time(self, stop: CancellationToken) {
        loop {
            let wait = async {
                match self.memory.due().await {
                    Some(due) => {
                        let left = Duration::try_from(due.duration_since(Timestamp::now()));
                        tokio::select! {
                            () = sleep(left.unwrap_or_default().min(SLEEP_MAX)) => {}
                            () = self.memory.changed.notified() => {}
                        }
                    }
                    None => self.memory.changed.notified().await,
                }
            };
            if stop.run_until_cancelled(wait).await.is_none() || self.tick(&stop).await.is_break() {
                return;
            }
        }
    }

    /// Takes in what time it is.
    async fn tick(&self, stop: &CancellationToken) -> ControlFlow<()> {
        let now = Timestamp::now();
        let Some(node) = self.memory.node.lock().await.clone() else { return ControlFlow::Continue(()) };
        let mut held = self.memory.take().await?;
        if held.alerts.due().is_none_or(|due| due > now) {
            self.memory.give_back(held);
            return ControlFlow::Continue(());
        }
        let decisions = held.alerts.tick(self.routing.policy(), now);
        let Decided { deliveries, recalled } = self.routing.in_deliveries(&[], decisions, now);
        let rule_states = self.rule_states(&mut held.alerts);
        if !deliveries.is_empty() || !rule_states.is_empty() {
            for delivery in deliveries.iter().filter(|delivery| delivery.withheld.is_none()) {
                let event = recalled.get(delivery.event);
                let (id, subject) = event.map(|event| (&event.id, &event.subject)).unzip();
                let (rule, receiver, events) = (&delivery.rule, &delivery.receiver, delivery.more.len() + 1);
                info!(event.id = id, event.subject = subject, rule, receiver, events, "It is time.");
            }
            let commit = Commit { recalled, deliveries, rule_states, ..self.nothing(&node, now) };
            self.commit(commit, stop).await?;
        }
        self.memory.give_back(held);
        ControlFlow::Continue(())
    }

    /// A commit of nothing that Consul said.
    fn nothing(&self, node: &LocalNode, now: Timestamp) -> Commit {
        Commit {
            watch: OUTAGES.to_owned(),
            told_as: OUTAGES.to_owned(),
            index: 0,
            reset: false,
            changes: Vec::new(),
            events: Vec::new(),
            recalled: Vec::new(),
            deliveries: Vec::new(),
            rule_states: Vec::new(),
            expired: Vec::new(),
            claim: std::collections::BTreeMap::new(),
            node: node.name.clone(),
            environment: self.routing.environment(node).to_owned(),
            now,
        }
    }

    /// What is to be stored of the alerts.
    pub(super) fn rule_states(&self, alerts: &mut Alerts) -> Vec<RuleState> {
        Self::rows(alerts, &self.routing)
    }

    /// What is to be stored of `alerts`, by these rules.
    pub fn rows(alerts: &mut Alerts, routing: &super::Routing) -> Vec<RuleState> {
        let rows = alerts.changes(routing.policy()).into_iter();
        rows.map(|row| RuleState { rule: row.rule, key: row.key, state: row.state, due_at: row.due_at })
            .collect()
    }
}

impl super::Routing {
    /// What becomes of `events` by these decisions, as deliveries.
    pub fn in_deliveries(&self, events: &[Event], decisions: Vec<Decision>, now: Timestamp) -> Decided {
        let mut decided = Decided::default();
        for decision in decisions {
            let (rule, told, group, nth, withheld) = match decision {
                Decision::Send { rule, events, group, nth } => (rule, events, group, nth, None),
                Decision::Withhold { rule, event, reason, detail } => {
                    (rule, vec![Told::Earlier(event)], None, 0, Some((reason.as_str(), detail)))
                }
            };
            let Some(rule) = self.rules.get(rule) else { continue };
            let first = events.len() + decided.recalled.len();
            let mut at = Vec::with_capacity(told.len());
            for event in told {
                match event {
                    Told::New(position) => at.push(position),
                    Told::Earlier(event) => {
                        at.push(first + at.len());
                        decided.recalled.push(*event);
                    }
                }
            }
            for receiver in &rule.receivers {
                let wishes = self.wishes.get(receiver);
                let event = |at: &usize| events.get(*at).or_else(|| decided.recalled.get(*at - events.len()));
                let wanted = |at: &usize| {
                    event(at).is_some_and(|event| wishes.is_none_or(|wishes| wishes.want(event)))
                };
                let mut wanted = at.iter().copied().filter(|at| wanted(at));
                let Some(event) = wanted.next() else { continue };
                decided.deliveries.push(NewDelivery {
                    event,
                    more: wanted.collect(),
                    group: group.clone(),
                    nth,
                    withheld: withheld.clone(),
                    rule: rule.name.clone(),
                    receiver: receiver.clone(),
                    due_at: now,
                    overlap: wishes.map(|wishes| wishes.overlap).unwrap_or_default(),
                    lane: wishes.map(|wishes| wishes.lane).unwrap_or_default(),
                });
            }
        }
        decided
    }
}

impl super::Pipeline {
    /// What is followed, in the terms of the rules.
    pub fn query(&self) -> Query {
        Query { watch: self.told_as.clone(), name: self.name.clone() }
    }

    /// Takes in how the checks among these states are, which may hide something.
    pub(super) fn observe<'a>(
        &self,
        alerts: &mut Alerts,
        states: impl IntoIterator<Item = (&'a str, Option<&'a State>)>,
        (node, now): (&LocalNode, Timestamp),
    ) {
        let policy = self.line.routing.policy();
        for (key, state) in states {
            let event =
                state.and_then(|state| self.line.routing.standing((key, state), self.place(node), now));
            alerts.observe(policy, key, event.as_ref());
        }
    }
}
