//! The store as a person uses it: what became of each delivery, and what is sent again or given up.
//!
//! It has a connection of its own and takes no lock, so it works beside a Lictor that runs and without one.
//! A Lictor that runs does not see by itself that something became due: it is to be told.

use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use rusqlite::{Connection, OpenFlags, OptionalExtension, Row, Transaction, TransactionBehavior, params};

use super::outbox::{promote, time};
use super::record::{Attempt, EventFilter, Filter, Record, RecordsError, State};
use super::schema::VERSION;
use super::{StoreError, StoredEvent, open};

/// How long a person waits for a Lictor that writes.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// What stands in front of each list of deliveries.
const RECORD: &str = "
    SELECT delivery.id, event.id, event.kind, event.subject, delivery.rule, delivery.receiver, delivery.state,
      delivery.attempts, delivery.created_at, delivery.due_at, delivery.settled_at, delivery.outcome,
      delivery.detail, delivery.seq, delivery.subject
    FROM delivery JOIN event ON event.seq = delivery.event";

/// An event, for a person.
#[derive(Clone, Debug)]
pub struct Seen {
    /// What happened.
    pub event: StoredEvent,
    /// The watch that told it first.
    pub watch: String,
    /// What became of it.
    pub deliveries: Vec<Record>,
}

/// The database, for a person.
#[derive(Debug)]
pub struct Records {
    pub(super) connection: Connection,
    pub(super) path: PathBuf,
}

