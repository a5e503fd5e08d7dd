//! The life of a delivery: claimed, settled, recovered.
//!
//! Invariant: at most one delivery of a lane (a receiver and a subject) has `head = 1`: the first one
//! that is not settled. Only a head is claimed, so a lane is in order whatever its retries, and what
//! waits behind a head costs a claim nothing.

use std::collections::BTreeMap;

use jiff::Timestamp;
use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension, Row, TransactionBehavior, named_params};

use super::{
    AfterDeath, Aftermath, Claimed, Claims, DETAIL_MAX, Recovered, Settlement, StoredEvent, Verdict,
    aftermath,
};

/// Heads of a receiver that are due, longest due first.
pub(super) const CLAIMABLE: &str = "
    SELECT delivery.seq, delivery.id, delivery.attempts, delivery.rule, delivery.subject, delivery.created_at,
      event.id, event.source, event.kind, event.subject, event.time, event.data,
      event.node, event.environment, delivery.receiver, delivery.redriven,
      coalesce(delivery.redriven_at, delivery.created_at), delivery.nth, delivery.events
    FROM delivery JOIN event ON event.seq = delivery.event
    WHERE delivery.receiver = :receiver AND delivery.state = 'pending' AND delivery.head = 1
      AND delivery.due_at <= :now
    ORDER BY delivery.due_at, delivery.seq
    LIMIT :limit";

/// When the first head of a receiver is due.
pub(super) const NEXT_DUE: &str =
    "SELECT min(due_at) FROM delivery WHERE receiver = ?1 AND state = 'pending' AND head = 1";

/// Makes the first delivery of a lane that is not settled its head.
pub(super) const PROMOTE: &str = "
    UPDATE delivery SET head = 1 WHERE seq = (SELECT min(seq) FROM delivery
      WHERE receiver = ?1 AND subject = ?2 AND settled_at IS NULL)";

/// What ran at a crash: only what is open is read.
pub(super) const RUNNING: &str = "
    SELECT delivery.seq, delivery.id, delivery.attempts, delivery.rule, delivery.subject, delivery.created_at,
      event.id, event.source, event.kind, event.subject, event.time, event.data,
      event.node, event.environment, delivery.receiver, delivery.redriven,
      coalesce(delivery.redriven_at, delivery.created_at), delivery.nth, delivery.events, delivery.claimed_at
    FROM delivery JOIN event ON event.seq = delivery.event
    WHERE delivery.settled_at IS NULL AND delivery.state = 'running'";

/// Takes up to `limit` deliveries of `receiver` that are due, and marks them as running, within a transaction.
pub(super) fn claim(
    transaction: &Connection,
    receiver: &str,
    limit: usize,
    now: Timestamp,
) -> rusqlite::Result<Claims> {
    let now = now.as_millisecond();
    let claimed: Vec<(i64, Claimed, u32)> = transaction
        .prepare_cached(CLAIMABLE)?
        .query_map(named_params! { ":receiver": receiver, ":now": now, ":limit": i64::try_from(limit).unwrap_or(i64::MAX) }, read_claimed)?
        .collect::<Result<_, _>>()?;
    let claimed = with_more(transaction, claimed)?;
    {
        let mut run = transaction.prepare_cached(
            "UPDATE delivery SET state = 'running', attempts = ?2, claimed_at = ?3 WHERE seq = ?1",
        )?;
        for (seq, claimed) in &claimed {
            run.execute((seq, claimed.attempt, now))?;
        }
    }
    let full = claimed.len() >= limit.max(1);
    let next_due = if full { None } else { next_due(transaction, receiver)? };
    Ok(Claims { claimed: claimed.into_iter().map(|(_, claimed)| claimed).collect(), next_due })
}

/// One row of [`CLAIMABLE`], as it will be once it is claimed.
fn read_claimed(row: &Row<'_>) -> rusqlite::Result<(i64, Claimed, u32)> {
    let event = StoredEvent {
        id: row.get(6)?,
        source: row.get(7)?,
        kind: row.get(8)?,
        subject: row.get(9)?,
        time: time(row.get(10)?, 10)?,
        data: row.get(11)?,
        node: row.get(12)?,
        environment: row.get(13)?,
    };
    let claimed = Claimed {
        id: row.get(1)?,
        attempt: row.get::<_, u32>(2)?.saturating_add(1),
        rule: row.get(3)?,
        receiver: row.get(14)?,
        event,
        more: Vec::new(),
        nth: row.get(17)?,
        redriven: row.get(15)?,
        created_at: time(row.get(5)?, 5)?,
        tried_since: time(row.get(16)?, 16)?,
    };
    Ok((row.get(0)?, claimed, row.get(18)?))
}

