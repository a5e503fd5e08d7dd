//! Lictor: from a change in Consul's state to a delivery by a sandboxed plugin.
//!
//! Read `pipeline` first; `app` joins the parts. `ARCHITECTURE.md` has the map.

pub mod bundled;
pub mod catalog;
pub mod config;
pub mod consul;
pub mod event;
pub mod pipeline;
pub mod rules;
pub mod source;
pub mod store;
