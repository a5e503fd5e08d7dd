//! What can go wrong with the store, sorted by what a caller can do about it.

use std::io;
use std::path::{Path, PathBuf};

use rusqlite::ErrorCode;

/// The store could not be opened or used.
///
/// A call that returns one has changed nothing, so it can be made again as it was.
/// [`StoreError::Full`], [`StoreError::Io`] and [`StoreError::Busy`] may pass by themselves.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The lock file could not be opened or locked: a missing folder, or no right to write there.
    #[error("lock {}", path.display())]
    Lock {
        /// The lock file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another process holds the store.
    #[error("open {}: another lictor{} uses it; stop that one, or give this one its own data_dir",
        path.display(), process(*holder))]
    InUse {
        /// The database.
        path: PathBuf,
        /// The process that holds it, where the lock file tells.
        holder: Option<u32>,
    },
    /// The file is no `SQLite` database.
    #[error("open {}: it is not an SQLite database; move it away, or name another data_dir", path.display())]
    NotDatabase {
        /// The file.
        path: PathBuf,
    },
    /// The database is damaged and could not be renamed.
    #[error("set {} aside, which is damaged", path.display())]
    Aside {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file is a database, but not one that Lictor made.
    #[error("open {}: it belongs to another program (application id {found:#010x}, lictor's is {known:#010x})",
        path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// The `application_id` in the file.
        found: i32,
        /// The `application_id` that Lictor gives its files.
        known: i32,
    },
    /// Another version of Lictor made the file.
    #[error("open {}: it has schema version {found}, and this lictor knows versions up to {known}; \
        run the lictor that wrote it, or move the file away to start anew", path.display())]
    Version {
        /// The file.
        path: PathBuf,
        /// The `user_version` in the file.
        found: i32,
        /// The last version that this Lictor knows.
        known: i32,
    },
    /// An earlier version of Lictor made the file, and this is only a look at it.
    #[error("open {}: it has schema version {found}; start this lictor once, which brings it to version {known}",
        path.display())]
    Old {
        /// The file.
        path: PathBuf,
        /// The `user_version` in the file.
        found: i32,
        /// The version that this Lictor writes.
        known: i32,
    },
    /// No room is left on the disk.
    #[error("write {}: no room is left on its disk", path.display())]
    Full {
        /// The database.
        path: PathBuf,
        /// What `SQLite` said.
        source: rusqlite::Error,
    },
    /// The disk could not be read or written.
    #[error("read or write {}", path.display())]
    Io {
        /// The database.
        path: PathBuf,
        /// What `SQLite` said.
        source: rusqlite::Error,
    },
    /// The database is damaged, or holds what no Lictor wrote.
    #[error("read {}: it is damaged", path.display())]
    Corrupt {
        /// The database.
        path: PathBuf,
        /// What could not be understood.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Another process held a lock on the database for too long.
    #[error("write {}: another process keeps it locked", path.display())]
    Busy {
        /// The database.
        path: PathBuf,
        /// What `SQLite` said.
        source: rusqlite::Error,
    },
    /// Any other answer of `SQLite`: a fault of ours.
    #[error("use {}", path.display())]
    Sqlite {
        /// The database.
        path: PathBuf,
        /// What `SQLite` said.
        source: rusqlite::Error,
    },
    /// A state or an event has no JSON form: a fault of ours.
    #[error("encode {what}")]
    Encode {
        /// What was to be written.
        what: String,
        /// Why not.
        source: serde_json::Error,
    },
    /// A delivery names an event that its commit does not have: a fault of ours.
    #[error("commit a delivery of event {position}, where there are {events}")]
    NoSuchEvent {
        /// The event's position, from zero.
        position: usize,
        /// How many events the commit has.
        events: usize,
    },
    /// The store's thread could not be started.
    #[error("start the store's thread")]
    Thread(#[source] io::Error),
    /// The store was closed, or its thread is gone.
    #[error("use the store: it is closed")]
    Closed,
}

impl StoreError {
    /// Sorts an answer of `SQLite` about the database at `path`.
    pub(super) fn sort(path: &Path, source: rusqlite::Error) -> Self {
        let path = path.to_owned();
        match source.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => Self::Full { path, source },
            Some(ErrorCode::SystemIoFailure | ErrorCode::CannotOpen | ErrorCode::ReadOnly) => {
                Self::Io { path, source }
            }
            Some(ErrorCode::NotADatabase) => Self::NotDatabase { path },
            Some(ErrorCode::DatabaseCorrupt) => Self::Corrupt { path, source: source.into() },
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::Busy { path, source },
            None if matches!(source, rusqlite::Error::FromSqlConversionFailure(..)) => {
                Self::Corrupt { path, source: source.into() }
            }
            _ => Self::Sqlite { path, source },
        }
    }
}

/// The words that name the holder of the lock.
fn process(holder: Option<u32>) -> String {
    holder.map_or_else(String::new, |pid| format!(" (process {pid})"))
}
