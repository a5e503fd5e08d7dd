//! Builds every part from the configuration, starts them, and waits for their end.
//!
//! The only module, beside `cli`, that knows all the others. What may fail is done before anything is
//! started, so a configuration with a fault changes nothing.

mod keys;
mod life;
mod lists;
mod plan;
mod receivers;
mod running;
mod status;

use std::fs::{self, DirBuilder};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;

use anyhow::Context;
use jiff::Timestamp;
use lictor_capability::KvStore;
use lictor_host::{Host, HostSettings};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tracing::{error, info, warn};

use crate::admin::{self, Question, SOCKET};
use crate::config::{self, Config, Faults, Look, Rejected};
use crate::consul::Client;
use crate::dispatch::{PluginHandler, Receiver};
use crate::handover::Inlets;
use crate::metrics::Metrics;
use crate::pipeline::History;
use crate::shutdown::Shutdown;
use crate::store::{Recovered, Store};
use keys::ConsulKeys;
use life::Life;
use lists::Watched;
pub use plan::Plan;
use receivers::Ready;
pub use running::routing;
use running::{Place, Running};
pub use status::{Called, Status};

/// Threads that run guests, at most: with more cores, one that spins for its second of CPU time only takes turns
/// with half of the others.
const GUEST_THREADS: usize = 2;

/// Instances at most, whatever the receivers may have in flight: each reserves more than 4 GiB of addresses,
/// of which a process has 128 TiB.
const INSTANCES_MAX: usize = 4000;

/// Why Lictor does not run.
#[derive(Debug)]
pub enum AppError {
    /// The configuration is at fault.
    Config(Faults),
    /// Something that is needed cannot be had.
    Unavailable(anyhow::Error),
}

impl From<Faults> for AppError {
    fn from(faults: Faults) -> Self {
        Self::Config(faults)
    }
}

impl From<anyhow::Error> for AppError {
    fn from(error: anyhow::Error) -> Self {
        Self::Unavailable(error)
    }
}

/// Where the configuration comes from.
#[derive(Clone, Copy)]
pub struct Sources<'a> {
    /// Files and folders, as [`Config::load`] takes them.
    pub paths: &'a [PathBuf],
    /// The variables of the environment.
    pub env: &'a dyn Fn(&str) -> Option<String>,
}

/// What one receiver may do, for a person to read.
#[derive(Debug)]
pub struct Granted {
    /// The receiver.
    pub receiver: String,
    /// Its plugin.
    pub plugin: String,
    /// One line for each grant.
    pub grants: Vec<String>,
}

/// Reads the configuration. Where it has faults, the plugins are asked all the same what they say to what is
/// known of theirs, so that all faults are told at once.
///
/// # Errors
/// All faults.
pub async fn load(sources: Sources<'_>, look: Look) -> Result<Config, AppError> {
    let Sources { paths, env } = sources;
    let Rejected { faults, receivers, data_dir } = match Config::load(paths, env, look) {
        Ok(config) => return Ok(config),
        Err(rejected) => *rejected,
    };
    // Without a sandbox the faults that are known are still the ones to tell.
    let Ok(host) = looking_host(&receivers, &data_dir) else { return Err(faults.into()) };
    match receivers::ready(&receivers, &host, look).await {
        Ok(_) => Err(faults.into()),
        Err(more) => Err(faults.and(more).into()),
    }
}

/// Checks all that can be checked without starting anything.
///
/// # Errors
/// All faults, or what is needed to look for them is not there.
pub async fn check(config: &Config, look: Look) -> Result<Vec<Granted>, AppError> {
    let host = looking_host(&config.receivers, &config.agent.data_dir)?;
    let ready = ready(config, &host, look).await?;
    // Whose folder it is matters to those who run Lictor; a look may be another user's, root's for example.
    if look == Look::Everywhere && config.agent.data_dir.exists() {
        data_dir_metadata(&config.agent.data_dir)?;
    }
    let granted = |ready: &Ready<'_>| Granted {
        receiver: ready.config.name.clone(),
        plugin: ready.config.plugin.to_string(),
        grants: ready.capabilities.grants().in_words(),
    };
    Ok(ready.iter().map(granted).collect())
}

