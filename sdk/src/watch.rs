//! Reads what the watch of the delivery's rule follows: the whole list, as `consul watch` gives it to its handlers.

use crate::{CallError, host};

/// The list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Consul's index: its header `X-Consul-Index`.
    pub index: u64,
    /// JSON, in the shape that this type of watch has in Consul.
    pub body: Vec<u8>,
}

/// Reads the list as Consul has it now, which may be newer than the delivery's event.
pub fn current() -> Result<Answer, CallError> {
    host::watch()
}
