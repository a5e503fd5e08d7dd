//! A watch that cannot be followed: told once when it begins and once when it is over, also if Lictor ends meanwhile.
//!
//! That it was told is kept like what a watch follows: in the snapshot of a watch of its own, which Consul knows
//! nothing of.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use jiff::Timestamp;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::{History, Known, Pipeline, Place, Plan, Routing};
use crate::catalog::LocalNode;
use crate::event::{Snapshot, SourceState, State, suspect};

/// The name in the store under which it is kept that watches cannot be followed.
pub const OUTAGES: &str = "lictor/outages";

impl Routing {
    /// What it means that an answer is in doubt: it is told, and no state is another.
    fn doubt(&self, doubt: &SourceState, place: Place<'_>, now: Timestamp) -> Plan {
        let event = self
            .in_context(History::Live, place, (&BTreeSet::new(), 0, now), |context| suspect(doubt, context));
        let deliveries = self.deliveries((0, &event), Some(place.watch), now).collect();
        Plan { states: Snapshot::new(), changes: Vec::new(), events: vec![event], deliveries }
    }
}

impl Pipeline {
    /// The watch cannot be followed.
    pub(super) async fn lost(
        &mut self,
        node: &LocalNode,
        reason: String,
        stop: &CancellationToken,
    ) -> ControlFlow<()> {
        if self.outage.is_some() {
            return ControlFlow::Continue(());
        }
        let now = Timestamp::now();
        let outage = SourceState { watch: self.watch.name(), reason, since: now };
        self.turn(node, Some(outage), stop).await
    }

    /// An answer of the watch is in doubt.
    pub(super) async fn suspect(
        &self,
        node: &LocalNode,
        reason: String,
        stop: &CancellationToken,
    ) -> ControlFlow<()> {
        let (now, watch) = (Timestamp::now(), self.watch.name());
        warn!(reason, watch, "An answer of Consul is in doubt; the leader is asked.");
        let doubt = SourceState { watch: watch.clone(), reason, since: now };
        let plan = self.routing.doubt(&doubt, self.place(node, &watch), now);
        self.store(plan, (OUTAGES.into(), node), (0, false, now), stop).await?;
        ControlFlow::Continue(())
    }

    /// The watch is followed.
    pub(super) async fn recovered(&mut self, node: &LocalNode, stop: &CancellationToken) -> ControlFlow<()> {
        if self.outage.is_none() {
            return ControlFlow::Continue(());
        }
        self.turn(node, None, stop).await
    }

    async fn turn(
        &mut self,
        node: &LocalNode,
        outage: Option<SourceState>,
        stop: &CancellationToken,
    ) -> ControlFlow<()> {
        let now = Timestamp::now();
        let snapshot = |outage: &Option<SourceState>| -> Snapshot<State> {
            outage.iter().map(|outage| (outage.watch.clone(), State::Source(outage.clone()))).collect()
        };
        let known = Known { states: snapshot(&self.outage), history: History::Live };
        let name = self.watch.name();
        let plan = self.routing.compare(&known, self.place(node, &name), snapshot(&outage), (0, now));
        self.store(plan, (OUTAGES.into(), node), (0, false, now), stop).await?;
        self.outage = outage;
        ControlFlow::Continue(())
    }
}
