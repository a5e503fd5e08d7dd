//! `lictor state`: whether the store is whole, and how it is mended.

use anyhow::Result;
use clap::Subcommand;
use jiff::Timestamp;

use super::records::{database, json_lines, one_line, open, say};
use super::{ConfigArgs, counted};
use crate::config::{Config, Look};
use crate::store::{Health, Repaired, repair};

/// What is done with the store.
#[derive(Subcommand)]
pub(super) enum Verb {
    /// Look at all of it: is it whole, what is in it, how large is it; exit 1 where it is to be repaired.
    Check {
        #[command(flatten)]
        config: ConfigArgs,
        /// One JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Mend it, while Lictor does not run. What cannot be mended is set aside, never deleted.
    Repair(ConfigArgs),
}

/// Whether the store is whole.
pub(super) fn state(verb: &Verb) -> Result<bool> {
    match verb {
        Verb::Check { config, json } => {
            let health = open(config)?.health()?;
            let whole = health.is_whole();
            say(&if *json { json_lines(&[health])? } else { in_words(&health, config) })?;
            Ok(whole)
        }
        Verb::Repair(config) => {
            match repair(&database(config), Timestamp::now())? {
                Repaired::Whole(health) => say(&in_words(&health, config))?,
                Repaired::SetAside(path) => say(&format!(
                    "The store cannot be mended and is set aside as {}. The next start begins anew.\n",
                    path.display()
                ))?,
            }
            Ok(true)
        }
    }
}

fn in_words(health: &Health, args: &ConfigArgs) -> String {
    let known = Config::load(&args.paths, &super::variable, Look::Inside).ok();
    let is_gone = |receiver: &str| {
        known.as_ref().is_some_and(|config| config.receivers.iter().all(|known| known.name != receiver))
    };
    let mut lines = vec![
        format!("store       {}, schema version {}", health.path.display(), health.schema),
        format!(
            "size        {} in use, {} on the disk, {} of log",
            mib(health.used),
            mib(health.size),
            mib(health.log)
        ),
        match health.since {
            Some(since) => format!("events      {} since {since}", health.events),
            None => "events      0".into(),
        },
    ];
    lines.extend(health.deliveries.iter().map(|(state, count)| format!("{:<11} {count}", state.as_str())));
    lines.extend(health.open.iter().map(|(receiver, count)| {
        let gone = if is_gone(receiver) { ", which is not configured" } else { "" };
        format!("{count} open for {receiver}{gone}")
    }));
    lines.extend(health.faults.iter().map(|fault| format!("fault       {}", one_line(fault))));
    if health.wrong_lanes > 0 {
        lines.push(format!(
            "fault       {} out of order",
            counted(usize::try_from(health.wrong_lanes).unwrap_or(usize::MAX), "subject")
        ));
    }
    lines.push(if health.is_whole() {
        "It is whole.".into()
    } else {
        "Stop Lictor and run `lictor state repair`.".into()
    });
    lines.join("\n") + "\n"
}

fn mib(bytes: u64) -> String {
    format!("{}.{} MiB", bytes >> 20, ((bytes & 0xf_ffff) * 10) >> 20)
}
