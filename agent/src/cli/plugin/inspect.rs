//! `lictor plugin inspect`: what a plugin is, before anybody trusts it.

use anyhow::{Context, Result, anyhow};
use lictor_capability::{Grants, Request, allow_lines};
use lictor_host::{Description, Inspected};
use serde::Serialize;
use serde_json::{Map, Value};

use super::find::{self, Found};
use super::{Cache, PluginConfig, generous, load, sandbox};
use crate::cli::records::{json_lines, one_line, say};
use crate::cli::runtime;

/// Bytes of a line that is made of a plugin's schema.
const SCHEMA_LINE: usize = 1000;

/// All that is known of a component.
#[derive(Serialize)]
struct About {
    name: String,
    version: String,
    summary: String,
    contract: String,
    /// The capabilities that it could ask for at most.
    imports: Vec<&'static str>,
    size: usize,
    /// Bytes of it that only a debugger would read.
    debug_info: usize,
    sha256: String,
    /// JSON; a text, if the plugin wrote something else.
    config_schema: Value,
    /// Lictor carries it.
    carried: bool,
    /// Only for a configuration.
    #[serde(skip_serializing_if = "Option::is_none")]
    needs: Option<Needs>,
}

/// What a plugin needs for a configuration.
#[derive(Serialize)]
struct Needs {
    /// In words, as `lictor validate` has them.
    grants: Vec<String>,
    /// As lines of a receiver.
    allow: Vec<String>,
}

pub(super) fn inspect(name: &str, config: &PluginConfig, cache: &Cache, json: bool) -> Result<()> {
    let found = find::find(name)?;
    let config = config.read()?;
    // Before it is compiled: that may take long, and says less.
    let inspected = lictor_host::inspect(&found.wasm).with_context(|| format!("inspect {}", found.shown))?;
    let host = sandbox(cache)?;
    let plugin = load(&host, &found)?;
    let limits = generous();
    let (description, requests) = runtime()?.block_on(async {
        let description = plugin.describe(&limits).await.context("ask the plugin what it is")?;
        let Some(config) = config else { return anyhow::Ok((description, None)) };
        Ok((description, Some(plugin.requests(&config.to_string(), &limits).await)))
    })?;
    let (needs, refused) = match requests.transpose() {
        Ok(requests) => (requests.as_deref().map(needs).transpose()?, None),
        Err(error) => (None, Some(error)),
    };
    let about = about(&found, inspected, description, needs);
    if json {
        say(&json_lines(&[about])?)?;
    } else {
        say(&about.in_words())?;
    }
    refused.map_or(Ok(()), |error| Err(anyhow!("have the plugin accept this configuration: {error}")))
}

fn needs(requests: &[Request]) -> Result<Needs> {
    let grants = Grants::for_requests(requests).map_err(|faults| {
        let faults: Vec<_> = faults.iter().map(ToString::to_string).collect();
        anyhow!("find grants for what the plugin needs: {}", faults.join("; "))
    })?;
    Ok(Needs { grants: grants.in_words(), allow: allow_lines(requests) })
}

fn about(found: &Found, inspected: Inspected, description: Description, needs: Option<Needs>) -> About {
    let Description { name, version, summary, config_schema } = description;
    let config_schema = serde_json::from_str(&config_schema).unwrap_or(Value::String(config_schema));
    About {
        name,
        version,
        summary,
        contract: inspected.contract,
        imports: inspected.imports,
        size: found.wasm.len(),
        debug_info: inspected.debug_info,
        sha256: found.sha256.clone().into_owned(),
        config_schema,
        carried: found.carried,
        needs,
    }
}

impl About {
    fn in_words(&self) -> String {
        let Self { name, version, summary, contract, size, debug_info, sha256, .. } = self;
        let debug_info = match debug_info {
            0 => String::new(),
            bytes => format!(", {bytes} of them for a debugger: build it with strip = \"debuginfo\""),
        };
        let imports: Vec<_> = self.imports.iter().map(|import| may_ask(import)).collect();
        let imports = if imports.is_empty() { vec!["for nothing"] } else { imports };
        let mut lines = vec![
            format!("plugin     {name} {version}"),
            format!("does       {summary}"),
            format!("contract   {contract}"),
            format!("size       {size} bytes{debug_info}"),
            format!("sha256     {sha256}"),
            format!("may ask    {}", imports.join("\n           ")),
            String::new(),
        ];
        match &self.config_schema["properties"] {
            Value::Object(settings) => {
                lines.push("Its configuration".into());
                lines.extend(settings.iter().map(|(name, schema)| self.setting(name, schema)));
            }
            _ => lines.push(short(&format!("Its configuration: {}", self.config_schema))),
        }
        if let Some(Needs { grants, allow }) = &self.needs {
            lines.extend([String::new(), "With this configuration it needs what these grants give".into()]);
            let nothing = grants.is_empty().then(|| "  nothing".to_owned());
            lines.extend(grants.iter().map(|grant| format!("  {grant}")).chain(nothing));
            if !allow.is_empty() {
                let given = "Lictor carries this plugin and gives it these, but for the relay of mails";
                let written = if self.carried { given } else { "In its receiver they are" };
                lines.extend([String::new(), written.into()]);
                lines.extend(allow.iter().map(|line| format!("  {line}")));
            }
        }
        lines.join("\n") + "\n"
    }

