//! Feeds any bytes to all that reads Consul's answers: `make fuzz`.
//!
//! Boundary: the fuzzer chooses the bytes, beginning with those of `agent/tests/answers`; a panic, a hang and too
//! much memory are failures.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|body: &[u8]| lictor::consul::read_as_each_kind(body));
