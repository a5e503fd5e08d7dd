//! From a receiver's configuration to something that can be called: its plugin is loaded, and what that
//! says it needs is held against what it is granted.
//!
//! Invariants: every receiver is looked at, so that all faults are told at once. Nothing is told that may
//! only follow from a part of it that is `unread`, or from a setting that was left out: what is told is true.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use lictor_capability::{
    AppendGrant, Capabilities, ExecGrant, GrantError, Grants, HttpClients, HttpGrant, HttpGrantSpec,
    OutputLimits, Request, read_roots_anew,
};
use lictor_host::{Host, Limits, LogRate, Plugin, RequestsError};
use serde_json::Value;

use crate::bundled;
use crate::chain::chain;
use crate::config::{Fault, Faults, Look, PluginRef, Receiver, nearest};
use crate::{oci, regular};

mod surroundings;

/// A receiver that can be called.
pub(crate) struct Ready<'a> {
    pub(crate) config: &'a Receiver,
    pub(crate) plugin: Plugin,
    /// The plugin's configuration as it gets it: a JSON object.
    pub(crate) json: Arc<str>,
    pub(crate) capabilities: Capabilities,
    pub(crate) limits: Limits,
}

/// Makes all receivers ready, or says all that is wrong with them.
pub(crate) async fn ready<'a>(
    receivers: &'a [Receiver],
    host: &Arc<Host>,
    look: Look,
) -> Result<Vec<Ready<'a>>, Faults> {
    // All receivers of a configuration share them, and the clients that trust them.
    read_roots_anew();
    let mut clients = HttpClients::default();
    let mut loaded = BTreeMap::<_, Plugin>::new();
    let mut built = Vec::new();
    let mut faults = Vec::new();
    for receiver in receivers {
        let plugin = match loaded.entry(&receiver.plugin) {
            Entry::Occupied(entry) => pinned(receiver, entry.get().digest()).map(|()| entry.get().clone()),
            Entry::Vacant(entry) => load(host, receiver).await.map(|plugin| entry.insert(plugin).clone()),
        };
        match plugin {
            Ok(plugin) => match make(receiver, plugin, &mut clients, look).await {
                Ok(ready) => built.push(ready),
                Err(found) => faults.extend(found),
            },
            Err(fault) => faults.push(fault),
        }
    }
    if faults.is_empty() { Ok(built) } else { Err(Faults::new(faults)) }
}

/// Reads and compiles a plugin, beside this thread: a signal may come meanwhile. One that is pinned to other
/// code is not even compiled.
async fn load(host: &Arc<Host>, receiver: &Receiver) -> Result<Plugin, Fault> {
    let fault = |problem: String, help: &str| Fault::at(receiver.places.plugin.clone(), problem).help(help);
    let (wasm, digest) = match &receiver.plugin {
        PluginRef::Bundled(name) => {
            let help = "build it anew, or name another plugin";
            let plugin = bundled::get(name)
                .ok_or_else(|| fault(format!("this Lictor was built without {name}"), help))?;
            (Cow::Borrowed(plugin.wasm), Cow::Borrowed(plugin.sha256))
        }
        PluginRef::File(path) => {
            let wasm = read(path).map_err(|(problem, help)| fault(problem, help))?;
            let digest = lictor_host::digest(&wasm);
            (Cow::Owned(wasm), Cow::Owned(digest))
        }
    };
    pinned(receiver, &digest)?;
    let host = Arc::clone(host);
    let loaded = tokio::task::spawn_blocking(move || host.load_known(&wasm, &digest)).await;
    let help = "name a component of lictor's plugin interface; lictor-sdk makes them for wasm32-wasip2";
    match loaded {
        Ok(Ok(plugin)) => Ok(plugin),
        Ok(Err(error)) => Err(fault(format!("failed to load the plugin: {}", chain(&error)), help)),
        Err(error) => Err(fault(format!("failed to load the plugin: {}", chain(&error)), help)),
    }
}