/// Reads the other events of those that are sent with others.
fn with_more(
    connection: &Connection,
    rows: Vec<(i64, Claimed, u32)>,
) -> rusqlite::Result<Vec<(i64, Claimed)>> {
    let with_more = |(seq, mut claimed, events): (i64, Claimed, u32)| {
        if events > 1 {
            claimed.more = more(connection, seq)?.into_iter().map(|(_, event)| event).collect();
        }
        Ok((seq, claimed))
    };
    rows.into_iter().map(with_more).collect()
}

/// The events of a delivery but for the first, with their rows.
pub(super) fn more(connection: &Connection, delivery: i64) -> rusqlite::Result<Vec<(i64, StoredEvent)>> {
    connection
        .prepare_cached(
            "SELECT id, source, kind, subject, time, data, node, environment, event.seq
             FROM delivery_more JOIN event ON event.seq = delivery_more.event
             WHERE delivery = ?1 ORDER BY position",
        )?
        .query_map([delivery], |row| Ok((row.get(8)?, super::records::read_event(row)?)))?
        .collect()
}

/// A time from its column.
pub(super) fn time(milliseconds: i64, column: usize) -> rusqlite::Result<Timestamp> {
    Timestamp::from_millisecond(milliseconds)
        .map_err(|error| rusqlite::Error::FromSqlConversionFailure(column, Type::Integer, error.into()))
}

/// The columns that a verdict sets.
struct Columns<'a> {
    state: &'static str,
    /// Milliseconds; none when there is no other attempt.
    due_at: Option<i64>,
    outcome: &'static str,
    detail: &'a str,
}

impl<'a> From<&'a Verdict> for Columns<'a> {
    fn from(verdict: &'a Verdict) -> Self {
        match verdict {
            Verdict::Delivered { receipt } => {
                Self { state: "delivered", due_at: None, outcome: "delivered", detail: bounded(receipt) }
            }
            Verdict::RetryAt { at, outcome, detail } => Self {
                state: "pending",
                due_at: Some(milliseconds_up(*at)),
                outcome,
                detail: bounded(detail),
            },
            Verdict::Suppressed { outcome, detail } => {
                Self { state: "suppressed", due_at: None, outcome, detail: bounded(detail) }
            }
            Verdict::Dead { outcome, detail } => {
                Self { state: "dead", due_at: None, outcome, detail: bounded(detail) }
            }
        }
    }
}

/// Rounded up: what may not happen before a time does not happen a fraction earlier.
fn milliseconds_up(time: Timestamp) -> i64 {
    let down = time.as_millisecond();
    // `as_millisecond` rounds towards zero, which before 1970 is up already.
    if time.as_nanosecond() > i128::from(down) * 1_000_000 { down.saturating_add(1) } else { down }
}

/// Carries out a verdict, within a transaction. One on an attempt that is not running changes nothing.
pub(super) fn settle(
    transaction: &Connection,
    settlement: &Settlement,
    aftermath: &aftermath::Encoded,
) -> rusqlite::Result<()> {
    if let Some(settled) = carry_out(transaction, settlement)? {
        aftermath::write(transaction, &settled, settlement, aftermath)?;
    }
    Ok(())
}

/// A delivery that a verdict was carried out on.
pub(super) struct Settled {
    pub(super) seq: i64,
    receiver: String,
    pub(super) subject: String,
    pub(super) event: i64,
    pub(super) rule: String,
    pub(super) nth: u32,
}

