//! What can go wrong with Consul, by what has to be done about it.
//!
//! A `SetupError` is the operator's: nothing is tried again. A `ClientError` may pass by itself:
//! whoever asked waits and asks again.
//!
//! Invariant: a message says where (a URL, which holds no secret) and what; its cause is in `source`.

use std::path::PathBuf;
use std::time::Duration;

use super::{AddressError, IndexError, TokenError};
use crate::catalog::UnknownStatus;

/// The settings cannot work.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// The address is none.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// The token is none.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// A certificate or a key cannot be read.
    #[error("read {path}")]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// A file of authorities is broken.
    #[error("read certificates from {path}")]
    Authority {
        /// The file.
        path: PathBuf,
        /// Where it breaks.
        source: reqwest::Error,
    },
    /// A file of authorities is not in PEM form, or holds something else.
    #[error("read {path}: it holds no certificate in PEM form")]
    NoAuthority {
        /// The file.
        path: PathBuf,
    },
    /// The client certificate or its key is broken.
    #[error("use client certificate {certificate} with key {key}")]
    Identity {
        /// The file of the certificate.
        certificate: PathBuf,
        /// The file of its key.
        key: PathBuf,
        /// What is wrong.
        source: reqwest::Error,
    },
    /// One of the two is missing.
    #[error("use a client certificate: the certificate and its key belong together, and one is missing")]
    HalfIdentity,
    /// The name to find in the server's certificate is none.
    #[error("use TLS server name {0:?}: not a DNS name")]
    ServerName(String),
    /// The parts do not fit together.
    #[error("set up the connection to Consul")]
    Transport(#[source] reqwest::Error),
}

/// A query failed.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// There is no token to send.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// Nobody listens there, or the connection broke.
    #[error("query {url}: Consul is not reachable")]
    Unreachable {
        /// What was asked.
        url: String,
        /// Why not.
        source: reqwest::Error,
    },
    /// No answer in time.
    #[error("query {url}: no answer within {} s", after.as_secs_f32())]
    Timeout {
        /// What was asked.
        url: String,
        /// How long we waited.
        after: Duration,
    },
    /// Consul, or something before it, refused.
    #[error("query {url}: status {code} {body:?}{hint}")]
    Status {
        /// What was asked.
        url: String,
        /// The HTTP status.
        code: u16,
        /// How the body begins.
        body: String,
        /// What can be done about it; empty, or `; …`.
        hint: &'static str,
    },
    /// Consul knows of no such thing, and says since when.
    #[error("query {url}: status 404; Consul knows of no such thing")]
    Missing {
        /// What was asked.
        url: String,
        /// The headers of the answer.
        headers: Box<reqwest::header::HeaderMap>,
    },
    /// The answer is not one of Consul's.
    #[error("query {url}: the answer makes no sense")]
    Garbage {
        /// What was asked.
        url: String,
        /// What is wrong with it.
        source: Garbage,
    },
}

/// Why an answer makes no sense.
#[derive(Debug, thiserror::Error)]
pub enum Garbage {
    /// A blocking query is answered with an index.
    #[error("read X-Consul-Index: the answer has none")]
    NoIndex,
    /// The index is no number.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// Not JSON, or not of the expected form.
    #[error("read the body as JSON")]
    Json(#[from] serde_json::Error),
    /// A field that Consul always sends.
    #[error("read {thing}: the field {field} is missing")]
    MissingField {
        /// Whose field.
        thing: String,
        /// Its name.
        field: &'static str,
    },
    /// A status that Consul does not have.
    #[error("read check {check:?}")]
    Status {
        /// The check's id.
        check: String,
        /// The status.
        source: UnknownStatus,
    },
    /// More than we are ready to hold.
    #[error("read the body: longer than {limit} bytes")]
    TooLong {
        /// The bound.
        limit: usize,
    },
}
