//! Keeps values from one call to the next: each call has an instance that nobody has used, and these outlive it.
//!
//! They are the receiver's alone, there after a restart, and bounded by its grant, `allow.kv_store`. What is set is kept
//! at once and whole, however the call ends.
//!
//! A plugin that calls only when a check has failed three times in a row:
//!
//! ```
//! use lictor_sdk::{CallError, Event, Request, kv_store};
//!
//! /// What `requests` names.
//! fn needs() -> Request {
//!     Request::kv_store(16 << 10)
//! }
//!
//! /// Counts a failure of this check, and says whether it is the third. The subject names node and check, also where the
//! /// check belongs to no service.
//! fn is_third(event: &Event) -> Result<bool, CallError> {
//!     let key = &event.subject;
//!     let failures = kv_store::get(key)?.and_then(|bytes| bytes.first().copied()).unwrap_or(0) + 1;
//!     if failures == 3 {
//!         kv_store::delete(key)?;
//!         return Ok(true);
//!     }
//!     kv_store::set(key, [failures])?;
//!     Ok(false)
//! }
//!
//! # #[cfg(not(target_family = "wasm"))]
//! # fn main() {
//! # use lictor_sdk::testing::{Host, sample};
//! let host = Host::start();
//! host.keep("web1/service:web", [1]);
//! assert_eq!(is_third(&sample("check.status")), Ok(false));
//! assert_eq!(is_third(&sample("check.status")), Ok(true));
//! assert_eq!(host.kept("web1/service:web"), None);
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
