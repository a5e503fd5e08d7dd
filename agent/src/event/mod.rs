//! Events: what changed, as data that a rule can match and a plugin can read.
//!
//! Boundary: pure. The time is an argument, and nothing here reads, writes or waits.

mod check;
mod condition;
mod connect;
mod data;
mod diff;
mod flapping;
mod health;
pub(crate) mod id;
mod instance;
mod key;
mod node;
mod service;
mod source;
mod state;
mod types;
mod user_event;

pub use check::CheckState;
pub use condition::Condition;
pub use data::{
    About, CheckData, EventData, FiredData, InstanceData, InstanceFacts, KeyData, LeafData, NodeData,
    RootData, ServiceData, SourceData, Undelivered,
};
pub use diff::{Change, Snapshot, age, follow};
pub use health::Health;
pub use source::{SourceState, suspect};
pub use state::{Clock, Context, State, Timing, events, standing};
pub use types::{Event, EventType, NodeRole, UnknownType};
