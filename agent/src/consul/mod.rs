//! The edge to Consul: settings, one HTTP client, and what its answers mean.
//!
//! Boundary: this module alone knows Consul's URLs, headers and JSON. It hands out the nouns of
//! `catalog`, keeps no state between two queries but the token that it last read, and never waits
//! to try again: that is `source`'s work.
//!
//! Invariant: no error, log line or `Debug` output of this module shows a token or a password.

mod address;
mod answer;
mod client;
mod env;
mod error;
mod filter;
mod question;
mod secret;
mod settings;
mod token;
mod transport;
mod wait_index;
mod watch;
mod wire;

pub use address::{Address, AddressError};
pub use answer::Answer;
pub use client::{Client, Query};
pub use env::EnvError;
pub use error::{ClientError, Garbage, SetupError};
pub use filter::{FilterError, check as check_filter};
pub use secret::Secret;
pub use settings::{BLOCK_QUERY_WAIT_DEFAULT, BLOCK_QUERY_WAIT_MAX, BasicAuth, Settings, Token};
pub use token::TokenError;
pub(crate) use transport::provide_crypto;
pub use wait_index::{IndexError, Progress, WaitIndex};
pub use watch::{Consistency, Watch, What};
pub use wire::Before;

/// Reads bytes as an answer of each kind, whatever comes of it: for the fuzzer, which looks for a panic.
#[doc(hidden)]
pub fn read_as_each_kind(body: &[u8]) {
    let name = String::new;
    let kinds = [
        What::NodeChecks,
        What::Service { service: name(), tags: Vec::new(), passing_only: false },
        What::Node(None),
        What::Services,
        What::Nodes,
        What::Key(name()),
        What::Events(None),
        What::AgentService(name()),
        What::ConnectRoots,
        What::ConnectLeaf(name()),
    ];
    // Twice, since an answer is read beside the one before.
    let mut before = Before::default();
    drop(
        [&kinds, &kinds]
            .map(|kinds| kinds.each_ref().map(|what| what.read(body.to_vec(), "n1", &mut before))),
    );
    drop((wire::failures(body), wire::local_node(body), wire::first_denied(body)));
}
