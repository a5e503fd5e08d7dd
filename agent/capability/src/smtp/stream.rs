//! What a relay says, and no more of it than a mail needs: lettre reads a line however long it is, and reads all lines of
//! an answer anew with each one that comes.

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
}

impl<S> Bounded<S> {
    pub(super) fn new(stream: S, peer: SocketAddr) -> Self {
        Self { stream, peer, bytes: BYTES, lines: LINES }
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
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Bounded<S> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(context, bytes)
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
