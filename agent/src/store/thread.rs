//! The store's thread, which does what nobody does himself, and writes the log back in quiet moments.

use std::fs::File;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rusqlite::Connection;
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tracing::debug;

/// Rows that are written before it is worth to write the log back: about 150 events with all that
/// becomes of them, 10 MiB of log.
pub(super) const ROWS: u64 = 1000;

/// How long nothing is asked before the log is written back: longer than the steps of one event are
/// apart.
pub(super) const QUIET: Duration = Duration::from_millis(20);

/// The database, until it is closed.
#[derive(Debug)]
pub(super) struct Open {
    pub(super) connection: Connection,
    /// Rows that were written when the log was last written back.
    pub(super) written_back: u64,
}

/// What the store's thread is asked to do.
pub(super) enum Command {
    Run(Box<dyn FnOnce(&mut Connection) + Send>, OwnedSemaphorePermit),
    /// The log is to be written back in the next quiet moment.
    Grown,
    Close(oneshot::Sender<rusqlite::Result<()>>),
}

impl Open {
    pub(super) fn has_grown(&self) -> bool {
        self.connection.total_changes() - self.written_back >= ROWS
    }

    /// Writes the log back as far as no reader needs it, so that it starts over.
    fn write_back(&mut self) {
        let result = self.connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", (), |_| Ok(()));
        if let Err(error) = result {
            // What is stored is in the log, and the next time does it.
            debug!(%error, "The store's log is not written back.");
        }
        self.written_back = self.connection.total_changes();
    }
}

/// The store's thread: one command after another, until the store is closed or no handle is left.
pub(super) fn serve(lock: File, shared: &Mutex<Option<Open>>, queue: &mpsc::Receiver<Command>) {
    let mut grown = false;
    loop {
        let command = if grown { queue.recv_timeout(QUIET) } else { queue.recv().map_err(Into::into) };
        // A work that panicked has rolled its transaction back.
        let mut shared = shared.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(open) = shared.as_mut() else { return };
        match command {
            Ok(Command::Run(work, _slot)) => work(&mut open.connection),
            Ok(Command::Grown) => {}
            Ok(Command::Close(reply)) => {
                // The last connection that is closed writes the log back.
                let closed =
                    shared.take().map_or(Ok(()), |open| open.connection.close().map_err(|(_, error)| error));
                drop(lock);
                drop(reply.send(closed));
                return;
            }
            Err(RecvTimeoutError::Timeout) => open.write_back(),
            Err(RecvTimeoutError::Disconnected) => {
                // Before the lock is given back.
                shared.take();
                return;
            }
        }
        grown = open.has_grown();
    }
}
