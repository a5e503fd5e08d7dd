//! What one call may take, and the part of it that wasmtime asks us about: memory and tables.
//!
//! Invariant: a denial is remembered. A guest that is denied memory aborts, and that trap looks like any
//! other; only the memory of the denial tells the two apart.

use std::time::Duration;

use wasmtime::ResourceLimiter;

use crate::log::LogRate;

/// Elements of all tables of a component together: one for each function whose address is taken.
pub(crate) const TABLE_ELEMENTS: usize = 100_000;

/// Core instances of one component: its own and those that adapt it to its imports. What holds an interpreter has thirty.
pub(crate) const INSTANCES: u32 = 40;

/// Memories of one component: its own, and one of what adapts it.
pub(crate) const MEMORIES: u32 = 2;

/// Tables of one component: its own, and one of what adapts it.
pub(crate) const TABLES: u32 = 8;

/// What one call of a plugin may take.
#[derive(Clone, Debug)]
pub struct Limits {
    /// From the start of the call to its answer, capabilities included. Default: 60 s.
    pub timeout: Duration,
    /// CPU time of the call on this machine, measured every 10 ms. Default: 1 s.
    pub cpu: Duration,
    /// Bytes of all the guest's memories together. Default: 64 MiB.
    pub memory: usize,
    /// Bytes that the guest may write to the log. Default: 64 KiB.
    pub log: usize,
    /// Lines that the guest may write to the log in a second, in all calls that have this limit. Default: 100.
    pub log_rate: LogRate,
    /// Bytes that the guest may pass to the host at once: with one call of a capability, or as its
    /// answer. Default: 1 MiB.
    pub transfer: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            timeout: Duration::from_mins(1),
            cpu: Duration::from_secs(1),
            memory: 64 << 20,
            log: 64 << 10,
            log_rate: LogRate::new(100),
            transfer: 1 << 20,
        }
    }
}

/// Counts a store's memory, and says no above the limit.
#[derive(Debug)]
pub(crate) struct MemoryLimiter {
    limit: usize,
    used: usize,
    peak: usize,
    elements: usize,
    denied: Option<Denied>,
}

/// What was asked for and not given first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Denied {
    /// Memory.
    Memory,
    /// Elements of a table.
    Table,
}

impl MemoryLimiter {
    /// Allows `limit` bytes.
    pub(crate) fn new(limit: usize) -> Self {
        Self { limit, used: 0, peak: 0, elements: 0, denied: None }
    }

    /// Allows `limit` bytes from now on.
    pub(crate) fn set_limit(&mut self, limit: usize) {
        self.limit = limit;
    }

    /// The bytes that are in use.
    pub(crate) fn used(&self) -> usize {
        self.used
    }

    /// The most bytes that were in use at once.
    pub(crate) fn peak(&self) -> usize {
        self.peak
    }

    /// What was asked for and not given first, if anything was.
    pub(crate) fn denied(&self) -> Option<Denied> {
        self.denied
    }
}

impl ResourceLimiter for MemoryLimiter {
    fn memory_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        let used = self.used.saturating_add(desired.saturating_sub(current));
        if used > self.limit {
            self.denied.get_or_insert(Denied::Memory);
            return Ok(false);
        }
        self.used = used;
        self.peak = self.peak.max(used);
        Ok(true)
    }

    fn table_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        let elements = self.elements.saturating_add(desired.saturating_sub(current));
        if elements > TABLE_ELEMENTS {
            self.denied.get_or_insert(Denied::Table);
            return Ok(false);
        }
        self.elements = elements;
        Ok(true)
    }

    fn instances(&self) -> usize {
        INSTANCES as usize
    }

    fn tables(&self) -> usize {
        TABLES as usize
    }

    fn memories(&self) -> usize {
        MEMORIES as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_memories_count_together_and_a_denial_is_remembered() {
        let mut limiter = MemoryLimiter::new(100);
        let mut grow = |current, desired| limiter.memory_growing(current, desired, None).unwrap();
        assert!(grow(0, 60));
        assert!(grow(0, 30), "a second memory");
        assert!(!grow(60, 80));
        assert!(grow(60, 70), "exactly the limit");
        assert!(!grow(0, usize::MAX));
        assert_eq!((limiter.peak(), limiter.denied()), (100, Some(Denied::Memory)));
    }

    #[test]
    fn tables_are_bounded() {
        let mut limiter = MemoryLimiter::new(0);
        assert!(limiter.table_growing(0, TABLE_ELEMENTS, None).unwrap());
        assert_eq!(limiter.denied(), None);
        assert!(!limiter.table_growing(0, 1, None).unwrap());
        assert_eq!(limiter.denied(), Some(Denied::Table));
    }
}
