//! Receivers of webhooks and mails that take everything, as quickly as they can.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::thread;

/// Answers each request with 204, until the program ends.
pub(crate) fn webhooks() -> SocketAddr {
    serve(|stream| {
        let mut length = 0;
        while let Some(line) = line(stream) {
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length: ") {
                length = value.parse().unwrap();
            }
            if line.is_empty() {
                stream.read_exact(&mut vec![0; length]).unwrap();
                say(stream, "HTTP/1.1 204 No Content\r\n\r\n");
            }
        }
    })
}

/// Takes each mail, until the program ends.
pub(crate) fn mails() -> SocketAddr {
    serve(|stream| {
        say(stream, "220 ready\r\n");
        let mut in_data = false;
        while let Some(line) = line(stream) {
            match line.as_str() {
                "." => in_data = false,
                _ if in_data => continue,
                "DATA" => {
                    in_data = true;
                    say(stream, "354 go on\r\n");
                    continue;
                }
                _ => {}
            }
            say(stream, "250 ok\r\n");
        }
    })
}

/// Serves each connection on a thread of its own.
fn serve(talk: fn(&mut BufReader<TcpStream>)) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = BufReader::new(stream.unwrap());
            thread::spawn(move || talk(&mut stream));
        }
    });
    address
}

/// The next line without its end; none when the other side has gone.
fn line(stream: &mut BufReader<TcpStream>) -> Option<String> {
    let mut line = String::new();
    // A connection that is cut off, as Lictor is when it is killed, ends like any other.
    let read = stream.read_line(&mut line).unwrap_or(0);
    line.truncate(line.trim_end_matches(['\r', '\n']).len());
    (read > 0).then_some(line)
}

fn say(stream: &mut BufReader<TcpStream>, words: &str) {
    // Whoever does not listen any more is noticed at the next line.
    stream.get_mut().write_all(words.as_bytes()).ok();
}
