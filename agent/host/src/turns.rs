//! Whose turn it is on a thread that several receivers' calls want: the receiver's that used the least CPU time of late.
//!
//! To give each call its turn in a row would let a receiver that computes all day make another one, that computes for ten
//! milliseconds once a minute, wait as long again for each of its turns. So who had more waits, and who has a turn loses it
//! at once to one that had less. Whoever wants less than its share of the thread then gets it as if it were alone, and who
//! wants more gets what is left.
//!
//! What computes on one core also slows what computes on another: they share the way to the memory, and may be two threads of
//! one core. So where turns are for what is left of the machine, who has had some rests after each while others are called
//! elsewhere ([`Turns::make_way`]).
//!
//! A call is a task of tokio, which is polled when it likes; here it learns whether it is its turn. What wakes a call asks
//! for a turn, so a call that waits for the world is in nobody's way.

use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use crate::meter::thread_cpu_ns;

/// In this time what was used counts half. One that begins to compute without end goes first until it had as much as the
/// others had of late: with a longer time, those that are called ten times a second would wait longer for it.
const HALF_LIFE: Duration = Duration::from_millis(100);

/// How many times as long as its turn took a receiver rests after it, while others are called elsewhere. What is on both cores
/// may take twice as long, so a tenth of it costs the others less than a tenth.
const REST: u32 = 9;

/// It rests no longer than this, however long one turn was: a call of the host ends no turn, and deadlines are seen in turns.
const REST_MAX: Duration = Duration::from_millis(100);

/// Who used less of late does not rest: it slows nobody.
const FREE: Duration = Duration::from_millis(2);

/// So long others count as called after a call of theirs began: a long one takes half of it, unless the machine is overloaded.
const CALLED: Duration = Duration::from_millis(200);

/// So many turns are cut short in this time at most: otherwise calls that wait for something all the time would cut all.
const CUTS: u32 = 10;
const CUTS_IN: Duration = Duration::from_millis(10);

/// What a receiver used of late.
#[derive(Debug)]
pub(crate) struct Share(Mutex<Used>);

#[derive(Clone, Copy, Debug)]
struct Used {
    /// CPU time, in seconds, as it counted then.
    seconds: f64,
    at: Instant,
}

impl Used {
    /// What is left of it by then.
    fn faded(&self, now: Instant) -> f64 {
        let since = now.saturating_duration_since(self.at);
        self.seconds * (-since.div_duration_f64(HALF_LIFE)).exp2()
    }
}

impl Default for Share {
    fn default() -> Self {
        let now = Instant::now();
        Self(Mutex::new(Used { seconds: 0.0, at: now }))
    }
}

impl Share {
    /// What it used until now, the longer ago the less.
    fn used(&self, now: Instant) -> f64 {
        lock(&self.0).faded(now)
    }

    /// Counts what it used more.
    fn add(&self, more: Duration, now: Instant) {
        let used = &mut *lock(&self.0);
        (used.seconds, used.at) = (used.faded(now) + more.as_secs_f64(), now);
    }
}

/// A call that wants turns.
struct Seat {
    turns: Arc<Turns>,
    share: Arc<Share>,
    /// Its task, once that was polled.
    task: Mutex<Option<Waker>>,
    /// Nobody is there any more. What woke the call may still do so.
    left: AtomicBool,
}

impl Seat {
    fn call_up(&self) {
        if let Some(task) = &*lock(&self.task) {
            task.wake_by_ref();
        }
    }
}

impl Wake for Seat {
    fn wake(self: Arc<Self>) {
        let turns = Arc::clone(&self.turns);
        turns.ask(self);
    }
}

/// The turns on one thread.
pub(crate) struct Turns {
    state: Mutex<State>,
    /// Has who has the turn end it.
    cut: Box<dyn Fn() + Send + Sync>,
}

