//! A loaded plugin, and how it is called: an instance that nobody has used, within limits, then thrown away.
//!
//! Invariant: nothing of one call is left for the next. A trap therefore costs nothing more, and a guest
//! cannot keep a secret of one delivery for another.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use lictor_capability::Request;
use tokio::task::JoinError;
use tokio::time::Instant;
use wasmtime::Store;
use wasmtime::component::Component;

use crate::bindings::exports::lictor::plugin::handler;
use crate::bindings::lictor::plugin::types;
use crate::bindings::{self, PluginPre};
use crate::ending::classify;
use crate::guest::{Caller, Guest};
use crate::heavy::{Lane, Turn};
use crate::host::Shared;
use crate::inspect::LoadError;
use crate::instance::{self, Instance, Spare};
use crate::limits::Limits;
use crate::meter::OverTime;
use crate::outcome::{Call, CallFailure, Delivery, Description, Event, Failure, Report, RequestsError};
use crate::text::{self, WORDS};

/// The longest timeout that is kept exactly; a clock cannot be asked for any time that a `Duration` can hold.
const LONGEST: Duration = Duration::from_hours(24 * 365);

/// Grants that a plugin may ask for: each is held against all before it.
const REQUESTS: usize = 100;

/// A loaded plugin. Clones are cheap and share everything.
#[derive(Clone)]
pub struct Plugin(Arc<Inner>);

struct Inner {
    shared: Arc<Shared>,
    pre: PluginPre<Guest>,
    digest: String,
    imports: Vec<&'static str>,
    spare: Spare,
}

/// The future of one exported function, on the instance and store of its call.
type Export<'a, T> = Pin<Box<dyn Future<Output = wasmtime::Result<T>> + Send + 'a>>;

/// A call that is over, with its store.
struct Ended<T> {
    outcome: wasmtime::Result<T>,
    store: Store<Guest>,
    duration: Duration,
}

/// A call that is over, and what it left.
struct Finished<T> {
    result: Result<T, CallFailure>,
    guest: Guest,
    duration: Duration,
}

impl Plugin {
    pub(crate) fn new(
        shared: Arc<Shared>,
        pre: PluginPre<Guest>,
        digest: String,
        imports: Vec<&'static str>,
    ) -> Self {
        Self(Arc::new(Inner { shared, pre, digest, imports, spare: Spare::default() }))
    }

    /// SHA-256 of the component, in hexadecimal digits.
    pub fn digest(&self) -> &str {
        &self.0.digest
    }

    /// What it could ask for at most: those of `exec`, `append`, `http`, `smtp`, `watch`, `kv-store` and `log` that it imports.
    pub fn imports(&self) -> &[&'static str] {
        &self.0.imports
    }

    /// The compiled code.
    pub(crate) fn component(&self) -> &Component {
        self.0.pre.instance_pre().component()
    }

    /// Asks the plugin what it is.
    pub async fn describe(&self, limits: &Limits) -> Result<Description, CallFailure> {
        let finished = self.ask(limits, |plugin, store| {
            Box::pin(async move { plugin.lictor_plugin_handler().call_describe(store).await })
        });
        let description = finished.await?;
        Ok(Description {
            name: text::one_line(&description.name, WORDS),
            version: text::one_line(&description.version, WORDS),
            summary: text::one_line(&description.summary, WORDS),
            config_schema: description.config_schema,
        })
    }

    /// Asks the plugin which grants a configuration (a JSON object) needs.
    pub async fn requests(&self, config: &str, limits: &Limits) -> Result<Vec<Request>, RequestsError> {
        let config = config.to_owned();
        let finished = self.ask(limits, |plugin, store| {
            Box::pin(async move { plugin.lictor_plugin_handler().call_requests(store, &config).await })
        });
        match finished.await? {
            Ok(requests) if requests.len() > REQUESTS => {
                let count = requests.len();
                Err(RequestsError::Config(format!(
                    "it asks for {count} grants, and at most {REQUESTS} are looked at"
                )))
            }
            Ok(requests) => Ok(requests.into_iter().map(request).collect()),
            Err(reason) => Err(RequestsError::Config(text::one_line(&reason, WORDS))),
        }
    }

