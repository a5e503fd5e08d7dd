//! What a relay says, as lettre can read it: one answer to each thing that is said, and none that is neither yes nor no.
//!
//! lettre takes any 3xx for a yes, and what came behind an answer for the next one, so a relay that is out of step could have
//! a mail count as sent that it did not take. And it fails on answers without a text, in Latin-1 or of long lines, so one that
//! was taken could be sent again. Before TLS begins in the middle (STARTTLS), what comes behind an answer may be anybody's
//! who is on the way (RFC 3207, 4.2 and 5).
//!
//! Invariant: whoever says something new has read the whole answer to what was said before, and nothing came behind it.

use std::collections::VecDeque;
use std::io::{self, Read};
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::{future, mem};

use lettre::transport::smtp::client::AsyncTokioStream;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};

/// Bytes of one answer, at most.
const BYTES: usize = 64 << 10;
/// Lines of an answer that are kept, its first ones: lettre reads all of them anew with each one, and no more than 100,000 bytes.
/// Keywords of EHLO beyond them do not count.
const LINES: usize = 100;
/// Bytes of a line that are kept. A longer one is let go of as a whole: in a part, a secret would not be found.
const LINE: usize = 900;
/// Bytes of what is said by which it is known.
const WORD: usize = 8;
/// The end of a message.
const END: &[u8] = b"\r\n.\r\n";

const TOO_MUCH: &str = "the relay, or somebody on the way, says more than it was asked";

/// A connection to a relay.
#[derive(Debug)]
pub(super) struct Answers<S> {
    stream: S,
    peer: SocketAddr,
    /// The code of the last answer.
    last: u16,
    /// How that begins which is to be answered; empty before the greeting.
    said: Vec<u8>,
    /// The answer to it was there before all of it was said.
    is_early: bool,
    /// What came behind the answer that was read last.
    heard: VecDeque<u8>,
    /// What came of the answer that is to be read next.
    coming: Coming,
    /// What lettre has not read yet of an answer.
    told: VecDeque<u8>,
    /// It refused, or makes no sense, so there is nothing to wait for.
    is_over: bool,
}

/// An answer that comes in.
#[derive(Debug, Default)]
struct Coming {
    /// Of its lines that are whole, those that are kept.
    lines: Vec<Vec<u8>>,
    line: Vec<u8>,
    bytes: usize,
    /// One of its lines has another code than the first, or something else behind it than there may be.
    is_odd: bool,
}

/// An answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) code: u16,
    /// Never empty, and neither is any of them.
    pub(super) lines: Vec<String>,
}

impl Coming {
    /// Whether it is whole.
    fn takes(&mut self, byte: u8) -> bool {
        self.bytes += 1;
        if byte != b'\n' {
            if self.line.len() <= LINE {
                self.line.push(byte);
            }
            return false;
        }
        let mut line = mem::take(&mut self.line);
        line.pop_if(|last| *last == b'\r');
        let goes_on = line.get(3) == Some(&b'-');
        let is_other = self.lines.first().is_some_and(|first| first.get(..3) != line.get(..3));
        self.is_odd |= is_other || !matches!(line.get(3), None | Some(b' ' | b'-'));
        if self.lines.len() < LINES {
            self.lines.push(line);
        }
        !goes_on
    }
}

impl Answer {
    /// `250 ok`, with all lines in one.
    pub(super) fn text(&self) -> String {
        format!("{} {}", self.code, self.lines.join(" "))
    }

    /// None where it is no answer.
    fn read(coming: &Coming) -> Option<Self> {
        let first = coming.lines.first().filter(|_| !coming.is_odd)?;
        let digits = first.get(..3).filter(|digits| digits.iter().all(u8::is_ascii_digit))?;
        let code = str::from_utf8(digits).ok()?.parse().ok().filter(|code| (200..600).contains(code))?;
        let lines = coming.lines.iter().map(|line| text(line, 4)).collect();
        Some(Self { code, lines })
    }

    fn to_bytes(&self) -> VecDeque<u8> {
        let mut bytes = String::new();
        for (number, line) in self.lines.iter().enumerate() {
            let goes_on = if number + 1 < self.lines.len() { '-' } else { ' ' };
            bytes.extend([&format!("{}{goes_on}", self.code), line, "\r\n"]);
        }
        bytes.into_bytes().into()
    }
}

