//! One receiver's work: take what was claimed for it, claim what is due, call, settle, again.
//!
//! Invariant: a claimed delivery is settled, or it stays marked as running until the next start, which
//! repeats it. No answer of a plugin is dropped because the store fails.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::{Notify, Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::{self, Instant};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::call;
use super::rate::Bucket;
use super::retry::{Decision, Tries, decide};
use super::{Delivery, Event, Failure, Outcome, Receiver, Settings};
use crate::handover::{Begun, Inlets, Running};
use crate::shutdown::Shutdown;
use crate::store::{Aftermath, Claimed, Claims, Settlement, Store, StoreError, StoredEvent, Verdict};

/// The pause after the first failure of the store; it doubles up to the next constant.
const STORE_PAUSE: Duration = Duration::from_millis(50);

/// A store that fails is tried about this often: soon enough after somebody made room on the disk.
const STORE_PAUSE_MAX: Duration = Duration::from_secs(5);

/// A due time is one of the wall clock, a sleep is not: after so long it is looked at again, in case
/// the clock was set or the machine slept.
const SLEEP_MAX: Duration = Duration::from_secs(30);

/// What the tasks of one receiver share.
pub(super) struct Worker {
    pub(super) receiver: Receiver,
    pub(super) store: Store,
    pub(super) settings: Settings,
    /// One for each call that may run.
    pub(super) slots: Arc<Semaphore>,
    /// There is something new to claim.
    pub(super) wake: Arc<Notify>,
    /// The calls that run.
    pub(super) running: Running,
    /// What may begin now, if that is limited.
    pub(super) bucket: Mutex<Option<Bucket>>,
    /// All receivers: one that dies here may begin elsewhere.
    pub(super) inlets: Inlets,
    pub(super) trouble: Arc<Trouble>,
    /// Claim nothing more.
    pub(super) retire: CancellationToken,
}

/// How far there was something for the free slots.
struct Filled {
    /// How long there is nothing more to claim, if no call ends and nothing new comes; none is for ever.
    pause: Option<Duration>,
    /// No slot is free any more, so there may be more.
    full: bool,
}

/// The calls that run; each says in the end what there was to claim after it, if it asked.
type Calls = JoinSet<Option<Claims>>;

/// Whether the store fails, so that each change of that is told once, whoever finds it.
#[derive(Default)]
pub(super) struct Trouble(AtomicBool);

impl Trouble {
    fn begins(&self, error: &StoreError) {
        if !self.0.swap(true, Ordering::Relaxed) {
            let error: &dyn std::error::Error = error;
            error!(error, "The store fails. Deliveries wait, and it is tried again until it works.");
        }
    }

    fn is_over(&self) {
        if self.0.swap(false, Ordering::Relaxed) {
            info!("The store works again.");
        }
    }
}

impl Worker {
    /// Works on what is `begun` and what it claims itself, until it is retired. At a drain what runs has its grace.
    pub(super) async fn run(self: Arc<Self>, mut begun: mpsc::UnboundedReceiver<Begun>, shutdown: Shutdown) {
        let mut calls = JoinSet::new();
        let out_of_time = async {
            shutdown.drain.cancelled().await;
            time::sleep(self.settings.grace).await;
        };
        tokio::select! {
            biased;
            () = shutdown.abort.cancelled() => {}
            () = out_of_time => {}
            () = self.work(&mut calls, &mut begun) => return,
        }
        if !calls.is_empty() {
            let (receiver, running) = (&self.receiver.name, calls.len());
            warn!(receiver, running, "Calls are cut off; the next start repeats them.");
        }
    }

    /// Works until `retire`, and then until no call runs any more.
    async fn work(self: &Arc<Self>, calls: &mut Calls, begun: &mut mpsc::UnboundedReceiver<Begun>) {
        self.remember_calls().await;
        let mut failures = 0;
        let mut look_at = Some(Instant::now());
        // There may be something that no slot was free for. A verdict claims what was committed before it, but its
        // slot is free only a moment later, and what was committed in between is nobody's but ours.
        let mut missed = false;
        loop {
            tokio::select! {
                biased;
                () = self.retire.cancelled() => break,
                Some(begun) = begun.recv() => {
                    calls.spawn(Arc::clone(self).deliver(begun));
                    continue;
                }
                () = self.wake.notified() => {}
                Some(ended) = calls.join_next() => {
                    if let (Ok(Some(claims)), false) = (ended, missed) {
                        look_at = earlier(look_at, self.pause(&claims).map(|pause| Instant::now() + pause));
                        continue;
                    }
                }
                () = sleep_until(look_at) => {}
            }
            while calls.try_join_next().is_some() {}
            let pause = match self.fill(calls).await {
                Ok(Filled { pause, full }) => {
                    failures = 0;
                    missed = full;
                    pause
                }
                Err(error) => {
                    self.trouble.begins(&error);
                    failures += 1;
                    Some(store_pause(failures))
                }
            };
            look_at = pause.map(|pause| Instant::now() + pause);
        }
        self.finish(calls, begun).await;
    }

