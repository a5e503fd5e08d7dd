//! The source against a real Consul: what it tells while checks flip and agents come and go.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by a panic")]

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use lictor::catalog::CheckStatus::{Critical, Passing, Warning};
use lictor::catalog::{Check, CheckStatus, Entry};
use lictor::consul::{Client, Settings, Token, WaitIndex, What};
use lictor::source::{Shown, Source, Update};
use serde_json::{Value, json};
use support::consul::{ConsulAgent, binary};
use support::{PATIENCE, eventually, http_client};
use tempfile::TempDir;
use tokio::time::timeout;

/// Short, so that a wait that runs out is part of each test.
const WAIT: Duration = Duration::from_secs(1);

/// Long enough for a wait to run out, and for a few errors.
const QUIET: Duration = Duration::from_secs(3);

fn source(settings: &Settings, committed: Option<WaitIndex>) -> Source {
    Source::new(Client::new(settings).unwrap(), What::NodeChecks.into(), WAIT, (committed, Shown::default()))
}

fn follow(agent: &ConsulAgent, committed: Option<WaitIndex>) -> Source {
    source(&Settings { address: agent.address().parse().unwrap(), ..Settings::default() }, committed)
}

async fn next(source: &mut Source) -> Update {
    timeout(PATIENCE, source.next()).await.unwrap()
}

/// The next checks; anything else is a fault.
async fn checks(source: &mut Source) -> (Vec<Check>, WaitIndex, bool) {
    match next(source).await {
        Update::Entries { entries, index, reset } => {
            (entries.iter().filter_map(Entry::check).cloned().collect(), index, reset)
        }
        other => panic!("checks were due: {other:?}"),
    }
}

/// Reads checks until the check has this status.
async fn until(source: &mut Source, check: &str, status: CheckStatus) -> (WaitIndex, bool) {
    let mut reset = false;
    loop {
        let (checks, index, anew) = checks(source).await;
        reset |= anew;
        if status_of(&checks, check) == Some(status) {
            return (index, reset);
        }
    }
}

fn status_of(checks: &[Check], check: &str) -> Option<CheckStatus> {
    checks.iter().find(|found| found.check_id == check).map(|found| found.status)
}

async fn assert_quiet(source: &mut Source) {
    let told = timeout(QUIET, source.next()).await;
    assert!(told.is_err(), "nothing was due: {told:?}");
}

/// The first updates: which node, and its checks.
async fn assert_started(source: &mut Source, node: &str) {
    let Update::Node(found) = next(source).await else { panic!("the node was due") };
    assert_eq!((found.name.as_str(), found.datacenter.as_str()), (node, "dc1"));
}

#[tokio::test]
async fn flips_are_told_in_their_order_and_nothing_between_them() {
    let agent = ConsulAgent::start().await;
    agent.register_ttl_check("web", "alive").await;
    let mut source = follow(&agent, None);
    assert_started(&mut source, &agent.node().await).await;
    let (mut last, _) = until(&mut source, "alive", Passing).await;

    for (state, status) in [("warn", Warning), ("fail", Critical), ("pass", Passing), ("fail", Critical)] {
        agent.ttl("alive", state, state).await;
        let (checks, index, reset) = checks(&mut source).await;
        let alive = checks.iter().find(|check| check.check_id == "alive").unwrap();
        assert_eq!((alive.status, alive.output.as_str(), alive.service.as_str()), (status, state, "web"));
        assert!(index > last && !reset);
        last = index;
    }
    assert_quiet(&mut source).await;

    agent.put("/v1/agent/service/deregister/web", "").await;
    assert_eq!(status_of(&checks(&mut source).await.0, "alive"), None);
}

#[tokio::test]
async fn a_check_that_fails_on_its_first_run_is_told_before_the_catalog_knows_what_it_said() {
    // Consul's default: an output that changes without the status waits for minutes.
    let agent = ConsulAgent::start_with("5m").await;
    let mut source = follow(&agent, None);
    assert_started(&mut source, &agent.node().await).await;
    let http = json!({ "CheckID": "web-http", "HTTP": "http://127.0.0.1:1/health", "Interval": "1s" });
    agent.put("/v1/agent/service/register", json!({ "Name": "web", "Check": http }).to_string()).await;
    loop {
        let (checks, _, _) = checks(&mut source).await;
        let found = checks.iter().find(|check| check.check_id == "web-http");
        if let Some(check) = found.filter(|check| !check.output.is_empty()) {
            assert_eq!((check.status, check.kind.as_str()), (Critical, "http"));
            assert!(check.output.contains("refused"), "{}", check.output);
            break;
        }
    }
    let catalog = agent.get(&format!("/v1/health/node/{}", agent.node().await)).await;
    let known = catalog.as_array().unwrap().iter().find(|check| check["CheckID"] == "web-http").unwrap();
    assert_eq!(known["Output"], "", "the catalog knew it, so this showed nothing");
}

