//! Where calls are made: most on the guests' own threads, and apart from these the ones that would hold the others up.
//!
//! A guest that spins takes turns with other guests, and each turn is a tick: a call that takes fifty microseconds would
//! wait a hundred times as long for its own. So a call that has used much CPU time goes on elsewhere, on the thread of slow
//! guests. If it used less than a tenth of a second in all, the next ones of its receiver begin on a thread of their own
//! kind, the one of heavy calls, until all were light for a second. There are those of which it is known that they compute
//! for some milliseconds, as an interpreter does; what takes longer than that leaves it, too.
//!
//! On both threads the receiver goes first that used the least of late, and on that of slow guests it rests after its turn
//! while others are called (`turns.rs`).
//!
//! A guest that fails at once, and is called again and again, would take a fair half of a thread. So a receiver whose last
//! call failed by its guest's own fault, or was refused something, has at most one in ten milliseconds for each that it may
//! have in flight, and they begin on the thread of slow guests, until one went well.
//!
//! Both threads have a lower priority than the rest of Lictor, as has one that compiles a plugin for a reload: they get what
//! is left of the machine. A program inherits the priority of the thread that starts it, so none is started there
//! (`Shared::on_exec`).
//!
//! Calls that begin here make an instance of their own. The one that is made ahead is for those that it makes quicker.

use std::collections::HashMap;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::thread;
use std::time::Duration;

use rustix::process::{getpriority_process, setpriority_process};
use tokio::runtime::{Handle, Runtime};
use tokio::task::JoinError;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use crate::meter::Meter;
use crate::turns::{Share, Turns};

/// How much nicer than Lictor the threads are. Where one core is left for all, heavy calls get a fourth of it beside light
/// ones, what is compiled a tenth, and slow guests a thirtieth.
const HEAVY_NICE: i32 = 5;
const LOAD_NICE: i32 = 10;
const SLOW_NICE: i32 = 15;

/// A call that has used so much CPU time is a heavy one. Most take a fortieth of it.
const HEAVY: Duration = Duration::from_millis(2);

/// A call that has used so much is a slow one. An interpreter's take a tenth of it, up to a half in an unoptimised build.
const LONG: Duration = Duration::from_millis(100);

/// Before each call of a receiver whose last one failed by its guest's own fault, or was refused something.
const PAUSE: Duration = Duration::from_millis(10);

/// So long a receiver's calls begin where the last one belonged that was as slow: one that is slow in each second call would
/// else begin each of those where it holds up the others, for a tick.
const STAY: Duration = Duration::from_secs(1);

/// A call that can be gone on with on another thread.
type Call<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Where a call is made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Lane {
    /// On the guests' threads.
    #[default]
    Light,
    /// On the thread of receivers whose calls use much CPU time.
    Heavy,
    /// On the thread of calls that use more than was expected, and of guests that misbehave.
    Slow,
}

impl Lane {
    /// Where the next call begins after one that used so much.
    fn after(meter: &Meter) -> Self {
        match meter.spent() {
            spent if spent >= LONG => Lane::Slow,
            spent if spent >= HEAVY => Lane::Heavy,
            _ => Lane::Light,
        }
    }
}

/// What is known of a receiver.
#[derive(Default)]
struct Receiver {
    share: Arc<Share>,
    next: Mutex<Next>,
}

/// How a receiver's next call begins.
#[derive(Clone, Copy, Default)]
struct Next {
    lane: Lane,
    /// Until then it begins nowhere better.
    until: Option<Instant>,
    pause: Option<Duration>,
}

impl Next {
    /// After a call that belonged there.
    fn learn(&mut self, lane: Lane, now: Instant) {
        if lane >= self.lane || self.until.is_none_or(|until| now >= until) {
            *self = Self { lane, until: Some(now + STAY), pause: self.pause };
        }
    }
}

/// A call that is to be made.
#[derive(Clone)]
pub(crate) struct Turn {
    /// Where it begins.
    pub(crate) lane: Lane,
    pub(crate) meter: Arc<Meter>,
    pause: Option<Duration>,
    receiver: Arc<Receiver>,
}

impl Turn {
    /// Remembers that it left its lane. Until it ends, nothing better is known of its receiver, or if it is dropped.
    fn turns_slow(&self) {
        let mut next = lock(&self.receiver.next);
        *next = Next { lane: Lane::Slow, until: None, ..*next };
    }

    /// Whether it used as much as a slow one does.
    pub(crate) fn was_slow(&self) -> bool {
        Lane::after(&self.meter) == Lane::Slow
    }

    /// Remembers how it went, for the next one of the receiver.
    pub(crate) fn remember(&self, at_fault: bool) {
        let lane = if at_fault { Lane::Slow } else { Lane::after(&self.meter) };
        let mut next = lock(&self.receiver.next);
        next.learn(lane, Instant::now());
        next.pause = at_fault.then_some(PAUSE);
    }
}