    /// Makes one attempt to make one delivery. Dropping the future ends the call.
    pub async fn handle(&self, call: Call) -> Report {
        let Call { delivery, config, capabilities, limits } = call;
        self.0.shared.has_served.store(true, Relaxed);
        let caller = Caller {
            receiver: delivery.receiver.clone(),
            delivery: delivery.id.clone(),
            rule: delivery.rule.clone(),
            capabilities: Some(capabilities),
        };
        let finished = self.call(caller, limits, move |plugin, store| {
            Box::pin(async move {
                let delivery = types::Delivery::from(delivery);
                plugin.lictor_plugin_handler().call_handle(store, &delivery, &config).await
            })
        });
        match finished.await {
            Ok(finished) => report(finished),
            Err(failure) => Report {
                result: Err(failure.into()),
                refusals: Vec::new(),
                refused: 0,
                duration: Duration::ZERO,
                peak_memory: 0,
            },
        }
    }

    /// Makes an instance, to see that it can be made.
    pub(crate) fn try_start(&self) -> Result<(), LoadError> {
        let (done, started) = std::sync::mpsc::sync_channel(1);
        let inner = Arc::clone(&self.0);
        // Not `block_on`, which panics where the caller is itself on a runtime's thread.
        self.0.shared.guests.spawn(async move {
            // Not kept: what its start took counts for nobody.
            let made = inner.ahead(instance::trial()).await.map(drop);
            // Nobody waits any more only if the caller is gone.
            drop(done.send(made));
        });
        match started.recv() {
            Ok(result) => result.map_err(|failure| LoadError::Trial(failure.to_string())),
            Err(_) => Err(LoadError::Trial("the host is shutting down".into())),
        }
    }

    /// Calls an export that needs no receiver, so that it has no capabilities either.
    async fn ask<T: Send + 'static>(
        &self,
        limits: &Limits,
        export: impl for<'a> FnOnce(&'a bindings::Plugin, &'a mut Store<Guest>) -> Export<'a, T> + Send + 'static,
    ) -> Result<T, CallFailure> {
        self.call(self.0.nobody(), limits.clone(), export).await?.result
    }

    /// Calls an export on the guests' runtime. Fails only if the host itself is broken.
    async fn call<T: Send + 'static>(
        &self,
        caller: Caller,
        limits: Limits,
        export: impl for<'a> FnOnce(&'a bindings::Plugin, &'a mut Store<Guest>) -> Export<'a, T> + Send + 'static,
    ) -> Result<Finished<T>, CallFailure> {
        let inner = Arc::clone(&self.0);
        let shared = &self.0.shared;
        let turn = shared.lanes.turn(&caller.receiver);
        let (own, known) = (turn.clone(), turn.clone());
        let call = async move {
            let is_light = own.lane == Lane::Light;
            let ended = inner.run(caller, &limits, own, |exports, store| {
                Box::pin(async move { export(&exports, store).await })
            });
            let finished = finish(ended.await, &limits);
            if is_light {
                inner.shared.guests.clone().spawn(inner.fill());
            }
            finished
        };
        let made = shared.lanes.make(&shared.guests, turn, Box::pin(call)).await;
        let finished = made.map_err(|error| broke(&error))?;
        let failure = finished.result.as_ref().err();
        known.remember(is_at_fault(failure, finished.guest.refused, known.was_slow()));
        Ok(finished)
    }
}

impl Inner {
    /// Makes an instance for the next call, if there is none.
    async fn fill(self: Arc<Self>) {
        self.spare.fill(self.ahead(instance::limits())).await;
    }