struct State {
    asking: Vec<Arc<Seat>>,
    /// Who has the turn, and since when.
    running: Option<(Arc<Share>, Instant)>,
    /// How many turns were cut short since then.
    cuts: (u32, Instant),
    /// Who was called elsewhere last, and when.
    called: Option<(Arc<Share>, Instant)>,
    /// Who has no turn here until then. Elsewhere it may have one, since only here somebody calls up who asks after it.
    resting: Vec<(Arc<Share>, Instant)>,
}

impl State {
    /// Who is next.
    fn next(&self, now: Instant) -> Option<&Arc<Seat>> {
        let asking = self.asking.iter().filter(|asking| !self.rests(&asking.share, now));
        asking.min_by(|one, other| one.share.used(now).total_cmp(&other.share.used(now)))
    }

    /// Whether the turn is to be cut short, since another one had less than who has it has had by now.
    fn cuts(&mut self, share: &Arc<Share>, now: Instant) -> bool {
        let Some((running, since)) = &self.running else { return false };
        let turn = now.saturating_duration_since(*since);
        let has_less = running.used(now) + turn.as_secs_f64() > share.used(now);
        has_less && !Arc::ptr_eq(running, share) && !self.rests(share, now) && self.may_cut(now)
    }

    fn rest(&mut self, share: &Arc<Share>, now: Instant, until: Instant) {
        self.resting.retain(|(_, until)| *until > now);
        self.resting.push((Arc::clone(share), until));
    }

    fn rests(&self, share: &Arc<Share>, now: Instant) -> bool {
        self.resting.iter().any(|(resting, until)| Arc::ptr_eq(resting, share) && *until > now)
    }

    /// Whether another receiver is called elsewhere.
    fn is_in_the_way(&self, share: &Arc<Share>, now: Instant) -> bool {
        let others = |(called, at): &(Arc<Share>, Instant)| !Arc::ptr_eq(called, share) && now < *at + CALLED;
        self.called.as_ref().is_some_and(others)
    }

    /// Counts a turn that is cut short, unless too many were.
    fn may_cut(&mut self, now: Instant) -> bool {
        let (count, from) = &mut self.cuts;
        if now.saturating_duration_since(*from) >= CUTS_IN {
            (*count, *from) = (0, now);
        }
        *count += 1;
        *count <= CUTS
    }
}

impl Turns {
    /// `cut` has whoever has the turn end it, and may be called from any thread.
    pub(crate) fn new(cut: impl Fn() + Send + Sync + 'static) -> Arc<Self> {
        let state = State {
            asking: Vec::new(),
            running: None,
            cuts: (0, Instant::now()),
            called: None,
            resting: Vec::new(),
        };
        Arc::new(Self { state: Mutex::new(state), cut: Box::new(cut) })
    }

    /// Has `call` done in turns, as one of the receiver whose share this is. All of its kind are to be polled on one thread.
    /// It asks for its first turn at once, and not when it is first polled.
    pub(crate) fn take<T>(
        self: &Arc<Self>,
        share: Arc<Share>,
        call: Pin<Box<dyn Future<Output = T> + Send>>,
    ) -> InTurns<T> {
        let turns = Arc::clone(self);
        let seat = Arc::new(Seat { turns, share, task: Mutex::default(), left: AtomicBool::new(false) });
        self.ask(Arc::clone(&seat));
        InTurns { waker: Waker::from(Arc::clone(&seat)), seat, call }
    }

    /// The receiver whose share this is is called elsewhere, and is to be as quick as if nobody were here.
    pub(crate) fn make_way(&self, share: &Arc<Share>) {
        let now = Instant::now();
        let mut state = lock(&self.state);
        state.called = Some((Arc::clone(share), now));
        let is_slowed = state.running.as_ref().is_some_and(|(running, _)| !Arc::ptr_eq(running, share));
        if is_slowed && state.may_cut(now) {
            (self.cut)();
        }
    }

    fn ask(&self, seat: Arc<Seat>) {
        let now = Instant::now();
        let mut state = lock(&self.state);
        if seat.left.load(Relaxed) {
            return;
        }
        let cut = state.cuts(&seat.share, now);
        if !state.asking.iter().any(|asking| Arc::ptr_eq(asking, &seat)) {
            state.asking.push(seat);
        }
        if cut {
            (self.cut)();
        } else if state.running.is_none() {
            call_up_next(&state, now);
        }
    }

