//! `[receivers.*]`: which plugin, with what configuration, within which limits.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use lictor_capability::OutputLimits;
use toml::de::DeValue;

use super::allow::{self, Allow};
use super::reader::{Entry, Table};
use super::source::Place;
use super::words;
use crate::dispatch::{MAX_IN_FLIGHT, MAX_IN_FLIGHT_MAX, RateLimit, RetryPolicy};
use crate::pipeline::Wishes;
use crate::store::{Lane, Overlap};

/// The plugins that are part of the program.
pub const BUNDLED: [&str; 4] = ["shell", "file", "email", "webhook"];

/// A day is longer than any call should take; it only catches a slip of the pen.
const LONGEST: Duration = Duration::from_hours(24);

/// The shortest duration that can be written, so that no deadline is zero.
const SHORTEST: Duration = Duration::from_millis(1);

/// Longer than anybody waits for a mail.
const ELAPSED_MAX: Duration = Duration::from_hours(365 * 24);

/// Whoever wants more tries for ever, which is 0.
pub(super) const ATTEMPTS_MAX: u32 = 1_000_000;

/// More than this in a time is no limit.
pub(super) const RATE_MAX: u32 = 1_000_000;

/// Less than this and no plugin's stack fits.
const MEMORY_MIN: u64 = 1 << 20;

/// What a 32-bit guest can address.
const MEMORY_MAX: u64 = 4 << 30;

/// More than this of a log, an answer or an output is no longer something to keep in memory.
const BYTES_MAX: u64 = 1 << 30;

/// More lines than this in a second are no limit.
pub(super) const LOG_RATE_MAX: u32 = 1_000_000;

/// One configured plugin.
#[derive(Clone)]
pub struct Receiver {
    /// Unique among the receivers.
    pub name: String,
    /// The plugin's code.
    pub plugin: PluginRef,
    /// What the code must hash to: SHA-256 as 64 lowercase hexadecimal digits.
    pub sha256: Option<String>,
    /// What the plugin gets as its configuration; an empty object when nothing is written.
    pub config: serde_json::Value,
    /// From the start of a call to its answer. Default: 60 s.
    pub timeout: Duration,
    /// When a failed delivery is tried again.
    pub retry: RetryPolicy,
    /// Calls at once, 1 to 64. Default: 4.
    pub max_in_flight: usize,
    /// How many calls begin within a time. Default: as many as can.
    pub rate_limit: Option<RateLimit>,
    /// What it wants of the events that rules send to it.
    pub wishes: Wishes,
    /// What one call may take.
    pub limits: Limits,
    /// What the plugin may do.
    pub allow: Allow,
    /// Where it is written, for faults that show when the plugin is loaded.
    pub places: Places,
    /// What of it is not known. Nothing in a `Config`.
    pub unread: Unread,
}

/// Where the code of a plugin is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PluginRef {
    /// One of [`BUNDLED`].
    Bundled(&'static str),
    /// An absolute path of a component, or of a folder with an OCI image layout that holds one.
    File(PathBuf),
}

/// What one call may take, in bytes and CPU time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// All memories of the guest together. Default: 64 MiB.
    pub memory: usize,
    /// CPU time. Default: 1 s.
    pub cpu: Duration,
    /// What is kept of the guest's log. Default: 64 KiB.
    pub log: usize,
    /// How many lines of the guest's log are kept in a second. Default: 100.
    pub log_rate: u32,
    /// What is kept of each output stream of a command. Default: 4 KiB.
    pub output: usize,
    /// What is read of an HTTP response's body. Default: 64 KiB.
    pub response: usize,
    /// What the guest may pass to the host at once. Default: 1 MiB.
    pub transfer: usize,
}

/// Where the parts of a receiver are written.
#[derive(Clone, Debug)]
pub struct Places {
    /// The value of `plugin`.
    pub plugin: Place,
    /// The value of `sha256`, else the receiver.
    pub sha256: Place,
    /// The value of `config`, else the receiver.
    pub config: Place,
    /// The keys of `config`.
    pub settings: BTreeMap<String, Place>,
    /// The value of `allow`, else the receiver.
    pub allow: Place,
    /// The value of `fallback`.
    pub fallback: Option<Place>,
}

/// What of a receiver is written and cannot be read, which was told. That it is not there, or what stands
/// in its place, says nothing of what the operator wants.
#[derive(Clone, Debug, Default)]
pub struct Unread {
    /// `config` as a whole.
    pub config: bool,
    /// Settings of `config`; they are left out of it.
    pub settings: Vec<String>,
    /// `timeout`.
    pub timeout: bool,
    /// Something in `limits`.
    pub limits: bool,
    /// Keys of `allow`.
    pub allow: Vec<&'static str>,
}

/// `config`, with the places of its keys.
#[derive(Default)]
struct Settings {
    values: serde_json::Map<String, serde_json::Value>,
    places: BTreeMap<String, Place>,
    unread: Vec<String>,
}

