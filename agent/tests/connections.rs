//! One Lictor through all the ways in which a Consul is reached, and through rotated certificates and tokens: no change
//! is lost, and none is told twice.

mod support;

use std::fs;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::json;
use support::PATIENCE;
use support::home::{Delivery, Home};
use support::lictor::Lictor;
use support::secured::{MANAGEMENT, Server, certificates, socket};

/// What Lictor needs here.
const POLICY: &str = r#"agent_prefix "" { policy = "read" } node_prefix "" { policy = "read" }
    service_prefix "" { policy = "read" }"#;

fn config(home: &Home, server: &Server, consul: &str) -> String {
    format!(
        "[consul]\n{consul}\ntoken_file = '{}'\nblock_query_wait = '2s'
        [[watch]]\ntype = 'checks'\nservice = 'web'
        [[rules]]\nname = 'all'\non = ['check.status', 'source.lost', 'source.recovered', 'check.deregistered']
        receivers = ['file']
        [receivers.file]\nplugin = 'file'\nconfig = {{ path = '{}' }}",
        server.path("token").display(),
        home.path("log").display(),
    )
}

/// What was delivered after the first `known`, once there are `count` more and no other one comes.
async fn told(home: &Home, lictor: &mut Lictor, known: &mut usize, count: usize) -> Vec<String> {
    home.settled(lictor, *known + count).await;
    // Longer than a query waits.
    tokio::time::sleep(Duration::from_millis(2500)).await;
    let new: Vec<_> = home.deliveries().split_off(*known);
    *known += new.len();
    let show = |one: &Delivery| format!("{} {}", one.kind, one.word("to")).trim_end().to_owned();
    new.iter().map(show).collect()
}

#[tokio::test]
async fn no_change_is_lost_or_told_twice_while_the_connection_and_its_secrets_change() {
    let mut server = Server::start().await;
    server.put("/v1/acl/policy", json!({ "Name": "lictor", "Rules": POLICY })).await;
    let (first, secret) = server.token().await;
    fs::write(server.path("token"), secret).unwrap();
    server.set("passing").await;
    let (home, mut known) = (Home::warm(), 0);
    let http = config(&home, &server, &format!("address = 'http://{}:8500'", server.ip));
    let mut lictor = home.follow(&http).await;
    server.set("critical").await;
    assert_eq!(told(&home, &mut lictor, &mut known, 1).await, ["check.status critical"]);

    // To HTTPS, while something happens.
    let file = |name: &str| server.path(name).display().to_string();
    let tls = format!(
        "address = 'https://{}:8501'\ntls_server_name = 'server.dc1.consul'\nca_file = '{}'\nclient_cert = '{}'\n\
         client_key = '{}'",
        server.ip,
        file("consul-agent-ca.pem"),
        file("dc1-cli-consul-0.pem"),
        file("dc1-cli-consul-0-key.pem")
    );
    let https = config(&home, &server, &tls);
    let agent = "agent.data_dir = \"data\"\nagent.environment = \"test\"\n";
    let reload = async |lictor: &mut Lictor, config: &str, count| {
        home.write("lictor.toml", format!("{agent}{config}"));
        lictor.send(Signal::HUP);
        lictor.told("Lictor runs with the configuration as it is now.", count).await;
    };
    let ((), ()) = tokio::join!(reload(&mut lictor, &https, 1), server.set("passing"));
    assert_eq!(told(&home, &mut lictor, &mut known, 1).await, ["check.status passing"]);

    // Another token in the file, and the old one is gone.
    let (_, secret) = server.token().await;
    fs::write(server.path("token"), secret).unwrap();
    server
        .client
        .delete(format!("http://{}:8500/v1/acl/token/{first}", server.ip))
        .header("x-consul-token", MANAGEMENT)
        .send()
        .await
        .unwrap();
    server.set("warning").await;
    assert_eq!(told(&home, &mut lictor, &mut known, 1).await, ["check.status warning"]);

    // Another authority, another certificate of the server, another one of Lictor's own.
    certificates(server.dir.path());
    server.restart().await;
    server.set("critical").await;
    let mut rotated = told(&home, &mut lictor, &mut known, 3).await;
    rotated.sort();
    assert_eq!(rotated, ["check.status critical", "source.lost", "source.recovered"]);

    // To the socket.
    let unix = config(&home, &server, &format!("address = '{}'", socket(server.dir.path())));
    let ((), ()) = tokio::join!(reload(&mut lictor, &unix, 2), server.set("passing"));
    assert_eq!(told(&home, &mut lictor, &mut known, 1).await, ["check.status passing"]);
    tokio::time::timeout(PATIENCE, async { assert_eq!(lictor.terminate().await, 0) }).await.unwrap();
}
