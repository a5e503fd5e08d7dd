//! Files that are no plugins, or not for this Lictor, and what is said about them.

mod common;

use common::guest::{guest, patched};
use common::{host, misbehave, patient};
use lictor_capability::Request;
use lictor_host::{LoadError, RequestsError};

#[track_caller]
fn check(wasm: &[u8], want: &str) {
    let Err(error) = host().load(wasm) else { panic!("it was loaded") };
    let text = error.to_string();
    assert!(text.contains(want), "{text}");
}

#[test]
fn a_file_that_is_no_component_is_refused() {
    check(b"", "damaged, cut off or something else");
    check(b"#!/bin/sh\necho no\n", "damaged, cut off or something else");
    let whole = guest();
    check(&whole[..whole.len() - 1], "damaged, cut off or something else");
}

#[test]
fn a_component_for_another_lictor_is_refused_with_both_versions() {
    let newer = patched("lictor:plugin/exec@0.1.0", "lictor:plugin/exec@0.2.0");
    check(&newer, "built for contract 0.2 (lictor:plugin): this Lictor knows 0.1");
}

#[test]
fn an_import_that_no_plugin_can_have_is_named() {
    check(&patched("wasi:cli/stderr@", "wasi:cpu/stderr@"), "no wasi:cpu/stderr@");
}

#[test]
fn a_function_that_only_a_newer_contract_has_is_named_before_anything_is_compiled() {
    let newer = patched("run", "rum");
    check(&newer, "has no lictor:plugin/exec@0.1.0#rum; run it in a newer Lictor");
}

#[test]
fn a_component_with_other_types_is_refused_before_it_is_called() {
    // A field of the delivery: exports are only checked against an instance.
    let Err(error) = host().load(&patched("attempt", "attemqt")) else { panic!("it was loaded") };
    assert!(matches!(&error, LoadError::Trial(text) if text.contains("attemqt")), "{error}");
}

#[tokio::test]
async fn a_plugin_says_what_it_is_and_what_it_needs() {
    let plugin = misbehave();
    assert_eq!(plugin.digest().len(), 64);
    assert!(plugin.imports().contains(&"exec") && plugin.imports().contains(&"log"));
    let description = plugin.describe(&patient()).await.unwrap();
    assert_eq!(description.name, "misbehave");

    let config = r#"{"do":"exec","command":["/bin/true","x"],"request":true}"#;
    let requests = plugin.requests(config, &patient()).await.unwrap();
    let [Request::Exec { command, .. }] = &requests[..] else { panic!("{requests:?}") };
    assert_eq!(command, &["/bin/true", "x"]);
    let refused = plugin.requests("{}", &patient()).await.unwrap_err();
    assert!(matches!(&refused, RequestsError::Config(text) if text.contains("do")), "{refused}");
}
