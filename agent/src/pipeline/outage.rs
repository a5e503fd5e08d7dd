//! A watch that cannot be followed: told once when it begins and once when it is over, also if Lictor ends meanwhile,
//! and also if several queries follow it.
//!
//! That it was told is kept like what a watch follows: in the snapshot of a watch of its own, which Consul knows
//! nothing of.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::{History, Known, Pipeline, Place, Plan, Routing};
use crate::catalog::LocalNode;
use crate::event::{Change, Health, SourceState, State, suspect};

/// The name in the store under which it is kept that watches cannot be followed.
pub const OUTAGES: &str = "lictor/outages";

/// Several queries of one watch that are in doubt at about the same time are one doubt.
const ONE_DOUBT: Duration = Duration::from_secs(10);

/// What is known of the trouble with one watch, whatever number of queries follows it.
#[derive(Debug, Default)]
pub struct Trouble {
    /// Since when it is told that it cannot be followed.
    told: Option<SourceState>,
    /// The queries that cannot be followed.
    lost: BTreeSet<String>,
    /// When it was told that an answer is in doubt.
    doubted: Option<Instant>,
}

impl Trouble {
    /// What an earlier Lictor has `told`, if it did, of the watch of these `queries`: it holds until each of them is
    /// followed.
    pub fn since(told: Option<SourceState>, queries: impl IntoIterator<Item = String>) -> Self {
        let lost = if told.is_some() { queries.into_iter().collect() } else { BTreeSet::new() };
        Self { told, lost, doubted: None }
    }
}

impl Routing {
    /// What it means that an answer is in doubt: it is told, and no state is another.
    fn doubt(&self, doubt: &SourceState, place: Place<'_>, now: Timestamp) -> Plan {
        let event = self.in_context(History::Live, place, (&Health::unknown(), 0, now), |context| {
            suspect(doubt, context)
        });
        Plan { changes: Vec::new(), events: vec![event] }
    }
}

impl Pipeline {
    /// The watch cannot be followed.
    pub(super) async fn lost(
        &self,
        node: &LocalNode,
        reason: String,
        stop: &CancellationToken,
    ) -> ControlFlow<()> {
        let mut trouble = self.trouble.lock().await;
        trouble.lost.insert(self.name.clone());
        if trouble.told.is_some() {
            return ControlFlow::Continue(());
        }
        let outage = SourceState { watch: self.told_as.clone(), reason, since: Timestamp::now() };
        self.turn(node, (&mut trouble.told, Some(outage)), stop).await
    }

    /// An answer of the watch is in doubt.
    pub(super) async fn suspect(
        &self,
        node: &LocalNode,
        reason: String,
        stop: &CancellationToken,
    ) -> ControlFlow<()> {
        warn!(reason, watch = self.name, "An answer of Consul is in doubt; the leader is asked.");
        let mut trouble = self.trouble.lock().await;
        let before = trouble.doubted.replace(Instant::now());
        if before.is_some_and(|before| before.elapsed() < ONE_DOUBT) {
            return ControlFlow::Continue(());
        }
        let now = Timestamp::now();
        let doubt = SourceState { watch: self.told_as.clone(), reason, since: now };
        let plan = self.line.routing.doubt(&doubt, self.place(node), now);
        self.store(plan, (OUTAGES, node), (0, false, now), stop).await?;
        ControlFlow::Continue(())
    }

    /// The watch is followed.
    pub(super) async fn recovered(&self, node: &LocalNode, stop: &CancellationToken) -> ControlFlow<()> {
        let mut trouble = self.trouble.lock().await;
        trouble.lost.remove(&self.name);
        if trouble.told.is_none() || !trouble.lost.is_empty() {
            return ControlFlow::Continue(());
        }
        self.turn(node, (&mut trouble.told, None), stop).await
    }

    async fn turn(
        &self,
        node: &LocalNode,
        (told, outage): (&mut Option<SourceState>, Option<SourceState>),
        stop: &CancellationToken,
    ) -> ControlFlow<()> {
        let now = Timestamp::now();
        let state = |outage: &SourceState| (outage.watch.clone(), State::Source(Box::new(outage.clone())));
        let over = told.iter().map(state).map(|(watch, state)| Change::Removed(watch, state));
        let begun = outage.iter().map(state).map(|(watch, state)| Change::Added(watch, state));
        let changes = over.chain(begun).collect();
        let states = outage.iter().map(state).collect();
        let known = Known { states, history: History::Live, borrowed: None };
        let plan = self.line.routing.told(&known, self.place(node), changes, (0, now));
        self.store(plan, (OUTAGES, node), (0, false, now), stop).await?;
        *told = outage;
        ControlFlow::Continue(())
    }
}
