//! The one check that everything here is about, failed and passed.

use crate::connection::Connection;
use crate::stamps::now_ns;

/// The check's id.
pub(crate) const CHECK: &str = "web-alive";

/// Sets the check's state.
pub(crate) struct Flips {
    connection: Connection,
}

impl Flips {
    /// Uses the agent at `address`.
    pub(crate) fn new(address: &str) -> Self {
        Self { connection: Connection::open(address) }
    }

    /// Fails the check, and gives back when that was asked for.
    pub(crate) fn fail(&mut self) -> u64 {
        self.set("critical", "connection refused")
    }

    /// Passes the check, and gives back when that was asked for.
    pub(crate) fn pass(&mut self) -> u64 {
        self.set("passing", "200 OK")
    }

    fn set(&mut self, status: &str, output: &str) -> u64 {
        let path = format!("/v1/agent/check/update/{CHECK}");
        let body = format!(r#"{{"Status":"{status}","Output":"{output}"}}"#);
        let asked = now_ns();
        self.connection.request("PUT", &path, &body);
        asked
    }
}
