//! What goes into a call and what comes out of it, as plain data.
//!
//! Boundary: these are our own types, not the generated ones, so that callers do not depend on a version of
//! the contract.

use std::sync::Arc;
use std::time::Duration;

use lictor_capability::Capabilities;

use crate::limits::Limits;

/// One attempt to make one delivery.
pub struct Call {
    /// What to deliver.
    pub delivery: Delivery,
    /// The receiver's configuration, a JSON object.
    pub config: Arc<str>,
    /// What the receiver's grants let the plugin do.
    pub capabilities: Arc<Capabilities>,
    /// What the call may take.
    pub limits: Limits,
}

/// Events on their way to one receiver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// The idempotency key: the same on every attempt.
    pub id: String,
    /// Counts from 1.
    pub attempt: u32,
    /// The rule that sent it.
    pub rule: String,
    /// The receiver that runs the plugin.
    pub receiver: String,
    /// For example `production`; empty where none is configured.
    pub environment: String,
    /// The node that Lictor runs on.
    pub node: String,
    /// At least one.
    pub events: Vec<Event>,
}

/// One change in Consul's state, with `CloudEvents`' attributes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Derived from the change: the same on every agent that sees it.
    pub id: String,
    /// Where it happened, for example `consul://dc1`.
    pub source: String,
    /// The attribute `type`, for example `lictor.check.status`.
    pub kind: String,
    /// What it happened to.
    pub subject: String,
    /// When Lictor saw it: RFC 3339, UTC.
    pub time: String,
    /// What happened, as a JSON object.
    pub data: String,
}

/// What a plugin says about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description {
    /// For example `webhook`.
    pub name: String,
    /// The plugin's own version.
    pub version: String,
    /// One line.
    pub summary: String,
    /// JSON Schema of its configuration, as the plugin wrote it.
    pub config_schema: String,
}

/// How a call ended, and what it took.
#[derive(Debug)]
pub struct Report {
    /// The plugin's receipt, or why there is none.
    pub result: Result<String, Failure>,
    /// Calls that no grant covered, in order: what was asked, and which grant would cover it. At most 16.
    pub refusals: Vec<String>,
    /// How many there were.
    pub refused: u64,
    /// From the start of the call to its end.
    pub duration: Duration,
    /// The most bytes that the guest's memories held at once.
    pub peak_memory: usize,
}

/// Why a delivery was not made. The first three are the plugin's own words; texts are one line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// May work later.
    #[error("{0}")]
    Transient(String),
    /// May work after this time, and not before.
    #[error("{0}")]
    RetryAfter(String, Duration),
    /// Will never work.
    #[error("{0}")]
    Permanent(String),
    /// The plugin gave up after a call that no grant covers.
    #[error("{0}")]
    Refused(String),
    /// The plugin crashed.
    #[error("{0}")]
    Trapped(String),
    /// It was not done in time, or used its CPU time.
    #[error("{0}")]
    Deadline(String),
    /// It needed more memory than its limit.
    #[error("{0}")]
    Memory(String),
}

/// Why a call ended without an answer of the plugin.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallFailure {
    /// The plugin crashed.
    #[error("{0}")]
    Trapped(String),
    /// It was not done in time, or used its CPU time.
    #[error("{0}")]
    Deadline(String),
    /// It needed more memory than its limit.
    #[error("{0}")]
    Memory(String),
    /// It did not begin: as many calls run as there may.
    #[error("{0}")]
    Full(String),
}

impl From<CallFailure> for Failure {
    fn from(failure: CallFailure) -> Self {
        match failure {
            CallFailure::Trapped(text) => Self::Trapped(text),
            CallFailure::Deadline(text) => Self::Deadline(text),
            CallFailure::Memory(text) => Self::Memory(text),
            CallFailure::Full(text) => Self::Transient(text),
        }
    }
}

/// Why a plugin did not say what it needs.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestsError {
    /// It refused the configuration, in its own words.
    #[error("{0}")]
    Config(String),
    /// It did not answer.
    #[error(transparent)]
    Call(#[from] CallFailure),
}
