//! An agent's `watches`, as Lictor's configuration: their handlers run unchanged.
//!
//! Each watch becomes a `[[watch]]`, a rule about what it tells, and a receiver that gets the whole list as the handler
//! did. The names of Consul's options are those of its documentation (`watches` of an agent's configuration).

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::handler;
use super::hcl;
use super::options::Options;
use super::toml::{inline, list, quote, table};

/// What a handler may be given at once: a list of the whole datacenter is long.
const TRANSFER: &str = "64MiB";

/// What makes it no configuration of Consul's agent with watches. The message fits after "failed to".
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum MigrateError {
    /// It is neither JSON nor HCL.
    #[error("read {file} as {language}: {problem}")]
    Syntax {
        /// The file.
        file: String,
        /// What it was read as.
        language: &'static str,
        /// What is wrong, and where.
        problem: String,
    },
    /// There is nothing to take over.
    #[error("find `watches` in {0}")]
    NoWatches(String),
    /// A watch that Consul would refuse too.
    #[error("take over watch {number} of {file}: {problem}")]
    Watch {
        /// The file.
        file: String,
        /// Its place among the watches of the file, from 1.
        number: usize,
        /// What is wrong.
        problem: String,
    },
}

/// Writes the configuration that does what the watches of these files (name and text) do. `find` looks for a program
/// that is named without its folder, as a shell would.
///
/// # Errors
/// The first file or watch that cannot be taken over.
pub fn migrate(
    files: &[(String, String)],
    find: &dyn Fn(&str) -> Option<String>,
) -> Result<String, MigrateError> {
    let mut draft = Draft::default();
    for (file, text) in files {
        for (number, watch) in (1..).zip(read(file, text)?) {
            let wrong = |problem| MigrateError::Watch { file: file.clone(), number, problem };
            let options = Options::new(watch);
            draft.add(&format!("{file}, watch {number}"), options, find).map_err(wrong)?;
        }
    }
    Ok(draft.text)
}

/// The watches of a file.
fn read(file: &str, text: &str) -> Result<Vec<Map<String, Value>>, MigrateError> {
    let syntax = |language, problem| MigrateError::Syntax { file: file.to_owned(), language, problem };
    let whole: Value = if text.trim_start().starts_with('{') {
        serde_json::from_str(text).map_err(|error| syntax("JSON", error.to_string()))?
    } else {
        Value::Object(hcl::read(text).map_err(|problem| syntax("HCL", problem))?)
    };
    let no_watches = || MigrateError::NoWatches(file.to_owned());
    // A block of HCL that stands there once is no list.
    let watches = match whole.get("watches").ok_or_else(no_watches)? {
        Value::Array(watches) => watches.clone(),
        one => vec![one.clone()],
    };
    let objects = watches.into_iter().map(|watch| match watch {
        Value::Object(watch) => Ok(watch),
        _ => Err(no_watches()),
    });
    let objects = objects.collect::<Result<Vec<_>, _>>()?;
    if objects.is_empty() { Err(no_watches()) } else { Ok(objects) }
}

/// A `[[watch]]`, and which events of it are of interest.
struct Followed {
    /// What its label is made of.
    label: String,
    pairs: Vec<(&'static str, String)>,
    on: &'static [&'static str],
    /// Consul's filter is about what this watch gives.
    filtered: bool,
    /// What else the events have to have.
    only: Option<String>,
}

/// What changes the list of a service: its instances and their health.
const SERVICE: &[&str] = &["service.registered", "service.deregistered", "service.changed", "check.status"];
const SERVICES: &[&str] = &["service.registered", "service.deregistered", "service.changed"];
const CHECKS: &[&str] =
    &["check.status", "check.registered", "check.deregistered", "maintenance.started", "maintenance.ended"];
const KEYS: &[&str] = &["kv.set", "kv.deleted"];

