//! What a real Consul's checks say that have not run, or that a watch has only some of.

mod support;

use serde_json::json;
use support::consul::ConsulAgent;
use support::home::{Delivery, Home};

fn config(home: &Home, consul: &ConsulAgent, watches: &str) -> String {
    format!(
        "agent.initial_grace = '2s'
        consul.address = '{}'
        rules = [{{ name = 'all', receivers = ['file'], on = [
            'check.status', 'check.registered', 'check.deregistered', 'node.failed', 'source.suspect',
        ] }}]
        [receivers.file]\nplugin = 'file'\nconfig = {{ path = '{}' }}
        {watches}",
        consul.address(),
        home.path("log").display(),
    )
}

/// `check.status passing>critical`, for each delivery.
fn shown(told: &[Delivery]) -> Vec<String> {
    told.iter().map(|one| format!("{} {}>{}", one.kind, one.word("from"), one.word("to"))).collect()
}

#[tokio::test]
async fn a_check_that_does_not_run_counts_once_its_grace_is_over() {
    let (consul, home) = (ConsulAgent::start().await, Home::warm());
    let mut lictor = home.follow(&config(&home, &consul, "")).await;
    let ttl = json!({ "CheckID": "beat", "Name": "beat", "TTL": "1h" });
    consul.put("/v1/agent/service/register", json!({ "Name": "web", "Check": ttl }).to_string()).await;
    let told = home.settled(&mut lictor, 2).await;
    assert_eq!(shown(&told), ["check.registered >critical", "check.status >critical"]);
    assert!(told.iter().all(|one| one.data["initial"] == true), "it never ran: {told:?}");
    consul.ttl("beat", "pass", "here I am").await;
    let told = home.settled(&mut lictor, 3).await;
    assert_eq!(
        (&shown(&told)[2][..], &told[2].data["initial"]),
        ("check.status critical>passing", &json!(false))
    );
    assert_eq!(lictor.terminate().await, 0);
}

#[tokio::test]
async fn of_a_watch_of_one_state_a_check_comes_and_goes_and_stays_registered() {
    let consul = ConsulAgent::start().await;
    consul.register_ttl_check("web", "web").await;
    for watch in ["state = 'critical'", "scope = 'datacenter'\nfilter = 'Status == \"critical\"'"] {
        let home = Home::warm();
        let watch = format!("[[watch]]\ntype = 'checks'\n{watch}");
        let mut lictor = home.follow(&config(&home, &consul, &watch)).await;
        consul.ttl("web", "fail", "by hand").await;
        home.settled(&mut lictor, 1).await;
        consul.ttl("web", "pass", "by hand").await;
        let told = home.settled(&mut lictor, 2).await;
        assert_eq!(shown(&told), ["check.status >critical", "check.status critical>"]);
        assert_eq!(lictor.terminate().await, 0);
    }
}

#[tokio::test]
async fn a_history_that_begins_anew_is_a_doubt_that_is_told_once() {
    let (mut consul, home) = (ConsulAgent::start().await, Home::warm());
    consul.register_ttl_check("web", "web").await;
    for state in ["fail", "pass"] {
        consul.ttl("web", state, "so that the index is high").await;
    }
    let mut lictor = home.follow(&config(&home, &consul, "")).await;
    consul.restart().await;
    consul.register_ttl_check("web", "web").await;
    lictor.told("Consul is followed again.", 1).await;
    consul.ttl("web", "fail", "by hand").await;
    let failed = async || {
        let told = home.deliveries();
        told.iter().any(|one| one.kind == "check.status" && one.word("to") == "critical").then_some(told)
    };
    let told = lictor.until("tell that the check fails", failed).await;
    let doubts: Vec<_> = told.iter().filter(|one| one.kind == "source.suspect").collect();
    assert_eq!(doubts.len(), 1, "{told:?}");
    assert!(doubts[0].word("reason").starts_with("Consul's index went back from"), "{}", doubts[0].data);
    assert_eq!(lictor.terminate().await, 0);
}
