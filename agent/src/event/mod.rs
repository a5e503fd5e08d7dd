//! Events: what changed, as data that a rule can match and a plugin can read.
//!
//! Boundary: pure. The time is an argument, and nothing here reads, writes or waits.

mod check;
mod diff;
pub(crate) mod id;
mod types;

pub use check::{CheckState, Context, events};
pub use diff::{Change, Snapshot, apply, diff};
pub use types::{CheckData, Event, EventType, NodeRole, Undelivered, UnknownType};
