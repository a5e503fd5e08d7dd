//! The store's thread, which does what nobody does himself, and writes the log back in quiet moments.

use std::fs::File;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, TransactionBehavior, ffi};
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
    /// Something by itself.
    Run(Box<dyn FnOnce(&mut Connection) + Send>, OwnedSemaphorePermit),
    /// Something within a transaction, which others may share.
    Write(Box<dyn Part>, OwnedSemaphorePermit),
    /// The log is to be written back in the next quiet moment.
    Grown,
    Close(oneshot::Sender<rusqlite::Result<()>>),
}

/// A part of a transaction.
pub(super) trait Part: Send {
    /// Does it. False: what it did is to be taken back.
    fn work(&mut self, transaction: &Connection) -> bool;

    /// Tells who waits whether all of it was stored.
    fn end(self: Box<Self>, stored: rusqlite::Result<()>);
}

/// Some work, and what is done with what came of it once that is stored.
pub(super) struct Waiting<T, U, W, F> {
    work: W,
    result: Option<rusqlite::Result<T>>,
    then: F,
    reply: oneshot::Sender<rusqlite::Result<U>>,
}

impl<T, U, W, F> Waiting<T, U, W, F> {
    pub(super) fn new(work: W, then: F, reply: oneshot::Sender<rusqlite::Result<U>>) -> Self {
        Self { work, result: None, then, reply }
    }
}

impl<T, U, W, F> Part for Waiting<T, U, W, F>
where
    T: Send,
    U: Send,
    W: Fn(&Connection) -> rusqlite::Result<T> + Send,
    F: FnOnce(T) -> U + Send,
{
    fn work(&mut self, transaction: &Connection) -> bool {
        let result = (self.work)(transaction);
        let done = result.is_ok();
        self.result = Some(result);
        done
    }

    fn end(self: Box<Self>, stored: rusqlite::Result<()>) {
        let Self { result, then, reply, .. } = *self;
        let result = match (result, stored) {
            // Its own error says more than that of the whole, which may have failed by it.
            (Some(Err(error)), _) | (_, Err(error)) => Err(error),
            (Some(Ok(result)), Ok(())) => Ok(then(result)),
            (None, Ok(())) => Err(rusqlite::Error::SqliteFailure(ffi::Error::new(ffi::SQLITE_ABORT), None)),
        };
        // A caller that has gone needs no answer.
        drop(reply.send(result));
    }
}

impl Open {
    /// Does `work` in a transaction of its own.
    pub(super) fn write<T>(
        &mut self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<T> {
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let result = work(&transaction)?;
        transaction.commit()?;
        Ok(result)
    }

    /// Does several parts in one transaction; if that fails, each in one of its own. Tells each what became of it.
    fn write_all(&mut self, mut parts: Vec<Box<dyn Part>>) {
        if parts.len() > 1 && matches!(share(&mut self.connection, &mut parts), Ok(true)) {
            for part in parts {
                part.end(Ok(()));
            }
            return;
        }
        for mut part in parts {
            let stored = share(&mut self.connection, std::slice::from_mut(&mut part));
            part.end(stored.map(drop));
        }
    }

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

/// Does all of it in one transaction, or, where a part fails (false) or the whole does, nothing. Savepoints would
/// take back one part alone, but they copy each page that a part touches.
fn share(connection: &mut Connection, parts: &mut [Box<dyn Part>]) -> rusqlite::Result<bool> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    for part in parts {
        // What is dropped is taken back, unless a full disk has done that already.
        if !part.work(&transaction) {
            return Ok(false);
        }
    }
    transaction.commit()?;
    Ok(true)
}

/// The store's thread: one command after another, until the store is closed or no handle is left.
pub(super) fn serve(lock: File, shared: &Mutex<Option<Open>>, queue: &mpsc::Receiver<Command>) {
    let mut grown = false;
    let mut next = None;
    loop {
        let command = match next.take() {
            Some(command) => Ok(command),
            None if grown => queue.recv_timeout(QUIET),
            None => queue.recv().map_err(Into::into),
        };
        // A work that panicked has rolled its transaction back.
        let mut shared = shared.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(open) = shared.as_mut() else { return };
        match command {
            Ok(Command::Run(work, _slot)) => work(&mut open.connection),
            Ok(Command::Write(part, slot)) => {
                let (mut parts, mut slots) = (vec![part], vec![slot]);
                // All that wait already; there are no more of them than slots.
                while next.is_none() {
                    match queue.try_recv() {
                        Ok(Command::Write(part, slot)) => {
                            parts.push(part);
                            slots.push(slot);
                        }
                        Ok(other) => next = Some(other),
                        Err(_) => break,
                    }
                }
                open.write_all(parts);
            }
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
