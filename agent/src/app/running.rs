//! What runs for one configuration: the sandbox, the receivers' tasks, the pipelines.
//!
//! Invariant: what is retired takes nothing new in and claims nothing, and its calls come to their own end, on
//! the code and within the grants that they began with.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use jiff::Timestamp;
use lictor_host::Host;
use tokio::sync::Mutex;
use tokio::task::JoinSet;
use tokio::time;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::keys::ConsulKeys;
use super::lists::Watched;
use super::plan::{self, Plan, Query};
use super::receivers::Ready;
use super::status::Loaded;
use super::{AppError, receiver};
use crate::chain::chain;
use crate::config::{Config, Receiver};
use crate::consul::{Client, WaitIndex, Watch};
use crate::dispatch::{Dispatcher, Settings};
use crate::event::{Snapshot, State};
use crate::handover::Inlets;
use crate::metrics::Metrics;
use crate::pipeline::{Borrowed, History, Known, Line, Memory, OUTAGES, Pipeline, Routing, Trouble};
use crate::rules::{Alerts, Matcher, Silence};
use crate::shutdown::Shutdown;
use crate::source::{Shown, Source};
use crate::store::{AfterDeath, Pruned, Retention, Saved, SilenceRecord, Store};

/// So much of what rules have no use for is told one by one.
const UNUSED_TOLD: usize = 20;

/// How often it is looked whether something is past its retention.
const PRUNE_EVERY: Duration = Duration::from_mins(10);

/// The parts of one configuration.
pub(super) struct Running {
    host: Arc<Host>,
    /// The receivers, and what runs for them.
    pub(super) loaded: Vec<Loaded>,
    dispatcher: Dispatcher,
    pipelines: JoinSet<()>,
    memory: Arc<Memory>,
    /// Ends the intake alone, which ends before the claims do.
    stop: CancellationToken,
    shutdown: Shutdown,
}

/// Where the parts begin.
pub(super) struct Place<'a> {
    pub(super) store: &'a Store,
    pub(super) client: &'a Client,
    /// When that happened which differs from the last commit.
    pub(super) history: History,
    /// The receivers of the configuration before.
    pub(super) earlier: Inlets,
    /// Where it is counted what happens.
    pub(super) metrics: Metrics,
}

impl Running {
    /// Starts the parts, which end with `shutdown` or are retired.
    pub(super) async fn start(
        config: &Config,
        host: Arc<Host>,
        ready: Vec<Ready<'_>>,
        Place { store, client, history, earlier, metrics }: Place<'_>,
        shutdown: Shutdown,
    ) -> Result<Self, AppError> {
        let routing = Arc::new(routing(config));
        let settings = Settings {
            grace: config.agent.shutdown_grace,
            earlier,
            metrics,
            after_death: after_death(Arc::clone(&routing)),
            ..Settings::default()
        };
        let of_consul = (Arc::new(Watched::new(config, client)), Arc::new(ConsulKeys(client.clone())));
        let data_dir = &config.agent.data_dir;
        let loaded = ready.iter().map(Loaded::of).collect();
        let ready = ready.into_iter();
        let receivers =
            ready.map(|ready| receiver(ready, &of_consul, data_dir, settings.metrics.clone())).collect();
        let stop = shutdown.retire.child_token();
        let dispatcher = Dispatcher::start(host.runtime(), store, receivers, &settings, &shutdown);
        let mut pipelines = JoinSet::new();
        pipelines.spawn(keep_small(store.clone(), config.agent.retention, stop.clone()));
        let memory = Arc::new(Memory::new(remembered(config, store, &routing).await?));
        let line = Line {
            routing,
            memory: Arc::clone(&memory),
            store: store.clone(),
            inlets: dispatcher.inlets(),
            metrics: settings.metrics,
        };
        for pipeline in follow(config, (client, history), &line).await? {
            pipelines.spawn(pipeline.run(stop.clone()));
        }
        pipelines.spawn(line.keep_time(stop.clone()));
        Ok(Self { host, loaded, dispatcher, pipelines, memory, stop, shutdown })
    }