/// The two threads beside the guests' own, and what is known of whom.
pub(crate) struct Lanes {
    sides: Sides,
    /// Their threads, while we are there.
    runtimes: Vec<Runtime>,
    receivers: Mutex<HashMap<String, Arc<Receiver>>>,
}

impl Lanes {
    /// One thread for all calls of a kind, so they take no more than one core. `cut` is as for [`Turns::new`].
    pub(crate) fn start(cut: impl Fn() + Clone + Send + Sync + 'static) -> io::Result<Self> {
        let heavy = thread_of("plugin-heavy", HEAVY_NICE)?;
        let slow = thread_of("plugin-slow", SLOW_NICE)?;
        let side =
            |runtime: &Runtime| Side { handle: runtime.handle().clone(), turns: Turns::new(cut.clone()) };
        let sides = Sides { heavy: side(&heavy), slow: side(&slow) };
        Ok(Self { sides, runtimes: vec![heavy, slow], receivers: Mutex::default() })
    }

    /// The next call of a receiver.
    pub(crate) fn turn(&self, receiver: &str) -> Turn {
        let receiver = self.receiver(receiver);
        let Next { lane, pause, .. } = *lock(&receiver.next);
        Turn { lane, meter: Arc::default(), pause, receiver }
    }

    fn receiver(&self, name: &str) -> Arc<Receiver> {
        let mut receivers = lock(&self.receivers);
        if let Some(known) = receivers.get(name) {
            return Arc::clone(known);
        }
        Arc::clone(receivers.entry(name.to_owned()).or_default())
    }

    /// Makes a call in its turn: on `guests`, or apart. Dropping the future ends the call.
    pub(crate) async fn make<T: Send + 'static>(
        &self,
        guests: &Handle,
        turn: Turn,
        call: Call<T>,
    ) -> Result<T, JoinError> {
        if turn.lane != Lane::Slow {
            self.sides.slow.turns.make_way(&turn.receiver.share);
        }
        let made = self.sides.clone().make(turn.clone(), call);
        match turn.lane {
            Lane::Light => AbortOnDropHandle::new(guests.spawn(made)).await.flatten(),
            Lane::Heavy | Lane::Slow => made.await,
        }
    }

    /// The same for one who is on the guests' runtime and has nothing else to do.
    pub(crate) async fn go_on<T: Send + 'static>(&self, turn: Turn, call: Call<T>) -> Result<T, JoinError> {
        self.sides.clone().make(turn, call).await
    }
}

impl Drop for Lanes {
    fn drop(&mut self) {
        // Within another runtime they may not be waited for; their calls are over by now.
        for runtime in self.runtimes.drain(..) {
            runtime.shutdown_background();
        }
    }
}

/// A runtime of one thread that is so much nicer than this one.
///
/// It looks for what there is to wake after each turn: a call that yielded asks for its next one only then, and by default
/// that is when nobody else is to be polled, or after 61 that were.
fn thread_of(name: &'static str, nicer: i32) -> io::Result<Runtime> {
    let nice = nice(nicer);
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    runtime.worker_threads(1).event_interval(1).thread_name(name);
    runtime.enable_all().on_thread_start(move || lower(nice)).build()
}

/// The threads beside the guests' own.
#[derive(Clone)]
struct Sides {
    heavy: Side,
    slow: Side,
}

#[derive(Clone)]
struct Side {
    handle: Handle,
    turns: Arc<Turns>,
}

impl Sides {
    /// Makes a call from where it begins: on this thread, or apart.
    async fn make<T: Send + 'static>(self, turn: Turn, call: Call<T>) -> Result<T, JoinError> {
        if let Some(pause) = turn.pause {
            tokio::time::sleep(pause).await;
        }
        let meter = Arc::clone(&turn.meter);
        let made = match turn.lane {
            Lane::Light => within(HEAVY, meter, call).await,
            Lane::Heavy => self.heavy.spawn(&turn, within(LONG, meter, call)).await?,
            Lane::Slow => return self.slow.spawn(&turn, call).await,
        };
        match made {
            Ok(result) => Ok(result),
            Err(rest) => {
                turn.turns_slow();
                self.slow.spawn(&turn, rest).await
            }
        }
    }
}

impl Side {
    async fn spawn<T: Send + 'static>(
        &self,
        turn: &Turn,
        part: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, JoinError> {
        let share = Arc::clone(&turn.receiver.share);
        AbortOnDropHandle::new(self.handle.spawn(self.turns.take(share, Box::pin(part)))).await
    }
}

