//! The dispatcher with a scripted plugin, a real store and paused time.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Mutex;

use jiff::SignedDuration;
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio::time::{self, Instant};

use super::*;
use crate::store::fixture::{at, attempts, commit, delivery, event, nothing, nothing_follows, refuse_writes};
use crate::store::{Commit, NewDelivery, Overlap, Recovered};

/// Longer than anything that is waited for; paused time makes it short.
const LONG: Duration = Duration::from_hours(1);

/// What the plugin does with one attempt.
enum Step {
    Answer(Result<String, Failure>),
    Slow(Duration),
    Hang,
    Panic,
    PanicAtOnce,
}

/// An attempt that the plugin saw.
#[derive(Debug)]
struct Seen {
    at: i64,
    delivery: Delivery,
}

impl Seen {
    /// `event attempt`.
    fn text(&self) -> String {
        format!("{} {}", self.delivery.events[0].id, self.delivery.attempt)
    }
}

/// Answers each event's attempts by its script; what has no script is delivered.
struct Script {
    steps: Mutex<BTreeMap<&'static str, VecDeque<Step>>>,
    seen: mpsc::UnboundedSender<Seen>,
    start: Instant,
}

impl Handler for Script {
    fn handle(&self, delivery: Delivery) -> Answer<'_> {
        let step = self.steps.lock().unwrap().get_mut(&*delivery.events[0].id).and_then(VecDeque::pop_front);
        self.seen.send(Seen { at: milliseconds(self.start), delivery }).unwrap();
        assert!(!matches!(step, Some(Step::PanicAtOnce)), "as the script says");
        Box::pin(async move {
            match step {
                None => Ok("ok".into()),
                Some(Step::Answer(answer)) => answer,
                Some(Step::Slow(time)) => {
                    time::sleep(time).await;
                    Ok("late".into())
                }
                Some(Step::Hang) => std::future::pending().await,
                Some(Step::Panic | Step::PanicAtOnce) => panic!("as the script says"),
            }
        })
    }
}

/// Milliseconds since `start`.
fn milliseconds(start: Instant) -> i64 {
    start.elapsed().as_millis().try_into().unwrap()
}

/// A store, receivers with one script, and what they saw.
struct World {
    folder: TempDir,
    store: Store,
    script: Arc<Script>,
    seen: mpsc::UnboundedReceiver<Seen>,
    start: Instant,
}