    /// Waits until all slots are free. A pipeline that holds one may still hand something over.
    async fn finish(self: &Arc<Self>, calls: &mut Calls, begun: &mut mpsc::UnboundedReceiver<Begun>) {
        let all = u32::try_from(self.receiver.slots()).unwrap_or(u32::MAX);
        loop {
            tokio::select! {
                biased;
                Some(begun) = begun.recv() => drop(calls.spawn(Arc::clone(self).deliver(begun))),
                // What waited for it may be claimed by whoever took over.
                Some(_) = calls.join_next() => self.wake.notify_one(),
                _ = self.slots.acquire_many(all) => {
                    self.wake.notify_one();
                    return self.slots.close();
                }
            }
        }
    }

    /// Claims for the free slots and starts the calls.
    async fn fill(self: &Arc<Self>, calls: &mut Calls) -> Result<Filled, StoreError> {
        let (allowed, wait) = self.allowed();
        if allowed == 0 {
            return Ok(Filled { pause: wait, full: false });
        }
        let free = u32::try_from(self.slots.available_permits()).unwrap_or(u32::MAX).min(allowed);
        let slots = Arc::clone(&self.slots).try_acquire_many_owned(free);
        let Some(mut slots) = slots.ok().filter(|slots| slots.num_permits() > 0) else {
            return Ok(Filled { pause: None, full: true });
        };
        let name = &self.receiver.name;
        let mut claims = self.store.claim(name, slots.num_permits(), self.now()).await?;
        if !claims.claimed.is_empty() {
            self.trouble.is_over();
            self.take(claims.claimed.len());
        }
        for claimed in claims.claimed.drain(..) {
            // As many are claimed as there are slots at most.
            let Some(slot) = slots.split(1) else { break };
            calls.spawn(Arc::clone(self).deliver(Begun { claimed: Box::new(claimed), slot }));
        }
        if slots.num_permits() == 0 {
            // A call that ends is looked at; where the rate is the bound, the time is.
            return Ok(Filled { pause: self.allowed().1, full: true });
        }
        drop(slots);
        Ok(Filled { pause: self.pause(&claims), full: false })
    }

    /// How long there is nothing more to claim; none is for ever.
    fn pause(&self, claims: &Claims) -> Option<Duration> {
        // What is due already gives no positive pause: it is claimed at once.
        let pause = |due: Timestamp| Duration::try_from(due.duration_since(self.now())).unwrap_or_default();
        claims.next_due.map(|due| pause(due).min(SLEEP_MAX))
    }

    /// Takes in what an earlier Lictor called within the time of the rate, so that a restart does not begin it anew.
    async fn remember_calls(&self) {
        let Some(limit) = self.receiver.rate_limit else { return };
        let since = self.now().checked_sub(limit.per).unwrap_or(Timestamp::MIN);
        match self.store.calls_since(&self.receiver.name, since).await {
            Ok(calls) => {
                *self.bucket.lock().unwrap_or_else(PoisonError::into_inner) =
                    Some(Bucket::after(limit, &calls));
            }
            Err(error) => self.trouble.begins(&error),
        }
    }

    /// How many calls may begin by the receiver's rate, and how long until the next one where none may.
    fn allowed(&self) -> (u32, Option<Duration>) {
        let now = self.now();
        match &mut *self.bucket.lock().unwrap_or_else(PoisonError::into_inner) {
            None => (u32::MAX, None),
            Some(bucket) => match bucket.tokens(now) {
                0 => (0, Some(bucket.wait(now))),
                tokens => (tokens, None),
            },
        }
    }

    fn take(&self, calls: usize) {
        let now = self.now();
        if let Some(bucket) = &mut *self.bucket.lock().unwrap_or_else(PoisonError::into_inner) {
            bucket.take(u32::try_from(calls).unwrap_or(u32::MAX), now);
        }
    }

    /// Makes deliveries in one slot, one after the other, as long as a verdict claims another one. Returns what
    /// the last claim said; none where none was tried.
    async fn deliver(self: Arc<Self>, begun: Begun) -> Option<Claims> {
        let Begun { claimed, slot: _slot } = begun;
        let mut claimed = *claimed;
        loop {
            let mut claims = self.attempt(claimed).await?;
            claimed = match claims.claimed.pop() {
                Some(next) => next,
                None => return Some(claims),
            };
        }
    }

