//! `lictor plugin test`: a plugin in the real sandbox, with events and answers from files.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use lictor_capability::{Answers, Kept, OutputLimits};
use lictor_host::{Event, Limits};
use serde_json::{Map, Value};

use super::case::{self, Case, Events};
use super::trial::{Trial, TrialLimits};
use super::{Cache, PluginConfig, find, json, load, samples, sandbox};
use crate::cli::records::{json_lines, say};
use crate::cli::{counted, runtime};
use crate::config::{duration, nearest, size};
use crate::event::EventData;

/// How the world is scripted, for `--help`; that each kind is read is for the tests of `case` to show.
pub(super) const RESPONSES: &str = r#"A file of --responses has what calls of each kind get for an answer, in
order, anew for each --event; all others succeed:

  responses = [
    { exec = { status = 3, stdout = "", stderr = "no" } },
    { exec = { signal = 9 } },
    { append = {} },
    { http = { status = 503, headers = { Retry-After = "7" }, body = "" } },
    { smtp = { receipt = "250 OK" } },
    { watch = { index = 7, body = "[]" } },
    { kv = { value = "on" } },
    { kv = { keys = ["a", "b"] } },
    { kv_store = { value = "3" } },
    { http = { error = { timed-out = "10s" } } },
    { smtp = { error = { transient = "450 later" } } },
  ]

An error is `refused`, `timed-out` or `failed`; of a mail `refused`,
`transient` or `permanent`. Without answers of its own kv_store is what the
plugin keeps.

A test in tests/NAME.toml of a project has `responses` too, beside `event`,
`data`, `attempt`, `config` and `expect` (`result`, `text`, `needs`, `calls`).
What the plugin keeps stays from one --event to the next; each test begins
with nothing kept."#;

/// What to try a plugin with.
#[derive(Args)]
#[command(after_long_help = RESPONSES)]
pub(in crate::cli) struct TestArgs {
    /// A project's folder, a file.wasm, or one of the plugins that Lictor carries.
    plugin: String,
    /// A type of event such as check.status, of which there is a sample, or a JSON file with an
    /// event; may be repeated. Without it: a sample of each type.
    #[arg(long, value_name = "TYPE|FILE")]
    event: Vec<String>,
    #[command(flatten)]
    config: PluginConfig,
    /// A TOML file with [[responses]], which calls get for an answer; all others succeed.
    #[arg(long, value_name = "FILE")]
    responses: Option<PathBuf>,
    /// How much memory an attempt may take, in MiB.
    #[arg(long, value_name = "MIB", default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=4096))]
    memory: u16,
    /// How much CPU time it may take, such as 5s.
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = time)]
    cpu: Duration,
    /// How long it may take.
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = time)]
    timeout: Duration,
    /// How much is kept of each output stream of a program, such as 64KiB.
    #[arg(long, value_name = "SIZE", default_value = "4KiB", value_parser = space)]
    output: usize,
    /// How much is read of an HTTP response, and of Consul's keys.
    #[arg(long, value_name = "SIZE", default_value = "64KiB", value_parser = space)]
    response: usize,
    /// How much may pass between the plugin and Lictor at once.
    #[arg(long, value_name = "SIZE", default_value = "1MiB", value_parser = space)]
    transfer: usize,
    #[command(flatten)]
    cache: Cache,
    /// One JSON object per line.
    #[arg(long)]
    json: bool,
}

fn time(text: &str) -> Result<Duration, &'static str> {
    duration(text).filter(|time| !time.is_zero()).ok_or("write a time such as 500ms, 5s or 2m")
}

fn space(text: &str) -> Result<usize, &'static str> {
    size(text).and_then(|bytes| usize::try_from(bytes).ok()).ok_or("write a size such as 512B, 64KiB or 1MiB")
}

