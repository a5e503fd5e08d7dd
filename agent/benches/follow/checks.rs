//! Checks as a cluster has them: a hundred on each node, about 460 bytes each in Consul's JSON.

use lictor::catalog::{Check, CheckStatus};
use serde_json::{Value, json};

/// Checks of one node.
pub(crate) const ON_A_NODE: usize = 100;

/// The check of that number.
pub(crate) fn check(number: usize) -> Check {
    let (node, port) = (number / ON_A_NODE, number % ON_A_NODE);
    Check {
        node: format!("app{node:04}"),
        check_id: format!("api-{port:02}"),
        name: format!("HTTP on port {}", 8000 + port),
        kind: "http".into(),
        status: CheckStatus::Passing,
        notes: String::new(),
        output: format!("HTTP GET http://127.0.0.1:{}/health: 200 OK Output: {{\"up\":true}}", 8000 + port),
        service_id: "api".into(),
        service: "api".into(),
        service_tags: vec!["prod".into(), "v2".into()],
        create_index: 100 + number as u64,
        modify_index: 100 + number as u64,
    }
}

/// A check in the words of `/v1/health/…`.
pub(crate) fn as_consul_tells(check: &Check) -> Value {
    json!({
        "Node": check.node, "CheckID": check.check_id, "Name": check.name, "Status": check.status,
        "Notes": check.notes, "Output": check.output, "ServiceID": check.service_id,
        "ServiceName": check.service, "ServiceTags": check.service_tags, "Type": check.kind,
        "Definition": {}, "CreateIndex": check.create_index, "ModifyIndex": check.modify_index,
    })
}

/// The whole node of that number, as `/v1/catalog/register` takes it.
pub(crate) fn registration(node: usize) -> Value {
    let checks: Vec<_> = (0..ON_A_NODE).map(|port| check(node * ON_A_NODE + port)).collect();
    let first = &checks[0];
    let told = |check: &Check| {
        json!({
            "Node": check.node, "CheckID": check.check_id, "Name": check.name, "Status": check.status,
            "Output": check.output, "ServiceID": check.service_id, "Type": check.kind,
        })
    };
    json!({
        "Node": first.node, "Address": format!("10.0.{}.{}", node / 250, node % 250 + 1),
        "Service": { "ID": first.service_id, "Service": first.service, "Tags": first.service_tags },
        "Checks": checks.iter().map(told).collect::<Vec<_>>(),
    })
}
