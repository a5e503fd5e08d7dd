//! `lictor plugin`: for those who write plugins, and for those who decide what runs.

mod calls;
mod case;
mod find;
mod inspect;
mod list;
mod new;
pub(super) mod samples;
mod sdk;
mod test;
mod trial;

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Args, Subcommand};
use lictor_host::{Host, HostSettings, Limits, Plugin};
use serde_json::{Map, Value};

use super::{ConfigArgs, EXIT_CONFIG, EXIT_NOT_THERE, failure, refusal};
use crate::config::Faults;
use crate::regular;
use find::Found;

#[derive(Subcommand)]
pub(super) enum Verb {
    /// Say what a plugin is, what it could ask for, and what it needs for a configuration.
    Inspect {
        /// A file.wasm, a project's folder, one with an OCI image layout, or one of the plugins that Lictor carries.
        plugin: String,
        #[command(flatten)]
        config: PluginConfig,
        #[command(flatten)]
        cache: Cache,
        /// One JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Show the plugins that Lictor carries, and with -c also those of a configuration.
    List {
        #[command(flatten)]
        config: ConfigArgs,
        /// One JSON object per line.
        #[arg(long)]
        json: bool,
    },
    /// Make a folder with a plugin that builds, to begin with.
    New(new::NewArgs),
    /// Run a plugin in its sandbox, where calls are answered and nothing is done; exit 1 when one fails.
    ///
    /// A folder's own tests (tests/*.toml) are run, unless an event, a configuration or responses are given.
    Test(test::TestArgs),
}

/// A receiver's `config`.
#[derive(Args)]
pub(super) struct PluginConfig {
    /// A TOML file with what stands in `config = { … }` of a receiver.
    #[arg(long, value_name = "FILE", conflicts_with = "config_json")]
    config: Option<PathBuf>,
    /// The same as a JSON object.
    #[arg(long, value_name = "JSON")]
    config_json: Option<String>,
}

/// Where compiled code is kept.
#[derive(Args)]
pub(super) struct Cache {
    /// Keep the compiled plugin in this folder, which is made if it is missing: one in Python takes 15 s to compile.
    #[arg(long, value_name = "FOLDER")]
    cache: Option<PathBuf>,
}

pub(super) fn plugin(verb: &Verb) -> ExitCode {
    let done = match verb {
        Verb::Inspect { plugin, config, cache, json } => inspect::inspect(plugin, config, cache, *json),
        Verb::List { config, json } => list::list(config, *json),
        Verb::New(args) => new::new(args),
        Verb::Test(args) => match test::test(args) {
            Ok(true) => Ok(()),
            Ok(false) => return ExitCode::from(EXIT_NOT_THERE),
            Err(error) => Err(error),
        },
    };
    let Err(error) = done else { return ExitCode::SUCCESS };
    let (text, code) = match error.downcast_ref::<Faults>() {
        Some(faults) => (refusal(faults), EXIT_CONFIG),
        None => (failure(&error), EXIT_NOT_THERE),
    };
    drop(io::stderr().write_all(text.as_bytes()));
    ExitCode::from(code)
}

impl PluginConfig {
    /// What was given, if anything.
    fn read(&self) -> Result<Option<Value>> {
        let read = match (&self.config, &self.config_json) {
            (Some(path), _) => {
                let text = regular::text(path).with_context(|| format!("read {}", path.display()))?;
                let table: toml::Table =
                    toml::from_str(&text).with_context(|| format!("read {}", path.display()))?;
                json(&toml::Value::Table(table))
            }
            (None, Some(text)) => serde_json::from_str(text).context("read --config-json")?,
            (None, None) => return Ok(None),
        };
        anyhow::ensure!(read.is_object(), "read --config-json: it is no JSON object");
        Ok(Some(read))
    }
}

/// TOML as a plugin gets it.
fn json(value: &toml::Value) -> Value {
    match value {
        toml::Value::String(text) => text.as_str().into(),
        toml::Value::Integer(number) => (*number).into(),
        toml::Value::Float(number) => (*number).into(),
        toml::Value::Boolean(flag) => (*flag).into(),
        toml::Value::Datetime(date) => date.to_string().into(),
        toml::Value::Array(list) => list.iter().map(json).collect(),
        toml::Value::Table(table) => {
            let fields = table.iter().map(|(name, value)| (name.clone(), json(value)));
            Value::Object(fields.collect::<Map<_, _>>())
        }
    }
}

/// A sandbox for a look.
fn sandbox(cache: &Cache) -> Result<Host> {
    let settings = HostSettings { cache_dir: cache.cache.clone(), workers: 1, instances: 4 };
    Host::new(settings).context("start the sandbox")
}

fn load(host: &Host, found: &Found) -> Result<Plugin> {
    host.load_known(&found.wasm, &found.sha256).with_context(|| format!("load {}", found.shown))
}

/// For questions that no receiver asks: enough for an interpreter to start.
fn generous() -> Limits {
    Limits { memory: 256 << 20, cpu: std::time::Duration::from_secs(10), ..Limits::default() }
}