/// Tries all, shows what came of it, and answers whether all is right.
pub(super) fn test(args: &TestArgs) -> Result<bool> {
    let found = find::find(&args.plugin)?;
    let trials = trials(args)?;
    let mut kept = Kept::default();
    let host = sandbox(&args.cache)?;
    let plugin = load(&host, &found)?;
    let memory = usize::from(args.memory) << 20;
    let (cpu, timeout, transfer) = (args.cpu, args.timeout, args.transfer);
    let limits = TrialLimits {
        call: Limits { memory, cpu, timeout, transfer, ..Limits::default() },
        output: OutputLimits { exec_output: args.output, http_response: args.response },
    };
    let (runtime, attempts, mut wrong) = (runtime()?, trials.len(), 0);
    for trial in trials {
        if trial.expect.is_some() {
            // A test in a file begins with nothing kept, whatever was tested before it.
            kept = Kept::default();
        }
        // What it logs is told meanwhile, so each is shown as it ends.
        let tried = runtime.block_on(trial.run(&plugin, &limits, &mut kept));
        wrong += usize::from(!tried.is_right());
        say(&if args.json { json_lines(&[tried.to_json()])? } else { tried.in_words() })?;
    }
    if !args.json {
        say(&format!("{}, {wrong} failed\n", counted(attempts, "attempt")))?;
    }
    Ok(wrong == 0)
}

/// The tests of a folder; or what the command line says, where it says anything or there are none.
fn trials(args: &TestArgs) -> Result<Vec<Trial>> {
    let config = args.config.read()?;
    let by_hand = config.is_some() || !args.event.is_empty() || args.responses.is_some();
    let tests = Path::new(&args.plugin).join("tests");
    if !by_hand && tests.is_dir() {
        let files = find::files(&tests)?;
        let cases = files.iter().filter(|path| path.extension().is_some_and(|extension| extension == "toml"));
        let trials = cases.map(|path| written(path, &tests)).collect::<Result<Vec<_>>>()?;
        if !trials.is_empty() {
            return Ok(trials);
        }
    }
    let config = config.unwrap_or_else(|| Value::Object(Map::new()));
    let answers = args.responses.as_deref().map_or_else(|| Ok(Answers::default()), case::responses)?;
    let named: Vec<String> =
        if args.event.is_empty() { samples::kinds().map(String::from).collect() } else { args.event.clone() };
    let trial = |name: &String| {
        Ok(Trial {
            events: vec![samples::named(name, Path::new(""))?],
            name: name.clone(),
            attempt: 1,
            config: config.clone(),
            answers: answers.clone(),
            expect: None,
        })
    };
    named.iter().map(trial).collect()
}

/// The test in a file.
fn written(path: &Path, folder: &Path) -> Result<Trial> {
    let Case { event, data, attempt, config, responses, expect } = Case::read(path)?;
    let names = match event {
        Events::One(name) => vec![name],
        Events::Several(names) => names,
    };
    let events = names.iter().map(|name| samples::named(name, folder)).collect::<Result<Vec<_>>>();
    let events = events.and_then(|events| changed(events, &data));
    let events = events.with_context(|| format!("read {}", path.display()))?;
    Ok(Trial {
        name: path.file_stem().unwrap_or_default().to_string_lossy().into_owned(),
        events,
        attempt,
        config: json(&toml::Value::Table(config)),
        answers: case::answers(responses),
        expect: Some(expect),
    })
}

/// The events with these fields in their data.
fn changed(mut events: Vec<Event>, fields: &toml::Table) -> Result<Vec<Event>> {
    for (name, value) in fields {
        let value = json(value);
        // A test of what never comes shows nothing. Of several types one may have it alone.
        let fit = |event: &Event| could_be(event, name, &value);
        if !events.iter().any(|event| fit(event).is_ok()) {
            events.first().map_or(Ok(()), fit)?;
        }
        for event in &mut events {
            let mut data: Map<String, Value> = serde_json::from_str(&event.data)?;
            data.insert(name.clone(), value.clone());
            event.data = serde_json::to_string(&data)?;
        }
    }
    Ok(events)
}

/// Whether an event of this type can have that in its data.
fn could_be(event: &Event, name: &str, value: &Value) -> Result<()> {
    let kind = event.kind.trim_start_matches("lictor.");
    let Some(sample) = samples::sample(kind).transpose()? else { return Ok(()) };
    let mut data: Map<String, Value> = serde_json::from_str(&sample.data)?;
    let Some(usual) = data.insert(name.to_owned(), value.clone()) else {
        let like = nearest(name, data.keys().map(String::as_str).filter(|known| *known != name));
        let help = like.map_or_else(String::new, |like| format!("; did you mean `{like}`?"));
        bail!("read data.{name}: {kind} has no such field{help}");
    };
    let read = serde_json::from_value::<EventData>(data.into()).and_then(serde_json::to_value);
    ensure!(
        read.is_ok_and(|read| read.get(name).is_some()),
        "read data.{name}: {kind} never has {value} there; its sample has {usual}"
    );
    Ok(())
}
