//! A token that loses its rights: Consul gives it empty answers without an error, and nothing may follow from them.

mod support;

use rustix::process::Signal;
use serde_json::json;
use support::cluster::agents;
use support::home::Home;
use support::lictor::Lictor;

const ALL: &str = r#"agent_prefix "" { policy = "read" } node_prefix "" { policy = "read" }
    service_prefix "" { policy = "read" } key_prefix "" { policy = "read" }"#;

/// Lictor still knows its node.
const LESS: &str = r#"agent_prefix "" { policy = "read" } node_prefix "" { policy = "read" }"#;

#[tokio::test]
async fn what_a_token_may_not_see_any_more_is_not_gone() {
    let [mut agent, ..] = agents();
    agent.start().await;
    let token = agent.token(ALL).await;
    agent.put("/v1/agent/service/register", &json!({ "ID": "web", "Name": "web", "Port": 80 })).await;
    agent.put("/v1/kv/app/color", &json!("blue")).await;
    let home = Home::warm();
    home.write("token", &token);
    let config = format!(
        "consul = {{ address = '{}', token_file = 'token', block_query_wait = '1s' }}
        rules = [{{ name = 'all', receivers = ['file'], on = [
            'service.registered', 'service.deregistered', 'service.changed', 'kv.set', 'kv.deleted', 'source.lost',
            'source.recovered',
        ] }}]
        [receivers.file]\nplugin = 'file'\nconfig = {{ path = '{}' }}
        [[watch]]\ntype = 'service'\nservice = 'web'\n[[watch]]\ntype = 'keyprefix'\nprefix = 'app/'
        [[watch]]\ntype = 'services'",
        agent.address(),
        home.path("log").display(),
    );
    let mut lictor = home.follow(&config).await;
    // No query comes back for it before its wait ends.
    agent.permit(LESS).await;
    let mut lost = home.settled(&mut lictor, 3).await;
    lost.sort_by(|a, b| a.subject.cmp(&b.subject));
    let told: Vec<_> = lost.iter().map(|one| (&one.kind[..], &one.subject[..])).collect();
    let want =
        [("source.lost", "keyprefix/app/"), ("source.lost", "service/web"), ("source.lost", "services")];
    assert_eq!(told, want);
    assert!(
        lost[0].word("reason").contains("the token may not read the key \"app/color\""),
        "{}",
        lost[0].data
    );
    assert!(lost[1].word("reason").contains("may not read the service \"web\""), "{}", lost[1].data);

    // Also a Lictor that begins with such a token concludes nothing.
    assert_eq!(lictor.terminate().await, 0);
    let mut lictor = home.start(&config);
    lictor.told("Consul cannot be followed; trying until it can.", 3).await;
    agent.permit(ALL).await;
    let all = home.settled(&mut lictor, 6).await;
    assert!(all[3..].iter().all(|one| one.kind == "source.recovered"), "{all:?}");
    // What really goes is told.
    agent.put("/v1/agent/service/deregister/web", &json!(null)).await;
    let all = home.settled(&mut lictor, 8).await;
    assert!(all[6..].iter().all(|one| one.kind == "service.deregistered"), "{all:?}");
    assert_eq!(lictor.terminate().await, 0);
}

/// Of two services and two keys one.
const PART: &str = r#"agent_prefix "" { policy = "read" } node_prefix "" { policy = "read" }
    service "web" { policy = "read" } service "consul" { policy = "read" } key "app/color" { policy = "read" }"#;

