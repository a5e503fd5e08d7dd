//! The handler of a watch of Consul, as a receiver.

use super::options::Options;
use super::toml::{inline, list, quote};

/// How long a handler's program may run: Consul has no bound, so this is a long one.
const COMMAND_TIMEOUT: &str = "10m";
/// How long a call of its receiver may take.
pub(super) const RECEIVER_TIMEOUT: &str = "11m";
/// How long an HTTP handler may take where nothing is said: Consul's default.
const HTTP_TIMEOUT: &str = "10s";

/// The plugin that takes the handler's place, and its configuration.
pub(super) fn handler(
    options: &mut Options,
    find: &dyn Fn(&str) -> Option<String>,
) -> Result<(&'static str, String), String> {
    let (kind, args) = (options.text("handler_type")?, options.texts("args")?);
    let (shell, http) = (options.text("handler")?, options.table("http_handler_config")?);
    match (kind.as_deref(), http) {
        (Some("http"), Some(http)) => Ok(("webhook", webhook(http, &mut options.notes)?)),
        (Some("http"), None) => {
            Err("its handler is of the type \"http\", and it has no `http_handler_config`".into())
        }
        (None | Some("script"), _) => {
            let command = match shell {
                Some(line) => vec!["/bin/sh".to_owned(), "-c".to_owned(), line],
                None => command(args, find, &mut options.notes)?,
            };
            options.notes.push(
                "Its program runs in `/`, with a clean environment: `allow.exec` has `cwd` and `env` for another one."
                    .into(),
            );
            let pairs = [
                ("command", list(command)),
                ("stdin", quote("consul-watch")),
                ("timeout", quote(COMMAND_TIMEOUT)),
            ];
            Ok(("shell", inline(pairs)))
        }
        (Some(other), _) => Err(format!("there is no type of handler {other:?}")),
    }
}

fn command(
    mut args: Vec<String>,
    find: &dyn Fn(&str) -> Option<String>,
    notes: &mut Vec<String>,
) -> Result<Vec<String>, String> {
    let Some(program) = args.first_mut() else { return Err("it has neither `args` nor `handler`".into()) };
    if program.starts_with('/') {
        return Ok(args);
    }
    if let Some(path) = find(program) {
        *program = path;
    } else {
        notes.push(format!("{program:?} was not found on this machine: write where it is."));
        args.insert(0, "/usr/bin/env".into());
    }
    Ok(args)
}

fn webhook(mut http: Options, notes: &mut Vec<String>) -> Result<String, String> {
    let url = http.required("path")?;
    let method = http.text("method")?.unwrap_or_else(|| "POST".into()).to_uppercase();
    let mut headers = Vec::new();
    if let Some(mut header) = http.table("header")? {
        for name in header.all.keys().cloned().collect::<Vec<_>>() {
            headers.push((name.clone(), quote(&header.texts(&name)?.join(", "))));
        }
    }
    let timeout = match http.text("timeout")? {
        None => HTTP_TIMEOUT.to_owned(),
        Some(text) => duration(&text).ok_or_else(|| format!("its timeout {text:?} is no duration"))?,
    };
    if http.flag("tls_skip_verify")? {
        notes.push(
            "Left out: `tls_skip_verify`. Name the authority instead: `allow.http` has `ca_file`.".into(),
        );
    }
    notes.extend(http.all.keys().map(|name| format!("Left out: `{name}`, which Lictor does not know.")));
    let mut pairs = vec![("url", quote(&url)), ("method", quote(&method)), ("body", quote("consul-watch"))];
    let given = headers.iter().map(|(name, value)| (&name[..], value.clone()));
    pairs.extend((!headers.is_empty()).then(|| ("headers", inline(given))));
    pairs.push(("timeout", quote(&timeout)));
    Ok(inline(pairs))
}

/// Go's way to write a duration, `1m30s`, as Lictor's: one number and one unit.
pub(super) fn duration(text: &str) -> Option<String> {
    let (mut rest, mut millis) = (text, 0_u64);
    while !rest.is_empty() {
        let is_number = |c: char| c.is_ascii_digit() || c == '.';
        let digits = rest.find(|c: char| !is_number(c))?;
        let (number, tail) = rest.split_at(digits);
        let letters = tail.find(is_number).unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(letters);
        let factor: u64 = match unit {
            "ms" => 1,
            "s" => 1000,
            "m" => 60_000,
            "h" => 3_600_000,
            _ => return None,
        };
        let (whole, part) = number.split_once('.').unwrap_or((number, ""));
        // No more than a thousandth of a unit is of any use, and shorter ones fit into the number.
        let part = part.get(..3).unwrap_or(part);
        let scale = 10_u64.pow(u32::try_from(part.len()).ok()?);
        let part = if part.is_empty() { 0 } else { part.parse::<u64>().ok()?.checked_mul(factor)? / scale };
        millis = millis.checked_add(whole.parse::<u64>().ok()?.checked_mul(factor)?)?.checked_add(part)?;
        rest = tail;
    }
    match millis {
        0 => None,
        millis if millis % 1000 == 0 => Some(format!("{}s", millis / 1000)),
        millis => Some(format!("{millis}ms")),
    }
}