impl Records {
    /// Opens the database at `path`, which must exist.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let sort = |source| StoreError::sort(path, source);
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags).map_err(sort)?;
        connection.busy_timeout(BUSY_TIMEOUT).map_err(sort)?;
        match open::recognize(&connection, path)? {
            VERSION => {}
            found => return Err(StoreError::Old { path: path.to_owned(), found, known: VERSION }),
        }
        open::configure(&connection, open::Durability::Normal).map_err(sort)?;
        Ok(Self { connection, path: path.to_owned() })
    }

    /// The deliveries of `filter`.
    pub fn list(&self, filter: &Filter) -> Result<Vec<Record>, StoreError> {
        let state = filter.state.map_or("TRUE", State::condition);
        let receiver = if filter.receiver.is_some() { "receiver = ?2" } else { "?2 IS NULL" };
        let sql = format!("{RECORD} WHERE {state} AND {receiver} ORDER BY delivery.seq DESC LIMIT ?1");
        self.records(&sql, params![filter.limit, filter.receiver])
    }

    /// The one delivery whose id begins with `id`.
    pub fn find(&self, id: &str) -> Result<Record, RecordsError> {
        let sql = format!("{RECORD} WHERE delivery.id BETWEEN ?1 AND ?1 || 'g' LIMIT 2");
        let mut found = self.records(&sql, [id])?;
        match (found.pop(), found.is_empty()) {
            (Some(record), true) => Ok(record),
            (Some(_), false) => Err(RecordsError::Ambiguous { what: "delivery", id: id.into() }),
            (None, _) => Err(RecordsError::Unknown { what: "a delivery", id: id.into() }),
        }
    }

    /// The attempts of a delivery, in their order.
    pub fn attempts(&self, record: &Record) -> Result<Vec<Attempt>, StoreError> {
        let read = || {
            self.connection
                .prepare_cached(
                    "SELECT number, started_at, ended_at, outcome, detail FROM attempt WHERE delivery = ?1
                     ORDER BY number",
                )?
                .query_map([record.seq], |row| {
                    Ok(Attempt {
                        number: row.get(0)?,
                        started_at: time(row.get(1)?, 1)?,
                        ended_at: time(row.get(2)?, 2)?,
                        outcome: row.get(3)?,
                        detail: row.get(4)?,
                    })
                })?
                .collect::<rusqlite::Result<_>>()
        };
        read().map_err(|source| StoreError::sort(&self.path, source))
    }

    /// The events whose id begins with `id`, each with its deliveries; at least one. Several have the same id
    /// when Consul's indexes began anew.
    pub fn events(&self, id: &str) -> Result<Vec<Seen>, RecordsError> {
        let read = || {
            self.connection
                .prepare_cached(
                    "SELECT id, source, kind, subject, time, data, node, environment, seq, watch FROM event
                     WHERE id BETWEEN ?1 AND ?1 || 'g' LIMIT 10",
                )?
                .query_map([id], |row| Ok((read_event(row)?, row.get(8)?, row.get(9)?)))?
                .collect::<rusqlite::Result<Vec<(StoredEvent, i64, String)>>>()
        };
        let events = read().map_err(|source| StoreError::sort(&self.path, source))?;
        if events.is_empty() {
            return Err(RecordsError::Unknown { what: "an event", id: id.into() });
        }
        let with_deliveries =
            |(event, seq, watch)| Ok(Seen { event, watch, deliveries: self.deliveries_of(seq)? });
        events.into_iter().map(with_deliveries).collect()
    }

    /// The deliveries of the event at this place in the store, also those that are of others too.
    pub fn deliveries_of(&self, event: i64) -> Result<Vec<Record>, StoreError> {
        let sql = format!(
            "{RECORD} WHERE delivery.event = ?1
               OR delivery.seq IN (SELECT delivery FROM delivery_more WHERE event = ?1)
             ORDER BY delivery.seq"
        );
        self.records(&sql, [event])
    }

    /// The first events after a place in the store that were seen at some time or later, each with its place and its watch.
    pub fn next(
        &self,
        EventFilter { since, after, limit, .. }: &EventFilter,
    ) -> Result<Vec<(i64, StoredEvent, String)>, StoreError> {
        let sql = "SELECT id, source, kind, subject, time, data, node, environment, seq, watch FROM event
             WHERE seq > ?1 AND (?2 IS NULL OR time >= ?2) ORDER BY seq LIMIT ?3";
        let read = || {
            self.connection
                .prepare_cached(sql)?
                .query_map(params![after, since.map(Timestamp::as_millisecond), limit], |row| {
                    Ok((row.get(8)?, read_event(row)?, row.get(9)?))
                })?
                .collect::<rusqlite::Result<Vec<_>>>()
        };
        read().map_err(|source| StoreError::sort(&self.path, source))
    }

    /// The newest events of `filter` in the order in which they happened, each with its place in the store.
    pub fn seen(&self, filter: &EventFilter) -> Result<Vec<(i64, StoredEvent)>, StoreError> {
        // The newest are read first, so what is before `since` costs nothing.
        let sql = "SELECT id, source, kind, subject, time, data, node, environment, seq FROM event
             WHERE seq > ?1
               AND seq > coalesce((SELECT seq FROM event WHERE time < ?2 ORDER BY seq DESC LIMIT 1), 0)
               AND (?3 IS NULL OR kind = ?3)
               AND (?4 IS NULL OR json_extract(data, '$.service') = ?4)
               AND (?5 IS NULL OR json_extract(data, '$.node') = ?5)
             ORDER BY seq DESC LIMIT ?6";
        let since = filter.since.map(Timestamp::as_millisecond);
        let parameters = params![filter.after, since, filter.kind, filter.service, filter.node, filter.limit];
        let read = || {
            self.connection
                .prepare_cached(sql)?
                .query_map(parameters, |row| Ok((row.get(8)?, read_event(row)?)))?
                .collect::<rusqlite::Result<Vec<_>>>()
        };
        let mut events = read().map_err(|source| StoreError::sort(&self.path, source))?;
        events.reverse();
        Ok(events)
    }

    /// Has a delivery sent again that is dead, suppressed, or waits for its next attempt: it is due now, and
    /// counts its attempts anew.
    pub fn retry(&mut self, record: &Record, now: Timestamp) -> Result<(), RecordsError> {
        let help = match record.state {
            State::Dead | State::Suppressed | State::Failed => None,
            State::Pending => Some("it is made as soon as it can"),
            State::Running => Some("wait for its end"),
            State::Delivered => Some("only what failed is sent again"),
        };
        let changed = match help {
            None => self.write(|transaction| reopen(transaction, record, now))?,
            Some(_) => false,
        };
        let help = help.unwrap_or("it changed just now; look again");
        self.done(changed, "send again", record, help)
    }

    /// Gives up a delivery that is not settled, or takes a dead one off the list.
    pub fn discard(&mut self, record: &Record, reason: &str, now: Timestamp) -> Result<(), RecordsError> {
        let help = match record.state {
            State::Dead | State::Pending | State::Failed => None,
            State::Running => Some("wait for its end"),
            State::Delivered | State::Suppressed => Some("nothing more happens to it"),
        };
        let changed = match help {
            None => self.write(|transaction| give_up(transaction, record, reason, now))?,
            Some(_) => false,
        };
        let help = help.unwrap_or("it changed just now; look again");
        self.done(changed, "discard", record, help)
    }

    fn done(
        &self,
        changed: bool,
        verb: &'static str,
        record: &Record,
        help: &'static str,
    ) -> Result<(), RecordsError> {
        if changed {
            return Ok(());
        }
        let state = self.find(&record.id)?.state;
        Err(RecordsError::State { verb, id: record.id.clone(), state, help })
    }

    fn records(&self, sql: &str, params: impl rusqlite::Params) -> Result<Vec<Record>, StoreError> {
        let read =
            || self.connection.prepare(sql)?.query_map(params, read_record)?.collect::<rusqlite::Result<_>>();
        read().map_err(|source| StoreError::sort(&self.path, source))
    }

    pub(super) fn write<T>(
        &mut self,
        work: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>,
    ) -> Result<T, StoreError> {
        let write = || {
            let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let done = work(&transaction)?;
            transaction.commit()?;
            Ok(done)
        };
        write().map_err(|source| StoreError::sort(&self.path, source))
    }
}

