//! Queries, each one request: sent, bounded in time and size, read and checked.
//!
//! Boundary: asks once and says what came of it. When to ask again is `source`'s decision.
//!
//! The one exception is a refused token from a file: if the file holds another by now (it was
//! rotated between our reading and Consul's answer), the query is sent once more with it. Certificates are
//! read anew after each query that did not reach a Consul over TLS.

mod kv;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use reqwest::StatusCode;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use tracing::debug;
use url::Url;

use super::answer::{Answer, INDEX, answer, position};
use super::error::{ClientError, Garbage, SetupError};
use super::token::TokenSource;
use super::{BasicAuth, Before, Settings, WaitIndex, Watch, transport, wire};
use crate::catalog::{Entry, LocalNode, Right};
use crate::chain::chain;

/// How long an answer may take beyond the time for which Consul was asked to wait.
///
/// More than the 7 s for which Consul holds a query while it has no leader.
const SLACK: Duration = Duration::from_secs(10);

/// The longest body that is read. 10,000 checks are 4.6 MB, so this is no bound for honest answers.
const BODY_LIMIT: usize = 64 << 20;

/// How much of a refusal's body is shown.
const REFUSAL_LIMIT: usize = 256;

/// Consul refuses to say more than this about a token's rights at once.
const RIGHTS_MAX: usize = 64;

const TOKEN: HeaderName = HeaderName::from_static("x-consul-token");

/// A connection to one Consul agent. Clones share it.
#[derive(Clone, Debug)]
pub struct Client(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    http: RwLock<reqwest::Client>,
    /// As they were when the client was made, to make another one.
    settings: Settings,
    base: Url,
    /// Where queries go, for messages: a socket has no URL.
    place: String,
    token: TokenSource,
    http_auth: Option<BasicAuth>,
    /// `dc`, `ns` and `partition`, where they are set.
    scope: Vec<(&'static str, String)>,
}

/// One request.
struct Ask<'a> {
    url: &'a Url,
    /// What is posted; without it, it is a GET.
    json: Option<String>,
    /// How long the answer may take.
    patience: Duration,
    /// Bytes of the answer, at most.
    limit: usize,
    /// Bytes that it probably has.
    likely: usize,
}

/// How to ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Query {
    /// Answer when something newer than this is there; none: answer at once.
    pub index: Option<WaitIndex>,
    /// How long Consul may wait for something newer. Without an index it does not wait.
    pub wait: Duration,
    /// The leader makes sure that it still is the leader. Slower, and never out of date.
    pub consistent: bool,
}

impl Client {
    /// Reads certificates and prepares the connection; nothing is sent yet.
    pub fn new(settings: &Settings) -> Result<Self, SetupError> {
        let (http, base) = transport::build(settings)?;
        let scope = [("ns", &settings.namespace), ("partition", &settings.partition)];
        Ok(Self(Arc::new(Inner {
            http: RwLock::new(http),
            settings: settings.clone(),
            place: settings.address.socket().map_or_else(
                || base.as_str().trim_end_matches('/').to_owned(),
                |socket| format!("unix://{}:", socket.display()),
            ),
            base,
            token: TokenSource::new(settings.token.as_ref())?,
            http_auth: settings.http_auth.clone(),
            scope: scope.into_iter().filter_map(|(key, value)| Some((key, value.clone()?))).collect(),
        })))
    }

    /// The node of the agent that is asked. The agent answers this even when it has lost its servers.
    pub async fn local_node(&self) -> Result<LocalNode, ClientError> {
        let url = self.url(&["agent", "self"]);
        let (_, body) = self.get(&url, SLACK).await?;
        wire::local_node(&body).map_err(|source| self.garbage(&url, source))
    }

    /// What `watch` asks for, beside the node `here`; with an index, once something is newer.
    ///
    /// What is not known to Consul is empty; that is no error. `before` is the answer before this one, and then it is this
    /// one: what is the same in both is not read twice.
    pub async fn entries(
        &self,
        watch: &Watch,
        here: &str,
        query: Query,
        before: &mut Before,
    ) -> Result<Answer<Vec<Entry>>, ClientError> {
        let url = self.question(watch, here, query);
        let (headers, body) = self.get_or_nothing(&url, watch, (&query, before.likely())).await?;
        answer(&headers, body, (watch, here), before).map_err(|source| self.garbage(&url, source))
    }

    /// The same as [`entries`](Self::entries), at once and as a handler of a watch of Consul gets it: JSON.
    pub async fn list(&self, watch: &Watch, here: &str) -> Result<(WaitIndex, Vec<u8>), ClientError> {
        let query = Query { index: None, wait: Duration::ZERO, consistent: false };
        let url = self.question(watch, here, query);
        let (headers, body) = self.get_or_nothing(&url, watch, (&query, 0)).await?;
        let shaped = position(&headers, watch).and_then(|index| Ok((index, watch.what.shape(body)?)));
        shaped.map_err(|source| self.garbage(&url, source))
    }

