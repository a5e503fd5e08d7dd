//! What it takes to read an answer: the CPU time of the thread that asks a server which has the answer ready, takes
//! it in and makes Lictor's entries of it. Beside it the same with the bare client.
//!
//! Lictor's reader of Consul's JSON has no door of its own, so it is measured through Lictor's client.

use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use lictor::consul::{Before, Client, Query, Settings, What};

use crate::bare::Check;
use crate::checks::{as_consul_tells, check};
use crate::connection::Connection;
use crate::table::{Samples, Table};
use crate::usage;

/// How many checks an answer has, and how often it is read.
const SIZES: [(usize, usize, &str); 3] = [(100, 500, "100"), (1_000, 200, "1,000"), (10_000, 60, "10,000")];

/// Measures both readers.
pub(crate) fn measure(table: &mut Table) {
    println!("Measuring how answers are read …");
    for (checks, runs, written) in SIZES {
        let address = serve(checks);
        table.row(&format!("CPU of a bare client that reads {written} checks"), &bare(address, runs, checks));
        table.row("… of Lictor's client, up to its entries", &lictor(address, (runs, checks), false));
        table.row("… once more, since nothing differs", &lictor(address, (runs, checks), true));
    }
}

fn bare(address: SocketAddr, runs: usize, checks: usize) -> Samples {
    let mut connection = Connection::open(&address.to_string());
    let mut samples = Samples::new("ms");
    for _ in 0..runs {
        let before = usage::cpu_of_this_thread();
        let answer = connection.request("GET", "/v1/health/state/any", "");
        let found: Vec<Check> = serde_json::from_slice(&answer.body).unwrap();
        samples.add(usage::cpu_of_this_thread() - before);
        assert_eq!(found.len(), checks);
        assert!(found.iter().all(|check| check.status == "passing" && !check.check_id.is_empty()));
    }
    samples
}

fn lictor(address: SocketAddr, (runs, checks): (usize, usize), goes_on: bool) -> Samples {
    let settings = Settings { address: address.to_string().parse().unwrap(), ..Settings::default() };
    let (client, watch) = (Client::new(&settings).unwrap(), What::StateChecks("any".into()).into());
    let query = Query { index: None, wait: Duration::from_mins(1), consistent: false };
    let mut samples = Samples::new("ms");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut known = Before::default();
    for _ in 0..runs {
        let before = usage::cpu_of_this_thread();
        let answer = runtime.block_on(client.entries(&watch, "app0000", query, &mut known)).unwrap();
        samples.add(usage::cpu_of_this_thread() - before);
        assert_eq!(answer.value.len(), checks);
        if !goes_on {
            known = Before::default();
        }
    }
    samples
}

/// Answers each request with so many checks, until the program ends.
fn serve(checks: usize) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let told: Vec<_> = (0..checks).map(|number| as_consul_tells(&check(number))).collect();
    let body = serde_json::to_vec(&told).unwrap();
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nX-Consul-Index: 7\r\n\
         X-Consul-KnownLeader: true\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    let answer = [head.into_bytes(), body].concat();
    thread::spawn(move || {
        for stream in listener.incoming() {
            talk(&mut BufReader::new(stream.unwrap()), &answer);
        }
    });
    address
}

/// Answers one connection, until the other side has gone.
fn talk(stream: &mut BufReader<TcpStream>, answer: &[u8]) {
    let mut line = String::new();
    while stream.read_line(&mut line).unwrap_or(0) > 0 {
        if line == "\r\n" && stream.get_mut().write_all(answer).is_err() {
            return;
        }
        line.clear();
    }
}