    /// One attempt, from the claim to the verdict in the store, which claims the next one unless the receiver is
    /// retired or limited.
    async fn attempt(&self, claimed: Claimed) -> Option<Claims> {
        let started_at = self.now();
        let delivery = self.delivery(&claimed);
        let replaced = self.running.begin(&claimed.id);
        let answer = call::attempt(&*self.receiver.handler, delivery);
        let result = replaced.run_until_cancelled_owned(answer).await;
        self.running.end(&claimed.id);
        let now = self.now();
        let verdict = match result {
            Some(result) => self.judge(&claimed, result, now),
            None => self.replaced(&claimed),
        };
        self.settings.metrics.attempt(&self.receiver.name, verdict.outcome());
        let aftermath = match &verdict {
            Verdict::Dead { outcome, detail } => {
                (self.settings.after_death)(&claimed, (outcome, detail), now)
            }
            _ => Aftermath::default(),
        };
        let fallback = aftermath.fallback.iter().map(|fallback| &fallback.receiver);
        let told = aftermath.deliveries.iter().map(|delivery| &delivery.receiver);
        let next: Vec<_> = fallback.chain(told).cloned().collect();
        let (id, attempt) = (claimed.id, claimed.attempt);
        let settlement = Settlement { id, attempt, started_at, now, verdict, aftermath };
        let claims = self.settle(settlement).await;
        for receiver in &next {
            self.inlets.wake(receiver);
        }
        claims
    }

    /// Settles, however often that is tried, and claims.
    async fn settle(&self, settlement: Settlement) -> Option<Claims> {
        let mut failures = 0;
        loop {
            let settlement = settlement.clone();
            let claims = if self.receiver.rate_limit.is_some() || self.retire.is_cancelled() {
                self.store.settle(settlement).await.map(|()| None)
            } else {
                self.store.settle_and_claim(settlement, &self.receiver.name).await.map(Some)
            };
            match claims {
                Ok(claims) => {
                    self.trouble.is_over();
                    return claims;
                }
                Err(error) => self.trouble.begins(&error),
            }
            failures += 1;
            time::sleep(store_pause(failures)).await;
        }
    }

    fn delivery(&self, claimed: &Claimed) -> Delivery {
        let told = |event: &StoredEvent| Event {
            id: event.id.clone(),
            source: event.source.clone(),
            kind: event.kind.clone(),
            subject: event.subject.clone(),
            time: event.time.to_string(),
            data: event.data.clone(),
        };
        Delivery {
            id: claimed.id.clone(),
            attempt: claimed.attempt,
            rule: claimed.rule.clone(),
            receiver: self.receiver.name.clone(),
            environment: claimed.event.environment.clone(),
            node: claimed.event.node.clone(),
            events: [&claimed.event].into_iter().chain(&claimed.more).map(told).collect(),
        }
    }

    /// What becomes of the delivery. Says so in the log.
    fn judge(&self, claimed: &Claimed, result: Result<String, Failure>, now: Timestamp) -> Verdict {
        /// A line of the log about this attempt.
        macro_rules! line {
            ($level:ident, $outcome:expr, $($rest:tt)+) => {
                $level!(
                    delivery.id = %claimed.id,
                    event.id = %claimed.event.id,
                    receiver = %self.receiver.name,
                    rule = %claimed.rule,
                    attempt = claimed.attempt,
                    outcome = %$outcome,
                    $($rest)+
                )
            };
        }
        let failure = match result {
            Ok(receipt) => {
                line!(info, Outcome::Delivered, "Delivered.");
                return Verdict::Delivered { receipt };
            }
            Err(failure) => failure,
        };
        let (outcome, detail) = (Outcome::from(&failure), failure.to_string());
        let tries =
            Tries { count: claimed.attempt.saturating_sub(claimed.redriven), since: claimed.tried_since };
        match decide(&self.receiver.retry, tries, &failure, now, jitter()) {
            Decision::RetryAt(at) => {
                line!(warn, outcome, reason = %detail, retry_at = %at, "Not delivered; it is tried again.");
                Verdict::RetryAt { at, outcome: outcome.as_str(), detail }
            }
            Decision::Dead => {
                line!(warn, outcome, reason = %detail, "Not delivered, and not tried again: it is dead.");
                Verdict::Dead { outcome: outcome.as_str(), detail }
            }
        }
    }

    /// A newer delivery has ended the call.
    fn replaced(&self, claimed: &Claimed) -> Verdict {
        let (id, receiver) = (&claimed.id, &self.receiver.name);
        info!(delivery.id = id, receiver, "Ended, since a newer one for the same subject takes its place.");
        let detail = "a newer one for the same subject came while it was made".into();
        Verdict::Suppressed { outcome: "replaced", detail }
    }

    fn now(&self) -> Timestamp {
        (self.settings.clock)()
    }
}

/// The earlier of two times, where none is never.
fn earlier(one: Option<Instant>, other: Option<Instant>) -> Option<Instant> {
    one.into_iter().chain(other).min()
}

/// Sleeps until then; for ever when it is none.
async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

fn store_pause(failures: u32) -> Duration {
    STORE_PAUSE.saturating_mul(1 << failures.saturating_sub(1).min(10)).min(STORE_PAUSE_MAX)
}

/// A number from 0 to 1. The keys of the standard library's hash tables are chance enough to keep
/// agents apart.
fn jitter() -> f64 {
    let drawn = RandomState::new().build_hasher().finish() >> 32;
    u32::try_from(drawn).map_or(0.5, |drawn| f64::from(drawn) / f64::from(u32::MAX))
}
