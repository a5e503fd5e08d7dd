//! The seam between the pipeline and the dispatcher: deliveries that a commit has already claimed, and word
//! that there are others to claim.
//!
//! A delivery that finds its receiver idle is claimed by the commit that makes it, so that between a change
//! and its call there is one transaction. For that the pipeline reserves slots of the receiver before it
//! commits. What gets no slot stays in the store, and the receiver is woken to claim it.
//!
//! Invariant: whoever calls a receiver holds one of its slots, so no more calls run than it allows.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_util::sync::CancellationToken;

use crate::store::{Claimed, Replaced};

/// A delivery that is to be made now.
#[derive(Debug)]
pub struct Begun {
    /// What to deliver. Boxed, since a queue has room for dozens at once.
    pub claimed: Box<Claimed>,
    /// The right to; it is given back when this is dropped.
    pub slot: OwnedSemaphorePermit,
}

/// The right to have one call made. It is given back when it is dropped.
#[derive(Debug)]
pub struct Slot {
    permit: OwnedSemaphorePermit,
    begun: mpsc::UnboundedSender<Begun>,
}

impl Slot {
    /// Has a delivery made; never blocks. If the receiver has ended, the next start finds it marked as running.
    pub fn begin(self, claimed: Claimed) {
        let Self { permit: slot, begun } = self;
        drop(begun.send(Begun { claimed: Box::new(claimed), slot }));
    }
}

/// The pipeline's end for one receiver.
#[derive(Clone, Debug)]
struct Inlet {
    slots: Arc<Semaphore>,
    /// Without a bound of its own: each item holds a slot.
    begun: mpsc::UnboundedSender<Begun>,
    wake: Arc<Notify>,
    running: Running,
    limited: bool,
}

/// The calls that run, by the ids of their deliveries, and how each is told to end.
#[derive(Clone, Debug, Default)]
pub struct Running(Arc<Mutex<BTreeMap<String, CancellationToken>>>);

impl Running {
    /// A call begins; the token tells it to end.
    pub fn begin(&self, id: &str) -> CancellationToken {
        let token = CancellationToken::new();
        self.lock().insert(id.to_owned(), token.clone());
        token
    }

    /// A call is over.
    pub fn end(&self, id: &str) {
        self.lock().remove(id);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, CancellationToken>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The receiver's end.
#[derive(Debug)]
pub struct Outlet {
    /// One for each call that may run; all of them are free when nothing runs.
    pub slots: Arc<Semaphore>,
    /// What to make now. It ends when no pipeline is left.
    pub begun: mpsc::UnboundedReceiver<Begun>,
    /// There is something new to claim.
    pub wake: Arc<Notify>,
    /// Where the receiver notes its calls.
    pub running: Running,
}

/// The pipeline's ends for all receivers, by their names. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Inlets(Arc<BTreeMap<String, Inlet>>);

impl Inlets {
    /// Adds `receiver`, which may have so many calls running side by side, and gives its end. Where there was one
    /// of this name among the `earlier`, the end of each of its calls wakes this one, and
    /// they can be ended as its own.
    /// One that is `limited` claims all of its deliveries itself, in its own time.
    pub fn add(&mut self, receiver: String, slots: usize, limited: bool, earlier: &Self) -> Outlet {
        let slots = Arc::new(Semaphore::new(slots));
        let wake = earlier.0.get(&receiver).map(|inlet| Arc::clone(&inlet.wake)).unwrap_or_default();
        let (sender, begun) = mpsc::unbounded_channel();
        let running = earlier.0.get(&receiver).map(|inlet| inlet.running.clone()).unwrap_or_default();
        let inlet = Inlet {
            slots: Arc::clone(&slots),
            begun: sender,
            wake: Arc::clone(&wake),
            running: running.clone(),
            limited,
        };
        // Nobody shares it while receivers are added.
        Arc::make_mut(&mut self.0).insert(receiver, inlet);
        Outlet { slots, begun, wake, running }
    }

    /// A slot of `receiver`; none when all are taken, it is limited, or nobody has this name.
    pub fn reserve(&self, receiver: &str) -> Option<Slot> {
        let inlet = self.0.get(receiver).filter(|inlet| !inlet.limited)?;
        let permit = Arc::clone(&inlet.slots).try_acquire_owned().ok()?;
        Some(Slot { permit, begun: inlet.begun.clone() })
    }

    /// Ends the call that makes this delivery, if it still runs: another delivery takes its place.
    pub fn end(&self, replaced: &Replaced) {
        let inlet = self.0.get(&replaced.receiver);
        if let Some(token) = inlet.and_then(|inlet| inlet.running.lock().get(&replaced.id).cloned()) {
            token.cancel();
        }
    }

    /// Tells all receivers to look for what is due.
    pub fn wake_all(&self) {
        for inlet in self.0.values() {
            inlet.wake.notify_one();
        }
    }

    /// Tells `receiver` that something for it was committed; a name that is unknown is left alone.
    /// Never waits, and is not forgotten when the receiver is busy.
    pub fn wake(&self, receiver: &str) {
        if let Some(inlet) = self.0.get(receiver) {
            inlet.wake.notify_one();
        }
    }
}
