//! Makes native code of a component.
//!
//! The compiler is there only while it works: the engine that plugins run on has none. So where their code is cached,
//! nothing of the compiler comes into memory, which is a megabyte.

use wasmtime::component::Component;
use wasmtime::{Config, Engine};

/// The guest's stack. Deep recursion ends in a trap here, long before the thread's own stack does.
const STACK: usize = 512 << 10;

/// Native code of a component, for engines with the settings of [`settings`].
pub(crate) struct Code(Vec<u8>);

/// What shapes the code, so it has to be the same for whoever makes it and whoever runs it.
pub(crate) fn settings() -> Config {
    let mut config = Config::new();
    config.epoch_interruption(true).max_wasm_stack(STACK);
    // No guest finds on its stack what another one left there, and a call that is over leaves little of it in memory.
    config.async_stack_zeroing(true);
    // A crash is told in the guest's own words, so its code needs no maps of where it came from, which take memory.
    config.generate_address_map(false).native_unwind_info(false).wasm_backtrace_max_frames(None);
    config
}

/// Compiles a component, which takes a tenth of a second to many seconds.
pub(crate) fn compile(wasm: &[u8]) -> wasmtime::Result<Code> {
    Engine::new(&settings())?.precompile_component(wasm).map(Code)
}

impl Code {
    /// That of a component that runs already.
    pub(crate) fn of(component: &Component) -> wasmtime::Result<Self> {
        component.serialize().map(Self)
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// A component of its own, which nothing on the disk stands for.
    pub(crate) fn component(&self, engine: &Engine) -> wasmtime::Result<Component> {
        #[expect(
            unsafe_code,
            reason = "the code was made by wasmtime in this process, and nobody changed it"
        )]
        unsafe {
            Component::deserialize(engine, &self.0)
        }
    }
}
