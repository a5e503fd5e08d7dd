//! The way of an event: source → diff → rules → store. Read this file first.
//!
//! Boundary: knows no plugin. What a commit has claimed is handed over to the dispatcher, which looks for the
//! rest itself.
//!
//! Invariant: the new snapshot, its events and their deliveries are one commit, and nothing else is asked before it is
//! done. Where Lictor ends before, the first answer after its next start shows the difference again.

mod commit;
mod death;
mod memory;
mod outage;
mod routing;

use std::future::pending;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
pub use memory::{Decided, Memory};
pub use outage::{OUTAGES, Trouble};
use routing::went_back;
pub use routing::{Answer, Borrowed, History, Known, Place, Plan, Routing, Wishes};
use tokio::sync::Mutex;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::catalog::LocalNode;
use crate::chain::chain;
use crate::event::State;
use crate::handover::Inlets;
use crate::metrics::Metrics;
use crate::source::{Source, Update, Watch};
use crate::store::Store;

/// One query, followed: that of a watch, or one of several that follow it.
pub struct Pipeline {
    /// What is followed.
    pub watch: Watch,
    /// Under which name its answers are kept.
    pub name: String,
    /// The name of the watch that rules know, and that the trouble with it is told of.
    pub told_as: String,
    /// What becomes of an answer.
    pub line: Line,
    /// What is known of the trouble with the watch; all its queries share it.
    pub trouble: Arc<Mutex<Trouble>>,
}

/// What all pipelines share: from an answer to what was committed and handed over.
#[derive(Clone)]
pub struct Line {
    /// What an answer means.
    pub routing: Arc<Routing>,
    /// What the rules remember.
    pub memory: Arc<Memory>,
    /// Where all of it is kept.
    pub store: Store,
    /// Where what was committed is delivered.
    pub inlets: Inlets,
    /// Where it is counted what is not sent.
    pub metrics: Metrics,
}

/// What a pipeline knows while it follows its source.
struct Following {
    known: Known,
    /// The node, once the source has said which.
    here: Option<LocalNode>,
    /// The index of the last answer; none before the first one.
    index: Option<u64>,
    /// The source is lost, or was not asked yet, so nothing is concluded from time that goes by.
    lost: bool,
    /// It is lost no more. What it has to tell comes at once, or nothing changed.
    recovered: bool,
}

impl Pipeline {
    /// Follows `source`, from what is `known`, until `stop`.
    pub async fn run(self, known: Known, mut source: Source, stop: CancellationToken) {
        let mut following = Following { known, here: None, index: None, lost: true, recovered: false };
        loop {
            let next = async {
                tokio::select! {
                    biased;
                    update = source.next() => Some(update),
                    () = self.due(&following) => None,
                }
            };
            let flow = match stop.run_until_cancelled(next).await {
                None => return,
                Some(Some(update)) => self.update(&mut following, update, &stop).await,
                Some(None) => self.age(&mut following, &stop).await,
            };
            if flow.is_break() {
                return;
            }
        }
    }

    async fn update(
        &self,
        following: &mut Following,
        update: Update,
        stop: &CancellationToken,
    ) -> ControlFlow<()> {
        let name = &self.name;
        if let Update::Node(node) = update {
            self.located(following, node).await;
            return ControlFlow::Continue(());
        }
        if let Update::Lost { reason } = &update {
            self.is_followed(following, false).await;
            warn!(reason, watch = name, "Consul cannot be followed; trying until it can.");
        }
        // Before the first answer ever there is no node that an event could be of.
        let Following { known, here: Some(node), index, .. } = following else {
            return ControlFlow::Continue(());
        };
        match update {
            Update::Node(_) => ControlFlow::Continue(()),
            Update::Suspect { reason } => self.suspect(node, reason, stop).await,
            Update::Lost { reason } => self.lost(node, reason, stop).await,
            Update::Recovered => {
                following.recovered = true;
                info!(watch = name, "Consul is followed again.");
                self.recovered(node, stop).await
            }
            Update::Entries { entries, index: now, reset } => {
                // A loss that was told before Lictor's own start was no loss of this source.
                self.recovered(node, stop).await?;
                *index = Some(now.get());
                self.take(known, node, Answer { entries, index: now.get(), reset }, stop).await?;
                self.is_followed(following, true).await;
                ControlFlow::Continue(())
            }
        }
    }