fn read_record(row: &Row<'_>) -> rusqlite::Result<Record> {
    let (state, outcome): (String, Option<String>) = (row.get(6)?, row.get(11)?);
    let unknown = || rusqlite::Error::InvalidColumnType(6, state.clone(), rusqlite::types::Type::Text);
    Ok(Record {
        id: row.get(0)?,
        event: row.get(1)?,
        kind: row.get(2)?,
        subject: row.get(3)?,
        rule: row.get(4)?,
        receiver: row.get(5)?,
        state: State::of(&state, outcome.as_deref()).ok_or_else(unknown)?,
        attempts: row.get(7)?,
        created_at: time(row.get(8)?, 8)?,
        due_at: time(row.get(9)?, 9)?,
        settled_at: row.get::<_, Option<i64>>(10)?.map(|at| time(at, 10)).transpose()?,
        outcome,
        detail: row.get(12)?,
        seq: row.get(13)?,
        lane: row.get(14)?,
    })
}

pub(super) fn read_event(row: &Row<'_>) -> rusqlite::Result<StoredEvent> {
    Ok(StoredEvent {
        id: row.get(0)?,
        source: row.get(1)?,
        kind: row.get(2)?,
        subject: row.get(3)?,
        time: time(row.get(4)?, 4)?,
        data: row.get(5)?,
        node: row.get(6)?,
        environment: row.get(7)?,
    })
}

/// Makes a delivery pending and due. Where it is the first of its lane now, it goes before those that wait.
fn reopen(transaction: &Transaction<'_>, record: &Record, now: Timestamp) -> rusqlite::Result<bool> {
    let changed = transaction.execute(
        "UPDATE delivery SET state = 'pending', settled_at = NULL, due_at = ?2, outcome = NULL, detail = NULL,
           redriven = attempts, redriven_at = ?2
         WHERE seq = ?1 AND state IN ('dead', 'suppressed', 'pending')",
        (record.seq, now.as_millisecond()),
    )?;
    let lane = (&record.receiver, &record.lane);
    let running: Option<i64> = transaction
        .query_row(
            "SELECT seq FROM delivery
             WHERE receiver = ?1 AND subject = ?2 AND settled_at IS NULL AND state = 'running'",
            lane,
            |row| row.get(0),
        )
        .optional()?;
    if changed > 0 && running.is_none() {
        transaction.execute(
            "UPDATE delivery SET head = 0 WHERE receiver = ?1 AND subject = ?2 AND settled_at IS NULL AND head = 1",
            lane,
        )?;
        promote(transaction, &record.receiver, &record.lane)?;
    }
    Ok(changed > 0)
}

fn give_up(
    transaction: &Transaction<'_>,
    record: &Record,
    reason: &str,
    now: Timestamp,
) -> rusqlite::Result<bool> {
    let changed = transaction.execute(
        "UPDATE delivery SET state = 'suppressed', settled_at = coalesce(settled_at, ?2), head = 0,
           outcome = 'discarded', detail = ?3
         WHERE seq = ?1 AND state IN ('dead', 'pending')",
        (record.seq, now.as_millisecond(), reason),
    )?;
    let has_head: bool = transaction.query_row(
        "SELECT EXISTS (SELECT 1 FROM delivery
           WHERE receiver = ?1 AND subject = ?2 AND settled_at IS NULL AND head = 1)",
        (&record.receiver, &record.lane),
        |row| row.get(0),
    )?;
    if changed > 0 && !has_head {
        promote(transaction, &record.receiver, &record.lane)?;
    }
    Ok(changed > 0)
}
