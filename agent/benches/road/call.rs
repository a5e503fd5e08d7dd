//! One call after the other on one thread, with a fresh instance for each, beside a bare wasmtime host that does the same.

use lictor::dispatch::{Delivery, Handler};
use lictor_host::Host;
use tokio::time::Instant;
use wasmtime::component::types::ComponentItem;
use wasmtime::component::{Component, Linker, ResourceTable};
use wasmtime::{Config, Engine, InstanceAllocationStrategy, PoolingAllocationConfig, Store};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

use self::bindings::PluginPre;
use self::bindings::lictor::plugin::types;
use crate::bare::delivery;
use crate::guest;
use crate::stage::{handler, sandbox};
use crate::table::{Samples, Table};

/// What a host makes of the contract.
mod bindings {
    wasmtime::component::bindgen!({ path: "../sdk/wit", world: "plugin", exports: { default: async } });
}

const ROUNDS: usize = 5;
const CALLS: u32 = 4000;

/// What is to be reached, as a multiple of the quicker bare host.
const OF_BARE: f64 = 1.3;

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

/// An engine and the guest, with what wasmtime does unless it is told otherwise.
struct Bare {
    pre: PluginPre<State>,
}

/// Measures the three in turns.
pub(crate) fn measure(table: &mut Table) {
    println!("Measuring a call …");
    let mut pool = PoolingAllocationConfig::new();
    pool.total_memories(100).total_component_instances(100).max_memory_size(4 << 30);
    let pooled = Bare::new(InstanceAllocationStrategy::Pooling(pool));
    let plain = Bare::new(InstanceAllocationStrategy::OnDemand);
    let (host, plugin) = sandbox(1);
    let handler = handler(plugin);
    let mut samples = [const { Samples::new("µs") }; 3];
    for _ in 0..ROUNDS {
        samples[0].add(plain.microseconds());
        samples[1].add(pooled.microseconds());
        samples[2].add(microseconds(&host, &handler));
    }
    let bare = samples[0].median().min(samples[1].median());
    let part = samples[2].median() / bare;
    table.row("a call in a bare wasmtime host", &samples[0]);
    table.row("… that pools its instances", &samples[1]);
    table.row("a call in Lictor's", &samples[2]);
    table.reach("… at most 1.3 × the quicker one", &format!("{part:.2} ×"), part <= OF_BARE);
}

/// The mean of Lictor's calls, on the thread for guests, with all that is Lictor's about one.
fn microseconds(host: &Host, handler: &dyn Handler) -> f64 {
    host.runtime().block_on(async {
        let start = Instant::now();
        for _ in 0..CALLS {
            handler.handle(delivery()).await.unwrap();
        }
        start.elapsed().as_secs_f64() * 1e6 / f64::from(CALLS)
    })
}

impl Bare {
    fn new(strategy: InstanceAllocationStrategy) -> Self {
        let mut config = Config::new();
        config.allocation_strategy(strategy);
        let engine = Engine::new(&config).unwrap();
        let component = Component::from_binary(&engine, guest::guest()).unwrap();
        let mut linker = Linker::new(&engine);
        wasmtime_wasi::p2::add_to_linker_async(&mut linker).unwrap();
        refuse_all(&mut linker, &component);
        Self { pre: PluginPre::new(linker.instantiate_pre(&component).unwrap()).unwrap() }
    }

    /// The mean of its calls, each with a store and an instance of its own.
    fn microseconds(&self) -> f64 {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let start = Instant::now();
        runtime.block_on(async {
            for _ in 0..CALLS {
                let state = State { wasi: WasiCtx::builder().build(), resources: ResourceTable::new() };
                let mut store = Store::new(self.pre.engine(), state);
                let plugin = self.pre.instantiate_async(&mut store).await.unwrap();
                let delivery = convert(delivery());
                let called =
                    plugin.lictor_plugin_handler().call_handle(&mut store, &delivery, r#"{"do":"ok"}"#);
                called.await.unwrap().unwrap();
            }
        });
        start.elapsed().as_secs_f64() * 1e6 / f64::from(CALLS)
    }
}

/// Links each function of the contract to one that fails: the guest asks for nothing in these calls.
fn refuse_all(linker: &mut Linker<State>, component: &Component) {
    let engine = linker.engine().clone();
    for (name, import) in component.component_type().imports(&engine) {
        let ComponentItem::ComponentInstance(interface) = import.ty else { continue };
        if !name.starts_with("lictor:plugin/") {
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