/// The watches that take the place of one of Consul's; the first one's list is what the handler gets.
fn followed(options: &mut Options) -> Result<Vec<Followed>, String> {
    let one = |label: String, pairs: Vec<(&'static str, String)>, on| {
        Ok(vec![Followed { label, pairs, on, filtered: true, only: None }])
    };
    let kind = options.required("type")?;
    let is = |kind: &str| ("type", quote(kind));
    match &kind[..] {
        "key" => {
            let key = path(&options.required("key")?)?;
            one(format!("key-{key}"), vec![is("key"), ("key", quote(&key))], KEYS)
        }
        "keyprefix" => {
            let prefix = path(&options.required("prefix")?)?;
            one(format!("keys-{prefix}"), vec![is("keyprefix"), ("prefix", quote(&prefix))], KEYS)
        }
        "services" => one("services".into(), vec![is("services")], SERVICES),
        "nodes" => one("nodes".into(), vec![is("nodes")], &["node.joined", "node.left", "node.changed"]),
        "service" => service(options),
        "checks" => match (options.text("service")?, options.text("state")?) {
            (Some(_), Some(_)) => Err("it has `service` and `state`, and Consul takes one of them".into()),
            (Some(service), None) => {
                let pairs = vec![is("checks"), ("service", quote(&service))];
                one(format!("checks-{service}"), pairs, CHECKS)
            }
            (None, Some(state)) if !["any", "passing", "warning", "critical"].contains(&&state[..]) => {
                Err(format!("there is no state {state:?}"))
            }
            (None, Some(state)) if state != "any" => {
                one(format!("checks-{state}"), vec![is("checks"), ("state", quote(&state))], CHECKS)
            }
            _ => one("checks".into(), vec![is("checks"), ("scope", quote("datacenter"))], CHECKS),
        },
        "event" => {
            let name = options.text("name")?;
            let label = name.as_ref().map_or_else(|| "events".to_owned(), |name| format!("event-{name}"));
            let named = name.map(|name| ("name", quote(&name)));
            one(label, [is("event")].into_iter().chain(named).collect(), &["event.fired"])
        }
        "agent_service" => {
            let id = options.required("service_id")?;
            let pairs = vec![is("agent_service"), ("service_id", quote(&id))];
            one(format!("agent-service-{id}"), pairs, SERVICES)
        }
        "connect_roots" => {
            let on = &["root.added", "root.changed", "root.removed"];
            one("connect-roots".into(), vec![is("connect_roots")], on)
        }
        "connect_leaf" => {
            let service = options.required("service")?;
            let pairs = vec![is("connect_leaf"), ("service", quote(&service))];
            one(format!("connect-leaf-{service}"), pairs, &["leaf.issued"])
        }
        other => Err(format!("there is no type {other:?}")),
    }
}

/// Consul's client leaves the first slash out.
fn path(text: &str) -> Result<String, String> {
    let path = text.trim_start_matches('/');
    if path.split('/').any(|part| part == "." || part == "..") {
        return Err(format!("{text:?} has a part that is `.` or `..`, and Consul cannot be asked for that"));
    }
    Ok(path.to_owned())
}

/// Consul's list of a service has the health of each instance in it, and Lictor's watch tells of the instances. So
/// another watch tells of their checks.
fn service(options: &mut Options) -> Result<Vec<Followed>, String> {
    let service = options.required("service")?;
    let (tags, passing_only) = (options.texts("tag")?, options.flag("passingonly")?);
    let mut pairs = vec![("type", quote("service")), ("service", quote(&service))];
    pairs.extend((!tags.is_empty()).then(|| ("tag", list(&tags))));
    if passing_only {
        pairs.push(("passing_only", "true".to_owned()));
        return Ok(vec![Followed {
            label: format!("passing-{service}"),
            pairs,
            on: SERVICES,
            filtered: true,
            only: None,
        }]);
    }
    options.notes.push(
        "Runs when an instance comes, goes or is another, and when a check of one has another result; not when a check \
         only says something else."
            .into(),
    );
    let only = tags.first().map(|tag| inline([("service_tags", quote(tag))]));
    let instances =
        Followed { label: format!("service-{service}"), pairs, on: SERVICE, filtered: true, only };
    let checks = Followed {
        label: format!("checks-{service}"),
        pairs: vec![("type", quote("checks")), ("service", quote(&service))],
        on: SERVICE,
        filtered: false,
        only: None,
    };
    Ok(vec![instances, checks])
}

/// What is written so far.
#[derive(Default)]
struct Draft {
    text: String,
    /// The labels of the watches, by what they ask for: Lictor follows each once.
    labels: BTreeMap<String, String>,
    /// The names of rules, which their receivers have too.
    names: BTreeSet<String>,
}

