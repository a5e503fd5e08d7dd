//! A watch's answer into the tables and back: the durable line of the house.
//!
//! Encoding JSON is done by the caller's task, so that the store's thread has only `SQLite` to do.

use std::collections::BTreeMap;

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension};

use super::made::write_deliveries;
use super::{Commit, Committed, NewDelivery, RuleState, StoreError, StoredEvent, rules};
use crate::event::{Change, Event, State};

/// A commit in the form of its rows.
pub(super) struct Encoded {
    index: u64,
    reset: bool,
    /// The index is that of a state, so it is stored with it.
    index_is_in_states: bool,
    watch: String,
    /// Key and JSON; without JSON the thing is gone.
    states: Vec<(String, Option<String>)>,
    news: News,
    rule_states: Vec<RuleState>,
    expired: Vec<(String, Timestamp)>,
}

/// Events and where they go, in the form of their rows.
pub(super) struct News {
    /// The watch that saw them.
    pub(super) watch: String,
    pub(super) events: Vec<StoredEvent>,
    pub(super) deliveries: Vec<NewDelivery>,
    pub(super) claim: BTreeMap<String, usize>,
    pub(super) now: Timestamp,
}

/// The rows of a watch, its states not yet decoded.
pub(super) struct SavedRows {
    pub(super) index: u64,
    pub(super) generation: u64,
    pub(super) states: Vec<(String, String)>,
}

impl Encoded {
    /// Encodes `commit`, and checks that each delivery has an event.
    pub(super) fn new(commit: &Commit) -> Result<Self, StoreError> {
        let events = commit.events.len() + commit.recalled.len();
        let positions =
            commit.deliveries.iter().flat_map(|delivery| delivery.more.iter().chain([&delivery.event]));
        if let Some(position) = positions.copied().find(|position| *position >= events) {
            return Err(StoreError::NoSuchEvent { position, events });
        }
        let encode = |event| encode_event(event, &commit.node, &commit.environment);
        Ok(Self {
            states: commit.changes.iter().map(encode_change).collect::<Result<_, _>>()?,
            index: commit.index,
            reset: commit.reset,
            index_is_in_states: commit
                .changes
                .iter()
                .any(|change| change.parts().2.and_then(State::modify_index) == Some(commit.index)),
            watch: commit.watch.clone(),
            news: News {
                watch: commit.told_as.clone(),
                events: commit.events.iter().chain(&commit.recalled).map(encode).collect::<Result<_, _>>()?,
                deliveries: commit.deliveries.clone(),
                claim: commit.claim.clone(),
                now: commit.now,
            },
            rule_states: commit.rule_states.clone(),
            expired: commit.expired.clone(),
        })
    }
}

fn encode_change(change: &Change<State>) -> Result<(String, Option<String>), StoreError> {
    match change {
        Change::Removed(key, _) => Ok((key.clone(), None)),
        Change::Added(key, new) | Change::Modified { key, new, .. } => {
            let json = serde_json::to_string(new)
                .map_err(|source| StoreError::Encode { what: format!("the state of {key}"), source })?;
            Ok((key.clone(), Some(json)))
        }
    }
}

pub(super) fn encode_event(event: &Event, node: &str, environment: &str) -> Result<StoredEvent, StoreError> {
    let data = serde_json::to_string(&event.data)
        .map_err(|source| StoreError::Encode { what: format!("event {}", event.id), source })?;
    Ok(StoredEvent {
        id: event.id.clone(),
        source: event.source.clone(),
        kind: format!("lictor.{}", event.kind),
        subject: event.subject.clone(),
        // As it is read back.
        time: Timestamp::from_millisecond(event.time.as_millisecond()).unwrap_or(event.time),
        data,
        node: node.to_owned(),
        environment: environment.to_owned(),
    })
}

/// Everything of `commit`, within a transaction. Gives what it claimed and what it replaced.
pub(super) fn commit(transaction: &Connection, commit: &Encoded) -> rusqlite::Result<Committed> {
    let generation = write_watch(transaction, commit)?;
    write_states(transaction, commit)?;
    rules::write(transaction, &commit.rule_states)?;
    rules::expire(transaction, &commit.expired)?;
    write_news(transaction, &commit.news, generation)
}

