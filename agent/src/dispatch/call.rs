//! The seam between a delivery and the plugin that gets it.

use std::panic::AssertUnwindSafe;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::{fmt, future, panic};

use lictor_capability::Capabilities;
use lictor_host::{Call, Limits, Plugin};
use tracing::{debug, warn};

use super::{Delivery, Failure};
use crate::metrics::{Metrics, Took};

/// A call that is on its way: the plugin's receipt, or why there is none.
pub type Answer<'a> = Pin<Box<dyn Future<Output = Result<String, Failure>> + Send + 'a>>;

/// Makes one attempt of a delivery.
///
/// The future may be dropped at any moment, which ends the attempt.
pub trait Handler: Send + Sync {
    /// Hands `delivery` over.
    fn handle(&self, delivery: Delivery) -> Answer<'_>;
}

/// A loaded plugin with all that one receiver gives it.
pub struct PluginHandler {
    /// The code.
    pub plugin: Plugin,
    /// The receiver's configuration, a JSON object.
    pub config: Arc<str>,
    /// What the receiver's grants let it do.
    pub capabilities: Arc<Capabilities>,
    /// What a call may take.
    pub limits: Limits,
    /// Where its calls are counted.
    pub metrics: Metrics,
}

impl Handler for PluginHandler {
    fn handle(&self, delivery: Delivery) -> Answer<'_> {
        Box::pin(async move {
            let (id, receiver) = (delivery.id.clone(), delivery.receiver.clone());
            let report = self
                .plugin
                .handle(Call {
                    delivery,
                    config: Arc::clone(&self.config),
                    capabilities: Arc::clone(&self.capabilities),
                    limits: self.limits.clone(),
                })
                .await;
            for refusal in &report.refusals {
                warn!(delivery.id = %id, receiver, %refusal, "The plugin asked for what no grant covers.");
            }
            let told = u64::try_from(report.refusals.len()).unwrap_or(u64::MAX);
            let more = report.refused.saturating_sub(told);
            if more > 0 {
                warn!(delivery.id = %id, receiver, more, "The plugin was refused more: like ones are told once, and not all.");
            }
            let (duration, peak_memory) = (report.duration, report.peak_memory);
            let took = Took { refusals: report.refused, time: duration, peak_memory };
            self.metrics.call(&receiver, took);
            debug!(delivery.id = %id, receiver, ?duration, peak_memory, "The call ended.");
            report.result
        })
    }
}

/// How an attempt ended, as a word for logs, metrics and the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was made.
    Delivered,
    /// It may work later.
    Transient,
    /// It may work later, and the receiver says when.
    RetryAfter,
    /// It will never work.
    Permanent,
    /// It needs what no grant covers.
    Refused,
    /// The plugin crashed.
    Trapped,
    /// It was not done in time.
    Deadline,
    /// It needed too much memory.
    Memory,
}

impl Outcome {
    /// The word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Transient => "transient",
            Self::RetryAfter => "retry-after",
            Self::Permanent => "permanent",
            Self::Refused => "refused",
            Self::Trapped => "trapped",
            Self::Deadline => "deadline",
            Self::Memory => "memory",
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl From<&Failure> for Outcome {
    fn from(failure: &Failure) -> Self {
        match failure {
            Failure::Transient(_) => Self::Transient,
            Failure::RetryAfter(..) => Self::RetryAfter,
            Failure::Permanent(_) => Self::Permanent,
            Failure::Refused(_) => Self::Refused,
            Failure::Trapped(_) => Self::Trapped,
            Failure::Deadline(_) => Self::Deadline,
            Failure::Memory(_) => Self::Memory,
        }
    }
}

/// Has `handler` make the attempt, and takes a panic for a crash of the plugin: a delivery must not
/// stay marked as running because of a fault of ours.
pub(super) async fn attempt(handler: &dyn Handler, delivery: Delivery) -> Result<String, Failure> {
    let mut answer = pin!(async move { handler.handle(delivery).await });
    future::poll_fn(|context| {
        // A future that panicked is not polled again, so nobody sees what it left half done.
        panic::catch_unwind(AssertUnwindSafe(|| answer.as_mut().poll(context)))
            .unwrap_or_else(|_| Poll::Ready(Err(Failure::Trapped("the host panicked".into()))))
    })
    .await
}
