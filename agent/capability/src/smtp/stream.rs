//! What a relay says, and no more of it than a mail needs: lettre reads a line however long it is, and reads all lines of
//! an answer anew with each one that comes.
//!
//! Before TLS begins in the middle (STARTTLS), that is one answer to each thing that we say. lettre reads ahead, so what came
//! with the last answer would be taken for the relay's first words under TLS, and anybody on the way may have written it
//! (RFC 3207, 4.2 and 5).

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use lettre::transport::smtp::client::AsyncTokioStream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Bytes and lines of all answers of a relay to one mail: enough for hundreds of recipients. Under TLS that begins in
/// the middle (STARTTLS) they are those of the encrypted bytes, of which one in 256 looks like the end of a line.
const BYTES: usize = 64 << 10;
const LINES: usize = 1000;

/// A connection that fails where the relay says too much.
#[derive(Debug)]
pub(super) struct Bounded<S> {
    stream: S,
    peer: SocketAddr,
    bytes: usize,
    lines: usize,
    /// None: TLS has begun, or does not begin in the middle.
    before_tls: Option<Answer>,
}

/// How much of an answer has come.
#[derive(Debug, Default)]
struct Answer {
    /// Bytes of its present line.
    column: usize,
    /// Another line follows the present one.
    goes_on: bool,
    is_over: bool,
    /// It is the one to STARTTLS.
    begins_tls: bool,
}

impl Answer {
    /// To what is said now, after this answer; none where TLS begins with it.
    fn next(&self, said: &[u8]) -> Option<Self> {
        (!self.begins_tls).then(|| Self { begins_tls: said == b"STARTTLS\r\n", ..Self::default() })
    }

    /// Whether there is nothing behind its end.
    fn takes(&mut self, byte: u8) -> bool {
        if self.is_over {
            return false;
        }
        if byte == b'\n' {
            *self = Self { is_over: !self.goes_on, begins_tls: self.begins_tls, ..Self::default() };
            return true;
        }
        if self.column == 3 {
            self.goes_on = byte == b'-';
        }
        self.column += 1;
        true
    }
}

impl<S> Bounded<S> {
    pub(super) fn new(stream: S, peer: SocketAddr) -> Self {
        Self { stream, peer, bytes: BYTES, lines: LINES, before_tls: None }
    }

    /// The same where TLS is to begin in the middle.
    pub(super) fn before_tls(stream: S, peer: SocketAddr) -> Self {
        Self { before_tls: Some(Answer::default()), ..Self::new(stream, peer) }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Bounded<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let known = buffer.filled().len();
        ready!(Pin::new(&mut this.stream).poll_read(context, buffer))?;
        let new = buffer.filled().get(known..).unwrap_or_default();
        let lines = new.split(|byte| *byte == b'\n').count() - 1;
        let left = (this.bytes.checked_sub(new.len()), this.lines.checked_sub(lines));
        let (Some(bytes), Some(lines)) = left else {
            let text = format!("the relay says more than {BYTES} bytes or {LINES} lines");
            return Poll::Ready(Err(io::Error::other(text)));
        };
        (this.bytes, this.lines) = (bytes, lines);
        if let Some(answer) = &mut this.before_tls
            && !new.iter().all(|byte| answer.takes(*byte))
        {
            let text = "the relay, or somebody on the way, says more before TLS than it was asked";
            return Poll::Ready(Err(io::Error::other(text)));
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Bounded<S> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = ready!(Pin::new(&mut this.stream).poll_write(context, bytes));
        this.before_tls = this.before_tls.take().and_then(|answer| answer.next(bytes));
        Poll::Ready(written)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(context)
    }
}

impl<S: AsyncRead + AsyncWrite + Send + Sync + Unpin + std::fmt::Debug> AsyncTokioStream for Bounded<S> {
    fn peer_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.peer)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    /// What is said and answered in turns, a greeting first; whether the last answer is believed.
    async fn is_taken(answers: &[&str]) -> bool {
        let (ours, mut theirs) = duplex(1 << 10);
        let mut relay = Bounded::before_tls(ours, ([127, 0, 0, 1], 25).into());
        let mut said = ["EHLO [127.0.0.1]\r\n", "STARTTLS\r\n", "\x16\x03\x01"].iter();
        let mut buffer = [0; 1 << 10];
        for answer in answers {
            theirs.write_all(answer.as_bytes()).await.unwrap();
            if relay.read(&mut buffer).await.is_err() {
                return false;
            }
            relay.write_all(said.next().unwrap().as_bytes()).await.unwrap();
        }
        true
    }

    #[tokio::test]
    async fn before_tls_there_is_one_answer_to_each_thing_that_is_said() {
        let (greeting, hello, go) = ("220 relay\r\n", "250-relay\r\n250 STARTTLS\r\n", "220 go\r\n");
        assert!(is_taken(&[greeting, hello, go]).await);
        assert!(is_taken(&["220-a\r\n220\r\n", hello, go]).await);
        for one in [
            &[greeting, hello, "220 go\r\n250-mitm\r\n250 queued by nobody\r\n"][..],
            &[greeting, "250-relay\r\n250 STARTTLS\r\n220 go\r\n250 mitm\r\n"],
            &["220 relay\r\n250 STARTTLS\r\n220 go\r\n250 mitm\r\n"],
            &[greeting, hello, "220 go\r\n2"],
        ] {
            assert!(!is_taken(one).await, "{one:?}");
        }
    }

    #[tokio::test]
    async fn what_comes_under_tls_has_no_lines() {
        let (ours, mut theirs) = duplex(1 << 10);
        let mut relay = Bounded::before_tls(ours, ([127, 0, 0, 1], 25).into());
        let mut buffer = [0; 1 << 10];
        relay.write_all(b"STARTTLS\r\n").await.unwrap();
        theirs.write_all(b"220 go\r\n").await.unwrap();
        assert_eq!(relay.read(&mut buffer).await.unwrap(), 8);
        relay.write_all(b"hello").await.unwrap();
        theirs.write_all(b"\n\n\n").await.unwrap();
        assert_eq!(relay.read(&mut buffer).await.unwrap(), 3);
    }
}
