//! `allow` of a receiver: what its plugin may do.
//!
//! Boundary: reads the TOML; whether a grant makes sense is known to `lictor_capability` alone.

use std::collections::BTreeMap;
use std::path::PathBuf;

use lictor_capability::{
    AppendGrant, AppendGrantSpec, ExecGrant, ExecGrantSpec, GrantError, HttpGrant, HttpGrantSpec,
    KV_STORE_KEYS, KV_STORE_MAX, KvGrant, KvStoreGrant, SmtpGrant, SmtpGrantSpec,
};

use toml::de::DeValue;

use super::reader::{Entry, Table};

/// All that can be granted.
pub(super) const KEYS: [&str; 7] = ["exec", "append", "http", "smtp", "watch", "kv", "kv_store"];

/// Whoever has more keys than this wants a database.
pub(super) const KV_STORE_KEYS_MAX: u32 = 100_000;

const EXEC: &str = r#"{ command = ["/usr/bin/systemctl", "restart", "*"] }"#;
const APPEND: &str = r#""/var/log/lictor/web.log", or "/var/log/lictor/" for all that is in this folder"#;
const APPEND_TABLE: &str = r#"{ path = "/var/log/lictor/", mode = "0640", owner = "syslog", group = "adm" }"#;
const HTTP: &str = r#"{ url = "https://chat.example.com/hooks/*", methods = ["POST"] }"#;
const SMTP: &str = r#"{ relay = "smtps://smtp.example.com", to = ["*@example.com"] }"#;

const KV: &str = r#""app/web/" for all keys that begin so"#;

/// What the operator wrote of each capability. None: nothing was written, which is not the same as an
/// empty list that allows nothing.
#[derive(Clone, Debug, Default)]
pub struct Allow {
    /// Programs that may be run.
    pub exec: Option<Vec<ExecGrant>>,
    /// Files and folders that may be appended to.
    pub append: Option<Vec<AppendGrant>>,
    /// URLs that may be asked.
    pub http: Option<Vec<HttpGrant>>,
    /// The relay and who may be written to.
    pub smtp: Option<SmtpGrant>,
    /// Whether the list that the rule's watch follows may be read.
    pub watch: Option<bool>,
    /// Keys of Consul that may be read.
    pub kv: Option<Vec<KvGrant>>,
    /// How much may be kept between calls.
    pub kv_store: Option<KvStoreGrant>,
}

/// What can be read, and the keys of what cannot: with one faulty grant it is not known what all of them
/// allow.
pub(super) fn read(table: &mut Table<'_>) -> (Allow, Vec<&'static str>) {
    let allow = Allow {
        exec: table.get("exec", |entry| entry.sound(|entry| entry.list("a list of commands", exec))),
        append: table.get("append", |entry| entry.sound(|entry| entry.list("a list of paths", append))),
        http: table.get("http", |entry| entry.sound(|entry| entry.list("a list of URLs", http))),
        smtp: table.get("smtp", |entry| entry.sound(smtp)),
        watch: table.get("watch", Entry::flag),
        kv: table.get("kv", |entry| entry.sound(|entry| entry.list("a list of beginnings of keys", kv))),
        kv_store: table.get("kv_store", |entry| entry.sound(kv_store)),
    };
    let read = [
        allow.exec.is_some(),
        allow.append.is_some(),
        allow.http.is_some(),
        allow.smtp.is_some(),
        allow.watch.is_some(),
        allow.kv.is_some(),
        allow.kv_store.is_some(),
    ];
    let unread = KEYS.into_iter().zip(read).filter(|(key, is_read)| table.unread(key, *is_read));
    (allow, unread.map(|(key, _)| key).collect())
}

fn exec(entry: Entry<'_>) -> Option<ExecGrant> {
    let spec = entry.table("an exec grant", |table| {
        let example = "command = [\"/usr/bin/systemctl\", \"restart\", \"*\"]";
        let command = table.require("command", example, |entry| {
            entry.list("a program and its arguments", Entry::any_string)
        });
        let cwd = table.get("cwd", Entry::path);
        let env = table.get("env", |entry| strings(entry, "a list of variables"));
        let (user, group) = (table.get("user", Entry::string), table.get("group", Entry::string));
        Some(ExecGrantSpec { command: command?, cwd, env: env.unwrap_or_default(), user, group })
    })??;
    granted(entry, ExecGrant::from_spec(spec), EXEC)
}

