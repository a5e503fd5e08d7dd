//! Which calls a receiver had of late.

use jiff::Timestamp;
use rusqlite::params;

use super::outbox::time;
use super::{Store, StoreError};

/// So many attempts are looked at, those of the newest deliveries: a start does not wait for the whole past.
const NEWEST: u32 = 10_000;

const CALLS: &str = "SELECT attempt.started_at
     FROM (SELECT delivery, started_at FROM attempt ORDER BY delivery DESC LIMIT ?3) AS attempt
     JOIN delivery ON delivery.seq = attempt.delivery
     WHERE delivery.receiver = ?1 AND attempt.started_at > ?2 ORDER BY attempt.started_at";

impl Store {
    /// When calls of `receiver` began after `since`, in order, as far as the newest 10,000 attempts tell.
    pub async fn calls_since(&self, receiver: &str, since: Timestamp) -> Result<Vec<Timestamp>, StoreError> {
        let receiver = receiver.to_owned();
        self.run(move |connection| {
            let mut statement = connection.prepare(CALLS)?;
            let of = params![receiver, since.as_millisecond(), NEWEST];
            statement.query_map(of, |row| time(row.get(0)?, 0))?.collect()
        })
        .await
    }
}
