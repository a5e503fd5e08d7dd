//! `[consul]`: how the Consul agent is reached. What the file says wins over the `CONSUL_*` variables,
//! and they win over the defaults.

use std::time::Duration;

use super::fault::Fault;
use super::reader::{Entry, Table};
use crate::chain::chain;
use crate::consul::{Address, BLOCK_QUERY_WAIT_MAX, Client, EnvError, Secret, Settings, Token};

/// A shorter wait would be a busy loop.
const BLOCK_QUERY_WAIT_MIN: Duration = Duration::from_secs(1);

/// The name and the value of a variable of the environment.
pub(super) type Env<'e> = &'e dyn Fn(&str) -> Option<String>;

/// What the environment says. Each faulty variable is a fault.
pub(super) fn from_env(env: Env<'_>, faults: &mut Vec<Fault>) -> Settings {
    let (settings, errors) = Settings::from_env(env);
    faults.extend(errors.iter().map(|error| match error {
        EnvError::Address(source) => Fault::in_variable("CONSUL_HTTP_ADDR", format!("failed to {source}")),
        EnvError::Switch { variable, .. } => {
            Fault::in_variable(*variable, "this is neither on nor off").help("set it to true, false, 1 or 0")
        }
    }));
    settings
}

/// What only shows when sound settings are put to use, such as a broken certificate. The client names the
/// first fault, so each part is tried alone, too.
pub(super) fn in_use(settings: &Settings) -> Vec<String> {
    let Err(first) = Client::new(settings) else { return Vec::new() };
    let given = || settings.clone();
    let bare = || Settings {
        token: None,
        ca_file: None,
        ca_path: None,
        client_cert: None,
        client_key: None,
        tls_server_name: None,
        // Nobody is trusted, so that nothing is wrong with whom.
        verify: false,
        ..given()
    };
    let parts = [
        Settings { token: given().token, ..bare() },
        Settings { ca_file: given().ca_file, ..bare() },
        Settings { ca_path: given().ca_path, ..bare() },
        Settings { client_cert: given().client_cert, client_key: given().client_key, ..bare() },
        Settings { tls_server_name: given().tls_server_name, ..bare() },
    ];
    let mut problems = vec![chain(&first)];
    for error in parts.iter().filter_map(|part| Client::new(part).err()) {
        let problem = chain(&error);
        if !problems.contains(&problem) {
            problems.push(problem);
        }
    }
    problems
}

/// Overwrites `settings` with what the table says.
pub(super) fn read(table: &mut Table<'_>, settings: &mut Settings, env: Env<'_>) {
    fn set<T>(field: &mut T, value: Option<T>) {
        if let Some(value) = value {
            *field = value;
        }
    }
    fn keep<T>(field: &mut Option<T>, value: Option<T>) {
        if value.is_some() {
            *field = value;
        }
    }
    let waits = BLOCK_QUERY_WAIT_MIN..=BLOCK_QUERY_WAIT_MAX;
    set(&mut settings.address, table.get("address", address));
    keep(&mut settings.token, token(table, env));
    keep(&mut settings.ca_file, table.get("ca_file", Entry::file));
    keep(&mut settings.ca_path, table.get("ca_path", Entry::folder));
    keep(&mut settings.client_cert, table.get("client_cert", Entry::file));
    keep(&mut settings.client_key, table.get("client_key", Entry::file));
    keep(&mut settings.tls_server_name, table.get("tls_server_name", Entry::string));
    set(&mut settings.verify, table.get("tls_verify", Entry::flag));
    set(&mut settings.block_query_wait, table.get("block_query_wait", |entry| entry.duration(waits)));
    // A certificate of the environment may go with a key of the file.
    let cert = settings.client_cert.is_some() || table.contains("client_cert");
    let key = settings.client_key.is_some() || table.contains("client_key");
    if cert != key {
        table.wrong::<()>(
            "`client_cert` and `client_key` belong together, and one of them is missing",
            "write both, or set CONSUL_CLIENT_CERT and CONSUL_CLIENT_KEY",
        );
    }
}

fn address(entry: Entry<'_>) -> Option<Address> {
    let text = entry.string()?;
    match text.parse() {
        Ok(address) => Some(address),
        Err(_) => entry.wrong(
            "this is not the address of a Consul agent",
            "write host:port, http://host:port, https://host:port or unix:///path",
        ),
    }
}

/// The token itself, the file that holds it, or the variable that does.
fn token(table: &mut Table<'_>, env: Env<'_>) -> Option<Token> {
    let value = table.get("token", Entry::string).map(|text| Token::Value(Secret::new(text)));
    let file = table.get("token_file", Entry::file).map(Token::File);
    let variable = table.get("token_env", |entry| {
        let name = entry.string()?;
        match env(&name).filter(|value| !value.is_empty()) {
            Some(value) => Some(Token::Value(Secret::new(value))),
            None if !entry.looks() => None,
            None => entry.wrong(format!("the variable {name:?} is not set"), "set it, or name another one"),
        }
    });
    for (one, other) in [("token", "token_file"), ("token", "token_env"), ("token_file", "token_env")] {
        table.exclude(one, other);
    }
    value.or(file).or(variable)
}
