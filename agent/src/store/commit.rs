//! A watch's answer into the tables and back: the durable line of the house.
//!
//! Encoding JSON is done by the caller's task, so that the store's thread has only `SQLite` to do.

use std::collections::BTreeMap;

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension};

use super::{
    Claimed, Commit, Committed, NewDelivery, Overlap, Replaced, RuleState, StoreError, StoredEvent, rules,
};
use crate::event::{Change, Event, State, id};

/// Whether something of a lane is open: what comes next is not its head then.
pub(super) const LANE_IS_OPEN: &str = "
    SELECT EXISTS (SELECT 1 FROM delivery WHERE receiver = ?1 AND subject = ?2 AND settled_at IS NULL)";

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

/// Why a delivery is not made: the id of a newer one follows.
const OUTDONE: &str = "a newer one for the same subject came: ";
/// The outcome of such a delivery.
const SUPERSEDED: &str = "superseded";
/// Why another one is not made.
const NOT_DONE: &str = "an earlier one for the same subject was not done";

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

const INSERT_DELIVERY: &str = "
    INSERT INTO delivery
      (id, event, rule, receiver, subject, state, head, due_at, attempts, created_at, claimed_at,
       settled_at, outcome, detail, nth, events)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16)
    ON CONFLICT (id) DO NOTHING";

/// Why a delivery is not made, if so: a word and a text. `newer` stands in its place.
fn left_out(delivery: &NewDelivery, newer: Option<&&str>, is_head: bool) -> Option<(&'static str, String)> {
    match (newer, &delivery.withheld) {
        (_, Some((word, detail))) => Some((*word, detail.clone())),
        (Some(newer), None) => Some((SUPERSEDED, format!("{OUTDONE}{newer}"))),
        (None, None) if !is_head && delivery.overlap == Overlap::Skip => {
            Some(("skipped", NOT_DONE.to_owned()))
        }
        (None, None) => None,
    }
}

/// Returns what was claimed and what was replaced.
pub(super) fn write_deliveries(
    transaction: &Connection,
    news: &News,
    generation: u64,
    events: &[Row],
) -> rusqlite::Result<Committed> {
    let mut lane_is_open = transaction.prepare_cached(LANE_IS_OPEN)?;
    let mut insert = transaction.prepare_cached(INSERT_DELIVERY)?;
    let now = news.now.as_millisecond();
    let (mut free, mut committed) = (news.claim.clone(), Committed::default());
    let fresh = fresh(transaction, news, generation, events)?;
    let outdone = outdone(&fresh);
    for (at, Fresh { id, seq, delivery, event, more }) in fresh.iter().enumerate() {
        let (lane, overlap) = (lane(delivery, event), delivery.overlap);
        let newer = outdone.get(&at);
        let made = newer.is_none() && delivery.withheld.is_none();
        let mut head = made && !lane_is_open.query_row(lane, |row| row.get::<_, bool>(0))?;
        if made && !head && overlap.is_for_the_newest() {
            let running = supersede(transaction, lane, id, now)?;
            head = running.is_none();
            let replaced = running.filter(|_| overlap == Overlap::Replace);
            committed.replaced.extend(replaced.map(|id| Replaced { receiver: lane.0.to_owned(), id }));
        }
        let left_out = left_out(delivery, newer, head);
        let free = free.get_mut(&delivery.receiver).filter(|free| **free > 0);
        let begins = head && free.is_some() && delivery.due_at.as_millisecond() <= now;
        let state = match (begins, &left_out) {
            (true, _) => "running",
            (false, Some(_)) => "suppressed",
            (false, None) => "pending",
        };
        let inserted = insert.execute((
            id,
            seq,
            &delivery.rule,
            lane.0,
            lane.1,
            state,
            head,
            delivery.due_at.as_millisecond(),
            i64::from(begins),
            now,
            begins.then_some(now),
            left_out.is_some().then_some(now),
            left_out.as_ref().map(|(outcome, _)| *outcome),
            left_out.as_ref().map(|(_, detail)| detail),
            delivery.nth,
            i64::try_from(more.len()).unwrap_or(i64::MAX).saturating_add(1),
        ))?;
        if inserted == 1 {
            write_more(transaction, transaction.last_insert_rowid(), more)?;
        }
        if let (1, true, Some(free)) = (inserted, begins, free) {
            *free -= 1;
            let more = delivery.more.iter().filter_map(|at| news.events.get(*at)).cloned().collect();
            committed.claimed.push(begun(id.clone(), delivery, (event, more), news.now));
        }
    }
    Ok(committed)
}

