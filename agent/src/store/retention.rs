//! How much of the past is kept.
//!
//! Events go with all their deliveries and attempts, oldest first, in small transactions, so that no commit
//! waits for long. An event that is still to be delivered stays, and so do the newest event and the newest
//! delivery: a `seq` must not come again.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use rusqlite::{Connection, TransactionBehavior};

use super::{Store, StoreError};

/// Events that go in one transaction: some milliseconds.
const BATCH: u32 = 200;

/// The oldest events after a `seq` that may go, with how many of their deliveries are dead.
pub(super) const OLDEST: &str = "
    SELECT seq, time, (SELECT count(*) FROM delivery WHERE delivery.event = event.seq AND state = 'dead')
    FROM event
    WHERE seq > ?1 AND seq < (SELECT max(seq) FROM event) AND NOT EXISTS (
      SELECT 1 FROM delivery WHERE delivery.event = event.seq
        AND (settled_at IS NULL OR delivery.seq = (SELECT max(seq) FROM delivery)))
      AND NOT EXISTS (
        SELECT 1 FROM delivery_more JOIN delivery ON delivery.seq = delivery_more.delivery
        WHERE delivery_more.event = event.seq)
    ORDER BY seq LIMIT ?2";

/// What is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Events that were seen longer ago than this go. Default: 30 days.
    pub age: Duration,
    /// Where the database holds more bytes than this, the oldest events go. Default: 256 MiB. The file itself
    /// does not shrink: what is free in it is used again.
    pub size: u64,
}

impl Default for Retention {
    fn default() -> Self {
        Self { age: Duration::from_hours(30 * 24), size: 256 << 20 }
    }
}

/// What went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Events, each with its deliveries.
    pub events: u64,
    /// Deliveries among them that were dead: nobody sent them again.
    pub dead: u64,
}

/// Where the next batch begins, and what went so far.
#[derive(Clone, Copy, Default)]
struct Progress {
    after: i64,
    pruned: Pruned,
    done: bool,
}

impl Store {
    /// Deletes what `retention` does not keep.
    pub async fn prune(&self, retention: Retention, now: Timestamp) -> Result<Pruned, StoreError> {
        let age = SignedDuration::try_from(retention.age).unwrap_or(SignedDuration::MAX);
        let cutoff = now.checked_sub(age).unwrap_or(Timestamp::MIN).as_millisecond();
        let mut progress = Progress::default();
        while !progress.done {
            progress =
                self.run(move |connection| batch(connection, retention.size, cutoff, progress)).await?;
        }
        Ok(progress.pruned)
    }
}

impl Store {
    /// The names of all queries of which something is known.
    pub async fn queries(&self) -> Result<Vec<String>, StoreError> {
        self.run(|connection| {
            let mut statement = connection.prepare("SELECT name FROM watch ORDER BY name")?;
            statement.query_map((), |row| row.get(0))?.collect()
        })
        .await
    }

    /// Forgets what these queries knew. The events that they told stay.
    pub async fn forget(&self, queries: Vec<String>) -> Result<(), StoreError> {
        self.run(move |connection| forget(connection, &queries)).await
    }
}

fn forget(connection: &mut Connection, queries: &[String]) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    // How often the indexes began anew is kept beside each query, and the highest number counts.
    let generation: i64 =
        transaction.query_row("SELECT coalesce(max(generation), 0) FROM watch", (), |row| row.get(0))?;
    for name in queries {
        transaction.execute("DELETE FROM snapshot WHERE watch = ?1", [name])?;
        transaction.execute("DELETE FROM watch WHERE name = ?1", [name])?;
    }
    transaction.execute("UPDATE watch SET generation = ?1 WHERE generation < ?1", [generation])?;
    transaction.commit()
}

fn batch(
    connection: &mut Connection,
    size: u64,
    cutoff: i64,
    mut progress: Progress,
) -> rusqlite::Result<Progress> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let is_large = used(&transaction)? > size;
    let oldest: Vec<(i64, i64, u64)> = transaction
        .prepare_cached(OLDEST)?
        .query_map((progress.after, BATCH), |row| {
            Ok((row.get(0)?, row.get(1)?, row.get::<_, i64>(2)?.unsigned_abs()))
        })?
        .collect::<Result<_, _>>()?;
    progress.done = oldest.len() < BATCH as usize;
    for (seq, time, dead) in oldest {
        if !is_large && time >= cutoff {
            progress.done = true;
            break;
        }
        for sql in [
            "DELETE FROM delivery_more WHERE delivery IN (SELECT seq FROM delivery WHERE event = ?1)",
            "DELETE FROM attempt WHERE delivery IN (SELECT seq FROM delivery WHERE event = ?1)",
            "DELETE FROM delivery WHERE event = ?1",
            "DELETE FROM event WHERE seq = ?1",
        ] {
            transaction.prepare_cached(sql)?.execute([seq])?;
        }
        progress.after = seq;
        progress.pruned.events += 1;
        progress.pruned.dead += dead;
    }
    transaction.commit()?;
    Ok(progress)
}

/// Bytes of the database that are in use.
pub(super) fn used(connection: &Connection) -> rusqlite::Result<u64> {
    let pragma = |name: &str| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    let pages = pragma("page_count")? - pragma("freelist_count")?;
    Ok((pages * pragma("page_size")?).unsigned_abs())
}
