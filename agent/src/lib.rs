//! Lictor: from a change in Consul's state to a delivery by a sandboxed plugin.
//!
//! Read `pipeline` first; `app` joins the parts. `ARCHITECTURE.md` has the map.

pub mod admin;
pub mod app;
pub mod bundled;
pub mod catalog;
mod chain;
pub mod cli;
pub mod config;
pub mod consul;
pub mod dispatch;
pub mod event;
pub mod handover;
pub mod logging;
pub mod metrics;
pub mod migrate;
pub mod oci;
pub mod pipeline;
pub mod rehearsal;
pub mod rules;
pub mod shutdown;
pub mod source;
pub mod store;

use lictor_capability::regular;
