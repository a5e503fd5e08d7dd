//! Rules that remember, with a real Consul: what waits for its time, what is sent as one, what is hidden, and that
//! neither an end nor a kill changes anything of it.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by a panic")]

mod support;

use std::time::Duration;

use serde_json::json;
use support::consul::ConsulAgent;
use support::home::{Delivery, Home};
use support::lictor::Lictor;
use tokio::time::sleep;

/// Long enough for what should not come to come.
const A_MOMENT: Duration = Duration::from_millis(1500);

/// One rule for results that do not pass, and what else it has.
fn config(home: &Home, consul: &ConsulAgent, more: &str) -> String {
    format!(
        "consul.address = '{}'
        [receivers.file]\nplugin = 'file'\nconfig = {{ path = '{}' }}
        [[rules]]\nname = 'failing'\non = ['check.status']\nreceivers = ['file']
        match = {{ to = ['warning', 'critical'] }}\n{more}",
        consul.address(),
        home.path("log").display(),
    )
}

/// `web critical delivered`, or how it was withheld.
fn shown(told: &[Delivery]) -> Vec<String> {
    let outcome = |one: &Delivery| format!("{} {} {}", one.word("check_id"), one.word("to"), one.outcome);
    told.iter().map(outcome).collect()
}

async fn until(home: &Home, lictor: &mut Lictor, want: &[&str]) -> Vec<Delivery> {
    let what = format!("make of it {want:?}");
    lictor.until(&what, async || Some(home.deliveries()).filter(|told| shown(told) == want)).await
}

