//! Graceful, then forceful: the first SIGTERM or SIGINT drains, the second ends now.

use std::io;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// The stages of an end. Clones share them.
#[derive(Clone, Debug)]
pub struct Shutdown {
    /// Take nothing new in, and let what runs come to its end within the grace period.
    pub drain: CancellationToken,
    /// Let go of what runs, too. It is repeated after the next start.
    pub abort: CancellationToken,
    /// Take nothing new in, and let what runs come to its own end, however long that takes: for the parts of a
    /// configuration that another one replaces. A drain includes it.
    pub retire: CancellationToken,
}

impl Default for Shutdown {
    fn default() -> Self {
        let drain = CancellationToken::new();
        Self { retire: drain.child_token(), drain, abort: CancellationToken::new() }
    }
}

impl Shutdown {
    /// The same stages, for parts that can be retired by themselves.
    #[must_use]
    pub fn part(&self) -> Self {
        Self { retire: self.drain.child_token(), ..self.clone() }
    }

    /// Follows this process's signals from now on. Needs a tokio runtime.
    ///
    /// # Errors
    /// The signal handlers cannot be installed.
    pub fn on_signals() -> io::Result<Self> {
        let shutdown = Self::default();
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let stages = shutdown.clone();
        tokio::spawn(async move {
            let mut next = async || {
                tokio::select! {
                    _ = terminate.recv() => "SIGTERM",
                    _ = interrupt.recv() => "SIGINT",
                }
            };
            let signal = next().await;
            info!(signal, "Shutting down; a second signal ends at once.");
            stages.drain.cancel();
            let signal = next().await;
            warn!(signal, "Ending at once; what was running is repeated after the next start.");
            stages.abort.cancel();
        });
        Ok(shutdown)
    }
}
