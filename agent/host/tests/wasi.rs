//! What a guest finds of the machine that it runs on: nothing that the delivery does not say.

#![expect(clippy::expect_used, reason = "a test that cannot look has to fail")]

mod common;

use common::{call, guest, host, misbehave, patient};
use lictor_capability::Grants;
use lictor_host::Plugin;

/// What a call with this delivery finds, and what it draws.
async fn look(plugin: &Plugin, delivery: &str) -> (String, String) {
    let mut call = call(r#"{"do":"look"}"#, patient(), Grants::default());
    call.delivery.id = delivery.into();
    let receipt = plugin.handle(call).await.result.expect("it only looks");
    let (found, drawn) = receipt.split_once(", random ").expect("it draws last");
    (found.to_owned(), drawn.to_owned())
}

#[tokio::test]
async fn a_guest_finds_nothing_of_the_machine() {
    let (found, _) = look(misbehave(), "d1").await;
    let nothing = "variables 0, arguments 0, folder false, root false, host name false, file false, input Some(0), \
                   tcp permission denied, udp permission denied, name false, clocks 0 0";
    assert_eq!(found, nothing);
}

#[tokio::test]
async fn a_guest_draws_what_the_delivery_says_on_whatever_node() {
    let another = host().load(guest::guest()).expect("the guest loads");
    let drawn = async |plugin, delivery| look(plugin, delivery).await.1;
    let first = drawn(misbehave(), "d1").await;
    assert_eq!(drawn(misbehave(), "d1").await, first, "another attempt");
    assert_eq!(drawn(&another, "d1").await, first, "another node");
    assert_ne!(drawn(misbehave(), "d2").await, first);
}