    /// Begins this one's turn, if it is its. Otherwise it is called up when it is.
    fn begin<'a>(&'a self, seat: &'a Arc<Seat>) -> Option<Turn<'a>> {
        let now = Instant::now();
        let mut state = lock(&self.state);
        if !state.next(now).is_some_and(|next| Arc::ptr_eq(next, seat)) {
            call_up_next(&state, now);
            return None;
        }
        state.asking.retain(|asking| !Arc::ptr_eq(asking, seat));
        state.running = Some((Arc::clone(&seat.share), now));
        Some(Turn { turns: self, seat, since_ns: thread_cpu_ns() })
    }
}

impl Wake for Turns {
    fn wake(self: Arc<Self>) {
        let state = lock(&self.state);
        if state.running.is_none() {
            call_up_next(&state, Instant::now());
        }
    }
}

fn call_up_next(state: &State, now: Instant) {
    if let Some(next) = state.next(now) {
        next.call_up();
    }
}

/// A turn; it ends when it is dropped, however that comes.
struct Turn<'a> {
    turns: &'a Turns,
    seat: &'a Seat,
    since_ns: u64,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let used = Duration::from_nanos(thread_cpu_ns().saturating_sub(self.since_ns));
        let (now, share) = (Instant::now(), &self.seat.share);
        share.add(used, now);
        let mut state = lock(&self.turns.state);
        state.running = None;
        if share.used(now) > FREE.as_secs_f64() && state.is_in_the_way(share, now) {
            let (until, turns) = (now + (used * REST).min(REST_MAX), Arc::clone(&self.seat.turns));
            state.rest(share, now, until);
            // A call of the receiver may ask already, and nobody else later.
            tokio::spawn(async move {
                sleep_until(until).await;
                turns.wake();
            });
        }
    }
}

/// A call that is done in turns.
pub(crate) struct InTurns<T> {
    seat: Arc<Seat>,
    waker: Waker,
    call: Pin<Box<dyn Future<Output = T> + Send>>,
}

impl<T> Future for InTurns<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        let Self { seat, waker, call } = &mut *self;
        lock(&seat.task).replace(context.waker().clone());
        let turns = Arc::clone(&seat.turns);
        let Some(turn) = turns.begin(seat) else { return Poll::Pending };
        let poll = call.as_mut().poll(&mut Context::from_waker(waker));
        drop(turn);
        pass_on(turns);
        poll
    }
}

impl<T> Drop for InTurns<T> {
    fn drop(&mut self) {
        let mut state = lock(&self.seat.turns.state);
        self.seat.left.store(true, Relaxed);
        state.asking.retain(|asking| !Arc::ptr_eq(asking, &self.seat));
        if state.running.is_none() {
            call_up_next(&state, Instant::now());
        }
    }
}

