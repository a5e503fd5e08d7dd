//! Runs a command for each delivery.
//!
//! The command reads the delivery from `LICTOR_*` variables and its standard input. Exit 0 is success, 75
//! (`EX_TEMPFAIL`) asks for another attempt, all else is final. With `stdin = "consul-watch"` it is what a handler
//! of a watch of Consul is: it reads the whole list, and each failure asks for another attempt, since such a handler
//! knows nothing of 75.
//!
//! Invariant: nothing of an event becomes part of the command line, and no shell reads it.

use std::{collections::BTreeMap, time::Duration};

use lictor_sdk::{
    Delivery, Description, Failure, Plugin, Request, duration,
    exec::{Command, Output, Status},
    watch,
};
use serde::Deserialize;
use serde_json::{Map, Value};

/// BSD's `EX_TEMPFAIL`.
const EXIT_TEMPORARY: i32 = 75;
/// Bytes of a variable's value. Linux takes 128 KiB and refuses to start a command with a longer one; a value of a
/// key may be one. Standard input has all of it.
const VARIABLE_MAX: usize = 64 << 10;
/// How much of the command's last words a failure quotes, in characters.
const LAST_WORDS: usize = 500;

/// The plugin.
pub struct Shell;

/// The receiver's `config`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    command: Vec<String>,
    #[serde(default = "default_timeout", with = "duration")]
    timeout: Duration,
    #[serde(default)]
    stdin: Stdin,
}

#[derive(Default, Deserialize, PartialEq)]
#[serde(rename_all = "kebab-case")]
enum Stdin {
    #[default]
    Event,
    None,
    ConsulWatch,
}

fn default_timeout() -> Duration {
    Duration::from_secs(30)
}

impl Plugin for Shell {
    type Config = Config;

    fn describe() -> Description {
        Description {
            name: "shell".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            summary: env!("CARGO_PKG_DESCRIPTION").into(),
            config_schema: include_str!("../config.schema.json").into(),
        }
    }

    fn requests(config: &Config) -> Result<Vec<Request>, String> {
        match config.command.first() {
            Some(program) if program.starts_with('/') => {}
            Some(program) => return Err(format!("command[0]: {program:?} is no absolute path")),
            None => return Err("command: expected the program's absolute path, then its arguments".into()),
        }
        let mut requests = vec![Request::exec(&config.command, config.timeout)];
        requests.extend((config.stdin == Stdin::ConsulWatch).then_some(Request::Watch));
        Ok(requests)
    }

    fn handle(delivery: &Delivery, config: &Config) -> Result<String, Failure> {
        let mut command = Command::new(&config.command).timeout(config.timeout);
        for (name, value) in environment(delivery)? {
            command = command.env(name, value.replace('\0', ""));
        }
        match config.stdin {
            Stdin::Event => command = command.stdin(format!("{}\n", delivery.to_json()?)),
            Stdin::None => {}
            Stdin::ConsulWatch => {
                let watch::Answer { index, body } = watch::current()?;
                command =
                    command.env("CONSUL_INDEX", index.to_string()).stdin([body, b"\n".to_vec()].concat());
            }
        }
        let output = command.run()?;
        match output.status {
            Status::Code(0) => Ok(output.status.to_string()),
            Status::Code(EXIT_TEMPORARY) => Err(Failure::transient(explain(&output))),
            _ if config.stdin == Stdin::ConsulWatch => Err(Failure::transient(explain(&output))),
            _ => Err(Failure::permanent(explain(&output))),
        }
    }
}

lictor_sdk::export!(Shell);

/// The variables: the delivery's own, and the first event's data as far as it is scalar and not too long for a
/// variable. Data never takes the place of the delivery's own.
fn environment(delivery: &Delivery) -> Result<BTreeMap<String, String>, Failure> {
    let event = delivery.first()?;
    let attempt = delivery.attempt.to_string();
    let own = [
        ("DELIVERY_ID", &delivery.id),
        ("ATTEMPT", &attempt),
        ("RULE", &delivery.rule),
        ("RECEIVER", &delivery.receiver),
        ("ENVIRONMENT", &delivery.environment),
        ("NODE", &delivery.node),
        ("EVENT_ID", &event.id),
        ("EVENT_TYPE", &event.type_),
        ("EVENT_SUBJECT", &event.subject),
        ("EVENT_TIME", &event.time),
    ];
    let data: Map<String, Value> = event.json()?;
    let scalars = data.iter().filter_map(|(name, value)| Some((variable(name), scalar(value)?)));
    let mut variables: BTreeMap<_, _> = scalars.collect();
    variables.extend(own.map(|(name, value)| (format!("LICTOR_{name}"), value.clone())));
    Ok(variables)
}

/// `check_id` becomes `LICTOR_CHECK_ID`; what no variable's name may hold becomes `_`.
fn variable(name: &str) -> String {
    let upper = name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' });
    format!("LICTOR_{}", upper.collect::<String>())
}

fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text).filter(|text| text.len() <= VARIABLE_MAX).cloned(),
        Value::Bool(_) | Value::Number(_) => Some(value.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// How it ended, and the end of what it said.
fn explain(output: &Output) -> String {
    let said = [output.stderr.trim(), output.stdout.trim()].into_iter().find(|said| !said.is_empty());
    let Some(said) = said else { return output.status.to_string() };
    let start = said.char_indices().rev().nth(LAST_WORDS - 1).map_or(0, |(start, _)| start);
    format!("{}: {}", output.status, &said[start..])
}

#[cfg(test)]
mod tests;
