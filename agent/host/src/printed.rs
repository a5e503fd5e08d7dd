//! What a guest prints: the end of it is kept, and that there is more makes no call fail.
//!
//! A stream of a bounded size would be closed when it is full, and most languages take that for an error: a call would
//! fail by what it tells.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::io::AsyncWrite;
use wasmtime_wasi::async_trait;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};

/// Bytes that are kept.
const KEPT: usize = 16 << 10;

/// A standard stream of a guest. Clones are the same stream.
#[derive(Clone, Debug, Default)]
pub(crate) struct Printed(Arc<Mutex<End>>);

/// The end of what was printed, and how many bytes before it were left out.
#[derive(Debug, Default)]
struct End {
    bytes: VecDeque<u8>,
    left_out: usize,
}

impl Printed {
    /// Takes what was printed, and how many bytes before it were left out.
    pub(crate) fn take(&self) -> (Vec<u8>, usize) {
        let End { bytes, left_out } = std::mem::take(&mut *self.lock());
        (bytes.into(), left_out)
    }

    fn add(&self, bytes: &[u8]) {
        let mut end = self.lock();
        let room = KEPT.saturating_sub(bytes.len());
        let old = end.bytes.len().saturating_sub(room);
        let skipped = bytes.len().saturating_sub(KEPT);
        end.bytes.drain(..old);
        end.bytes.extend(&bytes[skipped..]);
        end.left_out = end.left_out.saturating_add(old + skipped);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, End> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Pollable for Printed {
    async fn ready(&mut self) {}
}

#[async_trait]
impl OutputStream for Printed {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.add(&bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(KEPT)
    }
}

impl AsyncWrite for Printed {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.add(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl IsTerminal for Printed {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Printed {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_is_kept_and_the_rest_counted() {
        let printed = Printed::default();
        printed.add(b"ab");
        assert_eq!(printed.take(), (b"ab".to_vec(), 0));
        assert_eq!(printed.take(), (Vec::new(), 0));
        printed.add(b"abc");
        printed.add(&vec![b'x'; KEPT - 1]);
        let (bytes, left_out) = printed.take();
        assert_eq!((bytes.len(), bytes[0], left_out), (KEPT, b'c', 2));
        printed.add(b"abc");
        printed.add(&vec![b'y'; KEPT + 5]);
        assert_eq!(printed.take(), (vec![b'y'; KEPT], 8));
    }
}
