//! What instances are made of: memories, tables and stacks that they take turns with.

use std::thread;

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use wasmtime::{Config, Enabled, Engine, PoolingAllocationConfig};

use crate::limits::{INSTANCES, MEMORIES, TABLES};

/// Bytes of one memory at most: what a 32-bit guest can address. A receiver's own limit is lower.
const MEMORY: usize = 4 << 30;

/// Functions that a guest can call indirectly; an interpreter has some ten thousand.
const TABLE: usize = 100_000;

/// Memories of other plugins that are left as they are while there are free ones.
const WARM: u32 = 8;

/// Bytes that an unused memory and an unused table keep, at most. To keep all that a call touched would spare the next one
/// some page faults, and cost each of a hundred receivers that were once called at once as much for ever.
const RESIDENT: usize = 16 << 10;
const TABLE_RESIDENT: usize = 4 << 10;

/// Bytes that an unused stack keeps: what most calls use of it.
const STACK_RESIDENT: usize = 8 << 10;

/// Instances take turns with the same memory, emptied in between: to map it anew for each call, and to fault
/// its pages in, takes longer than most calls do. What is not used costs addresses only.
///
/// There is as much as all of them may have at once, so none takes what another one needs.
pub(crate) fn of(instances: u32) -> PoolingAllocationConfig {
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(instances)
        .max_core_instances_per_component(INSTANCES)
        .total_core_instances(instances.saturating_mul(INSTANCES))
        .max_memories_per_component(MEMORIES)
        .total_memories(instances.saturating_mul(MEMORIES))
        .max_tables_per_component(TABLES)
        .total_tables(instances.saturating_mul(TABLES))
        .total_stacks(instances)
        .max_memory_size(MEMORY)
        .table_elements(TABLE)
        .max_unused_warm_slots(WARM)
        .linear_memory_keep_resident(RESIDENT)
        .table_keep_resident(TABLE_RESIDENT)
        .async_stack_keep_resident(STACK_RESIDENT)
        .pagemap_scan(Enabled::Auto);
    pool
}

/// The engine with its pool, in one part.
///
/// wasmtime makes as many parts as there are processors that the thread may run on which makes the engine, and each thread
/// takes from a part of its own: what was used once by each of them stays used, so a hundred receivers that are called at once by
/// one thread and later by another one would leave twice as much. So it is made by a thread that may run on one processor.
pub(crate) fn engine(config: &Config) -> wasmtime::Result<Engine> {
    thread::scope(|scope| {
        let make = || {
            stay_on_one_processor();
            Engine::new(config)
        };
        let thread = thread::Builder::new().name("plugin-engine".into()).spawn_scoped(scope, make)?;
        thread.join().unwrap_or_else(|_| Err(wasmtime::Error::msg("making it broke")))
    })
}

/// For this thread alone. Where that is forbidden, all there is to it is more memory.
fn stay_on_one_processor() {
    let Ok(allowed) = sched_getaffinity(None) else { return };
    let Some(first) = (0..CpuSet::MAX_CPU).find(|&processor| allowed.is_set(processor)) else { return };
    let mut one = CpuSet::new();
    one.set(first);
    sched_setaffinity(None, &one).ok();
}

#[cfg(test)]
mod tests {
    use wasmtime::{Instance, InstanceAllocationStrategy, Module, Store};

    use super::*;
    use crate::compiler::settings;

    /// A module with a memory of one page.
    const MEMORY_OF_ONE_PAGE: &[u8] = b"\0asm\x01\0\0\0\x05\x03\x01\0\x01";

    #[test]
    fn what_one_thread_used_another_one_uses_again() {
        let mut config = settings();
        config.allocation_strategy(InstanceAllocationStrategy::Pooling(of(200)));
        let engine = engine(&config).unwrap();
        let module = Module::new(&engine, MEMORY_OF_ONE_PAGE).unwrap();
        let at_once = || {
            let mut store = Store::new(&engine, ());
            for _ in 0..100 {
                Instance::new(&mut store, &module, &[]).unwrap();
            }
        };
        for _ in 0..4 {
            thread::scope(|scope| scope.spawn(at_once).join().unwrap());
        }
        let used = engine.pooling_allocator_metrics().unwrap().unused_warm_memories();
        assert_eq!(used, 100, "by one thread after another");
    }
}
