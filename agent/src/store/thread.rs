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
    work: Option<W>,
    result: Option<rusqlite::Result<T>>,
    then: F,
    reply: oneshot::Sender<rusqlite::Result<U>>,
}

impl<T, U, W, F> Waiting<T, U, W, F> {
    pub(super) fn new(work: W, then: F, reply: oneshot::Sender<rusqlite::Result<U>>) -> Self {
        Self { work: Some(work), result: None, then, reply }
    }
}

impl<T, U, W, F> Part for Waiting<T, U, W, F>
where
    T: Send,
    U: Send,
    W: FnOnce(&Connection) -> rusqlite::Result<T> + Send,
    F: FnOnce(T) -> U + Send,
{
    fn work(&mut self, transaction: &Connection) -> bool {
        self.result = self.work.take().map(|work| work(transaction));
        self.result.as_ref().is_some_and(Result::is_ok)
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

    /// Does several parts in one transaction: each is stored or taken back by itself, and told when all are stored.
    fn write_all(&mut self, mut parts: Vec<Box<dyn Part>>) {
        let stored = share(&mut self.connection, &mut parts);
        for part in parts {
            part.end(stored.as_ref().map(drop).map_err(again));
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

/// Where it fails as a whole, nothing of it is stored.
fn share(connection: &mut Connection, parts: &mut [Box<dyn Part>]) -> rusqlite::Result<()> {
    let mut transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    if let [part] = parts {
        // What is dropped is taken back, unless a full disk has done that already.
        return if part.work(&transaction) { transaction.commit() } else { Ok(()) };
    }
    for part in parts {
        let mut savepoint = transaction.savepoint()?;
        if !part.work(&savepoint) {
            savepoint.rollback()?;
        }
        savepoint.commit()?;
    }
    transaction.commit()
}

/// The same error, for another one who waits.
fn again(error: &rusqlite::Error) -> rusqlite::Error {
    let code = error.sqlite_error().copied().unwrap_or_else(|| ffi::Error::new(ffi::SQLITE_INTERNAL));
    rusqlite::Error::SqliteFailure(code, Some(error.to_string()))
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
