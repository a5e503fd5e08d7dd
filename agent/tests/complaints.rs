//! What users of Consul's watches complain about most, one test for each complaint: Lictor does otherwise.

mod support;

use std::fs;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};
use support::cluster::{Agent, agents};
use support::consul::ConsulAgent;
use support::fake_consul::FakeConsul;
use support::home::{Delivery, Home};
use support::lictor::Lictor;
use tokio::time::sleep;

/// Long enough for what should not come to come.
const A_MOMENT: Duration = Duration::from_millis(1500);

/// One rule for these types of event, whose deliveries are looked at in the store.
fn config(home: &Home, address: &str, on: &[&str], more: &str) -> String {
    format!(
        "consul.address = '{address}'
        [receivers.file]\nplugin = 'file'\nconfig = {{ path = '{}' }}
        [[rules]]\nname = 'all'\non = {on:?}\nreceivers = ['file']\n{more}",
        home.path("log").display(),
    )
}

/// `check.status passing>critical`, for each delivery.
fn shown(told: &[Delivery]) -> Vec<String> {
    told.iter().map(|one| format!("{} {}>{}", one.kind, one.word("from"), one.word("to"))).collect()
}

/// Moves the check, waits until that is delivered, and gives back all that was delivered so far.
async fn flip(
    (consul, home): (&ConsulAgent, &Home),
    lictor: &mut Lictor,
    (state, count): (&str, usize),
) -> Vec<Delivery> {
    consul.ttl("web", state, &format!("{state} {count}")).await;
    let told = home.settled(lictor, count).await;
    assert_eq!(told.len(), count, "{:?}", shown(&told));
    told
}

/// What Lictor needs to follow checks.
const POLICY: &str = r#"agent_prefix "" { policy = "read" } node_prefix "" { policy = "read" }
    service_prefix "" { policy = "read" }"#;

/// Registers the service `web` with a passing check.
async fn register(agent: &Agent) {
    let ttl = json!({ "CheckID": "web", "TTL": "1h", "Status": "passing" });
    agent.put("/v1/agent/service/register", &json!({ "Name": "web", "Check": ttl })).await;
}

#[tokio::test]
async fn complaint_1_it_fires_at_the_start_and_on_a_reload() {
    let ([mut agent, ..], home) = (agents(), Home::warm());
    agent.start().await;
    register(&agent).await;
    agent.put("/v1/agent/check/fail/web?note=down", &Value::Null).await;
    let token = format!("consul.token = '{}'\n", agent.token(POLICY).await);
    let config = token + &config(&home, &agent.address(), &["check.status"], "");
    let mut lictor = home.follow(&config).await;
    agent.put("/v1/agent/reload", &Value::Null).await;
    lictor.send(Signal::HUP);
    lictor.told("Lictor runs with the configuration as it is now.", 1).await;
    assert_eq!(lictor.terminate().await, 0);
    let mut lictor = home.start(&config);
    lictor.told("Lictor runs.", 1).await;
    sleep(A_MOMENT).await;
    // The first thing that is told is the first that happens.
    agent.put("/v1/agent/check/pass/web", &Value::Null).await;
    let told = home.settled(&mut lictor, 1).await;
    assert_eq!(shown(&told), ["check.status critical>passing"]);
    assert_eq!(lictor.terminate().await, 0);
}

#[tokio::test]
async fn complaint_2_the_whole_list_comes_and_not_what_changed() {
    let (consul, home) = (ConsulAgent::start().await, Home::warm());
    for name in ["api", "db", "web"] {
        consul.register_ttl_check(name, name).await;
    }
    let mut lictor = home.follow(&config(&home, &consul.address(), &["check.status"], "")).await;
    let told = flip((&consul, &home), &mut lictor, ("fail", 1)).await;
    let data = &told[0].data;
    assert_eq!(
        (&data["check_id"], &data["from"], &data["to"]),
        (&json!("web"), &json!("passing"), &json!("critical"))
    );
    assert_eq!((&data["node"], &data["output"]), (&json!(consul.node().await), &json!("fail 1")));
    assert!(data["since"].is_string(), "and since when it was otherwise: {data}");
    assert_eq!(lictor.terminate().await, 0);
}

#[tokio::test]
async fn complaint_3_nobody_can_say_only_when_it_goes_critical() {
    let (consul, home) = (ConsulAgent::start().await, Home::warm());
    consul.register_ttl_check("web", "web").await;
    let config = config(&home, &consul.address(), &["check.status"], "match = { to = 'critical' }");
    let mut lictor = home.follow(&config).await;
    flip((&consul, &home), &mut lictor, ("fail", 1)).await;
    for state in ["warn", "pass", "warn"] {
        consul.ttl("web", state, "by hand").await;
        sleep(Duration::from_millis(100)).await;
    }
    let told = flip((&consul, &home), &mut lictor, ("fail", 2)).await;
    assert_eq!(shown(&told), ["check.status passing>critical", "check.status warning>critical"]);
    assert_eq!(lictor.terminate().await, 0);
}

