//! Where calls are made: most on the guests' own threads, and apart from these the ones that would hold the others up.
//!
//! A guest that spins takes turns with other guests, and each turn is a tick: a call that takes fifty microseconds would
//! wait a hundred times as long for its own. So a call that has used much CPU time goes on elsewhere, and the next ones of
//! its receiver begin there, until one of them was light again. And a guest that fails at once, and is called again and
//! again, would take a fair half of the guests' thread. So a receiver whose last call failed by its guest's own fault has
//! its next ones on a third thread, at most one in ten milliseconds for each call that it may have in flight, until one
//! went well. A plugin that computes for some milliseconds, as an interpreter does, shares no thread with it. One whose last
//! call took a tenth of a second does: on the second thread each of its many turns would be one that interpreters wait for.
//!
//! Both threads have a lower priority than the rest of Lictor, as has one that compiles a plugin for a reload: they get what
//! is left of the machine. A program inherits the priority of the thread that starts it, so none is started there
//! (`Shared::on_guests`).
//!
//! Calls that begin here make an instance of their own. The one that is made ahead is for those that it makes quicker.

use std::collections::HashMap;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::thread;
use std::time::Duration;

use rustix::process::{getpriority_process, setpriority_process};
use tokio::runtime::{Handle, Runtime};
use tokio::task::JoinError;
use tokio_util::task::AbortOnDropHandle;

use crate::meter::Meter;

/// How much nicer than Lictor the threads are. Where one core is left for all, heavy calls get a fourth of it beside light
/// ones, what is compiled a tenth, and guests that misbehave a thirtieth.
const HEAVY_NICE: i32 = 5;
const LOAD_NICE: i32 = 10;
const FAULTY_NICE: i32 = 15;

/// Before each call of a receiver whose last one failed by its guest's own fault, or was long.
const PAUSE: Duration = Duration::from_millis(10);

/// A call that can be gone on with on another thread.
type Call<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Where a call begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lane {
    /// On the guests' threads.
    Light,
    /// On the thread of calls that use much CPU time.
    Heavy,
    /// On the thread of guests that misbehave, or are long about what they do.
    Faulty,
}

/// A call that is to be made.
#[derive(Clone)]
pub(crate) struct Turn {
    pub(crate) lane: Lane,
    pub(crate) meter: Arc<Meter>,
}

impl Turn {
    /// One that begins with all others.
    pub(crate) fn light() -> Self {
        Self { lane: Lane::Light, meter: Arc::default() }
    }
}

/// The two threads beside the guests' own, and whose calls begin there.
pub(crate) struct Lanes {
    heavy: Side,
    faulty: Side,
    receivers: Mutex<HashMap<String, Lane>>,
}

impl Lanes {
    /// One thread for all calls of a kind: they hold up each other, and not more than one core.
    pub(crate) fn start() -> io::Result<Self> {
        Ok(Self {
            heavy: Side::start("plugin-heavy", HEAVY_NICE)?,
            faulty: Side::start("plugin-faulty", FAULTY_NICE)?,
            receivers: Mutex::default(),
        })
    }

    /// The next call of a receiver.
    pub(crate) fn turn(&self, receiver: &str) -> Turn {
        let lane = self.lock().get(receiver).copied().unwrap_or(Lane::Light);
        Turn { lane, ..Turn::light() }
    }

