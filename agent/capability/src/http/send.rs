//! Sends a granted request: no redirect, no proxy, no retry, a bounded body, a deadline.
//!
//! Boundary: the network. Which request is granted was decided before.
//!
//! Invariant: an error names scheme, host and port, and nothing else of the request.

use std::{
    collections::{HashMap, hash_map::Entry},
    error::Error,
    fmt,
    path::PathBuf,
    sync::Arc,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
    time::Duration,
};

use http_body_util::{BodyExt as _, Full};
use hyper::{
    Request, Response, Uri,
    body::{Bytes, Incoming},
    ext::on_informational,
    header::{ACCEPT, HeaderName, HeaderValue, USER_AGENT},
};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy,
    rt::{TokioExecutor, TokioTimer},
};
use rustls::ClientConfig;
use tokio::{sync::Notify, time::timeout};

use super::connect::Connector;
use super::resolve::{Inward, LookUp, Resolver};
use super::{Granted, HttpGrant, HttpResponse};
use crate::secret::{self, Sent};
use crate::{CallError, GrantError, refusal, trust};

/// How servers know us, unless a plugin says otherwise.
const AGENT: &str = concat!("lictor/", env!("CARGO_PKG_VERSION"));
/// How long an unused connection is kept. Shorter than servers do, so that it is seldom closed under us.
const IDLE: Duration = Duration::from_secs(15);
/// Unused connections to one server that are kept: what a hundred receivers once had at once is not needed again soon.
const IDLE_MAX: usize = 16;
/// Bytes of an answer's headers that are taken however small the limit is: who wants no body still gets an answer.
const HEADERS_MIN: usize = 8 << 10;
/// Bytes of an error's causes that are told.
const MAX_CAUSE: usize = 500;
/// Interim answers (1xx) to one request. One or two are common; that many are no server's that has an answer.
const INTERIM_MAX: usize = 20;

/// Asks servers, and keeps connections.
type Client = legacy::Client<HttpsConnector<Connector>, Full<Bytes>>;

/// A client for each grant, in the grants' order.
pub(crate) struct Clients(Vec<Client>);

/// The clients of several receivers: grants with one trust and the same secrets that lead as far share one, and its
/// connections: a server may take whoever has shown a secret once for the same until the connection ends. A client is made
/// when the first grant needs it, of the certificates that its files hold then.
#[derive(Default)]
pub struct HttpClients(HashMap<Kind, Client>);

impl fmt::Debug for HttpClients {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// What a client is for.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Kind {
    trust: Trust,
    /// Its names may lead anywhere.
    local: bool,
    secrets: Vec<(HeaderName, PathBuf)>,
}

/// Whom a client trusts.
#[derive(Debug, PartialEq, Eq, Hash)]
enum Trust {
    /// It speaks plain HTTP only.
    Nobody,
    /// The system's roots.
    System,
    /// The certificates of this file.
    File(PathBuf),
}

impl Trust {
    fn of(grant: &HttpGrant) -> Self {
        match &grant.ca_file {
            _ if !grant.scope.is_encrypted() => Self::Nobody,
            Some(path) => Self::File(path.clone()),
            None => Self::System,
        }
    }

    fn tls(&self) -> Result<ClientConfig, GrantError> {
        match self {
            Self::Nobody => trust::only(None),
            Self::System => trust::system(),
            Self::File(path) => trust::only(Some(path)),
        }
    }
}

impl HttpClients {
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

impl Clients {
    /// Reads the system's roots and CA files, as far as the grants need them.
    pub(crate) fn build(grants: &[HttpGrant], shared: &mut HttpClients) -> Result<Self, GrantError> {
        Self::looking_up(grants, shared, crate::lookup::system)
    }

    /// The same, with another way to look names up.
    pub(super) fn looking_up(
        grants: &[HttpGrant],
        shared: &mut HttpClients,
        look_up: LookUp,
    ) -> Result<Self, GrantError> {
        let mut clients = Vec::new();
        for grant in grants {
            let HttpGrant { local, header_files, .. } = grant;
            let kind = Kind { trust: Trust::of(grant), local: *local, secrets: header_files.clone() };
            let client = match shared.0.entry(kind) {
                Entry::Occupied(known) => known.get().clone(),
                Entry::Vacant(place) => {
                    let built = client(place.key().trust.tls()?, Resolver { look_up, local: *local });
                    place.insert(built).clone()
                }
            };
            clients.push(client);
        }
        Ok(Self(clients))
    }

    /// Sends the request and keeps the first `keep` bytes of the answer's body.
    pub(crate) async fn send(&self, granted: Granted<'_>, keep: usize) -> Result<HttpResponse, CallError> {
        let what = format!("send {} to {}", granted.method, granted.target.origin());
        let limit = granted.timeout;
        match timeout(limit, self.exchange(granted, keep)).await {
            Ok(answer) => answer.map_err(|error| match error {
                CallError::Failed(why) => CallError::Failed(format!("{what}: {why}")),
                error => error,
            }),
            Err(_) => Err(CallError::TimedOut(format!("{what}: no whole answer within {limit:?}"))),
        }
    }

