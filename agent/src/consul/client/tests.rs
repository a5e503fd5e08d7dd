//! The client against a small server that says what it is told to, and notes what it is asked.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::Response;
use axum::serve::Listener;
use tokio::net::{TcpListener, UnixListener};

use super::*;
use crate::chain::chain;
use crate::consul::answer::{FILTERED, KNOWN_LEADER};
use crate::consul::{Address, Secret, Token, What};

type Reply = Response<Body>;

const AT_ONCE: Query = Query { index: None, wait: Duration::from_mins(1), consistent: false };
const CHECK: &str = r#"[{"Node": "n1", "CheckID": "c", "Name": "c", "Status": "passing", "Notes": "", "Output": "",
    "ServiceID": "", "ServiceName": "", "ServiceTags": null, "CreateIndex": 3, "ModifyIndex": 5}]"#;

/// Path and query, token, and authorization of each request.
type Seen = Arc<Mutex<Vec<(String, String, String)>>>;

fn serve<L>(listener: L, reply: impl Fn(&Request) -> Reply + Clone + Send + Sync + 'static) -> Seen
where
    L: Listener,
    L::Addr: std::fmt::Debug,
{
    let seen = Seen::default();
    let noted = Arc::clone(&seen);
    let app = Router::new().fallback(async move |request: Request| {
        let header = |name| {
            let value = request.headers().get(name);
            value.map_or(String::new(), |value| value.to_str().unwrap().into())
        };
        let line = (request.uri().to_string(), header("x-consul-token"), header("authorization"));
        noted.lock().unwrap().push(line);
        reply(&request)
    });
    tokio::spawn(async { axum::serve(listener, app).await });
    seen
}

async fn server(reply: impl Fn(&Request) -> Reply + Clone + Send + Sync + 'static) -> (Settings, Seen) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string().parse().unwrap();
    (Settings { address, ..Settings::default() }, serve(listener, reply))
}

fn reply(status: u16, index: Option<&str>, body: impl Into<Body>) -> Reply {
    let mut reply = Response::builder().status(status);
    if let Some(index) = index {
        reply = reply.header(INDEX, index);
    }
    reply.body(body.into()).unwrap()
}

async fn ask(settings: &Settings, query: Query) -> Result<Answer<Vec<Entry>>, ClientError> {
    Client::new(settings)
        .unwrap()
        .entries(&What::NodeChecks.into(), "n1", query, &mut Before::default())
        .await
}

#[track_caller]
fn check_told(error: &ClientError, settings: &Settings, want: &str) {
    let told = chain(error);
    let want = want.replace("URL", &format!("http://{}/v1/health/node/n1", settings.address));
    assert!(told.starts_with(&want), "{told}\nis not\n{want}");
}

/// What a server's answer is told as.
async fn check_failure(status: u16, index: Option<&'static str>, body: &'static str, want: &str) {
    let (settings, _) = server(move |_| reply(status, index, body)).await;
    check_told(&ask(&settings, AT_ONCE).await.unwrap_err(), &settings, want);
}

#[tokio::test]
async fn a_query_says_all_that_is_set_and_the_answer_all_that_came() {
    let (mut settings, seen) = server(|_| {
        let mut reply = reply(200, Some("5"), CHECK);
        reply.headers_mut().insert(KNOWN_LEADER, HeaderValue::from_static("false"));
        reply.headers_mut().insert(FILTERED, HeaderValue::from_static("true"));
        reply
    })
    .await;
    settings.token = Some(Token::Value(Secret::new("t0ken")));
    settings.http_auth = Some(BasicAuth::parse("me:pass"));
    settings.namespace = Some("ns".into());
    settings.partition = Some("p".into());
    let query =
        Query { index: Some(WaitIndex::new(4)), wait: Duration::from_millis(1_500), consistent: true };
    let (client, mut before) = (Client::new(&settings).unwrap(), Before::default());
    let answer = client.entries(&What::NodeChecks.into(), "a/b?c", query, &mut before).await.unwrap();

    assert_eq!((answer.index.get(), answer.known_leader, answer.filtered_by_acls), (5, Some(false), true));
    assert_eq!((answer.value.len(), answer.value[0].check().unwrap().modify_index), (1, 5));
    let uri = "/v1/health/node/a%2Fb%3Fc?ns=ns&partition=p&index=4&wait=1500ms&consistent";
    assert_eq!(*seen.lock().unwrap(), [(uri.into(), "t0ken".into(), "Basic bWU6cGFzcw==".into())]);
}

#[tokio::test]
async fn a_query_without_an_index_does_not_wait() {
    let (settings, seen) = server(|_| reply(200, Some("0"), "null")).await;
    let answer = ask(&settings, AT_ONCE).await.unwrap();
    assert_eq!((answer.index.get(), answer.known_leader, answer.filtered_by_acls), (1, None, false));
    assert_eq!(answer.value, []);
    assert_eq!(*seen.lock().unwrap(), [("/v1/health/node/n1".into(), String::new(), String::new())]);
}

#[tokio::test]
async fn the_local_node_is_what_the_agent_says() {
    let body = r#"{"Config": {"NodeName": "n1", "Datacenter": "dc1"}, "Meta": {"environment": "lab"}}"#;
    let (settings, seen) = server(move |_| reply(200, None, body)).await;
    let node = Client::new(&settings).unwrap().local_node().await.unwrap();
    assert_eq!((node.name.as_str(), node.datacenter.as_str()), ("n1", "dc1"));
    assert_eq!(node.meta["environment"], "lab");
    assert_eq!(seen.lock().unwrap()[0].0, "/v1/agent/self");
}

#[tokio::test]
async fn a_refusal_is_told_with_its_status_its_words_and_a_hint() {
    check_failure(500, None, "No cluster leader\n", r#"query URL: status 500 "No cluster leader""#).await;
    check_failure(
        403,
        None,
        "ACL not found",
        r#"query URL: status 403 "ACL not found"; the token has to allow agent:read, node:read"#,
    )
    .await;
    check_failure(404, None, "", r#"query URL: status 404 ""; is this the address"#).await;
    check_failure(429, None, "", r#"query URL: status 429 ""; Consul's rate limit"#).await;
    check_failure(302, None, "", r#"query URL: status 302 ""; redirects are not followed"#).await;
}

#[tokio::test]
async fn a_long_refusal_is_cut() {
    let (settings, _) = server(|_| reply(500, None, "x".repeat(1_000_000))).await;
    let error = ask(&settings, AT_ONCE).await.unwrap_err();
    assert!(matches!(&error, ClientError::Status { body, .. } if body.len() == REFUSAL_LIMIT), "{error}");
}

#[tokio::test]
async fn garbage_is_told_as_such() {
    let garbage = "query URL: the answer makes no sense: ";
    check_failure(200, None, "[]", &format!("{garbage}read X-Consul-Index: the answer has none")).await;
    check_failure(200, Some("x"), "[]", &format!(r#"{garbage}read X-Consul-Index "x": invalid digit"#)).await;
    check_failure(200, Some("7"), "<html>", &format!("{garbage}read the body as JSON: expected value")).await;
    check_failure(200, Some("7"), "[", &format!("{garbage}read the body as JSON: EOF")).await;
    check_failure(200, Some("7"), "[{}]", &format!("{garbage}read a check: the field CheckID is missing"))
        .await;
}

#[tokio::test]
async fn a_body_without_end_is_given_up() {
    let (settings, _) = server(|_| reply(200, Some("7"), vec![b' '; BODY_LIMIT + 1])).await;
    let error = ask(&settings, AT_ONCE).await.unwrap_err();
    check_told(
        &error,
        &settings,
        "query URL: the answer makes no sense: read the body: longer than 67108864",
    );
}

#[tokio::test]
async fn nobody_there_is_told_as_such() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string().parse().unwrap();
    drop(listener);
    let settings = Settings { address, ..Settings::default() };
    let error = ask(&settings, AT_ONCE).await.unwrap_err();
    check_told(&error, &settings, "query URL: Consul is not reachable: ");
    assert!(chain(&error).contains("Connection refused"), "{}", chain(&error));
}

#[tokio::test(start_paused = true)]
async fn silence_is_given_up_after_the_wait_and_some_slack() {
    // Nobody accepts, but the kernel does: connected, and then silence.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address: Address = listener.local_addr().unwrap().to_string().parse().unwrap();
    let settings = Settings { address, ..Settings::default() };
    let error = ask(&settings, AT_ONCE).await.unwrap_err();
    check_told(&error, &settings, "query URL: no answer within 10 s");
    let error = ask(&settings, Query { index: Some(WaitIndex::new(7)), ..AT_ONCE }).await.unwrap_err();
    check_told(&error, &settings, "query URL?index=7&wait=60000ms: no answer within 73.75 s");
}

#[tokio::test]
async fn a_rotated_token_is_tried_once_when_the_old_one_is_refused() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "old").unwrap();
    let (path, refusals) = (file.path().to_owned(), Arc::new(AtomicUsize::new(0)));
    let counted = Arc::clone(&refusals);
    let (mut settings, _) = server(move |request| {
        if request.headers().get(TOKEN).is_some_and(|token| token == "new") {
            return reply(200, Some("7"), "[]");
        }
        // Rotated while the query was on its way: only the refusal tells of it.
        counted.fetch_add(1, Ordering::Relaxed);
        std::fs::write(&path, "new").unwrap();
        reply(403, None, "ACL not found")
    })
    .await;
    settings.token = Some(Token::File(file.path().into()));
    assert!(ask(&settings, AT_ONCE).await.is_ok());
    assert_eq!(refusals.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_refused_token_that_is_still_the_same_is_not_tried_again() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "hunter2").unwrap();
    let (mut settings, seen) = server(|_| reply(403, None, "ACL not found")).await;
    settings.token = Some(Token::File(file.path().into()));
    let error = ask(&settings, AT_ONCE).await.unwrap_err();
    assert!(matches!(error, ClientError::Status { code: 403, .. }), "{error}");
    assert!(!format!("{error:?} {}", chain(&error)).contains("hunter2"));
    assert_eq!(seen.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn a_unix_socket_is_asked_and_named_in_errors() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("consul.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let seen = serve(listener, |request| match request.uri().path() {
        "/v1/agent/self" => reply(500, None, "no"),
        _ => reply(200, Some("7"), "[]"),
    });
    let address = format!("unix://{}", path.display()).parse().unwrap();
    let client = Client::new(&Settings { address, ..Settings::default() }).unwrap();
    let answer = client.entries(&What::NodeChecks.into(), "n1", AT_ONCE, &mut Before::default()).await;
    assert_eq!(answer.unwrap().index.get(), 7);
    let error = client.local_node().await.unwrap_err().to_string();
    assert_eq!(error, format!(r#"query unix://{}:/v1/agent/self: status 500 "no""#, path.display()));
    assert_eq!(seen.lock().unwrap().len(), 2);
}

#[tokio::test]
async fn a_prefix_of_the_address_stays_before_the_path() {
    let (settings, seen) = server(|_| reply(200, Some("7"), "[]")).await;
    let address = format!("http://{}/behind/a/proxy/", settings.address).parse().unwrap();
    ask(&Settings { address, ..Settings::default() }, AT_ONCE).await.unwrap();
    assert_eq!(seen.lock().unwrap()[0].0, "/behind/a/proxy/v1/health/node/n1");
}

#[tokio::test]
async fn single_keys_are_read_within_a_limit() {
    let (settings, seen) = server(|request: &Request| match request.uri().path() {
        "/v1/kv/app/a%20b" => reply(200, Some("5"), "value"),
        "/v1/kv/app/" => reply(200, Some("5"), r#"["app/a b", "app/c"]"#),
        "/v1/kv/denied" => reply(403, None, "Permission denied"),
        "/v1/kv/odd" => reply(200, Some("5"), "{}"),
        _ => reply(404, Some("5"), ""),
    })
    .await;
    let client = Client::new(&Settings { namespace: Some("team".into()), ..settings }).unwrap();
    assert_eq!(client.value("app/a b", 5).await.unwrap(), Some(b"value".to_vec()));
    assert_eq!(client.value("app/none", 5).await.unwrap(), None);
    assert_eq!(client.keys("app/", 100).await.unwrap(), ["app/a b", "app/c"]);
    assert_eq!(client.keys("none/", 100).await.unwrap(), [""; 0]);
    let asked: Vec<_> = seen.lock().unwrap().iter().map(|(url, ..)| url.clone()).collect();
    assert_eq!(
        asked[..3],
        ["/v1/kv/app/a%20b?raw&ns=team", "/v1/kv/app/none?raw&ns=team", "/v1/kv/app/?keys&ns=team"]
    );
    for (error, want) in [
        (client.value("app/a b", 4).await.unwrap_err(), "longer than 4 bytes"),
        (client.keys("app/", 9).await.unwrap_err(), "longer than 9 bytes"),
        (client.keys("odd", 100).await.unwrap_err(), "read the body as JSON"),
        (client.value("denied", 100).await.unwrap_err(), "status 403"),
    ] {
        assert!(chain(&error).contains(want), "{}", chain(&error));
    }
}
