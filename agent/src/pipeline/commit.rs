//! From a plan to what is stored and handed over.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::time::Duration;

use jiff::Timestamp;
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info};

use super::{Decided, Line, Pipeline, Plan};
use crate::catalog::{CheckStatus, LocalNode};
use crate::chain::chain;
use crate::event::Event;
use crate::handover::Slot;
use crate::store::{Commit, Committed, NewDelivery};

/// How long to wait before a commit that failed is tried again, at first; it doubles each time.
const COMMIT_RETRY: Duration = Duration::from_millis(500);
/// How long to wait at most: a disk that has room again is noticed within this time.
const COMMIT_RETRY_MAX: Duration = Duration::from_secs(15);

impl Pipeline {
    /// Commits what a plan says to the watch of that name in the store with what the rules make of it.
    pub(super) async fn store(
        &self,
        plan: Plan,
        (watch, node): (&str, &LocalNode),
        (index, reset, now): (u64, bool, Timestamp),
        stop: &CancellationToken,
    ) -> ControlFlow<()> {
        let Plan { changes, events } = plan;
        let Line { memory, routing, .. } = &self.line;
        let mut held = memory.take().await?;
        if reset {
            held.alerts.begin_anew();
        }
        let told = changes.iter().map(|change| (change.parts().0, change.parts().2));
        self.observe(&mut held.alerts, told, (node, now));
        let decisions = held.alerts.take(routing.policy(), &events, &self.query(), now);
        let Decided { deliveries, recalled } = routing.in_deliveries(&events, decisions, now);
        let commit = Commit {
            watch: watch.to_owned(),
            told_as: self.told_as.clone(),
            index,
            reset,
            changes,
            events,
            recalled,
            deliveries,
            rule_states: self.line.rule_states(&mut held.alerts),
            expired: held.alerts.expired(),
            claim: BTreeMap::new(),
            node: node.name.clone(),
            environment: routing.environment(node).to_owned(),
            now,
        };
        self.line.commit(commit, stop).await?;
        memory.give_back(held);
        ControlFlow::Continue(())
    }
}

impl Line {
    /// Commits, however often it takes (a disk may be full for a while), and hands the deliveries over.
    pub(super) async fn commit(&self, mut commit: Commit, stop: &CancellationToken) -> ControlFlow<()> {
        let mut delay = COMMIT_RETRY;
        let begun = loop {
            let slots = self.reserve(&commit.deliveries);
            commit.claim = slots.iter().map(|(receiver, slots)| (receiver.clone(), slots.len())).collect();
            match self.store.commit(&commit, self.hand_over(slots)).await {
                Ok(begun) => break begun,
                Err(error) => {
                    error!(error = chain(&error), retry_in = ?delay, "The store cannot write; nothing new is taken in.");
                }
            }
            if stop.run_until_cancelled(tokio::time::sleep(delay)).await.is_none() {
                return ControlFlow::Break(());
            }
            delay = (delay * 2).min(COMMIT_RETRY_MAX);
        };
        for delivery in &commit.deliveries {
            if let Some((reason, _)) = delivery.withheld {
                self.metrics.withheld(&delivery.rule, reason);
            }
        }
        // Where the cores are busy, the calls begin before their lines are written.
        std::thread::yield_now();
        if begun < commit.deliveries.len() {
            for delivery in &commit.deliveries {
                self.inlets.wake(&delivery.receiver);
            }
        }
        for (at, event) in commit.events.iter().enumerate() {
            tell(event, commit.deliveries.iter().filter(|delivery| delivery.event == at).count());
        }
        ControlFlow::Continue(())
    }

    /// Has made what a commit claimed, ends what it replaced, and gives back the slots that are left. Gives how many
    /// calls begin.
    fn hand_over(
        &self,
        mut slots: BTreeMap<String, Vec<Slot>>,
    ) -> impl FnOnce(Committed) -> usize + Send + 'static {
        let inlets = self.inlets.clone();
        move |Committed { claimed, replaced }| {
            let begun = claimed.len();
            for claimed in claimed {
                if let Some(slot) = slots.get_mut(&claimed.receiver).and_then(Vec::pop) {
                    slot.begin(claimed);
                }
            }
            for replaced in &replaced {
                inlets.end(replaced);
            }
            begun
        }
    }

    /// As many slots for these deliveries as their receivers have free.
    fn reserve(&self, deliveries: &[NewDelivery]) -> BTreeMap<String, Vec<Slot>> {
        let mut slots = BTreeMap::<_, Vec<_>>::new();
        for NewDelivery { receiver, .. } in deliveries {
            if let Some(slot) = self.inlets.reserve(receiver) {
                slots.entry(receiver.clone()).or_default().push(slot);
            }
        }
        slots
    }
}

/// One line for each event; an event that no rule wants is worth one only to those who look closely.
fn tell(event: &Event, deliveries: usize) {
    let word = |status: Option<CheckStatus>| status.map_or("none", CheckStatus::as_str);
    let check = event.data.check();
    let (from, to) = (check.map(|check| word(check.from)), check.map(|check| word(check.to)));
    let (kind, catch_up) = (event.kind.as_str(), event.data.catch_up);
    if deliveries == 0 {
        debug!(event.id, event.subject, from, to, catch_up, "{kind}: no rule wants it.");
    } else {
        info!(event.id, event.subject, from, to, catch_up, deliveries, "{kind}");
    }
}
