//! HTTP: grants of URLs with their methods, and the secrets that the host adds.
//!
//! Boundary: parses and decides; `http/target.rs` reads URLs, `http/headers.rs` knows which headers are not a plugin's,
//! `http/send.rs` acts, `http/resolve.rs` looks names up, `http/connect.rs` connects.
//!
//! Invariants: what is decided on is the parsed URL that is then asked, never its text. A secret's file is
//! named by the grant and read here; a guest neither names, sees nor overrides it.

mod connect;
mod headers;
mod resolve;
mod send;
mod target;

#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use hyper::{
    Method,
    header::{HeaderMap, HeaderName, HeaderValue},
};
pub(crate) use send::Clients;
pub use send::HttpClients;
pub(crate) use send::within;
use target::{Scope, Target};

use crate::{CallError, GrantError, refusal};

/// Headers of a request: as many as servers commonly take.
const HEADERS_MAX: usize = 100;

/// A grant as the operator writes it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HttpGrantSpec {
    /// `http` or `https`; host and port are exact. In the path, `*` stands for any characters of one segment
    /// and a last `/**` for anything below. In the query, `*` stands for any characters of one parameter, and a last one
    /// that is `*` for any further ones, so `?*` covers any query. Without a query no URL with one is covered.
    pub url: String,
    /// `GET`, `POST` and so on; none means `POST` only.
    pub methods: Vec<String>,
    /// Headers that the host adds, each with the file that holds its value. Read at each request.
    pub header_files: BTreeMap<String, PathBuf>,
    /// PEM file with the only certificates that are trusted; by default the system's roots.
    pub ca_file: Option<PathBuf>,
    /// The host's name may lead to a loopback or link-local address. An address, or `localhost`, needs no such word.
    pub local: bool,
}

/// URLs that may be asked.
#[derive(Clone, Debug)]
pub struct HttpGrant {
    scope: Scope,
    methods: Vec<Method>,
    header_files: Vec<(HeaderName, PathBuf)>,
    ca_file: Option<PathBuf>,
    local: bool,
}

/// A request to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpRequest {
    /// `GET`, `POST` and so on.
    pub method: String,
    /// Absolute URL.
    pub url: String,
    /// Names and values; a name may come more than once.
    pub headers: Vec<(String, String)>,
    /// May be empty.
    pub body: Vec<u8>,
    /// For the whole exchange.
    pub timeout: Duration,
}

/// What the server answered; a redirect is an answer too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpResponse {
    /// For example 200.
    pub status: u16,
    /// Names in lower case; what is not UTF-8 in a value is replaced.
    pub headers: Vec<(String, String)>,
    /// The beginning of the body, as far as the limit goes.
    pub body: Vec<u8>,
}

/// A request that a grant covers, ready to be sent but for the secrets.
#[derive(Debug)]
pub(crate) struct Granted<'g> {
    /// The grant's place in the list; its client has the same.
    index: usize,
    grant: &'g HttpGrant,
    method: Method,
    target: Target,
    headers: HeaderMap,
    body: Vec<u8>,
    timeout: Duration,
}

impl HttpGrant {
    /// Reads a grant. Nothing is opened yet.
    ///
    /// # Errors
    /// All that is wrong with it.
    pub fn parse(spec: HttpGrantSpec) -> Result<Self, Vec<GrantError>> {
        let mut faults = Vec::new();
        let scope = Scope::parse(&spec.url);
        // Not quoted: a URL that was written wrongly may hold a password.
        let grant = match &scope {
            Ok(scope) => format!("the http grant {scope}"),
            Err(why) => {
                faults.push(GrantError(format!("read an http grant's url: {why}")));
                "an http grant".to_owned()
            }
        };
        let mut wrong = |why: &str| faults.push(GrantError(format!("read {grant}: {why}")));
        let mut methods = Vec::new();
        for name in &spec.methods {
            match method(name) {
                Some(method) => methods.push(method),
                None => wrong(&format!("{} is not a method that can be granted", refusal::quote(name))),
            }
        }
        if methods.is_empty() {
            methods.push(Method::POST);
        }
        let mut header_files = Vec::new();
        for (name, path) in spec.header_files {
            match headers::of_grant(&name) {
                Err(why) => wrong(&why),
                Ok(_) if !path.is_absolute() => {
                    wrong(&format!("the file for header {name} must be an absolute path"));
                }
                Ok(header) if header_files.iter().any(|(other, _)| *other == header) => {
                    wrong(&format!("header {header} is named twice"));
                }
                Ok(header) => header_files.push((header, path)),
            }
        }
        if let Some(scope) = scope.as_ref().ok().filter(|scope| !scope.is_encrypted()) {
            if !header_files.is_empty() && !scope.is_loopback() {
                wrong("the secrets of `header_files` would cross the network unencrypted; write https");
            }
            if spec.ca_file.is_some() {
                wrong("`ca_file` has no meaning without https");
            }
        }
        match scope {
            Ok(scope) if faults.is_empty() => {
                Ok(Self { scope, methods, header_files, ca_file: spec.ca_file, local: spec.local })
            }
            _ => Err(faults),
        }
    }