    /// Makes an instance that waits for its call, where a call of nobody's is made: its start is the guest's own code.
    async fn ahead(self: &Arc<Self>, limits: Limits) -> Result<Instance, CallFailure> {
        let shared = &self.shared;
        let (inner, turn) = (Arc::clone(self), shared.lanes.turn(&self.nobody().receiver));
        let (own, known) = (turn.clone(), turn.clone());
        let call = Box::pin(async move { inner.make(own, &limits).await });
        let made = shared.lanes.go_on(turn, call).await.unwrap_or_else(|error| Err(broke(&error)));
        known.remember(made.is_err());
        made
    }

    async fn make(&self, turn: Turn, limits: &Limits) -> Result<Instance, CallFailure> {
        let meter = Arc::clone(&turn.meter);
        let made = self.run(self.nobody(), limits, turn, |exports, _| Box::pin(async { Ok(exports) }));
        let Ended { outcome, store, .. } = made.await;
        match outcome {
            Ok(exports) => Ok(Instance { store, exports: Some(exports), took: meter.spent() }),
            Err(error) => {
                let (guest, stderr) = leave(store);
                Err(classify(&error, &guest, &stderr, limits))
            }
        }
    }

    /// Whoever calls without a receiver.
    fn nobody(&self) -> Caller {
        let receiver = format!("plugin {:.12}", self.digest);
        Caller { receiver, delivery: String::new(), rule: String::new(), capabilities: None }
    }

    /// Calls `export` on an instance, which is made if there is none. The limits hold for both.
    async fn run<T>(
        &self,
        caller: Caller,
        limits: &Limits,
        turn: Turn,
        export: impl for<'a> FnOnce(bindings::Plugin, &'a mut Store<Guest>) -> Export<'a, T>,
    ) -> Ended<T> {
        let _ticking = self.shared.tick_while();
        let start = Instant::now();
        let deadline = start + limits.timeout.min(LONGEST);
        let Turn { lane, meter, .. } = turn;
        let kept = if lane == Lane::Light { self.spare.take(limits.memory) } else { None };
        let instance = kept.unwrap_or_else(|| Instance::of(&self.pre, Arc::clone(&self.shared)));
        let Instance { mut store, exports, took } = instance;
        meter.add(took);
        store.data_mut().serve(caller, limits);
        store.set_hostcall_fuel(limits.transfer);
        store.set_epoch_deadline(1);
        let (cpu, ticked) = (limits.cpu, Arc::clone(&meter));
        store.epoch_deadline_callback(move |_| Ok(ticked.tick(cpu, deadline)?));
        let call = meter.measure(async {
            let exports = match exports {
                Some(exports) => exports,
                None => self.pre.instantiate_async(&mut store).await?,
            };
            export(exports, &mut store).await
        });
        let outcome = match tokio::time::timeout_at(deadline, call).await {
            Ok(outcome) => outcome,
            Err(_) => Err(OverTime::Wall.into()),
        };
        Ended { outcome, store, duration: start.elapsed() }
    }
}

/// Whether a guest crashed, went over a limit, or asked for what it may not do. One that is out of time and computed little
/// may have waited for the machine: to call it where it gets less of that would let it wait longer.
fn is_at_fault(failure: Option<&CallFailure>, refused: u64, was_slow: bool) -> bool {
    let failed = match failure {
        None | Some(CallFailure::Full(_)) => false,
        Some(CallFailure::Deadline(_)) => was_slow,
        Some(CallFailure::Trapped(_) | CallFailure::Memory(_)) => true,
    };
    failed || refused > 0
}

/// Drops the instance, and says how its call went.
fn finish<T>(ended: Ended<T>, limits: &Limits) -> Finished<T> {
    let Ended { outcome, store, duration } = ended;
    let (guest, stderr) = leave(store);
    let result = outcome.map_err(|error| classify(&error, &guest, &stderr, limits));
    Finished { result, guest, duration }
}

/// Drops the instance, and gives what it left: its state, and what it wrote to its standard error.
fn leave(store: Store<Guest>) -> (Guest, String) {
    let mut guest = store.into_data();
    let stderr = guest.close_streams();
    (guest, stderr)
}

/// A call that did not come to its end by our own fault.
fn broke(error: &JoinError) -> CallFailure {
    CallFailure::Trapped(format!("Lictor's own part of the call broke: {error}"))
}

