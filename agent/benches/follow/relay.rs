//! A relay before the agent that counts the bytes which the agent sends.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

/// Where it listens, and what it has counted.
pub(crate) struct Relay {
    address: SocketAddr,
    bytes: Arc<AtomicU64>,
}

impl Relay {
    /// Relays to `agent`, a host and a port, until the program ends.
    pub(crate) fn start(agent: String) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let relay = Self { address: listener.local_addr().unwrap(), bytes: Arc::default() };
        let bytes = Arc::clone(&relay.bytes);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (near, far) = (stream.unwrap(), TcpStream::connect(&agent).unwrap());
                let (near_too, far_too) = (near.try_clone().unwrap(), far.try_clone().unwrap());
                let bytes = Arc::clone(&bytes);
                thread::spawn(move || carry(near_too, far_too, &AtomicU64::default()));
                thread::spawn(move || carry(far, near, &bytes));
            }
        });
        relay
    }

    /// Its host and port.
    pub(crate) fn address(&self) -> String {
        self.address.to_string()
    }

    /// What the agent has sent so far, with the heads of its answers.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::SeqCst)
    }
}

/// Carries bytes until one side is gone, and then tells the other one.
fn carry(mut from: TcpStream, mut to: TcpStream, bytes: &AtomicU64) {
    let mut buffer = vec![0; 1 << 16];
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        bytes.fetch_add(length as u64, Ordering::SeqCst);
        if to.write_all(&buffer[..length]).is_err() {
            break;
        }
    }
    // A side that is gone already needs not be told.
    from.shutdown(Shutdown::Both).ok();
    to.shutdown(Shutdown::Both).ok();
}
