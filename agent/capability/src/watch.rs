//! Watch: the whole list that a rule's watch follows.
//!
//! Boundary: decides; who knows the watches reads the list.

use std::{future::Future, pin::Pin};

use crate::{CallError, refusal};

/// What a watch follows, as Consul has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct List {
    /// Consul's index.
    pub index: u64,
    /// JSON, in Consul's shape.
    pub body: Vec<u8>,
}

/// A list that is being read.
pub type Reading<'a> = Pin<Box<dyn Future<Output = Result<List, CallError>> + Send + 'a>>;

/// Reads the lists of watches.
pub trait Lists: Send + Sync {
    /// What the watch of a rule follows, now.
    fn current<'a>(&'a self, rule: &'a str) -> Reading<'a>;
}

/// Whether the list may be read.
pub(crate) fn covers(granted: bool) -> Result<(), CallError> {
    if granted {
        return Ok(());
    }
    Err(refusal::refused("read the list that the rule's watch follows", "allow.watch = true"))
}