/// The component in a file, or in a folder as tools of registries leave it; or why there is none.
fn read(path: &Path) -> Result<Vec<u8>, (String, &'static str)> {
    if path.is_dir() {
        let help = "copy it there anew, with `oras copy --to-oci-layout` for example, or name another folder";
        return oci::component(path).map_err(|error| (format!("failed to {}", chain(&error)), help));
    }
    let help = "put a component there, or name another file";
    let read = regular::whole(path, lictor_host::COMPONENT_MAX as u64);
    read.map_err(|error| (format!("failed to read the plugin {}: {error}", path.display()), help))
}

/// Is this the code that the receiver is pinned to?
fn pinned(receiver: &Receiver, digest: &str) -> Result<(), Fault> {
    let Some(pin) = receiver.sha256.as_deref().filter(|pin| *pin != digest) else { return Ok(()) };
    let fault = Fault::at(receiver.places.sha256.clone(), format!("the plugin's SHA-256 is not {pin}"));
    Err(fault.help(format!(
        "it is {digest}; write that if you trust this file, else restore the one that you pinned"
    )))
}

async fn make<'a>(
    receiver: &'a Receiver,
    plugin: Plugin,
    clients: &mut HttpClients,
    look: Look,
) -> Result<Ready<'a>, Vec<Fault>> {
    let places = &receiver.places;
    let limits = limits(receiver);
    let (mut requests, mut faults) = ask(receiver, &plugin, &limits).await;
    faults.extend(too_long(receiver, &requests));
    if look == Look::Everywhere {
        faults.extend(surroundings::missing(receiver, &requests));
    }
    requests.retain(|request| !receiver.unread.allow.contains(&key(request)));
    let grants = match grants(receiver, &requests) {
        Ok(grants) => grants,
        Err(errors) => {
            let problem = |error| format!("failed to grant what this needs: {error}");
            faults.extend(errors.into_iter().map(|error| Fault::at(places.config.clone(), problem(error))));
            return Err(faults);
        }
    };
    faults.extend(uncovered(receiver, &grants, &requests));
    if look == Look::Everywhere {
        faults.extend(at_allow(receiver, grants.unknown_accounts()));
    }
    let output =
        OutputLimits { exec_output: receiver.limits.output, http_response: receiver.limits.response };
    match Capabilities::new(grants, output, clients) {
        Ok(capabilities) if faults.is_empty() => {
            let json = receiver.config.to_string().into();
            Ok(Ready { config: receiver, plugin, json, capabilities, limits })
        }
        Ok(_) => Err(faults),
        Err(error) => {
            faults.push(Fault::at(places.allow.clone(), format!("failed to {error}")));
            Err(faults)
        }
    }
}

fn limits(receiver: &Receiver) -> Limits {
    let crate::config::Limits { memory, cpu, log, log_rate, transfer, .. } = receiver.limits;
    Limits { timeout: receiver.timeout, cpu, memory, log, log_rate: LogRate::new(log_rate), transfer }
}

