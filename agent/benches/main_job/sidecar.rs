//! Lictor as it is used: four receivers, one for each plugin that it carries.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;

use crate::place::Place;
use crate::servers;
use crate::support::lictor;

/// Receivers, each of which gets each change.
pub(crate) const RECEIVERS: usize = 4;

/// A configuration and where its parts are.
pub(crate) struct Sidecar {
    config: PathBuf,
    log: PathBuf,
}

impl Sidecar {
    /// Starts the servers that it reports to, and writes the configuration.
    pub(crate) fn prepare(place: &Place) -> Self {
        let (webhooks, mails) = (servers::webhooks(), servers::mails());
        let config = place.path("sidecar.toml");
        fs::write(&config, text(place, webhooks, mails)).unwrap();
        Self { config, log: place.path("sidecar.log") }
    }

    /// `lictor run`, which asks the Consul at `address`.
    pub(crate) fn command(&self, address: &str) -> Command {
        let mut command = lictor::command();
        command.arg("run").arg("-c").arg(&self.config).env("CONSUL_HTTP_ADDR", address);
        command
    }

    /// Where it logs to.
    pub(crate) fn log(&self) -> PathBuf {
        self.log.clone()
    }
}

fn text(place: &Place, webhooks: SocketAddr, mails: SocketAddr) -> String {
    let (data, events) = (place.path("sidecar"), place.path("events.jsonl"));
    let (data, events) = (data.display(), events.display());
    format!(
        r#"
        [agent]
        data_dir = "{data}"
        [[rules]]
        name = "web"
        on = ["check.status"]
        match = {{ service = "web" }}
        receivers = ["run", "journal", "chat", "mail"]
        [receivers.run]
        plugin = "shell"
        config = {{ command = ["/bin/true"] }}
        [receivers.journal]
        plugin = "file"
        config = {{ path = "{events}" }}
        [receivers.chat]
        plugin = "webhook"
        config = {{ url = "http://{webhooks}/hook" }}
        [receivers.mail]
        plugin = "email"
        config = {{ from = "lictor@example.com", to = ["ops@example.com"] }}
        allow.smtp = {{ relay = "smtp://{mails}" }}
        "#
    )
}
