//! A database that is damaged: how that is noticed, and what becomes of it.
//!
//! `SQLite` tells of damage where it meets it. To look for it takes seconds for a large database, so that is
//! done only at the start after some was met.
//!
//! Invariant: nothing is deleted. A damaged database is renamed, and a new one begins.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use rusqlite::Connection;

use super::StoreError;

/// What a database consists of, beside its own name.
const FILES: [&str; 3] = ["", "-wal", "-shm"];

/// The file that says: damage was met.
fn suspicion(path: &Path) -> PathBuf {
    path.with_extension("suspect")
}

/// Notes that damage was met, for the next start. That is all that can be done while the database is in use, so
/// a failure of it changes nothing.
pub(super) fn suspect(path: &Path) {
    drop(File::create(suspicion(path)));
}

/// Looks for damage if some was met before.
pub(super) fn examine(connection: &Connection, path: &Path) -> Result<(), StoreError> {
    let suspicion = suspicion(path);
    if !suspicion.exists() {
        return Ok(());
    }
    let found: String = connection
        .query_row("PRAGMA quick_check(1)", (), |row| row.get(0))
        .map_err(|source| StoreError::sort(path, source))?;
    if found != "ok" {
        return Err(StoreError::Corrupt { path: path.to_owned(), source: found.into() });
    }
    // It stays only where nothing could be written anyway.
    drop(fs::remove_file(suspicion));
    Ok(())
}

/// Renames the database at `path` with its log, and gives its new name.
pub(super) fn set_aside(path: &Path, now: Timestamp) -> io::Result<PathBuf> {
    let named = |path: &Path, suffix: &str| {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        PathBuf::from(name)
    };
    let aside = named(path, &now.strftime(".damaged-%Y%m%dT%H%M%S%.3fZ").to_string());
    for suffix in FILES {
        match fs::rename(named(path, suffix), named(&aside, suffix)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    drop(fs::remove_file(suspicion(path)));
    Ok(aside)
}
