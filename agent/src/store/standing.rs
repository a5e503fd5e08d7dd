//! What is under way, counted, for a person who wants to know how it stands.

use jiff::Timestamp;
use serde::Serialize;

use super::outbox::time;
use super::{Records, StoreError};
use crate::event::{SourceState, State};

/// What is under way.
#[derive(Debug, Default, Serialize)]
pub struct Standing {
    /// Of each receiver that has some: how many deliveries are in a state.
    pub deliveries: Vec<Deliveries>,
    /// The queries that were answered.
    pub queries: Vec<Answered>,
    /// The watches that cannot be followed.
    pub outages: Vec<SourceState>,
    /// What the rules remember.
    pub alerts: Vec<Alerts>,
}

/// Deliveries of one receiver.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Deliveries {
    /// Whose.
    pub receiver: String,
    /// `pending`, `running` or `dead`.
    pub state: String,
    /// How many.
    pub count: u64,
}

/// A query with a committed answer.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Answered {
    /// That of its watch, with the service where it is one of several.
    pub name: String,
    /// When its answer was last another one.
    pub changed_at: Timestamp,
}

/// Alerts of one rule.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Alerts {
    /// Whose.
    pub rule: String,
    /// `counting`, `held`, `blocked`, `ready`, `firing` or `ending`.
    pub phase: String,
    /// How many.
    pub count: u64,
}

impl Records {
    /// What is under way. What cannot be followed is kept under the name `outages`.
    ///
    /// # Errors
    /// The database cannot be read.
    pub fn standing(&self, outages: &str) -> Result<Standing, StoreError> {
        let read = || {
            Ok(Standing {
                deliveries: self.deliveries_by_state()?,
                queries: self.answered(outages)?,
                outages: self.outages(outages)?,
                alerts: self.alerts()?,
            })
        };
        read().map_err(|source| StoreError::sort(&self.path, source))
    }

    fn deliveries_by_state(&self) -> rusqlite::Result<Vec<Deliveries>> {
        // Two questions, so that each has an index.
        let sql = "SELECT receiver, state, count(*) FROM delivery WHERE settled_at IS NULL GROUP BY 1, 2
             UNION ALL SELECT receiver, state, count(*) FROM delivery WHERE state = 'dead' GROUP BY 1, 2 ORDER BY 1, 2";
        let row = |row: &rusqlite::Row<'_>| {
            let count: i64 = row.get(2)?;
            Ok(Deliveries { receiver: row.get(0)?, state: row.get(1)?, count: count.unsigned_abs() })
        };
        self.connection.prepare(sql)?.query_map((), row)?.collect()
    }

    fn answered(&self, outages: &str) -> rusqlite::Result<Vec<Answered>> {
        let sql = "SELECT name, committed_at FROM watch WHERE name != ?1 ORDER BY name";
        let row =
            |row: &rusqlite::Row<'_>| Ok(Answered { name: row.get(0)?, changed_at: time(row.get(1)?, 1)? });
        self.connection.prepare(sql)?.query_map([outages], row)?.collect()
    }

    fn outages(&self, outages: &str) -> rusqlite::Result<Vec<SourceState>> {
        let sql = "SELECT state FROM snapshot WHERE watch = ?1 ORDER BY key";
        let texts: Vec<String> = self
            .connection
            .prepare(sql)?
            .query_map([outages], |row| row.get(0))?
            .collect::<Result<_, _>>()?;
        // What cannot be read is of another version, which says it itself.
        let read = |text: &String| serde_json::from_str::<State>(text).ok()?.source().cloned();
        Ok(texts.iter().filter_map(read).collect())
    }

    fn alerts(&self) -> rusqlite::Result<Vec<Alerts>> {
        let sql = "SELECT rule, CASE
               WHEN json_type(state, '$.phase') = 'object' THEN 'ending'
               WHEN state ->> '$.phase' = 'ready' AND json_type(state, '$.blocked') = 'array' THEN 'blocked'
               ELSE state ->> '$.phase' END, count(*)
             FROM rule_state WHERE key LIKE 'alert %' GROUP BY 1, 2 ORDER BY 1, 2";
        let row = |row: &rusqlite::Row<'_>| {
            let count: i64 = row.get(2)?;
            Ok(Alerts { rule: row.get(0)?, phase: row.get(1)?, count: count.unsigned_abs() })
        };
        self.connection.prepare(sql)?.query_map((), row)?.collect()
    }
}
