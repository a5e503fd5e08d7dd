//! What all plugins share: one engine, one linker, the guests' own runtime and the clock of the epoch.
//!
//! Guests have a runtime of their own so that four of them that spin delay nothing but other guests: the
//! pipeline and the dispatcher run elsewhere.
//!
//! Invariant: while no guest runs, nothing here wakes up, but for a moment after the last call.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{
    AtomicBool, AtomicUsize,
    Ordering::{Relaxed, SeqCst},
};
use std::thread::{self, Thread};
use std::time::Duration;

use lictor_capability::Programs;
use sha2::{Digest, Sha256};
use tokio::runtime::{Handle, Runtime};
use tokio::task::JoinError;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;
use wasmtime::component::{Component, HasSelf, Linker};
use wasmtime::{Engine, EngineWeak};

use crate::bindings::{self, PluginPre};
use crate::cache::Cache;
use crate::compiler::{self, Code};
use crate::guest::Guest;
use crate::heavy::{self, Lanes};
use crate::inspect::{self, LoadError};
use crate::memory;
use crate::plugin::Plugin;
use crate::pool;
use crate::wasi;

/// How often a running guest is looked at: the precision of its CPU limit and deadline, and the longest that
/// it keeps a thread from other guests. Where a slow one rests after that (`turns.rs`), its deadline is seen ten times as late.
const TICK: Duration = Duration::from_millis(10);

/// Ticks after the last call: calls that follow each other need not wake the clock, which takes as long as a
/// tenth of one.
const LINGER: u32 = 100;

/// Calls at once after which memory is given back at rest. Fewer leave little, and the next one would pay for it.
const MANY: usize = 16;

/// How long the end of dropped calls is waited for, with the programs that they ran. They are dropped within a tick, if the
/// machine is not overloaded; the rest is what is left of a program's grace between TERM and KILL.
const CLOSE: Duration = Duration::from_secs(1);

/// Bytes of a component at most. The largest of practice hold a Python interpreter, 18 MB.
pub const COMPONENT_MAX: usize = 32 << 20;

/// How a host is made.
#[derive(Clone, Debug)]
pub struct HostSettings {
    /// Where compiled plugins are kept: a folder that only our own user can write to, made with mode 0700
    /// if it is missing. `None`: each start compiles them.
    pub cache_dir: Option<PathBuf>,
    /// Threads that run guests. At least one is made.
    pub workers: usize,
    /// Instances at once, those that wait for a call included. A call that finds none may be made later.
    pub instances: u32,
}

/// Why there is no sandbox. The message fits after "failed to".
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// This machine cannot run wasmtime as we need it.
    #[error("set up the WebAssembly engine: {0}")]
    Engine(String),
    /// No threads for the guests.
    #[error("start the guests' threads")]
    Threads(#[source] io::Error),
}

/// The sandbox. Dropping it is fine at any time; what a loaded [`Plugin`] needs lives as long as that.
pub struct Host {
    pub(crate) shared: Arc<Shared>,
    linker: Linker<Guest>,
    cache: Option<Cache>,
}

impl Host {
    /// Makes the engine, the linker and the guests' threads.
    pub fn new(settings: HostSettings) -> Result<Self, HostError> {
        let mut config = compiler::settings();
        config.enable_compiler(false).allocation_strategy(pool::of(settings.instances));
        let engine = pool::engine(&config).map_err(|error| HostError::Engine(format!("{error:#}")))?;
        let linker = link(&engine).map_err(|error| HostError::Engine(format!("{error:#}")))?;
        let threads = |name: &str, count: usize| {
            let mut runtime = tokio::runtime::Builder::new_multi_thread();
            runtime.worker_threads(count).thread_name(name).enable_all().build().map_err(HostError::Threads)
        };
        let guests = threads("plugin", settings.workers.max(1))?;
        let exec = threads("plugin-exec", 1)?;
        let calls = Arc::new(Calls::default());
        let ticker = start_ticker(engine.weak(), Arc::clone(&calls)).map_err(HostError::Threads)?;
        let cut = engine.clone();
        let lanes = Lanes::start(move || cut.increment_epoch()).map_err(HostError::Threads)?;
        let shared = Shared {
            engine,
            guests: guests.handle().clone(),
            exec: exec.handle().clone(),
            lanes,
            programs: Programs::default(),
            runtimes: vec![guests, exec],
            calls,
            has_served: AtomicBool::new(false),
            ticker,
        };
        let shared = Arc::new(shared);
        Ok(Self { shared, linker, cache: settings.cache_dir.and_then(Cache::open) })
    }

    /// Makes a plugin of a component's bytes. Blocks: it compiles where the cache has nothing.
    ///
    /// Also instantiates it once (256 MiB of memory, 1 s of CPU time, 5 s in all), so that what is wrong with its types
    /// shows now and not at the first delivery.
    pub fn load(&self, wasm: &[u8]) -> Result<Plugin, LoadError> {
        self.load_known(wasm, &digest(wasm))
    }

