//! A real Consul server that can be reached in every way: HTTP, HTTPS with certificates on both sides, and a socket.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::consul::binary;
use super::process::Process;
use super::{eventually, http_client};

/// May do everything.
pub const MANAGEMENT: &str = "6f2d4c1e-0000-4000-8000-6c6963746f72";

/// A server that keeps its data, on HTTP, HTTPS and a socket, with ACLs that deny by default.
pub struct Server {
    /// Its address.
    pub ip: String,
    /// For requests of a test's own.
    pub client: reqwest::Client,
    process: Process,
    /// Its folder, with its certificates.
    pub dir: TempDir,
}

impl Server {
    /// Starts it, and waits until its node is healthy.
    pub async fn start() -> Self {
        let dir = TempDir::new().unwrap();
        certificates(dir.path());
        // The process's id keeps runs side by side apart, so that Consul's usual ports are free.
        let [low, high, ..] = std::process::id().to_le_bytes();
        let ip = format!("127.{}.{high}.{}", 40 + low / 128, low % 128 + 2);
        let path = |name: &str| dir.path().join(name);
        let config = json!({
            "node_name": "n1", "server": true, "bootstrap_expect": 1, "bind_addr": ip, "data_dir": path("data"),
            "log_level": "warn", "disable_update_check": true, "performance": { "raft_multiplier": 1 },
            "ports": { "dns": -1, "grpc": -1, "https": 8501, "serf_wan": -1 },
            "addresses": { "http": format!("{ip} {}", socket(dir.path())), "https": ip },
            "verify_incoming_https": true, "ca_file": path("consul-agent-ca.pem"),
            "cert_file": path("dc1-server-consul-0.pem"), "key_file": path("dc1-server-consul-0-key.pem"),
            "acl": { "enabled": true, "default_policy": "deny", "tokens": { "master": MANAGEMENT, "agent": MANAGEMENT } },
        });
        fs::write(path("consul.json"), config.to_string()).unwrap();
        let client = http_client(reqwest::Client::builder());
        let process = spawn(dir.path());
        let server = Self { ip, client, process, dir };
        server.ready().await;
        server
    }

    /// Ends it in order and starts it again with its data.
    pub async fn restart(&mut self) {
        self.process.terminate().await;
        self.process = spawn(self.dir.path());
        self.ready().await;
    }

    async fn ready(&self) {
        let ready = eventually(async || {
            let answer = self.get("/v1/health/node/n1").await?;
            answer.to_string().contains("Agent alive").then_some(())
        });
        assert!(ready.await.is_some(), "it did not become ready:\n{}", self.process.log());
    }

    async fn get(&self, path: &str) -> Option<Value> {
        let request =
            self.client.get(format!("http://{}:8500{path}", self.ip)).header("x-consul-token", MANAGEMENT);
        let text = request.send().await.ok()?.error_for_status().ok()?.text().await.ok()?;
        serde_json::from_str(&text).ok()
    }

    /// PUTs JSON, and gives back the answer's.
    pub async fn put(&self, path: &str, body: Value) -> Value {
        let request =
            self.client.put(format!("http://{}:8500{path}", self.ip)).header("x-consul-token", MANAGEMENT);
        let text =
            request.body(body.to_string()).send().await.unwrap().error_for_status().unwrap().text().await;
        serde_json::from_str(&text.unwrap()).unwrap()
    }

    /// The check of a node that no agent keeps in its own hands.
    pub async fn set(&self, status: &str) {
        self.put(
            "/v1/catalog/register",
            json!({
                "Node": "printer", "Address": "192.0.2.7", "Service": { "ID": "web", "Service": "web" },
                "Check": { "CheckID": "web", "ServiceID": "web", "Name": "web", "Status": status, "Output": status },
            }),
        )
        .await;
    }

    /// Another token with the same rights: its id and its secret.
    pub async fn token(&self) -> (String, String) {
        let token = self.put("/v1/acl/token", json!({ "Policies": [{ "Name": "lictor" }] })).await;
        let word = |name: &str| token[name].as_str().unwrap().to_owned();
        (word("AccessorID"), word("SecretID"))
    }

    /// A path in its folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }
}

fn spawn(dir: &Path) -> Process {
    let mut command = Command::new(binary());
    command.args(["agent", "-config-file"]).arg(dir.join("consul.json"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("CONSUL_")) {
        command.env_remove(name);
    }
    Process::start("consul", &mut command, dir.join("consul.log"))
}

/// Its URL on a socket in `dir`.
pub fn socket(dir: &Path) -> String {
    format!("unix://{}", dir.join("http.sock").display())
}

/// An authority, a server's certificate and a client's, in the place of those that are there.
pub fn certificates(dir: &Path) {
    let made = TempDir::new().unwrap();
    let consul = binary().canonicalize().unwrap();
    for arguments in [&["ca", "create"][..], &["cert", "create", "-server"], &["cert", "create", "-cli"]] {
        let done =
            Command::new(&consul).arg("tls").args(arguments).current_dir(made.path()).output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    }
    for file in fs::read_dir(made.path()).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), dir.join(file.file_name())).unwrap();
    }
}