    /// What is known is so now, or may be so no more.
    async fn is_followed(&self, following: &mut Following, is_followed: bool) {
        following.recovered = false;
        if following.lost == is_followed {
            following.lost = !is_followed;
            self.line.memory.followed(&self.query(), is_followed).await;
        }
    }

    async fn located(&self, following: &mut Following, node: LocalNode) {
        let what = &self.watch.what;
        info!(node = node.name, datacenter = node.datacenter, "Following {}.", what.in_words());
        let is_other = |state: &State| state.node_name().is_some_and(|of| of != node.name);
        if what.is_of_this_node() && following.known.states.values().any(is_other) {
            warn!("What is known is of another node; its end and the beginning of this one tell nothing.");
            following.known.history = History::None;
        }
        self.line.memory.located(&node).await;
        if let ControlFlow::Continue(mut held) = self.line.memory.take().await {
            let known = following.known.states.iter().map(|(key, state)| (&key[..], Some(state)));
            self.observe(&mut held.alerts, known, (&node, Timestamp::now()));
            self.line.memory.give_back(held);
        }
        following.here = Some(node);
    }

    /// Waits until what is known means something else because of the time that went by; for ever where it does not.
    async fn due(&self, following: &Following) {
        if following.recovered {
            return;
        }
        let is_true = following.index.is_some() && !following.lost;
        let at = is_true.then(|| self.line.routing.due_at(&following.known)).flatten();
        match at {
            // The wall clock may be set meanwhile; then the next update looks at it again.
            Some(at) => {
                sleep(Duration::try_from(at.duration_since(Timestamp::now())).unwrap_or_default()).await;
            }
            None => pending().await,
        }
    }

    /// Takes in that time went by.
    async fn age(&self, following: &mut Following, stop: &CancellationToken) -> ControlFlow<()> {
        if following.recovered {
            self.is_followed(following, true).await;
            return ControlFlow::Continue(());
        }
        let Following { known, here: Some(node), index: Some(index), .. } = following else {
            return ControlFlow::Continue(());
        };
        let now = Timestamp::now();
        let plan = self.line.routing.age(known, self.place(node), (*index, now));
        self.settle((known, plan), node, (*index, false, now), stop).await
    }

    /// Takes one answer about `node` in: what it means after what is `known` is committed and handed over.
    pub async fn take(
        &self,
        known: &mut Known,
        node: &LocalNode,
        answer: Answer,
        stop: &CancellationToken,
    ) -> ControlFlow<()> {
        let Answer { index, reset, .. } = answer;
        let now = Timestamp::now();
        let plan = self.line.routing.plan(known, self.place(node), answer, now);
        let reset = reset || went_back(&plan.changes);
        self.settle((known, plan), node, (index, reset, now), stop).await
    }

    /// Commits a plan if there is something to commit, and goes on from there.
    async fn settle(
        &self,
        (known, plan): (&mut Known, Plan),
        node: &LocalNode,
        (index, reset, now): (u64, bool, Timestamp),
        stop: &CancellationToken,
    ) -> ControlFlow<()> {
        let is_new = known.history == History::None || known.borrowed.is_some();
        if is_new || reset || !plan.changes.is_empty() {
            self.store(plan, (&self.name, node), (index, reset, now), stop).await?;
        }
        known.history = History::Live;
        if let Some(Borrowed { from, .. }) = known.borrowed.take()
            && let Err(error) = self.line.store.forget(from).await
        {
            warn!(error = chain(&error), "What earlier queries knew stays in the store for now.");
        }
        ControlFlow::Continue(())
    }

    /// Where an answer of this query comes from.
    fn place<'a>(&'a self, node: &'a LocalNode) -> Place<'a> {
        Place {
            node,
            datacenter: self.watch.datacenter.as_ref().unwrap_or(&node.datacenter),
            watch: &self.told_as,
            is_a_choice: self.watch.is_a_choice(),
            by_status: self.watch.is_by_status(),
            user_events: self.watch.what.user_events(),
        }
    }
}

#[cfg(test)]
mod tests;
