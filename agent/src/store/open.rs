//! Opening the database: the lock, whose file it is, the settings of a connection.
//!
//! Invariant: a file that is not ours, or not of the version that we know, is not written to.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use super::schema::{self, APPLICATION_ID, VERSION};
use super::{StoreError, damage};

/// How long a write waits for another process, such as a person's `sqlite3`, before it fails.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// More than there are statements in this module, so that each is compiled once.
const STATEMENTS: usize = 32;

/// Pages of the log (128 MiB) at which it is written back in the middle of the work, which waits for it. A thread of
/// the store's own does that much earlier, beside the work; this is for when it does not keep up.
const LOG_PAGES: u32 = 32_768;

/// Pages of the database that a connection keeps in memory (256 KiB); the rest is the system's to keep. What is written
/// next to each other is read again soon, and that is little, however long the lists are.
pub(super) const CACHE_PAGES: u32 = 64;

/// What a power cut may take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// The transactions of the last moment: nothing waits for the disk. A crash of the process takes nothing.
    #[default]
    Normal,
    /// Nothing: each transaction waits for the disk.
    Full,
}

/// An open database and the lock that makes it ours.
#[derive(Debug)]
pub(super) struct Database {
    /// The one connection that writes.
    pub(super) connection: Connection,
    /// Another one, which writes the log back.
    pub(super) beside: Connection,
    /// The lock is given back when this is dropped.
    pub(super) lock: File,
    /// The one that was there before, if it was damaged.
    pub(super) damaged: Option<PathBuf>,
}

/// Opens the database at `path`, or makes it there. The folder must exist. One that is damaged is set aside.
pub(super) fn open(path: &Path, durability: Durability) -> Result<Database, StoreError> {
    let lock = lock(path)?;
    let (connection, damaged) = match connect(path, durability) {
        Ok(connection) => (connection, None),
        Err(StoreError::NotDatabase { .. } | StoreError::Corrupt { .. }) => {
            let damaged = damage::set_aside(path, Timestamp::now())
                .map_err(|source| StoreError::Aside { path: path.to_owned(), source })?;
            (connect(path, durability)?, Some(damaged))
        }
        Err(error) => return Err(error),
    };
    Ok(Database { beside: plain(path, durability)?, connection, lock, damaged })
}

fn connect(path: &Path, durability: Durability) -> Result<Connection, StoreError> {
    // Checks may say what is not for everybody. SQLite gives its other files the mode of this one, and says
    // better than we could what is wrong with it.
    drop(OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path));
    let sort = |source| StoreError::sort(path, source);
    let mut connection = unexamined(path).map_err(sort)?;
    let found = recognize(&connection, path)?;
    configure(&connection, durability).map_err(sort)?;
    damage::examine(&connection, path)?;
    schema::bring_up(&mut connection, found).map_err(sort)?;
    Ok(connection)
}

/// Another connection to a database that is known to be ours.
fn plain(path: &Path, durability: Durability) -> Result<Connection, StoreError> {
    let connect = || {
        let connection = unexamined(path)?;
        configure(&connection, durability)?;
        Ok(connection)
    };
    connect().map_err(|source| StoreError::sort(path, source))
}

fn unexamined(path: &Path) -> rusqlite::Result<Connection> {
    let flags =
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    Ok(connection)
}

/// Takes the lock beside the database: advisory, held as long as the file is open, so that it is
/// gone with its process however that ends.
pub(super) fn lock(path: &Path) -> Result<File, StoreError> {
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

/// The version of the schema, 0 for a new database. An error when it is neither new nor ours.
pub(super) fn recognize(connection: &Connection, path: &Path) -> Result<i32, StoreError> {
    let sort = |source| StoreError::sort(path, source);
    let number = |pragma: &str| connection.pragma_query_value(None, pragma, |row| row.get::<_, i32>(0));
    let (id, version) = (number("application_id").map_err(sort)?, number("user_version").map_err(sort)?);
    let path = path.to_owned();
    if id == APPLICATION_ID {
        return match version {
            known @ 1..=VERSION => Ok(known),
            found => Err(StoreError::Version { path, found, known: VERSION }),
        };
    }
    let tables: i64 =
        connection.query_row("SELECT count(*) FROM sqlite_schema", (), |row| row.get(0)).map_err(sort)?;
    if id == 0 && version == 0 && tables == 0 {
        return Ok(0);
    }
    Err(StoreError::Foreign { path, found: id, known: APPLICATION_ID })
}

/// What every connection needs; only the journal mode stays in the file.
pub(super) fn configure(connection: &Connection, durability: Durability) -> rusqlite::Result<()> {
    connection.pragma_update_and_check(None, "journal_mode", "wal", |_| Ok(()))?;
    let synchronous = match durability {
        Durability::Normal => "normal",
        Durability::Full => "full",
    };
    connection.pragma_update(None, "synchronous", synchronous)?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.pragma_update_and_check(None, "wal_autocheckpoint", LOG_PAGES, |_| Ok(()))?;
    connection.pragma_update(None, "cache_size", CACHE_PAGES)?;
    // Else each statement that a partial index may serve is compiled again for every call, since its
    // parameters could make another plan the better one.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    Ok(())
}