/// Runs until `shutdown`, with `config` and from each reload on with what the `sources` say then.
///
/// # Errors
/// All faults of the configuration, or what Lictor needs is not there: nothing was started then. Or a part of
/// Lictor broke.
pub async fn run(config: Config, sources: Sources<'_>, shutdown: &Shutdown) -> Result<(), AppError> {
    info!(version = env!("CARGO_PKG_VERSION"), "Lictor starts.");
    tell_warnings(&config);
    let mut hangups = signal(SignalKind::hangup()).context("follow signals")?;
    let data_dir = config.agent.data_dir.clone();
    let client = Client::new(&config.consul).context("reach Consul")?;
    let fresh = !data_dir.exists();
    let trusted = if fresh { Ok(()) } else { check_data_dir(&data_dir) };
    let cache_dir = (!fresh && trusted.is_ok()).then(|| compiled(&data_dir));
    let host = host(&config.receivers, cache_dir)?;
    let ready = ready_to_run(&config, &host);
    let Some(ready) = shutdown.drain.run_until_cancelled(ready).await else {
        info!("Lictor ended before it ran.");
        return Ok(());
    };
    let ready = ready?;
    // Told after the faults of the configuration, which are told together.
    trusted?;
    if fresh {
        make_data_dir(&data_dir)?;
        host.keep(compiled(&data_dir), ready.iter().map(|ready| &ready.plugin));
    }
    let store = open_store(&config).await?;
    let metrics = Metrics::default();
    let (_open, mut questions) = listen(&data_dir, metrics.clone());
    let place = Place {
        store: &store,
        client: &client,
        history: History::Away,
        earlier: Inlets::default(),
        metrics: metrics.clone(),
    };
    let running = Running::start(&config, host, ready, place, shutdown.part()).await?;
    let (rules, receivers) = (config.rules.len(), config.receivers.len());
    info!(rules, receivers, "Lictor runs.");
    lictor_host::give_back_code();
    let started_at = Timestamp::now();
    let retired = JoinSet::new();
    let mut life = Life { running, retired, store, data_dir, sources, shutdown, metrics, started_at };
    let whole = loop {
        tokio::select! {
            whole = life.running.ended() => break whole,
            () = life.store.broken() => {
                error!("The database is damaged; the next start sets it aside and begins anew.");
                break false;
            }
            Some(()) = hangups.recv() => if life.reload(None).await.is_break() { break false },
            Some(question) = questions.recv() => if life.answer(question).await.is_break() { break false },
        }
    };
    // Where a part broke, a Lictor that stays half would be worse than one that its supervisor starts anew.
    shutdown.drain.cancel();
    life.end().await?;
    if !whole {
        return Err(anyhow::anyhow!("go on: a part of Lictor broke, as the lines before say").into());
    }
    info!("Lictor ended.");
    Ok(())
}

/// Makes the socket. Without it Lictor does its work all the same.
fn listen(data_dir: &Path, metrics: Metrics) -> (Option<mpsc::Sender<Question>>, mpsc::Receiver<Question>) {
    match admin::listen(&data_dir.join(SOCKET), metrics) {
        Ok((open, questions)) => (Some(open), questions),
        Err(error) => {
            warn!(%error, "There is no socket: `lictor reload` and others do not reach this Lictor.");
            (None, mpsc::channel(1).1)
        }
    }
}

/// Opens the store, and says what of the last run is left in it.
async fn open_store(config: &Config) -> Result<Store, AppError> {
    let store = Store::open_durable(&config.agent.data_dir.join("lictor.db"), config.agent.durability)
        .context("open the store")?;
    if let Some(damaged) = store.damaged() {
        error!(
            set_aside = %damaged.display(),
            "The database was damaged and is set aside. What was not delivered is lost with it; Lictor takes what \
             Consul has now for known, and tells what changes from here on."
        );
    }
    let bounded = config.receivers.iter().filter(|receiver| receiver.retry.attempts > 0);
    let attempts_max = bounded.map(|receiver| (receiver.name.clone(), receiver.retry.attempts)).collect();
    let after_death = running::after_death(Arc::new(running::routing(config)));
    let recovered =
        store.recover(attempts_max, after_death, Timestamp::now()).await.context("read the store")?;
    let Recovered { repeated, dead } = recovered;
    if repeated > 0 {
        warn!(
            deliveries = repeated,
            "The last run did not end in order; what it was delivering is repeated."
        );
    }
    if dead > 0 {
        warn!(deliveries = dead, "The last run ended during the last attempt of these, which are dead now.");
    }
    tell_left(&store, config).await?;
    Ok(store)
}

/// Says that there are warnings, and who tells them.
fn tell_warnings(config: &Config) {
    let warnings = config.warnings.iter().len();
    if warnings > 0 {
        warn!(warnings, "The configuration has warnings, which `lictor validate` tells.");
    }
}