impl fmt::Display for PluginRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bundled(name) => f.write_str(name),
            Self::File(path) => path.display().fmt(f),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory: 64 << 20,
            cpu: Duration::from_secs(1),
            log: 64 << 10,
            log_rate: 100,
            output: OutputLimits::default().exec_output,
            response: OutputLimits::default().http_response,
            transfer: 1 << 20,
        }
    }
}

/// Without the configuration, which may hold secrets.
impl fmt::Debug for Receiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver")
            .field("name", &self.name)
            .field("plugin", &self.plugin)
            .finish_non_exhaustive()
    }
}

pub(super) fn read(name: &str, table: &mut Table<'_>) -> Option<Receiver> {
    let plugin = table.require("plugin", "plugin = \"shell\"", |entry| Some((plugin(entry)?, entry.place())));
    let sha256 = table.get("sha256", |entry| Some((sha256(entry)?, entry.place())));
    let config = table.get("config", |entry| Some((settings(entry)?, entry.place())));
    let timeout = table.get("timeout", |entry| entry.duration(SHORTEST..=LONGEST));
    let retry = table.get("retry", |entry| entry.table("`retry`", retry)).unwrap_or_default();
    let max_in_flight = table.get("max_in_flight", |entry| entry.number(1..=MAX_IN_FLIGHT_MAX));
    let rate_limit = table.get("rate_limit", |entry| entry.table("`rate_limit`", rate_limit)).flatten();
    let overlap = table.get("overlap", overlap).unwrap_or_default();
    let lane = table.get("order", lane).unwrap_or_default();
    let send_resolved = table.get("send_resolved", Entry::flag).unwrap_or(true);
    let fallback = table.get("fallback", |entry| Some((entry.string()?, entry.place())));
    // A default is not meant for the one that it names.
    let fallback = fallback.filter(|(other, _)| other != name || table.writes("fallback"));
    let (fallback, fallback_place) = fallback.unzip();
    let limits = table.get("limits", |entry| entry.sound(|entry| entry.table("`limits`", limits)));
    let allow = table.get("allow", |entry| Some((entry.table("`allow`", allow::read)?, entry.place())));
    let (plugin, plugin_place) = plugin?;
    let here = || table.place();
    let config_unread = table.unread("config", config.is_some());
    let allow_unread = table.unread("allow", allow.is_some());
    let (sha256, sha256_place) = sha256.map_or_else(|| (None, here()), |(hash, place)| (Some(hash), place));
    let (config, config_place) = config.unwrap_or_else(|| (Settings::default(), here()));
    let ((allow, unread_keys), allow_place) = allow.unwrap_or_else(|| (Default::default(), here()));
    let unread = Unread {
        config: config_unread,
        settings: config.unread,
        timeout: table.unread("timeout", timeout.is_some()),
        limits: table.unread("limits", limits.is_some()),
        allow: if allow_unread { allow::KEYS.to_vec() } else { unread_keys },
    };
    Some(Receiver {
        name: name.to_owned(),
        plugin,
        sha256,
        config: serde_json::Value::Object(config.values),
        timeout: timeout.unwrap_or(Duration::from_mins(1)),
        retry,
        max_in_flight: max_in_flight.map_or(MAX_IN_FLIGHT, |calls| calls as usize),
        rate_limit,
        wishes: Wishes { overlap, send_resolved, fallback, lane },
        limits: limits.unwrap_or_default(),
        allow,
        places: Places {
            plugin: plugin_place,
            sha256: sha256_place,
            config: config_place,
            settings: config.places,
            allow: allow_place,
            fallback: fallback_place,
        },
        unread,
    })
}

fn plugin(entry: Entry<'_>) -> Option<PluginRef> {
    let text = entry.string()?;
    if let Some(name) = BUNDLED.into_iter().find(|name| *name == text) {
        return Some(PluginRef::Bundled(name));
    }
    if is_path(&text) {
        return entry.path().map(PluginRef::File);
    }
    let help = match words::nearest(&text, BUNDLED) {
        Some(near) => format!("did you mean \"{near}\"?"),
        None => format!(
            "write {}, the path of a .wasm file, or with a `/` that of a folder with an OCI image layout",
            words::values(BUNDLED)
        ),
    };
    entry.wrong(format!("there is no plugin {text:?}"), help)
}

/// A file is known by its ending, a folder by a `/` in its path.
pub(super) fn is_path(plugin: &str) -> bool {
    plugin.contains('/') || Path::new(plugin).extension().is_some_and(|extension| extension == "wasm")
}

fn sha256(entry: Entry<'_>) -> Option<String> {
    let text = entry.string()?;
    if text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Some(text.to_ascii_lowercase());
    }
    entry.wrong("this is not a SHA-256 hash", "write 64 hexadecimal digits, as `sha256sum` shows them")
}