#[tokio::test]
async fn complaint_4_another_output_counts_as_a_change() {
    let (consul, home) = (ConsulAgent::start().await, Home::warm());
    consul.register_ttl_check("web", "web").await;
    let outputs = "[[rules]]\nname = 'outputs'\non = ['check.output']\nreceivers = ['file']";
    let mut lictor = home.follow(&config(&home, &consul.address(), &["check.status"], outputs)).await;
    for count in 1..=3 {
        let told = flip((&consul, &home), &mut lictor, ("pass", count)).await;
        assert_eq!(
            (told[count - 1].rule.as_str(), told[count - 1].kind.as_str()),
            ("outputs", "check.output")
        );
    }
    let told = flip((&consul, &home), &mut lictor, ("fail", 4)).await;
    assert_eq!(told[3].rule, "all", "only another status is one");
    assert_eq!(lictor.terminate().await, 0);
}

#[tokio::test]
async fn complaint_5_registering_again_looks_like_an_outage() {
    let (consul, home) = (ConsulAgent::start().await, Home::warm());
    let check = json!({ "CheckID": "web", "Name": "web", "TTL": "1h" });
    let service = json!({ "Name": "web", "Check": check }).to_string();
    consul.put("/v1/agent/service/register", &service[..]).await;
    consul.ttl("web", "pass", "fine").await;
    let mut lictor = home.follow(&config(&home, &consul.address(), &["check.status"], "")).await;
    for round in 0..3 {
        // As an orchestrator does: away and back, critical without a word, then a first result.
        consul.put("/v1/agent/service/deregister/web", "").await;
        consul.put("/v1/agent/service/register", &service[..]).await;
        sleep(Duration::from_millis(200)).await;
        consul.ttl("web", "pass", &format!("fine {round}")).await;
    }
    sleep(A_MOMENT).await;
    let told = home.deliveries();
    assert!(told.iter().all(|one| one.word("to") == "passing"), "no outage: {:?}", shown(&told));
    assert_eq!(lictor.terminate().await, 0);
}

#[tokio::test]
async fn complaint_6_every_node_with_the_watch_fires() {
    let [mut n1, mut n2, _] = agents();
    n1.start().await;
    n2.start().await;
    let token = n1.token(POLICY).await;
    let homes = [Home::warm(), Home::warm()];
    let mut lictors = Vec::new();
    for (agent, home) in [&n1, &n2].into_iter().zip(&homes) {
        register(agent).await;
        let token = format!("consul.token = '{token}'\n");
        lictors.push(home.follow(&(token + &config(home, &agent.address(), &["check.status"], ""))).await);
    }
    n1.put("/v1/agent/check/fail/web", &Value::Null).await;
    let told = homes[0].settled(&mut lictors[0], 1).await;
    assert_eq!(shown(&told), ["check.status passing>critical"]);
    sleep(A_MOMENT).await;
    assert_eq!(
        (homes[0].deliveries().len(), homes[1].deliveries().len()),
        (1, 0),
        "beside its own node alone"
    );
    for lictor in &mut lictors {
        assert_eq!(lictor.terminate().await, 0);
    }
}

#[tokio::test]
async fn complaint_7_changes_are_missed_or_come_late() {
    let (consul, home) = (ConsulAgent::start().await, Home::warm());
    consul.register_ttl_check("web", "web").await;
    let on = ["check.status", "maintenance.started", "maintenance.ended"];
    let mut lictor = home.follow(&config(&home, &consul.address(), &on, "")).await;
    // It goes on firing, each time for what just happened.
    for count in 1..=30 {
        let (state, want) = [("pass", "critical>passing"), ("fail", "passing>critical")][count % 2];
        let told = flip((&consul, &home), &mut lictor, (state, count)).await;
        assert_eq!(shown(&told).last().unwrap(), &format!("check.status {want}"));
    }
    // Its end is a removal in Consul, and an event here.
    for (enable, count) in [("true", 31), ("false", 32)] {
        consul.put(&format!("/v1/agent/service/maintenance/web?enable={enable}"), "").await;
        home.settled(&mut lictor, count).await;
    }
    let kinds: Vec<_> = home.deliveries().into_iter().skip(30).map(|one| one.kind).collect();
    assert_eq!(kinds, ["maintenance.started", "maintenance.ended"]);
    assert_eq!(lictor.terminate().await, 0);
}

#[tokio::test]
async fn complaint_8_user_events_come_again_and_in_any_order() {
    let (consul, home) = (ConsulAgent::start().await, Home::warm());
    let config = config(&home, &consul.address(), &["event.fired"], "[[watch]]\ntype = 'event'");
    let mut lictor = home.follow(&config).await;
    for (round, names) in [["a", "b"], ["c", "d"]].into_iter().enumerate() {
        for name in names {
            consul.put(&format!("/v1/event/fire/{name}"), "").await;
        }
        home.settled(&mut lictor, 2 * (round + 1)).await;
        // A restart sees the whole ring again, and so does each new event.
        assert_eq!(lictor.terminate().await, 0);
        lictor = home.start(&config);
        lictor.told("Lictor runs.", 1).await;
    }
    sleep(A_MOMENT).await;
    let names: Vec<_> = home.deliveries().into_iter().map(|one| one.subject).collect();
    assert_eq!(names, ["a", "b", "c", "d"]);
    assert_eq!(lictor.terminate().await, 0);
}

