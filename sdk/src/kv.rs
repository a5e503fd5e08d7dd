//! Reads Consul's key-value store, below the prefixes that the receiver's grant names (`allow.kv`), as Consul has it now.
//!
//! A plugin that asks whom to call, and gets an answer that the operator can change without touching Lictor:
//!
//! ```
//! use lictor_sdk::{CallError, Request, kv};
//!
//! /// What `requests` names.
//! fn needs() -> Request {
//!     Request::kv("oncall/")
//! }
//!
//! /// Who looks after this service.
//! fn whom(service: &str) -> Result<String, CallError> {
//!     let person = kv::get(&format!("oncall/{service}"))?;
//!     Ok(person.map_or("ops".into(), |bytes| String::from_utf8_lossy(&bytes).into_owned()))
//! }
//!
//! # #[cfg(not(target_family = "wasm"))]
//! # fn main() {
//! # use lictor_sdk::testing::Host;
//! let host = Host::start();
//! host.set_key("oncall/web", "ann");
//! assert_eq!(whom("web"), Ok("ann".into()));
//! assert_eq!(whom("db"), Ok("ops".into()));
//! assert_eq!(kv::keys("oncall/"), Ok(vec!["oncall/web".into()]));
//! # }
//! # #[cfg(target_family = "wasm")]
//! # fn main() {}
//! ```
//!
//! What a plugin writes for itself it gives to [`kv_store`](crate::kv_store); nothing is written to Consul.

use crate::{CallError, host};

/// The value of a key, if there is one. One that is longer than the receiver's `limits.response` fails.
pub fn get(key: &str) -> Result<Option<Vec<u8>>, CallError> {
    host::read_key(key)
}

/// All keys that begin with `prefix`, in order. More than the receiver's `limits.response` takes, or than 10000, fail.
pub fn keys(prefix: &str) -> Result<Vec<String>, CallError> {
    host::list_keys(prefix)
}