    /// What can be handed over to the receivers.
    pub(super) fn inlets(&self) -> Inlets {
        self.dispatcher.inlets()
    }

    /// Looks at the silences again, which a person may have changed.
    pub(super) async fn look_at_silences(&self, store: &Store) -> Result<(), AppError> {
        self.memory.silence(silences(store).await?).await;
        Ok(())
    }

    /// Waits until a part ends. False: it broke. True: it was told to.
    pub(super) async fn ended(&mut self) -> bool {
        tokio::select! {
            whole = all_ended(&mut self.pipelines) => whole,
            () = self.dispatcher.broken() => false,
        }
    }

    /// Ends all parts, after the process was told to end.
    pub(super) async fn finish(mut self) {
        self.stop.cancel();
        while self.pipelines.join_next().await.is_some() {}
        self.dispatcher.finish().await;
        self.host.close().await;
    }

    /// Stops the intake, so that another configuration can go on where this one was.
    pub(super) async fn stop(&mut self) {
        self.stop.cancel();
        while self.pipelines.join_next().await.is_some() {}
        self.shutdown.retire.cancel();
    }
}

/// A pipeline, where it begins, and where its answers come from.
struct Followed(Pipeline, Known, Source);

impl Followed {
    async fn run(self, stop: CancellationToken) {
        let Self(pipeline, known, source) = self;
        pipeline.run(known, source, stop).await;
    }
}

/// A pipeline for each query of each watch.
async fn follow(
    config: &Config,
    (client, history): (&Client, History),
    line: &Line,
) -> Result<Vec<Followed>, AppError> {
    let store = &line.store;
    let load = async |name: &str| store.load(name).await.context("read the store");
    let outages = load(OUTAGES).await?.map(|saved| saved.states).unwrap_or_default();
    let (mut followed, mut names, mut all_known) = (Vec::new(), vec![OUTAGES.to_owned()], true);
    let known_names = store.queries().await.context("read the store")?;
    for of in &config.watches {
        let told_as = of.name();
        let queries = Plan::of(of, &config.rules).queries(of);
        let told = outages.get(&told_as).and_then(State::source).cloned();
        let trouble = Trouble::since(told, queries.iter().map(|query| query.name.clone()));
        let trouble = Arc::new(Mutex::new(trouble));
        for Query { watch, name, service } in queries {
            let saved = load(&name).await?;
            all_known &= saved.is_some();
            let (index, known) = match saved {
                Some(Saved { index, states, .. }) => {
                    (Some(WaitIndex::new(index)), Known { states, history, borrowed: None })
                }
                // The indexes of other queries cannot be compared with those of this one.
                None => (None, borrow(store, (of, &known_names), service, history).await?),
            };
            let shown = Shown::of(&watch.what, known.states.values().flat_map(State::rights).flatten());
            let wait = config.consul.block_query_wait;
            let source = Source::new(client.clone(), watch.asked(), wait, (index, shown));
            names.push(name.clone());
            let pipeline = Pipeline {
                watch,
                name,
                told_as: told_as.clone(),
                line: line.clone(),
                trouble: Arc::clone(&trouble),
            };
            // Until its first answer what is remembered of it may be so no more.
            line.memory.followed(&pipeline.query(), false).await;
            followed.push(Followed(pipeline, known, source));
        }
    }
    if all_known {
        // What is followed no more would be old news when it is followed again.
        let old = known_names.into_iter().filter(|name| !names.contains(name)).collect();
        store.forget(old).await.context("write to the store")?;
    }
    Ok(followed)
}

/// What is known for a query of `watch` that was never asked, from those of its queries that were: the one for all
/// checks, or those for some services.
async fn borrow(
    store: &Store,
    (watch, known): (&Watch, &[String]),
    service: Option<String>,
    history: History,
) -> Result<Known, AppError> {
    let wide = watch.name();
    let (from, services): (Vec<String>, BTreeSet<String>) = match service {
        Some(service) if known.contains(&wide) => (vec![wide], [service].into()),
        Some(_) => return Ok(Known::default()),
        None => plan::asked_before(watch, known)
            .into_iter()
            .map(|(name, service)| (name.clone(), service))
            .unzip(),
    };
    if from.is_empty() {
        return Ok(Known::default());
    }
    let mut states = Snapshot::new();
    for name in &from {
        states.extend(
            store.load(name).await.context("read the store")?.map(|saved| saved.states).unwrap_or_default(),
        );
    }
    states.retain(|_, state| state.check().is_some_and(|state| services.contains(&state.check.service)));
    Ok(Known { states, history, borrowed: Some(Borrowed { services, from }) })
}

