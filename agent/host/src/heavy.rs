//! The thread of heavy calls: a call that takes long leaves the threads on which all others are made.
//!
//! A guest that spins takes turns with other guests, and each turn is a tick: a call that takes fifty microseconds would
//! wait a hundred times as long for its own. So a call that has used much CPU time goes on elsewhere, and the next ones of
//! its receiver begin there, until one of them was light again.

use std::collections::HashSet;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;

use tokio::runtime::{Handle, Runtime};
use tokio::task::JoinError;
use tokio_util::task::AbortOnDropHandle;

use crate::meter::Meter;

/// A call that can be gone on with on another thread.
type Call<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// The thread, and whose calls begin there.
pub(crate) struct Heavy {
    handle: Handle,
    /// `None` only while we are dropped.
    runtime: Option<Runtime>,
    receivers: Mutex<HashSet<String>>,
}

impl Heavy {
    /// One thread for all: heavy calls hold up each other, and not more than one core.
    pub(crate) fn start() -> io::Result<Self> {
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        let runtime = runtime.worker_threads(1).thread_name("plugin-heavy").enable_all().build()?;
        Ok(Self { handle: runtime.handle().clone(), runtime: Some(runtime), receivers: Mutex::default() })
    }

    /// Makes a call of a receiver: on `guests`, or here. Dropping the future ends the call.
    pub(crate) async fn make<T: Send + 'static>(
        &self,
        guests: &Handle,
        receiver: &str,
        meter: Arc<Meter>,
        call: Call<T>,
    ) -> Result<T, JoinError> {
        let made = if self.lock().contains(receiver) {
            AbortOnDropHandle::new(self.handle.spawn(call)).await
        } else {
            let begun = begin(self.handle.clone(), Arc::clone(&meter), call);
            AbortOnDropHandle::new(guests.spawn(begun)).await.flatten()
        };
        self.remember(receiver, meter.is_heavy());
        made
    }

    /// Remembers where the next call of a receiver begins.
    fn remember(&self, receiver: &str, is_heavy: bool) {
        let mut receivers = self.lock();
        if !is_heavy {
            receivers.remove(receiver);
        } else if !receivers.contains(receiver) {
            receivers.insert(receiver.to_owned());
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashSet<String>> {
        self.receivers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Heavy {
    fn drop(&mut self) {
        // Within another runtime it may not be waited for; its calls are over by now.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Begins a call here, and goes on with it on `heavy` when it is.
async fn begin<T: Send + 'static>(
    heavy: Handle,
    meter: Arc<Meter>,
    mut call: Call<T>,
) -> Result<T, JoinError> {
    let ended = poll_fn(|context| match call.as_mut().poll(context) {
        Poll::Ready(result) => Poll::Ready(Some(result)),
        Poll::Pending if meter.is_heavy() => Poll::Ready(None),
        Poll::Pending => Poll::Pending,
    });
    match ended.await {
        Some(result) => Ok(result),
        None => AbortOnDropHandle::new(heavy.spawn(call)).await,
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;
    use crate::meter::tests::burn;

    /// The threads on which a call began and ended that uses so much CPU time.
    async fn threads(heavy: &Heavy, ns: u64) -> [String; 2] {
        let name = || thread::current().name().unwrap_or_default().to_owned();
        let meter = Arc::new(Meter::default());
        let measured = Arc::clone(&meter);
        let call = async move {
            let work = async {
                let began = name();
                burn(ns);
                tokio::task::yield_now().await;
                [began, name()]
            };
            measured.measure(work).await
        };
        let guests = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("plugin")
            .build()
            .unwrap();
        let made = heavy.make(guests.handle(), "r", meter, Box::pin(call)).await.unwrap();
        guests.shutdown_background();
        made
    }

    #[tokio::test]
    async fn a_heavy_call_moves_and_the_next_one_begins_where_it_ended() {
        let heavy = Heavy::start().unwrap();
        assert_eq!(threads(&heavy, 0).await, ["plugin", "plugin"]);
        assert_eq!(threads(&heavy, 5_000_000).await, ["plugin", "plugin-heavy"]);
        assert_eq!(threads(&heavy, 0).await, ["plugin-heavy", "plugin-heavy"]);
        assert_eq!(threads(&heavy, 0).await, ["plugin", "plugin"], "it was light again");
    }
}