fn retry(table: &mut Table<'_>) -> RetryPolicy {
    let default = RetryPolicy::default();
    let span = |entry: Entry<'_>| Some((entry.duration(SHORTEST..=LONGEST)?, entry.place()));
    let attempts = table.get("attempts", |entry| entry.number(0..=ATTEMPTS_MAX));
    let backoff = table.get("backoff", span);
    let max_backoff = table.get("max_backoff", span);
    let max_elapsed = table.get("max_elapsed", |entry| entry.duration(SHORTEST..=ELAPSED_MAX));
    let retry = RetryPolicy {
        attempts: attempts.unwrap_or(default.attempts),
        backoff: backoff.as_ref().map_or(default.backoff, |(backoff, _)| *backoff),
        max_backoff: max_backoff.as_ref().map_or(default.max_backoff, |(longest, _)| *longest),
        max_elapsed,
    };
    let unread =
        table.unread("backoff", backoff.is_some()) || table.unread("max_backoff", max_backoff.is_some());
    if let Some((_, place)) = backoff.or(max_backoff)
        && retry.backoff > retry.max_backoff
        && !unread
    {
        let (least, most) = (words::show_duration(retry.backoff), words::show_duration(retry.max_backoff));
        let fault =
            super::Fault::at(place, format!("`backoff` is {least}, longer than `max_backoff`, {most}"));
        table.note(fault.help("write a `max_backoff` that is at least `backoff`"));
    }
    retry
}

fn rate_limit(table: &mut Table<'_>) -> Option<RateLimit> {
    const EXAMPLE: &str = "rate_limit = { max = 10, per = \"1m\" }";
    let max = table.require("max", EXAMPLE, |entry| entry.number(1..=RATE_MAX));
    let per = table.require("per", EXAMPLE, |entry| entry.duration(SHORTEST..=LONGEST));
    Some(RateLimit { max: max?, per: per? })
}

fn overlap(entry: Entry<'_>) -> Option<Overlap> {
    Some(match entry.word(&["queue", "coalesce", "replace", "skip"])? {
        "coalesce" => Overlap::Coalesce,
        "replace" => Overlap::Replace,
        "skip" => Overlap::Skip,
        _ => Overlap::Queue,
    })
}

fn lane(entry: Entry<'_>) -> Option<Lane> {
    Some(if entry.word(&["subject", "receiver"])? == "receiver" { Lane::Receiver } else { Lane::Subject })
}

fn limits(table: &mut Table<'_>) -> Limits {
    let default = Limits::default();
    let mut size = |key, default: usize, range| {
        let size = table.get(key, |entry| entry.size(range));
        size.map_or(default, |size| usize::try_from(size).unwrap_or(usize::MAX))
    };
    Limits {
        memory: size("memory", default.memory, MEMORY_MIN..=MEMORY_MAX),
        log: size("log", default.log, 0..=BYTES_MAX),
        output: size("output", default.output, 0..=BYTES_MAX),
        response: size("response", default.response, 0..=BYTES_MAX),
        transfer: size("transfer", default.transfer, 1..=BYTES_MAX),
        cpu: table.get("cpu", |entry| entry.duration(SHORTEST..=LONGEST)).unwrap_or(default.cpu),
        log_rate: table.get("log_rate", |entry| entry.number(1..=LOG_RATE_MAX)).unwrap_or(default.log_rate),
    }
}

/// A setting with a fault in it is left out as a whole: half of a list is not what the operator wrote.
fn settings(entry: Entry<'_>) -> Option<Settings> {
    if !matches!(entry.value(), DeValue::Table(_)) {
        return entry.expected("a table", "write config = { key = value }");
    }
    let mut settings = Settings::default();
    entry.map("a table", |key, value| {
        let name = key.text().to_owned();
        settings.places.insert(name.clone(), key.place());
        match value.sound(json) {
            Some(value) => drop(settings.values.insert(name, value)),
            None => settings.unread.push(name),
        }
        Some(())
    })?;
    Some(settings)
}

/// What TOML can say and JSON cannot is a fault, except for dates, which become texts.
fn json(entry: Entry<'_>) -> Option<serde_json::Value> {
    use serde_json::{Number, Value};
    Some(match entry.value() {
        DeValue::String(text) => Value::String(text.clone().into_owned()),
        DeValue::Boolean(flag) => Value::Bool(*flag),
        DeValue::Datetime(date) => Value::String(date.to_string()),
        DeValue::Integer(number) => match i64::from_str_radix(number.as_str(), number.radix()) {
            Ok(number) => Value::Number(number.into()),
            Err(_) => return entry.wrong("this number is too large", "write it as a text"),
        },
        DeValue::Float(number) => match number.as_str().parse().ok().and_then(Number::from_f64) {
            Some(number) => Value::Number(number),
            None => return entry.wrong("a plugin cannot get this number", "write a finite number"),
        },
        DeValue::Array(_) => Value::Array(entry.list("a list", json)?),
        DeValue::Table(_) => {
            let pairs = entry.map("a table", |key, value| Some((key.text().to_owned(), json(value)?)))?;
            Value::Object(pairs.into_iter().collect())
        }
    })
}
