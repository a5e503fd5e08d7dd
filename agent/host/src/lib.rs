//! The sandbox: loads a plugin's component and calls it within limits.
//!
//! The way of a call, and where to read it:
//!
//! 1. [`Host`] holds what all plugins share: one engine, one linker, the guests' own runtime (`host.rs`), and what
//!    instances are made of (`pool.rs`).
//! 2. [`Host::load`] reads a component's imports and exports (`inspect.rs`), compiles it or takes it from
//!    the cache (`cache.rs`), and instantiates it once, so that a wrong type is found before it matters.
//! 3. [`Plugin::handle`] takes an instance that nobody has used (`instance.rs`), calls it on a thread where it holds up
//!    nobody (`heavy.rs`, `turns.rs`), and throws it away (`plugin.rs`). What the guest calls back arrives in `guest.rs`, or in
//!    `wasi.rs` if its language's runtime calls; what it may take is bounded in `limits.rs` and `meter.rs`; what it
//!    writes is bounded in `printed.rs` and `log.rs`. How it ended is told in `ending.rs` and `outcome.rs`.
//!
//! Boundary: knows the contract (`sdk/wit`) and `lictor-capability`, nothing else of ours. It never decides
//! whether a call is allowed, only that a refusal, a failure and a trap stay three different things.
//!
//! Invariant: no guest can stop, slow or crash anything outside its own call. An instance serves one call.

mod bindings;
mod cache;
mod compiler;
mod ending;
mod guest;
mod heavy;
mod host;
mod inspect;
mod instance;
mod limits;
mod log;
mod memory;
mod meter;
mod outcome;
mod plugin;
mod pool;
mod printed;
mod text;
mod turns;
mod wasi;

pub use host::{COMPONENT_MAX, Host, HostError, HostSettings, digest};
pub use inspect::{Inspected, LoadError, inspect};
pub use limits::Limits;
pub use log::LogRate;
pub use memory::give_back_code;
pub use outcome::{Call, CallFailure, Delivery, Description, Event, Failure, Report, RequestsError};
pub use plugin::Plugin;

#[cfg(test)]
mod test_support {
    /// A component with nothing in it: compiled in no time.
    pub(crate) const EMPTY: &[u8] = b"\0asm\x0d\0\x01\0";
}
