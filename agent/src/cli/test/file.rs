//! A file of rule tests.
//!
//! ```toml
//! config = ["../lictor.toml"]              # beside this file; else -c
//!
//! [[test]]
//! name  = "a short failure is not sent"
//! start = "2026-03-02T12:00:00Z"           # the clock at 0s; matters for time intervals
//! until = "10m"                            # how long it goes on; default: an hour after the last step
//! steps = [
//!     { at = "0s",  event = "check.status", service = "web", from = "passing", to = "critical" },
//!     { at = "5s",  silence = ["service=db"], for = "1h" },
//!     { at = "20s", event = "check.status", service = "web", from = "critical", to = "passing" },
//! ]
//! expect   = []                            # every delivery, in order
//! withheld = [{ reason = "held", rule = "web-down" }]
//! ```

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail, ensure};
use jiff::Timestamp;
use serde::{Deserialize, Deserializer};

use super::event::event;
use crate::config::duration;
use crate::event::{Event, EventType};
use crate::regular;
use crate::rules::Matcher;

/// How long a test goes on after its last step, unless it says so.
const AFTERWARDS: Duration = Duration::from_hours(1);

/// The clock of a test that does not say what time it is: a Monday at noon.
const START: &str = "2026-03-02T12:00:00Z";

/// A file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TestFile {
    /// The configuration that is tested, relative to the file.
    #[serde(default)]
    pub(super) config: Vec<PathBuf>,
    #[serde(rename = "test")]
    pub(super) tests: Vec<Written>,
}

/// A test as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Written {
    pub(super) name: String,
    start: Option<String>,
    #[serde(default, deserialize_with = "span")]
    until: Option<Duration>,
    steps: Vec<toml::Table>,
    pub(super) expect: Vec<Expected>,
    #[serde(default)]
    pub(super) withheld: Vec<Wish>,
}

/// A delivery that is to come.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Expected {
    /// When, or from when until when.
    pub(super) at: Window,
    pub(super) receiver: String,
    pub(super) rule: Option<String>,
    /// What it is about: all subjects, in any order.
    pub(super) events: Option<Vec<String>>,
}

/// A time, or the first and the last one.
#[derive(Clone, Debug)]
pub(super) struct Window(pub(super) Duration, pub(super) Duration);

/// Why something is not sent.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wish {
    pub(super) reason: String,
    pub(super) rule: Option<String>,
    /// The subject of the event.
    pub(super) event: Option<String>,
    pub(super) at: Option<Window>,
}

/// A test that can be played.
pub(super) struct Test {
    pub(super) start: Timestamp,
    pub(super) until: Timestamp,
    /// In the order of their times.
    pub(super) steps: Vec<Step>,
}

/// What happens at some time.
pub(super) struct Step {
    pub(super) at: Timestamp,
    pub(super) what: What,
}

/// What happens.
pub(super) enum What {
    /// An event, of the watch with this name in the store; none for one that every rule hears.
    Event(Box<Event>, Option<String>),
    /// A silence begins.
    Silence { matchers: Vec<Matcher>, lasts: Duration, expire_on_resolve: bool },
}

fn span<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Duration>, D::Error> {
    let text = String::deserialize(from)?;
    duration(&text).map(Some).ok_or_else(|| serde::de::Error::custom(no_span(&text)))
}

fn no_span(text: &str) -> String {
    format!("read the time {text:?}: write 30s, 5m, 2h or 1d, for example")
}

impl<'de> Deserialize<'de> for Window {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Either {
            At(String),
            Between(String, String),
        }
        let read = |text: &str| duration(text).ok_or_else(|| serde::de::Error::custom(no_span(text)));
        Ok(match Either::deserialize(from)? {
            Either::At(at) => Self(read(&at)?, read(&at)?),
            Either::Between(from, to) => Self(read(&from)?, read(&to)?),
        })
    }
}

/// Reads a file of tests.
pub(super) fn read(path: &Path) -> Result<TestFile> {
    let shown = path.display();
    let text = regular::text(path).with_context(|| format!("read {shown}"))?;
    let file: TestFile = toml::from_str(&text).map_err(|error| anyhow!("read {shown}: {error}"))?;
    ensure!(!file.tests.is_empty(), "read {shown}: there is no [[test]] in it");
    Ok(file)
}

impl Written {
    /// The test with its events, its times those of its clock.
    pub(super) fn test(&self) -> Result<Test> {
        let start = self.start.as_deref().unwrap_or(START);
        let start: Timestamp = start
            .parse()
            .with_context(|| format!("read start = {start:?}: write 2026-03-02T12:00:00Z, for example"))?;
        let mut steps = Vec::new();
        for (number, step) in self.steps.iter().enumerate() {
            let step = read_step(step.clone(), (start, number))
                .with_context(|| format!("read step {}", number + 1))?;
            ensure!(
                steps.last().is_none_or(|last: &Step| last.at <= step.at),
                "read step {}: it is before the one above it",
                number + 1
            );
            steps.push(step);
        }
        let last = steps.last().map_or(start, |step| step.at);
        let until = match self.until {
            Some(until) => start.checked_add(until)?,
            None => last.checked_add(AFTERWARDS)?,
        };
        ensure!(last <= until, "end before the last step; write a later `until`");
        Ok(Test { start, until, steps })
    }
}

fn read_step(mut step: toml::Table, (start, number): (Timestamp, usize)) -> Result<Step> {
    let at = text(&mut step, "at")?.context("find `at`: write at = \"30s\"")?;
    let at = start.checked_add(duration(&at).with_context(|| no_span(&at))?)?;
    if let Some(silence) = step.remove("silence") {
        let texts: Vec<String> = silence.try_into().context("read `silence`: write [\"service=web\"]")?;
        let lasts = text(&mut step, "for")?.context("find `for`: write for = \"1h\"")?;
        let lasts = duration(&lasts).with_context(|| no_span(&lasts))?;
        let expire_on_resolve = match step.remove("expire_on_resolve") {
            None => false,
            Some(toml::Value::Boolean(flag)) => flag,
            Some(other) => bail!("read `expire_on_resolve`: it is {}, not true or false", other.type_str()),
        };
        if let Some(key) = step.keys().next() {
            bail!("read `{key}`: a silence has `at`, `silence`, `for` and `expire_on_resolve`");
        }
        let matchers = texts.iter().map(|text| Matcher::parse(text)).collect::<Result<_, _>>()?;
        return Ok(Step { at, what: What::Silence { matchers, lasts, expire_on_resolve } });
    }
    let kind =
        text(&mut step, "event")?.context("find `event` or `silence`: write event = \"check.status\"")?;
    let kind: EventType = kind
        .parse()
        .with_context(|| format!("write one of {}", EventType::ALL.map(EventType::as_str).join(", ")))?;
    let watch = text(&mut step, "of_watch")?;
    Ok(Step { at, what: What::Event(Box::new(event(kind, &step, (at, number))?), watch) })
}

fn text(step: &mut toml::Table, key: &str) -> Result<Option<String>> {
    match step.remove(key) {
        None => Ok(None),
        Some(toml::Value::String(text)) => Ok(Some(text)),
        Some(other) => bail!("read `{key}`: it is {}, not a text", other.type_str()),
    }
}
