//! `lictor plugin list`: which plugins there are, and who uses them.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use serde::Serialize;

use super::find::{self, Found};
use super::{Cache, generous, load, sandbox};
use crate::bundled;
use crate::cli::records::{align, json_lines, say};
use crate::cli::{ConfigArgs, runtime, variable};
use crate::config::{Config, Look, PluginRef, Receiver};

/// Digits of a digest in the table: enough to tell two apart.
const DIGITS: usize = 12;

/// A plugin in the list.
#[derive(Serialize)]
struct Row {
    /// What a receiver writes as `plugin`.
    plugin: String,
    version: String,
    contract: String,
    size: usize,
    sha256: String,
    /// The receivers that run it.
    receivers: Vec<String>,
    summary: String,
    /// Why it cannot be used.
    #[serde(skip_serializing_if = "Option::is_none")]
    fault: Option<String>,
}

pub(super) fn list(config: &ConfigArgs, json: bool) -> Result<()> {
    let receivers = if config.paths.is_empty() {
        Vec::new()
    } else {
        Config::load(&config.paths, &variable, Look::Inside).map_err(|rejected| rejected.faults)?.receivers
    };
    let rows = rows(&receivers)?;
    if json {
        return say(&json_lines(&rows)?);
    }
    let head = ["PLUGIN", "VERSION", "CONTRACT", "SIZE", "SHA256", "RECEIVERS", "SUMMARY"];
    let cells = rows.iter().map(|row| {
        [
            row.plugin.clone(),
            row.version.clone(),
            row.contract.clone(),
            row.size.to_string(),
            row.sha256.chars().take(DIGITS).collect(),
            row.receivers.join(","),
            row.fault.as_ref().map_or_else(|| row.summary.clone(), |fault| format!("unusable: {fault}")),
        ]
    });
    say(&align(&head.map(str::to_owned), cells.collect()))
}

fn rows(receivers: &[Receiver]) -> Result<Vec<Row>> {
    let carried = bundled::NAMES.map(PluginRef::Bundled);
    let mut users: BTreeMap<PluginRef, Vec<String>> =
        carried.into_iter().map(|plugin| (plugin, Vec::new())).collect();
    for receiver in receivers {
        users.entry(receiver.plugin.clone()).or_default().push(receiver.name.clone());
    }
    let host = sandbox(&Cache { cache: None })?;
    let runtime = runtime()?;
    let mut rows = Vec::new();
    for (plugin, receivers) in users {
        let mut row = Row {
            plugin: plugin.to_string(),
            version: String::new(),
            contract: String::new(),
            size: 0,
            sha256: String::new(),
            receivers,
            summary: String::new(),
            fault: None,
        };
        let found = match &plugin {
            PluginRef::Bundled(name) => find::find(name),
            PluginRef::File(path) => find::file(path),
        };
        let filled = found.and_then(|found| {
            row.size = found.wasm.len();
            row.sha256 = found.sha256.clone().into_owned();
            runtime.block_on(fill(&mut row, &host, &found))
        });
        row.fault = filled.err().map(|error| format!("failed to {error:#}"));
        rows.push(row);
    }
    Ok(rows)
}

/// Fills in what the plugin itself says.
async fn fill(row: &mut Row, host: &lictor_host::Host, found: &Found) -> Result<()> {
    row.contract = lictor_host::inspect(&found.wasm)?.contract;
    let description = load(host, found)?.describe(&generous()).await.context("ask it what it is")?;
    row.version = description.version;
    row.summary = description.summary;
    Ok(())
}