    /// The URL of a watch's query.
    fn question(&self, watch: &Watch, here: &str, query: Query) -> Url {
        let (path, parameters) = watch.question(here, query);
        let mut url = self.url(&path);
        let own = |key: &str| parameters.iter().any(|(known, _)| *known == key);
        let scope = self.0.scope.iter().filter(|(key, _)| !own(key));
        let scope = scope.map(|(key, value)| (*key, Some(Cow::Borrowed(&value[..]))));
        let all: Vec<_> = scope.chain(parameters.iter().cloned()).collect();
        if all.is_empty() {
            return url;
        }
        let mut pairs = url.query_pairs_mut();
        for (key, value) in all {
            match value {
                Some(value) => pairs.append_pair(key, &value),
                None => pairs.append_key_only(key),
            };
        }
        drop(pairs);
        url
    }

    /// The outputs of those of the agent's own checks that fail with a word, by their ids.
    ///
    /// The agent tells its servers of a new output only some minutes later, as long as the status is the same
    /// (`check_update_interval`), so its own list is ahead of the catalog.
    pub async fn local_failures(&self) -> Result<BTreeMap<String, String>, ClientError> {
        let url = self.url(&["agent", "checks"]);
        let (_, body) = self.get(&url, SLACK).await?;
        wire::failures(&body).map_err(|source| self.garbage(&url, source))
    }

    /// The first of `rights` that the token does not have, for what `watch` asks. Where Consul cannot say (ACLs are
    /// off, or it is older than 1.7, or the watch is of a namespace or a partition), it has all.
    ///
    /// An answer without something does not tell: it is the same for a service that is gone and for a token that may
    /// not see it. The question is the one that Consul's own user interface asks.
    pub async fn denied<'a>(
        &self,
        watch: &Watch,
        rights: &[Right<'a>],
    ) -> Result<Option<Right<'a>>, ClientError> {
        if watch.namespace.is_some() || watch.partition.is_some() || !self.0.scope.is_empty() {
            return Ok(None);
        }
        let mut url = self.url(&["internal", "acl", "authorize"]);
        if let Some(datacenter) = &watch.datacenter {
            url.query_pairs_mut().append_pair("dc", datacenter);
        }
        for some in rights.chunks(RIGHTS_MAX) {
            let ask = Ask { json: Some(wire::question(some)), ..Ask::get(&url, SLACK) };
            let denied = match self.send(ask).await {
                Ok((_, body)) => wire::first_denied(&body).map_err(|source| self.garbage(&url, source))?,
                Err(ClientError::Status { code: 401 | 404 | 405, .. }) => return Ok(None),
                Err(error) => return Err(error),
            };
            if let Some(denied) = denied.and_then(|at| some.get(at)) {
                return Ok(Some(*denied));
            }
        }
        Ok(None)
    }

    /// An answer, or `null` for what may be missing and is.
    async fn get_or_nothing(
        &self,
        url: &Url,
        watch: &Watch,
        (query, likely): (&Query, usize),
    ) -> Result<(HeaderMap, Vec<u8>), ClientError> {
        match self.send(Ask { likely, ..Ask::get(url, patience(query)) }).await {
            Err(ClientError::Missing { headers, .. }) if watch.what.may_be_missing() => {
                Ok((*headers, b"null".to_vec()))
            }
            other => other,
        }
    }

    /// Each segment is percent-encoded.
    fn url(&self, path: &[&str]) -> Url {
        let mut url = self.0.base.clone();
        // Only a URL that cannot be a base has no segments, and http has.
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().push("v1").extend(path);
        }
        url
    }

    async fn get(&self, url: &Url, patience: Duration) -> Result<(HeaderMap, Vec<u8>), ClientError> {
        self.send(Ask::get(url, patience)).await
    }

    async fn send(&self, ask: Ask<'_>) -> Result<(HeaderMap, Vec<u8>), ClientError> {
        let token = self.0.token.header()?;
        match self.attempt(&ask, token.clone()).await {
            Err(unreachable @ ClientError::Unreachable { .. }) => {
                self.renew();
                Err(unreachable)
            }
            Err(refused @ ClientError::Status { code: 403, .. }) => {
                match self.0.token.renewed(token.as_ref())? {
                    Some(renewed) => self.attempt(&ask, Some(renewed)).await,
                    None => Err(refused),
                }
            }
            other => other,
        }
    }

    /// The certificates may have been rotated: from now on those count that the files hold by then.
    fn renew(&self) {
        if self.0.base.scheme() != "https" {
            return;
        }
        match transport::build(&self.0.settings) {
            Ok((http, _)) => *self.0.http.write().unwrap_or_else(PoisonError::into_inner) = http,
            Err(error) => debug!(reason = chain(&error), "The certificates cannot be read (yet)."),
        }
    }

    async fn attempt(
        &self,
        ask: &Ask<'_>,
        token: Option<HeaderValue>,
    ) -> Result<(HeaderMap, Vec<u8>), ClientError> {
        let Ask { url, patience, .. } = *ask;
        tokio::time::timeout(patience, self.exchange(ask, token))
            .await
            .map_err(|_| ClientError::Timeout { url: self.shown(url), after: patience })?
    }

    async fn exchange(
        &self,
        ask: &Ask<'_>,
        token: Option<HeaderValue>,
    ) -> Result<(HeaderMap, Vec<u8>), ClientError> {
        let Ask { url, json, limit, likely, .. } = ask;
        let unreachable = |error: reqwest::Error| ClientError::Unreachable {
            url: self.shown(url),
            source: error.without_url(),
        };
        let http = self.0.http.read().unwrap_or_else(PoisonError::into_inner).clone();
        let mut request = match json {
            None => http.get((*url).clone()),
            Some(json) => http.post((*url).clone()).body(json.clone()),
        };
        if let Some(token) = token {
            request = request.header(TOKEN, token);
        }
        if let Some(auth) = &self.0.http_auth {
            request = request.basic_auth(&auth.username, auth.password.as_ref().map(super::Secret::expose));
        }
        let mut response = request.send().await.map_err(unreachable)?;
        let status = response.status();
        let limit = if status == StatusCode::OK { *limit } else { REFUSAL_LIMIT };
        let (body, whole) = read(&mut response, limit, *likely).await.map_err(unreachable)?;
        // An agent gives no index with what it knows of itself.
        let unknown = response.headers().contains_key(INDEX) || body.starts_with(b"unknown service ID");
        if status == StatusCode::NOT_FOUND && unknown {
            let headers = Box::new(std::mem::take(response.headers_mut()));
            return Err(ClientError::Missing { url: self.shown(url), headers });
        }
        if status != StatusCode::OK {
            return Err(self.refusal(url, status, &body));
        }
        if !whole {
            return Err(self.garbage(url, Garbage::TooLong { limit }));
        }
        Ok((std::mem::take(response.headers_mut()), body))
    }

    fn refusal(&self, url: &Url, status: StatusCode, body: &[u8]) -> ClientError {
        ClientError::Status {
            url: self.shown(url),
            code: status.as_u16(),
            body: String::from_utf8_lossy(body).trim().to_owned(),
            hint: hint(status),
        }
    }

    fn garbage(&self, url: &Url, source: Garbage) -> ClientError {
        ClientError::Garbage { url: self.shown(url), source }
    }

    /// No query of ours has a secret in its URL, so it can be shown whole. The path of a key is no secret.
    fn shown(&self, url: &Url) -> String {
        let tail = url.as_str().strip_prefix(self.0.base.as_str().trim_end_matches('/')).unwrap_or_default();
        format!("{}{tail}", self.0.place)
    }
}