impl World {
    fn new(steps: impl IntoIterator<Item = (&'static str, Vec<Step>)>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("lictor.db")).unwrap();
        let (sender, seen) = mpsc::unbounded_channel();
        let start = Instant::now();
        let steps = steps.into_iter().map(|(event, steps)| (event, steps.into())).collect();
        let script = Arc::new(Script { steps: Mutex::new(steps), seen: sender, start });
        Self { folder, store, script, seen, start }
    }

    fn receiver(&self, name: &str) -> Receiver {
        Receiver::new(name, Arc::<Script>::clone(&self.script))
    }

    fn run(&self, receivers: Vec<Receiver>) -> (Dispatcher, Shutdown) {
        let start = self.start;
        let shutdown = Shutdown::default();
        let clock = Arc::new(move || at(0) + SignedDuration::try_from(start.elapsed()).unwrap());
        let settings = Settings { clock, ..Settings::default() };
        let here = Handle::current();
        let dispatcher = Dispatcher::start(&here, &self.store, receivers, &settings, &shutdown);
        (dispatcher, shutdown)
    }

    /// Starts the receiver `mail` alone.
    fn mail(&self) -> (Dispatcher, Shutdown) {
        self.run(vec![self.receiver("mail")])
    }

    async fn next(&mut self) -> Seen {
        time::timeout(LONG, self.seen.recv()).await.expect("an attempt").unwrap()
    }

    /// Checks that the next attempts are `want`, in this order, and then none for long. Returns when
    /// each was seen.
    async fn check(&mut self, want: &[&str]) -> Vec<i64> {
        let mut times = Vec::new();
        for want in want {
            let seen = self.next().await;
            assert_eq!(seen.text(), *want);
            times.push(seen.at);
        }
        self.quiet().await;
        times
    }

    async fn quiet(&mut self) {
        let more = time::timeout(LONG, self.seen.recv()).await;
        assert!(more.is_err(), "{more:?}");
    }
}

fn fails(failure: Failure) -> Step {
    Step::Answer(Err(failure))
}

fn transient() -> Step {
    fails(Failure::Transient("refused".into()))
}

#[tokio::test(start_paused = true)]
async fn a_plugin_is_told_what_was_committed_and_the_receipt_is_kept() {
    let mut world = World::new([]);
    let (dispatcher, _) = world.mail();
    world.quiet().await;
    commit(&world.store, "mail", &[("a1", "web1/a")]).await;
    world.quiet().await;
    dispatcher.inlets().wake("nobody");
    world.quiet().await;
    dispatcher.inlets().wake("mail");
    let told = world.next().await.delivery;
    assert_eq!(told.id.len(), 32);
    assert_eq!((told.attempt, &*told.rule, &*told.receiver), (1, "down", "mail"));
    assert_eq!((&*told.environment, &*told.node), ("production", "web1"));
    let want = event("a1", "web1/a");
    let [told] = &told.events[..] else { panic!("{told:?}") };
    assert_eq!(
        (&*told.kind, &told.source, &told.subject),
        ("lictor.check.status", &want.source, &want.subject)
    );
    assert_eq!(
        (&*told.time, &told.data),
        ("2023-11-14T22:13:20.001Z", &serde_json::to_string(&want.data).unwrap())
    );
    world.quiet().await;
    assert_eq!(attempts(&world.store).await, ["1 delivered: ok"]);
}

#[tokio::test(start_paused = true)]
async fn a_subject_keeps_its_order_under_retries_and_others_go_on() {
    let mut world = World::new([("a1", vec![transient(), transient()])]);
    commit(&world.store, "mail", &[("a1", "a"), ("a2", "a"), ("b1", "b")]).await;
    let _running = world.mail();
    let times = world.check(&["a1 1", "b1 1", "a1 2", "a1 3", "a2 1"]).await;
    assert_eq!(times[..2], [0, 0]);
    assert!((125..=252).contains(&times[2]), "{times:?}");
    assert!((250..=502).contains(&(times[3] - times[2])), "{times:?}");
    assert_eq!(times[4], times[3]);
}

#[tokio::test(start_paused = true)]
async fn no_more_run_side_by_side_than_allowed() {
    let slow = |event| (event, vec![Step::Slow(Duration::from_secs(1))]);
    let mut world = World::new([slow("a"), slow("b"), slow("c"), slow("d"), slow("e")]);
    commit(&world.store, "mail", &[("a", "a"), ("b", "b"), ("c", "c"), ("d", "d"), ("e", "e")]).await;
    let _running = world.run(vec![Receiver { max_in_flight: 2, ..world.receiver("mail") }]);
    let mut seen = Vec::new();
    for _ in 0..5 {
        let Seen { at, .. } = world.next().await;
        // A timer of tokio is up to a millisecond late.
        seen.push(at / 1000);
    }
    // Which of two that begin at the same moment is the first is nobody's promise: they are of two subjects.
    assert_eq!(seen, [0, 0, 1, 1, 2]);
    world.quiet().await;
}

#[tokio::test(start_paused = true)]
async fn what_comes_while_a_slot_becomes_free_is_not_forgotten() {
    let mut world = World::new([]);
    let (dispatcher, _) = world.run(vec![Receiver { max_in_flight: 1, ..world.receiver("mail") }]);
    for number in 0..500 {
        let id = format!("e{number}");
        commit(&world.store, "mail", &[(&id, &id)]).await;
        dispatcher.inlets().wake("mail");
        // The next one is committed while the verdict on this one is on its way.
        assert_eq!(world.next().await.text(), format!("{id} 1"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_receiver_that_hangs_delays_no_other() {
    let mut world = World::new([("a1", vec![Step::Hang])]);
    let stuck = Receiver { max_in_flight: 0, ..world.receiver("stuck") };
    let (dispatcher, _) = world.run(vec![stuck, world.receiver("mail")]);
    commit(&world.store, "stuck", &[("a1", "a"), ("b1", "b")]).await;
    dispatcher.inlets().wake("stuck");
    assert_eq!(world.next().await.text(), "a1 1");
    commit(&world.store, "mail", &[("a2", "a")]).await;
    dispatcher.inlets().wake("mail");
    let before = milliseconds(world.start);
    assert_eq!(world.check(&["a2 1"]).await, [before]);
}

/// Checks what becomes of `steps` with three attempts at most, and that the subject goes on.
async fn check_end(steps: Vec<Step>, want: &[&str]) -> Vec<i64> {
    let mut world = World::new([("a1", steps)]);
    commit(&world.store, "mail", &[("a1", "a"), ("a2", "a")]).await;
    let retry = RetryPolicy { attempts: 3, ..RetryPolicy::default() };
    let _running = world.run(vec![Receiver { retry, ..world.receiver("mail") }]);
    let mut calls: Vec<_> = (1..=want.len()).map(|attempt| format!("a1 {attempt}")).collect();
    calls.push("a2 1".into());
    let times = world.check(&calls.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let mut kept = attempts(&world.store).await;
    assert_eq!(kept.pop().unwrap(), "1 delivered: ok");
    assert_eq!(kept, want);
    times
}

#[tokio::test(start_paused = true)]
async fn a_failure_ends_as_its_kind_says() {
    let why = || "why".to_owned();
    let bound = vec![transient(), fails(Failure::Trapped(why())), fails(Failure::Memory(why()))];
    check_end(bound, &["1 transient: refused", "2 trapped: why", "3 memory: why"]).await;
    check_end(vec![fails(Failure::Permanent(why()))], &["1 permanent: why"]).await;
    check_end(vec![fails(Failure::Refused(why()))], &["1 refused: why"]).await;
    check_end(vec![fails(Failure::Deadline(why()))], &["1 deadline: why", "2 delivered: ok"]).await;
    let panics = ["1 trapped: the host panicked", "2 trapped: the host panicked", "3 delivered: ok"];
    check_end(vec![Step::Panic, Step::PanicAtOnce], &panics).await;
    let busy = Failure::RetryAfter(why(), Duration::from_mins(5));
    let times = check_end(vec![fails(busy)], &["1 retry-after: why", "2 delivered: ok"]).await;
    assert!((300_000..=300_127).contains(&times[1]), "{times:?}");
}

/// A log that tests can read.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Lines {
    /// Logs into these lines what this thread does until the guard is dropped.
    fn capture(&self) -> (tracing::dispatcher::DefaultGuard, tracing::Dispatch) {
        // While there is only one subscriber, tracing lets the thread that first comes to a line decide
        // whether it is of interest to anyone, and that may be another test's. So there are two.
        let dispatch = || {
            let lines = self.clone();
            let subscriber = tracing_subscriber::fmt().with_writer(move || lines.clone()).with_ansi(false);
            tracing::Dispatch::new(subscriber.without_time().with_target(false).finish())
        };
        let second = dispatch();
        (tracing::dispatcher::set_default(&dispatch()), second)
    }

    /// Checks that there are as many lines as in `want`, and that each has its words.
    #[track_caller]
    fn check(&self, want: &[&[&str]]) {
        let text = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.len(), want.len(), "{text}");
        for (line, words) in lines.iter().zip(want) {
            for word in *words {
                assert!(line.contains(word), "{word:?} in {line}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn each_attempt_has_one_line_that_says_what_comes_next() {
    let lines = Lines::default();
    let _guard = lines.capture();
    let gone = fails(Failure::Permanent("no such address".into()));
    let mut world = World::new([("a1", vec![transient()]), ("b1", vec![gone])]);
    commit(&world.store, "mail", &[("a1", "a")]).await;
    let (dispatcher, _) = world.mail();
    let id = world.next().await.delivery.id;
    world.check(&["a1 2"]).await;
    commit(&world.store, "mail", &[("b1", "b")]).await;
    dispatcher.inlets().wake("mail");
    world.check(&["b1 1"]).await;
    let its = &["event.id=a1", "receiver=mail", "rule=down", &*format!("delivery.id={id}")];
    lines.check(&[its, its, &["event.id=b1"]]);
    lines.check(&[
        &[
            "WARN",
            "tried again",
            "attempt=1",
            "outcome=transient",
            "reason=refused",
            "retry_at=2023-11-14T22:13:20.",
        ],
        &["INFO", "Delivered.", "attempt=2", "outcome=delivered"],
        &["WARN", "dead", "attempt=1", "outcome=permanent", "reason=no such address"],
    ]);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_fails_is_told_once() {
    let lines = Lines::default();
    let mut world = World::new([]);
    let (dispatcher, _) = world.run(vec![world.receiver("mail"), world.receiver("chat")]);
    let _guard = lines.capture();
    world.quiet().await;
    for id in ["a1", "a2"] {
        commit(&world.store, "mail", &[(id, "a")]).await;
        commit(&world.store, "chat", &[(&format!("chat {id}"), "a")]).await;
        refuse_writes(&world.store, true).await;
        dispatcher.inlets().wake("mail");
        dispatcher.inlets().wake("chat");
        world.quiet().await;
        refuse_writes(&world.store, false).await;
        assert!([world.next().await, world.next().await].iter().all(|seen| seen.delivery.attempt == 1));
        world.quiet().await;
    }
    let (fails, works) = (&["ERROR", "The store fails."][..], &["INFO", "The store works again."][..]);
    let made = &["INFO", "Delivered."][..];
    lines.check(&[fails, works, made, made, fails, works, made, made]);
}

#[tokio::test(start_paused = true)]
async fn what_is_due_later_is_made_then() {
    let mut world = World::new([]);
    let later = NewDelivery { due_at: at(90_000), ..delivery("mail") };
    let events = vec![event("a1", "a")];
    world
        .store
        .commit(&Commit { events, deliveries: vec![later], ..nothing() }, |committed| committed.claimed)
        .await
        .unwrap();
    let _running = world.mail();
    let times = world.check(&["a1 1"]).await;
    assert!((90_000..=90_002).contains(&times[0]), "{times:?}");
}

#[tokio::test(start_paused = true)]
async fn a_drain_claims_no_more_and_lets_calls_finish() {
    let mut world = World::new([("a1", vec![Step::Slow(Duration::from_secs(3))])]);
    let (dispatcher, shutdown) = world.mail();
    commit(&world.store, "mail", &[("a1", "a")]).await;
    dispatcher.inlets().wake("mail");
    assert_eq!(world.next().await.text(), "a1 1");
    shutdown.drain.cancel();
    commit(&world.store, "mail", &[("b1", "b")]).await;
    dispatcher.inlets().wake("mail");
    dispatcher.finish().await;
    assert_eq!(milliseconds(world.start) / 1000, 3);
    world.quiet().await;
    assert_eq!(attempts(&world.store).await, ["1 delivered: late"]);
}

/// Reserves a slot of `mail`, commits `event` so that it is claimed, and hands it over as the pipeline does.
async fn hand_over(world: &World, inlets: &Inlets, id: &str, subject: &str) {
    let slot = inlets.reserve("mail").expect("a free slot");
    let claim = BTreeMap::from([("mail".to_owned(), 1)]);
    let (events, deliveries) = (vec![event(id, subject)], vec![delivery("mail")]);
    let commit = Commit { events, deliveries, claim, ..nothing() };
    world.store.commit(&commit, |mut committed| slot.begin(committed.claimed.remove(0))).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_a_commit_has_claimed_is_made_within_the_slots() {
    let slow = || vec![Step::Slow(Duration::from_secs(1))];
    let mut world = World::new([("a1", slow()), ("b1", slow())]);
    let (dispatcher, _) = world.run(vec![Receiver { max_in_flight: 2, ..world.receiver("mail") }]);
    let inlets = dispatcher.inlets();
    world.quiet().await;
    hand_over(&world, &inlets, "a1", "a").await;
    hand_over(&world, &inlets, "b1", "b").await;
    assert!(inlets.reserve("mail").is_none(), "both slots are taken");
    assert!(inlets.reserve("nobody").is_none());
    commit(&world.store, "mail", &[("c1", "c")]).await;
    inlets.wake("mail");
    let start = milliseconds(world.start);
    let seconds: Vec<_> =
        world.check(&["a1 1", "b1 1", "c1 1"]).await.iter().map(|time| (time - start) / 1000).collect();
    assert_eq!(seconds, [0, 0, 1], "the third waits for a slot");
    assert!(inlets.reserve("mail").is_some(), "the slots are given back");
}

#[tokio::test(start_paused = true)]
async fn a_newer_delivery_ends_the_call_that_runs() {
    let mut world = World::new([("a1", vec![Step::Hang])]);
    let (dispatcher, _) = world.mail();
    let inlets = dispatcher.inlets();
    hand_over(&world, &inlets, "a1", "a").await;
    assert_eq!(world.next().await.text(), "a1 1");
    let newer = NewDelivery { overlap: Overlap::Replace, ..delivery("mail") };
    let newer = Commit { events: vec![event("a2", "a")], deliveries: vec![newer], ..nothing() };
    let ends = inlets.clone();
    let replaced = world.store.commit(&newer, move |committed| {
        committed.replaced.iter().for_each(|replaced| ends.end(replaced));
    });
    replaced.await.unwrap();
    assert_eq!(world.next().await.text(), "a2 1", "its place is taken, though it would hang for ever");
    world.quiet().await;
    let replaced = "1 replaced: a newer one for the same subject came while it was made";
    assert_eq!(attempts(&world.store).await, [replaced, "1 delivered: ok"]);
}

#[tokio::test(start_paused = true)]
async fn a_rate_is_kept_whoever_claims() {
    let mut world = World::new([]);
    let rate_limit = Some(RateLimit { max: 2, per: Duration::from_secs(20) });
    let (dispatcher, _) = world.run(vec![Receiver { rate_limit, ..world.receiver("mail") }]);
    assert!(dispatcher.inlets().reserve("mail").is_none(), "a commit claims nothing for it");
    let start = milliseconds(world.start);
    commit(&world.store, "mail", &[("a1", "a"), ("b1", "b"), ("c1", "c"), ("a2", "a"), ("d1", "d")]).await;
    dispatcher.inlets().wake("mail");
    let mut seconds = Vec::new();
    for _ in 0..5 {
        seconds.push((world.next().await.at - start) / 1000);
    }
    assert_eq!(seconds, [0, 0, 10, 20, 30]);
    // The next start goes on with it.
    time::sleep(Duration::from_secs(1)).await;
    drop(dispatcher);
    let rate_limit = Some(RateLimit { max: 2, per: Duration::from_secs(20) });
    let (dispatcher, _) = world.run(vec![Receiver { rate_limit, ..world.receiver("mail") }]);
    commit(&world.store, "mail", &[("e1", "e"), ("f1", "f")]).await;
    dispatcher.inlets().wake("mail");
    let mut seconds = Vec::new();
    for _ in 0..2 {
        seconds.push((world.next().await.at - start) / 1000);
    }
    assert_eq!(seconds, [40, 50]);
}

#[tokio::test(start_paused = true)]
async fn what_is_handed_over_during_a_drain_is_still_made() {
    let mut world = World::new([]);
    let (dispatcher, shutdown) = world.mail();
    let inlets = dispatcher.inlets();
    world.quiet().await;
    let slot = inlets.reserve("mail").unwrap();
    shutdown.drain.cancel();
    let late = async {
        time::sleep(Duration::from_secs(3)).await;
        drop(slot);
    };
    let before = milliseconds(world.start);
    tokio::join!(dispatcher.finish(), late, async {
        // The pipeline's commit was on its way.
        hand_over(&world, &inlets, "a1", "a").await;
    });
    assert_eq!((milliseconds(world.start) - before) / 1000, 3, "the end waits for whoever holds a slot");
    assert_eq!(world.next().await.text(), "a1 1");
    assert_eq!(attempts(&world.store).await, ["1 delivered: ok"]);
    assert!(inlets.reserve("mail").is_none(), "nothing new is taken in");
}

/// Starts a call that hangs, ends as `end` says, and checks how many seconds that takes and that the
/// next start makes the call again.
async fn check_cut_off(end: impl FnOnce(&Shutdown), seconds: i64) {
    let mut world = World::new([("a1", vec![Step::Hang])]);
    commit(&world.store, "mail", &[("a1", "a"), ("a2", "a")]).await;
    let (dispatcher, shutdown) = world.mail();
    let first = world.next().await;
    end(&shutdown);
    dispatcher.finish().await;
    assert_eq!(milliseconds(world.start) / 1000, seconds);
    world.store.clone().close().await.unwrap();

    world.store = Store::open(&world.folder.path().join("lictor.db")).unwrap();
    let recovered =
        world.store.recover(BTreeMap::new(), nothing_follows(), at(milliseconds(world.start))).await.unwrap();
    assert_eq!(recovered, Recovered { repeated: 1, dead: 0 });
    let _running = world.mail();
    let again = world.next().await;
    assert_eq!((again.text().as_str(), again.delivery.id), ("a1 2", first.delivery.id));
    world.check(&["a2 1"]).await;
    let first = "1 interrupted: Lictor ended while it ran";
    assert_eq!(attempts(&world.store).await, [first, "2 delivered: ok", "1 delivered: ok"]);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_outlasts_the_grace_is_made_again_after_the_restart() {
    check_cut_off(|shutdown| shutdown.drain.cancel(), 10).await;
}

#[tokio::test(start_paused = true)]
async fn an_abort_waits_for_nothing() {
    check_cut_off(|shutdown| shutdown.abort.cancel(), 0).await;
    let both = |shutdown: &Shutdown| {
        shutdown.drain.cancel();
        shutdown.abort.cancel();
    };
    check_cut_off(both, 0).await;
}

#[tokio::test(start_paused = true)]
async fn an_answer_outlives_a_store_that_fails() {
    let mut world = World::new([("a1", vec![Step::Slow(Duration::from_secs(1))])]);
    commit(&world.store, "mail", &[("a1", "a"), ("a2", "a")]).await;
    let _running = world.mail();
    assert_eq!(world.next().await.text(), "a1 1");
    refuse_writes(&world.store, true).await;
    world.quiet().await;
    assert_eq!(attempts(&world.store).await, [""; 0]);
    refuse_writes(&world.store, false).await;
    world.check(&["a2 1"]).await;
    assert_eq!(attempts(&world.store).await, ["1 delivered: late", "1 delivered: ok"]);
}

#[tokio::test(start_paused = true)]
async fn a_claim_is_tried_until_the_store_works() {
    let mut world = World::new([]);
    commit(&world.store, "mail", &[("a1", "a")]).await;
    refuse_writes(&world.store, true).await;
    let _running = world.mail();
    world.quiet().await;
    refuse_writes(&world.store, false).await;
    let mended = milliseconds(world.start);
    let times = world.check(&["a1 1"]).await;
    assert!(times[0] - mended <= 5_002, "{times:?}");
}

#[tokio::test(start_paused = true)]
async fn nothing_is_lost_twice_or_out_of_order_when_much_fails() {
    const EVENTS: [&str; 8] = ["e0", "e1", "e2", "e3", "e4", "e5", "e6", "e7"];
    const SUBJECTS: [&str; 5] = ["s0", "s1", "s2", "s3", "s4"];
    let retry = RetryPolicy { attempts: 0, ..RetryPolicy::default() };
    let failures = |event: usize| (0..event % 4).map(|_| transient()).collect();
    let mut world = World::new(EVENTS.iter().enumerate().map(|(number, event)| (*event, failures(number))));
    let receivers = ["mail", "chat"].map(|name| Receiver { retry: retry.clone(), ..world.receiver(name) });
    let (dispatcher, _) = world.run(receivers.into());
    for (number, id) in EVENTS.into_iter().enumerate() {
        let subject = SUBJECTS[number % SUBJECTS.len()];
        let deliveries = ["mail", "chat"].map(delivery).into();
        world
            .store
            .commit(&Commit { events: vec![event(id, subject)], deliveries, ..nothing() }, |committed| {
                committed.claimed
            })
            .await
            .unwrap();
        dispatcher.inlets().wake("mail");
        dispatcher.inlets().wake("chat");
    }
    let mut lanes = BTreeMap::<_, Vec<_>>::new();
    while let Ok(Some(seen)) = time::timeout(LONG, world.seen.recv()).await {
        let event = &seen.delivery.events[0];
        let lane = lanes.entry((seen.delivery.receiver, event.subject.clone())).or_default();
        // A retry repeats the last one.
        if lane.last() != Some(&event.id) {
            lane.push(event.id.clone());
        }
    }
    for ((receiver, subject), lane) in &lanes {
        let number = SUBJECTS.iter().position(|known| known == subject).unwrap();
        let want: Vec<_> = EVENTS.iter().skip(number).step_by(SUBJECTS.len()).collect();
        assert_eq!(lane.iter().collect::<Vec<_>>(), want, "{receiver} {subject}");
    }
    assert_eq!(lanes.len(), 2 * SUBJECTS.len());
    let kept = attempts(&world.store).await;
    assert_eq!(kept.iter().filter(|attempt| attempt.contains("delivered")).count(), 2 * EVENTS.len());
}
