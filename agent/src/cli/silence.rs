//! `lictor silence`: what a person wants to hear nothing of for a while.

use anyhow::{Context, Result};
use clap::{ArgGroup, Args, Subcommand};
use jiff::Timestamp;

use super::records::{align, json_lines, open, say, wake};
use super::{ConfigArgs, variable};
use crate::config::duration;
use crate::event::id::derive;
use crate::rules::{Attribute, Matcher};
use crate::store::SilenceRecord;

/// Digits of a silence's id.
const ID: usize = 8;

/// What is done with silences.
#[derive(Subcommand)]
pub(super) enum Verb {
    /// Send nothing that matches for a while. What is still so when it ends is sent then.
    Add(Add),
    /// List those that have not ended.
    List {
        #[command(flatten)]
        config: ConfigArgs,
        /// Also those that ended within the last five days.
        #[arg(long)]
        all: bool,
        /// One JSON object per line.
        #[arg(long)]
        json: bool,
    },
    /// End silences now.
    Expire {
        #[command(flatten)]
        config: ConfigArgs,
        /// Their ids, or the beginnings of them.
        #[arg(required = true, value_name = "ID", value_parser = clap::builder::NonEmptyStringValueParser::new())]
        ids: Vec<String>,
    },
}

/// A new silence.
#[derive(Args)]
#[command(group = ArgGroup::new("end").required(true))]
pub(super) struct Add {
    #[command(flatten)]
    config: ConfigArgs,
    /// What it hides: `service=web`, or `node=~web-.*` with a regular expression; may be repeated, all must fit. The
    /// attributes are those of rules.
    #[arg(long = "match", required = true, value_name = "ATTRIBUTE=VALUE", value_parser = matcher)]
    matchers: Vec<String>,
    /// How long: 30m, 2h, 1d.
    #[arg(long = "for", value_name = "TIME", group = "end", value_parser = span)]
    lasts: Option<std::time::Duration>,
    /// Until when: 2026-12-01T06:00:00Z.
    #[arg(long, value_name = "TIME", group = "end", value_parser = later)]
    until: Option<Timestamp>,
    /// Why, for those who find it.
    #[arg(long, default_value = "")]
    comment: String,
    /// Who wants it; by default the user.
    #[arg(long, value_name = "NAME")]
    created_by: Option<String>,
    /// End it once all that it hides, and that the rules remember, is over.
    #[arg(long)]
    expire_on_resolve: bool,
    /// Print the id alone.
    #[arg(long)]
    quiet: bool,
}

fn later(text: &str) -> Result<Timestamp, String> {
    let time: Timestamp =
        text.parse().map_err(|_| "write a time, such as 2026-12-01T06:00:00Z".to_owned())?;
    if time > Timestamp::now() { Ok(time) } else { Err("it is over already; write a later time".into()) }
}

pub(super) fn span(text: &str) -> Result<std::time::Duration, String> {
    duration(text).filter(|span| !span.is_zero()).ok_or_else(|| "write 30m, 2h or 1d, for example".to_owned())
}

/// What can be told of a delivery that was given up, no silence hides.
const NOT_HIDDEN: [Attribute; 2] = [Attribute::Receiver, Attribute::Outcome];

fn matcher(text: &str) -> Result<String, String> {
    let matcher = Matcher::parse(text).map_err(|error| error.to_string())?;
    if NOT_HIDDEN.contains(&matcher.attribute) {
        return Err("only `delivery.dead` has it, and no silence hides that".into());
    }
    Ok(text.to_owned())
}

pub(super) fn silence(verb: &Verb) -> Result<()> {
    let now = Timestamp::now();
    match verb {
        Verb::Add(add) => add.carry_out(now),
        Verb::List { config, all, json } => {
            let silences = open(config)?.silences((!*all).then_some(now))?;
            say(&if *json { json_lines(&silences)? } else { table(&silences, now) })
        }
        Verb::Expire { config, ids } => {
            let mut store = open(config)?;
            for id in ids {
                let ended = store.expire(id, now)?;
                say(&format!("The silence {} is over.\n", ended.id))?;
            }
            wake(config)
        }
    }
}

impl Add {
    fn carry_out(&self, now: Timestamp) -> Result<()> {
        let ends_at = match (self.lasts, self.until) {
            (Some(lasts), _) => now.checked_add(lasts)?,
            (None, until) => until.context("know when it ends")?,
        };
        let matchers = self.matchers.join("\n");
        let mut id =
            derive(&[now.to_string().as_bytes(), &std::process::id().to_be_bytes(), matchers.as_bytes()]);
        id.truncate(ID);
        let silence = SilenceRecord {
            id,
            matchers: self.matchers.clone(),
            starts_at: now,
            ends_at,
            created_by: self
                .created_by
                .clone()
                .or_else(|| variable("SUDO_USER"))
                .or_else(|| variable("USER"))
                .unwrap_or_else(|| "somebody".into()),
            comment: self.comment.clone(),
            expire_on_resolve: self.expire_on_resolve,
        };
        open(&self.config)?.silence(&silence, now)?;
        let SilenceRecord { id, ends_at, .. } = silence;
        say(&if self.quiet {
            format!("{id}\n")
        } else {
            format!("The silence {id} holds until {ends_at:.0}.\n")
        })?;
        wake(&self.config)
    }
}

fn table(silences: &[SilenceRecord], now: Timestamp) -> String {
    let head = ["ID", "ENDS", "HIDES", "BY", "COMMENT"];
    let rows = silences.iter().map(|silence| {
        let ended = if silence.ends_at <= now { " (over)" } else { "" };
        let resolve = if silence.expire_on_resolve { " or when it is over" } else { "" };
        [
            silence.id.clone(),
            format!("{:.0}{ended}{resolve}", silence.ends_at),
            silence.matchers.join(", "),
            silence.created_by.clone(),
            silence.comment.clone(),
        ]
    });
    align(&head.map(str::to_owned), rows.collect())
}
