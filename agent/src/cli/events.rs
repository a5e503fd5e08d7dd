//! `lictor events`: what was seen, from the store.

use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::{Args, Subcommand};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use super::ConfigArgs;
use super::records::{cut, json_lines, one_line, open, say};
use crate::config;
use crate::event::EventType;
use crate::store::{EventFilter, StoredEvent};

/// How often `tail` looks for what is new.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// What is done with events.
#[derive(Subcommand)]
pub(super) enum Verb {
    /// List what was seen, in the order in which it happened.
    List {
        #[command(flatten)]
        which: Which,
        /// At most so many, the newest ones.
        #[arg(long, value_name = "N", default_value_t = 50)]
        limit: u32,
    },
    /// Show the newest, and each one from then on, until it is interrupted.
    Tail {
        #[command(flatten)]
        which: Which,
        /// How many of the newest.
        #[arg(short = 'n', long = "lines", value_name = "N", default_value_t = 10)]
        lines: u32,
    },
}

/// Which events.
#[derive(Args)]
pub(super) struct Which {
    #[command(flatten)]
    config: ConfigArgs,
    /// Only those of the last while (`90s`, `1h`, `7d`), or from a time on (`2026-01-01T00:00:00Z`).
    #[arg(long, value_name = "WHEN", value_parser = since)]
    since: Option<Timestamp>,
    /// Only those of this type, such as check.status.
    #[arg(long = "type", value_name = "TYPE", value_parser = kind)]
    kind: Option<EventType>,
    /// Only those about this service.
    #[arg(long, value_name = "NAME")]
    service: Option<String>,
    /// Only those about this node.
    #[arg(long, value_name = "NAME")]
    node: Option<String>,
    /// One JSON object per line.
    #[arg(long)]
    json: bool,
}

/// An event in a line of JSON.
#[derive(Serialize)]
struct Shown {
    id: String,
    #[serde(rename = "type")]
    kind: String,
    source: String,
    subject: String,
    time: Timestamp,
    /// Of the Lictor that saw it.
    node: String,
    environment: String,
    data: Value,
}

fn since(text: &str) -> Result<Timestamp, String> {
    let ago = config::duration(text).and_then(|ago| Timestamp::now().checked_sub(ago).ok());
    let help = "write how long ago, such as 1h, or a time, such as 2026-01-01T00:00:00Z";
    ago.or_else(|| text.parse().ok()).ok_or_else(|| help.to_owned())
}

fn kind(text: &str) -> Result<EventType, String> {
    text.parse().map_err(|_| format!("write one of {}", EventType::ALL.map(EventType::as_str).join(", ")))
}

pub(super) fn events(verb: &Verb) -> Result<()> {
    match verb {
        Verb::List { which, limit } => list(which, *limit),
        Verb::Tail { which, lines } => tail(which, *lines),
    }
}

fn list(which: &Which, limit: u32) -> Result<()> {
    let seen = open(&which.config)?.seen(&which.filter(0, limit))?;
    which.show(seen.into_iter().map(|(_, event)| event))
}

fn tail(which: &Which, lines: u32) -> Result<()> {
    let store = open(&which.config)?;
    // Where all is left out now, the newest of all is still where to go on.
    let newest = store.seen(&EventFilter { limit: 1, ..EventFilter::default() })?;
    let mut after = newest.last().map_or(0, |(at, _)| *at);
    let seen = store.seen(&which.filter(0, lines))?;
    which.show(seen.into_iter().filter(|(at, _)| *at <= after).map(|(_, event)| event))?;
    loop {
        let seen = store.seen(&which.filter(after, u32::MAX))?;
        after = seen.last().map_or(after, |(at, _)| *at);
        which.show(seen.into_iter().map(|(_, event)| event))?;
        thread::sleep(LOOK_EVERY);
    }
}

impl Which {
    fn filter(&self, after: i64, limit: u32) -> EventFilter {
        EventFilter {
            since: self.since,
            after,
            kind: self.kind.map(|kind| format!("lictor.{kind}")),
            service: self.service.clone(),
            node: self.node.clone(),
            limit,
        }
    }

    fn show(&self, events: impl Iterator<Item = StoredEvent>) -> Result<()> {
        let shown: Vec<_> = events.map(Shown::try_from).collect::<Result<_>>()?;
        say(&if self.json { json_lines(&shown)? } else { shown.iter().map(Shown::in_words).collect() })
    }
}

impl TryFrom<StoredEvent> for Shown {
    type Error = anyhow::Error;

    fn try_from(event: StoredEvent) -> Result<Self> {
        let data = serde_json::from_str(&event.data)
            .with_context(|| format!("read the data of event {}", event.id))?;
        let StoredEvent { id, source, kind, subject, time, node, environment, .. } = event;
        Ok(Self { id, kind, source, subject, time, node, environment, data })
    }
}

impl Shown {
    /// `2026-01-01T00:00:00Z  check.status  web1/alive  passing → critical  refused`.
    fn in_words(&self) -> String {
        let kind = self.kind.trim_start_matches("lictor.");
        let mut parts = vec![format!("{:.0}", self.time), format!("{kind:<20}"), cut(&self.subject)];
        let word = |name: &str| self.data.get(name).and_then(Value::as_str);
        if let Some(to) = word("to") {
            parts.push(format!("{} → {to}", word("from").unwrap_or("new")));
        }
        let said = ["output", "value", "payload"].into_iter().find_map(word).filter(|said| !said.is_empty());
        let changed = self.data.get("changed").and_then(Value::as_array).filter(|names| !names.is_empty());
        if let Some(said) = said {
            parts.push(cut(said));
        } else if let Some(names) = changed {
            parts.push(names.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(", "));
        }
        one_line(&parts.join("  ")) + "\n"
    }
}
