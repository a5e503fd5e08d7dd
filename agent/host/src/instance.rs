//! The instance of one call, made ahead where that is cheap.
//!
//! To make an instance takes longer than most calls do, so each plugin keeps one that nobody has used: a call
//! begins with it, and the next one is made when the call is over.
//!
//! Invariants: an instance serves one call and is dropped. A guest does not know whether its instance was made ahead, and
//! what it takes meanwhile is little, and counts for the call that takes it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use wasmtime::Store;

use crate::bindings::{Plugin, PluginPre};
use crate::guest::Guest;
use crate::host::Shared;
use crate::limits::Limits;
use crate::outcome::CallFailure;

/// Bytes of memory that one may have, or want, which is made ahead: an interpreter's would cost megabytes all day.
const MEMORY: usize = 4 << 20;

/// CPU time that making it may take, as far as it is measured, and time in all: a call has neither on top of its own limits.
const CPU: Duration = Duration::from_millis(10);
const TIME: Duration = Duration::from_millis(100);

/// Memory for the trial at load, where no receiver has said what it allows: enough for an interpreter. And time: others wait
/// for the end of a start.
const TRIAL_MEMORY: usize = 256 << 20;
const TRIAL_TIME: Duration = Duration::from_secs(5);

/// What making one at load may take, to see that it can be made.
pub(crate) fn trial() -> Limits {
    Limits { memory: TRIAL_MEMORY, timeout: TRIAL_TIME, ..Limits::default() }
}

/// What making one ahead may take.
pub(crate) fn limits() -> Limits {
    Limits { memory: MEMORY, cpu: CPU, timeout: TIME, ..Limits::default() }
}

/// What one call runs on.
pub(crate) struct Instance {
    pub(crate) store: Store<Guest>,
    /// None: it is still to be made.
    pub(crate) exports: Option<Plugin>,
    /// CPU time that making it took.
    pub(crate) took: Duration,
}

impl Instance {
    /// One that is still to be made of `pre`.
    pub(crate) fn of(pre: &PluginPre<Guest>, shared: Arc<Shared>) -> Self {
        let mut store = Store::new(pre.instance_pre().component().engine(), Guest::idle(shared));
        store.limiter(|guest| &mut guest.limiter);
        Self { store, exports: None, took: Duration::ZERO }
    }

    fn memory(&self) -> usize {
        self.store.data().limiter.used()
    }

    /// Whether it got the memory that it wanted at its start, and asked for nothing else: a call may be given what nobody was,
    /// and what is random and what is logged is the call's own.
    fn may_wait(&self) -> bool {
        let guest = self.store.data();
        guest.limiter.denied().is_none() && !guest.has_asked()
    }
}

/// At most one instance that is made and that nobody has used.
#[derive(Default)]
pub(crate) struct Spare {
    kept: Mutex<Option<Instance>>,
    /// Nobody else is to make one: somebody is at it, or none may wait for its call, which is so of all of a plugin.
    closed: AtomicBool,
}

impl Spare {
    /// The kept one, if there is one within `memory` bytes, which is all that a receiver allows.
    pub(crate) fn take(&self, memory: usize) -> Option<Instance> {
        self.lock().take_if(|kept| kept.memory() <= memory)
    }

    /// Has `make` make one to keep, if it may wait, unless there is one or somebody else is at it.
    pub(crate) async fn fill(&self, make: impl Future<Output = Result<Instance, CallFailure>>) {
        if self.lock().is_some() || self.closed.swap(true, Ordering::AcqRel) {
            return;
        }
        match make.await {
            Ok(instance) => {
                let may_wait = instance.may_wait();
                *self.lock() = may_wait.then_some(instance);
                self.closed.store(!may_wait, Ordering::Release);
            }
            // Another time there may be room, and more of the machine. If not, calls take as long, and are no longer light.
            Err(CallFailure::Full(_) | CallFailure::Deadline(_)) => {
                self.closed.store(false, Ordering::Release);
            }
            // The calls themselves tell what is wrong.
            Err(CallFailure::Trapped(_) | CallFailure::Memory(_)) => {}
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Instance>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use tracing::Level;
    use wasmtime::ResourceLimiter as _;
    use wasmtime_wasi::p2::bindings::random::random::Host as _;
    use wasmtime_wasi::{HostMonotonicClock as _, WasiView as _};

    use super::*;
    use crate::guest::Caller;
    use crate::host::{Host, HostSettings};

    /// An instance whose guest wants so much memory at its start, of what one may have that is made ahead.
    fn started(host: &Host, memory: usize) -> Instance {
        let mut store = Store::new(&host.shared.engine, Guest::idle(Arc::clone(&host.shared)));
        let caller = Caller {
            receiver: String::new(),
            delivery: String::new(),
            rule: String::new(),
            capabilities: None,
        };
        store.data_mut().serve(caller, &limits());
        store.data_mut().limiter.memory_growing(0, memory, None).unwrap();
        Instance { store, exports: None, took: Duration::ZERO }
    }

    /// How often one is made ahead of three calls.
    async fn made_ahead(make: impl AsyncFn() -> Result<Instance, CallFailure>) -> usize {
        let (spare, mut times) = (Spare::default(), 0);
        for _ in 0..3 {
            let one = async {
                times += 1;
                make().await
            };
            spare.fill(one).await;
            drop(spare.take(usize::MAX));
        }
        times
    }

    #[tokio::test]
    async fn no_second_instance_is_made_ahead_that_may_not_wait_for_its_call() {
        let host = Host::new(HostSettings { cache_dir: None, workers: 1, instances: 2 }).unwrap();
        let of = async |memory| made_ahead(async || Ok(started(&host, memory))).await;
        assert_eq!((of(1 << 20).await, of(5 << 20).await), (3, 1), "it wants more memory");

        let asks = async |ask: fn(&mut Guest)| {
            let asking = async || {
                let mut instance = started(&host, 1 << 20);
                ask(instance.store.data_mut());
                Ok(instance)
            };
            made_ahead(asking).await
        };
        assert_eq!(asks(|_| ()).await, 3);
        assert_eq!(asks(|guest| _ = guest.clock.now()).await, 1, "it looks at the clock");
        assert_eq!(asks(|guest| _ = guest.randomness.get_random_u64()).await, 1, "it draws");
        assert_eq!(asks(|guest| assert!(guest.log.write(Level::INFO, "x"))).await, 1, "it logs");
        assert_eq!(asks(|guest| guest.refused += 1).await, 1, "it is refused");
        assert_eq!(asks(|guest| drop(guest.ctx().table.push(()))).await, 1, "it holds a timer, perhaps");

        let fails =
            async |failure: fn(String) -> CallFailure| made_ahead(async || Err(failure(String::new()))).await;
        assert_eq!((fails(CallFailure::Trapped).await, fails(CallFailure::Memory).await), (1, 1));
        assert_eq!((fails(CallFailure::Full).await, fails(CallFailure::Deadline).await), (3, 3));
    }
}
