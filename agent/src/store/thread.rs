//! The store's thread, which does what nobody does himself, and another one, which writes the log back.

use std::fs::File;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use rusqlite::{Connection, ffi};
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tracing::debug;

/// Rows that are written before it is worth to write the log back: about 150 events with all that
/// becomes of them, 10 MiB of log.
pub(super) const ROWS: u64 = 1000;

/// Rows after which it is written back in any case, beside those who write: about 30 MiB of log.
const ROWS_MAX: u64 = 8 * ROWS;

/// How long nothing is asked before the log is written back: longer than the steps of one event are
/// apart.
pub(super) const QUIET: Duration = Duration::from_millis(20);

/// The database, until it is closed.
#[derive(Debug)]
pub(super) struct Open {
    pub(super) connection: Connection,
    /// Rows that were written when it was last asked that the log be written back.
    pub(super) written_back: u64,
    /// Asks for it.
    pub(super) write_back: mpsc::Sender<()>,
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
        let transaction = Writing::begin(&self.connection)?;
        let result = work(&self.connection)?;
        transaction.commit()?;
        self.bound_log();
        Ok(result)
    }

    /// Does several parts in one transaction; if that fails, each in one of its own. Tells each what became of it.
    fn write_all(&mut self, mut parts: Vec<Box<dyn Part>>) {
        if parts.len() > 1 && matches!(share(&self.connection, &mut parts), Ok(true)) {
            for part in parts {
                part.end(Ok(()));
            }
        } else {
            for mut part in parts {
                let stored = share(&self.connection, std::slice::from_mut(&mut part));
                part.end(stored.map(drop));
            }
        }
        self.bound_log();
    }

    fn grown_by(&self) -> u64 {
        self.connection.total_changes() - self.written_back
    }

    pub(super) fn has_grown(&self) -> bool {
        self.grown_by() >= ROWS
    }

    /// Where there is no quiet moment, the log is written back without one.
    fn bound_log(&mut self) {
        if self.grown_by() >= ROWS_MAX {
            self.write_back();
        }
    }

    fn write_back(&mut self) {
        // Whoever closes the store writes the log back.
        self.write_back.send(()).ok();
        self.written_back = self.connection.total_changes();
    }
}

/// Another thread, which writes the log back into the database beside those who write, since a disk takes its time
/// for it: whenever it is asked, until nobody can ask any more.
pub(super) fn write_back(beside: &Connection, shared: &Mutex<Option<Open>>, asked: &mpsc::Receiver<()>) {
    while asked.recv().is_ok() {
        checkpoint(beside);
        // What was written meanwhile, so that all of it is in the database and the log starts over.
        if let Some(open) = shared.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
            checkpoint(&open.connection);
        }
    }
}

/// Writes the log back as far as no reader needs it.
fn checkpoint(connection: &Connection) {
    let result = connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", (), |_| Ok(()));
    if let Err(error) = result {
        // What is stored is in the log, and the next time does it.
        debug!(%error, "The store's log is not written back.");
    }
}

/// A transaction that writes, taken back on drop. rusqlite's own compiles its statements anew for each.
struct Writing<'a>(&'a Connection);

impl<'a> Writing<'a> {
    fn begin(connection: &'a Connection) -> rusqlite::Result<Self> {
        connection.prepare_cached("BEGIN IMMEDIATE")?.execute(())?;
        Ok(Self(connection))
    }

    fn commit(self) -> rusqlite::Result<()> {
        self.0.prepare_cached("COMMIT")?.execute(()).map(drop)
    }
}

impl Drop for Writing<'_> {
    fn drop(&mut self) {
        // A commit that succeeded has ended it, and a full disk has taken it back already.
        if !self.0.is_autocommit()
            && let Err(error) = self.0.execute_batch("ROLLBACK")
        {
            debug!(%error, "A transaction is not taken back.");
        }
    }
}

/// Does all of it in one transaction, or, where a part fails (false) or the whole does, nothing. Savepoints would
/// take back one part alone, but they copy each page that a part touches.
fn share(connection: &Connection, parts: &mut [Box<dyn Part>]) -> rusqlite::Result<bool> {
    let transaction = Writing::begin(connection)?;
    for part in parts {
        if !part.work(connection) {
            return Ok(false);
        }
    }
    transaction.commit()?;
    Ok(true)
}

/// The store's thread: one command after another, until the store is closed or no handle is left. Then it waits for
/// the other one, and gives the lock back.
pub(super) fn serve(
    lock: File,
    other: JoinHandle<()>,
    shared: &Mutex<Option<Open>>,
    queue: &mpsc::Receiver<Command>,
) {
    let reply = work(shared, queue);
    // The other thread ends once nobody can ask it, and its connection with it: the last one that is closed writes
    // the log back.
    let open = shared.lock().unwrap_or_else(PoisonError::into_inner).take();
    let connection = open.map(|Open { connection, .. }| connection);
    drop(other.join());
    let closed = connection.map_or(Ok(()), |connection| connection.close().map_err(|(_, error)| error));
    drop(lock);
    if let Some(reply) = reply {
        drop(reply.send(closed));
    }
}

/// Returns whom to tell that the store is closed, if somebody asked for it.
fn work(
    shared: &Mutex<Option<Open>>,
    queue: &mpsc::Receiver<Command>,
) -> Option<oneshot::Sender<rusqlite::Result<()>>> {
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
        let open = shared.as_mut()?;
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
            Ok(Command::Close(reply)) => return Some(reply),
            Err(RecvTimeoutError::Timeout) => open.write_back(),
            // Before the lock is given back.
            Err(RecvTimeoutError::Disconnected) => return None,
        }
        grown = open.has_grown();
    }
}
