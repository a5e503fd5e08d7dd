//! The handlers of an agent's `watches`, taken over: they run unchanged.

mod support;

use serde_json::{Value, json};
use support::consul::ConsulAgent;
use support::home::Home;
use support::inbox::Inbox;

#[tokio::test]
async fn handlers_get_what_consul_gave_them_when_something_changed_and_not_before() {
    let consul = ConsulAgent::start().await;
    consul.register_ttl_check("web", "web").await;
    consul.put("/v1/kv/app/color", "blue").await;
    let (home, mut inbox) = (Home::warm(), Inbox::start().await);
    let out = home.path("out");
    // As it is in the wild: it reads all, and knows nothing of Lictor.
    let script = home.script(
        "handler",
        &format!("list=$(cat)\nprintf '%s %s\\n' \"$CONSUL_INDEX\" \"$(printf %s \"$list\" | tr -d '\\n')\" >> {}\n", out.display()),
    );
    home.write(
        "consul.hcl",
        format!(
            "watches = [
              {{ type = \"checks\", service = \"web\", args = [\"{script}\"] }},
              {{ type = \"key\", key = \"app/color\", handler_type = \"http\"
                 http_handler_config = {{ path = \"{}\", method = \"PUT\" }} }},
            ]",
            inbox.url
        ),
    );
    let migrated = home.run(&["migrate", "watches", "consul.hcl"]);
    assert!(migrated.status.success(), "{}", String::from_utf8_lossy(&migrated.stderr));
    let config =
        format!("consul.address = '{}'\n{}", consul.address(), String::from_utf8(migrated.stdout).unwrap());
    let mut lictor = home.follow(&config).await;

    consul.ttl("web", "fail", "by hand").await;
    let line = home.wait_for_lines("out", 1).await.remove(0);
    let (index, list) = line.split_once(' ').unwrap();
    assert!(index.parse::<u64>().unwrap() > 1, "{line}");
    assert_eq!(serde_json::from_str::<Value>(list).unwrap(), consul.get("/v1/health/checks/web").await);

    consul.put("/v1/kv/app/color", "green").await;
    let sent = inbox.next().await;
    let body = sent.json();
    assert_eq!((sent.header("content-type"), &body["Value"]), ("application/json", &json!("Z3JlZW4=")));
    assert_eq!(body["ModifyIndex"].to_string(), sent.header("x-consul-index"));
    consul.delete("/v1/kv/app/color").await;
    assert_eq!(inbox.next().await.json(), Value::Null, "as Consul gives a key that is gone");

    // Nothing at a restart, nor of what did not change.
    assert_eq!(lictor.terminate().await, 0);
    let mut lictor = home.start(&config);
    lictor.told("Lictor runs.", 1).await;
    consul.ttl("web", "pass", "by hand").await;
    let lines = home.wait_for_lines("out", 2).await;
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(inbox.rest().is_empty());
    assert_eq!(lictor.terminate().await, 0);
}

#[tokio::test]
async fn a_handler_of_a_service_runs_once_for_what_happens_once() {
    let consul = ConsulAgent::start().await;
    consul.register_ttl_check("web", "web").await;
    let home = Home::warm();
    let script = home.script("handler", "printf '%s\\n' \"$CONSUL_INDEX\" >>\"$home/out\"");
    // As Consul takes it, and no other reader of HCL does.
    home.write(
        "consul.hcl",
        format!(
            "\"watches\" = [{{ type = \"service\" service = \"web\" args = [\"{script}\", \"%{{x}}\"] }}]"
        ),
    );
    let migrated = home.run(&["migrate", "watches", "consul.hcl"]);
    let text = String::from_utf8(migrated.stdout).unwrap();
    let mut lictor = home.follow(&format!("consul.address = '{}'\n{text}", consul.address())).await;
    for (count, state) in (1..).zip(["fail", "warn", "fail", "pass"]) {
        consul.ttl("web", state, "by hand").await;
        home.wait_for_lines("out", count).await;
    }
    consul.put("/v1/agent/service/deregister/web", "").await;
    home.wait_for_lines("out", 5).await;
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    assert_eq!(home.lines("out").len(), 5, "{:?}", home.deliveries());
    assert_eq!(lictor.terminate().await, 0);
}

#[test]
fn what_cannot_be_taken_over_is_told_with_its_place() {
    let home = Home::new();
    home.write("consul.json", r#"{ "watches": [{ "type": "nodes" }] }"#);
    let refused = home.run(&["migrate", "watches", "consul.json"]);
    assert_eq!(refused.status.code(), Some(78));
    let told = String::from_utf8(refused.stderr).unwrap();
    assert_eq!(
        told,
        "lictor: failed to take over watch 1 of consul.json: it has neither `args` nor `handler`\n"
    );
    assert_eq!(home.run(&["migrate", "watches", "none.json"]).status.code(), Some(69));
}
