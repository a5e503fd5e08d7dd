//! From the start of the process to the first query that it sends, the plugins' compiled code being cached.

use std::io::Read;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;

use crate::place::Place;
use crate::running::Running;
use crate::sidecar::Sidecar;
use crate::stamps::now_ns;
use crate::table::{Samples, Table};

const RUNS: usize = 30;

/// A start that takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(30);

/// What is to be reached, in ms.
const REACH: f64 = 100.0;

/// Starts Lictor again and again, each time with nothing of the former process left but its files.
pub(crate) fn measure(place: &Place, table: &mut Table) {
    println!("Measuring cold starts …");
    let sidecar = Sidecar::prepare(place);
    let (address, first_queries) = listen();
    let mut samples = Samples::new("ms");
    // The first one compiles the plugins.
    for run in 0..=RUNS {
        let started = now_ns();
        let lictor = Running::start(sidecar.command(&address.to_string()), sidecar.log());
        let Ok(queried) = first_queries.recv_timeout(PATIENCE) else {
            panic!("Lictor asks nothing; it said:\n{}", lictor.log());
        };
        if run > 0 {
            samples.add(f64::from(u32::try_from(queried - started).unwrap()) / 1e6);
        }
    }
    table.row("Lictor's start → its first query, four plugins", &samples);
    let median = samples.median();
    table.reach("… under 100 ms", &format!("{median:.0} ms"), median < REACH);
}

/// Takes connections and tells when the first byte of each came.
fn listen() -> (SocketAddr, Receiver<u64>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let (stamps, received) = mpsc::channel();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut byte = [0];
            // A process that is killed in between has asked nothing.
            if stream.and_then(|mut stream| stream.read_exact(&mut byte)).is_ok() {
                stamps.send(now_ns()).ok();
            }
        }
    });
    (address, received)
}
