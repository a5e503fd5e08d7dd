//! What the rules would have made of the events that a database holds.

use std::collections::BTreeSet;
use std::fmt::Write as _;
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
use crate::pipeline::Routing;
use crate::rehearsal::{Outcome, Rehearsal};
use crate::rules::{Matcher, Silence};
use crate::store::{EventFilter, Records, State, StoredEvent};

/// Events that are read at once.
const BATCH: u32 = 500;

/// Who got which event by which rule: event, rule, receiver.
type Sent = (String, String, String);

/// What was played.
struct Played {
    seen: Vec<Event>,
    /// What was sent when it happened.
    was: BTreeSet<Sent>,
    /// What the rules make of it now.
    outcomes: Vec<Outcome>,
}

/// Plays what the database has, and prints what is other than it was.
pub(super) fn replay(config: &Config, database: &Path, since: Option<Duration>) -> Result<()> {
    let now = Timestamp::now();
    let since = since.map(|since| now.checked_sub(since)).transpose()?;
    let played = play(&Records::open(database)?, &routing(config), (since, now))?;
    let would = played.would();
    let (gone, new): (Vec<_>, Vec<_>) =
        (played.was.difference(&would).collect(), would.difference(&played.was).collect());
    let mut lines = String::new();
    for event in &played.seen {
        let marked = gone.iter().map(|sent| ('-', *sent)).chain(new.iter().map(|sent| ('+', *sent)));
        for (mark, sent) in marked.filter(|(_, sent)| sent.0 == event.id) {
            let (_, rule, receiver) = sent;
            let why = played.why(sent);
            let _infallible =
                writeln!(lines, "{mark} {:.0}  {}  {rule} → {receiver}{why}", event.time, told(event));
        }
    }
    say(&lines)?;
    say(&format!(
        "{}: {} sent then, {} now; {} no longer (-), {} anew (+).\n",
        counted(played.seen.len(), "event"),
        played.was.len(),
        would.len(),
        gone.len(),
        new.len()
    ))
}

fn play(
    records: &Records,
    routing: &Routing,
    (since, now): (Option<Timestamp>, Timestamp),
) -> Result<Played> {
    let mut rehearsal = Rehearsal::new(routing);
    let mut silences = silences(records)?;
    let (mut was, mut seen, mut after) = (BTreeSet::new(), Vec::new(), 0);
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
            was.extend(sent_before(records, seq, &stored)?);
            rehearsal.events(std::slice::from_ref(&event), &watch, event.time);
            seen.push(event);
        }
    }
    rehearsal.until(now);
    Ok(Played { seen, was, outcomes: rehearsal.into_outcomes() })
}

impl Played {
    /// What would be sent.
    fn would(&self) -> BTreeSet<Sent> {
        let sent = self.outcomes.iter().filter(|outcome| outcome.withheld.is_none());
        let to = |outcome: &Outcome, event: &Event| {
            (event.id.clone(), outcome.rule.clone(), outcome.receiver.clone())
        };
        sent.flat_map(|outcome| outcome.events.iter().map(move |event| to(outcome, event))).collect()
    }

    /// Why something would not be sent, where the rules say.
    fn why(&self, (id, rule, receiver): &Sent) -> String {
        let withheld = self.outcomes.iter().find_map(|outcome| {
            let is_it = (&outcome.rule, &outcome.receiver) == (rule, receiver)
                && outcome.events.iter().any(|event| event.id == *id);
            outcome.withheld.as_ref().filter(|_| is_it)
        });
        withheld.map(|(reason, detail)| format!("  ({reason}: {detail})")).unwrap_or_default()
    }
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
