//! What a dead delivery leaves: the same event for another receiver, and the event that tells of it.
//!
//! Invariant: it is stored in the transaction that makes the delivery dead.

use std::collections::BTreeMap;

use rusqlite::Connection;

use super::commit::{News, Row, encode_event, write_news};
use super::made::write_deliveries;
use super::outbox::{Settled, more};
use super::{Fallback, NewDelivery, Settlement, StoreError, StoredEvent};

/// An aftermath in the form of its rows.
#[derive(Clone)]
pub(super) struct Encoded {
    fallback: Option<Fallback>,
    events: Vec<StoredEvent>,
    deliveries: Vec<NewDelivery>,
}

/// Encodes what follows from a settlement. The new events are of the node and the place of the old one, which are
/// filled in when that is read.
pub(super) fn encode(settlement: &Settlement) -> Result<Encoded, StoreError> {
    let aftermath = &settlement.aftermath;
    let events = aftermath.events.iter().map(|event| encode_event(event, "", ""));
    Ok(Encoded {
        fallback: aftermath.fallback.clone(),
        events: events.collect::<Result<_, _>>()?,
        deliveries: aftermath.deliveries.clone(),
    })
}

/// Stores what follows from the death of `settled`.
pub(super) fn write(
    transaction: &Connection,
    settled: &Settled,
    settlement: &Settlement,
    encoded: &Encoded,
) -> rusqlite::Result<()> {
    if encoded.fallback.is_none() && encoded.events.is_empty() {
        return Ok(());
    }
    let Encoded { fallback, mut events, deliveries } = encoded.clone();
    let (old, watch, generation) = read(transaction, settled.event)?;
    for event in &mut events {
        event.node.clone_from(&old.node);
        event.environment.clone_from(&old.environment);
    }
    let news = |events, deliveries| News {
        watch: watch.clone(),
        events,
        deliveries,
        claim: BTreeMap::new(),
        now: settlement.now,
    };
    if let Some(Fallback { receiver, overlap, lane }) = fallback {
        let rule = settled.rule.clone();
        let (mut rows, mut stored) = (vec![Row { seq: settled.event, is_new: false }], vec![old]);
        for (seq, event) in more(transaction, settled.seq)? {
            rows.push(Row { seq, is_new: false });
            stored.push(event);
        }
        let instead = NewDelivery {
            event: 0,
            more: (1..rows.len()).collect(),
            group: (rows.len() > 1).then(|| settled.subject.clone()),
            nth: settled.nth,
            withheld: None,
            rule,
            receiver,
            due_at: settlement.now,
            overlap,
            lane,
        };
        write_deliveries(transaction, &news(stored, vec![instead]), generation, &rows)?;
    }
    write_news(transaction, &news(events, deliveries), generation)?;
    Ok(())
}

/// An event with its watch and its generation.
fn read(transaction: &Connection, seq: i64) -> rusqlite::Result<(StoredEvent, String, u64)> {
    let mut select = transaction.prepare_cached(
        "SELECT id, source, kind, subject, time, data, node, environment, watch, generation FROM event
         WHERE seq = ?1",
    )?;
    select.query_row([seq], |row| {
        Ok((super::records::read_event(row)?, row.get(8)?, row.get::<_, i64>(9)?.cast_unsigned()))
    })
}
