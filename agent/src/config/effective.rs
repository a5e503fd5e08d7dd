//! The configuration that counts: what is written in all files, what the environment says, and the defaults, with
//! secrets hidden.
//!
//! The parts that Lictor runs with are made of it, and it cannot be told from them (a grant is no longer a table), so
//! it is what was written, completed by what `keys` say.
//!
//! Boundary: reads the files; how it is shown is the business of `cli`.
//!
//! Invariant: Lictor reads what this gives as it read the files, but for the secrets.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::consul::Env;
use super::fault::{Fault, Faults};
use super::files;
use super::keys::{DEFAULTS, KEYS, Key, Kind, Unwritten};
use super::source;
use super::{Config, Look, Rejected};
use crate::consul::Settings;

/// What stands in the place of a secret.
const HIDDEN: &str = "***";

/// The keys of `[consul]` for which a variable counts where they are not written.
const VARIABLES: [(&str, &str); 9] = [
    ("address", "CONSUL_HTTP_ADDR"),
    ("token_file", "CONSUL_HTTP_TOKEN_FILE"),
    ("token_env", "CONSUL_HTTP_TOKEN"),
    ("ca_file", "CONSUL_CACERT"),
    ("ca_path", "CONSUL_CAPATH"),
    ("client_cert", "CONSUL_CLIENT_CERT"),
    ("client_key", "CONSUL_CLIENT_KEY"),
    ("tls_server_name", "CONSUL_TLS_SERVER_NAME"),
    ("tls_verify", "CONSUL_HTTP_SSL_VERIFY"),
];

/// The variables that count and are no key.
const OTHER_VARIABLES: [&str; 4] =
    ["CONSUL_HTTP_SSL", "CONSUL_HTTP_AUTH", "CONSUL_NAMESPACE", "CONSUL_PARTITION"];

/// The keys of which one at most is written.
const TOKENS: [&str; 3] = ["token", "token_file", "token_env"];

/// The configuration that counts.
pub(crate) struct Effective {
    /// All keys that have a value.
    pub(crate) all: Value,
    /// Those that are written in a file, where they are written.
    pub(crate) written: Value,
    /// The same, each also in those that inherit it.
    pub(crate) inherited: Value,
    /// The keys of `[consul]` that have their value of a variable, and which.
    pub(crate) of_variables: BTreeMap<&'static str, &'static str>,
    /// The variables that count beside all keys.
    pub(crate) variables: Vec<&'static str>,
}

/// Reads all files that `paths` lead to. What they name need not exist.
///
/// # Errors
/// All faults of the configuration.
pub(crate) fn effective(paths: &[PathBuf], env: Env<'_>) -> Result<Effective, Faults> {
    let rejected = |rejected: Box<Rejected>| rejected.faults;
    let config = Config::load(paths, env, Look::Inside).map_err(rejected)?;
    let mut written = Value::Object(Map::new());
    let mut faults = Vec::new();
    for path in files::find(paths, &mut faults) {
        let mut tree = file(&path).map_err(|fault| Faults::new(vec![fault]))?;
        let base = path.parent().unwrap_or(Path::new(""));
        in_table(KEYS, &mut tree, &mut |kind, value| settle(kind, value, base));
        merge(&mut written, tree);
    }
    let mut inherited = written.clone();
    for section in DEFAULTS {
        inherit(&mut inherited, section.name);
    }
    let mut all = inherited.clone();
    let of_variables = from_variables(&mut all, &config.consul, env);
    complete(KEYS, &mut all);
    let is_set = |name: &str| env(name).is_some_and(|value| !value.is_empty());
    let variables = OTHER_VARIABLES.into_iter().filter(|name| is_set(name)).collect();
    Ok(Effective { all, written, inherited, of_variables, variables })
}

/// It was read a moment ago without a fault.
fn file(path: &Path) -> Result<Value, Fault> {
    let text = files::read(path)?;
    let tree = text
        .parse::<toml::Table>()
        .map_err(|error| Fault::in_file(path, format!("failed to read this file: {}", error.message())))?;
    Ok(json(toml::Value::Table(tree)))
}

/// A date is a text for every plugin, and for nobody else.
fn json(value: toml::Value) -> Value {
    match value {
        toml::Value::String(text) => text.into(),
        toml::Value::Integer(number) => number.into(),
        toml::Value::Float(number) => number.into(),
        toml::Value::Boolean(flag) => flag.into(),
        toml::Value::Datetime(date) => date.to_string().into(),
        toml::Value::Array(items) => items.into_iter().map(json).collect(),
        toml::Value::Table(table) => table.into_iter().map(|(key, value)| (key, json(value))).collect(),
    }
}

/// Gives each rule, or each receiver, the defaults that are written for it. One that it has replaces them as a whole,
/// and a `fallback` is not meant for the receiver that it names.
fn inherit(written: &mut Value, section: &str) {
    let Some(Value::Object(defaults)) = written["defaults"].get(section).cloned() else { return };
    let give = |name: &str, heir: &mut Value| {
        for (key, value) in &defaults {
            if heir.get(key).is_none() && (key != "fallback" || *value != name) {
                heir[key] = value.clone();
            }
        }
    };
    match written.get_mut(section) {
        Some(Value::Array(heirs)) => heirs.iter_mut().for_each(|heir| give("", heir)),
        Some(Value::Object(heirs)) => heirs.iter_mut().for_each(|(name, heir)| give(name, heir)),
        _ => {}
    }
}

