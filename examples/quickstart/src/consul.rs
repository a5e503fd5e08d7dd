//! A real Consul agent in development mode, and the state of `web` as it tells it.

use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, bail};
use reqwest::{Client, Response};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::sleep;

use crate::process::Process;
use crate::sighting::{Place, Sighting};

const POLL: Duration = Duration::from_millis(50);
/// Consul answers a blocking query after this at the latest, with a little jitter on top.
const WAIT: &str = "5s";
const HTTP_TIMEOUT: Duration = Duration::from_secs(10);

/// A Consul agent on free loopback ports.
pub(crate) struct Consul {
    /// For the look after it.
    pub(crate) process: Process,
    api: Api,
}

/// Consul's HTTP interface.
#[derive(Clone)]
pub(crate) struct Api {
    client: Client,
    address: String,
}

impl Consul {
    /// Starts the agent; it is not ready yet.
    pub(crate) fn start(binary: &Path, log: PathBuf) -> anyhow::Result<Self> {
        let [http, server, lan, wan] = free_ports()?;
        let mut command = Command::new(binary);
        command.args([
            "agent",
            "-dev",
            "-node=demo",
            "-client=127.0.0.1",
            "-bind=127.0.0.1",
            "-log-level=warn",
        ]);
        command.args(["-dns-port=-1", "-grpc-port=-1"]);
        for (name, port) in [("http", http), ("server", server), ("serf-lan", lan), ("serf-wan", wan)] {
            command.arg(format!("-{name}-port={port}"));
        }
        // Newer versions open a second gRPC port unless they are told not to; older ones refuse the flag.
        let help =
            Command::new(binary).args(["agent", "-help"]).output().context("ask consul for its flags")?;
        if [help.stdout, help.stderr]
            .iter()
            .any(|text| String::from_utf8_lossy(text).contains("grpc-tls-port"))
        {
            command.arg("-grpc-tls-port=-1");
        }
        without_consul_variables(&mut command);
        let client = Client::builder().no_proxy().timeout(HTTP_TIMEOUT).build().context("build a client")?;
        let api = Api { client, address: format!("127.0.0.1:{http}") };
        Ok(Self { process: Process::start("consul", &mut command, log)?, api })
    }

    /// Its HTTP interface.
    pub(crate) fn api(&self) -> &Api {
        &self.api
    }
}

impl Api {
    /// Host and port.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// Consul's version, once it has a leader that knows its node; until then nothing.
    pub(crate) async fn version(&self) -> Option<String> {
        let checks = self.get("health/state/passing").await.ok()?.text().await.ok()?;
        if !checks.contains("serfHealth") {
            return None;
        }
        let agent: Value =
            serde_json::from_str(&self.get("agent/self").await.ok()?.text().await.ok()?).ok()?;
        Some(agent["Config"]["Version"].as_str()?.to_owned())
    }

    /// Registers the service `web` with an HTTP check that asks `url` each second.
    pub(crate) async fn register_web(&self, port: u16, url: &str) -> anyhow::Result<()> {
        let check = json!({ "CheckID": "web-http", "Name": "web answers", "HTTP": url, "Interval": "1s", "Timeout": "1s" });
        let body = json!({ "Name": "web", "Port": port, "Check": check }).to_string();
        let request = self.client.put(self.url("agent/service/register")).body(body);
        request.send().await.and_then(Response::error_for_status).context("register the service web")?;
        Ok(())
    }

    /// Tells each change of the check of `web`, until nobody listens.
    pub(crate) async fn follow_web(self, news: mpsc::Sender<Sighting>) {
        let (mut index, mut last) = (0, String::new());
        while !news.is_closed() {
            match self.web_after(index).await {
                Ok((next, status, detail)) => {
                    // An index that goes backwards belongs to another history: begin anew.
                    index = if next < index { 0 } else { next };
                    if status != last {
                        last.clone_from(&status);
                        news.send(Sighting { place: Place::Consul, status, detail }).await.ok();
                    }
                }
                Err(_) => sleep(POLL).await,
            }
        }
    }

    /// The index, the state and the output of the check of `web`, once the index is past `index`.
    async fn web_after(&self, index: u64) -> anyhow::Result<(u64, String, String)> {
        let answer = self.get(&format!("health/checks/web?index={index}&wait={WAIT}")).await?;
        let next = answer.headers().get("X-Consul-Index").context("find an index")?.to_str()?.parse()?;
        let checks: Value = serde_json::from_str(&answer.text().await?)?;
        let text =
            |name: &str| checks[0][name].as_str().map(str::to_owned).with_context(|| format!("find {name}"));
        Ok((next, text("Status")?, text("Output")?))
    }

    async fn get(&self, path: &str) -> reqwest::Result<Response> {
        self.client.get(self.url(path)).send().await?.error_for_status()
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}/v1/{path}", self.address)
    }
}

/// The `consul` that `CONSUL_BIN` names, else the one on PATH, else the one from `make setup`.
pub(crate) fn binary(target: &Path) -> anyhow::Result<PathBuf> {
    if let Some(path) = std::env::var_os("CONSUL_BIN") {
        return Ok(path.into());
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut places = std::env::split_paths(&path).map(|dir| dir.join("consul"));
    let found = places.find(|file| file.is_file()).unwrap_or_else(|| target.join("consul/usr/bin/consul"));
    if !found.is_file() {
        bail!("there is no Consul; run make setup");
    }
    Ok(found)
}

/// The developer's own `CONSUL_*` variables must not lead a child elsewhere.
pub(crate) fn without_consul_variables(command: &mut Command) {
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("CONSUL_") {
            command.env_remove(name);
        }
    }
}

/// Different loopback ports that are free now.
fn free_ports<const N: usize>() -> anyhow::Result<[u16; N]> {
    // All are held until the last one is found, so that no port comes twice.
    let mut held = Vec::with_capacity(N);
    let mut ports = [0; N];
    for port in &mut ports {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("find a free loopback port")?;
        *port = listener.local_addr().context("find a free loopback port")?.port();
        held.push(listener);
    }
    Ok(ports)
}