/// Asks the plugin what it needs, and what is wrong with its configuration. It names one fault at a time, so
/// it is asked again without the setting that it named, until it has named all. Of what it needs only that is
/// given which is certain, whatever was left out.
async fn ask(receiver: &Receiver, plugin: &Plugin, limits: &Limits) -> (Vec<Request>, Vec<Fault>) {
    let (name, unread) = (&receiver.plugin, &receiver.unread);
    let mut faults = Vec::new();
    if unread.config {
        return (Vec::new(), faults);
    }
    let mut config = receiver.config.clone();
    let mut left_out = unread.settings.clone();
    loop {
        let why = match plugin.requests(&config.to_string(), limits).await {
            Ok(requests) if left_out.is_empty() => return (requests, faults),
            Ok(requests) if is_shipped(receiver) => {
                let certain = requests.into_iter().filter_map(|request| certain(request, &config));
                return (certain.collect(), faults);
            }
            Ok(_) => break,
            Err(RequestsError::Config(why)) => why,
            Err(RequestsError::Call(failure)) => {
                // With all settings, and within the limits that the operator meant, it might well answer.
                if left_out.is_empty() && !unread.timeout && !unread.limits {
                    let problem = format!("the plugin {name} did not say what it needs: {failure}");
                    faults.push(Fault::at(receiver.places.plugin.clone(), problem));
                }
                break;
            }
        };
        // By the SDK's custom a refusal begins with the setting: `timeout: …`, `command[0]: …`.
        let setting = why.split([':', '.', '[']).next().unwrap_or_default().to_owned();
        if config.get(&setting).is_none() && is_echo(&why, &left_out) {
            break;
        }
        let place = receiver.places.settings.get(&setting).unwrap_or(&receiver.places.config);
        faults.push(Fault::at(place.clone(), format!("the plugin {name} cannot work with this: {why}")));
        if config.as_object_mut().and_then(|settings| settings.remove(&setting)).is_none() {
            break;
        }
        left_out.push(setting);
    }
    (Vec::new(), faults)
}

/// May a refusal that names no setting be due to what was left out, which is no fault of the operator's? A
/// missing field is, if it was left out, even under a misspelt name; what a plugin says in its own words may
/// be.
fn is_echo(why: &str, left_out: &[String]) -> bool {
    let field = why.split_once("missing field `").and_then(|(_, rest)| rest.split('`').next());
    match field {
        Some(field) => left_out.iter().any(|setting| nearest(setting, [field]).is_some()),
        None => !left_out.is_empty(),
    }
}

/// The request, if each part of it is word for word a setting of the configuration: then nothing that was
/// left out had a part in it. For how long a command may run is said in other words, and so left open.
fn certain(request: Request, config: &Value) -> Option<Request> {
    let is_setting = |part: Value| {
        config.as_object().is_some_and(|settings| settings.values().any(|value| *value == part))
    };
    let is_certain = match &request {
        Request::Exec { command, .. } => is_setting(command.clone().into()),
        Request::Append { path } => is_setting(path.clone().into()),
        Request::Http { method, url } => is_setting(method.clone().into()) && is_setting(url.clone().into()),
        Request::Smtp { from, to } => is_setting(from.clone().into()) && is_setting(to.clone().into()),
        Request::Kv { prefix } => is_setting(prefix.clone().into()),
        Request::Watch | Request::KvStore { .. } => true,
    };
    is_certain.then_some(match request {
        Request::Exec { command, .. } => Request::Exec { command, timeout: Duration::ZERO },
        request => request,
    })
}

/// A shipped plugin asks for what its settings name, and for nothing else.
fn is_shipped(receiver: &Receiver) -> bool {
    matches!(receiver.plugin, PluginRef::Bundled(_))
}

/// The key of `allow` that grants it.
fn key(request: &Request) -> &'static str {
    match request {
        Request::Exec { .. } => "exec",
        Request::Append { .. } => "append",
        Request::Http { .. } => "http",
        Request::Smtp { .. } => "smtp",
        Request::Watch => "watch",
        Request::Kv { .. } => "kv",
        Request::KvStore { .. } => "kv_store",
    }
}