/// Makes a call until it has used so much CPU time; gives it back then.
async fn within<T>(most: Duration, meter: Arc<Meter>, mut call: Call<T>) -> Result<T, Call<T>> {
    let ended = poll_fn(|context| match call.as_mut().poll(context) {
        Poll::Ready(result) => Poll::Ready(Some(result)),
        Poll::Pending if meter.spent() >= most => Poll::Ready(None),
        Poll::Pending => Poll::Pending,
    });
    ended.await.ok_or(call)
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

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::meter::tests::burn;

    /// The threads on which a call began and ended that uses so much CPU time, and how nice the second is.
    async fn made(lanes: &Lanes, receiver: &str, ns: u64, at_fault: bool) -> ([String; 2], i32) {
        let name = || thread::current().name().unwrap_or_default().to_owned();
        let turn = lanes.turn(receiver);
        let (known, meter) = (turn.clone(), Arc::clone(&turn.meter));
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
            .enable_all()
            .build()
            .unwrap();
        let made = lanes.make(guests.handle(), turn, Box::pin(call)).await.unwrap();
        known.remember(at_fault);
        guests.shutdown_background();
        made
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_that_would_hold_others_up_is_made_elsewhere_and_with_less_of_the_machine() {
        let lanes = Lanes::start(|| {}).unwrap();
        let own = getpriority_process(None).unwrap();
        let check = async |receiver, ns, at_fault, threads: [&str; 2], nicer| {
            let (found, nice) = made(&lanes, receiver, ns, at_fault).await;
            assert_eq!((found.each_ref().map(String::as_str), nice), (threads, 19.min(own + nicer)));
        };
        let (light, heavy, slow) = (0, 5_000_000, 110_000_000);
        check("computes", light, false, ["plugin"; 2], 0).await;
        check("computes", heavy, false, ["plugin", "plugin-slow"], SLOW_NICE).await;
        check("computes", heavy, false, ["plugin-heavy"; 2], HEAVY_NICE).await;
        check("computes", slow, false, ["plugin-heavy", "plugin-slow"], SLOW_NICE).await;
        // It stays there for a second, however light it is meanwhile.
        check("computes", light, false, ["plugin-slow"; 2], SLOW_NICE).await;
        check("computes", heavy, false, ["plugin-slow"; 2], SLOW_NICE).await;
        tokio::time::advance(STAY).await;
        check("computes", heavy, false, ["plugin-slow"; 2], SLOW_NICE).await;
        check("computes", light, false, ["plugin-heavy"; 2], HEAVY_NICE).await;
        tokio::time::advance(STAY).await;
        check("computes", light, false, ["plugin-heavy"; 2], HEAVY_NICE).await;
        check("computes", slow, false, ["plugin", "plugin-slow"], SLOW_NICE).await;
        check("crashes", light, true, ["plugin"; 2], 0).await;
        check("crashes", heavy, true, ["plugin-slow"; 2], SLOW_NICE).await;
        tokio::time::advance(STAY).await;
        check("crashes", light, false, ["plugin-slow"; 2], SLOW_NICE).await;
        check("crashes", light, false, ["plugin"; 2], 0).await;
    }

    /// While there are always others to be polled, too.
    #[tokio::test]
    async fn a_call_that_yielded_goes_on_before_those_of_one_that_used_more() {
        let lanes = Lanes::start(|| {}).unwrap();
        let order = Arc::new(Mutex::new(String::new()));
        let call = |receiver: &'static str, turns| {
            let order = Arc::clone(&order);
            let call = async move {
                for _ in 0..turns {
                    lock(&order).push_str(receiver);
                    burn(1_000_000);
                    tokio::task::yield_now().await;
                }
            };
            let (heavy, turn) = (lanes.sides.heavy.clone(), lanes.turn(receiver));
            async move { heavy.spawn(&turn, call).await.unwrap() }
        };
        call("more ", 20).await;
        lock(&order).clear();
        let (go, wait) = std::sync::mpsc::channel();
        let until_all_are_there = lanes.sides.heavy.handle.spawn(async move { wait.recv() });
        let calls = [("less ", 4), ("more ", 1), ("more ", 1), ("more ", 1)];
        let calls = calls.map(|(receiver, turns)| tokio::spawn(call(receiver, turns)));
        tokio::task::yield_now().await;
        go.send(()).unwrap();
        until_all_are_there.await.unwrap().unwrap();
        for call in calls {
            call.await.unwrap();
        }
        assert_eq!(*lock(&order), "less less less less more more more ");
    }

    #[tokio::test]
    async fn a_call_that_was_dropped_is_remembered_if_it_was_slow() {
        let lanes = Lanes::start(|| {}).unwrap();
        let turn = lanes.turn("r");
        let call = turn.meter.clone();
        let call = async move {
            call.measure(async {
                burn(5_000_000);
                tokio::task::yield_now().await;
                std::future::pending::<()>().await;
            })
            .await;
        };
        let made = lanes.go_on(turn, Box::pin(call));
        tokio::time::timeout(Duration::from_millis(50), made).await.unwrap_err();
        assert_eq!(lanes.turn("r").lane, Lane::Slow);
    }

    #[tokio::test]
    async fn who_did_not_behave_waits_before_its_next_call() {
        let lanes = Lanes::start(|| {}).unwrap();
        lanes.turn("r").remember(true);
        let start = tokio::time::Instant::now();
        made(&lanes, "r", 0, false).await;
        assert!(start.elapsed() >= PAUSE);
        assert_eq!(lanes.turn("r").pause, None);
    }
}