/// Calls up the next one as soon as tokio has seen what else there is to wake: whoever yielded asks only then, and whose
/// answer came meanwhile.
fn pass_on(turns: Arc<Turns>) {
    let waker = Waker::from(turns);
    let seen = pin!(tokio::task::yield_now()).poll(&mut Context::from_waker(&waker));
    debug_assert!(seen.is_pending(), "it keeps the waker, which is all that it is for");
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;
    use crate::meter::tests::burn;

    const MS: u64 = 1_000_000;

    #[test]
    fn what_was_used_counts_half_after_a_tenth_of_a_second() {
        let (share, start) = (Share::default(), Instant::now());
        share.add(Duration::from_secs(800), start);
        let at = |ms| Duration::from_secs_f64(share.used(start + Duration::from_millis(ms))).as_secs();
        assert_eq!([0, 100, 300].map(at), [800, 400, 100]);
        share.add(Duration::from_secs(100), start + Duration::from_millis(200));
        assert_eq!([200, 300].map(at), [300, 150]);
    }

    /// Calls in turns of a millisecond: who had the turns, in their order.
    async fn order(calls: &[(&'static str, &Arc<Share>, usize)]) -> String {
        let (turns, order) = (Turns::new(|| {}), Arc::new(Mutex::new(Vec::new())));
        let mut tasks = tokio::task::JoinSet::new();
        for (name, share, count) in calls.iter().copied() {
            let order = Arc::clone(&order);
            let call = async move {
                for _ in 0..count {
                    lock(&order).push(name);
                    burn(MS);
                    tokio::task::yield_now().await;
                }
            };
            tasks.spawn(turns.take(Arc::clone(share), Box::pin(call)));
        }
        tasks.join_all().await;
        lock(&order).join("")
    }

    fn share(used: u64) -> Arc<Share> {
        let share = Share::default();
        share.add(Duration::from_nanos(used), Instant::now());
        Arc::new(share)
    }

    #[tokio::test(start_paused = true)]
    async fn who_used_least_of_late_goes_first_until_it_had_as_much() {
        let (hog, small) = (share(1_000 * MS), share(0));
        assert_eq!(order(&[("h", &hog, 3), ("s", &small, 5)]).await, "sssss hhh".replace(' ', ""));
        let (one, other) = (share(0), share(2 * MS + MS / 2));
        assert_eq!(order(&[("b", &other, 3), ("a", &one, 5)]).await, "aaababab");
    }

    #[tokio::test(start_paused = true)]
    async fn four_calls_of_a_receiver_have_no_more_than_one_of_another() {
        let (many, one) = (share(0), share(MS / 2));
        let four = [("m", &many, 2); 4];
        let order = order(&[&four[..], &[("o", &one, 4)]].concat()).await;
        assert_eq!(order, "momomomommmm");
    }

    /// Turns, and how many of them were cut short.
    fn counting() -> (Arc<Turns>, Arc<AtomicUsize>) {
        let cuts = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&cuts);
        let turns = Turns::new(move || {
            counted.fetch_add(1, Relaxed);
        });
        (turns, cuts)
    }

    #[tokio::test(start_paused = true)]
    async fn a_turn_is_cut_short_for_one_that_had_less_and_for_no_other() {
        let (turns, cuts) = counting();
        let (hog, more, less) = (share(10 * MS), share(100 * MS), share(MS));
        let seen = async |asking: [&Arc<Share>; 3]| {
            let (within, cuts) = (Arc::clone(&turns), Arc::clone(&cuts));
            let asking = asking.map(Arc::clone);
            let call = async move {
                asking.map(|share| {
                    drop(within.take(share, Box::pin(async {})));
                    cuts.load(Relaxed)
                })
            };
            turns.take(Arc::clone(&hog), Box::pin(call)).await
        };
        assert_eq!(seen([&more, &hog, &less]).await, [0, 0, 1]);
        for before in (1..CUTS as usize).step_by(3) {
            assert_eq!(seen([&less; 3]).await, [1, 2, 3].map(|more| before + more));
        }
        assert_eq!(seen([&less; 3]).await, [CUTS as usize; 3], "there were as many as may be");
        tokio::time::advance(CUTS_IN).await;
        assert_eq!(seen([&less; 3]).await, [1, 2, 3].map(|more| CUTS as usize + more));
    }

    /// How long four turns of so many nanoseconds take with what is waited in between, where another receiver is called.
    async fn takes(own: &Arc<Share>, called: Option<&Arc<Share>>, ns: u64) -> Duration {
        let (turns, start) = (Turns::new(|| {}), Instant::now());
        if let Some(share) = called {
            turns.make_way(share);
        }
        let call = async move {
            for _ in 0..4 {
                burn(ns);
                tokio::task::yield_now().await;
            }
        };
        tokio::spawn(turns.take(Arc::clone(own), Box::pin(call))).await.unwrap();
        start.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn who_had_some_rests_after_each_turn_while_others_are_called() {
        let other = share(0);
        assert_eq!(takes(&share(0), None, 4 * MS).await, Duration::ZERO);
        let own = share(0);
        assert_eq!(takes(&own, Some(&own), 4 * MS).await, Duration::ZERO, "it is called itself");
        assert_eq!(takes(&share(0), Some(&other), MS / 10).await, Duration::ZERO, "it has little");
        let rests = takes(&share(0), Some(&other), 4 * MS).await;
        let at_least = Duration::from_millis(4 * 4 * u64::from(REST));
        assert!((at_least..2 * at_least).contains(&rests), "{rests:?}");
        let (long_ago, start) = (Turns::new(|| {}), Instant::now());
        long_ago.make_way(&other);
        tokio::time::advance(CALLED).await;
        tokio::spawn(long_ago.take(share(0), Box::pin(async { burn(4 * MS) }))).await.unwrap();
        tokio::spawn(long_ago.take(share(0), Box::pin(async {}))).await.unwrap();
        assert_eq!(start.elapsed(), CALLED);
    }

    #[tokio::test(start_paused = true)]
    async fn who_rests_on_one_thread_has_its_turns_on_another() {
        let (here, elsewhere, own) = (Turns::new(|| {}), Turns::new(|| {}), share(0));
        here.make_way(&share(0));
        let start = Instant::now();
        here.take(Arc::clone(&own), Box::pin(async { burn(4 * MS) })).await;
        let at_once = elsewhere.take(Arc::clone(&own), Box::pin(async {}));
        tokio::time::timeout(Duration::from_millis(1), at_once).await.unwrap();
        tokio::spawn(here.take(own, Box::pin(async {}))).await.unwrap();
        assert!(start.elapsed() >= Duration::from_millis(4 * u64::from(REST)));
    }

    #[tokio::test(start_paused = true)]
    async fn others_have_their_turns_while_one_rests() {
        let (turns, hog) = (Turns::new(|| {}), share(0));
        turns.make_way(&share(0));
        let start = Instant::now();
        let two = [(); 2].map(|()| {
            tokio::spawn(turns.take(
                Arc::clone(&hog),
                Box::pin(async move {
                    burn(4 * MS);
                    start.elapsed()
                }),
            ))
        });
        let small = tokio::spawn(turns.take(share(MS), Box::pin(async move { start.elapsed() })));
        let [one, other] = two;
        assert_eq!((one.await.unwrap(), small.await.unwrap()), (Duration::ZERO, Duration::ZERO));
        assert!(
            other.await.unwrap() >= Duration::from_millis(4 * u64::from(REST)),
            "both calls are one receiver's"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_turn_is_cut_short_where_another_receiver_is_called_elsewhere() {
        let (turns, cuts) = counting();
        let (own, other) = (share(0), share(0));
        turns.make_way(&other);
        assert_eq!(cuts.load(Relaxed), 0, "nobody has a turn");
        let (within, own_again) = (Arc::clone(&turns), Arc::clone(&own));
        let call = async move {
            within.make_way(&own_again);
            within.make_way(&other);
        };
        turns.take(own, Box::pin(call)).await;
        assert_eq!(cuts.load(Relaxed), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_that_breaks_or_is_dropped_leaves_the_others_their_turns() {
        let turns = Turns::new(|| {});
        let broken = tokio::spawn(turns.take(share(0), Box::pin(async { panic!("as it should") })));
        let waker = Arc::new(Mutex::new(None::<Waker>));
        let kept = Arc::clone(&waker);
        let wait = std::future::poll_fn(move |context| {
            *lock(&kept) = Some(context.waker().clone());
            Poll::<()>::Pending
        });
        let mut dropped = turns.take(share(0), Box::pin(wait));
        let last = tokio::spawn(turns.take(share(MS), Box::pin(async { 7 })));
        tokio::task::yield_now().await;
        assert!(Pin::new(&mut dropped).poll(&mut Context::from_waker(Waker::noop())).is_pending());
        drop(dropped);
        lock(&waker).take().expect("it was polled").wake();
        assert!(broken.await.unwrap_err().is_panic());
        assert_eq!(last.await.unwrap(), 7);
    }
}
