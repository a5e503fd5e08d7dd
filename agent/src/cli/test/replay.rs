//! What the rules would have made of the events that a database holds.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use jiff::Timestamp;

use super::told;
use crate::app::routing;
use crate::cli::counted;
use crate::cli::records::{say, whole};
use crate::config::Config;
use crate::event::Event;
use crate::rehearsal::Rehearsal;
use crate::rules::{Matcher, Silence};
use crate::store::{EventFilter, Records, State, StoredEvent};

/// Events that are read at once.
const BATCH: u32 = 500;

/// Who got which event by which rule: event, rule, receiver.
type Sent = (String, String, String);

/// Plays what the database has, and prints what is other than it was.
pub(super) fn replay(config: &Config, database: &Path, since: Option<Duration>) -> Result<()> {
    let now = Timestamp::now();
    let since = since.map(|since| now.checked_sub(since)).transpose()?;
    let records = Records::open(database)?;
    let routing = routing(config);
    let mut rehearsal = Rehearsal::new(&routing);
    let mut silences = silences(&records)?;
    let (mut was, mut seen) = (BTreeSet::<Sent>::new(), Vec::new());
    let mut after = 0;
    loop {
        let filter = EventFilter { since, after, limit: BATCH, ..EventFilter::default() };
        let batch = records.next(&filter)?;
        let Some((last, _, _)) = batch.last() else { break };
        after = *last;
        for (seq, stored, watch) in batch {
            let event = whole(&stored).with_context(|| format!("read event {}", stored.id))?;
            while let Some(silence) = silences.pop_if(|silence| silence.starts_at <= event.time) {
                rehearsal.silence(silence);
            }
            was.extend(sent_before(&records, seq, &stored)?);
            rehearsal.events(std::slice::from_ref(&event), &watch, event.time);
            seen.push(event);
        }
    }
    rehearsal.until(now);
    let outcomes = rehearsal.into_outcomes();
    let sent = outcomes.iter().filter(|outcome| outcome.withheld.is_none());
    let would: BTreeSet<Sent> = sent
        .flat_map(|outcome| {
            let to = |event: &Event| (event.id.clone(), outcome.rule.clone(), outcome.receiver.clone());
            outcome.events.iter().map(to)
        })
        .collect();
    let why = |(id, rule, receiver): &Sent| {
        let withheld = outcomes.iter().find(|outcome| {
            outcome.withheld.is_some()
                && (&outcome.rule, &outcome.receiver) == (rule, receiver)
                && outcome.events.iter().any(|event| event.id == *id)
        });
        let withheld = withheld.and_then(|outcome| outcome.withheld.as_ref());
        withheld.map(|(reason, detail)| format!("  ({reason}: {detail})")).unwrap_or_default()
    };
    let mut lines = Vec::new();
    for event in &seen {
        let of = |sent: &&Sent| sent.0 == event.id;
        for (mark, sent) in was
            .difference(&would)
            .filter(of)
            .map(|sent| ('-', sent))
            .chain(would.difference(&was).filter(of).map(|sent| ('+', sent)))
        {
            let (_, rule, receiver) = sent;
            lines.push(format!(
                "{mark} {:.0}  {}  {rule} → {receiver}{}\n",
                event.time,
                told(event),
                why(sent)
            ));
        }
    }
    let (gone, new) = (was.difference(&would).count(), would.difference(&was).count());
    say(&lines.concat())?;
    say(&format!(
        "{}: {} sent then, {} now; {gone} no longer (-), {new} anew (+).\n",
        counted(seen.len(), "event"),
        was.len(),
        would.len()
    ))
}

/// The silences of the record, the earliest last.
fn silences(records: &Records) -> Result<Vec<Silence>> {
    let mut silences = records.silences(None)?;
    silences.reverse();
    let silence = |record: crate::store::SilenceRecord| {
        let matchers = record.matchers.iter().map(|text| Matcher::parse(text)).collect::<Result<_, _>>()?;
        Ok(Silence {
            id: record.id,
            matchers,
            starts_at: record.starts_at,
            ends_at: record.ends_at,
            created_by: record.created_by,
            comment: record.comment,
            expire_on_resolve: record.expire_on_resolve,
        })
    };
    silences.into_iter().map(silence).collect()
}

/// Who was to get the event then.
fn sent_before(records: &Records, seq: i64, event: &StoredEvent) -> Result<Vec<Sent>> {
    let deliveries = records.deliveries_of(seq)?;
    let made = deliveries.into_iter().filter(|record| {
        // What a person discarded or a later one replaced was sent by the rules all the same.
        let by_rule =
            ["discarded", "superseded", "skipped"].contains(&record.outcome.as_deref().unwrap_or(""));
        record.state != State::Suppressed || record.attempts > 0 || by_rule
    });
    Ok(made.map(|record| (event.id.clone(), record.rule, record.receiver)).collect())
}
