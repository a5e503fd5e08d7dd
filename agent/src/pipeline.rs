//! The way of an event: source → diff → rules → store. Read this file first.
//!
//! Boundary: knows no plugin. What was committed is the dispatcher's; it is woken and looks for itself.
//!
//! Invariant: the new snapshot, its events and their deliveries are one commit. An answer is forgotten
//! only when it was committed, so whatever happens in between, the next answer shows the difference again.

use std::time::Duration;

use jiff::Timestamp;
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};

use crate::catalog::{Check, LocalNode};
use crate::event::{CheckState, Context, Event, Snapshot, diff, events};
use crate::rules::{Roles, Rule, route};
use crate::source::{Source, Update};
use crate::store::{Commit, NewDelivery, Store, StoreError};

/// How long to wait before a commit that failed is tried again, at first and at most.
const COMMIT_RETRY: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(30));

/// What turns an answer into events and deliveries. Pure.
#[derive(Debug)]
pub struct Routing {
    /// In the order of the configuration.
    pub rules: Vec<Rule>,
    /// Which node is primary or secondary for which service.
    pub roles: Roles,
    /// `[agent] environment`; without it the node's metadata decides.
    pub environment: Option<String>,
}

/// One watch, followed.
pub struct Pipeline {
    /// The name of the watch in the store.
    pub watch: String,
    /// What turns an answer into events and deliveries.
    pub routing: Routing,
    /// Where all of it is kept.
    pub store: Store,
    /// Called after each commit that holds deliveries.
    pub wake: Box<dyn Fn() + Send>,
}

/// What is known of the watch.
struct Known {
    states: Snapshot<CheckState>,
    /// Nothing was ever committed: what is there now is no news.
    silent: bool,
    /// What differs now happened while Lictor was away.
    catch_up: bool,
}

impl Pipeline {
    /// Follows `source` until `stop`; an answer that was read before is committed first.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn run(self, mut source: Source, stop: CancellationToken) -> Result<(), StoreError> {
        let saved = self.store.load(&self.watch).await?;
        let mut known = match saved {
            Some(saved) => Known { states: saved.states, silent: false, catch_up: true },
            None => Known { states: Snapshot::new(), silent: true, catch_up: false },
        };
        let mut node = None;
        loop {
            let update = tokio::select! {
                biased;
                () = stop.cancelled() => return Ok(()),
                update = source.next() => update,
            };
            match update {
                Update::Node(found) => {
                    info!(node = found.name, datacenter = found.datacenter, "Following the checks of this node.");
                    node = Some(found);
                }
                Update::Checks { checks, index, reset } => {
                    let Some(node) = &node else { continue };
                    let (commit, states) = self.plan(&known, node, checks, (index.get(), reset));
                    if !known.silent && commit.changes.is_empty() && !reset {
                        continue;
                    }
                    if !self.commit(commit, known.silent, &stop).await {
                        return Ok(());
                    }
                    known = Known { states, silent: false, catch_up: false };
                }
                Update::Lost { reason } => warn!(reason, "Consul does not answer; trying again until it does."),
                Update::Recovered => info!("Consul answers again."),
            }
        }
    }
}