    /// Like [`load`](Self::load), for bytes whose SHA-256 (in hexadecimal digits) is known: where their
    /// compiled code is cached they are not read, so that a part of our own binary takes no memory.
    pub fn load_known(&self, wasm: &[u8], digest: &str) -> Result<Plugin, LoadError> {
        if wasm.len() > COMPONENT_MAX {
            return Err(LoadError::TooLarge { size: wasm.len(), limit: COMPONENT_MAX });
        }
        let component = match self.cached(digest) {
            Some(component) => component,
            None => self.compile_apart(wasm, digest)?,
        };
        let imports = inspect::capabilities_of(&self.shared.engine, &component)?;
        let linked = self.linker.instantiate_pre(&component).and_then(PluginPre::new);
        let pre = linked.map_err(|error| LoadError::Link(format!("{error:#}")))?;
        let plugin = Plugin::new(Arc::clone(&self.shared), pre, digest.to_owned(), imports);
        plugin.try_start()?;
        Ok(plugin)
    }

    /// The runtime that guests run on, for tasks that call them and wait for nothing else for long: one that
    /// spins takes turns with them, and each turn is 10 ms.
    pub fn runtime(&self) -> &Handle {
        &self.shared.guests
    }

    /// Keeps the compiled code of these plugins in `cache_dir`, as a host with this setting does: for a
    /// folder that is only made once the plugins are known to be right.
    pub fn keep<'a>(&self, cache_dir: PathBuf, plugins: impl IntoIterator<Item = &'a Plugin>) {
        if let Some(cache) = Cache::open(cache_dir) {
            for plugin in plugins {
                match Code::of(plugin.component()) {
                    Ok(code) => cache.store(&self.shared.engine, plugin.digest(), &code),
                    Err(error) => tracing::warn!(%error, "A compiled plugin was not kept."),
                }
            }
            memory::give_back();
        }
    }

    /// Waits, for a second, until calls that were dropped have let go of what they held, and the programs that they ran have
    /// ended. Those that have not by then are killed.
    pub async fn close(&self) {
        let until = Instant::now() + CLOSE;
        let all_dropped = async {
            while self.shared.calls.running.load(SeqCst) > 0 {
                tokio::time::sleep(TICK).await;
            }
        };
        let dropped = tokio::time::timeout_at(until, all_dropped).await.is_ok();
        let ended = self.shared.programs.end(until.saturating_duration_since(Instant::now())).await;
        if !dropped || !ended {
            tracing::warn!("A plugin's call did not end; what it ran may go on.");
        }
    }

    fn cached(&self, digest: &str) -> Option<Component> {
        self.cache.as_ref().and_then(|cache| cache.load(&self.shared.engine, digest))
    }

    /// Compiles it, with a low priority where receivers could be held up by that: whoever waits for a start waits for this.
    fn compile_apart(&self, wasm: &[u8], digest: &str) -> Result<Component, LoadError> {
        let compile = || {
            // Asked first, since it says more of what is wrong than the compiler does.
            inspect::inspect(wasm)?;
            self.compile(wasm, digest)
        };
        if self.shared.has_served.load(Relaxed) {
            let compiled = heavy::apart(compile);
            compiled.map_err(|error| LoadError::Link(format!("start a thread for it: {error}")))?
        } else {
            compile()
        }
    }

    fn compile(&self, wasm: &[u8], digest: &str) -> Result<Component, LoadError> {
        let engine = &self.shared.engine;
        let failed = |error| LoadError::Link(format!("{error:#}"));
        let code = compiler::compile(wasm).map_err(failed)?;
        // What has more than one may have is not kept.
        let component = code.component(engine).map_err(failed)?;
        let kept = self.cache.as_ref().and_then(|cache| {
            cache.store(engine, digest, &code);
            cache.load(engine, digest)
        });
        drop(code);
        // The compiler leaves tens of megabytes, and so does the code.
        memory::give_back();
        Ok(kept.unwrap_or(component))
    }
}

/// How many calls there are.
#[derive(Default)]
struct Calls {
    /// That run now.
    running: AtomicUsize,
    /// That ran at once, since memory was given back.
    most: AtomicUsize,
}

/// What outlives the host, because plugins need it.
pub(crate) struct Shared {
    pub(crate) engine: Engine,
    /// Where guests run.
    pub(crate) guests: Handle,
    /// Where programs are started and seen to.
    exec: Handle,
    /// Where those run that would hold up the others.
    pub(crate) lanes: Lanes,
    /// What dropped calls ran.
    pub(crate) programs: Programs,
    /// The same two, for the one who ends them.
    runtimes: Vec<Runtime>,
    calls: Arc<Calls>,
    /// A delivery was made, so there are receivers.
    pub(crate) has_served: AtomicBool,
    ticker: Thread,
}

