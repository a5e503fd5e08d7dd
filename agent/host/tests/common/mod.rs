//! A host, the guest that misbehaves, and one way to call it, for all tests of this crate.

#![allow(dead_code, reason = "each test uses a part")]
#![expect(clippy::expect_used, reason = "a test that cannot be set up has to fail")]

#[path = "../../../tests/support/guest.rs"]
pub(crate) mod guest;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use lictor_capability::{Capabilities, ExecGrant, Grants, HttpClients, OutputLimits};
use lictor_host::{Call, Delivery, Event, Host, HostSettings, Limits, Plugin, Report};

/// Limits that no test meets by chance, however slow the machine.
pub(crate) fn patient() -> Limits {
    Limits { timeout: Duration::from_mins(2), cpu: Duration::from_mins(1), ..Limits::default() }
}

/// One host with two threads for guests, as a small machine has.
pub(crate) fn host() -> &'static Host {
    static HOST: OnceLock<Host> = OnceLock::new();
    HOST.get_or_init(|| {
        Host::new(HostSettings { cache_dir: Some(guest::compiled()), workers: 2, instances: 100 })
            .expect("an engine")
    })
}

/// The guest that does what its configuration's `do` says.
pub(crate) fn misbehave() -> &'static Plugin {
    static PLUGIN: OnceLock<Plugin> = OnceLock::new();
    PLUGIN.get_or_init(|| host().load(guest::guest()).expect("the guest loads"))
}

/// A call of `misbehave` with a configuration, as JSON.
pub(crate) fn call(config: &str, limits: Limits, grants: Grants) -> Call {
    let outputs = OutputLimits { exec_output: 4096, http_response: 4096 };
    let capabilities =
        Arc::new(Capabilities::new(grants, outputs, &mut HttpClients::default()).expect("grants"));
    Call { delivery: delivery("misbehave"), config: config.into(), capabilities, limits }
}

/// Calls `misbehave` without grants.
pub(crate) async fn run(config: &str, limits: Limits) -> Report {
    misbehave().handle(call(config, limits, Grants::default())).await
}

/// One event for this receiver.
pub(crate) fn delivery(receiver: &str) -> Delivery {
    let event = Event {
        id: "e1".into(),
        source: "consul://dc1".into(),
        kind: "lictor.check.status".into(),
        subject: "web1/service:web".into(),
        time: "2026-01-01T00:00:00Z".into(),
        data: r#"{"service":"web","to":"critical"}"#.into(),
    };
    Delivery {
        id: "d1".into(),
        attempt: 1,
        rule: "web-down".into(),
        receiver: receiver.into(),
        environment: "test".into(),
        node: "web1".into(),
        events: vec![event],
    }
}

/// A grant to run exactly this.
pub(crate) fn may_run(command: &[&str]) -> Grants {
    let command = command.iter().map(ToString::to_string).collect();
    let grant = ExecGrant::parse(command, None, Vec::new()).expect("a command");
    Grants { exec: vec![grant], ..Grants::default() }
}
