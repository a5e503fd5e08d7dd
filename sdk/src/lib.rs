//! Write plugins for Lictor.
//!
//! Lictor runs beside a Consul agent, turns Consul's state into events and delivers them to plugins. A
//! plugin is a WebAssembly component: it reads a delivery, asks the host for the few things that its
//! receiver may do, and says whether the delivery was made. It has no files, no sockets and no
//! environment of its own.
//!
//! # A whole plugin
//!
//! ```
//! use lictor_sdk::{Delivery, Description, Failure, Plugin, Request, append};
//! use serde::Deserialize;
//!
//! /// Appends one line per event to a file.
//! struct Journal;
//!
//! #[derive(Deserialize)]
//! #[serde(deny_unknown_fields)]
//! struct Config {
//!     path: String,
//! }
//!
//! /// The part of an event's data that this plugin reads.
//! #[derive(Deserialize)]
//! struct Change {
//!     service: String,
//!     to: String,
//! }
//!
//! impl Plugin for Journal {
//!     type Config = Config;
//!
//!     fn describe() -> Description {
//!         Description {
//!             name: "journal".into(),
//!             version: "0.1.0".into(),
//!             summary: "Appends one line per event to a file".into(),
//!             config_schema: r#"{
//!                 "type": "object",
//!                 "properties": { "path": { "type": "string" } },
//!                 "required": ["path"],
//!                 "additionalProperties": false
//!             }"#
//!             .into(),
//!         }
//!     }
//!
//!     fn requests(config: &Config) -> Result<Vec<Request>, String> {
//!         Ok(vec![Request::append(&config.path)])
//!     }
//!
//!     fn handle(delivery: &Delivery, config: &Config) -> Result<String, Failure> {
//!         let mut lines = String::new();
//!         for event in &delivery.events {
//!             let change: Change = event.json()?;
//!             lines += &format!("{} {} is {}\n", event.time, change.service, change.to);
//!         }
//!         append::append(&config.path, lines)?;
//!         Ok(format!("{} lines", delivery.events.len()))
//!     }
//! }
//!
//! lictor_sdk::export!(Journal);
//!
//! # #[cfg(not(target_family = "wasm"))]
//! # fn main() {
//! // Its test is a plain test: on any other target than wasm, `testing` takes the host's place.
//! use lictor_sdk::testing::{self, Call, Host};
//! use serde_json::json;
//!
//! let host = Host::start();
//! let delivery = testing::delivery([json!({ "service": "web", "to": "critical" })]);
//! let receipt = testing::handle::<Journal>(&delivery, &json!({ "path": "/var/log/web.log" }));
//! assert_eq!(receipt.unwrap(), "1 lines");
//! assert_eq!(host.calls(), [Call::append("/var/log/web.log", "2026-01-01T00:00:00Z web is critical\n")]);
//! # }
//! # #[cfg(target_family = "wasm")]
//! # fn main() {}
//! ```
//!
//! # Build it
//!
//! A plugin is a library crate with `crate-type = ["cdylib", "rlib"]` (the second lets its tests run):
//!
//! ```text
//! cargo build --release --target wasm32-wasip2
//! ```
//!
//! A small component comes of this profile, which keeps the names for readable traps:
//!
//! ```toml
//! [profile.release]
//! opt-level = "s"
//! lto = true
//! codegen-units = 1
//! panic = "abort"
//! strip = "debuginfo"
//! ```
//!
//! # What to find where
//!
//! - [`Plugin`] is what you implement, [`export!`] makes a component of it.
//! - [`Delivery`] and [`Event`] are what arrives; [`Failure`] says whether to try again.
//! - [`exec`], [`append`], [`http`], [`smtp`] and [`log`] are what a plugin can ask for. An error of
//!   these turns into a [`Failure`] with `?`, so that the usual case needs no code.
//! - [`duration`] reads durations such as `"30s"` in a configuration.
//! - `template` (cargo feature `template`) renders texts that the operator writes.
//! - `testing` is the host that a plugin's own tests run against.

pub mod append;
#[doc(hidden)]
#[rustfmt::skip]
#[expect(
    unreachable_pub, clippy::allow_attributes, clippy::allow_attributes_without_reason, clippy::pedantic, clippy::unwrap_used,
    reason = "generated"
)]
pub mod bindings;
mod delivery;
pub mod duration;
pub mod exec;
mod failure;
#[cfg(target_family = "wasm")]
mod host;
pub mod http;
pub mod log;
mod plugin;
pub mod smtp;
#[cfg(feature = "template")]
pub mod template;
#[cfg(not(target_family = "wasm"))]
pub mod testing;
pub mod watch;

#[cfg(not(target_family = "wasm"))]
use testing as host;

pub use bindings::exports::lictor::plugin::handler::{Description, Request};
pub use bindings::lictor::plugin::types::{Delivery, Event};
pub use failure::{CallError, Failure};
pub use plugin::{Adapter, Plugin};