#[tokio::test]
async fn of_a_fast_flap_the_last_state_is_told_last() {
    let agent = ConsulAgent::start().await;
    agent.register_ttl_check("web", "alive").await;
    let mut source = follow(&agent, None);
    assert_started(&mut source, &agent.node().await).await;
    until(&mut source, "alive", Passing).await;

    let flap = async {
        for _ in 0..100 {
            agent.ttl("alive", "warn", "").await;
            agent.ttl("alive", "pass", "").await;
        }
        agent.ttl("alive", "fail", "").await;
    };
    let told = async {
        let mut told = 0;
        loop {
            let (checks, ..) = checks(&mut source).await;
            told += 1;
            if status_of(&checks, "alive") == Some(Critical) {
                break told;
            }
        }
    };
    let ((), told) = tokio::join!(flap, told);
    assert!((20..=201).contains(&told), "{told} of 201 changes were told");
}

#[tokio::test]
async fn a_consul_that_lost_its_memory_is_a_reset() {
    let mut agent = ConsulAgent::start().await;
    agent.register_ttl_check("web", "alive").await;
    // The new history shall not reach the index of the old one.
    for _ in 0..50 {
        agent.ttl("alive", "warn", "").await;
        agent.ttl("alive", "fail", "").await;
    }
    let mut source = follow(&agent, None);
    assert_started(&mut source, &agent.node().await).await;
    let (committed, reset) = until(&mut source, "alive", Critical).await;
    assert!(!reset);

    let restart = async {
        agent.restart().await;
        agent.register_ttl_check("web", "alive").await;
        agent
    };
    let told = async {
        assert!(matches!(next(&mut source).await, Update::Lost { .. }));
        let mut update = next(&mut source).await;
        if let Update::Node(_) = update {
            update = next(&mut source).await;
        }
        assert!(matches!(update, Update::Suspect { .. }), "{update:?}");
        assert_eq!(next(&mut source).await, Update::Recovered);
        until(&mut source, "alive", Passing).await
    };
    let (agent, (index, reset)) = tokio::join!(restart, told);
    assert!(reset && index < committed);

    // A process that starts now, with what the one before it had committed, finds it out too.
    let mut source = follow(&agent, Some(committed));
    assert_started(&mut source, &agent.node().await).await;
    assert!(matches!(next(&mut source).await, Update::Suspect { .. }));
    assert!(until(&mut source, "alive", Passing).await.1);
}

#[tokio::test]
async fn a_consul_that_goes_and_comes_is_told_once_each() {
    let mut agent = ConsulAgent::start().await;
    let mut source = follow(&agent, None);
    assert_started(&mut source, &agent.node().await).await;
    until(&mut source, "serfHealth", Passing).await;

    agent.stop().await;
    let Update::Lost { reason } = next(&mut source).await else { panic!("the loss was due") };
    assert!(reason.starts_with(&format!("query {}/v1/", agent.address())), "{reason}");
    assert_quiet(&mut source).await;

    agent.restart().await;
    agent.register_ttl_check("web", "alive").await;
    let (mut told, mut alive) = (Vec::new(), None);
    while alive != Some(Passing) {
        match next(&mut source).await {
            Update::Entries { entries, .. } => {
                let checks: Vec<_> = entries.iter().filter_map(Entry::check).cloned().collect();
                alive = status_of(&checks, "alive");
            }
            Update::Node(_) => {}
            other => told.push(other),
        }
    }
    assert_eq!(told, [Update::Recovered]);
}

#[tokio::test]
async fn a_consul_that_is_not_there_at_the_start_is_waited_for() {
    let mut agent = ConsulAgent::start().await;
    let node = agent.node().await;
    agent.kill();
    let mut source = follow(&agent, None);
    let Update::Lost { reason } = next(&mut source).await else { panic!("the loss was due") };
    assert!(reason.contains("/v1/agent/self: Consul is not reachable: "), "{reason}");

    agent.restart().await;
    assert_started(&mut source, &node).await;
    assert_eq!(next(&mut source).await, Update::Recovered);
    until(&mut source, "serfHealth", Passing).await;
}

