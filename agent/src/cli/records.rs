//! Where a verb that looks into the store finds it, and how it shows what is there.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use lictor_capability::is_plain;
use serde::Serialize;

use super::{ConfigArgs, runtime, variable};
use crate::admin::{self, AskError, SOCKET};
use crate::config::{Config, Look};
use crate::event::Event;
use crate::store::{Record, Records, StoredEvent};

/// Characters of a detail in a list.
const DETAIL: usize = 60;

/// Digits of an id in a list: enough to name it.
const ID: usize = 12;

/// Opens the store that the configuration names. A configuration with faults is no reason not to look.
pub(super) fn open(args: &ConfigArgs) -> Result<Records> {
    let path = database(args);
    if !path.exists() {
        bail!("open {}: there is none; name the configuration of that Lictor with -c", path.display());
    }
    Ok(Records::open(&path)?)
}

/// The database that the configuration names.
pub(super) fn database(args: &ConfigArgs) -> PathBuf {
    let data_dir = match Config::load(&args.paths, &variable, Look::Inside) {
        Ok(config) => config.agent.data_dir,
        Err(rejected) => rejected.data_dir,
    };
    data_dir.join("lictor.db")
}

/// Tells a Lictor that runs to look at what changed.
pub(super) fn wake(config: &ConfigArgs) -> Result<()> {
    let socket = database(config).with_file_name(SOCKET);
    match runtime()?.block_on(admin::look(&socket)) {
        Ok(()) => Ok(()),
        Err(AskError::NotRunning(_)) => say("Lictor does not run; it is done at its next start.\n"),
        Err(error) => Err(error.into()),
    }
}

/// The event as rules see it.
pub(super) fn whole(stored: &StoredEvent) -> Result<Event> {
    Ok(Event {
        id: stored.id.clone(),
        source: stored.source.clone(),
        kind: stored.kind.trim_start_matches("lictor.").parse()?,
        subject: stored.subject.clone(),
        time: stored.time,
        data: serde_json::from_str(&stored.data)?,
    })
}

/// Writes to the standard output.
pub(super) fn say(text: &str) -> Result<()> {
    io::stdout().write_all(text.as_bytes()).context("write to the standard output")
}

/// One line of JSON for each thing. What a terminal would obey or not show is escaped; it stands in texts alone.
pub(super) fn json_lines<T: Serialize>(things: &[T]) -> Result<String> {
    let mut text = String::new();
    for thing in things {
        for c in serde_json::to_string(thing).context("encode a line")?.chars() {
            if is_plain(c) {
                text.push(c);
            } else {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    write!(text, "\\u{unit:04x}")?;
                }
            }
        }
        text.push('\n');
    }
    Ok(text)
}

/// Deliveries as a table.
pub(super) fn table(records: &[Record]) -> String {
    let head = ["ID", "STATE", "TRIES", "RECEIVER", "EVENT", "SUBJECT", "COMMITTED", "LAST OUTCOME"];
    let rows = records.iter().map(|record| {
        let outcome = match (&record.outcome, &record.detail) {
            (Some(outcome), Some(detail)) if outcome == detail || detail.is_empty() => outcome.clone(),
            (Some(outcome), Some(detail)) => format!("{outcome}: {}", cut(detail)),
            (outcome, _) => outcome.clone().unwrap_or_default(),
        };
        [
            record.id.chars().take(ID).collect(),
            record.state.as_str().to_owned(),
            record.attempts.to_string(),
            record.receiver.clone(),
            record.kind.trim_start_matches("lictor.").to_owned(),
            record.subject.clone(),
            format!("{:.0}", record.created_at),
            outcome,
        ]
    });
    align(&head.map(str::to_owned), rows.collect())
}

/// Columns under each other, two spaces apart, each row on one line.
pub(super) fn align<const N: usize>(head: &[String; N], rows: Vec<[String; N]>) -> String {
    let rows = std::iter::once(head.clone()).chain(rows).map(|row| row.map(|cell| one_line(&cell)));
    let rows: Vec<_> = rows.collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<_> = (0..N).map(width).collect();
    let mut text = String::new();
    for row in &rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            // Writing to a text cannot fail.
            let _infallible = write!(line, "{cell:width$}  ");
        }
        text += line.trim_end();
        text.push('\n');
    }
    text
}

/// The start of a text, on one line; what a check said may hold what would move a terminal's cursor.
pub(super) fn cut(text: &str) -> String {
    let line = one_line(text);
    if line.chars().count() <= DETAIL {
        return line;
    }
    line.chars().take(DETAIL - 1).chain(['…']).collect()
}

/// Lines, none of which holds another one.
pub(super) fn lines(lines: &[String]) -> String {
    lines.iter().map(|line| one_line(line) + "\n").collect()
}

/// A text without what breaks a line, moves a cursor, or has a say in how other characters are shown: whoever registers a
/// check or writes a key chooses what is in it.
pub(super) fn one_line(text: &str) -> String {
    text.chars().map(|c| if is_plain(c) { c } else { ' ' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_obey_is_escaped_in_json() {
        let text = "a\u{9b}\u{202e}\u{e0041}ü\n\"";
        let line = json_lines(&[text]).unwrap();
        assert_eq!(line, "\"a\\u009b\\u202e\\udb40\\udc41ü\\n\\\"\"\n");
        assert_eq!(serde_json::from_str::<String>(&line).unwrap(), text);
    }

    #[test]
    fn what_others_chose_stays_in_its_cell_and_on_its_line() {
        let [name, evil] = ["A".to_owned(), "d2\u{202e}\n\u{1b}[2J".to_owned()];
        assert_eq!(
            align(&[name.clone(), name], vec![[evil.clone(), "x".into()]]),
            "A         A\nd2   [2J  x\n"
        );
        assert_eq!(lines(&[evil, String::new()]), "d2   [2J\n\n");
    }
}