fn append(entry: Entry<'_>) -> Option<AppendGrant> {
    let spec = match entry.value() {
        DeValue::String(_) => AppendGrantSpec { path: entry.string()?, ..AppendGrantSpec::default() },
        DeValue::Table(_) => entry.table("an append grant", append_table)??,
        _ => {
            return entry
                .expected("a path, or a table with one", format!("write {APPEND}, or {APPEND_TABLE}"));
        }
    };
    let example = if matches!(entry.value(), DeValue::Table(_)) { APPEND_TABLE } else { APPEND };
    granted(entry, AppendGrant::from_spec(spec), example)
}

fn append_table(table: &mut Table<'_>) -> Option<AppendGrantSpec> {
    let path = table.require("path", "path = \"/var/log/lictor/\"", Entry::string);
    let mode = table.get("mode", Entry::string);
    let (owner, group) = (table.get("owner", Entry::string), table.get("group", Entry::string));
    let sync = table.get("sync", Entry::flag).unwrap_or(false);
    Some(AppendGrantSpec { path: path?, mode, owner, group, sync })
}

fn http(entry: Entry<'_>) -> Option<HttpGrant> {
    let spec = entry.table("an http grant", |table| {
        let url = table.require("url", "url = \"https://chat.example.com/hooks/*\"", Entry::string);
        let methods = table.get("methods", |entry| entry.some("a list of methods", Entry::string));
        let header_files = table.get("header_files", header_files);
        let ca_file = table.get("ca_file", Entry::file);
        let (methods, header_files) = (methods.unwrap_or_default(), header_files.unwrap_or_default());
        let local = table.get("local", Entry::flag).unwrap_or(false);
        Some(HttpGrantSpec { url: url?, methods, header_files, ca_file, local })
    })??;
    granted(entry, HttpGrant::parse(spec), HTTP)
}

fn header_files(entry: Entry<'_>) -> Option<BTreeMap<String, PathBuf>> {
    let files = entry
        .map("a table of headers and files", |name, file| Some((name.text().to_owned(), file.file()?)))?;
    Some(files.into_iter().collect())
}

fn smtp(entry: Entry<'_>) -> Option<SmtpGrant> {
    let spec = entry.table("`allow.smtp`", |table| {
        let relay = table.require("relay", "relay = \"smtps://smtp.example.com\"", Entry::string);
        let username = table.get("username", Entry::string);
        let password_file = table.get("password_file", Entry::file);
        let ca_file = table.get("ca_file", Entry::file);
        let from =
            table.get("from", |entry| entry.one_or_some("an address or a list of them", Entry::string));
        let to = table.get("to", |entry| strings(entry, "a list of addresses"));
        // What is written and cannot be used was told, and is not missing.
        let half_login = table.unread("username", username.is_some())
            || table.unread("password_file", password_file.is_some());
        let (username, password_file) = if half_login { (None, None) } else { (username, password_file) };
        Some(SmtpGrantSpec {
            relay: relay?,
            username,
            password_file,
            ca_file,
            from: from.unwrap_or_default(),
            to: to.unwrap_or_default(),
        })
    })??;
    let grant = granted(entry, SmtpGrant::parse(spec), SMTP)?;
    if grant.is_without_relay() {
        let problem = "the relay is still to be named: no mail server has this name, so no mail is sent";
        entry.warn(problem, "name the one that takes your mail");
    }
    Some(grant)
}

fn kv(entry: Entry<'_>) -> Option<KvGrant> {
    let prefix = entry.string()?;
    granted(entry, KvGrant::parse(&prefix).map_err(|error| vec![error]), KV)
}

fn kv_store(entry: Entry<'_>) -> Option<KvStoreGrant> {
    entry.table("`allow.kv_store`", |table| {
        let size = table.require("size", "size = \"1MiB\"", |entry| entry.size(1..=KV_STORE_MAX));
        let keys = table.get("keys", |entry| entry.number(1..=KV_STORE_KEYS_MAX));
        Some(KvStoreGrant { size: size?, keys: keys.unwrap_or(KV_STORE_KEYS) })
    })?
}

fn strings(entry: Entry<'_>, what: &str) -> Option<Vec<String>> {
    entry.list(what, Entry::string)
}

fn granted<T>(entry: Entry<'_>, parsed: Result<T, Vec<GrantError>>, example: &str) -> Option<T> {
    let told = |errors: Vec<GrantError>| {
        for error in errors {
            entry.wrong::<()>(format!("failed to {error}"), format!("write {example}, for example"));
        }
    };
    parsed.map_err(told).ok()
}
