//! Each type of watch against a real Consul: what it tells, once, and nothing else.

#![expect(clippy::unwrap_used, reason = "a test that cannot look has to fail")]

mod support;

use serde_json::{Value, json};
use support::consul::ConsulAgent;
use support::fake_consul::FakeConsul;
use support::home::{Delivery, Home};
use support::lictor::Lictor;

/// All watches of the test, and one rule for all that they tell.
fn config(home: &Home, consul: &ConsulAgent, watches: &str) -> String {
    format!(
        "consul.address = '{}'
        rules = [{{ name = 'all', receivers = ['file'], on = [
            'check.status', 'check.registered', 'check.deregistered', 'check.output',
            'service.registered', 'service.deregistered', 'service.changed', 'node.joined', 'node.left', 'node.changed',
            'node.failed', 'node.recovered', 'maintenance.started', 'maintenance.ended', 'kv.set', 'kv.deleted',
            'event.fired',
        ] }}]
        [receivers.file]\nplugin = 'file'\nconfig = {{ path = '{}' }}
        {watches}",
        consul.address(),
        home.path("log").display(),
    )
}

/// The deliveries after the first `known`, once there are `count` more: their types and subjects.
async fn told(home: &Home, lictor: &mut Lictor, known: &mut usize, count: usize) -> Vec<Delivery> {
    let all = home.settled(lictor, *known + count).await;
    let new: Vec<_> = all.into_iter().skip(*known).collect();
    assert_eq!(new.len(), count, "{:?}", new.iter().map(|one| (&one.kind, &one.subject)).collect::<Vec<_>>());
    *known += count;
    new
}

#[track_caller]
fn check(told: &[Delivery], want: &[(&str, &str)]) {
    let told: Vec<_> = told.iter().map(|one| (&one.kind[..], &one.subject[..])).collect();
    assert_eq!(told, want);
}

fn register(port: u16, tags: &[&str]) -> String {
    json!({ "ID": "web-1", "Name": "web", "Port": port, "Tags": tags, "Meta": { "team": "shop" } })
        .to_string()
}

#[tokio::test]
async fn instances_services_and_nodes_are_told_once_however_many_watches_see_them() {
    let consul = ConsulAgent::start().await;
    let node = consul.node().await;
    let home = Home::warm();
    let watches = "[[watch]]\ntype = 'service'\nservice = 'web'\n[[watch]]\ntype = 'node'
        [[watch]]\ntype = 'services'\n[[watch]]\ntype = 'nodes'";
    let mut lictor = home.follow(&config(&home, &consul, watches)).await;
    let mut known = 0;

    consul.put("/v1/agent/service/register", register(8080, &["a"])).await;
    let mut registered = told(&home, &mut lictor, &mut known, 2).await;
    registered.sort_by(|a, b| b.subject.cmp(&a.subject));
    let instance = format!("{node}/web-1");
    check(&registered, &[("service.registered", "web"), ("service.registered", &instance)]);
    let data = &registered[1].data;
    assert_eq!((&data["port"], &data["service_meta"]["team"]), (&json!(8080), &json!("shop")));
    assert_eq!(data["node_role"], "standalone");

    // The same again is no news.
    consul.put("/v1/agent/service/register", register(8080, &["a"])).await;
    consul.put("/v1/agent/service/register", register(9090, &["a"])).await;
    let changed = told(&home, &mut lictor, &mut known, 1).await;
    check(&changed, &[("service.changed", &instance)]);
    let data = &changed[0].data;
    assert_eq!((&data["changed"], &data["before"]["port"]), (&json!(["port"]), &json!(8080)));

    consul.put("/v1/agent/service/register", register(9090, &["a", "b"])).await;
    let mut changed = told(&home, &mut lictor, &mut known, 2).await;
    changed.sort_by(|a, b| b.subject.cmp(&a.subject));
    check(&changed, &[("service.changed", "web"), ("service.changed", &instance)]);
    assert_eq!(changed[0].data["tags_before"], json!(["a"]));

    consul.put("/v1/agent/service/deregister/web-1", "").await;
    let mut gone = told(&home, &mut lictor, &mut known, 2).await;
    gone.sort_by(|a, b| b.subject.cmp(&a.subject));
    check(&gone, &[("service.deregistered", "web"), ("service.deregistered", &instance)]);

    // A node that no agent runs on, as external monitors register them.
    let external = json!({ "Node": "printer", "Address": "192.0.2.7", "NodeMeta": { "room": "12" } });
    consul.put("/v1/catalog/register", external.to_string()).await;
    check(&told(&home, &mut lictor, &mut known, 1).await, &[("node.joined", "printer")]);
    let moved = json!({ "Node": "printer", "Address": "192.0.2.8", "NodeMeta": { "room": "12" } });
    consul.put("/v1/catalog/register", moved.to_string()).await;
    let changed = told(&home, &mut lictor, &mut known, 1).await;
    check(&changed, &[("node.changed", "printer")]);
    assert_eq!(changed[0].data["changed"], json!(["node_address"]));
    consul.put("/v1/catalog/deregister", json!({ "Node": "printer" }).to_string()).await;
    check(&told(&home, &mut lictor, &mut known, 1).await, &[("node.left", "printer")]);
    assert_eq!(lictor.terminate().await, 0);
}

