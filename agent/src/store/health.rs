//! Whether the store is whole, what is in it, and how it is mended.

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior};
use serde::Serialize;

use super::outbox::{open_by_receiver, time};
use super::record::State;
use super::retention::used;
use super::{Records, StoreError, damage, open};

/// Open lanes that do not have just one head, or whose head waits behind an earlier delivery.
const WRONG_LANES: &str = "
    SELECT count(*) FROM (
      SELECT min(seq) AS first, sum(head) AS heads,
        max(CASE WHEN head = 1 AND state = 'pending' THEN seq END) AS waiting
      FROM delivery WHERE settled_at IS NULL GROUP BY receiver, subject
      HAVING heads != 1 OR waiting != first)";

/// Gives each open lane without a head its first delivery as one.
const HEADS: &str = "
    UPDATE delivery SET head = 1 WHERE seq IN (
      SELECT min(seq) FROM delivery WHERE settled_at IS NULL
      GROUP BY receiver, subject HAVING sum(head) = 0)";

/// What is known of a store.
#[derive(Debug, Serialize)]
pub struct Health {
    /// The database.
    pub path: PathBuf,
    /// Its version.
    pub schema: i32,
    /// What `SQLite` finds wrong with the file; at most 20.
    pub faults: Vec<String>,
    /// Subjects of receivers whose next delivery is not the one that it should be.
    pub wrong_lanes: u64,
    /// How many deliveries are in each state.
    pub deliveries: Vec<(State, u64)>,
    /// How many of those that are not settled each receiver has.
    pub open: Vec<(String, u64)>,
    /// How many events there are.
    pub events: u64,
    /// When the first of them was seen.
    pub since: Option<Timestamp>,
    /// Bytes that are in use.
    pub used: u64,
    /// Bytes of the file.
    pub size: u64,
    /// Bytes of the log.
    pub log: u64,
}

impl Health {
    /// Nothing is to be mended.
    pub fn is_whole(&self) -> bool {
        self.faults.is_empty() && self.wrong_lanes == 0
    }
}

/// What a repair did.
#[derive(Debug)]
pub enum Repaired {
    /// The store is whole.
    Whole(Health),
    /// It could not be mended and is set aside under this name. The next start begins anew.
    SetAside(PathBuf),
}

impl Records {
    /// Looks at all of the store. It reads every page, so a large one takes some seconds.
    pub fn health(&self) -> Result<Health, StoreError> {
        health(&self.connection, &self.path).map_err(|source| StoreError::sort(&self.path, source))
    }
}

/// Mends the database at `path`, which no Lictor may use meanwhile: its indexes, the heads of its lanes, and the
/// room that is free in it is given back.
pub fn repair(path: &Path, now: Timestamp) -> Result<Repaired, StoreError> {
    let _lock = open::lock(path)?;
    let mended = mend(path);
    match mended {
        Ok(health) if health.is_whole() => return Ok(Repaired::Whole(health)),
        Ok(_) | Err(StoreError::Corrupt { .. } | StoreError::NotDatabase { .. }) => {}
        Err(error) => return Err(error),
    }
    damage::set_aside(path, now)
        .map(Repaired::SetAside)
        .map_err(|source| StoreError::Aside { path: path.to_owned(), source })
}

fn mend(path: &Path) -> Result<Health, StoreError> {
    let mut records = Records::open(path)?;
    let sort = |source| StoreError::sort(path, source);
    records.connection.execute_batch("REINDEX").map_err(sort)?;
    mend_lanes(&mut records.connection).map_err(sort)?;
    records.connection.execute_batch("VACUUM; PRAGMA wal_checkpoint(TRUNCATE)").map_err(sort)?;
    records.health()
}

fn mend_lanes(connection: &mut Connection) -> rusqlite::Result<()> {
    let transaction: Transaction<'_> =
        connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    // What ran keeps its place: the next start says what becomes of it.
    transaction.execute("UPDATE delivery SET head = 0 WHERE head = 1 AND state != 'running'", ())?;
    transaction.execute(HEADS, ())?;
    transaction.commit()
}

fn health(connection: &Connection, path: &Path) -> rusqlite::Result<Health> {
    let size = |suffix: &str| {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        // Without a log there is no file.
        std::fs::metadata(name).map_or(0, |file| file.len())
    };
    let mut faults: Vec<String> = connection
        .prepare("PRAGMA integrity_check(20)")?
        .query_map((), |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    faults.retain(|fault| fault != "ok");
    let orphans: i64 =
        connection.query_row("SELECT count(*) FROM pragma_foreign_key_check", (), |row| row.get(0))?;
    if orphans > 0 {
        faults.push(format!("{orphans} rows belong to what is not there"));
    }
    let count = |sql: &str| connection.query_row(sql, (), |row| row.get::<_, i64>(0));
    let since: Option<i64> = connection
        .query_row("SELECT time FROM event ORDER BY seq LIMIT 1", (), |row| row.get(0))
        .optional()?;
    Ok(Health {
        path: path.to_owned(),
        schema: connection.pragma_query_value(None, "user_version", |row| row.get(0))?,
        faults,
        wrong_lanes: count(WRONG_LANES)?.unsigned_abs(),
        deliveries: by_state(connection)?,
        open: open_by_receiver(connection)?.into_iter().collect(),
        events: count("SELECT count(*) FROM event")?.unsigned_abs(),
        since: since.map(|since| time(since, 0)).transpose()?,
        used: used(connection)?,
        size: size(""),
        log: size("-wal"),
    })
}

fn by_state(connection: &Connection) -> rusqlite::Result<Vec<(State, u64)>> {
    let count = |state: State| {
        let sql = format!("SELECT count(*) FROM delivery WHERE {}", state.condition());
        connection.query_row(&sql, (), |row| Ok((state, row.get::<_, i64>(0)?.unsigned_abs())))
    };
    State::ALL.into_iter().map(count).collect()
}
