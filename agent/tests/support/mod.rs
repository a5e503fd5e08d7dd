//! The real parts that integration tests run against: Consul, a mail server, nginx, and Lictor itself.
//!
//! Each part is a process of its own on free loopback ports, with a folder of its own for what it
//! writes; it ends when its handle is dropped. All waits are bounded, and one that fails prints what
//! the part wrote. A test file takes it in with `mod support;` and runs on a tokio runtime.
//!
//! What a machine lacks is brought by `make setup`; a missing part is a failure, never a skipped test.

#![allow(
    clippy::allow_attributes,
    dead_code,
    unreachable_pub,
    reason = "each test file takes in the whole module and uses a part of it"
)]
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stderr,
    reason = "a test fails by a panic, and says what it saw"
)]

pub mod cluster;
pub mod consul;
pub mod fake_consul;
pub(crate) mod guest;
pub mod home;
pub mod inbox;
pub mod layout;
pub mod lictor;
pub mod mail;
pub mod nginx;
mod process;
pub mod secured;
pub mod small_disk;

use std::collections::HashSet;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, Once};
use std::time::Duration;

use tokio::time::{Instant, sleep};

/// How long a test waits for anything; far more than any part needs on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// How often a wait looks again.
const POLL: Duration = Duration::from_millis(10);

/// Asks `probe` again and again until it answers, or until [`PATIENCE`] is over.
pub async fn eventually<T>(mut probe: impl AsyncFnMut() -> Option<T>) -> Option<T> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = probe().await {
            return Some(answer);
        }
        if Instant::now() >= deadline {
            return None;
        }
        sleep(POLL).await;
    }
}

/// A client for the loopback; `reqwest` wants rustls's cryptography chosen by the program.
pub fn http_client(builder: reqwest::ClientBuilder) -> reqwest::Client {
    static PROVIDER: Once = Once::new();
    PROVIDER.call_once(|| {
        // Where Lictor's own client runs in this process too, it has chosen the same.
        rustls::crypto::ring::default_provider().install_default().ok();
    });
    builder.no_proxy().timeout(PATIENCE).build().unwrap()
}

/// A loopback port that is free now and was not handed out before by this process.
fn free_port() -> u16 {
    static TAKEN: Mutex<Option<HashSet<u16>>> = Mutex::new(None);
    let mut taken = TAKEN.lock().unwrap();
    let taken = taken.get_or_insert_default();
    for _ in 0..100 {
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
        if taken.insert(port) {
            return port;
        }
    }
    panic!("no free loopback port");
}

/// The folder `target/`, wherever Cargo was told to put it.
fn target_dir() -> &'static Path {
    Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap()
}

/// A file that `make setup` puts below `target/`.
pub fn from_setup(path: &str) -> PathBuf {
    let path = target_dir().join(path);
    assert!(path.exists(), "{} is missing: run make setup, or make test", path.display());
    path
}
