//! `lictor config`: the configuration that counts, and which keys there are.
//!
//! Invariant: what `show` prints is a configuration that Lictor reads.

use std::io::{self, Write};

use anyhow::Context;
use clap::Subcommand;
use serde_json::Value;
use serde_json::value::Index;

use super::{ConfigArgs, variable};
use crate::app::AppError;
use crate::config::{self, Effective, Key, Kind, Unwritten};
use crate::migrate::toml;

/// What is done with the configuration.
#[derive(Subcommand)]
pub(super) enum Verb {
    /// Print the configuration that counts, of all files, the environment and the defaults, without secrets.
    Show {
        #[command(flatten)]
        config: ConfigArgs,
        /// As JSON instead of TOML.
        #[arg(long)]
        json: bool,
    },
    /// Print the JSON Schema of a configuration file, for an editor.
    Schema,
}

pub(super) fn config(verb: &Verb) -> Result<(), AppError> {
    let text = match verb {
        Verb::Show { config, json } => {
            let effective = config::effective(&config.paths, &variable)?;
            if *json { pretty(&effective.all)? } else { in_toml(&effective) }
        }
        Verb::Schema => pretty(&config::schema())?,
    };
    Ok(io::stdout().write_all(text.as_bytes()).context("write to the standard output")?)
}

fn pretty(value: &Value) -> anyhow::Result<String> {
    Ok(serde_json::to_string_pretty(value).context("write JSON")? + "\n")
}

/// Each key with its value and where that comes from, and those that have none with what holds then.
fn in_toml(effective: &Effective) -> String {
    let mut page = Page { effective, text: String::new() };
    for name in &effective.variables {
        page.line(&format!("# The variable {name} counts too; there is no key for it."));
    }
    page.table("", config::KEYS, &effective.all, Layers::of(effective));
    page.text
}

/// What is written at one place, for its origin.
#[derive(Clone, Copy)]
struct Layers<'a> {
    written: Option<&'a Value>,
    inherited: Option<&'a Value>,
}

impl<'a> Layers<'a> {
    fn of(effective: &'a Effective) -> Self {
        Self { written: Some(&effective.written), inherited: Some(&effective.inherited) }
    }

    /// The same for a part: a key or a position.
    fn part<I: Index + Copy>(self, at: I) -> Self {
        let part = |value: Option<&'a Value>| value.and_then(|value| value.get(at));
        Self { written: part(self.written), inherited: part(self.inherited) }
    }
}

struct Page<'a> {
    effective: &'a Effective,
    text: String,
}

impl Page<'_> {
    fn line(&mut self, line: &str) {
        self.text.push_str(line);
        self.text.push('\n');
    }

    fn heading(&mut self, heading: &str) {
        let gap = if self.text.is_empty() { "" } else { "\n" };
        self.line(&format!("{gap}{heading}"));
    }

    /// The keys of a table, those first that fit on a line: what follows a heading belongs to it.
    fn table(&mut self, path: &str, keys: &[Key], all: &Value, layers: Layers<'_>) {
        for key in keys {
            match all.get(key.name) {
                Some(value) if !has_heading(&key.kind, value) => {
                    self.pair(path, key.name, value, layers);
                }
                None if key.counts_in(all) => {
                    if let Unwritten::Nothing(then) = key.unwritten {
                        self.line(&format!("# {}: {then}", key.name));
                    }
                }
                _ => {}
            }
        }
        for key in keys {
            if let Some(value) = all.get(key.name).filter(|value| has_heading(&key.kind, value)) {
                self.section(&below(path, key.name), &key.kind, value, layers.part(key.name));
            }
        }
    }

    /// A key with its value, and where that comes from if it is not written there.
    fn pair(&mut self, path: &str, key: &str, value: &Value, layers: Layers<'_>) {
        let variable = self.effective.of_variables.get(key).filter(|_| path == "consul");
        let Layers { written, inherited } = layers.part(key);
        let origin = match (written, inherited, variable) {
            (Some(_), ..) => String::new(),
            (None, Some(_), _) => "  # [defaults]".to_owned(),
            (None, None, Some(variable)) => format!("  # {variable}"),
            (None, None, None) => "  # default".to_owned(),
        };
        self.line(&format!("{key} = {}{origin}", inline(value)));
    }

    /// What has a heading of its own, or several.
    fn section(&mut self, path: &str, kind: &Kind, value: &Value, layers: Layers<'_>) {
        match (kind, value) {
            (Kind::List(item) | Kind::Some(item), Value::Array(items)) => {
                for (at, value) in items.iter().enumerate() {
                    self.heading(&format!("[[{path}]]"));
                    self.rows(path, item, value, layers.part(at));
                }
            }
            (Kind::Map(item) | Kind::Named(item), Value::Object(values)) => {
                for (name, value) in values {
                    self.section(&below(path, name), item, value, layers.part(name.as_str()));
                }
            }
            _ => {
                self.heading(&format!("[{path}]"));
                self.rows(path, kind, value, layers);
            }
        }
    }

    /// What is below one heading.
    fn rows(&mut self, path: &str, kind: &Kind, value: &Value, layers: Layers<'_>) {
        match (kind, value) {
            (Kind::Table(keys), table) => self.table(path, keys, table, layers),
            (Kind::Tagged(tagged), table) => {
                let word = table.get(tagged.tag).unwrap_or(&Value::Null);
                self.pair(path, tagged.tag, word, layers);
                for keys in [tagged.own(word), tagged.common] {
                    self.table(path, keys, table, layers);
                }
            }
            (_, Value::Object(values)) => {
                for (name, value) in values {
                    self.line(&format!("{} = {}", toml::key(name), inline(value)));
                }
            }
            _ => {}
        }
    }
}

/// Is it longer than a line?
fn has_heading(kind: &Kind, value: &Value) -> bool {
    let is_table = |kind: &Kind| matches!(kind, Kind::Table(_) | Kind::Tagged(_) | Kind::Attributes);
    let is_empty = value.as_object().is_some_and(serde_json::Map::is_empty)
        || value.as_array().is_some_and(Vec::is_empty);
    match kind {
        Kind::Table(_) => true,
        Kind::List(item) | Kind::Some(item) | Kind::Map(item) | Kind::Named(item) => {
            !is_empty && is_table(item)
        }
        Kind::Free | Kind::Defaults(_) => !is_empty,
        _ => false,
    }
}

fn below(path: &str, key: &str) -> String {
    let key = toml::key(key);
    if path.is_empty() { key } else { format!("{path}.{key}") }
}

fn inline(value: &Value) -> String {
    match value {
        Value::String(text) => toml::quote(text),
        Value::Array(items) => format!("[{}]", items.iter().map(inline).collect::<Vec<_>>().join(", ")),
        Value::Object(table) if table.is_empty() => "{}".to_owned(),
        Value::Object(table) => toml::inline(table.iter().map(|(key, value)| (key.as_str(), inline(value)))),
        // TOML writes true, false and numbers as JSON does, and has no null.
        other => other.to_string(),
    }
}