impl Shared {
    /// Lets the epoch advance until the answer is dropped.
    pub(crate) fn tick_while(self: &Arc<Self>) -> Ticking {
        let others = self.calls.running.fetch_add(1, SeqCst);
        if others == 0 {
            self.ticker.unpark();
        }
        self.calls.most.fetch_max(others + 1, SeqCst);
        Ticking(Arc::clone(self))
    }

    /// Does a part of a call where programs are run, wherever the call itself is made. Dropping the future ends it, and
    /// [`Host::close`] waits for that.
    ///
    /// To start a program takes a hundred times as long as most calls, and to find all that it started longer still, so no
    /// guest's thread does it. A program inherits the priority of the thread that starts it: this one has Lictor's own.
    pub(crate) async fn on_exec<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, JoinError> {
        let ticking = self.tick_while();
        let work = async move {
            let done = work.await;
            drop(ticking);
            done
        };
        AbortOnDropHandle::new(self.exec.spawn(work)).await
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // A runtime that is dropped within another one panics, and its calls are over: each of them holds
        // us. So nothing is waited for.
        for runtime in self.runtimes.drain(..) {
            runtime.shutdown_background();
        }
        self.ticker.unpark();
    }
}

/// A call that runs.
pub(crate) struct Ticking(Arc<Shared>);

impl Drop for Ticking {
    fn drop(&mut self) {
        self.0.calls.running.fetch_sub(1, SeqCst);
    }
}

/// Advances the epoch while calls run, and ends with the engine.
fn start_ticker(engine: EngineWeak, calls: Arc<Calls>) -> io::Result<Thread> {
    let tick = move || {
        let mut idle = 0;
        loop {
            if idle > LINGER {
                if calls.most.swap(0, SeqCst) >= MANY {
                    memory::give_back();
                }
                thread::park();
            } else {
                thread::sleep(TICK);
            }
            idle = if calls.running.load(SeqCst) == 0 { idle.saturating_add(1) } else { 0 };
            let Some(engine) = engine.upgrade() else { return };
            engine.increment_epoch();
        }
    };
    let thread = thread::Builder::new().name("plugin-epoch".into()).spawn(tick)?;
    Ok(thread.thread().clone())
}

fn link(engine: &Engine) -> wasmtime::Result<Linker<Guest>> {
    let mut linker = Linker::new(engine);
    wasi::link(&mut linker)?;
    bindings::Plugin::add_to_linker::<_, HasSelf<_>>(&mut linker, |guest| guest)?;
    Ok(linker)
}

/// SHA-256 of a component, as 64 lowercase hexadecimal digits.
pub fn digest(wasm: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let hash = Sha256::digest(wasm);
    let digits = hash.iter().flat_map(|byte| [byte >> 4, byte & 0xf]);
    digits.map(|digit| char::from(DIGITS[usize::from(digit)])).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::test_support::EMPTY;

    fn host(cache_dir: Option<PathBuf>) -> Host {
        Host::new(HostSettings { cache_dir, workers: 1, instances: 2 }).unwrap()
    }

    #[test]
    fn a_damaged_cache_file_is_compiled_anew_and_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let cached = || {
            let entry = fs::read_dir(dir.path()).unwrap().next().unwrap().unwrap();
            (entry.path(), fs::read(entry.path()).unwrap())
        };
        let host = host(Some(dir.path().into()));
        host.compile(EMPTY, "d").unwrap();
        let (path, whole) = cached();
        assert!(host.cached("d").is_some());
        fs::write(&path, &whole[..whole.len() / 2]).unwrap();
        assert!(host.cached("d").is_none());
        host.compile(EMPTY, "d").unwrap();
        assert_eq!(cached(), (path, whole));
    }

    #[test]
    fn without_a_cache_it_only_takes_longer() {
        host(None).compile(EMPTY, "d").unwrap();
        host(Some("/dev/null/cwasm".into())).compile(EMPTY, "d").unwrap();
    }

    #[test]
    fn a_component_may_have_a_size_and_not_more() {
        let host = host(None);
        let at = |size| host.load(&vec![0; size]).err().unwrap();
        assert!(matches!(at(COMPONENT_MAX), LoadError::Damaged(_)));
        assert!(matches!(at(COMPONENT_MAX + 1), LoadError::TooLarge { limit: COMPONENT_MAX, .. }));
    }

    #[tokio::test]
    async fn a_host_can_be_dropped_within_another_runtime() {
        drop(host(None));
    }

    #[test]
    fn a_digest_has_two_digits_for_each_byte() {
        assert_eq!(digest(b""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    }
}
