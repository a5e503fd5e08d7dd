//! `lictor deliveries`: what became of each one, and what is sent again or given up.

use anyhow::Result;
use clap::{Args, Subcommand};
use jiff::Timestamp;
use serde::Serialize;

use super::records::{json_lines, lines, open, say, table, wake};
use super::{ConfigArgs, counted};
use crate::store::{Attempt, Filter, Record, Records, RecordsError, State};

/// Deliveries that are taken at once where all dead ones are sent again.
const BATCH: u32 = 1000;

/// What is done with deliveries.
#[derive(Subcommand)]
pub(super) enum Verb {
    /// List them, the newest first.
    List {
        #[command(flatten)]
        config: ConfigArgs,
        /// Only those in this state: pending, running, failed (is tried again), delivered, dead, suppressed.
        #[arg(long, value_parser = state)]
        state: Option<State>,
        /// Only those of this receiver.
        #[arg(long, value_name = "NAME")]
        receiver: Option<String>,
        /// At most so many.
        #[arg(long, value_name = "N", default_value_t = 50)]
        limit: u32,
        /// One JSON object per line.
        #[arg(long)]
        json: bool,
    },
    /// Show one with every attempt.
    Show {
        #[command(flatten)]
        config: ConfigArgs,
        /// Its id, or the beginning of it.
        id: String,
        /// One JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Send again what was given up.
    Retry {
        #[command(flatten)]
        config: ConfigArgs,
        #[command(flatten)]
        which: Which,
    },
    /// Give up deliveries that are not made yet, or take dead ones off the list.
    Discard {
        #[command(flatten)]
        config: ConfigArgs,
        /// Their ids, or the beginnings of them.
        #[arg(required = true, value_name = "ID")]
        ids: Vec<String>,
        /// Why, for the record.
        #[arg(long)]
        reason: String,
    },
}

/// Which deliveries are sent again.
#[derive(Args)]
#[group(required = true, multiple = true)]
pub(super) struct Which {
    /// Their ids, or the beginnings of them.
    #[arg(value_name = "ID", conflicts_with = "all_dead")]
    ids: Vec<String>,
    /// All that are dead, of the receiver that --receiver names.
    #[arg(long, requires = "receiver")]
    all_dead: bool,
    /// Whose dead ones.
    #[arg(long, value_name = "NAME", requires = "all_dead")]
    receiver: Option<String>,
}

/// One delivery with its attempts.
#[derive(Serialize)]
struct Shown {
    #[serde(flatten)]
    record: Record,
    made: Vec<Attempt>,
}

/// A state of the command line.
fn state(word: &str) -> Result<State, String> {
    let known = || State::ALL.map(State::as_str).join(", ");
    State::parse(word).ok_or_else(|| format!("write one of {}", known()))
}

pub(super) fn deliveries(verb: &Verb) -> Result<()> {
    match verb {
        Verb::List { config, state, receiver, limit, json } => {
            let filter = Filter { state: *state, receiver: receiver.clone(), limit: *limit };
            let records = open(config)?.list(&filter)?;
            say(&if *json { json_lines(&records)? } else { table(&records) })
        }
        Verb::Show { config, id, json } => {
            let store = open(config)?;
            let record = store.find(id)?;
            let shown = Shown { made: store.attempts(&record)?, record };
            say(&if *json { json_lines(&[shown])? } else { in_words(&shown) })
        }
        Verb::Retry { config, which } => {
            retry(&mut open(config)?, which)?;
            wake(config)
        }
        Verb::Discard { config, ids, reason } => {
            let mut store = open(config)?;
            for id in ids {
                let record = store.find(id)?;
                store.discard(&record, reason, Timestamp::now())?;
                say(&format!("{} is discarded.\n", record.id))?;
            }
            wake(config)
        }
    }
}

fn retry(store: &mut Records, which: &Which) -> Result<()> {
    let now = Timestamp::now();
    if which.all_dead {
        let dead = all_dead(store, which.receiver.clone(), now)?;
        return say(&format!("{} sent again.\n", are(dead)));
    }
    for id in &which.ids {
        let record = store.find(id)?;
        store.retry(&record, now)?;
        say(&format!("{} is sent again.\n", record.id))?;
    }
    Ok(())
}

/// The oldest goes first: the newest are listed first, so the lists are taken from their ends.
fn all_dead(store: &mut Records, receiver: Option<String>, now: Timestamp) -> Result<usize, RecordsError> {
    let filter = Filter { state: Some(State::Dead), receiver, limit: BATCH };
    let mut sent = 0;
    loop {
        let records = store.list(&filter)?;
        if records.is_empty() {
            return Ok(sent);
        }
        for record in records {
            match store.retry(&record, now) {
                Ok(()) => sent += 1,
                // Somebody else was quicker.
                Err(RecordsError::State { .. }) => {}
                Err(error) => return Err(error),
            }
        }
    }
}

fn are(count: usize) -> String {
    let verb = if count == 1 { "is" } else { "are" };
    match count {
        1 => format!("1 delivery {verb}"),
        _ => format!("{count} deliveries {verb}"),
    }
}

fn in_words(shown: &Shown) -> String {
    let Shown { record, made } = shown;
    let mut told = vec![
        format!("delivery   {}", record.id),
        format!("state      {}", record.state.as_str()),
        format!("event      {} ({})", record.event, record.kind),
        format!("subject    {}", record.subject),
        format!("rule       {}", record.rule),
        format!("receiver   {}", record.receiver),
        format!("committed  {}", record.created_at),
        match record.settled_at {
            Some(at) => format!("settled    {at}"),
            None => format!("due        {}", record.due_at),
        },
    ];
    if let (State::Suppressed, Some(reason)) = (record.state, &record.detail) {
        told.push(format!("because    {reason}"));
    }
    told.extend([String::new(), counted(made.len(), "attempt")]);
    for attempt in made {
        let took = attempt.ended_at.duration_since(attempt.started_at);
        told.push(format!(
            "  {}  {}  {}  took {took:#}",
            attempt.number, attempt.started_at, attempt.outcome
        ));
        told.extend(attempt.detail.lines().map(|line| format!("     {line}")));
    }
    lines(&told)
}
