//! What the rules remember, and what persons want to hear nothing of.
//!
//! Boundary: what is in a row is known to the rules alone.

use jiff::Timestamp;
use rusqlite::{Connection, params};

use super::outbox::time;
use super::{Records, RecordsError, Store, StoreError};

/// Silences that ended are kept for so long, as Alertmanager does: 120 h.
const KEPT: jiff::SignedDuration = jiff::SignedDuration::from_hours(120);

/// A row of what a rule remembers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleState {
    /// The rule's name.
    pub rule: String,
    /// What of the rule it is.
    pub key: String,
    /// JSON; none where there is nothing to know any more.
    pub state: Option<String>,
    /// When time makes something of it.
    pub due_at: Option<Timestamp>,
}

/// A silence as it is stored.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct SilenceRecord {
    /// 8 hexadecimal digits.
    pub id: String,
    /// As they were written, such as `service=web`.
    pub matchers: Vec<String>,
    /// From when on.
    pub starts_at: Timestamp,
    /// Until when.
    pub ends_at: Timestamp,
    /// Who wants it.
    pub created_by: String,
    /// Why.
    pub comment: String,
    /// It ends early once what it hides is over.
    pub expire_on_resolve: bool,
}

pub(super) fn write(transaction: &Connection, rows: &[RuleState]) -> rusqlite::Result<()> {
    for RuleState { rule, key, state, due_at } in rows {
        match state {
            Some(state) => transaction
                .prepare_cached(
                    "INSERT INTO rule_state (rule, key, state, due_at) VALUES (?1, ?2, ?3, ?4)
                     ON CONFLICT (rule, key) DO UPDATE SET state = excluded.state, due_at = excluded.due_at",
                )?
                .execute(params![rule, key, state, due_at.map(Timestamp::as_millisecond)])?,
            None => transaction
                .prepare_cached("DELETE FROM rule_state WHERE rule = ?1 AND key = ?2")?
                .execute((rule, key))?,
        };
    }
    Ok(())
}

/// Ends silences, each at its time, where that is earlier than its end.
pub(super) fn expire(transaction: &Connection, expired: &[(String, Timestamp)]) -> rusqlite::Result<()> {
    for (id, at) in expired {
        transaction
            .prepare_cached("UPDATE silence SET ends_at = min(ends_at, ?2) WHERE id = ?1")?
            .execute((id, at.as_millisecond()))?;
    }
    Ok(())
}

/// Silences that have not ended at a time.
pub(super) const SILENCES: &str =
    "SELECT id, matchers, starts_at, ends_at, created_by, comment, expire_on_resolve FROM silence
     WHERE ends_at > ?1 ORDER BY starts_at, id";

fn read_silence(row: &rusqlite::Row<'_>) -> rusqlite::Result<SilenceRecord> {
    let matchers: String = row.get(1)?;
    Ok(SilenceRecord {
        id: row.get(0)?,
        matchers: serde_json::from_str(&matchers).map_err(|error| {
            rusqlite::Error::FromSqlConversionFailure(1, rusqlite::types::Type::Text, error.into())
        })?,
        starts_at: time(row.get(2)?, 2)?,
        ends_at: time(row.get(3)?, 3)?,
        created_by: row.get(4)?,
        comment: row.get(5)?,
        expire_on_resolve: row.get(6)?,
    })
}

fn silences(connection: &Connection, after: Option<Timestamp>) -> rusqlite::Result<Vec<SilenceRecord>> {
    let after = after.map_or(i64::MIN, Timestamp::as_millisecond);
    connection.prepare_cached(SILENCES)?.query_map([after], read_silence)?.collect()
}

impl Store {
    /// What the rules remember: rule, key and JSON of each row.
    pub async fn rule_states(&self) -> Result<Vec<(String, String, String)>, StoreError> {
        self.run(|connection| {
            let mut statement =
                connection.prepare("SELECT rule, key, state FROM rule_state ORDER BY rule, key")?;
            statement.query_map((), |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?.collect()
        })
        .await
    }

    /// Stores what the rules remember, with nothing that happened.
    pub async fn remember(&self, rows: Vec<RuleState>) -> Result<(), StoreError> {
        self.write(move |transaction| write(transaction, &rows), std::convert::identity).await
    }

    /// The silences that have not ended at `now`.
    pub async fn silences(&self, now: Timestamp) -> Result<Vec<SilenceRecord>, StoreError> {
        self.run(move |connection| silences(connection, Some(now))).await
    }
}

impl Records {
    /// The silences that have not ended at this time; none for all that are kept.
    pub fn silences(&self, after: Option<Timestamp>) -> Result<Vec<SilenceRecord>, StoreError> {
        silences(&self.connection, after).map_err(|source| StoreError::sort(&self.path, source))
    }

    /// Adds a silence. A Lictor that runs is to be told.
    pub fn silence(&mut self, silence: &SilenceRecord, now: Timestamp) -> Result<(), StoreError> {
        let matchers = serde_json::to_string(&silence.matchers)
            .map_err(|source| StoreError::Encode { what: format!("the silence {}", silence.id), source })?;
        let forgotten = now.checked_sub(KEPT).unwrap_or(Timestamp::MIN).as_millisecond();
        self.write(|transaction| {
            transaction.execute("DELETE FROM silence WHERE ends_at < ?1", [forgotten])?;
            transaction.execute(
                "INSERT INTO silence (id, matchers, starts_at, ends_at, created_by, comment, expire_on_resolve)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
                params![
                    silence.id,
                    matchers,
                    silence.starts_at.as_millisecond(),
                    silence.ends_at.as_millisecond(),
                    silence.created_by,
                    silence.comment,
                    silence.expire_on_resolve
                ],
            )
        })?;
        Ok(())
    }

    /// Ends the one silence whose id begins with `id`. A Lictor that runs is to be told.
    pub fn expire(&mut self, id: &str, now: Timestamp) -> Result<SilenceRecord, RecordsError> {
        let found: Vec<_> =
            self.silences(Some(now))?.into_iter().filter(|one| one.id.starts_with(id)).collect();
        match &found[..] {
            [one] => {
                self.write(|transaction| expire(transaction, &[(one.id.clone(), now)]))?;
                Ok(one.clone())
            }
            [] => Err(RecordsError::Unknown { what: "a silence that has not ended", id: id.into() }),
            _ => Err(RecordsError::Ambiguous { what: "silence", id: id.into() }),
        }
    }

    /// What the rules remember of an event whose id begins with `id`: rule and what it waits for, as JSON with its due time.
    pub fn remembered(&self, event: &str) -> Result<Vec<(String, String, Option<Timestamp>)>, StoreError> {
        let sql = "SELECT rule, state, due_at FROM rule_state
             WHERE key LIKE 'alert %' AND json_extract(state, '$.event.id') = ?1 ORDER BY rule, key";
        let read = || {
            self.connection
                .prepare(sql)?
                .query_map([event], |row| {
                    let due: Option<i64> = row.get(2)?;
                    Ok((row.get(0)?, row.get(1)?, due.map(|due| time(due, 2)).transpose()?))
                })?
                .collect::<rusqlite::Result<_>>()
        };
        read().map_err(|source| StoreError::sort(&self.path, source))
    }
}