/// What the operator wrote; where nothing was written, a shipped plugin gets what its configuration names,
/// and any other plugin gets nothing.
fn grants(receiver: &Receiver, requests: &[Request]) -> Result<Grants, Vec<GrantError>> {
    let one = |error| vec![error];
    let allow = receiver.allow.clone();
    let mut exec = allow.exec.clone().unwrap_or_default();
    let mut append = allow.append.clone().unwrap_or_default();
    let mut http = allow.http.clone().unwrap_or_default();
    let mut smtp = allow.smtp;
    let mut watch = allow.watch.unwrap_or(false);
    for request in requests.iter().filter(|_| is_shipped(receiver)) {
        match request {
            Request::Exec { command, .. } if allow.exec.is_none() => {
                exec.push(ExecGrant::parse(command.clone(), None, Vec::new())?);
            }
            Request::Append { path } if allow.append.is_none() => {
                append.push(AppendGrant::parse(path).map_err(one)?);
            }
            Request::Http { method, url } if allow.http.is_none() => {
                let (url, methods) = (url.clone(), vec![method.clone()]);
                http.push(HttpGrant::parse(HttpGrantSpec { url, methods, ..HttpGrantSpec::default() })?);
            }
            // The relay is the operator's to name: nothing in a mail's configuration says it.
            Request::Smtp { from, to } => {
                smtp = smtp.map(|grant| grant.limited_to(from, to)).transpose().map_err(one)?;
            }
            Request::Watch => watch = allow.watch.unwrap_or(true),
            _ => {}
        }
    }
    let kv = allow.kv.unwrap_or_default();
    Ok(Grants { exec, append, http, smtp, watch, kv, kv_store: allow.kv_store })
}

/// The grants that need more rights than we have. To be asked only by who will run: a look may be another user's.
pub(super) fn forbidden(ready: &[Ready<'_>]) -> Vec<Fault> {
    let of = |ready: &Ready<'_>| at_allow(ready.config, ready.capabilities.grants().forbidden_accounts());
    ready.iter().flat_map(of).collect()
}

fn at_allow(receiver: &Receiver, errors: Vec<GrantError>) -> Vec<Fault> {
    let place = || receiver.places.allow.clone();
    errors.into_iter().map(|error| Fault::at(place(), format!("failed to {error}"))).collect()
}

/// What the plugin needs and is not granted.
fn uncovered(receiver: &Receiver, grants: &Grants, requests: &[Request]) -> Vec<Fault> {
    let refusals = grants.refusals(requests).into_iter();
    refusals.map(|refusal| Fault::at(receiver.places.allow.clone(), refusal.to_string())).collect()
}

/// The commands that may run for longer than a call.
fn too_long(receiver: &Receiver, requests: &[Request]) -> Vec<Fault> {
    let mut faults = Vec::new();
    for request in requests.iter().filter(|_| !receiver.unread.timeout) {
        if let Request::Exec { command, timeout } = request
            && *timeout >= receiver.timeout
        {
            let program = command.first().map(String::as_str).unwrap_or_default();
            let problem = format!(
                "{program} may run for {timeout:?}, but a call of this receiver ends after {:?}",
                receiver.timeout
            );
            let fault = Fault::at(receiver.places.config.clone(), problem);
            faults.push(fault.help("raise the receiver's `timeout` above that of the command"));
        }
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_due_to_a_setting_that_was_left_out_is_an_echo() {
        let check = |why: &str, left_out: &[&str], want: bool| {
            let left_out: Vec<_> = left_out.iter().map(ToString::to_string).collect();
            assert_eq!(is_echo(why, &left_out), want, "{why:?} without {left_out:?}");
        };
        check("missing field `command`", &["command"], true);
        check("missing field `command`", &["Comand"], true);
        check("missing field `command`", &["timeout"], false);
        check("missing field `command`", &[], false);
        check("command: required", &["command"], true);
        check("one of `url` and `host` is needed", &["url"], true);
        check("one of `url` and `host` is needed", &[], false);
    }

    #[test]
    fn a_request_is_certain_if_the_settings_that_are_left_say_all_of_it() {
        let config = serde_json::json!({ "url": "http://h/", "command": ["/bin/x", "a"] });
        let command = vec!["/bin/x".to_owned(), "a".to_owned()];
        let exec = |timeout| Request::Exec { command: command.clone(), timeout };
        assert_eq!(certain(exec(Duration::from_secs(30)), &config), Some(exec(Duration::ZERO)));
        let http = Request::Http { method: "POST".into(), url: "http://h/".into() };
        assert_eq!(certain(http, &config), None, "the method may be the one that was left out");
    }
}
