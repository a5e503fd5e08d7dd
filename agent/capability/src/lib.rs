//! What Lictor can do for a plugin. Each capability is one module: parse a grant, decide (pure), act.
//!
//! Boundary: names nothing else of ours. The host calls in with what a guest asked for; whether that is
//! allowed is decided here, from the receiver's grants alone.
//!
//! Invariant: nothing is done before a grant was found that covers it, and a refusal says what would.

mod append;
mod exec;
mod http;
mod smtp;

pub use append::AppendGrant;
pub use exec::{Command, ExecGrant, ExecOutput, ExitStatus};
pub use http::{HttpGrant, HttpRequest, HttpResponse};
pub use smtp::{Mail, Relay, SmtpError, SmtpGrant};

/// All that one receiver may do. The default is nothing.
#[derive(Debug, Default)]
pub struct Grants {
    /// Programs that may be run.
    pub exec: Vec<ExecGrant>,
    /// Files and folders that may be appended to.
    pub append: Vec<AppendGrant>,
    /// URLs that may be asked.
    pub http: Vec<HttpGrant>,
    /// The relay and who may be written to.
    pub smtp: Option<SmtpGrant>,
}

/// What a plugin says, before it runs, that it will need.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// Run this program with these arguments.
    Exec {
        /// Absolute path, then arguments; an argument may be a pattern with `*`.
        command: Vec<String>,
        /// How long it may run.
        timeout: std::time::Duration,
    },
    /// Append to this file.
    Append {
        /// Absolute path.
        path: String,
    },
    /// Send this kind of HTTP request.
    Http {
        /// `GET`, `POST` and so on.
        method: String,
        /// Absolute URL.
        url: String,
    },
    /// Send mail.
    Smtp {
        /// The sender's address.
        from: String,
        /// The recipients' addresses.
        to: Vec<String>,
    },
}

/// A grant that was written wrongly. The message fits after "failed to".
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct GrantError(pub String);

/// Why a capability did not do what was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// No grant covers it; the text says what would.
    #[error("{0}")]
    Refused(String),
    /// The time was over.
    #[error("{0}")]
    TimedOut(String),
    /// It was tried, and failed.
    #[error("{0}")]
    Failed(String),
}
