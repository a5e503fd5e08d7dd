//! How the Consul agent is reached, and as whom.
//!
//! Boundary: plain values. `env` fills them from the environment, the configuration overwrites what
//! its file says, and so the file wins over the environment, which wins over the defaults here.

use std::path::PathBuf;
use std::time::Duration;

use super::{Address, Secret};

/// How long a blocking query waits for a change, unless the configuration says otherwise.
///
/// Short enough that an index from the future (a Consul whose history began anew unseen) blinds us
/// for a minute at most, long enough that a quiet node costs one small query a minute.
pub const BLOCK_QUERY_WAIT_DEFAULT: Duration = Duration::from_mins(1);

/// Consul cuts a longer wait to this.
pub const BLOCK_QUERY_WAIT_MAX: Duration = Duration::from_mins(10);

/// Everything that the client needs to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Where the agent listens. Default: `127.0.0.1:8500`.
    pub address: Address,
    /// An address that names no scheme means https. Default: false.
    pub https: bool,
    /// The ACL token. Default: none.
    pub token: Option<Token>,
    /// For a proxy in front of Consul that asks for it. Default: none.
    pub http_auth: Option<BasicAuth>,
    /// A PEM file of the authorities to trust, instead of the system's. Default: none.
    pub ca_file: Option<PathBuf>,
    /// A folder of such files. Default: none.
    pub ca_path: Option<PathBuf>,
    /// A PEM file: this client's certificate and its chain. Default: none.
    pub client_cert: Option<PathBuf>,
    /// A PEM file: the key of `client_cert`. Default: none.
    pub client_key: Option<PathBuf>,
    /// The DNS name to ask for and to find in the server's certificate, instead of the address's host.
    pub tls_server_name: Option<String>,
    /// Check the server's certificate. Default: true.
    pub verify: bool,
    /// The namespace to ask (Consul Enterprise). Default: the token's.
    pub namespace: Option<String>,
    /// The admin partition to ask (Consul Enterprise). Default: the agent's.
    pub partition: Option<String>,
    /// How long a blocking query waits for a change. Default: [`BLOCK_QUERY_WAIT_DEFAULT`].
    pub block_query_wait: Duration,
}

/// Where the ACL token comes from.
///
/// One choice, not two fields: a token file from the configuration replaces a token from the
/// environment, and the other way round.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Token {
    /// The token itself.
    Value(Secret),
    /// A file that holds it; read again when it changes, and when Consul refuses the last one.
    File(PathBuf),
}

/// User name and password of HTTP basic authentication.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BasicAuth {
    /// The user name.
    pub username: String,
    /// The password, if there is one.
    pub password: Option<Secret>,
}

impl BasicAuth {
    /// Reads `user` or `user:password`, as Consul's own client does.
    pub fn parse(text: &str) -> Self {
        match text.split_once(':') {
            Some((user, password)) => Self { username: user.into(), password: Some(Secret::new(password)) },
            None => Self { username: text.into(), password: None },
        }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            address: Address::default(),
            https: false,
            token: None,
            http_auth: None,
            ca_file: None,
            ca_path: None,
            client_cert: None,
            client_key: None,
            tls_server_name: None,
            verify: true,
            namespace: None,
            partition: None,
            block_query_wait: BLOCK_QUERY_WAIT_DEFAULT,
        }
    }
}