fn report(finished: Finished<Result<String, types::Failure>>) -> Report {
    let Finished { result, guest, duration } = finished;
    let peak_memory = guest.limiter.peak();
    let (refusals, refused) = (guest.refusals, guest.refused);
    let result = match result {
        Ok(Ok(receipt)) => Ok(text::one_line(&receipt, WORDS)),
        Ok(Err(failure)) => Err(given_up(failure, !refusals.is_empty())),
        Err(failure) => Err(failure.into()),
    };
    Report { result, refusals, refused, duration, peak_memory }
}

/// The plugin's own verdict. Where it gave up for good after a refusal, what it needs is a grant.
fn given_up(failure: types::Failure, refused: bool) -> Failure {
    let words = |reason: &str| text::one_line(reason, WORDS);
    match failure {
        types::Failure::Permanent(reason) if refused => Failure::Refused(words(&reason)),
        types::Failure::Transient(reason) => Failure::Transient(words(&reason)),
        types::Failure::RetryAfter((reason, ms)) => {
            Failure::RetryAfter(words(&reason), Duration::from_millis(ms.into()))
        }
        types::Failure::Permanent(reason) => Failure::Permanent(words(&reason)),
    }
}

fn request(request: handler::Request) -> Request {
    match request {
        handler::Request::Exec(handler::ExecRequest { command, timeout_ms }) => {
            Request::Exec { command, timeout: Duration::from_millis(timeout_ms.into()) }
        }
        handler::Request::Append(handler::AppendRequest { path }) => Request::Append { path },
        handler::Request::Http(handler::HttpRequest { method, url }) => Request::Http { method, url },
        handler::Request::Smtp(handler::SmtpRequest { from, to }) => Request::Smtp { from, to },
        handler::Request::Watch => Request::Watch,
        handler::Request::Kv(handler::KvRequest { prefix }) => Request::Kv { prefix },
        handler::Request::KvStore(handler::KvStoreRequest { size }) => Request::KvStore { size: size.into() },
    }
}

impl From<Delivery> for types::Delivery {
    fn from(delivery: Delivery) -> Self {
        let Delivery { id, attempt, rule, receiver, environment, node, events } = delivery;
        let events = events.into_iter().map(types::Event::from).collect();
        Self { id, attempt, rule, receiver, environment, node, events }
    }
}

impl From<Event> for types::Event {
    fn from(event: Event) -> Self {
        let Event { id, source, kind, subject, time, data } = event;
        Self { id, source, type_: kind, subject, time, data }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_crashes_takes_too_much_or_is_refused_is_at_fault_and_not_who_only_waited() {
        let check = |failure: Option<fn(String) -> CallFailure>, refused, was_slow, want| {
            let failure = failure.map(|of| of("why".into()));
            assert_eq!(is_at_fault(failure.as_ref(), refused, was_slow), want, "{failure:?}");
        };
        check(None, 0, true, false);
        check(None, 1, false, true);
        check(Some(CallFailure::Trapped), 0, false, true);
        check(Some(CallFailure::Memory), 0, false, true);
        check(Some(CallFailure::Full), 0, true, false);
        check(Some(CallFailure::Deadline), 0, false, false);
        check(Some(CallFailure::Deadline), 0, true, true);
    }

    #[test]
    fn who_gives_up_for_good_after_a_refusal_needs_a_grant() {
        let verdict = |refused| {
            [
                types::Failure::Transient("t".into()),
                types::Failure::RetryAfter(("r".into(), 1500)),
                types::Failure::Permanent("p".into()),
            ]
            .map(|failure| given_up(failure, refused))
        };
        let own = |last| {
            let after = Duration::from_millis(1500);
            [Failure::Transient("t".into()), Failure::RetryAfter("r".into(), after), last]
        };
        assert_eq!(verdict(false), own(Failure::Permanent("p".into())));
        assert_eq!(verdict(true), own(Failure::Refused("p".into())));
    }
}