/// Says which deliveries nobody makes: they are kept.
async fn tell_left(store: &Store, config: &Config) -> Result<(), AppError> {
    for (receiver, deliveries) in store.open_by_receiver().await.context("read the store")? {
        if !config.receivers.iter().any(|known| known.name == receiver) {
            warn!(receiver, deliveries, "These wait for a receiver that is no longer configured.");
        }
    }
    Ok(())
}

fn host(receivers: &[config::Receiver], cache_dir: Option<PathBuf>) -> Result<Arc<Host>, AppError> {
    let settings = HostSettings { cache_dir, workers: guest_threads(), instances: instances(receivers) };
    Ok(Arc::new(Host::new(settings).context("start the sandbox")?))
}

/// One core stays for the router and the store: a thread that wakes up beside them only gets in their way.
fn guest_threads() -> usize {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    cores.saturating_sub(1).clamp(1, GUEST_THREADS)
}

/// As many as may be needed: each call in flight, and of each plugin one that waits and one that is made.
fn instances(receivers: &[config::Receiver]) -> u32 {
    let needed: usize = receivers.iter().map(|receiver| receiver.max_in_flight + 2).sum();
    u32::try_from(needed.clamp(1, INSTANCES_MAX)).unwrap_or(u32::MAX)
}

/// The sandbox for a look at the configuration: it uses compiled code where a run left some, and makes no
/// folder, least of all one of another user.
fn looking_host(receivers: &[config::Receiver], data_dir: &Path) -> Result<Arc<Host>, AppError> {
    let cache_dir = compiled(data_dir);
    host(receivers, cache_dir.is_dir().then_some(cache_dir))
}

/// The folder of compiled plugins.
fn compiled(data_dir: &Path) -> PathBuf {
    data_dir.join("plugins")
}

/// What is there must be a folder.
fn data_dir_metadata(path: &Path) -> Result<fs::Metadata, AppError> {
    let shown = path.display();
    let found = fs::metadata(path).with_context(|| format!("look at the folder {shown}"))?;
    if found.is_dir() {
        return Ok(found);
    }
    Err(anyhow::anyhow!("use {shown} as [agent] data_dir: it is no folder").into())
}

/// Who can write to the folder can put code there that we run.
fn check_data_dir(path: &Path) -> Result<(), AppError> {
    let shown = path.display();
    let found = data_dir_metadata(path)?;
    let ours = found.uid() == rustix::process::geteuid().as_raw();
    if ours && found.mode() & 0o022 == 0 {
        return Ok(());
    }
    let help = "it must belong to the user that Lictor runs as, and nobody else may write to it (chmod go-w)";
    Err(anyhow::anyhow!("trust the folder {shown}: {help}").into())
}

/// Only our own user reads what checks said.
fn make_data_dir(path: &Path) -> Result<(), AppError> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
    let help = || {
        format!(
            "make the folder {}; write another [agent] data_dir, or start as a user who may",
            path.display()
        )
    };
    Ok(made.with_context(help)?)
}

/// Makes all receivers of a configuration ready, or says what is wrong with them and with what leads to them.
async fn ready<'a>(config: &'a Config, host: &Arc<Host>, look: Look) -> Result<Vec<Ready<'a>>, Faults> {
    lists::check(config, receivers::ready(&config.receivers, host, look).await?)
}

/// The same for whoever runs them: what they are granted has to be ours to do.
async fn ready_to_run<'a>(config: &'a Config, host: &Arc<Host>) -> Result<Vec<Ready<'a>>, Faults> {
    let ready = ready(config, host, Look::Everywhere).await?;
    let faults = receivers::forbidden(&ready);
    if faults.is_empty() { Ok(ready) } else { Err(Faults::new(faults)) }
}

fn receiver(
    ready: Ready<'_>,
    (lists, keys): &(Arc<Watched>, Arc<ConsulKeys>),
    data_dir: &Path,
    metrics: Metrics,
) -> Receiver {
    let Ready { config, plugin, json, capabilities, limits } = ready;
    let kv_store = KvStore::new(data_dir.join("kv-store").join(&config.name));
    let capabilities = capabilities.with_lists(Arc::clone(lists) as _).with_keys(Arc::clone(keys) as _);
    let capabilities = Arc::new(capabilities.with_kv_store(kv_store));
    Receiver {
        name: config.name.clone(),
        handler: Arc::new(PluginHandler { plugin, config: json, capabilities, limits, metrics }),
        retry: config.retry.clone(),
        max_in_flight: config.max_in_flight,
        rate_limit: config.rate_limit,
    }
}
