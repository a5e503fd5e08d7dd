//! What a plugin costs beside a bare wasmtime host that does the same: a call with a fresh instance, one after the other on
//! one thread, to compile the component, and to load it from the cache.
//!
//! A call is a delivery in, the capability that the plugin asks for, answered at once, and a receipt out. The plugins are
//! the four that Lictor carries and an example in each language, as far as their tools are there.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use lictor::bundled;
use lictor::dispatch::{Delivery, Handler, PluginHandler};
use lictor_capability::{Answers, Capabilities, Grants, Kept, OutputLimits, Script};
use lictor_host::{Host, HostSettings, Plugin, digest};
use tokio::runtime::Runtime;
use tokio::time::{Duration, Instant};
use wasmtime::component::types::ComponentItem;
use wasmtime::component::{Component, HasSelf, Linker, ResourceTable};
use wasmtime::{Config, Engine, InstanceAllocationStrategy, PoolingAllocationConfig, Store};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

use self::bindings::PluginPre;
use self::bindings::lictor::plugin::{append, exec, http, log, smtp, types};
use crate::bare::delivery;
use crate::guest;
use crate::stage::handler;
use crate::table::{Samples, Table};

/// What a host makes of the contract.
mod bindings {
    wasmtime::component::bindgen!({ path: "../sdk/wit", world: "plugin", exports: { default: async } });
}

/// Many and short, each with a ratio of its own: on a virtual machine, what a page fault costs may change by half within a
/// second, and one of the hosts takes more of them.
const ROUNDS: usize = 25;

/// How long a plugin is called in each round, by each host.
const LONG: Duration = Duration::from_millis(80);

/// Times that it is compiled and loaded, by each host; and one that takes seconds.
const LOADS: usize = 15;
const LONG_LOADS: usize = 3;

/// Bytes of a component that takes seconds.
const LARGE: usize = 4 << 20;

/// What is to be reached, as a multiple of the quicker bare host.
const OF_BARE: f64 = 1.3;

/// A plugin, and how it is configured.
pub(crate) struct Subject {
    pub(crate) name: &'static str,
    pub(crate) wasm: Vec<u8>,
    pub(crate) config: &'static str,
}

/// Measures each plugin.
pub(crate) fn measure(table: &mut Table) {
    for subject in subjects() {
        println!("Measuring a call of {} …", subject.name);
        let cache = tempfile::tempdir().unwrap();
        let host = sandbox(cache.path());
        let plugin = loads(&subject, &host, table);
        calls(&subject, &host, plugin, table);
    }
}

