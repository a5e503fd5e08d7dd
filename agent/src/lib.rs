//! Lictor: from a change in Consul's state to a delivery by a sandboxed plugin.
//!
//! Read `pipeline` first; `app` joins the parts. `ARCHITECTURE.md` has the map.

pub mod catalog;
pub mod dispatch;
pub mod event;
pub mod store;
