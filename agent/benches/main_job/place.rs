//! What all measurements share: a Consul agent with one check, and a folder.

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::flips::CHECK;
use crate::support::consul::{self, ConsulAgent};

/// An agent in development mode with the service `web` and its one check, and a folder for all that is written.
pub(crate) struct Place {
    consul: ConsulAgent,
    node: String,
    dir: TempDir,
}

impl Place {
    /// Starts the agent and registers the service.
    pub(crate) async fn prepare() -> Self {
        let consul = ConsulAgent::start().await;
        consul.register_ttl_check("web", CHECK).await;
        let node = consul.node().await;
        Self { consul, node, dir: TempDir::new().unwrap() }
    }

    /// The agent's URL.
    pub(crate) fn url(&self) -> String {
        self.consul.address()
    }

    /// The agent's host and port.
    pub(crate) fn address(&self) -> String {
        self.url().trim_start_matches("http://").to_owned()
    }

    /// The name of the agent's node.
    pub(crate) fn node(&self) -> &str {
        &self.node
    }

    /// A path in the folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// `consul watch` on all checks that the agent at `url` knows, with a compiled handler that notes its start in
    /// `stamps`.
    pub(crate) fn consul_watch(url: &str, stamps: &Path) -> Command {
        let mut command = Command::new(consul::binary());
        command.args(["watch", "-type=checks", "-shell=false", &format!("-http-addr={url}")]);
        command.arg(std::env::current_exe().unwrap()).arg("stamp").arg(stamps);
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("CONSUL_")) {
            command.env_remove(name);
        }
        command
    }
}
