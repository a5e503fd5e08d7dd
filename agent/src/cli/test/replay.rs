//! What the rules would have made of the events that a database holds.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use jiff::{SignedDuration, Timestamp};

use super::told;
use crate::app::routing;
use crate::cli::counted;
use crate::cli::records::{say, whole};
use crate::config::Config;
use crate::event::Event;
use crate::rehearsal::{Outcome, Rehearsal};
use crate::rules::{Matcher, Silence};
use crate::store::{EventFilter, Record, Records, State, StoredEvent};

/// Events that are read at once.
const BATCH: u32 = 500;

/// Who got which event by which rule: event, rule, receiver.
type Sent = (String, String, String);

/// When each was sent, and how often.
type Sends = BTreeMap<Sent, Vec<Timestamp>>;

/// What comes this much later or earlier is another time: an attempt begins some moments after its commit.
const OTHER_TIME: SignedDuration = SignedDuration::from_secs(2);

/// What was played.
struct Played {
    seen: Vec<Event>,
    /// What was sent when it happened, and by how many deliveries.
    was: (Sends, usize),
    /// What the rules make of it now.
    outcomes: Vec<Outcome>,
    /// The last time of which the record tells.
    last: Timestamp,
}

/// Plays what the database has, and prints what is other than it was.
pub(super) fn replay(config: &Config, database: &Path, since: Option<Duration>) -> Result<()> {
    let now = Timestamp::now();
    let since = since.map(|since| now.checked_sub(since)).transpose()?;
    let played = play(&Records::open(database)?, config, (since, now))?;
    let (was, deliveries_then) = &played.was;
    let (would, deliveries_now) = played.would();
    let (mut lines, mut counts) = (String::new(), BTreeMap::<char, usize>::new());
    for event in &played.seen {
        let of_event = |sent: &&Sent| sent.0 == event.id;
        let all: BTreeSet<&Sent> = was.keys().chain(would.keys()).filter(of_event).collect();
        for sent in all {
            let Some((mark, how)) = differs(was.get(sent), would.get(sent), event.time) else { continue };
            *counts.entry(mark).or_default() += 1;
            let why = if mark == '-' { played.why(sent) } else { String::new() };
            let (at, (_, rule, receiver)) = (event.time, sent);
            let _infallible =
                writeln!(lines, "{mark} {at:.0}  {}  {rule} → {receiver}{how}{why}", told(event));
        }
    }
    say(&lines)?;
    let count = |mark| counts.get(&mark).copied().unwrap_or(0);
    say(&format!(
        "{}: {} sent in {} then, {} in {} now; {} no longer (-), {} anew (+), {} otherwise (~).\n",
        counted(played.seen.len(), "event"),
        was.len(),
        deliveries(*deliveries_then),
        would.len(),
        deliveries(deliveries_now),
        count('-'),
        count('+'),
        count('~'),
    ))
}

fn deliveries(count: usize) -> String {
    if count == 1 { "1 delivery".into() } else { format!("{count} deliveries") }
}

/// How what is sent differs, if it does: a mark, and in words what of the times.
fn differs(
    was: Option<&Vec<Timestamp>>,
    would: Option<&Vec<Timestamp>>,
    happened: Timestamp,
) -> Option<(char, String)> {
    let (was, would) = match (was, would) {
        (Some(was), Some(would)) => (was, would),
        (Some(_), None) => return Some(('-', String::new())),
        (None, Some(_)) => return Some(('+', String::new())),
        (None, None) => return None,
    };
    let first =
        |times: &[Timestamp]| times.iter().min().copied().unwrap_or(happened).duration_since(happened);
    let (then, now) = (first(was), first(would));
    let mut how = Vec::new();
    if (then - now).abs() > OTHER_TIME {
        how.push(format!("after {then:#.0} then, {now:#.0} now"));
    }
    if was.len() != would.len() {
        how.push(format!("{} times then, {} now", was.len(), would.len()));
    }
    (!how.is_empty()).then(|| ('~', format!(": {}", how.join("; "))))
}

