//! The receiver of mails: the protocol is the crate `mailin`'s, the connections are ours.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use anyhow::Context;
use mailin::{Action, Handler, Response, SessionBuilder, response};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use crate::sighting::{Place, Plugin, Sighting};

/// Far more than any mail of the demonstration; a line that is longer ends its connection.
const LINE_MAX: u64 = 64 * 1024;

/// Receives mails for as long as the runtime lives, and gives back host and port.
pub(crate) async fn receive_mails(news: mpsc::Sender<Sighting>) -> anyhow::Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.context("bind the mail receiver")?;
    let address = listener.local_addr().context("bind the mail receiver")?;
    tokio::spawn(async move {
        while let Ok((stream, peer)) = listener.accept().await {
            let mailbox = Mailbox { to: Vec::new(), content: Vec::new(), news: news.clone() };
            tokio::spawn(converse(stream, peer.ip(), mailbox));
        }
    });
    Ok(address)
}

/// One connection, until either side ends it.
async fn converse(stream: TcpStream, peer: IpAddr, mailbox: Mailbox) -> std::io::Result<()> {
    let mut session = SessionBuilder::new("localhost").build(peer, mailbox);
    let mut stream = BufReader::new(stream);
    stream.write_all(&session.greeting().buffer()?).await?;
    let mut line = Vec::new();
    loop {
        line.clear();
        let length = (&mut stream).take(LINE_MAX).read_until(b'\n', &mut line).await?;
        if length == 0 || !line.ends_with(b"\n") {
            return Ok(());
        }
        let answer = session.process(&line);
        stream.write_all(&answer.buffer()?).await?;
        if matches!(answer.action, Action::Close) {
            return stream.shutdown().await;
        }
    }
}

/// The mail that is coming in.
struct Mailbox {
    to: Vec<String>,
    content: Vec<u8>,
    news: mpsc::Sender<Sighting>,
}

impl Handler for Mailbox {
    fn data_start(&mut self, _domain: &str, _from: &str, _is8bit: bool, to: &[String]) -> Response {
        self.to = to.to_vec();
        self.content.clear();
        response::OK
    }

    fn data(&mut self, line: &[u8]) -> std::io::Result<()> {
        self.content.extend_from_slice(line);
        Ok(())
    }

    fn data_end(&mut self) -> Response {
        let content = String::from_utf8_lossy(&self.content);
        let subject = content.lines().find_map(|line| line.strip_prefix("Subject: ")).unwrap_or_default();
        let Some(status) = status(subject) else { return response::OK };
        let detail = format!("to {}: {subject}", self.to.join(", "));
        let sighting = Sighting { place: Place::Plugin(Plugin::Email), status, detail };
        match self.news.try_send(sighting) {
            Ok(()) => response::OK,
            Err(_) => response::NO_SERVICE,
        }
    }
}

/// The state that a subject such as `web is critical on demo` tells.
fn status(subject: &str) -> Option<String> {
    let (_, rest) = subject.split_once(" is ")?;
    rest.split_whitespace().next().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn answer(stream: &mut BufReader<TcpStream>, line: &str) -> String {
        stream.write_all(format!("{line}\r\n").as_bytes()).await.unwrap();
        loop {
            let mut answer = String::new();
            stream.read_line(&mut answer).await.unwrap();
            // A hyphen after the code: more lines follow.
            if answer.as_bytes().get(3) != Some(&b'-') {
                return answer[..3].to_owned();
            }
        }
    }

    #[tokio::test]
    async fn a_mail_is_told_by_its_subject() {
        let (news, mut seen) = mpsc::channel(8);
        let address = receive_mails(news).await.unwrap();
        let mut stream = BufReader::new(TcpStream::connect(address).await.unwrap());
        let mut greeting = String::new();
        stream.read_line(&mut greeting).await.unwrap();
        assert!(greeting.starts_with("220 "), "{greeting}");

        let mail = "From: lictor@example.com\r\nSubject: web is critical on demo\r\n\r\nrefused\r\n.";
        for (line, code) in [
            ("EHLO lictor", "250"),
            ("MAIL FROM:<lictor@example.com>", "250"),
            ("RCPT TO:<ops@example.com>", "250"),
            ("DATA", "354"),
            (mail, "250"),
            ("QUIT", "221"),
        ] {
            assert_eq!(answer(&mut stream, line).await, code, "{line}");
        }
        let sighting = seen.recv().await.unwrap();
        assert_eq!((sighting.place, sighting.status.as_str()), (Place::Plugin(Plugin::Email), "critical"));
        assert_eq!(sighting.detail, "to ops@example.com: web is critical on demo");
    }
}
