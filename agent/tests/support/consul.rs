//! A real Consul agent in development mode: one server, its own node, all state in memory.

use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::process::Process;
use super::{eventually, free_port, from_setup, http_client};

/// Consul may lose a port between the choice and the bind to another process of the machine.
const START_ATTEMPTS: usize = 3;

/// A Consul agent on loopback, ready when it is returned: it has a leader and its node is healthy.
pub struct ConsulAgent {
    client: reqwest::Client,
    http_port: u16,
    process: Process,
    dir: TempDir,
    update_interval: &'static str,
}

impl ConsulAgent {
    /// Starts an agent on free ports. It tells its servers of a new output at once.
    pub async fn start() -> Self {
        Self::start_with("0s").await
    }

    /// Starts an agent on free ports. It tells its servers of an output that changes without the status after
    /// `update_interval`, by Consul's default `5m`.
    pub async fn start_with(update_interval: &'static str) -> Self {
        let client = http_client(reqwest::Client::builder());
        for _ in 0..START_ATTEMPTS {
            let (dir, http_port) = (TempDir::new().unwrap(), free_port());
            let process = spawn(&dir, http_port, update_interval);
            let mut agent = Self { client: client.clone(), http_port, process, dir, update_interval };
            if agent.ready().await {
                return agent;
            }
            eprintln!("consul did not become ready:\n{}", agent.process.log());
        }
        panic!("consul did not start in {START_ATTEMPTS} attempts");
    }

    /// For example `http://127.0.0.1:8500`.
    pub fn address(&self) -> String {
        format!("http://127.0.0.1:{}", self.http_port)
    }

    /// The name of the agent's node.
    pub async fn node(&self) -> String {
        self.get("/v1/agent/self").await["Config"]["NodeName"].as_str().unwrap().into()
    }

    /// PUTs a body to a path such as `/v1/kv/a`, and gives back the answer's text.
    pub async fn put(&self, path: &str, body: impl Into<String>) -> String {
        let request = self.client.put(self.address() + path).body(body.into());
        let response = request.send().await.unwrap();
        let (status, text) = (response.status(), response.text().await.unwrap());
        assert!(status.is_success(), "PUT {path}: {status} {text}");
        text
    }

    /// Has its index go on, far beyond that of an agent that has just been started.
    pub async fn age(&self) {
        for _ in 0..100 {
            self.put("/v1/kv/age", "").await;
        }
    }

    /// DELETEs a path.
    pub async fn delete(&self, path: &str) {
        let response = self.client.delete(self.address() + path).send().await.unwrap();
        assert!(response.status().is_success(), "DELETE {path}: {}", response.status());
    }

    /// GETs a path that answers with JSON.
    pub async fn get(&self, path: &str) -> Value {
        let response = self.client.get(self.address() + path).send().await.unwrap();
        let (status, text) = (response.status(), response.text().await.unwrap());
        assert!(status.is_success(), "GET {path}: {status} {text}");
        serde_json::from_str(&text).unwrap()
    }

    /// Registers the service `service` with one passing check `check` that only [`ttl`](Self::ttl) moves.
    pub async fn register_ttl_check(&self, service: &str, check: &str) {
        let ttl = json!({ "CheckID": check, "Name": check, "TTL": "1h", "Status": "passing" });
        let body = json!({ "ID": service, "Name": service, "Check": ttl });
        self.put("/v1/agent/service/register", body.to_string()).await;
    }

    /// Sets the state of a TTL check: `pass`, `warn` or `fail`.
    pub async fn ttl(&self, check: &str, state: &str, output: &str) {
        let status = match state {
            "pass" => "passing",
            "warn" => "warning",
            "fail" => "critical",
            other => panic!("a TTL check can pass, warn or fail, not {other:?}"),
        };
        let body = json!({ "Status": status, "Output": output });
        self.put(&format!("/v1/agent/check/update/{check}"), body.to_string()).await;
    }

    /// Kills the agent and starts a new one at the same address. All its state is lost, and its index
    /// starts over.
    pub async fn restart(&mut self) {
        self.process.kill();
        self.process = spawn(&self.dir, self.http_port, self.update_interval);
        assert!(self.ready().await, "consul did not restart:\n{}", self.process.log());
    }

    /// Ends the agent in order (SIGTERM).
    pub async fn stop(&mut self) {
        self.process.terminate().await;
    }

    /// Ends the agent at once (SIGKILL).
    pub fn kill(&mut self) {
        self.process.kill();
    }

    async fn ready(&mut self) -> bool {
        let Self { client, http_port, process, .. } = self;
        let url = format!("http://127.0.0.1:{http_port}/v1/health/state/passing");
        let nodes = format!("http://127.0.0.1:{http_port}/v1/catalog/nodes");
        // Asked through the catalog, `serfHealth` is there once a leader has registered the node. A moment later the
        // agent tells its metadata, and the node is as it stays.
        let ready = eventually(async || {
            if process.exited().is_some() {
                return Some(false);
            }
            let answer = client.get(&url).send().await.ok()?.text().await.ok()?;
            let told = client.get(&nodes).send().await.ok()?.text().await.ok()?;
            (answer.contains("serfHealth") && told.contains("consul-network-segment")).then_some(true)
        });
        ready.await.unwrap_or(false)
    }
}

fn spawn(dir: &TempDir, http_port: u16, update_interval: &str) -> Process {
    let mut command = Command::new(binary());
    command.args(["agent", "-dev", "-client=127.0.0.1", "-bind=127.0.0.1", "-log-level=warn"]);
    command.arg(format!("-hcl=check_update_interval = \"{update_interval}\""));
    command.args(["-dns-port=-1", "-grpc-port=-1", &format!("-http-port={http_port}")]);
    for name in ["server", "serf-lan", "serf-wan"] {
        command.arg(format!("-{name}-port={}", free_port()));
    }
    if has_grpc_tls() {
        command.arg("-grpc-tls-port=-1");
    }
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("CONSUL_")) {
        command.env_remove(name);
    }
    Process::start("consul", &mut command, dir.path().join("consul.log"))
}

/// Newer versions open a second gRPC port unless they are told not to; older ones refuse the flag.
fn has_grpc_tls() -> bool {
    static ANSWER: OnceLock<bool> = OnceLock::new();
    *ANSWER.get_or_init(|| {
        let help = Command::new(binary()).args(["agent", "-help"]).output().unwrap();
        [help.stdout, help.stderr].iter().any(|text| String::from_utf8_lossy(text).contains("grpc-tls-port"))
    })
}

/// The `consul` that `CONSUL_BIN` names, else the one on PATH, else the one from `make setup`.
pub fn binary() -> PathBuf {
    if let Some(path) = std::env::var_os("CONSUL_BIN") {
        return path.into();
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let on_path = std::env::split_paths(&path).map(|dir| dir.join("consul")).find(|file| file.is_file());
    on_path.unwrap_or_else(|| from_setup("consul/usr/bin/consul"))
}
