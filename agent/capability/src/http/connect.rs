//! Connections that give way: a server that does not stop talking keeps no thread from others.
//!
//! Boundary: opens connections and reads from them. Where a name may lead is for `http/resolve.rs` to say.
//!
//! hyper reads on as long as there is something to read: over interim answers (1xx) without end too, some fifty megabytes
//! before it lets others run, and its tasks run on the guests' thread.

use std::error::Error;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::Uri;
use hyper_util::client::legacy::connect::{Connected, Connection, HttpConnector};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tower_service::Service;

use super::resolve::Resolver;

/// So long a connection is read without a break.
const SLICE: Duration = Duration::from_millis(1);

/// Opens connections.
#[derive(Clone)]
pub(super) struct Connector(HttpConnector<Resolver>);

impl Connector {
    pub(super) fn new(resolver: Resolver) -> Self {
        let mut connector = HttpConnector::new_with_resolver(resolver);
        // What speaks TLS over it asks for `https`.
        connector.enforce_http(false);
        connector.set_nodelay(true);
        Self(connector)
    }
}

impl Service<Uri> for Connector {
    type Response = TokioIo<Sliced>;
    type Error = Box<dyn Error + Send + Sync>;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.0.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let connecting = self.0.call(uri);
        Box::pin(async move { Ok(TokioIo::new(Sliced::new(connecting.await?.into_inner()))) })
    }
}

/// A connection that is read in slices of time.
#[derive(Debug)]
pub(super) struct Sliced {
    stream: TcpStream,
    /// Since when it is read without a break.
    since: Option<Instant>,
}

impl Sliced {
    fn new(stream: TcpStream) -> Self {
        Self { stream, since: None }
    }
}

impl AsyncRead for Sliced {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let now = Instant::now();
        let since = *self.since.get_or_insert(now);
        if now.saturating_duration_since(since) >= SLICE {
            self.since = None;
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        if read.is_pending() {
            self.since = None;
        }
        read
    }
}

impl AsyncWrite for Sliced {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

impl Connection for Sliced {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}
