//! From a delivery that is due to a verdict in the store.
//!
//! Each receiver has one task that claims, or is handed what a commit claimed, and one task per call
//! (`worker`). Receivers share nothing
//! but the store, so one that is slow or down delays no other. What a failure means is decided in
//! `retry`. The order of a subject is kept by the store, which hands out its first open delivery only.
//!
//! Boundary: knows the store and the host. Consul, watches and rules are not known here.

mod call;
mod rate;
mod retry;
mod worker;

#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::Timestamp;
use tokio::runtime::Handle;
use tokio::task::JoinSet;

pub use call::{Answer, Handler, Outcome, PluginHandler};
pub use lictor_host::{Delivery, Event, Failure};
pub use rate::RateLimit;
pub use retry::{Decision, RETRY_AFTER_MAX, RetryPolicy, Tries, decide};

use crate::handover::{Inlets, Outlet};
use crate::metrics::Metrics;
use crate::shutdown::Shutdown;
use crate::store::{AfterDeath, Aftermath, Store};
use rate::Bucket;
use worker::{Trouble, Worker};

/// Calls of one receiver that run side by side, unless it is configured otherwise.
pub const MAX_IN_FLIGHT: usize = 4;

/// As many as a receiver can be configured to have: a guest's memory is needed for each.
pub const MAX_IN_FLIGHT_MAX: u32 = 64;

/// How long calls that run at a shutdown may go on, unless it is configured otherwise.
pub const GRACE: Duration = Duration::from_secs(10);

/// One configured plugin and how deliveries are made to it.
#[derive(Clone)]
pub struct Receiver {
    /// As the configuration says; deliveries name it.
    pub name: String,
    /// Makes the calls.
    pub handler: Arc<dyn Handler>,
    /// What happens after a failure.
    pub retry: RetryPolicy,
    /// How many calls begin within a time; none is as many as can.
    pub rate_limit: Option<RateLimit>,
    /// How many calls run side by side, each for another subject: 1 to [`MAX_IN_FLIGHT_MAX`], and what is
    /// beyond is taken for the nearest.
    pub max_in_flight: usize,
}

impl Receiver {
    /// A receiver with the default policy.
    pub fn new(name: impl Into<String>, handler: Arc<dyn Handler>) -> Self {
        Self {
            name: name.into(),
            handler,
            retry: RetryPolicy::default(),
            max_in_flight: MAX_IN_FLIGHT,
            rate_limit: None,
        }
    }

    fn slots(&self) -> usize {
        self.max_in_flight.clamp(1, MAX_IN_FLIGHT_MAX as usize)
    }
}

/// Tells the time.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// What all receivers have in common.
#[derive(Clone)]
pub struct Settings {
    /// How long calls that run at a shutdown may go on. Default: [`GRACE`].
    pub grace: Duration,
    /// The wall clock, which due times are compared with.
    pub clock: Clock,
    /// What follows from it that a delivery is given up. Default: nothing.
    pub after_death: AfterDeath,
    /// Where attempts are counted. Default: nowhere that anybody looks.
    pub metrics: Metrics,
    /// The receivers that these ones take over from, whose calls may still run. Default: none.
    pub earlier: Inlets,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            grace: GRACE,
            clock: Arc::new(Timestamp::now),
            metrics: Metrics::default(),
            earlier: Inlets::default(),
            after_death: Arc::new(|_, _, _| Aftermath::default()),
        }
    }
}

/// The running receivers. Dropping it ends them as an abort does.
#[derive(Debug)]
pub struct Dispatcher {
    workers: JoinSet<()>,
    inlets: Inlets,
}

impl Dispatcher {
    /// Starts to work on what is due for `receivers`, on `runtime`, which is to be that of the calls: between a
    /// commit and its call only one thread is woken then. The store is to be recovered before. The names of
    /// receivers are unique.
    pub fn start(
        runtime: &Handle,
        store: &Store,
        receivers: Vec<Receiver>,
        settings: &Settings,
        shutdown: &Shutdown,
    ) -> Self {
        let trouble = Arc::new(Trouble::default());
        let mut inlets = Inlets::default();
        let add = |receiver: Receiver| {
            let limited = receiver.rate_limit.is_some();
            (inlets.add(receiver.name.clone(), receiver.slots(), limited, &settings.earlier), receiver)
        };
        let receivers: Vec<_> = receivers.into_iter().map(add).collect();
        let mut workers = JoinSet::new();
        for (outlet, receiver) in receivers {
            let Outlet { slots, begun, wake, running } = outlet;
            let worker = Worker {
                bucket: Mutex::new(receiver.rate_limit.map(Bucket::full)),
                receiver,
                store: store.clone(),
                settings: settings.clone(),
                slots,
                wake,
                running,
                inlets: inlets.clone(),
                trouble: Arc::clone(&trouble),
                retire: shutdown.retire.clone(),
            };
            workers.spawn_on(Arc::new(worker).run(begun, shutdown.clone()), runtime);
        }
        Self { workers, inlets }
    }

    /// What the pipeline hands deliveries to.
    pub fn inlets(&self) -> Inlets {
        self.inlets.clone()
    }

    /// Waits until a receiver's task breaks, which only a fault of ours can do to it.
    pub async fn broken(&mut self) {
        loop {
            match self.workers.join_next().await {
                Some(Err(_)) => return,
                Some(Ok(())) => {}
                None => std::future::pending().await,
            }
        }
    }

    /// Waits until all receivers have ended, which they do once they are retired.
    pub async fn finish(mut self) {
        while self.workers.join_next().await.is_some() {}
    }
}