/// The ids of the events in the log, line by line.
fn logged(home: &Home) -> Vec<String> {
    let id = |line: String| {
        serde_json::from_str::<serde_json::Value>(&line).unwrap()["data"]["check_id"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    home.lines("log").into_iter().map(id).collect()
}

async fn consul_with(checks: &[&str]) -> ConsulAgent {
    let consul = ConsulAgent::start().await;
    for check in checks {
        consul.register_ttl_check(check, check).await;
    }
    consul
}

#[tokio::test]
async fn what_is_over_soon_is_not_sent_and_what_goes_on_is() {
    let (consul, home) = (consul_with(&["db", "web"]).await, Home::warm());
    let mut lictor = home.follow(&config(&home, &consul, "for = '2s'")).await;
    consul.ttl("db", "fail", "down").await;
    consul.ttl("web", "fail", "down").await;
    sleep(Duration::from_millis(500)).await;
    consul.ttl("db", "pass", "up").await;
    let told = until(&home, &mut lictor, &["db critical held", "web critical delivered"]).await;
    assert!(told[0].detail.contains("it had to be so for 2s"), "{}", told[0].detail);
    let explained = home.run(&["explain", "-c", "lictor.toml", &told_event(&home, &told[0].id)]);
    let explained = String::from_utf8(explained.stdout).unwrap();
    assert!(explained.contains("held: it had to be so for 2s"), "{explained}");
    assert_eq!(lictor.terminate().await, 0);
}

/// The id of the event of a delivery.
fn told_event(home: &Home, delivery: &str) -> String {
    let shown = home.run(&["deliveries", "show", "-c", "lictor.toml", delivery, "--json"]);
    serde_json::from_slice::<serde_json::Value>(&shown.stdout).unwrap()["event"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_kill_loses_no_timer_and_a_recovery_meanwhile_counts() {
    let (consul, home) = (consul_with(&["db", "web"]).await, Home::warm());
    let config = config(&home, &consul, "for = '3s'");
    let mut lictor = home.follow(&config).await;
    consul.ttl("db", "fail", "down").await;
    consul.ttl("web", "fail", "down").await;
    lictor.until("hold both", async || (remembered(&home) == 2).then_some(())).await;
    lictor.kill();

    consul.ttl("db", "pass", "up").await;
    sleep(Duration::from_secs(4)).await;
    assert_eq!(shown(&home.deliveries()), Vec::<String>::new());
    let mut lictor = home.start(&config);
    until(&home, &mut lictor, &["db critical held", "web critical delivered"]).await;
    assert_eq!(lictor.terminate().await, 0);
}

/// How much the rules remember.
fn remembered(home: &Home) -> usize {
    home.query("SELECT 1 FROM rule_state WHERE key LIKE 'alert %'", |_| Ok(())).len()
}

#[tokio::test]
async fn many_checks_that_fail_are_one_delivery() {
    let checks = ["c1", "c2", "c3", "c4", "c5"];
    let (consul, home) = (consul_with(&checks).await, Home::warm());
    let more = "group_by = ['node']\ngroup_wait = '2s'\ngroup_interval = '3s'\nsend_resolved = true";
    let config = config(&home, &consul, more);
    let mut lictor = home.follow(&config).await;
    for check in checks {
        consul.ttl(check, "fail", "down").await;
    }
    // A kill while the group waits begins nothing anew.
    lictor.until("hear of all", async || (remembered(&home) == 5).then_some(())).await;
    lictor.kill();
    let mut lictor = home.start(&config);
    home.wait_for_lines("log", 5).await;
    assert_eq!(logged(&home), checks);
    let told = until(&home, &mut lictor, &["c1 critical delivered"]).await;
    assert!(told[0].subject.starts_with("{node="), "{}", told[0].subject);
    assert_eq!(told[0].attempts, 1);
    // One answer may tell both, and then their names say which one comes first.
    consul.ttl("c2", "pass", "up").await;
    consul.ttl("c4", "pass", "up").await;
    until(&home, &mut lictor, &["c1 critical delivered", "c2 passing delivered"]).await;
    assert_eq!(logged(&home)[5..], ["c2", "c4"]);
    assert_eq!(lictor.terminate().await, 0);
}

#[tokio::test]
async fn what_goes_on_is_told_again_until_it_is_over_also_after_a_restart() {
    let (consul, home) = (consul_with(&["web"]).await, Home::warm());
    let config = config(&home, &consul, "repeat_interval = '2s'");
    let mut lictor = home.follow(&config).await;
    consul.ttl("web", "fail", "down").await;
    home.wait_for_lines("log", 2).await;
    assert_eq!(lictor.terminate().await, 0);
    let so_far = home.lines("log").len();
    let mut lictor = home.start(&config);
    home.wait_for_lines("log", so_far + 1).await;
    consul.ttl("web", "pass", "up").await;
    lictor.until("see the end", async || (remembered(&home) == 0).then_some(())).await;
    let so_far = home.lines("log").len();
    sleep(Duration::from_secs(3)).await;
    assert_eq!(home.lines("log").len(), so_far);
    assert_eq!(lictor.terminate().await, 0);
}

#[tokio::test]
async fn a_silence_hides_what_fits_until_it_is_taken_away() {
    let (consul, home) = (consul_with(&["db", "web"]).await, Home::warm());
    let config = config(&home, &consul, "");
    let mut lictor = home.follow(&config).await;
    let silence = |arguments: &[&str]| {
        let done = home.run(&[&["silence"], arguments, &["-c", "lictor.toml"]].concat());
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8(done.stdout).unwrap()
    };
    let add =
        ["add", "--match", "check_id=web", "--for", "1h", "--comment", "an upgrade", "--created-by", "ann"];
    let id = silence(&[&add[..], &["--quiet"]].concat());
    consul.ttl("web", "fail", "down").await;
    consul.ttl("db", "fail", "down").await;
    until(&home, &mut lictor, &["db critical delivered"]).await;
    sleep(A_MOMENT).await;
    assert_eq!(logged(&home), ["db"]);
    assert!(silence(&["list"]).contains("check_id=web"));
    let event =
        home.query("SELECT json_extract(state, '$.event.id') FROM rule_state", |row| row.get::<_, String>(0));
    let explained = String::from_utf8(home.run(&["explain", "-c", "lictor.toml", &event[0]]).stdout).unwrap();
    assert!(
        explained.contains(&format!(
            "failing: waits, silenced: the silence {} of ann hides it: an upgrade",
            id.trim()
        )),
        "{explained}"
    );
    assert_eq!(lictor.terminate().await, 0);
    let mut lictor = home.start(&config);
    lictor.told("Lictor runs.", 1).await;
    sleep(A_MOMENT).await;
    assert_eq!(logged(&home), ["db"], "it holds over a restart");
    silence(&["expire", id.trim()]);
    until(&home, &mut lictor, &["db critical delivered", "web critical delivered"]).await;
    assert!(!silence(&["list"]).contains("check_id=web"));
    let add = ["add", "--match", "check_id=web", "--for", "1h", "--expire-on-resolve"];
    silence(&add);
    consul.ttl("web", "pass", "up").await;
    lictor
        .until("end the silence", async || (!silence(&["list"]).contains("check_id=web")).then_some(()))
        .await;
    assert_eq!(lictor.terminate().await, 0);
}

#[tokio::test]
async fn maintenance_hides_what_it_covers() {
    let (consul, home) = (consul_with(&["web"]).await, Home::warm());
    consul.register_ttl_check("db", "db").await;
    let mut lictor = home.follow(&config(&home, &consul, "")).await;
    consul.put("/v1/agent/service/maintenance/web?enable=true&reason=upgrade", "").await;
    lictor.until("see it", async || home.lines("log").is_empty().then_some(())).await;
    sleep(Duration::from_millis(500)).await;
    consul.ttl("web", "fail", "down").await;
    consul.ttl("db", "fail", "down").await;
    until(&home, &mut lictor, &["db critical delivered"]).await;
    sleep(A_MOMENT).await;
    assert_eq!(logged(&home), ["db"]);
    consul.put("/v1/agent/service/maintenance/web?enable=false", "").await;
    until(&home, &mut lictor, &["db critical delivered", "web critical delivered"]).await;
    assert_eq!(lictor.terminate().await, 0);
}

/// A node that has no agent of its own, as Consul ESM registers them: its `serfHealth`, and the check of its service `web`.
async fn external(consul: &ConsulAgent, serf: &str, web: &str) {
    let check = |id: &str, status: &str, service: &str| json!({ "CheckID": id, "Name": id, "Status": status, "ServiceID": service, "Output": status });
    let node = json!({
        "Node": "ext1", "Address": "192.0.2.1",
        "Service": { "ID": "web", "Service": "web" },
        "Checks": [check("serfHealth", serf, ""), check("service:web", web, "web")],
    });
    consul.put("/v1/catalog/register", node.to_string()).await;
}

#[tokio::test]
async fn a_dead_node_hides_what_its_services_checks_say() {
    let (consul, home) = (consul_with(&["db"]).await, Home::warm());
    external(&consul, "passing", "passing").await;
    let config = config(&home, &consul, "") + "\n[[watch]]\ntype = 'checks'\nscope = 'datacenter'";
    let mut lictor = home.follow(&config).await;
    external(&consul, "critical", "passing").await;
    until(&home, &mut lictor, &["serfHealth critical delivered"]).await;
    external(&consul, "critical", "critical").await;
    consul.ttl("db", "fail", "down").await;
    let hidden = ["serfHealth critical delivered", "db critical delivered"];
    until(&home, &mut lictor, &hidden).await;
    // It is known after a restart, too, without an event that tells it.
    assert_eq!(lictor.terminate().await, 0);
    let mut lictor = home.start(&config);
    lictor.told("Lictor runs.", 1).await;
    sleep(A_MOMENT).await;
    assert_eq!(shown(&home.deliveries()), hidden);
    external(&consul, "passing", "critical").await;
    until(&home, &mut lictor, &[&hidden[..], &["service:web critical delivered"]].concat()).await;
    assert_eq!(lictor.terminate().await, 0);
}