impl<'a> Ask<'a> {
    fn get(url: &'a Url, patience: Duration) -> Self {
        Self { url, json: None, patience, limit: BODY_LIMIT, likely: 0 }
    }
}

/// Reads at most `limit` bytes, of which there are `likely` so many, and says whether that was all.
async fn read(
    response: &mut reqwest::Response,
    limit: usize,
    likely: usize,
) -> reqwest::Result<(Vec<u8>, bool)> {
    let announced = response.content_length().and_then(|length| usize::try_from(length).ok());
    // What is announced is not yet there, so it is not trusted beyond a little.
    let mut body = Vec::with_capacity(announced.unwrap_or(0).min(1 << 16).max(likely));
    while let Some(chunk) = response.chunk().await? {
        let room = limit - body.len();
        if chunk.len() > room {
            body.extend_from_slice(&chunk[..room]);
            return Ok((body, false));
        }
        body.extend_from_slice(&chunk);
    }
    Ok((body, true))
}

/// Consul adds up to a sixteenth to the wait, so that not all clients come back at once.
fn patience(query: &Query) -> Duration {
    if query.index.is_some() { query.wait + query.wait / 16 + SLACK } else { SLACK }
}

fn hint(status: StatusCode) -> &'static str {
    match status {
        StatusCode::FORBIDDEN => {
            "; the token has to allow agent:read, node:read and service:read, key:read for keys and event:read for \
             user events (or it is unknown here)"
        }
        StatusCode::UNAUTHORIZED => "; something before Consul asks for a user name and a password",
        StatusCode::NOT_FOUND => "; is this the address of a Consul agent's HTTP interface?",
        StatusCode::TOO_MANY_REQUESTS => "; Consul's rate limit",
        status if status.is_redirection() => {
            "; redirects are not followed, since they would be given the token"
        }
        _ => "",
    }
}

#[cfg(test)]
mod tests;
