//! From a receiver's configuration to something that can be called: its plugin is loaded, and what that
//! says it needs is held against what it is granted.
//!
//! Invariant: every receiver is looked at, so that all faults are told at once.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fs;
use std::sync::Arc;

use lictor_capability::{
    AppendGrant, Capabilities, ExecGrant, GrantError, Grants, HttpGrant, HttpGrantSpec, OutputLimits, Request,
};
use lictor_host::{Host, Limits, Plugin, RequestsError};

use crate::bundled;
use crate::chain::chain;
use crate::config::{Fault, Faults, Look, PluginRef, Receiver};

mod surroundings;

/// A receiver that can be called.
pub(crate) struct Ready<'a> {
    pub(crate) config: &'a Receiver,
    pub(crate) plugin: Plugin,
    /// The plugin's configuration as it gets it: a JSON object.
    pub(crate) json: Arc<str>,
    pub(crate) capabilities: Arc<Capabilities>,
    pub(crate) limits: Limits,
}

/// Makes all receivers ready, or says all that is wrong with them.
pub(crate) async fn ready<'a>(
    receivers: &'a [Receiver],
    host: &Arc<Host>,
    look: Look,
) -> Result<Vec<Ready<'a>>, Faults> {
    let mut loaded = BTreeMap::<_, Plugin>::new();
    let mut built = Vec::new();
    let mut faults = Vec::new();
    for receiver in receivers {
        let plugin = match loaded.entry(&receiver.plugin) {
            Entry::Occupied(entry) => pinned(receiver, entry.get().digest()).map(|()| entry.get().clone()),
            Entry::Vacant(entry) => load(host, receiver).await.map(|plugin| entry.insert(plugin).clone()),
        };
        match plugin {
            Ok(plugin) => match make(receiver, plugin, look).await {
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
            let wasm = fs::read(path).map_err(|error| {
                let problem = format!("failed to read the plugin {}: {error}", path.display());
                fault(problem, "put it there, or name another file")
            })?;
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

/// Is this the code that the receiver is pinned to?
fn pinned(receiver: &Receiver, digest: &str) -> Result<(), Fault> {
    let Some(pin) = receiver.sha256.as_deref().filter(|pin| *pin != digest) else { return Ok(()) };
    let fault = Fault::at(receiver.places.sha256.clone(), format!("the plugin's SHA-256 is not {pin}"));
    Err(fault.help(format!(
        "it is {digest}; write that if you trust this file, else restore the one that you pinned"
    )))
}

async fn make(receiver: &Receiver, plugin: Plugin, look: Look) -> Result<Ready<'_>, Vec<Fault>> {
    let places = &receiver.places;
    let limits = limits(receiver);
    let json: Arc<str> = receiver.config.to_string().into();
    let requests = requests(receiver, &plugin, &limits).await?;
    let grants = grants(receiver, &requests).map_err(|errors| {
        let problem = |error| format!("failed to grant what this needs: {error}");
        let fault = |error| Fault::at(places.config.clone(), problem(error));
        errors.into_iter().map(fault).collect::<Vec<_>>()
    })?;
    let mut faults = uncovered(receiver, &grants, &requests);
    if look == Look::Everywhere {
        faults.extend(surroundings::missing(receiver, &requests));
    }
    if !faults.is_empty() {
        return Err(faults);
    }
    let output =
        OutputLimits { exec_output: receiver.limits.output, http_response: receiver.limits.response };
    let capabilities = Capabilities::new(grants, output)
        .map_err(|error| vec![Fault::at(places.allow.clone(), format!("failed to {error}"))])?;
    Ok(Ready { config: receiver, plugin, json, capabilities: Arc::new(capabilities), limits })
}

fn limits(receiver: &Receiver) -> Limits {
    let crate::config::Limits { memory, cpu, log, transfer, .. } = receiver.limits;
    Limits { timeout: receiver.timeout, cpu, memory, log, transfer }
}

/// Asks the plugin what it needs. A plugin names one fault of its configuration at a time, so it is asked
/// again without the setting that it named, until it has named all.
async fn requests(receiver: &Receiver, plugin: &Plugin, limits: &Limits) -> Result<Vec<Request>, Vec<Fault>> {
    let name = &receiver.plugin;
    let mut config = receiver.config.clone();
    let mut faults = Vec::new();
    let mut left_out = Vec::new();
    loop {
        let why = match plugin.requests(&config.to_string(), limits).await {
            Ok(requests) if faults.is_empty() => return Ok(requests),
            Ok(_) => return Err(faults),
            Err(RequestsError::Config(why)) => why,
            Err(RequestsError::Call(failure)) => {
                let problem = format!("the plugin {name} did not say what it needs: {failure}");
                faults.push(Fault::at(receiver.places.plugin.clone(), problem));
                return Err(faults);
            }
        };
        // A setting that is missing because we left it out is no fault of the operator's.
        if left_out.iter().any(|setting| why.contains(&format!("missing field `{setting}`"))) {
            return Err(faults);
        }
        // By the SDK's custom a refusal begins with the setting: `timeout: …`, `command[0]: …`.
        let setting = why.split([':', '.', '[']).next().unwrap_or_default().to_owned();
        let place = receiver.places.settings.get(&setting).unwrap_or(&receiver.places.config);
        faults.push(Fault::at(place.clone(), format!("the plugin {name} cannot work with this: {why}")));
        if config.as_object_mut().and_then(|settings| settings.remove(&setting)).is_none() {
            return Err(faults);
        }
        left_out.push(setting);
    }
}

/// What the operator wrote; where nothing was written, a shipped plugin gets what its configuration names,
/// and any other plugin gets nothing.
fn grants(receiver: &Receiver, requests: &[Request]) -> Result<Grants, Vec<GrantError>> {
    let one = |error| vec![error];
    let allow = receiver.allow.clone();
    let shipped = matches!(receiver.plugin, PluginRef::Bundled(_));
    let mut exec = allow.exec.clone().unwrap_or_default();
    let mut append = allow.append.clone().unwrap_or_default();
    let mut http = allow.http.clone().unwrap_or_default();
    let mut smtp = allow.smtp;
    for request in requests.iter().filter(|_| shipped) {
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
            _ => {}
        }
    }
    Ok(Grants { exec, append, http, smtp })
}

/// What the plugin needs and is not granted, or not for as long as it needs.
fn uncovered(receiver: &Receiver, grants: &Grants, requests: &[Request]) -> Vec<Fault> {
    let mut faults = Vec::new();
    for request in requests {
        if let Err(refusal) = grants.covers(request) {
            faults.push(Fault::at(receiver.places.allow.clone(), refusal.to_string()));
        }
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
