//! Graceful, then forceful: the first SIGTERM or SIGINT drains, the second ends now.

use std::io;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// The two stages of an end. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Shutdown {
    /// Take nothing new in, and let what runs come to its end within the grace period.
    pub drain: CancellationToken,
    /// Let go of what runs, too. It is repeated after the next start.
    pub abort: CancellationToken,
}

impl Shutdown {
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