#[tokio::test]
async fn keys_are_told_with_their_old_and_new_values_also_after_a_restart() {
    let consul = ConsulAgent::start().await;
    consul.put("/v1/kv/app/color", "blue").await;
    let home = Home::warm();
    let watches = "[[watch]]\ntype = 'keyprefix'\nprefix = 'app/'\n[[watch]]\ntype = 'key'\nkey = 'single'";
    let config = config(&home, &consul, watches);
    let mut lictor = home.follow(&config).await;
    let mut known = 0;

    consul.put("/v1/kv/app/color", "green").await;
    let set = told(&home, &mut lictor, &mut known, 1).await;
    check(&set, &[("kv.set", "app/color")]);
    assert_eq!((set[0].word("value"), set[0].word("old_value")), ("green", "blue"));
    consul.put("/v1/kv/single", "first").await;
    let set = told(&home, &mut lictor, &mut known, 1).await;
    check(&set, &[("kv.set", "single")]);
    assert_eq!(set[0].data["old_value"], json!(null));

    // A lock on a key is no news of its value.
    let session = consul.put("/v1/session/create", json!({ "TTL": "10m" }).to_string()).await;
    let session: serde_json::Value = serde_json::from_str(&session).unwrap();
    consul.put(&format!("/v1/kv/app/color?acquire={}", session["ID"].as_str().unwrap()), "green").await;

    assert_eq!(lictor.terminate().await, 0);
    consul.delete("/v1/kv/single").await;
    consul.put("/v1/kv/app/shape", "round").await;
    let mut lictor = home.start(&config);
    let mut missed = told(&home, &mut lictor, &mut known, 2).await;
    missed.sort_by(|a, b| a.subject.cmp(&b.subject));
    check(&missed, &[("kv.set", "app/shape"), ("kv.deleted", "single")]);
    assert!(missed.iter().all(|one| one.data["catch_up"] == json!(true)));
    assert_eq!(missed[1].word("old_value"), "first");
    assert_eq!(lictor.terminate().await, 0);
}

#[tokio::test]
async fn user_events_are_told_once_each_in_their_order_and_what_was_lost_is_counted() {
    let consul = ConsulAgent::start().await;
    consul.put("/v1/event/fire/before", "").await;
    let home = Home::warm();
    let config = config(&home, &consul, "[[watch]]\ntype = 'event'");
    let mut lictor = home.follow(&config).await;
    let mut known = 0;

    for version in ["v1", "v2"] {
        consul.put("/v1/event/fire/deploy", version).await;
    }
    let fired = told(&home, &mut lictor, &mut known, 2).await;
    check(&fired, &[("event.fired", "deploy"), ("event.fired", "deploy")]);
    assert_eq!((fired[0].word("payload"), fired[1].word("payload")), ("v1", "v2"));

    // Away, while more are fired than the agent keeps.
    assert_eq!(lictor.terminate().await, 0);
    for number in 0..300 {
        consul.put("/v1/event/fire/flood", number.to_string()).await;
    }
    let mut lictor = home.start(&config);
    let fired = told(&home, &mut lictor, &mut known, 256).await;
    assert_eq!((fired[0].word("payload"), &fired[0].data["lost"]), ("44", &json!(44)));
    let payloads: Vec<_> = fired.iter().map(|one| one.word("payload").parse::<u32>().unwrap()).collect();
    assert!(payloads.is_sorted(), "{payloads:?}");
    assert!(fired[1..].iter().all(|one| one.data["lost"] == json!(0)));
    assert_eq!(lictor.terminate().await, 0);
}