#[expect(clippy::too_many_lines, reason = "one story, whose steps build on each other")]
#[tokio::test]
async fn a_token_that_is_narrowed_for_a_part_of_what_is_followed_makes_no_event_of_it() {
    let [mut agent, ..] = agents();
    agent.start().await;
    let token = agent.token(ALL).await;
    for name in ["web", "db"] {
        let ttl = json!({ "CheckID": name, "TTL": "1h", "Status": "passing" });
        agent
            .put("/v1/agent/service/register", &json!({ "ID": name, "Name": name, "Port": 80, "Check": ttl }))
            .await;
    }
    for name in ["color", "shape"] {
        agent.put(&format!("/v1/kv/app/{name}"), &json!(name)).await;
    }
    let home = Home::warm();
    home.write("token", &token);
    let config = format!(
        "consul = {{ address = '{}', token_file = 'token', block_query_wait = '1s' }}
        rules = [{{ name = 'all', receivers = ['file'], on = [
            'check.status', 'check.registered', 'check.deregistered', 'service.registered', 'service.deregistered',
            'service.changed', 'node.left', 'kv.set', 'kv.deleted', 'source.suspect', 'source.lost', 'source.recovered',
        ] }}]
        [receivers.file]\nplugin = 'file'\nconfig = {{ path = '{}' }}
        [[watch]]\ntype = 'checks'\n[[watch]]\ntype = 'keyprefix'\nprefix = 'app/'
        [[watch]]\ntype = 'services'\n[[watch]]\ntype = 'node'\n[[watch]]\ntype = 'nodes'",
        agent.address(),
        home.path("log").display(),
    );
    let mut lictor = home.follow(&config).await;
    agent.permit(PART).await;
    let mut lost = home.settled(&mut lictor, 4).await;
    lost.sort_by(|a, b| a.subject.cmp(&b.subject));
    let told: Vec<_> = lost.iter().map(|one| (&one.kind[..], &one.subject[..])).collect();
    let watches = ["checks/node", "keyprefix/app/", "node", "services"];
    assert_eq!(told, watches.map(|watch| ("source.lost", watch)));
    for (one, hidden) in
        lost.iter().zip(["service \"db\"", "key \"app/shape\"", "service \"db\"", "service \"db\""])
    {
        assert!(one.word("reason").contains(&format!("may not read the {hidden}")), "{}", one.data);
    }
    // Also where Lictor itself was away meanwhile.
    assert_eq!(lictor.terminate().await, 0);
    let mut lictor = home.start(&config);
    lictor.told("Consul cannot be followed; trying until it can.", 4).await;
    agent.permit(ALL).await;
    let all = home.settled(&mut lictor, 8).await;
    assert!(all[4..].iter().all(|one| one.kind == "source.recovered"), "{all:?}");
    // What really goes is told.
    agent.put("/v1/agent/service/deregister/db", &json!(null)).await;
    let all = home.settled(&mut lictor, 11).await;
    let mut gone: Vec<_> = all[8..].iter().map(|one| &one.kind[..]).collect();
    gone.sort_unstable();
    assert_eq!(gone, ["check.deregistered", "service.deregistered", "service.deregistered"]);

    agent.put("/v1/agent/service/register", &json!({ "ID": "db", "Name": "db" })).await;
    home.settled(&mut lictor, 13).await;
    agent.permit(PART).await;
    home.settled(&mut lictor, 16).await;
    begin_anew(&home, &mut lictor, &config).await;
    let fails = async || {
        for state in ["pass", "fail"] {
            agent.put(&format!("/v1/agent/check/{state}/web?note=by+hand"), &json!(null)).await;
        }
        home.deliveries().into_iter().find(|one| one.word("to") == "critical")
    };
    lictor.until("tell that a check fails", fails).await;
    let after: Vec<_> = home.deliveries().drain(13..).map(|one| one.kind).collect();
    assert!(after[..3].iter().all(|kind| kind == "source.lost"), "{after:?}");
    let expected = |kind: &String| ["check.status", "source.recovered"].contains(&kind.as_str());
    assert!(after[3..].iter().all(expected), "nothing is gone or new: {after:?}");
    assert_eq!(lictor.terminate().await, 0);
}

/// A token that is meant to see less: what a watch knew is forgotten with it, and it begins silently.
async fn begin_anew(home: &Home, lictor: &mut Lictor, config: &str) {
    let Some((common, watches)) = config.split_once("[[watch]]") else { unreachable!("it has watches") };
    let only_nodes = format!("{common}[[watch]]\ntype = 'nodes'");
    for (count, config) in [(1, only_nodes), (2, format!("{common}[[watch]]{watches}"))] {
        home.write(
            "lictor.toml",
            format!("agent.data_dir = \"data\"\nagent.environment = \"test\"\n{config}"),
        );
        lictor.send(Signal::HUP);
        lictor.told("Lictor runs with the configuration as it is now.", count).await;
    }
}