/// What the rules remember, as far as those of this configuration have a use for it, and the silences.
async fn remembered(config: &Config, store: &Store, routing: &Routing) -> Result<Alerts, AppError> {
    let rows = store.rule_states().await.context("read the store")?;
    let watches = config.watches.iter().map(Watch::name).collect();
    let (mut alerts, unused) =
        Alerts::load(routing.policy(), &watches, rows).context("read what the rules remember")?;
    for (rule, what) in unused.iter().take(UNUSED_TOLD) {
        warn!(rule, what, "This waited or went on; by the rules as they are now nothing more comes of it.");
    }
    if unused.len() > UNUSED_TOLD {
        warn!(more = unused.len() - UNUSED_TOLD, "So did others.");
    }
    // At once: what nothing comes of is not to be shown as something that waits.
    store.remember(Line::rows(&mut alerts, routing)).await.context("write to the store")?;
    alerts.silence(silences(store).await?);
    Ok(alerts)
}

/// The silences that have not ended.
async fn silences(store: &Store) -> Result<Vec<Silence>, AppError> {
    let records = store.silences(Timestamp::now()).await.context("read the store")?;
    let silence = |record: SilenceRecord| {
        let matchers = record.matchers.iter().map(|text| Matcher::parse(text));
        match matchers.collect::<Result<_, _>>() {
            Ok(matchers) => Some(Silence {
                id: record.id,
                matchers,
                starts_at: record.starts_at,
                ends_at: record.ends_at,
                created_by: record.created_by,
                comment: record.comment,
                expire_on_resolve: record.expire_on_resolve,
            }),
            Err(error) => {
                warn!(
                    id = record.id,
                    error = chain(&error),
                    "This silence cannot be read and hides nothing."
                );
                None
            }
        }
    };
    Ok(records.into_iter().filter_map(silence).collect())
}

/// What a configuration makes of an answer.
pub fn routing(config: &Config) -> Routing {
    let wishes = |receiver: &Receiver| (receiver.name.clone(), receiver.wishes.clone());
    Routing {
        rules: config.rules.clone(),
        inhibit_rules: config.inhibit_rules.clone(),
        roles: config.roles.clone(),
        environment: config.agent.environment.clone(),
        timing: config.agent.timing,
        wishes: config.receivers.iter().map(wishes).collect(),
    }
}

/// What follows from a death, by the routing of a configuration.
pub(super) fn after_death(routing: Arc<Routing>) -> AfterDeath {
    Arc::new(move |claimed, last, now| routing.after_death(claimed, last, now))
}

/// Deletes what is past its retention, now and from time to time, until `stop`.
async fn keep_small(store: Store, retention: Retention, stop: CancellationToken) {
    loop {
        match store.prune(retention, Timestamp::now()).await {
            Ok(Pruned { events: 0, .. }) => {}
            Ok(Pruned { events, dead: 0 }) => info!(events, "Events past their retention are deleted."),
            Ok(Pruned { events, dead }) => {
                warn!(events, dead, "Events past their retention are deleted, with dead deliveries.");
            }
            Err(error) => warn!(error = chain(&error), "Events past their retention stay for now."),
        }
        if stop.run_until_cancelled(time::sleep(PRUNE_EVERY)).await.is_none() {
            return;
        }
    }
}

/// Waits for the end of all pipelines, or until one of them breaks: false.
async fn all_ended(pipelines: &mut JoinSet<()>) -> bool {
    while let Some(ended) = pipelines.join_next().await {
        if ended.is_err() {
            return false;
        }
    }
    true
}