#[tokio::test]
async fn complaint_9_child_processes_leak_and_block_the_watch() {
    let (consul, home) = (ConsulAgent::start().await, Home::warm());
    for name in ["web", "db"] {
        consul.register_ttl_check(name, name).await;
    }
    // A handler whose child outlives it, for one of two checks.
    let script = home.script(
        "handler",
        r#"echo "begin $LICTOR_CHECK_ID" >>"$home/acts"
        [ "$LICTOR_CHECK_ID" = db ] && exit 0
        sleep 86399 & echo $! >"$home/child"
        wait"#,
    );
    let config = format!(
        "consul.address = '{}'
        rules = [{{ name = 'all', on = ['check.status'], receivers = ['handler'] }}]
        [receivers.handler]\nplugin = 'shell'\nconfig = {{ command = ['{script}'], timeout = '2s' }}
        retry = {{ attempts = 1 }}",
        consul.address()
    );
    let mut lictor = home.follow(&config).await;
    consul.ttl("web", "fail", "by hand").await;
    home.wait_for_lines("child", 1).await;
    consul.ttl("db", "fail", "by hand").await;
    assert_eq!(
        home.wait_for_lines("acts", 2).await,
        ["begin web", "begin db"],
        "one that hangs holds up nobody"
    );
    let told = home.settled(&mut lictor, 2).await;
    let fates: Vec<_> = told.iter().map(|one| (one.word("check_id"), &one.state[..])).collect();
    assert_eq!(fates, [("web", "dead"), ("db", "delivered")]);
    let child = home.lines("child").remove(0);
    let gone = async || {
        fs::read(format!("/proc/{child}/cmdline")).map_or(true, |line| line.is_empty()).then_some(())
    };
    assert!(support::eventually(gone).await.is_some(), "the child of the handler still runs");
    assert_eq!(lictor.terminate().await, 0);
}

#[tokio::test]
async fn complaint_10_there_is_no_flap_detection_and_no_history() {
    let (consul, home) = (ConsulAgent::start().await, Home::warm());
    consul.register_ttl_check("web", "web").await;
    // Once it flaps, only that is told, and its end.
    let quiet = "unless = { flapping = true }
        [[rules]]\nname = 'flapping'\non = ['flapping.started', 'flapping.stopped']\nreceivers = ['file']";
    let timing =
        "agent.flap_interval = '1s'\nagent.low_flap_threshold = 20\nagent.high_flap_threshold = 22\n"
            .to_owned();
    let config = config(&home, &consul.address(), &["check.status"], quiet);
    let config = timing + &config;
    let mut lictor = home.follow(&config).await;
    let mut flips = 0;
    let count = |kind: &str| home.deliveries().iter().filter(|one| one.kind == kind).count();
    while count("flapping.started") == 0 && flips < 40 {
        consul.ttl("web", ["fail", "pass"][flips % 2], "to and fro").await;
        flips += 1;
        sleep(Duration::from_millis(500)).await;
    }
    let told = count("check.status");
    for more in 0..4 {
        consul.ttl("web", ["fail", "pass"][(flips + more) % 2], "to and fro").await;
        sleep(Duration::from_millis(200)).await;
    }
    let stopped = async || (count("flapping.stopped") == 1).then_some(());
    lictor.until("tell that it flaps no more", stopped).await;
    assert_eq!(
        (count("flapping.started"), count("check.status")),
        (1, told),
        "{:?}",
        shown(&home.deliveries())
    );
    assert_eq!(lictor.terminate().await, 0);
    // Each change is in the history, also while Lictor does not run.
    let listed =
        home.run(&["events", "list", "--type", "check.status", "--service", "web", "--limit", "100"]);
    assert_eq!(String::from_utf8(listed.stdout).unwrap().lines().count(), flips + 4);
}

#[tokio::test]
async fn complaint_11_an_empty_answer_is_believed() {
    let (consul, home) = (FakeConsul::start().await, Home::warm());
    let on = ["check.status", "check.registered", "check.deregistered", "source.lost", "source.recovered"];
    let mut lictor = home.follow(&config(&home, consul.address(), &on, "")).await;
    // A follower that has just restarted: valid, and empty.
    consul.trouble(Some((200, "[]")));
    let told = home.settled(&mut lictor, 1).await;
    assert_eq!(told[0].kind, "source.lost");
    consul.trouble(None);
    let told = home.settled(&mut lictor, 2).await;
    assert_eq!(told[1].kind, "source.recovered");
    consul.set("critical");
    let told = home.settled(&mut lictor, 3).await;
    assert_eq!(shown(&told[2..]), ["check.status passing>critical"]);
    assert_eq!(lictor.terminate().await, 0);
}