/// What a line says from a byte on. lettre cannot read that there is nothing.
fn text(line: &[u8], from: usize) -> String {
    let text = String::from_utf8_lossy(line.get(from..).unwrap_or_default());
    let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    match text.trim() {
        "" => "(no text)".to_owned(),
        text if line.len().max(text.len()) > LINE => "(a longer line than there may be)".to_owned(),
        text => text.to_owned(),
    }
}

impl<S> Answers<S> {
    pub(super) fn new(stream: S, peer: SocketAddr) -> Self {
        Self {
            stream,
            peer,
            last: 0,
            said: Vec::new(),
            is_early: false,
            heard: VecDeque::new(),
            coming: Coming::default(),
            told: VecDeque::new(),
            is_over: false,
        }
    }

    /// The same where the relay has greeted before.
    pub(super) fn greeted(stream: S, peer: SocketAddr) -> Self {
        Self { told: b"220 (greeted)\r\n".to_vec().into(), ..Self::new(stream, peer) }
    }

    /// The connection, for TLS to begin on it.
    pub(super) fn into_stream(self) -> io::Result<S> {
        if self.heard.is_empty() { Ok(self.stream) } else { Err(io::Error::other(TOO_MUCH)) }
    }

    fn over(&mut self, why: String) -> io::Error {
        self.is_over = true;
        io::Error::other(why)
    }

    /// What was said, in words, and the codes that say yes to it.
    fn question(&self) -> (&'static str, RangeInclusive<u16>) {
        match (self.last, &self.said[..]) {
            (354, _) => ("the message", 250..=259),
            // What was asked for by AUTH, whatever it looks like.
            (334, _) => ("AUTH", 200..=339),
            (_, b"") => ("a connection", 220..=220),
            (_, b"STARTTLS") => ("STARTTLS", 220..=220),
            (_, said) if said.starts_with(b"EHLO") => ("EHLO", 250..=259),
            (_, said) if said.starts_with(b"AUTH") => ("AUTH", 200..=339),
            (_, said) if said.starts_with(b"MAIL") => ("MAIL", 250..=259),
            (_, said) if said.starts_with(b"RCPT") => ("RCPT", 250..=259),
            (_, said) if said.starts_with(b"DATA") => ("DATA", 354..=354),
            _ => ("QUIT", 200..=299),
        }
    }

    /// What the answer that came means to what was said. Errors have it as it is: secrets are still to be found in it.
    fn judge(&mut self) -> io::Result<Answer> {
        let coming = mem::take(&mut self.coming);
        let (what, yes) = self.question();
        let Some(mut answer) = Answer::read(&coming) else {
            let said: Vec<_> = coming.lines.iter().map(|line| text(line, 0)).collect();
            return Err(self.over(format!("to {what} the relay says what is no answer: {}", said.join(" "))));
        };
        if answer.code < 400 && !yes.contains(&answer.code) {
            return Err(self.over(format!("to {what} the relay says {}", answer.text())));
        }
        if answer.code < 400 && mem::take(&mut self.is_early) {
            return Err(self.over(TOO_MUCH.to_owned()));
        }
        if what == "EHLO" && answer.code < 400 {
            // Keywords are the same in capitals (RFC 5321, 2.4), but not to lettre.
            answer.lines.iter_mut().for_each(|line| line.make_ascii_uppercase());
        }
        self.is_over = answer.code >= 400;
        self.last = answer.code;
        self.said.clear();
        Ok(answer)
    }
}

impl<S: AsyncRead + Unpin> Answers<S> {
    /// The answer to what was said.
    fn poll_answer(&mut self, context: &mut Context<'_>) -> Poll<io::Result<Answer>> {
        loop {
            while let Some(byte) = self.heard.pop_front() {
                if self.coming.takes(byte) {
                    return Poll::Ready(self.judge());
                }
            }
            if self.coming.bytes > BYTES {
                let why = format!("the relay says more than {BYTES} bytes at once");
                return Poll::Ready(Err(self.over(why)));
            }
            let mut buffer = [0; 1 << 10];
            let mut buffer = ReadBuf::new(&mut buffer);
            ready!(Pin::new(&mut self.stream).poll_read(context, &mut buffer))?;
            match buffer.filled() {
                // What it said last may lack the end of its line.
                [] if !self.coming.line.is_empty() => self.heard.push_back(b'\n'),
                [] => return Poll::Ready(Err(self.over("the relay closed the connection".to_owned()))),
                new => self.heard.extend(new),
            }
        }
    }