/// Stores events and deliveries.
pub(super) fn write_news(
    transaction: &Connection,
    news: &News,
    generation: u64,
) -> rusqlite::Result<Committed> {
    let rows = write_events(transaction, news, generation)?;
    write_deliveries(transaction, news, generation, &rows)
}

/// Returns the generation that the commit's events belong to.
fn write_watch(transaction: &Connection, commit: &Encoded) -> rusqlite::Result<u64> {
    // All watches are in one generation: they see the same Consul, and an event that two of them see must be one
    // event. The first one that sees a reset begins the next, and the others join it, whether they see it or not.
    let (own, highest): (Option<i64>, i64) = transaction
        .prepare_cached(
            "SELECT (SELECT generation FROM watch WHERE name = ?1), coalesce((SELECT max(generation) FROM watch), 0)",
        )?
        .query_row([&commit.watch], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let begins = commit.reset && own.is_none_or(|own| own == highest);
    let generation = highest.cast_unsigned() + u64::from(begins);
    // One page less for each change on its way into the log.
    if !begins && own == Some(highest) && commit.index_is_in_states {
        return Ok(generation);
    }
    transaction
        .prepare_cached(
            "INSERT INTO watch (name, wait_index, generation, committed_at)
             VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT (name) DO UPDATE SET wait_index = excluded.wait_index,
               generation = excluded.generation, committed_at = excluded.committed_at",
        )?
        .execute((
            &commit.watch,
            commit.index.cast_signed(),
            generation.cast_signed(),
            commit.news.now.as_millisecond(),
        ))?;
    Ok(generation)
}

fn write_states(transaction: &Connection, commit: &Encoded) -> rusqlite::Result<()> {
    let mut put = transaction.prepare_cached(
        "INSERT INTO snapshot (watch, key, state) VALUES (?1, ?2, ?3)
         ON CONFLICT (watch, key) DO UPDATE SET state = excluded.state",
    )?;
    let mut remove = transaction.prepare_cached("DELETE FROM snapshot WHERE watch = ?1 AND key = ?2")?;
    for (key, state) in &commit.states {
        match state {
            Some(state) => put.execute((&commit.watch, key, state))?,
            None => remove.execute((&commit.watch, key))?,
        };
    }
    Ok(())
}

/// Where an event is.
pub(super) struct Row {
    pub(super) seq: i64,
    /// It was not there before: no delivery can be of it.
    pub(super) is_new: bool,
}

/// Returns each event's row. One that is there already was told by another watch; the rules of this one may send it
/// to others.
fn write_events(transaction: &Connection, news: &News, generation: u64) -> rusqlite::Result<Vec<Row>> {
    let mut insert = transaction.prepare_cached(
        "INSERT INTO event (id, generation, watch, kind, source, subject, time, data, node, environment)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)
         ON CONFLICT (id, generation) DO NOTHING",
    )?;
    let mut write = |event: &StoredEvent| {
        let inserted = insert.execute((
            &event.id,
            generation.cast_signed(),
            &news.watch,
            &event.kind,
            &event.source,
            &event.subject,
            event.time.as_millisecond(),
            &event.data,
            &event.node,
            &event.environment,
        ))?;
        if inserted > 0 {
            return Ok(Row { seq: transaction.last_insert_rowid(), is_new: true });
        }
        let seq = transaction
            .prepare_cached("SELECT seq FROM event WHERE id = ?1 AND generation = ?2")?
            .query_row((&event.id, generation.cast_signed()), |row| row.get(0))?;
        Ok(Row { seq, is_new: false })
    };
    news.events.iter().map(&mut write).collect()
}

/// What is known of `watch`, or none when it was never committed.
pub(super) fn load(connection: &mut Connection, watch: &str) -> rusqlite::Result<Option<SavedRows>> {
    // One transaction, so that index and states are of the same answer.
    let transaction = connection.transaction()?;
    let head = transaction
        .prepare_cached("SELECT wait_index, generation FROM watch WHERE name = ?1")?
        .query_row([watch], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?)))
        .optional()?;
    let Some((index, generation)) = head else { return Ok(None) };
    let states = transaction
        .prepare_cached("SELECT key, state FROM snapshot WHERE watch = ?1")?
        .query_map([watch], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<Result<_, _>>()?;
    Ok(Some(SavedRows { index: index.cast_unsigned(), generation: generation.cast_unsigned(), states }))
}