/// Those that are there.
pub(crate) fn subjects() -> Vec<Subject> {
    let carried = |name, config| {
        let wasm = bundled::get(name).unwrap().wasm.to_vec();
        Subject { name, wasm, config }
    };
    let mut subjects = vec![
        Subject { name: "returns at once", wasm: guest::guest().to_vec(), config: r#"{"do":"ok"}"# },
        carried("shell", r#"{"command":["/bin/true"]}"#),
        carried("file", r#"{"path":"/tmp/x"}"#),
        carried("webhook", r#"{"url":"http://127.0.0.1:9/x"}"#),
        carried("email", r#"{"from":"a@example.com","to":["b@example.com"]}"#),
    ];
    let chat = guest::repository().join("target/examples");
    guest::build(&guest::repository().join("examples/plugins/chat/Cargo.toml"), &chat);
    let examples = guest::repository().join("examples/plugins");
    for (name, file, config) in [
        ("chat (Rust)", chat.join("wasm32-wasip2/release/chat.wasm"), r#"{"url":"http://127.0.0.1:9/x"}"#),
        ("push (JavaScript)", examples.join("push/target/push.wasm"), r#"{"url":"http://127.0.0.1:9/x"}"#),
        (
            "pager (Python)",
            examples.join("pager/target/pager.wasm"),
            r#"{"url":"http://127.0.0.1:9/x","routing_key":"R1"}"#,
        ),
    ] {
        match fs::read(&file) {
            Ok(wasm) => subjects.push(Subject { name, wasm, config }),
            Err(_) => println!("{name} is left out: `make languages` builds it"),
        }
    }
    subjects
}

/// Lictor's sandbox with one thread for guests.
pub(crate) fn sandbox(cache: &Path) -> Host {
    Host::new(HostSettings { cache_dir: Some(cache.into()), workers: 1, instances: 300 }).unwrap()
}

/// Compiles the plugin and loads it from the cache, in turns; both hosts then make one instance.
fn loads(subject: &Subject, host: &Host, table: &mut Table) -> Plugin {
    let Subject { name, wasm, .. } = subject;
    let sha256 = digest(wasm);
    let folder = tempfile::tempdir().unwrap();
    let mut samples = [const { Samples::new("ms") }; 4];
    let mut ratios = [const { Samples::new("×") }; 2];
    let bare = Bare::new(pooled());
    let times = if wasm.len() > LARGE { LONG_LOADS } else { LOADS };
    let mut add = |at: usize, bares: f64, lictors: f64| {
        samples[2 * at].add(bares);
        samples[2 * at + 1].add(lictors);
        ratios[at].add(lictors / bares);
    };
    for _ in 0..times {
        let fresh = tempfile::tempdir().unwrap();
        let bares = ms(|| drop(bare.load(&Component::from_binary(&bare.engine, wasm).unwrap())));
        let lictors = sandbox(fresh.path());
        add(0, bares, ms(|| drop(lictors.load_known(wasm, &sha256).unwrap())));
    }
    let file = folder.path().join("cwasm");
    fs::write(&file, Component::from_binary(&bare.engine, wasm).unwrap().serialize().unwrap()).unwrap();
    let plugin = host.load_known(wasm, &sha256).unwrap();
    for _ in 0..times {
        let bares = ms(|| drop(bare.load(&cached(&bare.engine, &file))));
        add(1, bares, ms(|| drop(host.load_known(wasm, &sha256).unwrap())));
    }
    let kib = wasm.len() >> 10;
    table.row(&format!("{name}, {kib} KiB: compiled by a bare host"), &samples[0]);
    table.row("… by Lictor's", &samples[1]);
    reach(table, "… compiled in at most 1.3 × the time", &ratios[0]);
    table.row("… loaded from a file by a bare host", &samples[2]);
    table.row("… from the cache by Lictor's", &samples[3]);
    reach(table, "… loaded in at most 1.3 × the time", &ratios[1]);
    plugin
}

#[expect(unsafe_code, reason = "what is read was written a moment ago by the same engine")]
pub(crate) fn cached(engine: &Engine, file: &Path) -> Component {
    // SAFETY: nobody else writes to this folder.
    unsafe { Component::deserialize_file(engine, file) }.unwrap()
}

/// Milliseconds that it takes.
fn ms(work: impl FnOnce()) -> f64 {
    let start = Instant::now();
    work();
    start.elapsed().as_secs_f64() * 1e3
}

/// Measures the three hosts in turns.
fn calls(subject: &Subject, host: &Host, plugin: Plugin, table: &mut Table) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let plain = Bare::new(InstanceAllocationStrategy::OnDemand).with(subject);
    let pooled = Bare::new(pooled()).with(subject);
    let able = Arc::new(Able::new(&runtime, plugin, subject.config));
    let (mut samples, mut ratios) = ([const { Samples::new("µs") }; 3], [const { Samples::new("×") }; 2]);
    for _ in 0..ROUNDS {
        let [plain, pooled, lictors] = [
            plain.microseconds(&runtime),
            pooled.microseconds(&runtime),
            microseconds(host, Arc::clone(&able)),
        ];
        for (samples, one) in samples.iter_mut().zip([plain, pooled, lictors]) {
            samples.add(one);
        }
        for (ratios, one) in ratios.iter_mut().zip([plain, pooled]) {
            ratios.add(lictors / one);
        }
    }
    table.row("… a call in a bare wasmtime host", &samples[0]);
    table.row("… that pools its instances", &samples[1]);
    table.row("… a call in Lictor's", &samples[2]);
    // The quicker one as a whole: of each round, it would be the one that the machine let go on.
    let [plain, pooled] = ratios;
    let of_quicker = if plain.median() > pooled.median() { plain } else { pooled };
    reach(table, "… at most 1.3 × the quicker one", &of_quicker);
}

fn reach(table: &mut Table, what: &str, ratios: &Samples) {
    let part = ratios.median();
    table.reach(what, &format!("{part:.2} ×"), part <= OF_BARE);
}

/// The plugin with what it says it needs, answered by a script.
pub(crate) struct Able {
    handler: PluginHandler,
    script: Arc<Script>,
}

impl Able {
    pub(crate) fn new(runtime: &Runtime, plugin: Plugin, config: &str) -> Self {
        let handler = handler(plugin);
        let requests = runtime.block_on(handler.plugin.requests(config, &handler.limits)).unwrap();
        let grants = Grants::for_requests(&requests).unwrap();
        let script = Arc::new(Script::new(Answers::default(), Kept::default(), OutputLimits::default()));
        let capabilities = Arc::new(Capabilities::scripted(grants, Arc::clone(&script)));
        Self { handler: PluginHandler { config: config.into(), capabilities, ..handler }, script }
    }

    /// What the plugin asks for is let go of with each call, as the bare host does: to record all of it would take new
    /// memory for each.
    pub(crate) async fn call(&self) {
        self.handler.handle(delivery()).await.unwrap();
        drop(self.script.recorded());
    }
}

/// The mean of Lictor's calls, on the thread for guests, as a receiver's task makes them, with all that is Lictor's about
/// one.
fn microseconds(host: &Host, able: Arc<Able>) -> f64 {
    let task = async move {
        let (start, mut calls) = (Instant::now(), 0_u32);
        while start.elapsed() < LONG {
            able.call().await;
            calls += 1;
        }
        start.elapsed().as_secs_f64() * 1e6 / f64::from(calls)
    };
    host.runtime().block_on(host.runtime().spawn(task)).unwrap()
}

/// The state of a bare host: WASI with nothing behind it.
struct State {
    wasi: WasiCtx,
    resources: ResourceTable,
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.resources }
    }
}

/// An engine, with what wasmtime does unless it is told otherwise.
pub(crate) struct Bare {
    pub(crate) engine: Engine,
}

/// A plugin in a bare host.
pub(crate) struct Ready {
    pre: PluginPre<State>,
    config: &'static str,
}

pub(crate) fn pooled() -> InstanceAllocationStrategy {
    let mut pool = PoolingAllocationConfig::new();
    pool.total_memories(100).total_component_instances(100).max_memory_size(4 << 30).table_elements(100_000);
    InstanceAllocationStrategy::Pooling(pool)
}

impl Bare {
    pub(crate) fn new(strategy: InstanceAllocationStrategy) -> Self {
        let mut config = Config::new();
        config.allocation_strategy(strategy);
        Self { engine: Engine::new(&config).unwrap() }
    }

    fn with(&self, subject: &Subject) -> Ready {
        self.ready(&Component::from_binary(&self.engine, &subject.wasm).unwrap(), subject)
    }

    pub(crate) fn ready(&self, component: &Component, subject: &Subject) -> Ready {
        Ready { pre: self.link(component), config: subject.config }
    }

    /// Links it and makes one instance.
    fn load(&self, component: &Component) -> PluginPre<State> {
        let pre = self.link(component);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(pre.instantiate_async(&mut store(&self.engine))).unwrap();
        pre
    }

    fn link(&self, component: &Component) -> PluginPre<State> {
        let mut linker = Linker::new(&self.engine);
        wasmtime_wasi::p2::add_to_linker_async(&mut linker).unwrap();
        exec::add_to_linker::<_, HasSelf<_>>(&mut linker, |state| state).unwrap();
        append::add_to_linker::<_, HasSelf<_>>(&mut linker, |state| state).unwrap();
        http::add_to_linker::<_, HasSelf<_>>(&mut linker, |state| state).unwrap();
        smtp::add_to_linker::<_, HasSelf<_>>(&mut linker, |state| state).unwrap();
        log::add_to_linker::<_, HasSelf<_>>(&mut linker, |state| state).unwrap();
        refuse_others(&mut linker, component);
        PluginPre::new(linker.instantiate_pre(component).unwrap()).unwrap()
    }
}

fn store(engine: &Engine) -> Store<State> {
    Store::new(engine, State { wasi: WasiCtx::builder().build(), resources: ResourceTable::new() })
}

impl Ready {
    /// One call, with a store and an instance of its own.
    pub(crate) async fn call(&self) {
        let mut store = store(self.pre.engine());
        let plugin = self.pre.instantiate_async(&mut store).await.unwrap();
        let delivery = convert(delivery());
        let called = plugin.lictor_plugin_handler().call_handle(&mut store, &delivery, self.config);
        called.await.unwrap().unwrap();
    }

    /// The mean of its calls.
    fn microseconds(&self, runtime: &Runtime) -> f64 {
        runtime.block_on(async {
            let (start, mut calls) = (Instant::now(), 0_u32);
            while start.elapsed() < LONG {
                self.call().await;
                calls += 1;
            }
            start.elapsed().as_secs_f64() * 1e6 / f64::from(calls)
        })
    }
}

impl types::Host for State {}

impl exec::Host for State {
    fn run(&mut self, _: exec::Command) -> Result<exec::Output, types::CallError> {
        Ok(exec::Output { status: exec::ExitStatus::Code(0), stdout: String::new(), stderr: String::new() })
    }
}

impl append::Host for State {
    fn append(&mut self, _: String, _: Vec<u8>) -> Result<(), types::CallError> {
        Ok(())
    }
}

impl http::Host for State {
    fn send(&mut self, _: http::Request) -> Result<http::Response, types::CallError> {
        Ok(http::Response { status: 200, headers: Vec::new(), body: Vec::new() })
    }
}

impl smtp::Host for State {
    fn send(&mut self, _: smtp::Message) -> Result<String, smtp::SmtpError> {
        Ok("250 OK".into())
    }
}

impl log::Host for State {
    fn log(&mut self, _: log::Level, _: String) {}
}

/// Links each other function of the contract to one that fails: none of the plugins asks for it.
fn refuse_others(linker: &mut Linker<State>, component: &Component) {
    let engine = linker.engine().clone();
    let answered = ["exec", "append", "http", "smtp", "log"].map(|name| format!("lictor:plugin/{name}@"));
    for (name, import) in component.component_type().imports(&engine) {
        let ComponentItem::ComponentInstance(interface) = import.ty else { continue };
        if !name.starts_with("lictor:plugin/") || answered.iter().any(|known| name.starts_with(known)) {
            continue;
        }
        let mut functions = linker.instance(name).unwrap();
        for (function, export) in interface.exports(&engine) {
            if matches!(export.ty, ComponentItem::ComponentFunc(_)) {
                functions
                    .func_new(function, |_, _, _, _| Err(wasmtime::Error::msg("nobody does this here")))
                    .unwrap();
            }
        }
    }
}

fn convert(delivery: Delivery) -> types::Delivery {
    let Delivery { id, attempt, rule, receiver, environment, node, events } = delivery;
    let events = events.into_iter().map(|event| types::Event {
        id: event.id,
        source: event.source,
        type_: event.kind,
        subject: event.subject,
        time: event.time,
        data: event.data,
    });
    types::Delivery { id, attempt, rule, receiver, environment, node, events: events.collect() }
}