/// None where the verdict is on an attempt that is not running.
fn carry_out(transaction: &Connection, settlement: &Settlement) -> rusqlite::Result<Option<Settled>> {
    let columns = Columns::from(&settlement.verdict);
    let now = settlement.now.as_millisecond();
    // An UPDATE … RETURNING would open a temporary table each time.
    let settled = transaction
        .prepare_cached(
            "SELECT seq, receiver, subject, event, rule, nth FROM delivery
             WHERE id = ?1 AND state = 'running' AND attempts = ?2",
        )?
        .query_row((&settlement.id, settlement.attempt), |row| {
            Ok(Settled {
                seq: row.get(0)?,
                receiver: row.get(1)?,
                subject: row.get(2)?,
                event: row.get(3)?,
                rule: row.get(4)?,
                nth: row.get(5)?,
            })
        })
        .optional()?;
    let Some(settled) = settled else { return Ok(None) };
    transaction
        .prepare_cached(
            "UPDATE delivery SET state = ?2, head = (?3 IS NULL), due_at = coalesce(?4, due_at), settled_at = ?3,
               outcome = ?5, detail = ?6
             WHERE seq = ?1",
        )?
        .execute((
            settled.seq,
            columns.state,
            columns.due_at.is_none().then_some(now),
            columns.due_at,
            columns.outcome,
            columns.detail,
        ))?;
    transaction
        .prepare_cached(
            "INSERT INTO attempt (delivery, number, started_at, ended_at, outcome, detail)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?
        .execute((
            settled.seq,
            settlement.attempt,
            settlement.started_at.as_millisecond(),
            now,
            columns.outcome,
            columns.detail,
        ))?;
    if columns.due_at.is_none() {
        promote(transaction, &settled.receiver, &settled.subject)?;
    }
    Ok(Some(settled))
}

/// Gives a lane whose head was settled its next one.
pub(super) fn promote(transaction: &Connection, receiver: &str, subject: &str) -> rusqlite::Result<()> {
    transaction.prepare_cached(PROMOTE)?.execute((receiver, subject))?;
    Ok(())
}

/// The start of `text` that is kept.
fn bounded(text: &str) -> &str {
    text.get(..text.floor_char_boundary(DETAIL_MAX)).unwrap_or(text)
}

/// When the first delivery of `receiver` that could be claimed is due.
fn next_due(connection: &Connection, receiver: &str) -> rusqlite::Result<Option<Timestamp>> {
    let due: Option<i64> = connection.prepare_cached(NEXT_DUE)?.query_row([receiver], |row| row.get(0))?;
    due.map(|due| time(due, 0)).transpose()
}

/// The receivers that have deliveries which are not settled, and how many.
pub(super) fn open_by_receiver(connection: &Connection) -> rusqlite::Result<BTreeMap<String, u64>> {
    connection
        .prepare("SELECT receiver, count(*) FROM delivery WHERE settled_at IS NULL GROUP BY receiver")?
        .query_map([], |row| Ok((row.get(0)?, row.get::<_, i64>(1)?.unsigned_abs())))?
        .collect()
}

/// Ends all attempts that are marked as running: those that were the last one allowed are given up, the
/// others are claimable at once.
pub(super) fn recover(
    connection: &mut Connection,
    attempts_max: &BTreeMap<String, u32>,
    after_death: &AfterDeath,
    now: Timestamp,
) -> rusqlite::Result<Recovered> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let running: Vec<_> = transaction
        .prepare(RUNNING)?
        .query_map((), |row| Ok((read_claimed(row)?, row.get::<_, i64>(19)?)))?
        .collect::<rusqlite::Result<_>>()?;
    let (claimed, started_at): (Vec<_>, Vec<i64>) = running.into_iter().unzip();
    let mut recovered = Recovered::default();
    for ((_, claimed), started_at) in with_more(&transaction, claimed)?.into_iter().zip(started_at) {
        // It is read as it will be once it is claimed again.
        let attempt = claimed.attempt - 1;
        let outcome = "interrupted";
        let last = attempts_max
            .get(&claimed.receiver)
            .is_some_and(|max| attempt.saturating_sub(claimed.redriven) >= *max);
        let (verdict, aftermath) = if last {
            recovered.dead += 1;
            let detail = "Lictor ended while it ran, and this was the last attempt";
            let claimed = Claimed { attempt, ..claimed.clone() };
            let aftermath = after_death(&claimed, (outcome, detail), now);
            (Verdict::Dead { outcome, detail: detail.into() }, aftermath)
        } else {
            recovered.repeated += 1;
            let detail = "Lictor ended while it ran".into();
            (Verdict::RetryAt { at: now, outcome, detail }, Aftermath::default())
        };
        let started_at = time(started_at, 19)?;
        let settlement = Settlement { id: claimed.id, attempt, started_at, now, verdict, aftermath };
        let encoded = aftermath::encode(&settlement)
            .map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))?;
        if let Some(settled) = carry_out(&transaction, &settlement)? {
            aftermath::write(&transaction, &settled, &settlement, &encoded)?;
        }
    }
    transaction.commit()?;
    Ok(recovered)
}
