//! Opening the database: the lock, whose file it is, the schema, the settings of a connection.
//!
//! Invariant: a file that is not ours, or not of the version that we know, is not written to.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, TransactionBehavior};

use super::StoreError;

/// "lict" in ASCII. It is in the file's header, so `file` and `sqlite3` can tell whose file it is.
pub(super) const APPLICATION_ID: i32 = 0x6c69_6374;

/// The version of the schema below. It goes up by one with every change of the schema.
pub(super) const VERSION: i32 = 1;

/// How long a write waits for another process, such as a person's `sqlite3`, before it fails.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// More than there are statements in this module, so that each is compiled once.
const STATEMENTS: usize = 32;

/// Pages of the log (32 MiB) at which it is written back in the middle of the work, which takes some
/// milliseconds. `store` does that earlier, in a quiet moment; this is for when there is none.
const LOG_PAGES: u32 = 8192;

/// The schema; the head of `store` explains it.
const SCHEMA: &str = "
CREATE TABLE watch (
  name         TEXT    PRIMARY KEY,
  wait_index   INTEGER NOT NULL,
  generation   INTEGER NOT NULL,
  committed_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE snapshot (
  watch TEXT NOT NULL REFERENCES watch,
  key   TEXT NOT NULL,
  state TEXT NOT NULL,
  PRIMARY KEY (watch, key)
) STRICT, WITHOUT ROWID;

CREATE TABLE event (
  seq        INTEGER PRIMARY KEY,
  id         TEXT    NOT NULL,
  generation INTEGER NOT NULL,
  watch      TEXT    NOT NULL,
  kind       TEXT    NOT NULL,
  source     TEXT    NOT NULL,
  subject    TEXT    NOT NULL,
  time       INTEGER NOT NULL,
  data       TEXT    NOT NULL,
  node       TEXT    NOT NULL,
  environment TEXT   NOT NULL,
  UNIQUE (id, generation)
) STRICT;

CREATE TABLE delivery (
  seq        INTEGER PRIMARY KEY,
  id         TEXT    NOT NULL UNIQUE,
  event      INTEGER NOT NULL REFERENCES event,
  rule       TEXT    NOT NULL,
  receiver   TEXT    NOT NULL,
  subject    TEXT    NOT NULL,
  state      TEXT    NOT NULL,
  head       INTEGER NOT NULL,
  due_at     INTEGER NOT NULL,
  attempts   INTEGER NOT NULL,
  created_at INTEGER NOT NULL,
  claimed_at INTEGER,
  settled_at INTEGER,
  outcome    TEXT,
  detail     TEXT
) STRICT;
CREATE INDEX delivery_lane ON delivery (receiver, subject) WHERE settled_at IS NULL;
CREATE INDEX delivery_due ON delivery (receiver, due_at) WHERE head = 1 AND state = 'pending';

CREATE TABLE attempt (
  delivery   INTEGER NOT NULL REFERENCES delivery,
  number     INTEGER NOT NULL,
  started_at INTEGER NOT NULL,
  ended_at   INTEGER NOT NULL,
  outcome    TEXT    NOT NULL,
  detail     TEXT    NOT NULL,
  PRIMARY KEY (delivery, number)
) STRICT, WITHOUT ROWID;
";

/// An open database and the lock that makes it ours.
#[derive(Debug)]
pub(super) struct Database {
    /// The one connection that writes.
    pub(super) connection: Connection,
    /// The lock is given back when this is dropped.
    pub(super) lock: File,
}

/// Opens the database at `path`, or makes it there. The folder must exist.
pub(super) fn open(path: &Path) -> Result<Database, StoreError> {
    let lock = lock(path)?;
    // Checks may say what is not for everybody. SQLite gives its other files the mode of this one, and says
    // better than we could what is wrong with it.
    drop(OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path));
    let flags =
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let sort = |source| StoreError::sort(path, source);
    let mut connection = Connection::open_with_flags(path, flags).map_err(sort)?;
    connection.busy_timeout(BUSY_TIMEOUT).map_err(sort)?;
    let new = recognize(&connection, path)?;
    configure(&connection).map_err(sort)?;
    if new {
        create(&mut connection).map_err(sort)?;
    }
    Ok(Database { connection, lock })
}

/// Takes the lock beside the database: advisory, held as long as the file is open, so that it is
/// gone with its process however that ends.
fn lock(path: &Path) -> Result<File, StoreError> {
    let file_path = path.with_extension("lock");
    let failed = |source| StoreError::Lock { path: file_path.clone(), source };
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&file_path)
        .map_err(failed)?;
    match file.try_lock() {
        Ok(()) => {
            sign(&mut file).map_err(failed)?;
            Ok(file)
        }
        Err(TryLockError::WouldBlock) => {
            let mut holder = String::new();
            // Who holds it is only said to help; without it the message is still true.
            let holder = file.read_to_string(&mut holder).ok().and_then(|_| holder.trim().parse().ok());
            Err(StoreError::InUse { path: path.to_owned(), holder })
        }
        Err(TryLockError::Error(source)) => Err(failed(source)),
    }
}

/// Writes our process id into the lock file, for the message of whoever comes second.
fn sign(file: &mut File) -> io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "{}", std::process::id())
}

/// Whether the database is a new one. An error when it is neither new nor ours.
fn recognize(connection: &Connection, path: &Path) -> Result<bool, StoreError> {
    let sort = |source| StoreError::sort(path, source);
    let number = |pragma: &str| connection.pragma_query_value(None, pragma, |row| row.get::<_, i32>(0));
    let (id, version) = (number("application_id").map_err(sort)?, number("user_version").map_err(sort)?);
    let path = path.to_owned();
    if id == APPLICATION_ID {
        return match version {
            VERSION => Ok(false),
            found => Err(StoreError::Version { path, found, known: VERSION }),
        };
    }
    let tables: i64 =
        connection.query_row("SELECT count(*) FROM sqlite_schema", (), |row| row.get(0)).map_err(sort)?;
    if id == 0 && version == 0 && tables == 0 {
        return Ok(true);
    }
    Err(StoreError::Foreign { path, found: id, known: APPLICATION_ID })
}

/// What every connection needs; only the journal mode stays in the file.
fn configure(connection: &Connection) -> rusqlite::Result<()> {
    connection.pragma_update_and_check(None, "journal_mode", "wal", |_| Ok(()))?;
    connection.pragma_update(None, "synchronous", "normal")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.pragma_update_and_check(None, "wal_autocheckpoint", LOG_PAGES, |_| Ok(()))?;
    // Else each statement that a partial index may serve is compiled again for every call, since its
    // parameters could make another plan the better one.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    Ok(())
}

/// Makes the tables and signs the file, in one transaction: a crash leaves an empty database, which
/// counts as new.
fn create(connection: &mut Connection) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    transaction.execute_batch(SCHEMA)?;
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", VERSION)?;
    transaction.commit()
}