/// Tables add up over all files, and each thing is defined once.
fn merge(all: &mut Value, more: Value) {
    match (all, more) {
        (Value::Object(all), Value::Object(more)) => {
            for (key, value) in more {
                match all.get_mut(&key) {
                    Some(known) => merge(known, value),
                    None => drop(all.insert(key, value)),
                }
            }
        }
        (Value::Array(all), Value::Array(more)) => all.extend(more),
        (all, more) => *all = more,
    }
}

/// Hides secrets, and writes a path in full, so that it means the same in another folder.
fn settle(kind: &Kind, value: &mut Value, base: &Path) {
    let is_path = match kind {
        Kind::Path => true,
        Kind::Plugin => value
            .as_str()
            .is_some_and(|text| !super::BUNDLED.contains(&text) && super::receivers::is_path(text)),
        Kind::Secret => return *value = HIDDEN.into(),
        Kind::Free => return hide(value, false),
        _ => false,
    };
    hide_in_urls(value);
    let path = value.as_str().filter(|_| is_path).and_then(|text| std::path::absolute(base.join(text)).ok());
    if let Some(path) = path {
        *value = path.display().to_string().into();
    }
}

/// Has `found` look at each value without parts that a key of this table holds.
fn in_table(keys: &[Key], table: &mut Value, found: &mut dyn FnMut(&Kind, &mut Value)) {
    for key in keys {
        if let Some(value) = table.get_mut(key.name) {
            in_value(&key.kind, value, found);
        }
    }
}

fn in_value(kind: &Kind, value: &mut Value, found: &mut dyn FnMut(&Kind, &mut Value)) {
    match (kind, value) {
        (Kind::List(item) | Kind::Some(item), Value::Array(items)) => {
            for value in items {
                in_value(item, value, found);
            }
        }
        (Kind::Map(item) | Kind::Named(item), Value::Object(values)) => {
            for value in values.values_mut() {
                in_value(item, value, found);
            }
        }
        (Kind::Table(keys) | Kind::Defaults(keys) | Kind::Choice(keys), value) => {
            in_table(keys, value, found);
        }
        (kind, value) => found(kind, value),
    }
}

/// Hides in a plugin's configuration what `source` would hide in a quoted line.
fn hide(value: &mut Value, secret: bool) {
    match value {
        Value::Object(table) => {
            for (key, value) in table {
                if !source::is_pointer(key) {
                    hide(value, secret || source::is_secret(key));
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| hide(item, secret)),
        value if secret => *value = HIDDEN.into(),
        value => hide_in_urls(value),
    }
}

fn hide_in_urls(value: &mut Value) {
    match value {
        Value::Object(table) => table.values_mut().for_each(hide_in_urls),
        Value::Array(items) => items.iter_mut().for_each(hide_in_urls),
        Value::String(text) => {
            for range in source::in_urls(text).into_iter().rev() {
                text.replace_range(range, HIDDEN);
            }
        }
        _ => {}
    }
}

/// Puts in what the variables of the environment say of keys that are not written, and tells which these are.
fn from_variables(all: &mut Value, consul: &Settings, env: Env<'_>) -> BTreeMap<&'static str, &'static str> {
    let mut of_variables = BTreeMap::new();
    for (key, variable) in VARIABLES {
        let section = &all["consul"];
        let is_written = |key: &str| section.get(key).is_some();
        let token_is_written = TOKENS.contains(&key) && TOKENS.iter().any(|key| is_written(key));
        let Some(text) = env(variable).filter(|text| !text.is_empty()) else { continue };
        if is_written(key) || token_is_written {
            continue;
        }
        all["consul"][key] = match key {
            "address" => consul.address.to_string().into(),
            "tls_verify" => consul.verify.into(),
            "token_env" => variable.into(),
            "tls_server_name" => text.into(),
            _ => std::path::absolute(&text).map_or(text, |path| path.display().to_string()).into(),
        };
        of_variables.insert(key, variable);
    }
    of_variables
}

/// Puts in the defaults of the keys that are not there.
fn complete(keys: &[Key], table: &mut Value) {
    for key in keys {
        if table.get(key.name).is_none()
            && key.counts_in(table)
            && let Some(default) = default(key.unwritten)
        {
            table[key.name] = default;
        }
        if let Some(value) = table.get_mut(key.name) {
            complete_value(&key.kind, value);
        }
    }
}

fn complete_value(kind: &Kind, value: &mut Value) {
    match (kind, value) {
        (Kind::Table(keys), table) => complete(keys, table),
        (Kind::Tagged(tagged), table) => {
            complete(tagged.own(&table[tagged.tag]), table);
            complete(tagged.common, table);
        }
        (Kind::List(item) | Kind::Some(item), Value::Array(items)) => {
            for value in items {
                complete_value(item, value);
            }
        }
        (Kind::Map(item) | Kind::Named(item), Value::Object(values)) => {
            for value in values.values_mut() {
                complete_value(item, value);
            }
        }
        (Kind::Any(kinds), table @ Value::Object(_)) => {
            for kind in kinds.iter().filter(|kind| matches!(kind, Kind::Table(_))) {
                complete_value(kind, table);
            }
        }
        _ => {}
    }
}

fn default(unwritten: Unwritten) -> Option<Value> {
    Some(match unwritten {
        Unwritten::Required | Unwritten::HereOrInDefaults | Unwritten::Nothing(_) => return None,
        Unwritten::Text(text) => text.into(),
        Unwritten::Flag(flag) => flag.into(),
        Unwritten::Number(number) => number.into(),
        Unwritten::Texts(texts) => texts.into(),
        Unwritten::Table => Value::Object(Map::new()),
        Unwritten::OneTable(key, word) => {
            Value::Array(vec![[(key.to_owned(), Value::from(word))].into_iter().collect()])
        }
    })
}
