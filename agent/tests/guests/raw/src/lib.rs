//! Does what the bindings of no language let a plugin do: its exports are written by hand, below them.
//!
//! With an empty configuration it answers with a result that is neither `ok` nor an error. With any other one it grows
//! its table until it gets no more.

use lictor_sdk::bindings;

lictor_sdk::bindings::__export_handler!(Raw with_types_in crate::own);

/// Stands where the generated exports would: there are none, only the contract's types are taken over.
mod own {
    pub(crate) mod exports {
        pub(crate) mod lictor {
            pub(crate) mod plugin {
                pub(crate) mod handler {
                    macro_rules! none {
                        ($($anything:tt)*) => {};
                    }
                    pub(crate) use none as __export_lictor_plugin_handler_0_1_0_cabi;
                }
            }
        }
    }
}

/// Room for an answer: four texts at most.
type Answer = [u8; 32];

/// Texts without anything, or an empty list.
static EMPTY: Answer = [0; 32];

/// Of a result with two cases this is the 256th.
static GARBAGE: Answer = [0xff; 32];

/// Elements in one go. The test makes a table of the memory, which no language can name.
const MEMORY: usize = 0x0f00_0fff;

/// What this plugin is: nothing.
#[unsafe(export_name = "lictor:plugin/handler@0.1.0#describe")]
extern "C" fn describe() -> *const Answer {
    bindings::__link_custom_section_describing_imports();
    &raw const EMPTY
}

/// Needs nothing.
#[unsafe(export_name = "lictor:plugin/handler@0.1.0#requests")]
extern "C" fn requests(_config: usize, _length: usize) -> *const Answer {
    &raw const EMPTY
}

/// Makes no delivery.
#[unsafe(export_name = "lictor:plugin/handler@0.1.0#handle")]
extern "C" fn handle(
    _id: usize,
    _id_length: usize,
    _attempt: u32,
    _rule: usize,
    _rule_length: usize,
    _receiver: usize,
    _receiver_length: usize,
    _environment: usize,
    _environment_length: usize,
    _node: usize,
    _node_length: usize,
    _events: usize,
    _events_length: usize,
    _config: usize,
    config_length: usize,
) -> *const Answer {
    if config_length > 2 {
        while core::arch::wasm32::memory_grow::<0>(MEMORY) != usize::MAX {}
        core::arch::wasm32::unreachable();
    }
    &raw const GARBAGE
}