#[tokio::test]
async fn of_user_events_of_one_name_it_is_known_too_what_the_ring_lost() {
    let consul = ConsulAgent::start().await;
    let home = Home::warm();
    let config = config(&home, &consul, "[[watch]]\ntype = 'event'\nname = 'deploy'");
    consul.put("/v1/event/fire/before", "").await;
    let mut lictor = home.follow(&config).await;
    let mut known = 0;
    for name in ["other", "deploy"] {
        consul.put(&format!("/v1/event/fire/{name}"), "").await;
    }
    check(&told(&home, &mut lictor, &mut known, 1).await, &[("event.fired", "deploy")]);
    assert_eq!(lictor.terminate().await, 0);
    for name in [["deploy"; 20].as_slice(), &["other"; 256], &["deploy"]].concat() {
        consul.put(&format!("/v1/event/fire/{name}"), "").await;
    }
    let mut lictor = home.start(&config);
    let fired = told(&home, &mut lictor, &mut known, 1).await;
    check(&fired, &[("event.fired", "deploy")]);
    assert_eq!(fired[0].data["lost"], json!(21), "of any name");
    assert_eq!(lictor.terminate().await, 0);
}

#[tokio::test]
async fn maintenance_is_no_failure_and_its_end_is_told() {
    let consul = ConsulAgent::start().await;
    consul.register_ttl_check("web", "alive").await;
    let node = consul.node().await;
    let home = Home::warm();
    let watches = "[[watch]]\ntype = 'checks'\n[[watch]]\ntype = 'checks'\nscope = 'datacenter'";
    let mut lictor = home.follow(&config(&home, &consul, watches)).await;
    let mut known = 0;
    for (path, check_id) in [
        ("/v1/agent/maintenance", "_node_maintenance"),
        ("/v1/agent/service/maintenance/web", "_service_maintenance:web"),
    ] {
        let subject = format!("{node}/{check_id}");
        consul.put(&format!("{path}?enable=true&reason=new+disk"), "").await;
        let started = told(&home, &mut lictor, &mut known, 1).await;
        check(&started, &[("maintenance.started", &subject)]);
        assert_eq!(started[0].word("notes"), "new disk");
        consul.put(&format!("{path}?enable=false"), "").await;
        check(&told(&home, &mut lictor, &mut known, 1).await, &[("maintenance.ended", &subject)]);
    }
    consul.ttl("alive", "fail", "by hand").await;
    let failed = told(&home, &mut lictor, &mut known, 1).await;
    check(&failed, &[("check.status", &format!("{node}/alive"))]);
    assert_eq!(lictor.terminate().await, 0);
}

#[tokio::test]
async fn a_consul_that_is_gone_is_told_once_and_its_return_too_even_if_lictor_restarts_meanwhile() {
    let mut consul = ConsulAgent::start().await;
    let home = Home::warm();
    let config = format!(
        "consul.address = '{}'
        rules = [{{ name = 'source', receivers = ['file'], on = ['source.lost', 'source.recovered'] }}]
        [receivers.file]\nplugin = 'file'\nconfig = {{ path = '{}' }}",
        consul.address(),
        home.path("log").display(),
    );
    let mut lictor = home.follow(&config).await;
    let mut known = 0;
    consul.stop().await;
    let lost = told(&home, &mut lictor, &mut known, 1).await;
    check(&lost, &[("source.lost", "checks/node")]);
    // An agent that ends may still say that it has no leader.
    assert!(lost[0].word("reason").contains("/v1/health/node/"), "{}", lost[0].data);
    assert_eq!(lictor.terminate().await, 0);
    let mut lictor = home.start(&config);
    lictor.told("Consul cannot be followed; trying until it can.", 1).await;
    consul.restart().await;
    let recovered = told(&home, &mut lictor, &mut known, 1).await;
    check(&recovered, &[("source.recovered", "checks/node")]);
    assert_eq!(recovered[0].data["since"], lost[0].data["since"]);
    assert_eq!(lictor.terminate().await, 0);
}

