//! The seam between the pipeline and the dispatcher: deliveries that a commit has already claimed, and word
//! that there are others to claim.
//!
//! A delivery that finds its receiver idle is claimed by the commit that makes it, so that between a change
//! and its call there is one transaction. For that the pipeline reserves slots of the receiver before it
//! commits. What gets no slot stays in the store, and the receiver is woken to claim it.
//!
//! Invariant: whoever calls a receiver holds one of its slots, so no more calls run than it allows.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc};

use crate::store::Claimed;

/// A delivery that is to be made now.
#[derive(Debug)]
pub struct Begun {
    /// What to deliver.
    pub claimed: Claimed,
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
        drop(begun.send(Begun { claimed, slot }));
    }
}

/// The pipeline's end for one receiver.
#[derive(Clone, Debug)]
struct Inlet {
    slots: Arc<Semaphore>,
    /// Without a bound of its own: each item holds a slot.
    begun: mpsc::UnboundedSender<Begun>,
    wake: Arc<Notify>,
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
}

/// The pipeline's ends for all receivers, by their names. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Inlets(BTreeMap<String, Inlet>);

impl Inlets {
    /// Adds `receiver`, which may have so many calls running side by side, and gives its end. Where there was one
    /// of this name among the `earlier`, the end of each of its calls wakes this one.
    pub fn add(&mut self, receiver: String, slots: usize, earlier: &Self) -> Outlet {
        let slots = Arc::new(Semaphore::new(slots));
        let wake = earlier.0.get(&receiver).map(|inlet| Arc::clone(&inlet.wake)).unwrap_or_default();
        let (sender, begun) = mpsc::unbounded_channel();
        let inlet = Inlet { slots: Arc::clone(&slots), begun: sender, wake: Arc::clone(&wake) };
        self.0.insert(receiver, inlet);
        Outlet { slots, begun, wake }
    }

    /// A slot of `receiver`; none when all are taken or nobody has this name.
    pub fn reserve(&self, receiver: &str) -> Option<Slot> {
        let inlet = self.0.get(receiver)?;
        let permit = Arc::clone(&inlet.slots).try_acquire_owned().ok()?;
        Some(Slot { permit, begun: inlet.begun.clone() })
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
