//! The instance of one call, made ahead where that is cheap.
//!
//! To make an instance takes longer than most calls do, so each plugin keeps one that nobody has used: a call
//! begins with it, and the next one is made when the call is over.
//!
//! Invariant: an instance serves one call and is dropped.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use wasmtime::Store;

use crate::bindings::{Plugin, PluginPre};
use crate::guest::Guest;
use crate::host::Shared;

/// An instance with more bytes of memory is not kept: an interpreter's would cost megabytes all day.
const SPARE_MEMORY: usize = 4 << 20;

/// What one call runs on.
pub(crate) struct Instance {
    pub(crate) store: Store<Guest>,
    /// None: it is still to be made.
    pub(crate) exports: Option<Plugin>,
}

impl Instance {
    /// One that is still to be made of `pre`.
    pub(crate) fn of(pre: &PluginPre<Guest>, shared: Arc<Shared>) -> Self {
        let mut store = Store::new(pre.instance_pre().component().engine(), Guest::idle(shared));
        store.limiter(|guest| &mut guest.limiter);
        Self { store, exports: None }
    }

    fn memory(&self) -> usize {
        self.store.data().limiter.used()
    }

    /// Whether it is small, and got at its start all that it asked for: a call's own limits and grants may
    /// give what nobody was given.
    fn is_worth_keeping(&self) -> bool {
        let guest = self.store.data();
        self.memory() <= SPARE_MEMORY && guest.refusals.is_empty() && guest.limiter.denied().is_none()
    }
}

/// At most one instance that is made and that nobody has used.
#[derive(Default)]
pub(crate) struct Spare {
    kept: Mutex<Option<Instance>>,
    /// Nobody else is to make one: somebody is at it, or it is not worth keeping, which is so of each instance of a plugin.
    closed: AtomicBool,
}

impl Spare {
    /// The kept one, if there is one within `memory` bytes.
    pub(crate) fn take(&self, memory: usize) -> Option<Instance> {
        self.lock().take_if(|kept| kept.memory() <= memory)
    }

    /// Has `make` make one to keep, unless there is one or somebody else is at it.
    pub(crate) async fn fill(&self, make: impl Future<Output = Option<Instance>>) {
        if self.lock().is_some() || self.closed.swap(true, Ordering::AcqRel) {
            return;
        }
        self.keep(make.await);
    }

    /// Keeps an instance that is made, if it is worth it.
    pub(crate) fn keep(&self, instance: Option<Instance>) {
        let is_made = instance.is_some();
        let kept = instance.filter(Instance::is_worth_keeping);
        let is_unfit = is_made && kept.is_none();
        *self.lock() = kept;
        self.closed.store(is_unfit, Ordering::Release);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Instance>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
