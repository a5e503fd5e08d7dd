//! The schema and its steps from version to version; the head of `store` explains the tables.
//!
//! Invariant: a step is never changed once it was released. A new database goes through all of them.

use rusqlite::{Connection, TransactionBehavior};

/// "lict" in ASCII. It is in the file's header, so `file` and `sqlite3` can tell whose file it is.
pub(super) const APPLICATION_ID: i32 = 0x6c69_6374;

/// The version that this Lictor writes. It goes up by one with each step.
pub(super) const VERSION: i32 = 3;

/// Version 1.
pub(super) const FIRST: &str = "
CREATE TABLE watch (
  name         TEXT    PRIMARY KEY,
  wait_index   INTEGER NOT NULL,
  generation   INTEGER NOT NULL,
  committed_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE snapshot (
  watch TEXT NOT NULL REFERENCES watch,
  key   TEXT NOT NULL,
  state TEXT NOT NULL,
  PRIMARY KEY (watch, key)
) STRICT, WITHOUT ROWID;

CREATE TABLE event (
  seq        INTEGER PRIMARY KEY,
  id         TEXT    NOT NULL,
  generation INTEGER NOT NULL,
  watch      TEXT    NOT NULL,
  kind       TEXT    NOT NULL,
  source     TEXT    NOT NULL,
  subject    TEXT    NOT NULL,
  time       INTEGER NOT NULL,
  data       TEXT    NOT NULL,
  node       TEXT    NOT NULL,
  environment TEXT   NOT NULL,
  UNIQUE (id, generation)
) STRICT;

CREATE TABLE delivery (
  seq        INTEGER PRIMARY KEY,
  id         TEXT    NOT NULL UNIQUE,
  event      INTEGER NOT NULL REFERENCES event,
  rule       TEXT    NOT NULL,
  receiver   TEXT    NOT NULL,
  subject    TEXT    NOT NULL,
  state      TEXT    NOT NULL,
  head       INTEGER NOT NULL,
  due_at     INTEGER NOT NULL,
  attempts   INTEGER NOT NULL,
  created_at INTEGER NOT NULL,
  claimed_at INTEGER,
  settled_at INTEGER,
  outcome    TEXT,
  detail     TEXT
) STRICT;
CREATE INDEX delivery_lane ON delivery (receiver, subject) WHERE settled_at IS NULL;
CREATE INDEX delivery_head ON delivery (receiver, state, due_at) WHERE head = 1;

CREATE TABLE attempt (
  delivery   INTEGER NOT NULL REFERENCES delivery,
  number     INTEGER NOT NULL,
  started_at INTEGER NOT NULL,
  ended_at   INTEGER NOT NULL,
  outcome    TEXT    NOT NULL,
  detail     TEXT    NOT NULL,
  PRIMARY KEY (delivery, number)
) STRICT, WITHOUT ROWID;
";

/// From each version to the next.
const STEPS: [&str; 2] = [
    // What a person asks for: the deliveries of an event, what is dead, and what was sent again.
    "
DROP INDEX IF EXISTS delivery_head;
DROP INDEX IF EXISTS delivery_due;
CREATE INDEX delivery_due ON delivery (receiver, due_at) WHERE head = 1 AND state = 'pending';
CREATE INDEX delivery_event ON delivery (event);
CREATE INDEX delivery_set_aside ON delivery (state, receiver) WHERE state IN ('dead', 'suppressed');
ALTER TABLE delivery ADD COLUMN redriven INTEGER NOT NULL DEFAULT 0;
ALTER TABLE delivery ADD COLUMN redriven_at INTEGER;
",
    // Rules that remember, silences, and deliveries of several events.
    "
CREATE TABLE rule_state (
  rule   TEXT NOT NULL,
  key    TEXT NOT NULL,
  state  TEXT NOT NULL,
  due_at INTEGER,
  PRIMARY KEY (rule, key)
) STRICT, WITHOUT ROWID;
CREATE TABLE silence (
  id         TEXT    PRIMARY KEY,
  matchers   TEXT    NOT NULL,
  starts_at  INTEGER NOT NULL,
  ends_at    INTEGER NOT NULL,
  created_by TEXT    NOT NULL,
  comment    TEXT    NOT NULL,
  expire_on_resolve INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE delivery_more (
  delivery INTEGER NOT NULL REFERENCES delivery,
  position INTEGER NOT NULL,
  event    INTEGER NOT NULL REFERENCES event,
  PRIMARY KEY (delivery, position)
) STRICT, WITHOUT ROWID;
CREATE INDEX delivery_more_event ON delivery_more (event);
ALTER TABLE delivery ADD COLUMN nth INTEGER NOT NULL DEFAULT 0;
ALTER TABLE delivery ADD COLUMN events INTEGER NOT NULL DEFAULT 1;
",
];

/// Brings a database of version `from` (0: a new one) to ours and signs it, in one transaction: a crash leaves
/// it as it was.
pub(super) fn bring_up(connection: &mut Connection, from: i32) -> rusqlite::Result<()> {
    if from == VERSION {
        return Ok(());
    }
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    if from == 0 {
        transaction.execute_batch(FIRST)?;
    }
    let done = usize::try_from(from - 1).unwrap_or(0);
    for step in STEPS.iter().skip(done) {
        transaction.execute_batch(step)?;
    }
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", VERSION)?;
    transaction.commit()
}
