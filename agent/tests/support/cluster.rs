//! A small cluster of real Consul agents on loopback: one server and two clients, with ACLs that deny by default.

use std::fs;
use std::process::Command;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::consul::binary;
use super::process::Process;
use super::{eventually, free_port, http_client};

/// May do everything; only the tests themselves and the agents use it.
const MANAGEMENT: &str = "6f2d4c1e-0000-4000-8000-6c6963746f72";

/// One agent. Its data outlive its process.
pub struct Agent {
    /// The name of its node.
    pub name: &'static str,
    config: Value,
    http_port: u16,
    client: reqwest::Client,
    dir: TempDir,
    process: Option<Process>,
}

/// The server `n1` and the clients `n2` and `n3`, none of them started.
pub fn agents() -> [Agent; 3] {
    let client = http_client(reqwest::Client::builder());
    let (server_port, serf_port) = (free_port(), free_port());
    let agent = |name: &'static str, ip: &str, more: Value| {
        let (dir, http_port) = (TempDir::new().unwrap(), free_port());
        let mut config = json!({
            "node_name": name, "bind_addr": ip, "client_addr": "127.0.0.1", "data_dir": dir.path().join("data"),
            "log_level": "warn", "check_update_interval": "0s", "disable_update_check": true,
            "performance": { "raft_multiplier": 1 },
            // Dead nodes are found in seconds.
            "gossip_lan": { "probe_interval": "300ms", "probe_timeout": "150ms", "suspicion_mult": 3 },
            "acl": { "enabled": true, "default_policy": "deny", "enable_token_persistence": false,
                "tokens": { "master": MANAGEMENT, "agent": MANAGEMENT, "default": "" } },
            "ports": { "dns": -1, "grpc": -1, "http": http_port, "server": server_port, "serf_lan": free_port(),
                "serf_wan": -1 },
        });
        for (key, value) in more.as_object().unwrap() {
            config[key] = value.clone();
        }
        Agent { name, config, http_port, client: client.clone(), dir, process: None }
    };
    let join = json!({ "retry_join": [format!("127.0.0.2:{serf_port}")], "retry_interval": "1s" });
    let mut server = agent("n1", "127.0.0.2", json!({ "server": true, "bootstrap_expect": 1 }));
    server.config["ports"]["serf_lan"] = serf_port.into();
    [server, agent("n2", "127.0.0.3", join.clone()), agent("n3", "127.0.0.4", join)]
}

impl Agent {
    /// Starts it, and waits until its node is in the catalog.
    pub async fn start(&mut self) {
        let config = self.dir.path().join("consul.json");
        fs::write(&config, self.config.to_string()).unwrap();
        let mut command = Command::new(binary());
        command.args(["agent", "-config-file"]).arg(&config);
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("CONSUL_")) {
            command.env_remove(name);
        }
        self.process = Some(Process::start("consul", &mut command, self.dir.path().join("consul.log")));
        let health = format!("/v1/health/node/{}", self.name);
        let ready = eventually(async || {
            let alive = self.get(&health).await?.to_string().contains("Agent alive and reachable");
            let node = self.get(&format!("/v1/catalog/node/{}", self.name)).await?;
            // The agent tells its metadata a moment after its node is there.
            (alive && node["Node"]["Meta"]["consul-network-segment"].is_string()).then_some(())
        });
        let log = || self.process.as_ref().unwrap().log();
        assert!(ready.await.is_some(), "{} did not become ready:\n{}", self.name, log());
    }

    /// Ends it in order: a client leaves the cluster, a server does not.
    pub async fn stop(&mut self) {
        self.process.take().unwrap().terminate().await;
    }

    /// Ends it at once.
    pub fn kill(&mut self) {
        self.process.take().unwrap().kill();
    }

    /// For example `http://127.0.0.1:8500`.
    pub fn address(&self) -> String {
        format!("http://127.0.0.1:{}", self.http_port)
    }

    /// GETs a path; none while that fails.
    pub async fn get(&self, path: &str) -> Option<Value> {
        let request = self.client.get(self.address() + path).header("x-consul-token", MANAGEMENT);
        let text = request.send().await.ok()?.error_for_status().ok()?.text().await.ok()?;
        serde_json::from_str(&text).ok()
    }

    /// PUTs JSON, and gives back the answer's text.
    pub async fn put(&self, path: &str, body: &Value) -> String {
        let request = self.client.put(self.address() + path).header("x-consul-token", MANAGEMENT);
        let response = request.body(body.to_string()).send().await.unwrap();
        let (status, text) = (response.status(), response.text().await.unwrap());
        assert!(status.is_success(), "PUT {path}: {status} {text}");
        text
    }

    /// A token that has these `rules` and no others, until [`permit`](Self::permit).
    pub async fn token(&self, rules: &str) -> String {
        let policy = json!({ "Name": "lictor", "Rules": rules });
        self.put("/v1/acl/policy", &policy).await;
        let token = self.put("/v1/acl/token", &json!({ "Policies": [{ "Name": "lictor" }] })).await;
        serde_json::from_str::<Value>(&token).unwrap()["SecretID"].as_str().unwrap().to_owned()
    }

    /// Gives the token other rules.
    pub async fn permit(&self, rules: &str) {
        let policy = self.get("/v1/acl/policy/name/lictor").await.unwrap();
        let id = policy["ID"].as_str().unwrap();
        self.put(&format!("/v1/acl/policy/{id}"), &json!({ "ID": id, "Name": "lictor", "Rules": rules }))
            .await;
    }

    /// Registers the service `web`, whose check asks `url` once a second.
    pub async fn register_web(&self, url: &str) {
        let check =
            json!({ "CheckID": "web", "Name": "web", "HTTP": url, "Interval": "1s", "Timeout": "1s" });
        self.put("/v1/agent/service/register", &json!({ "ID": "web", "Name": "web", "Check": check })).await;
    }
}