    /// What failed does not say yet in which request.
    async fn exchange(&self, granted: Granted<'_>, keep: usize) -> Result<HttpResponse, CallError> {
        let Granted { index, grant, method, target, mut headers, body, .. } = granted;
        let Some(client) = self.0.get(index) else {
            return Err(CallError::Failed("its grant is not one of this receiver's".to_owned()));
        };
        let mut secrets = Vec::new();
        for (name, path) in &grant.header_files {
            let secret = secret::read(path).await.map_err(CallError::Failed)?;
            let mut value = HeaderValue::from_str(&secret).map_err(|_| {
                CallError::Failed(format!("the secret {} cannot be a header's value", path.display()))
            })?;
            value.set_sensitive(true);
            headers.insert(name, value);
            secrets.push(secret);
        }
        headers.entry(USER_AGENT).or_insert(HeaderValue::from_static(AGENT));
        headers.entry(ACCEPT).or_insert(HeaderValue::from_static("*/*"));
        let uri: Uri =
            target.url().as_str().parse().map_err(|error| CallError::Failed(format!("{error}")))?;
        let mut request = Request::new(Full::from(body));
        (*request.method_mut(), *request.uri_mut(), *request.headers_mut()) = (method, uri, headers);
        let interim = Interim::count(&mut request);
        let response = tokio::select! {
            biased;
            () = interim.too_many() => {
                return Err(CallError::Failed(format!("it answers more than {INTERIM_MAX} times that its answer is to come")));
            }
            response = client.request(request) => response.map_err(|error| match inward(&error) {
                Some(inward) => not_local(grant, inward),
                None => CallError::Failed(failed(&error)),
            })?,
        };
        let sent = Sent::of(&secrets).map_err(CallError::Failed)?;
        read(response, keep, &sent).await.map_err(CallError::Failed)
    }
}

/// What hyper does by itself: no redirect, no proxy, and no second try, but where a kept connection was closed before
/// anything was sent.
fn client(tls: ClientConfig, resolver: Resolver) -> Client {
    let connector = HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1();
    legacy::Client::builder(TokioExecutor::new())
        .pool_idle_timeout(IDLE)
        .pool_max_idle_per_host(IDLE_MAX)
        .pool_timer(TokioTimer::new())
        .build(connector.wrap_connector(Connector::new(resolver)))
}

/// The interim answers to a request.
#[derive(Default)]
struct Interim {
    count: AtomicUsize,
    enough: Notify,
}

impl Interim {
    fn count<T>(request: &mut Request<T>) -> Arc<Self> {
        let interim = Arc::<Self>::default();
        let counted = Arc::clone(&interim);
        on_informational(request, move |_| {
            if counted.count.fetch_add(1, Relaxed) == INTERIM_MAX {
                counted.enough.notify_one();
            }
        });
        interim
    }

    async fn too_many(&self) {
        self.enough.notified().await;
    }
}

/// Reads the answer, and hides what it shows of the secrets that were sent.
async fn read(response: Response<Incoming>, keep: usize, sent: &Sent) -> Result<HttpResponse, String> {
    let status = response.status().as_u16();
    let text = |bytes: &[u8]| String::from_utf8_lossy(&sent.hide(bytes)).into_owned();
    let length = |(name, value): (&HeaderName, &HeaderValue)| name.as_str().len() + value.len();
    may_have_headers(response.headers().iter().map(length).sum(), keep)?;
    let headers = response
        .headers()
        .iter()
        .map(|(name, value)| (text(name.as_ref()), text(value.as_bytes())))
        .collect();
    // One that begins before the end of what is kept is known by its whole.
    let known = keep.saturating_add(sent.longest);
    let (mut body, mut coming) = (Vec::new(), response.into_body());
    while body.len() < known {
        let Some(frame) = coming.frame().await else { break };
        // What is no data stands after the body.
        let Ok(chunk) = frame.map_err(|error| failed(&error))?.into_data() else { break };
        let room = known - body.len();
        body.extend_from_slice(&chunk[..chunk.len().min(room)]);
    }
    // What was read for that only goes again, by its length: what is hidden makes the body shorter.
    let more = body.len().saturating_sub(keep);
    let mut body = sent.hide(body).into_owned();
    body.truncate(body.len().saturating_sub(more).min(keep));
    Ok(HttpResponse { status, headers, body })
}

/// Whether an answer may have so many bytes of headers.
fn may_have_headers(size: usize, keep: usize) -> Result<(), String> {
    if size <= keep.max(HEADERS_MIN) {
        return Ok(());
    }
    Err(format!("the answer has {size} bytes of headers; the receiver's `limits.response` is the most"))
}

/// What is read of an answer that a server is said to have given.
pub(crate) fn within(mut answer: HttpResponse, keep: usize) -> Result<HttpResponse, CallError> {
    let size = answer.headers.iter().map(|(name, value)| name.len() + value.len()).sum();
    may_have_headers(size, keep).map_err(CallError::Failed)?;
    answer.body.truncate(keep);
    Ok(answer)
}

/// Did it fail because a name led where nobody granted to go?
fn inward(error: &legacy::Error) -> Option<&Inward> {
    let mut cause = error.source();
    while let Some(error) = cause {
        if let Some(inward) = error.downcast_ref() {
            return Some(inward);
        }
        cause = error.source();
    }
    None
}

fn not_local(grant: &HttpGrant, inward: &Inward) -> CallError {
    let scope = grant.scope.to_string();
    let url = refusal::quote(&scope);
    refusal::refused(
        format_args!(
            "a way to {}, a loopback or link-local address, where {} leads,",
            inward.address, inward.name
        ),
        // Not a grant of its own, which would lack what this one says of methods, headers and trust.
        format_args!("local = true in the grant of allow.http for {url}"),
    )
}

/// The causes, innermost last.
fn failed(error: &dyn Error) -> String {
    let mut causes = vec![error.to_string()];
    let mut cause = error.source();
    while let Some(inner) = cause {
        causes.push(inner.to_string());
        cause = inner.source();
    }
    refusal::shorten(causes.join(": "), MAX_CAUSE)
}