impl Draft {
    fn add(
        &mut self,
        place: &str,
        mut options: Options,
        find: &dyn Fn(&str) -> Option<String>,
    ) -> Result<(), String> {
        let mut followed = followed(&mut options)?;
        let common = common(&mut options)?;
        for watch in &mut followed {
            watch
                .pairs
                .extend(common.iter().filter(|(name, _)| watch.filtered || *name != "filter").cloned());
        }
        let (plugin, config) = handler::handler(&mut options, find)?;
        options.notes.extend(
            options.all.keys().map(|name| format!("Left out: `{name}`, which Lictor does not know.")),
        );
        let mut blocks = vec![self.head(place, &options.notes)];
        let labels: Vec<_> = followed.iter().map(|watch| self.watch(watch, &mut blocks)).collect();
        let wanted = followed.first().map(|watch| &watch.label[..]).unwrap_or_default();
        let name = unused(wanted, |name| self.names.contains(name));
        self.names.insert(name.clone());
        let on = followed.first().map(|watch| watch.on).unwrap_or_default();
        let only = followed.first().and_then(|watch| watch.only.clone());
        let mut rule = vec![("name", quote(&name)), ("on", list(on)), ("watch", list(labels))];
        rule.extend(only.map(|only| ("match", only)));
        rule.push(("receivers", list([&name])));
        blocks.push(table("[[rules]]", rule));
        let mut receiver = vec![("plugin", quote(plugin)), ("config", config)];
        receiver.extend((plugin == "shell").then(|| ("timeout", quote(handler::RECEIVER_TIMEOUT))));
        receiver.extend([
            ("order", quote("receiver")),
            ("overlap", quote("coalesce")),
            ("limits", inline([("transfer", quote(TRANSFER))])),
        ]);
        blocks.push(table(&format!("[receivers.{}]", quote(&name)), receiver));
        self.text += &blocks.join("\n");
        Ok(())
    }

    fn head(&self, place: &str, notes: &[String]) -> String {
        // Nobody's line break ends the comment.
        let comment = |line: &str| format!("# {}", line.replace(['\n', '\r'], " "));
        let lines = [place].into_iter().chain(notes.iter().map(String::as_str)).map(comment);
        let head = lines.collect::<Vec<_>>().join("\n");
        if self.text.is_empty() { head } else { format!("\n{head}") }
    }

    /// The label of a watch, which is written if it is the first that asks for this.
    fn watch(&mut self, watch: &Followed, blocks: &mut Vec<String>) -> String {
        let question = inline(watch.pairs.iter().cloned());
        if let Some(label) = self.labels.get(&question) {
            return label.clone();
        }
        let label = unused(&watch.label, |label| self.labels.values().any(|known| known == label));
        self.labels.insert(question, label.clone());
        let pairs = [("label", quote(&label))].into_iter().chain(watch.pairs.iter().cloned());
        blocks.push(table("[[watch]]", pairs));
        label
    }
}

/// A name that nothing else has, made of this.
fn unused(wanted: &str, is_used: impl Fn(&str) -> bool) -> String {
    let fits = |c: char| if c.is_ascii_alphanumeric() || "_.-".contains(c) { c } else { '-' };
    let name: String = wanted.trim_end_matches('/').chars().map(fits).collect();
    let numbered = (2_u32..).map(|number| format!("{name}-{number}"));
    let free = [name.clone()].into_iter().chain(numbered).find(|name| !is_used(name));
    free.unwrap_or(name)
}

/// What every type of watch takes.
fn common(options: &mut Options) -> Result<Vec<(&'static str, String)>, String> {
    let mut pairs = Vec::new();
    for name in ["datacenter", "filter", "namespace", "partition"] {
        pairs.extend(options.text(name)?.map(|text| (name, quote(&text))));
    }
    pairs.extend(options.flag("stale")?.then(|| ("stale", "true".to_owned())));
    if options.text("token")?.is_some() {
        options.notes.push("Left out: its token. Lictor has one for all: `[consul] token_file`.".into());
    }
    Ok(pairs)
}

#[cfg(test)]
mod tests;
