//! The real parts, in one process: a store, a sandbox with one plugin, receivers, and a pipeline.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use lictor::catalog::{Check, CheckStatus, Entry, LocalNode};
use lictor::consul::What;
use lictor::dispatch::{Answer as Call, Delivery, Dispatcher, Handler, PluginHandler, Receiver, Settings};
use lictor::event::{EventType, State, Timing};
use lictor::metrics::Metrics;
use lictor::pipeline::{Answer, Known, Line, Memory, Pipeline, Routing};
use lictor::rules::{Alerts, BuiltIn, Roles, Rule};
use lictor::shutdown::Shutdown;
use lictor::store::Store;
use lictor_capability::{Capabilities, Grants, HttpClients, OutputLimits};
use lictor_host::{Host, HostSettings, Limits, Plugin};
use tempfile::TempDir;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::guest;

/// Threads for guests: on two cores Lictor has one.
const WORKERS: usize = 1;

/// Checks of the node.
pub(crate) const CHECKS: usize = 200;

/// Counts the calls that ended, and says when there are as many as somebody waits for.
#[derive(Default)]
pub(crate) struct Count {
    done: AtomicUsize,
    awaited: AtomicUsize,
    wake: Notify,
}

impl Count {
    pub(crate) fn done(&self) -> usize {
        self.done.load(Ordering::SeqCst)
    }
}

/// The plugin, counted.
struct Counted {
    plugin: PluginHandler,
    count: Arc<Count>,
}

impl Handler for Counted {
    fn handle(&self, delivery: Delivery) -> Call<'_> {
        Box::pin(async move {
            let answer = self.plugin.handle(delivery).await;
            let done = self.count.done.fetch_add(1, Ordering::SeqCst) + 1;
            if done == self.count.awaited.load(Ordering::SeqCst) {
                self.count.wake.notify_one();
            }
            answer
        })
    }
}

/// All parts.
pub(crate) struct Stage {
    pub(crate) folder: TempDir,
    pub(crate) host: Host,
    pub(crate) store: Store,
    pub(crate) pipeline: Pipeline,
    pub(crate) count: Arc<Count>,
    pub(crate) shutdown: Shutdown,
    dispatcher: Dispatcher,
    known: Known,
    index: u64,
}

/// A sandbox, and the plugin that returns at once.
pub(crate) fn sandbox(workers: usize) -> (Host, Plugin) {
    let settings = HostSettings { cache_dir: Some(guest::compiled()), workers, instances: 300 };
    let host = Host::new(settings).unwrap();
    let plugin = host.load(guest::guest()).unwrap();
    (host, plugin)
}

/// How the plugin is called.
pub(crate) fn handler(plugin: Plugin) -> PluginHandler {
    let outputs = OutputLimits { exec_output: 4096, http_response: 4096 };
    let capabilities =
        Arc::new(Capabilities::new(Grants::default(), outputs, &mut HttpClients::default()).unwrap());
    PluginHandler {
        plugin,
        config: r#"{"do":"ok"}"#.into(),
        capabilities,
        limits: Limits::default(),
        metrics: Metrics::default(),
    }
}

pub(crate) fn node() -> LocalNode {
    LocalNode { name: "web1".into(), datacenter: "dc1".into(), meta: BTreeMap::new() }
}

/// One rule that sends every change of a status to these receivers.
fn routing(receivers: &[String]) -> Routing {
    let rule = Rule {
        name: "all".into(),
        on: vec![EventType::CheckStatus],
        receivers: receivers.into(),
        ..Rule::default()
    };
    Routing {
        inhibit_rules: BuiltIn::default().rules(),
        rules: vec![rule].into(),
        roles: Roles::default(),
        environment: None,
        timing: Timing::default(),
        wishes: BTreeMap::new(),
    }
}

impl Stage {
    /// With so many receivers of the same plugin, within a tokio runtime.
    pub(crate) async fn new(receivers: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("lictor.db")).unwrap();
        let (host, plugin) = sandbox(WORKERS);
        let count = Arc::new(Count::default());
        let names: Vec<_> = (0..receivers).map(|number| format!("r{number}")).collect();
        let receiver = |name: &String| {
            let counted = Counted { plugin: handler(plugin.clone()), count: Arc::clone(&count) };
            Receiver::new(name, Arc::new(counted))
        };
        let (all, shutdown) = (names.iter().map(receiver).collect(), Shutdown::default());
        let dispatcher = Dispatcher::start(host.runtime(), &store, all, &Settings::default(), &shutdown);
        let routing = Arc::new(routing(&names));
        let inlets = dispatcher.inlets();
        let pipeline = Pipeline {
            watch: What::NodeChecks.into(),
            name: "checks/node".into(),
            told_as: "checks/node".into(),
            line: Line {
                routing,
                memory: Arc::new(Memory::new(Alerts::default())),
                store: store.clone(),
                inlets,
                metrics: Metrics::default(),
            },
            trouble: Arc::default(),
        };
        let known = Known::default();
        let mut stage = Self { folder, host, store, pipeline, count, shutdown, dispatcher, known, index: 0 };
        stage.answer(|_| CheckStatus::Passing).await;
        stage
    }

    /// Takes in an answer in which each check has the status that `of` says.
    pub(crate) async fn answer(&mut self, of: impl Fn(usize) -> CheckStatus) {
        self.index += 1;
        let index = self.index;
        let before: Vec<_> =
            self.known.states.values().filter_map(State::check).map(|state| state.check.clone()).collect();
        let check = |number: usize| {
            let status = of(number);
            match before.get(number) {
                Some(before) if before.status == status => before.clone(),
                _ => check(number, status, index).into(),
            }
        };
        let entries = (0..CHECKS).map(check).map(Entry::Check).collect();
        let answer = Answer { entries, index, reset: false };
        let stop = CancellationToken::new();
        assert!(self.pipeline.take(&mut self.known, &node(), answer, &stop).await.is_continue());
    }

    /// Waits until so many calls have ended, and all of them are settled.
    pub(crate) async fn settled(&self, calls: usize) {
        self.count.awaited.store(calls, Ordering::SeqCst);
        if self.count.done() < calls {
            self.count.wake.notified().await;
        }
        while !self.store.open_by_receiver().await.unwrap().is_empty() {
            tokio::task::yield_now().await;
        }
    }

    pub(crate) fn database(&self) -> PathBuf {
        self.folder.path().join("lictor.db")
    }

    pub(crate) async fn end(self) {
        self.shutdown.drain.cancel();
        self.dispatcher.finish().await;
        self.host.close().await;
        drop(self.pipeline);
        self.store.close().await.unwrap();
    }
}

/// The check of that number; its key sorts as the number does.
fn check(number: usize, status: CheckStatus, index: u64) -> Check {
    let name = format!("check-{number:04}");
    Check {
        node: "web1".into(),
        check_id: name.clone(),
        name: name.clone(),
        kind: "http".into(),
        status,
        notes: String::new(),
        output: format!("HTTP GET http://127.0.0.1:8080/health: {} Output: as it is", status.as_str()),
        service_id: name.clone(),
        service: name,
        service_tags: vec!["prod".into()],
        create_index: 1,
        modify_index: index,
    }
}