/// A delivery that the store does not have.
struct Fresh<'a> {
    id: String,
    /// The row of its event.
    seq: i64,
    delivery: &'a NewDelivery,
    event: &'a StoredEvent,
    /// The rows of the other events.
    more: Vec<i64>,
}

fn write_more(transaction: &Connection, delivery: i64, more: &[i64]) -> rusqlite::Result<()> {
    let sql = "INSERT INTO delivery_more (delivery, position, event) VALUES (?1, ?2, ?3)";
    for (position, event) in (1_i64..).zip(more) {
        transaction.prepare_cached(sql)?.execute((delivery, position, event))?;
    }
    Ok(())
}

/// The deliveries that are not there yet. One that the rules of another watch made stays as it is.
fn fresh<'a>(
    transaction: &Connection,
    news: &'a News,
    generation: u64,
    events: &[Row],
) -> rusqlite::Result<Vec<Fresh<'a>>> {
    let mut fresh = Vec::with_capacity(news.deliveries.len());
    for delivery in &news.deliveries {
        let found = events.get(delivery.event).zip(news.events.get(delivery.event));
        let Some((&Row { seq, is_new }, event)) = found else { continue };
        let id = delivery_id(&event.id, delivery, generation);
        if is_new || !is_there(transaction, &id)? {
            let more = delivery.more.iter().filter_map(|at| events.get(*at)).map(|row| row.seq).collect();
            fresh.push(Fresh { id, seq, delivery, event, more });
        }
    }
    Ok(fresh)
}

/// The receiver, and what stands in the store for those of its deliveries that are made one after the other.
fn lane<'a>(delivery: &'a NewDelivery, event: &'a StoredEvent) -> (&'a str, &'a str) {
    (&delivery.receiver, delivery.lane.key(delivery.group.as_deref().unwrap_or(&event.subject)))
}

/// A delivery that the commit which made it has claimed.
fn begun(
    id: String,
    delivery: &NewDelivery,
    (event, more): (&StoredEvent, Vec<StoredEvent>),
    now: Timestamp,
) -> Claimed {
    Claimed {
        id,
        attempt: 1,
        redriven: 0,
        rule: delivery.rule.clone(),
        receiver: delivery.receiver.clone(),
        event: event.clone(),
        more,
        nth: delivery.nth,
        created_at: now,
        tried_since: now,
    }
}

/// Those in whose place a later one of the same commit stands, by their positions, with its id.
fn outdone<'a>(fresh: &'a [Fresh<'a>]) -> BTreeMap<usize, &'a str> {
    let mut newest = BTreeMap::<_, &str>::new();
    let mut outdone = BTreeMap::new();
    let last_first = fresh.iter().enumerate().rev().filter(|(_, one)| one.delivery.withheld.is_none());
    for (at, one) in last_first.filter(|(_, one)| one.delivery.overlap.is_for_the_newest()) {
        let newer = *newest.entry(lane(one.delivery, one.event)).or_insert(&one.id);
        // The same twice is one.
        if newer != one.id {
            outdone.insert(at, newer);
        }
    }
    outdone
}

fn is_there(transaction: &Connection, delivery: &str) -> rusqlite::Result<bool> {
    let mut exists = transaction.prepare_cached("SELECT EXISTS (SELECT 1 FROM delivery WHERE id = ?1)")?;
    exists.query_row([delivery], |row| row.get(0))
}

/// Takes those of a lane that wait out of it, in favour of the delivery `id`. Returns the one that runs.
fn supersede(
    transaction: &Connection,
    lane: (&str, &str),
    id: &str,
    now: i64,
) -> rusqlite::Result<Option<String>> {
    transaction
        .prepare_cached(
            "UPDATE delivery SET state = 'suppressed', settled_at = ?3, head = 0, outcome = ?5,
               detail = ?4
             WHERE receiver = ?1 AND subject = ?2 AND settled_at IS NULL AND state = 'pending'",
        )?
        .execute((lane.0, lane.1, now, format!("{OUTDONE}{id}"), SUPERSEDED))?;
    transaction
        .prepare_cached(
            "SELECT id FROM delivery
             WHERE receiver = ?1 AND subject = ?2 AND settled_at IS NULL AND state = 'running'",
        )?
        .query_row(lane, |row| row.get(0))
        .optional()
}

/// The idempotency key, the same on every attempt and after every restart.
fn delivery_id(event: &str, delivery: &NewDelivery, generation: u64) -> String {
    let (generation, nth) = (generation.to_be_bytes(), delivery.nth.to_be_bytes());
    let parts = [event.as_bytes(), delivery.rule.as_bytes(), delivery.receiver.as_bytes(), &generation, &nth];
    // What is not told again has the id that it always had.
    id::derive(if delivery.nth == 0 { &parts[..4] } else { &parts })
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
