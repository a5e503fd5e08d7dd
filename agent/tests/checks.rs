//! What a real Consul's checks say that have not run, or that a watch has only some of.

mod support;

use serde_json::json;
use support::consul::ConsulAgent;
use support::fake_consul::FakeConsul;
use support::home::{Delivery, Home};

fn config(home: &Home, consul: &ConsulAgent, watches: &str) -> String {
    at(home, &consul.address(), "", watches)
}

/// One rule for the checks of the services that fit, and for the source.
fn of_services(home: &Home, consul: &ConsulAgent, services: &str, watches: &str) -> String {
    let wanted = format!("match = {{ service = [{services}] }}");
    at(home, &consul.address(), &wanted, watches)
}

fn at(home: &Home, address: &str, wanted: &str, watches: &str) -> String {
    format!(
        "agent.initial_grace = '2s'
        consul.address = '{address}'
        [receivers.file]\nplugin = 'file'\nconfig = {{ path = '{}' }}
        [[rules]]\nname = 'source'\nreceivers = ['file']
        on = ['source.suspect', 'source.lost', 'source.recovered']
        [[rules]]\nname = 'checks'\nreceivers = ['file']
        on = ['check.status', 'check.registered', 'check.deregistered', 'node.failed']\n{wanted}
        {watches}",
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
async fn the_grace_of_a_check_goes_on_after_a_loss_and_not_during_it() {
    let (consul, home) = (FakeConsul::start().await, Home::warm());
    let mut lictor = home.follow(&at(&home, consul.address(), "", "")).await;
    consul.set("silent");
    consul.asked(2).await;
    consul.trouble(Some((500, "No cluster leader")));
    home.settled(&mut lictor, 1).await;
    tokio::time::sleep(std::time::Duration::from_millis(2500)).await;
    consul.trouble(None);
    let told = home.settled(&mut lictor, 3).await;
    let kinds: Vec<_> = told.iter().map(|one| &one.kind[..]).collect();
    assert_eq!(kinds, ["source.lost", "source.recovered", "check.status"]);
    assert_eq!(shown(&told)[2], "check.status passing>critical");
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
    consul.age().await;
    consul.register_ttl_check("web", "web").await;
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

const DATACENTER: &str = "[[watch]]\ntype = 'checks'\nscope = 'datacenter'";

#[tokio::test]
async fn a_datacenter_is_asked_service_by_service_where_the_rules_name_them_and_nothing_is_lost_or_told_twice()
 {
    let (mut consul, home) = (ConsulAgent::start().await, Home::warm());
    consul.age().await;
    for name in ["web", "db", "mail"] {
        consul.register_ttl_check(name, name).await;
    }
    let mut lictor = home.follow(&config(&home, &consul, DATACENTER)).await;
    consul.ttl("web", "fail", "while all is asked for").await;
    home.settled(&mut lictor, 1).await;
    assert_eq!(lictor.terminate().await, 0);

    // Other rules, other queries: what is known of these services stays known.
    consul.ttl("web", "pass", "while Lictor is away").await;
    let narrow = of_services(&home, &consul, "'web', 'db'", DATACENTER);
    let mut lictor = home.start(&narrow);
    let told = home.settled(&mut lictor, 2).await;
    assert_eq!(
        (&shown(&told)[1][..], &told[1].data["catch_up"]),
        ("check.status critical>passing", &json!(true))
    );
    lictor.told("Following the checks of the service db.", 1).await;
    consul.ttl("mail", "fail", "nobody asks for it").await;
    consul.ttl("db", "warn", "by hand").await;
    let told = home.settled(&mut lictor, 3).await;
    assert_eq!((told[2].word("service"), &shown(&told)[2][..]), ("db", "check.status passing>warning"));

    // What was taken over is kept under its own name, and back to one query for all it is taken over again. Of what
    // nobody asked for in between, nothing is told.
    for (config, state, count) in [(&narrow, "fail", 4), (&config(&home, &consul, DATACENTER), "pass", 5)] {
        assert_eq!(lictor.terminate().await, 0);
        consul.ttl("web", state, "while Lictor is away").await;
        lictor = home.start(config);
        let told = home.settled(&mut lictor, count).await;
        assert_eq!((told.len(), told[count - 1].word("service")), (count, "web"), "{:?}", shown(&told));
    }
    consul.ttl("mail", "pass", "asked for again").await;
    home.settled(&mut lictor, 6).await;
    assert_eq!(lictor.terminate().await, 0);
    lictor = home.start(&narrow);
    for (name, count) in [("web", 7), ("db", 8)] {
        consul.ttl(name, "fail", "so that both queries have an answer").await;
        home.settled(&mut lictor, count).await;
    }

    // Two queries, one loss.
    consul.stop().await;
    let told = home.settled(&mut lictor, 9).await;
    assert_eq!((&told[8].kind[..], &told[8].subject[..]), ("source.lost", "checks/state/any"));
    assert_eq!(lictor.terminate().await, 0);
    let mut lictor = home.start(&narrow);
    lictor.told("Consul cannot be followed; trying until it can.", 2).await;
    consul.restart().await;
    for name in ["web", "db"] {
        consul.register_ttl_check(name, name).await;
    }
    lictor.told("Consul is followed again.", 2).await;
    let recovered = async || {
        let told = home.deliveries();
        let count = |kind: &str| told.iter().filter(|one| one.kind == kind).count();
        (count("source.recovered") == 1).then(|| (count("source.lost"), count("source.suspect")))
    };
    assert_eq!(lictor.until("tell the end of the loss", recovered).await, (1, 1));
    assert_eq!(lictor.terminate().await, 0);
}

#[tokio::test]
async fn it_is_told_how_a_datacenter_is_asked_and_what_that_costs() {
    let (consul, home) = (ConsulAgent::start().await, Home::warm());
    let validate = |config: String| {
        home.write("lictor.toml", format!("agent.data_dir = 'data'\n{config}"));
        String::from_utf8(home.run(&["validate", "-c", "lictor.toml"]).stdout).unwrap()
    };
    let narrow = validate(of_services(&home, &consul, "'web', 'db'", DATACENTER));
    assert!(
        narrow.contains("of these services, by a query for each of them: db, web (each change sends"),
        "{narrow}"
    );
    let wide = validate(config(&home, &consul, DATACENTER));
    assert!(
        wide.contains("by one query, since the rule `checks` does not name its services (each"),
        "{wide}"
    );
}