#[tokio::test]
async fn a_refused_token_is_a_loss_until_its_file_holds_a_better_one() {
    let agent = ConfiguredAgent::start(10, json!({"acl": {"enabled": true, "default_policy": "deny"}}));
    let token = agent.bootstrap_token().await;
    let file = agent.dir.path().join("token");
    fs::write(&file, "00000000-0000-0000-0000-000000000000").unwrap();
    let mut source = source(&Settings { token: Some(Token::File(file.clone())), ..agent.settings() }, None);
    let Update::Lost { reason } = next(&mut source).await else { panic!("the loss was due") };
    assert!(
        reason.contains(r#"/v1/agent/self: status 403 "ACL not found"; the token has to allow"#),
        "{reason}"
    );

    fs::write(&file, format!("{token}\n")).unwrap();
    assert_started(&mut source, "configured").await;
    assert_eq!(next(&mut source).await, Update::Recovered);
    until(&mut source, "serfHealth", Passing).await;
}

#[tokio::test]
async fn tls_with_a_client_certificate_and_another_server_name_works() {
    let pem = certificates();
    let path = |name: &str| pem.path().join(name);
    let agent = ConfiguredAgent::start(
        20,
        json!({
            "ports": {"dns": -1, "grpc": -1, "https": 8501},
            "verify_incoming": true,
            "ca_file": path("consul-agent-ca.pem"),
            "cert_file": path("dc1-server-consul-0.pem"),
            "key_file": path("dc1-server-consul-0-key.pem"),
        }),
    );
    let good = Settings {
        address: format!("https://{}:8501", agent.ip).parse().unwrap(),
        ca_file: Some(path("consul-agent-ca.pem")),
        client_cert: Some(path("dc1-cli-consul-0.pem")),
        client_key: Some(path("dc1-cli-consul-0-key.pem")),
        tls_server_name: Some("server.dc1.consul".into()),
        ..Settings::default()
    };
    let ready = eventually(async || Client::new(&good).unwrap().local_node().await.ok()).await;
    assert_eq!(ready.unwrap().name, "configured");
    let mut source = source(&good, None);
    assert_started(&mut source, "configured").await;
    until(&mut source, "serfHealth", Passing).await;

    let fails = async |settings: Settings| Client::new(&settings).unwrap().local_node().await.is_err();
    assert!(fails(Settings { tls_server_name: None, ..good.clone() }).await, "the name is checked");
    assert!(fails(Settings { ca_file: None, ..good.clone() }).await, "the authority is checked");
    assert!(fails(Settings { client_cert: None, client_key: None, ..good.clone() }).await, "so are we");
    let trusting = Settings { verify: false, ca_file: None, tls_server_name: None, ..good.clone() };
    assert!(!fails(trusting).await, "but not if that is not wanted");
}

/// An agent with a configuration of the test's, on a Unix socket and a loopback address of its own,
/// so that it can use Consul's usual ports beside any other agent.
struct ConfiguredAgent {
    child: Child,
    ip: String,
    dir: TempDir,
}

impl ConfiguredAgent {
    fn start(net: u8, mut config: Value) -> Self {
        let dir = TempDir::new().unwrap();
        // The process's id keeps runs side by side apart.
        let [low, high, ..] = std::process::id().to_le_bytes();
        let ip = format!("127.{}.{high}.{}", net + low / 128, low % 128 + 2);
        let ours = json!({
            "node_name": "configured", "bind_addr": ip,
            "addresses": {"http": socket_url(dir.path()), "https": ip},
        });
        config.as_object_mut().unwrap().extend(ours.as_object().unwrap().clone());
        config.as_object_mut().unwrap().entry("ports").or_insert(json!({"dns": -1, "grpc": -1}));
        let file = dir.path().join("consul.json");
        fs::write(&file, config.to_string()).unwrap();
        let log = fs::File::create(dir.path().join("consul.log")).unwrap();
        let mut command = Command::new(binary());
        command.args(["agent", "-dev", "-log-level=warn", "-config-file"]).arg(file);
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        Self { child: command.spawn().unwrap(), ip, dir }
    }

    fn settings(&self) -> Settings {
        Settings { address: socket_url(self.dir.path()).parse().unwrap(), ..Settings::default() }
    }

    /// Waits for a leader, and gives back the token that may do everything.
    async fn bootstrap_token(&self) -> String {
        let client = http_client(reqwest::Client::builder().unix_socket(self.dir.path().join("http.sock")));
        let token = eventually(async || {
            let answer = client.put("http://localhost/v1/acl/bootstrap").send().await.ok()?;
            let body: Value = serde_json::from_slice(&answer.bytes().await.ok()?).ok()?;
            Some(body["SecretID"].as_str()?.to_owned())
        });
        match token.await {
            Some(token) => token,
            None => panic!("no leader: {}", fs::read_to_string(self.dir.path().join("consul.log")).unwrap()),
        }
    }
}

impl Drop for ConfiguredAgent {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn socket_url(dir: &Path) -> String {
    format!("unix://{}", dir.join("http.sock").display())
}

/// Consul's own tool makes an authority, a server's certificate and a client's.
fn certificates() -> TempDir {
    let dir = TempDir::new().unwrap();
    for arguments in [&["ca", "create"][..], &["cert", "create", "-server"], &["cert", "create", "-cli"]] {
        let made =
            Command::new(absolute(binary())).arg("tls").args(arguments).current_dir(dir.path()).output();
        let made = made.unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    }
    dir
}

fn absolute(binary: PathBuf) -> PathBuf {
    if binary.components().count() == 1 { binary } else { fs::canonicalize(binary).unwrap() }
}
