//! Deliveries into their table: which are made, which are claimed at once, and which are not made.

use std::collections::BTreeMap;

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension};

use super::commit::{News, Row};
use super::{Claimed, Committed, NewDelivery, Overlap, Replaced, StoredEvent};
use crate::event::id;

/// Whether something of a lane is open: what comes next is not its head then.
pub(super) const LANE_IS_OPEN: &str = "
    SELECT EXISTS (SELECT 1 FROM delivery WHERE receiver = ?1 AND subject = ?2 AND settled_at IS NULL)";

/// Why a delivery is not made: the id of a newer one follows.
const OUTDONE: &str = "a newer one for the same subject came: ";
/// The outcome of such a delivery.
const SUPERSEDED: &str = "superseded";
/// Why another one is not made.
const NOT_DONE: &str = "an earlier one for the same subject was not done";

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