#[tokio::test]
async fn the_end_of_a_loss_is_told_also_where_nothing_changed() {
    let (consul, home) = (FakeConsul::start().await, Home::warm());
    let config = format!(
        "consul.address = '{}'
        rules = [{{ name = 'source', receivers = ['file'], on = ['source.lost', 'source.recovered'] }}]
        [receivers.file]\nplugin = 'file'\nconfig = {{ path = '{}' }}",
        consul.address(),
        home.path("log").display(),
    );
    let mut lictor = home.follow(&config).await;
    let mut known = 0;
    consul.trouble(Some((500, "No cluster leader")));
    check(&told(&home, &mut lictor, &mut known, 1).await, &[("source.lost", "checks/node")]);
    consul.trouble(None);
    check(&told(&home, &mut lictor, &mut known, 1).await, &[("source.recovered", "checks/node")]);
    assert_eq!(lictor.terminate().await, 0);
}

#[tokio::test]
async fn a_service_is_followed_as_its_own_agent_has_it() {
    let consul = ConsulAgent::start().await;
    let (node, home) = (consul.node().await, Home::warm());
    let config = config(&home, &consul, "[[watch]]\ntype = 'agent_service'\nservice_id = 'web-1'");
    let mut lictor = home.follow(&config).await;
    let mut known = 0;
    let subject = format!("{node}/web-1");
    for (port, kind) in [
        (8080, "service.registered"),
        (9090, "service.changed"),
        (8080, "service.changed"),
        // As it was before, and news all the same.
        (9090, "service.changed"),
    ] {
        consul.put("/v1/agent/service/register", register(port, &["a"])).await;
        let told = told(&home, &mut lictor, &mut known, 1).await;
        check(&told, &[(kind, &subject)]);
        assert_eq!(told[0].data["port"], port);
    }
    consul.put("/v1/agent/service/deregister/web-1", "").await;
    check(&told(&home, &mut lictor, &mut known, 1).await, &[("service.deregistered", &subject)]);
    assert_eq!(lictor.terminate().await, 0);
}

/// A root certificate for this trust domain, and its key, as Consul's configuration takes them.
fn root(home: &Home, trust_domain: &str) -> Value {
    home.write(
        "root.cnf",
        format!(
            "[req]\ndistinguished_name = name\nx509_extensions = root\nprompt = no\n[name]\nCN = test\n[root]\n\
             basicConstraints = critical, CA:TRUE\nkeyUsage = critical, keyCertSign, cRLSign, digitalSignature\n\
             subjectKeyIdentifier = hash\nauthorityKeyIdentifier = keyid\nsubjectAltName = URI:spiffe://{trust_domain}\n"
        ),
    );
    let (key, certificate) = (home.path("root.key"), home.path("root.pem"));
    let mut openssl = std::process::Command::new(support::from_setup("parts/bin/openssl"));
    openssl.args([
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-days",
        "30",
    ]);
    openssl.arg("-config").arg(home.path("root.cnf")).arg("-keyout").arg(&key).arg("-out").arg(&certificate);
    let made = openssl.output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let read = |path| std::fs::read_to_string(path).unwrap();
    // Consul takes the key in the form that names the curve.
    let mut convert = std::process::Command::new(support::from_setup("parts/bin/openssl"));
    let converted = convert.args(["ec", "-in"]).arg(&key).output().unwrap();
    let key = String::from_utf8(converted.stdout).unwrap();
    json!({ "Provider": "consul", "Config": { "RootCert": read(certificate), "PrivateKey": key } })
}