    /// A setting on one line: `url (string, required): Where to send to.`
    fn setting(&self, name: &str, schema: &Value) -> String {
        let empty = Map::new();
        let schema = schema.as_object().unwrap_or(&empty);
        let required = self.config_schema["required"].as_array();
        let required = required.is_some_and(|names| names.iter().any(|required| required == name));
        let kind = match (schema.get("type").and_then(Value::as_str), schema.get("enum")) {
            (Some(kind), _) => kind.to_owned(),
            (None, Some(Value::Array(words))) => {
                words.iter().map(ToString::to_string).collect::<Vec<_>>().join(" | ")
            }
            _ => "any".into(),
        };
        let default = schema.get("default").map(|default| format!(", default {default}"));
        let needed = if required { ", required".into() } else { default.unwrap_or_default() };
        let about = schema.get("description").and_then(Value::as_str).map(|text| format!(": {text}"));
        short(&format!("  {name} ({kind}{needed}){}", about.unwrap_or_default()))
    }
}

/// One line of what a plugin's schema says, which may be as long as it likes.
fn short(text: &str) -> String {
    let line = one_line(text);
    if line.len() <= SCHEMA_LINE {
        return line;
    }
    format!("{}… (`--json` has all of it)", &line[..line.floor_char_boundary(SCHEMA_LINE)])
}

/// What importing a capability lets a plugin ask for.
fn may_ask(import: &str) -> &'static str {
    match import {
        "exec" => "to run programs",
        "append" => "to append to files",
        "http" => "to send HTTP requests",
        "smtp" => "to send mail",
        "watch" => "to read the whole list that the rule's watch follows",
        "kv" => "to read keys of Consul",
        "kv-store" => "to keep values between its calls",
        _ => "to write to Lictor's log",
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::config::{Config, Look};

    #[test]
    fn a_long_line_of_a_schema_is_cut() {
        assert_eq!(short("a\nb"), "a b");
        let long = short(&"ü".repeat(SCHEMA_LINE));
        assert!(long.len() < SCHEMA_LINE + 40 && long.ends_with("ü… (`--json` has all of it)"), "{long}");
    }

    proptest! {
        /// Whatever a plugin asks for, the lines for its receiver are TOML that says the same, or no grant is told.
        #[test]
        fn what_is_told_can_be_taken_over(command in ".{0,8}", argument in ".{0,12}", path in ".{0,12}", url in ".{0,12}", prefix in ".{0,12}", size in 1_u64..5000) {
            let requests = [
                Request::Exec { command: vec![format!("/{command}"), argument], timeout: std::time::Duration::from_secs(1) },
                Request::Append { path: format!("/{path}") },
                Request::Http { method: "PUT".into(), url: format!("https://h/{url}") },
                Request::Smtp { from: "a@b.c".into(), to: vec!["x@b.c".into()] },
                Request::Watch,
                Request::Kv { prefix },
                Request::KvStore { size },
            ];
            let Ok(needs) = needs(&requests) else { return Ok(()) };
            let text = format!("[receivers.x]\nplugin = 'file'\n{}", needs.allow.join("\n"));
            let folder = tempfile::tempdir().unwrap();
            let file = folder.path().join("lictor.toml");
            std::fs::write(&file, &text).unwrap();
            let config = Config::load(&[file], &|_| None, Look::Inside);
            let receivers = config.map_err(|rejected| rejected.faults.to_string() + &text).unwrap().receivers;
            let allow = receivers[0].allow.clone();
            let grants = Grants {
                exec: allow.exec.unwrap(),
                append: allow.append.unwrap(),
                http: allow.http.unwrap(),
                smtp: allow.smtp,
                watch: allow.watch.unwrap(),
                kv: allow.kv.unwrap(),
                kv_store: allow.kv_store,
            };
            for request in &requests {
                prop_assert!(grants.covers(request).is_ok(), "{text}");
            }
        }
    }
}