    /// What it allows, in words.
    pub(crate) fn in_words(&self) -> String {
        let methods: Vec<&str> = self.methods.iter().map(Method::as_str).collect();
        let mut words = vec![format!("may send {} to {}", methods.join(" or "), self.scope)];
        for (name, path) in &self.header_files {
            words.push(format!("with {name} from {}", path.display()));
        }
        if let Some(path) = &self.ca_file {
            words.push(format!("trusting only {}", path.display()));
        }
        if self.local {
            words.push("also where its name leads to a loopback or link-local address".to_owned());
        }
        words.join("; ")
    }
}

/// Whether a grant covers this method and URL.
pub(crate) fn covers(grants: &[HttpGrant], method: &str, url: &str) -> Result<(), CallError> {
    find(grants, method, url, |_| true).map(|_| ())
}

/// The request as a grant that covers it lets it be sent: the first one that sets no header that the request has.
pub(crate) fn decide(grants: &[HttpGrant], request: HttpRequest) -> Result<Granted<'_>, CallError> {
    if request.headers.len() > HEADERS_MAX {
        let count = request.headers.len();
        return Err(CallError::Refused(format!(
            "a request has at most {HEADERS_MAX} headers, and this has {count}"
        )));
    }
    let sets = |grant: &HttpGrant, name: &str| {
        grant.header_files.iter().any(|(own, _)| headers::is_same(own.as_str(), name))
    };
    let names: Vec<_> = request.headers.iter().map(|(name, _)| name.to_ascii_lowercase()).collect();
    let lets = |grant: &HttpGrant| !names.iter().any(|name| sets(grant, name));
    let (index, grant, method, target) = find(grants, &request.method, &request.url, lets)?;
    let mut headers = HeaderMap::new();
    for (name, value) in &request.headers {
        let header = headers::of_guest(name).map_err(CallError::Refused)?;
        if sets(grant, header.as_str()) {
            return Err(CallError::Refused(format!(
                "header {header} is set by the grant, never by a plugin"
            )));
        }
        if !grant.header_files.is_empty() && headers::is_revealing(header.as_str()) {
            return Err(CallError::Refused(format!(
                "header {header} is never a plugin's where its grant adds a secret"
            )));
        }
        let value = HeaderValue::from_str(value).map_err(|_| {
            CallError::Refused(format!("header {header} holds a line end or control character"))
        })?;
        headers.append(header, value);
    }
    Ok(Granted { index, grant, method, target, headers, body: request.body, timeout: request.timeout })
}

/// The first grant that covers the method and the URL and is `best`, else the first one that covers them.
fn find<'g>(
    grants: &'g [HttpGrant],
    name: &str,
    url: &str,
    best: impl Fn(&HttpGrant) -> bool,
) -> Result<(usize, &'g HttpGrant, Method, Target), CallError> {
    let Some(method) = method(name) else {
        let name = refusal::shorten(refusal::quote(name), 40);
        return Err(CallError::Refused(format!("{name} is not a method that can be granted")));
    };
    let target =
        Target::parse(url).map_err(|why| CallError::Refused(format!("this URL is never granted: {why}")))?;
    let covering =
        |(_, grant): &(usize, &HttpGrant)| grant.methods.contains(&method) && grant.scope.covers(&target);
    let covering = || grants.iter().enumerate().filter(covering);
    match covering().find(|(_, grant)| best(grant)).or_else(|| covering().next()) {
        Some((index, grant)) => Ok((index, grant, method, target)),
        None => Err(not_granted(grants, &method, &target)),
    }
}

fn not_granted(grants: &[HttpGrant], method: &Method, target: &Target) -> CallError {
    let url = target.without_query();
    let pattern = if target.has_query() { format!("{url}?*") } else { url.clone() };
    if !Scope::parse(&pattern).is_ok_and(|scope| scope.covers(target)) {
        let url = refusal::shorten(refusal::quote(&url), 200);
        return CallError::Refused(format!(
            "{method} {url} is granted only with all that a pattern takes: in a grant `*` stands for any characters of one part of \
             the path, and a host holds none"
        ));
    }
    let item = format!("{{ url = {}, methods = [\"{method}\"] }}", refusal::quote(&pattern));
    refusal::refused(
        format_args!("{method}{} {}", refusal::widely([&url]), refusal::quote(&url)),
        refusal::one_more("allow.http", grants, &item),
    )
}

/// Methods are told apart by case, but nobody means another one by `post`. CONNECT asks for a tunnel. HTTP would have `*` be a
/// method; whoever grants it means any.
fn method(name: &str) -> Option<Method> {
    let is_plain = name.bytes().all(|byte| byte.is_ascii_alphabetic() || byte == b'-');
    let method = Method::from_bytes(name.to_ascii_uppercase().as_bytes()).ok();
    method.filter(|method| is_plain && *method != Method::CONNECT)
}