#[tokio::test]
async fn another_root_of_connects_authority_is_told() {
    let consul = ConsulAgent::start().await;
    consul.put("/v1/agent/service/register", register(8080, &[])).await;
    let home = Home::warm();
    let config = format!(
        "consul.address = '{}'
        rules = [{{ name = 'all', receivers = ['file'], on = [
            'root.added', 'root.changed', 'root.removed', 'leaf.issued', 'source.lost',
        ] }}]
        [receivers.file]\nplugin = 'file'\nconfig = {{ path = '{}' }}
        [[watch]]\ntype = 'connect_roots'\n[[watch]]\ntype = 'connect_leaf'\nservice = 'web'",
        consul.address(),
        home.path("log").display(),
    );
    let mut lictor = home.follow(&config).await;
    let before = consul.get("/v1/agent/connect/ca/roots").await;
    let root = root(&home, before["TrustDomain"].as_str().unwrap());
    consul.put("/v1/connect/ca/configuration", root.to_string()).await;
    let mut told = told(&home, &mut lictor, &mut 0, 2).await;
    told.sort_by(|a, b| a.kind.cmp(&b.kind));
    let first = before["ActiveRootID"].as_str().unwrap();
    assert_eq!((&told[1].kind[..], &told[1].subject[..]), ("root.changed", first));
    assert_eq!((&told[0].kind[..], &told[0].data["active"]), ("root.added", &json!(true)));
    assert_eq!(told[1].data["active"], false);
    assert_eq!(lictor.terminate().await, 0);
}

#[tokio::test]
async fn a_rule_may_be_about_what_one_watch_tells_also_where_another_one_tells_it_first() {
    let consul = ConsulAgent::start().await;
    consul.register_ttl_check("web", "web").await;
    let (node, home) = (consul.node().await, Home::warm());
    let config = format!(
        "consul.address = '{}'
        [[watch]]\nlabel = 'node'\ntype = 'checks'
        [[watch]]\nlabel = 'web'\ntype = 'checks'\nservice = 'web'
        [[watch]]\nlabel = 'db'\ntype = 'checks'\nservice = 'db'
        [[rules]]\nname = 'of-node'\non = ['check.status']\nwatch = 'node'\nreceivers = ['file']
        [[rules]]\nname = 'of-web'\non = ['check.status']\nwatch = ['db', 'web']\nreceivers = ['file']
        [[rules]]\nname = 'of-db'\non = ['check.status']\nwatch = 'db'\nreceivers = ['file']
        [receivers.file]\nplugin = 'file'\nconfig = {{ path = '{}', template = '{{{{ rule }}}} {{{{ subject }}}}' }}",
        consul.address(),
        home.path("log").display(),
    );
    let mut lictor = home.follow(&config).await;
    for (state, count) in [("fail", 2), ("pass", 4)] {
        consul.ttl("web", state, "by hand").await;
        let mut lines = home.wait_for_lines("log", count).await;
        lines.sort();
        let of = |rule: &str| vec![format!("{rule} {node}/web"); count / 2];
        assert_eq!(lines, [of("of-node"), of("of-web")].concat());
    }
    assert_eq!(lictor.terminate().await, 0);
}

#[tokio::test]
async fn an_instance_that_passes_and_does_not_again_and_again_is_told_each_time() {
    let consul = ConsulAgent::start().await;
    consul.register_ttl_check("web", "web").await;
    let (node, home) = (consul.node().await, Home::warm());
    let watches = "[[watch]]\ntype = 'service'\nservice = 'web'\npassing_only = true
        [[watch]]\ntype = 'node'";
    let mut lictor = home.follow(&config(&home, &consul, watches)).await;
    let mut known = 0;
    let subject = format!("{node}/web");
    for _ in 0..2 {
        for (state, kind) in [("fail", "service.deregistered"), ("pass", "service.registered")] {
            consul.ttl("web", state, "by hand").await;
            check(&told(&home, &mut lictor, &mut known, 1).await, &[(kind, &subject)]);
        }
    }
    // Its true end is told after one that was none.
    consul.ttl("web", "fail", "by hand").await;
    check(&told(&home, &mut lictor, &mut known, 1).await, &[("service.deregistered", &subject)]);
    consul.put("/v1/agent/service/deregister/web", "").await;
    check(&told(&home, &mut lictor, &mut known, 1).await, &[("service.deregistered", &subject)]);
    assert_eq!(lictor.terminate().await, 0);
}