    /// Makes a call in its turn: on `guests`, or here. Dropping the future ends the call.
    pub(crate) async fn make<T: Send + 'static>(
        &self,
        guests: &Handle,
        turn: Turn,
        call: Call<T>,
    ) -> Result<T, JoinError> {
        match turn.lane {
            Lane::Light => {
                let begun = begin(self.heavy.handle.clone(), turn.meter, call);
                AbortOnDropHandle::new(guests.spawn(begun)).await.flatten()
            }
            Lane::Heavy | Lane::Faulty => self.go_on(turn, call).await,
        }
    }

    /// The same for one who is on the guests' runtime and has nothing else to do.
    pub(crate) async fn go_on<T: Send + 'static>(&self, turn: Turn, call: Call<T>) -> Result<T, JoinError> {
        let Turn { lane, meter } = turn;
        let (side, pause) = match lane {
            Lane::Light => return begin(self.heavy.handle.clone(), meter, call).await,
            Lane::Heavy => (&self.heavy, Duration::ZERO),
            Lane::Faulty => (&self.faulty, PAUSE),
        };
        let later = async move {
            tokio::time::sleep(pause).await;
            call.await
        };
        AbortOnDropHandle::new(side.handle.spawn(later)).await
    }

    /// Remembers where the next call of a receiver begins, by how one went.
    pub(crate) fn remember(&self, receiver: &str, meter: &Meter, at_fault: bool) {
        let lane = if at_fault || meter.is_long() {
            Lane::Faulty
        } else if meter.is_heavy() {
            Lane::Heavy
        } else {
            Lane::Light
        };
        let mut receivers = self.lock();
        if lane == Lane::Light {
            receivers.remove(receiver);
        } else if receivers.get(receiver) != Some(&lane) {
            receivers.insert(receiver.to_owned(), lane);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Lane>> {
        self.receivers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A thread beside the guests' own.
struct Side {
    handle: Handle,
    /// `None` only while we are dropped.
    runtime: Option<Runtime>,
}

impl Side {
    fn start(name: &'static str, nicer: i32) -> io::Result<Self> {
        let nice = nice(nicer);
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        let runtime = runtime.worker_threads(1).thread_name(name).enable_all();
        let runtime = runtime.on_thread_start(move || lower(nice)).build()?;
        Ok(Self { handle: runtime.handle().clone(), runtime: Some(runtime) })
    }
}

/// Does on a thread of its own, with a lower priority, what would hold receivers up: to compile a plugin takes a second.
pub(crate) fn apart<T: Send>(work: impl FnOnce() -> T + Send) -> io::Result<T> {
    let nice = nice(LOAD_NICE);
    thread::scope(|scope| {
        let work = || {
            lower(nice);
            work()
        };
        let thread = thread::Builder::new().name("plugin-load".into()).spawn_scoped(scope, work)?;
        thread.join().map_err(|_| io::Error::other("it broke"))
    })
}

/// Of a thread that is so much nicer than this one.
fn nice(nicer: i32) -> i32 {
    getpriority_process(None).unwrap_or_default().saturating_add(nicer)
}

/// Lowers the priority of this thread: on Linux it is a thread's own. Where that fails, all else still holds.
fn lower(nice: i32) {
    setpriority_process(None, nice).ok();
}

impl Drop for Side {
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
    use super::*;
    use crate::meter::tests::burn;

    /// The threads on which a call began and ended that uses so much CPU time, and how nice the second is.
    async fn made(lanes: &Lanes, ns: u64, at_fault: bool) -> ([String; 2], i32) {
        let name = || thread::current().name().unwrap_or_default().to_owned();
        let turn = lanes.turn("r");
        let meter = Arc::clone(&turn.meter);
        let call = async move {
            let work = async {
                let began = name();
                burn(ns);
                tokio::task::yield_now().await;
                ([began, name()], getpriority_process(None).unwrap())
            };
            meter.measure(work).await
        };
        let guests = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("plugin")
            .build()
            .unwrap();
        let meter = Arc::clone(&turn.meter);
        let made = lanes.make(guests.handle(), turn, Box::pin(call)).await.unwrap();
        lanes.remember("r", &meter, at_fault);
        guests.shutdown_background();
        made
    }

    #[tokio::test]
    async fn a_call_that_would_hold_others_up_is_made_elsewhere_and_with_less_of_the_machine() {
        let lanes = Lanes::start().unwrap();
        let own = getpriority_process(None).unwrap();
        let check = async |ns, at_fault, threads: [&str; 2], nicer| {
            let (found, nice) = made(&lanes, ns, at_fault).await;
            assert_eq!((found.each_ref().map(String::as_str), nice), (threads, 19.min(own + nicer)));
        };
        let heavy = 5_000_000;
        check(0, false, ["plugin"; 2], 0).await;
        check(heavy, false, ["plugin", "plugin-heavy"], HEAVY_NICE).await;
        check(0, false, ["plugin-heavy"; 2], HEAVY_NICE).await;
        check(0, true, ["plugin"; 2], 0).await;
        check(heavy, true, ["plugin-faulty"; 2], FAULTY_NICE).await;
        check(heavy, false, ["plugin-faulty"; 2], FAULTY_NICE).await;
        check(0, false, ["plugin-heavy"; 2], HEAVY_NICE).await;
        check(0, false, ["plugin"; 2], 0).await;
        let long = 110_000_000;
        check(long, false, ["plugin", "plugin-heavy"], HEAVY_NICE).await;
        check(heavy, false, ["plugin-faulty"; 2], FAULTY_NICE).await;
        check(0, false, ["plugin-heavy"; 2], HEAVY_NICE).await;
        assert_eq!(lanes.turn("other").lane, Lane::Light);
    }
}
