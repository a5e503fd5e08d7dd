//! A real mail server, aiosmtpd: without protection, with STARTTLS and a login, with TLS and a login.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Deserialize;
use tempfile::TempDir;

use super::process::Process;
use super::{eventually, from_setup};

/// The user that the protected ports know.
pub const USERNAME: &str = "lictor";
/// The password of [`USERNAME`].
pub const PASSWORD: &str = "fasces";

/// A mail server on loopback. It refuses a recipient `busy@…` for now and `unknown@…` for ever.
pub struct MailServer {
    ports: Ports,
    process: Process,
    _dir: TempDir,
}

/// Where each kind of protection is served, on 127.0.0.1.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct Ports {
    /// No TLS, no login.
    pub plain: u16,
    /// STARTTLS, then a login; both are demanded.
    pub starttls: u16,
    /// TLS from the first byte, then a login.
    pub smtps: u16,
}

/// A mail that the server accepted.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub struct Mail {
    /// The envelope's sender.
    pub from: String,
    /// The envelope's recipients.
    pub to: Vec<String>,
    /// Who was logged in.
    pub user: Option<String>,
    /// Did it come over TLS?
    pub tls: bool,
    /// Head and body, as sent.
    pub content: String,
}

impl MailServer {
    /// Starts the server; it accepts mail when this returns.
    pub async fn start() -> Self {
        let dir = TempDir::new().unwrap();
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/smtpd.py");
        let mut command = Command::new(python());
        command
            .arg(script)
            .args(["server.pem", "server.key"].map(certificate))
            .env("PYTHONWARNINGS", "ignore");
        let mut process = Process::start("the mail server", &mut command, dir.path().join("smtpd.log"));
        let ports = process.until("say its ports", async |process| {
            process.log().lines().find_map(|line| serde_json::from_str(line).ok())
        });
        let ports = ports.await;
        Self { ports, process, _dir: dir }
    }

    /// The server's ports.
    pub fn ports(&self) -> Ports {
        self.ports
    }

    /// What was accepted so far, in order.
    pub fn mails(&self) -> Vec<Mail> {
        self.process.log().lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// Waits until `count` mails were accepted, and gives back all that were.
    pub async fn wait_for(&self, count: usize) -> Vec<Mail> {
        let mails = eventually(async || Some(self.mails()).filter(|mails| mails.len() >= count)).await;
        mails.unwrap_or_else(|| panic!("fewer than {count} mails came:\n{}", self.process.log()))
    }
}

/// The authority that signed the certificate of this mail server and of nginx, as PEM.
pub fn ca() -> PathBuf {
    certificate("ca.pem")
}

/// The Python that has aiosmtpd, and so `smtplib` for a test that sends mail itself.
pub fn python() -> PathBuf {
    from_setup("parts/bin/python3")
}

pub(super) fn certificate(file: &str) -> PathBuf {
    from_setup("parts/tls").join(file)
}