    /// Looks whether the relay answers before all is said: it may refuse a message in its middle.
    fn look_ahead(&mut self, context: &mut Context<'_>) {
        let mut buffer = [0; 1 << 10];
        let mut buffer = ReadBuf::new(&mut buffer);
        // An error is there at the next reading, too.
        if Pin::new(&mut self.stream).poll_read(context, &mut buffer).is_ready() {
            self.heard.extend(buffer.filled());
        }
        self.is_early = !self.heard.is_empty();
    }

    /// Waits for the answer to what was said; at first, for the relay's greeting.
    pub(super) async fn answer(&mut self) -> io::Result<Answer> {
        future::poll_fn(|context| self.poll_answer(context)).await
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Answers<S> {
    /// Says it, and waits for the answer.
    pub(super) async fn ask(&mut self, said: &str) -> io::Result<Answer> {
        self.write_all(said.as_bytes()).await?;
        self.flush().await?;
        self.answer().await
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Answers<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.told.is_empty() {
            this.told = ready!(this.poll_answer(context))?.to_bytes();
        }
        let read = this.told.read(buffer.initialize_unfilled())?;
        buffer.advance(read);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Answers<S> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let is_unread = !this.heard.is_empty() || !this.told.is_empty();
        if is_unread && !this.is_early {
            return Poll::Ready(Err(this.over(TOO_MUCH.to_owned())));
        }
        if this.last == 354 && bytes == END {
            this.look_ahead(context);
        }
        if this.is_over && bytes.starts_with(b"QUIT") {
            // lettre says so before it tells what was refused, and waits for the answer however long that takes.
            return Poll::Ready(Err(io::Error::other("there is nobody to take leave of")));
        }
        let written = ready!(Pin::new(&mut this.stream).poll_write(context, bytes))?;
        let new = bytes.iter().take(written);
        this.said.extend(new.take(WORD.saturating_sub(this.said.len())));
        Poll::Ready(Ok(written))
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(context)
    }
}

impl<S: AsyncRead + AsyncWrite + Send + Sync + Unpin + std::fmt::Debug> AsyncTokioStream for Answers<S> {
    fn peer_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.peer)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{DuplexStream, duplex};

    use super::*;

    fn relay() -> (Answers<DuplexStream>, DuplexStream) {
        let (ours, theirs) = duplex(1 << 10);
        (Answers::new(ours, ([127, 0, 0, 1], 25).into()), theirs)
    }

    /// What comes of a greeting, and of one answer to each thing that is said.
    async fn heard(greeting: &[u8], turns: &[(&str, &[u8])]) -> io::Result<String> {
        let (mut answers, mut theirs) = relay();
        theirs.write_all(greeting).await?;
        let mut last = answers.answer().await?;
        for (said, answer) in turns {
            theirs.write_all(answer).await?;
            last = answers.ask(said).await?;
        }
        answers.into_stream()?;
        Ok(last.text())
    }

    #[track_caller]
    fn check(heard: &io::Result<String>, want: Result<&str, &str>) {
        match (heard, want) {
            (Ok(text), Ok(want)) => assert_eq!(text, want),
            (Err(error), Err(want)) => assert!(error.to_string().contains(want), "{error}"),
            _ => panic!("{heard:?}, wanted {want:?}"),
        }
    }

    #[tokio::test]
    async fn an_answer_is_read_however_it_is_written() {
        for (answer, want) in [
            (&b"220 relay\r\n"[..], "220 relay"),
            (b"220\r\n", "220 (no text)"),
            (b"220\n", "220 (no text)"),
            (b"220-a\r\n220-\r\n220 b\r\n", "220 a (no text) b"),
            (b"220 f\xfcr Sie\r\n", "220 f\u{fffd}r Sie"),
            (b"220 a\x1b[2J\tb\r\n", "220 a [2J b"),
        ] {
            check(&heard(answer, &[]).await, Ok(want));
        }
        let long = [b"220 ", &[b'x'; 10_000][..], b"\r\n"].concat();
        let (mut answers, mut theirs) = relay();
        let (greeting, written) = tokio::join!(answers.answer(), theirs.write_all(&long));
        written.unwrap();
        assert_eq!(greeting.unwrap().text(), "220 (a longer line than there may be)");
    }

    #[tokio::test]
    async fn what_is_no_answer_is_told() {
        for (answer, want) in [
            (
                &b"HTTP/1.1 400 Bad Request\r\n"[..],
                "to a connection the relay says what is no answer: HTTP/1.1 400 Bad Request",
            ),
            (b"\r\n", "what is no answer: (no text)"),
            (b"+22 x\r\n", "what is no answer: "),
            (b"150 x\r\n", "what is no answer: "),
            (b"220-a\r\n550 b\r\n", "what is no answer: "),
            (b"2200 x\r\n", "what is no answer: "),
            (b"220-a\r\n2200 b\r\n", "what is no answer: "),
            (b"250 ok\r\n", "to a connection the relay says 250 ok"),
        ] {
            check(&heard(answer, &[]).await, Err(want));
        }
        let (mut answers, theirs) = relay();
        drop(theirs);
        check(&answers.answer().await.map(|answer| answer.text()), Err("closed the connection"));
        let (mut answers, mut theirs) = relay();
        theirs.write_all(b"220-and").await.unwrap();
        drop(theirs);
        check(&answers.answer().await.map(|answer| answer.text()), Err("closed the connection"));
        let (mut answers, mut theirs) = relay();
        theirs.write_all(b"220 hi").await.unwrap();
        drop(theirs);
        check(&answers.answer().await.map(|answer| answer.text()), Ok("220 hi"));
    }

    #[tokio::test]
    async fn there_is_one_answer_to_each_thing_that_is_said() {
        let (greeting, hello, go) =
            (&b"220 relay\r\n"[..], &b"250-a\r\n250 starttls\r\n"[..], &b"220 go\r\n"[..]);
        let (ehlo, starttls) = ("EHLO [127.0.0.1]\r\n", "STARTTLS\r\n");
        check(&heard(greeting, &[(ehlo, hello)]).await, Ok("250 A STARTTLS"));
        check(&heard(greeting, &[(ehlo, hello), (starttls, go)]).await, Ok("220 go"));
        for turns in [
            &[(ehlo, hello), (starttls, &b"220 go\r\n250-mitm\r\n250 queued by nobody\r\n"[..])][..],
            &[(ehlo, b"250-a\r\n250 STARTTLS\r\n220 go\r\n250 mitm\r\n"), (starttls, go)],
            &[(ehlo, hello), (starttls, b"220 go\r\n2")],
        ] {
            check(&heard(greeting, turns).await, Err("says more than it was asked"));
        }
        // More lines than are kept.
        let long = [b"220-a\r\n".repeat(1000), b"220 b\r\n".to_vec()].concat();
        let (mut answers, mut theirs) = relay();
        let (greeting, written) = tokio::join!(answers.answer(), theirs.write_all(&long));
        written.unwrap();
        assert_eq!(greeting.unwrap().lines.len(), LINES);
        let early = b"220 relay\r\n250 STARTTLS\r\n220 go\r\n250 mitm\r\n";
        check(&heard(early, &[(ehlo, hello)]).await, Err("says more than it was asked"));
    }

    /// What comes of a message in whose middle the relay says this.
    async fn in_the_middle(early: &[u8]) -> io::Result<String> {
        let (mut answers, mut theirs) = relay();
        theirs.write_all(b"220 relay\r\n").await?;
        answers.answer().await?;
        theirs.write_all(b"354 go\r\n").await?;
        answers.ask("DATA\r\n").await?;
        answers.write_all(b"Subject: x\r\n").await?;
        theirs.write_all(early).await?;
        Ok(answers.ask("\r\n.\r\n").await?.text())
    }

    #[tokio::test]
    async fn no_message_is_taken_before_all_of_it_is_said() {
        check(&in_the_middle(b"250 early\r\n").await, Err("says more than it was asked"));
        check(&in_the_middle(b"552 too long\r\n").await, Ok("552 too long"));
    }

    #[tokio::test]
    async fn what_auth_asks_for_is_no_command() {
        let turns = [("AUTH LOGIN\r\n", &b"334 VXNlcm5hbWU6\r\n"[..]), ("RCPTgA==\r\n", b"235 welcome\r\n")];
        check(&heard(b"220 relay\r\n", &turns).await, Ok("235 welcome"));
    }
}