fn play(records: &Records, config: &Config, (since, now): (Option<Timestamp>, Timestamp)) -> Result<Played> {
    let routing = routing(config);
    let mut rehearsal = Rehearsal::new(&routing);
    let mut silences = silences(records)?;
    let (mut was, mut ids) = (Sends::new(), BTreeSet::new());
    let (mut seen, mut after, mut last) = (Vec::<Event>::new(), 0, Timestamp::MIN);
    // What has one time was told by one answer of a watch, and is told as such.
    let mut answer: (String, Vec<Event>) = (String::new(), Vec::new());
    loop {
        // Also what was before: rules remember it.
        let filter = EventFilter { after, limit: BATCH, ..EventFilter::default() };
        let batch = records.next(&filter)?;
        let Some((newest, _, _)) = batch.last() else { break };
        after = *newest;
        for (seq, stored, watch) in batch {
            let event = whole(&stored).with_context(|| format!("read event {}", stored.id))?;
            let asked = since.is_none_or(|since| event.time >= since);
            last = last.max(event.time);
            for (sent, at, id) in sent_before(records, config, (seq, &stored))? {
                last = last.max(at);
                if asked {
                    was.entry(sent).or_default().push(at);
                    ids.insert(id);
                }
            }
            if answer.0 != watch || answer.1.first().is_some_and(|first| first.time != event.time) {
                hand_over(&mut rehearsal, &mut answer, &mut silences);
                answer.0 = watch;
            }
            answer.1.push(event.clone());
            if asked {
                seen.push(event);
            }
        }
    }
    hand_over(&mut rehearsal, &mut answer, &mut silences);
    rehearsal.until(now);
    let mut outcomes = rehearsal.into_outcomes();
    let ids_seen: BTreeSet<&str> = seen.iter().map(|event| event.id.as_str()).collect();
    outcomes.retain(|outcome| outcome.events.iter().any(|event| ids_seen.contains(event.id.as_str())));
    drop(ids_seen);
    Ok(Played { seen, was: (was, ids.len()), outcomes, last })
}

fn hand_over(
    rehearsal: &mut Rehearsal<'_>,
    (watch, events): &mut (String, Vec<Event>),
    silences: &mut Vec<Silence>,
) {
    let Some(at) = events.first().map(|event| event.time) else { return };
    while let Some(silence) = silences.pop_if(|silence| silence.starts_at <= at) {
        rehearsal.silence(silence);
    }
    rehearsal.events(&std::mem::take(events), watch, at);
}

impl Played {
    /// What would be sent, and by how many deliveries.
    fn would(&self) -> (Sends, usize) {
        let (mut sends, mut deliveries) = (Sends::new(), 0);
        for outcome in self.outcomes.iter().filter(|outcome| outcome.withheld.is_none()) {
            let sent = |event: &Event| (event.id.clone(), outcome.rule.clone(), outcome.receiver.clone());
            let of_outcome: Vec<Sent> = outcome.events.iter().map(sent).collect();
            // The record ends when its Lictor did; nobody knows what would have been told again after that.
            if outcome.at > self.last && of_outcome.iter().all(|sent| sends.contains_key(sent)) {
                continue;
            }
            deliveries += 1;
            for sent in of_outcome {
                sends.entry(sent).or_default().push(outcome.at);
            }
        }
        (sends, deliveries)
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

/// Who was to get the event then, when, and by which delivery.
fn sent_before(
    records: &Records,
    config: &Config,
    (seq, event): (i64, &StoredEvent),
) -> Result<Vec<(Sent, Timestamp, String)>> {
    let deliveries = records.deliveries_of(seq)?;
    // What a receiver got since another one did not is no rule's doing.
    let instead = |record: &Record| {
        let is_dead = |other: &&Record| other.state == State::Dead && other.rule == record.rule;
        deliveries.iter().filter(is_dead).any(|dead| {
            let receiver = config.receivers.iter().find(|receiver| receiver.name == dead.receiver);
            receiver.is_some_and(|receiver| receiver.wishes.fallback.as_ref() == Some(&record.receiver))
        })
    };
    let by_rules = |record: &&Record| {
        // What a person discarded or a later one replaced was sent by the rules all the same.
        let made = ["discarded", "superseded", "skipped"].contains(&record.outcome.as_deref().unwrap_or(""));
        (record.state != State::Suppressed || record.attempts > 0 || made) && !instead(record)
    };
    let sent = |record: &Record| {
        let sent = (event.id.clone(), record.rule.clone(), record.receiver.clone());
        (sent, record.created_at, record.id.clone())
    };
    Ok(deliveries.iter().filter(by_rules).map(sent).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_at_another_time_or_another_number_of_times_is_told() {
        let at = |second: i64| Timestamp::from_second(second).unwrap();
        let differs = |was: &[i64], would: &[i64]| {
            let times = |of: &[i64]| of.iter().map(|second| at(*second)).collect::<Vec<_>>();
            let some = |of: &[i64]| (!of.is_empty()).then(|| times(of));
            super::differs(some(was).as_ref(), some(would).as_ref(), at(100))
        };
        assert_eq!(differs(&[101], &[100]), None);
        assert_eq!(differs(&[100], &[]), Some(('-', String::new())));
        assert_eq!(differs(&[], &[100]), Some(('+', String::new())));
        let (mark, how) = differs(&[100], &[130, 190]).unwrap();
        assert_eq!((mark, &how[..]), ('~', ": after 0s then, 30s now; 1 times then, 2 now"));
    }
}
