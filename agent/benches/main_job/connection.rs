//! As little of an HTTP client as can talk to Consul: one kept-alive connection, no library in between.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// Longer than any query waits here.
const TIMEOUT: Duration = Duration::from_mins(2);

/// A connection that stays open.
pub(crate) struct Connection {
    stream: BufReader<TcpStream>,
}

/// What came back.
#[derive(Default)]
pub(crate) struct Answer {
    /// `X-Consul-Index`, where there is one.
    pub(crate) index: u64,
    pub(crate) body: Vec<u8>,
}

impl Connection {
    /// Connects to `address`, a host and a port.
    pub(crate) fn open(address: &str) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(TIMEOUT)).unwrap();
        Self { stream: BufReader::new(stream) }
    }

    /// Sends a request and reads the whole answer.
    pub(crate) fn request(&mut self, method: &str, path: &str, body: &str) -> Answer {
        let length = body.len();
        let head = format!("{method} {path} HTTP/1.1\r\nHost: consul\r\nContent-Length: {length}\r\n\r\n");
        self.stream.get_mut().write_all((head + body).as_bytes()).unwrap();
        self.answer()
    }

    fn answer(&mut self) -> Answer {
        let status = self.line();
        assert!(status.starts_with("HTTP/1.1 200"), "{status}");
        let (mut answer, mut in_chunks) = (Answer::default(), false);
        loop {
            let line = self.line();
            let Some((name, value)) = line.split_once(": ") else { break };
            match name.to_ascii_lowercase().as_str() {
                "x-consul-index" => answer.index = value.parse().unwrap(),
                "content-length" => answer.body.resize(value.parse().unwrap(), 0),
                "transfer-encoding" => in_chunks = true,
                _ => {}
            }
        }
        if in_chunks {
            self.chunks(&mut answer.body);
        } else {
            self.stream.read_exact(&mut answer.body).unwrap();
        }
        answer
    }

    /// Reads a long body: Consul sends it in chunks, each with its length before it, the last one of length 0.
    fn chunks(&mut self, body: &mut Vec<u8>) {
        loop {
            let length = usize::from_str_radix(&self.line(), 16).unwrap();
            let start = body.len();
            body.resize(start + length, 0);
            self.stream.read_exact(&mut body[start..]).unwrap();
            assert_eq!(self.line(), "", "a chunk ends with its line");
            if length == 0 {
                return;
            }
        }
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.stream.read_line(&mut line).unwrap();
        line.truncate(line.trim_end().len());
        line
    }
}
