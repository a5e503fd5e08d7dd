//! Keeps values from one call to the next: each call has an instance that nobody has used, and these outlive it.
//!
//! They are the receiver's alone, there after a restart, and bounded by its grant, `allow.kv_store`. What is set is kept
//! at once and whole, however the call ends.
//!
//! A plugin that calls only when a service has failed three times in a row:
//!
//! ```
//! use lictor_sdk::{CallError, Request, kv_store};
//!
//! /// What `requests` names.
//! fn needs() -> Request {
//!     Request::kv_store(16 << 10)
//! }
//!
//! /// Counts a failure of this service, and says whether it is the third.
//! fn is_third(service: &str) -> Result<bool, CallError> {
//!     let failures = kv_store::get(service)?.and_then(|bytes| bytes.first().copied()).unwrap_or(0) + 1;
//!     if failures == 3 {
//!         kv_store::delete(service)?;
//!         return Ok(true);
//!     }
//!     kv_store::set(service, [failures])?;
//!     Ok(false)
//! }
//!
//! # #[cfg(not(target_family = "wasm"))]
//! # fn main() {
//! # use lictor_sdk::testing::Host;
//! let host = Host::start();
//! host.keep("web", [1]);
//! assert_eq!(is_third("web"), Ok(false));
//! assert_eq!(is_third("web"), Ok(true));
//! assert_eq!(host.kept("web"), None);
//! # }
//! # #[cfg(target_family = "wasm")]
//! # fn main() {}
//! ```
//!
//! Calls of one receiver may run at the same time, each for another subject. So give each subject its own key, as here, or
//! have the receiver make one call after the other (`max_in_flight = 1`). An attempt may repeat, too: keep the delivery's
//! id with what counts.

use crate::{CallError, host};

/// The value that was set last, if there is one.
pub fn get(key: &str) -> Result<Option<Vec<u8>>, CallError> {
    host::kv_get(key)
}

/// Keeps `value` in the place of what was there. A key has 1 to 512 bytes.
pub fn set(key: &str, value: impl AsRef<[u8]>) -> Result<(), CallError> {
    host::kv_set(key, value.as_ref())
}

/// Forgets a key. One that is not there is forgotten already.
pub fn delete(key: &str) -> Result<(), CallError> {
    host::kv_delete(key)
}
