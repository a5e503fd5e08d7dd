//! HTTP grants as tables; requests to real servers on loopback, polite and rude ones.

use std::sync::{Arc, Mutex};

use axum::{Router, extract::Request, response::Redirect, routing::any};
use proptest::prelude::*;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    time::sleep,
};

use super::*;
use crate::trust::tests::{Authority, note, with_system_roots};

fn spec(url: &str) -> HttpGrantSpec {
    HttpGrantSpec { url: url.into(), ..HttpGrantSpec::default() }
}

fn request(method: &str, url: &str) -> HttpRequest {
    HttpRequest {
        method: method.into(),
        url: url.into(),
        headers: Vec::new(),
        body: Vec::new(),
        timeout: Duration::from_secs(10),
    }
}

fn headers(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect()
}

#[track_caller]
fn check(methods: &[&str], method: &str, want: Result<(), &str>) {
    let methods = methods.iter().map(ToString::to_string).collect();
    let grant = HttpGrant::parse(HttpGrantSpec { methods, ..spec("http://h/x") }).unwrap();
    match (covers(&[grant], method, "http://h/x"), want) {
        (Ok(()), Ok(())) => {}
        (Err(CallError::Refused(text)), Err(want)) => assert!(text.contains(want), "{text}"),
        (got, want) => panic!("{method}: {got:?}, wanted {want:?}"),
    }
}

#[test]
fn without_methods_only_post_is_granted() {
    check(&[], "POST", Ok(()));
    check(&[], "post", Ok(()));
    check(&[], "GET", Err("not granted"));
    check(&["GET", "put"], "GET", Ok(()));
    check(&["GET", "put"], "PUT", Ok(()));
    check(&["GET", "put"], "POST", Err("not granted"));
    check(&["GET"], "CONNECT", Err("not a method that can be granted"));
    check(&["GET"], "GET / HTTP/1.1\r\n", Err("not a method"));
    check(&["GET", "M-SEARCH"], "m-search", Ok(()));
    check(&["GET"], "*", Err("not a method"));
}

#[test]
fn a_refusal_says_what_would_cover_it_and_hides_the_query() {
    let refused = |url| covers(&[], "GET", url).unwrap_err().to_string();
    assert_eq!(
        refused("https://h/a/b"),
        r#"GET "https://h/a/b" is not granted; it would be with: allow.http = [{ url = "https://h/a/b", methods = ["GET"] }]"#
    );
    assert_eq!(
        refused("https://h/a?token=secret"),
        r#"GET "https://h/a" is not granted; it would be with: allow.http = [{ url = "https://h/a?*", methods = ["GET"] }]"#
    );
    assert!(!refused("https://user:hunter2@h/").contains("hunter2"));
}

#[test]
fn of_two_grants_that_cover_a_request_the_one_counts_that_sets_none_of_its_headers() {
    let header_files: std::collections::BTreeMap<_, _> = [("X-Tok".to_owned(), "/x".into())].into();
    let wide = HttpGrant::parse(HttpGrantSpec { header_files, ..spec("https://h/*") }).unwrap();
    let grants = [wide, HttpGrant::parse(spec("https://h/a")).unwrap()];
    let index = |path: &str, name: &str| {
        let url = format!("https://h/{path}");
        decide(&grants, HttpRequest { headers: headers(&[(name, "t")]), ..request("POST", &url) })
            .map(|it| it.index)
    };
    assert_eq!((index("a", "Accept").unwrap(), index("a", "x-tok").unwrap()), (0, 1));
    assert!(index("b", "X-Tok").unwrap_err().to_string().contains("set by the grant"));
}

#[test]
fn a_guest_sets_no_header_that_frames_the_message_or_belongs_to_the_grant() {
    let header_files = [("Authorization".to_owned(), "/x".into())].into();
    let grants = [HttpGrant::parse(HttpGrantSpec { header_files, ..spec("https://h/x") }).unwrap()];
    for (name, value, want) in [
        ("Content-Type", "text/plain; charset=utf-8", Ok(())),
        ("X-Umlaut", "ü", Ok(())),
        ("Host", "evil", Err("set by the client alone")),
        ("content-length", "0", Err("set by the client alone")),
        ("Transfer-Encoding", "chunked", Err("set by the client alone")),
        ("CONNECTION", "close", Err("set by the client alone")),
        ("authorization", "guess", Err("set by the grant")),
        ("Range", "bytes=0-9", Err("where its grant adds a secret")),
        ("accept_encoding", "gzip", Err("where its grant adds a secret")),
        ("Content_Length", "0", Err("set by the client alone")),
        ("X-HTTP-Method-Override", "DELETE", Err("no plugin's to set")),
        ("x-original.url", "/admin", Err("no plugin's to set")),
        ("SCRIPT_NAME", "/hooks", Err("no plugin's to set")),
        ("X-Forwarded-Script~Name", "/hooks", Err("no plugin's to set")),
        ("X_Forwarded_Host", "evil", Err("no plugin's to set")),
        ("Forwarded", "host=evil", Err("no plugin's to set")),
        ("Proxy", "http://evil", Err("no plugin's to set")),
        ("X-Method", "DELETE", Err("no plugin's to set")),
        ("X-Hook", "x-forwarded-", Ok(())),
        ("X-Host-Group", "web", Ok(())),
        ("accept-encoding", "gzip", Err("where its grant adds a secret")),
        ("X: y\r\nHost", "evil", Err("not a header's name")),
        ("", "x", Err("not a header's name")),
        ("X-Line", "a\r\nHost: evil", Err("line end")),
        ("X-Line", "a\nb", Err("line end")),
        ("X-Nul", "a\0b", Err("control")),
    ] {
        let asked = HttpRequest { headers: headers(&[(name, value)]), ..request("POST", "https://h/x") };
        match (decide(&grants, asked).map(|_| ()), want) {
            (Ok(()), Ok(())) => {}
            (Err(CallError::Refused(text)), Err(want)) => {
                assert!(text.contains(want) && !text.contains("guess"), "{text}");
            }
            (got, want) => panic!("{name}: {got:?}, wanted {want:?}"),
        }
    }
}

#[test]
fn a_wrong_grant_says_what_would_be_right() {
    let files = |name: &str, path: &str| [(name.to_owned(), PathBuf::from(path))].into();
    for (spec, want) in [
        (spec("h/x"), "read an http grant's url: it must begin with http:// or https://"),
        (spec("https://u:hunter2@h/x"), "`header_files`"),
        (
            HttpGrantSpec { methods: vec!["CONNECT".into()], ..spec("http://h/") },
            r#""CONNECT" is not a method"#,
        ),
        (HttpGrantSpec { methods: vec!["*".into()], ..spec("http://h/") }, r#""*" is not a method"#),
        (HttpGrantSpec { header_files: files("Host", "/x"), ..spec("http://h/") }, "set by the client alone"),
        (HttpGrantSpec { header_files: files("X-Key", "x"), ..spec("http://h/") }, "absolute path"),
        (
            HttpGrantSpec {
                header_files: [("A".to_owned(), "/x".into()), ("a".to_owned(), "/y".into())].into(),
                ..spec("https://h/")
            },
            "header a is named twice",
        ),
        (
            HttpGrantSpec { header_files: files("X-Key", "/x"), ..spec("http://h/") },
            "unencrypted; write https",
        ),
        (HttpGrantSpec { ca_file: Some("/x".into()), ..spec("http://h/") }, "no meaning without https"),
    ] {
        let faults = HttpGrant::parse(spec).unwrap_err();
        let text = faults[0].to_string();
        assert!(faults.len() == 1 && text.contains(want) && !text.contains("hunter2"), "{faults:?}");
    }
    let faults = |url: &str| {
        let header_files = [("A".to_owned(), "/x".into()), ("b c".to_owned(), "/y".into())].into();
        let methods = vec!["P OST".into(), "CONNECT".into()];
        let ca_file = Some("/c".into());
        HttpGrant::parse(HttpGrantSpec { methods, header_files, ca_file, ..spec(url) }).unwrap_err().len()
    };
    assert_eq!(faults("http://h/"), 5, "all at once");
    assert_eq!(faults("h"), 4, "without a URL it is not known whether there is TLS");
}

#[test]
fn a_secret_needs_an_encrypted_way_or_none_at_all() {
    for (url, want) in [
        ("https://h/", true),
        ("http://h/", false),
        ("http://10.0.0.1/", false),
        ("http://localhost.example.com/", false),
        ("http://localhost/", true),
        ("http://127.0.0.2:80/", true),
        ("http://[::1]/", true),
    ] {
        let header_files = [("Authorization".to_owned(), "/x".into())].into();
        let parsed = HttpGrant::parse(HttpGrantSpec { header_files, ..spec(url) });
        assert_eq!(parsed.is_ok(), want, "{url}: {parsed:?}");
    }
}

#[test]
fn a_grant_is_told_in_words() {
    let spec = HttpGrantSpec {
        url: "https://h:443/hooks/*".into(),
        methods: vec!["POST".into(), "PUT".into()],
        header_files: [("Authorization".to_owned(), "/run/x".into())].into(),
        ca_file: Some("/etc/ca.pem".into()),
        local: true,
    };
    assert_eq!(
        HttpGrant::parse(spec).unwrap().in_words(),
        "may send POST or PUT to https://h/hooks/*; with authorization from /run/x; trusting only /etc/ca.pem; also \
         where its name leads to a loopback or link-local address"
    );
}

/// More than the polite servers answer.
const KEEP: usize = 1000;

async fn send(spec: HttpGrantSpec, request: HttpRequest) -> Result<HttpResponse, CallError> {
    let grants = [HttpGrant::parse(spec).unwrap()];
    let clients = Clients::build(&grants, &mut HttpClients::default()).unwrap();
    clients.send(decide(&grants, request)?, KEEP).await
}

/// What a server saw: method, URL, headers.
type Seen = Arc<Mutex<Vec<(String, String, HeaderMap)>>>;

/// Serves on loopback until the test ends; answers with the port and all that it was asked.
async fn polite() -> (u16, Seen) {
    let seen = Seen::default();
    let note = Arc::clone(&seen);
    let echo = move |request: Request| async move {
        let (head, body) = request.into_parts();
        note.lock().unwrap().push((head.method.to_string(), head.uri.to_string(), head.headers));
        body
    };
    let app = Router::new()
        .route("/away", any(async || Redirect::temporary("/echo")))
        .route("/large", any(async || vec![b'x'; 5000]))
        .route("/tell", any(tell))
        .route("/wide", any(async || ([("x-a", "y".repeat(20_000))], "")))
        .route("/echo", any(echo));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async { axum::serve(listener, app).await.unwrap() });
    (port, seen)
}

/// Shows what it was sent: in a header, and after its body.
async fn tell(request: Request) -> ([(&'static str, String); 1], Vec<u8>) {
    let (head, body) = request.into_parts();
    let shown = head.headers["authorization"].to_str().unwrap().to_owned();
    let mut body = axum::body::to_bytes(body, 2 * KEEP).await.unwrap().to_vec();
    body.extend_from_slice(shown.as_bytes());
    ([("x-shown", shown)], body)
}

#[tokio::test]
async fn a_server_that_shows_what_it_was_sent_does_not_tell_the_secret() {
    let (port, _) = polite().await;
    let folder = tempfile::tempdir().unwrap();
    let secret = folder.path().join("secret");
    std::fs::write(&secret, "Bearer 0123456789abcdef\n").unwrap();
    let url = format!("http://127.0.0.1:{port}/tell");
    let spec = HttpGrantSpec { header_files: [("Authorization".to_owned(), secret)].into(), ..spec(&url) };
    let answer = async |body: &[u8]| {
        let asked = HttpRequest { body: body.to_vec(), ..request("POST", &url) };
        send(spec.clone(), asked).await.unwrap()
    };
    let whole = answer(b"sent: ").await;
    assert!(whole.headers.contains(&("x-shown".into(), "[secret]".into())), "{whole:?}");
    assert_eq!(whole.body, b"sent: [secret]");
    // Where it is cut off in the middle of what is kept.
    for before in KEEP - 30..=KEEP {
        let body = answer(&vec![b'x'; before]).await.body;
        let text = String::from_utf8(body).unwrap();
        assert!(text.len() <= KEEP && text.trim_start_matches('x').len() <= "[secret]".len(), "{text}");
        assert!("[secret]".starts_with(text.trim_start_matches('x')), "{text}");
    }
}

/// Serves one connection: says so many times that its answer is to come, and then gives one.
async fn hesitating(interim: usize) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/x", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.read_exact(&mut [0; 20]).await.unwrap();
        for _ in 0..interim {
            if stream.write_all(b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n").await.is_err() {
                return;
            }
        }
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await.ok();
        // Whoever closes a connection that has something to read takes back what was not read yet.
        tokio::io::copy(&mut stream, &mut tokio::io::sink()).await.ok();
    });
    url
}

#[tokio::test]
async fn a_server_says_only_so_often_that_its_answer_is_to_come() {
    for few in [0, 1, 20] {
        let url = hesitating(few).await;
        assert_eq!(send(spec(&url), request("POST", &url)).await.unwrap().body, b"ok", "{few}");
    }
    for many in [21, usize::MAX] {
        let url = hesitating(many).await;
        let error = send(spec(&url), request("POST", &url)).await.unwrap_err();
        let want = "it answers more than 20 times that its answer is to come";
        assert!(matches!(&error, CallError::Failed(text) if text.ends_with(want)), "{error:?}");
    }
}

#[tokio::test]
async fn an_answers_headers_count_against_its_limit() {
    let (port, _) = polite().await;
    let url = format!("http://127.0.0.1:{port}/wide");
    let error = send(spec(&url), request("POST", &url)).await.unwrap_err();
    assert!(matches!(&error, CallError::Failed(text) if text.contains("bytes of headers")), "{error:?}");
}

#[tokio::test]
async fn a_request_arrives_with_the_secret_that_the_host_adds() {
    let (port, seen) = polite().await;
    let folder = tempfile::tempdir().unwrap();
    let secret = folder.path().join("secret");
    let url = format!("http://127.0.0.1:{port}/echo?*");
    let spec =
        HttpGrantSpec { header_files: [("Authorization".to_owned(), secret.clone())].into(), ..spec(&url) };
    let asked = HttpRequest {
        headers: headers(&[("X-A", "1"), ("X-A", "2")]),
        body: b"hello".to_vec(),
        ..request("POST", &format!("http://127.0.0.1:{port}/echo?a=b"))
    };
    for token in ["Bearer one", "Bearer two"] {
        std::fs::write(&secret, format!("{token}\n")).unwrap();
        let answer = send(spec.clone(), asked.clone()).await.unwrap();
        assert_eq!((answer.status, answer.body.as_slice()), (200, b"hello".as_slice()));
        assert!(answer.headers.contains(&("content-length".into(), "5".into())), "{answer:?}");
        let (method, url, headers) = seen.lock().unwrap().pop().unwrap();
        assert_eq!((method.as_str(), url.as_str()), ("POST", "/echo?a=b"));
        assert_eq!(headers["authorization"], token);
        assert_eq!(headers.get_all("x-a").iter().collect::<Vec<_>>(), ["1", "2"]);
        assert_eq!(headers["user-agent"], AGENT_SEEN);
    }
    std::fs::remove_file(&secret).unwrap();
    let error = send(spec, asked).await.unwrap_err();
    assert!(matches!(&error, CallError::Failed(text) if text.contains("read the secret")), "{error:?}");
    assert!(seen.lock().unwrap().is_empty(), "nothing is sent without its secret");
}

/// Ours, unless a plugin sets another.
const AGENT_SEEN: &str = concat!("lictor/", env!("CARGO_PKG_VERSION"));

/// A name server that was bound anew: whatever is asked for is this machine.
fn rebound(_: String) -> crate::lookup::LookingUp {
    Box::pin(async { Ok(vec![([127, 0, 0, 1], 0).into()]) })
}

#[tokio::test]
async fn a_name_that_leads_to_this_machine_is_refused_unless_that_is_granted() {
    let (port, seen) = polite().await;
    let send = async |host: &str, local| {
        let url = format!("http://{host}:{port}/echo");
        let grants = [HttpGrant::parse(HttpGrantSpec { local, ..spec(&url) }).unwrap()];
        let clients = Clients::looking_up(&grants, &mut HttpClients::default(), rebound).unwrap();
        clients.send(decide(&grants, request("POST", &url)).unwrap(), KEEP).await
    };
    let Err(CallError::Refused(text)) = send("hooks.example.com", false).await else { panic!("it was sent") };
    let line =
        format!("local = true in the grant of allow.http for \"http://hooks.example.com:{port}/echo\"");
    assert!(text.contains("127.0.0.1") && text.ends_with(&line), "{text}");
    assert!(seen.lock().unwrap().is_empty(), "nothing arrived");
    for (host, local) in [("hooks.example.com", true), ("localhost", false), ("127.0.0.1", false)] {
        assert_eq!(send(host, local).await.unwrap().status, 200, "{host}");
    }
}

#[test]
fn a_request_has_a_most_of_headers() {
    let grants = [HttpGrant::parse(spec("http://h/x")).unwrap()];
    let with = |count: usize| {
        let headers = (0..count).map(|number| (format!("x-{number}"), "y".to_owned())).collect();
        decide(&grants, HttpRequest { headers, ..request("POST", "http://h/x") })
            .map(|granted| granted.headers.len())
    };
    assert_eq!(with(HEADERS_MAX), Ok(HEADERS_MAX));
    assert!(matches!(with(25_000), Err(CallError::Refused(text)) if text.contains("and this has 25000")));
}

#[tokio::test]
async fn a_redirect_is_an_answer_and_is_not_followed() {
    let (port, seen) = polite().await;
    let url = format!("http://127.0.0.1:{port}/away");
    let answer = send(spec(&url), request("POST", &url)).await.unwrap();
    assert_eq!(answer.status, 307);
    assert!(answer.headers.contains(&("location".into(), "/echo".into())));
    assert!(seen.lock().unwrap().is_empty());
}

#[tokio::test]
async fn where_a_redirect_leads_is_decided_as_any_other_request() {
    let (port, seen) = polite().await;
    let from = format!("http://127.0.0.1:{port}/away");
    let grants = |specs: Vec<HttpGrantSpec>| crate::Grants {
        http: specs.into_iter().map(|spec| HttpGrant::parse(spec).unwrap()).collect(),
        ..crate::Grants::default()
    };
    let limits = crate::OutputLimits { exec_output: KEEP, http_response: KEEP };
    // As a plugin does that follows it: within one place, and to another one.
    for (specs, want) in [
        (vec![spec(&from)], false),
        (
            vec![
                spec(&from),
                HttpGrantSpec {
                    methods: vec!["GET".into()],
                    ..spec(&format!("http://127.0.0.1:{port}/echo"))
                },
            ],
            false,
        ),
        (vec![spec(&from), spec(&format!("http://127.0.0.1:{port}/echo"))], true),
    ] {
        let able = crate::Capabilities::new(grants(specs), limits, &mut HttpClients::default()).unwrap();
        let answer = able.http(request("POST", &from)).await.unwrap();
        let (_, to) = answer.headers.iter().find(|(name, _)| name == "location").unwrap();
        let next = able.http(request("POST", &format!("http://127.0.0.1:{port}{to}"))).await;
        match next {
            Ok(answer) => assert!(want && answer.status == 200),
            Err(CallError::Refused(text)) => assert!(!want && text.contains("/echo"), "{text}"),
            Err(error) => panic!("{error:?}"),
        }
        assert_eq!(seen.lock().unwrap().drain(..).count(), usize::from(want), "what is refused is not sent");
    }
}

#[test]
fn an_address_of_the_link_needs_a_grant_of_its_own_and_a_name_that_leads_there_a_word() {
    let asked = |url: &str| covers(&[HttpGrant::parse(spec("http://h/x")).unwrap()], "POST", url).is_ok();
    assert!(asked("http://h/x"));
    for url in ["http://169.254.169.254/x", "http://[fe80::1]/x", "http://127.0.0.1/x", "http://2852039166/x"]
    {
        assert!(!asked(url), "{url}");
    }
}

proptest! {
    #[test]
    fn what_is_granted_is_one_request_with_the_headers_of_the_grant(
        (method, path) in ("(GET|POST|get|CONNECT|P T|)", "/(x|y)"),
        name in "(host|Host|authorization|x-a|te|content-length|[ -~]{0,4}|x\r\na)",
        value in "([a-z]|\r|\n|\0|ü| ){0,4}",
    ) {
        let header_files = [("Authorization".to_owned(), "/x".into())].into();
        let grants = [HttpGrant::parse(HttpGrantSpec { header_files, ..spec("https://h/x") }).unwrap()];
        let asked = HttpRequest {
            headers: headers(&[(&name, &value)]),
            ..request(&method, &format!("https://h{path}"))
        };
        if let Ok(granted) = decide(&grants, asked) {
            prop_assert_eq!((granted.method, granted.target.url().as_str()), (Method::POST, "https://h/x"));
            for (name, value) in &granted.headers {
                prop_assert!(headers::of_guest(name.as_str()).is_ok() && name != "authorization");
                prop_assert!(!value.as_bytes().iter().any(|byte| b"\r\n\0".contains(byte)));
            }
        }
    }
}

#[tokio::test]
async fn the_beginning_of_a_large_body_is_kept() {
    let (port, _) = polite().await;
    let url = format!("http://127.0.0.1:{port}/large");
    assert_eq!(send(spec(&url), request("POST", &url)).await.unwrap().body.len(), KEEP);
}

/// A server that says these bytes to each caller, and then no more; `slow` keeps the connection open.
async fn rude(answer: &'static [u8], slow: bool) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/secret-hook?token=secret", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = [0; 1024];
        assert!(stream.read(&mut request).await.unwrap() > 0);
        stream.write_all(answer).await.unwrap();
        if slow {
            sleep(Duration::from_mins(1)).await;
        }
    });
    url
}

async fn check_rude(answer: &'static [u8], slow: bool, want: &str) {
    let url = rude(answer, slow).await;
    let timeout = if slow { Duration::from_millis(200) } else { Duration::from_secs(10) };
    let asked = HttpRequest { timeout, ..request("POST", &url) };
    let error = send(spec(&url), asked).await.unwrap_err();
    let text = error.to_string();
    assert_eq!(matches!(error, CallError::TimedOut(_)), slow, "{text}");
    assert!(text.starts_with("send POST to http://127.0.0.1:") && text.contains(want), "{text}");
    assert!(!text.contains("secret"), "{text}");
}

#[tokio::test]
async fn a_rude_server_is_a_failure_that_tells_no_secret() {
    check_rude(b"", true, "no whole answer within 200ms").await;
    check_rude(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc", true, "no whole answer").await;
    check_rude(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc", false, "").await;
    check_rude(b"", false, "connection closed").await;
    check_rude(b"SSH-2.0-OpenSSH_9.2\r\n", false, "invalid HTTP").await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/x?token=secret", listener.local_addr().unwrap());
    drop(listener);
    let text = send(spec(&url), request("POST", &url)).await.unwrap_err().to_string();
    assert!(text.contains("refused") && !text.contains("secret"), "{text}");
}

#[tokio::test]
async fn a_body_without_an_end_is_cut_at_the_limit() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        assert!(stream.read(&mut [0; 1024]).await.unwrap() > 0);
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
        // Until the client has hung up; bounded, should it not.
        for _ in 0..100_000 {
            if stream.write_all(&[b'x'; 4096]).await.is_err() {
                return true;
            }
        }
        false
    });
    let answer = send(spec(&url), request("POST", &url)).await.unwrap();
    assert_eq!(answer.body.len(), KEEP);
    assert!(server.await.unwrap(), "the connection is closed, the rest not read");
}

#[tokio::test]
async fn a_server_is_trusted_by_its_ca_file_only() {
    let (ours, other) = (Authority::new(), Authority::new());
    for (trusted, want) in [(&ours, true), (&other, false)] {
        let (port, serving) = ours.serve(&["", "HTTP/1.1 204 No Content\r\n\r\n"]);
        let url = format!("https://127.0.0.1:{port}/");
        let secured = HttpGrantSpec { ca_file: Some(trusted.ca_file()), ..spec(&url) };
        match send(secured, request("POST", &url)).await {
            Ok(answer) => assert!(want && answer.status == 204, "{answer:?}"),
            Err(CallError::Failed(text)) => assert!(!want && text.contains("certificate"), "{text}"),
            Err(error) => panic!("{error:?}"),
        }
        assert_eq!(serving.join().unwrap(), want);
    }
}

#[tokio::test]
async fn a_ca_file_replaces_the_systems_roots() {
    let Some(note) = note() else {
        let (system, other) = (Authority::new(), Authority::new());
        let answers = &["", "HTTP/1.1 204 No Content\r\n\r\n"];
        let ((first, _), (second, _)) = (system.serve(answers), system.serve(answers));
        let note = format!("{first} {second} {}", other.ca_file().display());
        return with_system_roots(&system, "http::tests::a_ca_file_replaces_the_systems_roots", &note);
    };
    let [first, second, ca_file] = note.split(' ').collect::<Vec<_>>()[..] else { panic!("{note}") };
    let url = |port| format!("https://127.0.0.1:{port}/");
    assert_eq!(send(spec(&url(first)), request("POST", &url(first))).await.unwrap().status, 204);
    let narrow = HttpGrantSpec { ca_file: Some(ca_file.into()), ..spec(&url(second)) };
    let error = send(narrow, request("POST", &url(second))).await.unwrap_err();
    assert!(error.to_string().contains("certificate"), "{error}");
}

#[test]
fn receivers_that_trust_alike_share_a_client() {
    let mut shared = HttpClients::default();
    let mut build = |spec| {
        Clients::build(&[HttpGrant::parse(spec).unwrap()], &mut shared).unwrap();
        shared.len()
    };
    assert_eq!(build(spec("http://127.0.0.1/x")), 1);
    assert_eq!(build(spec("http://two/x")), 1);
    assert_eq!(build(HttpGrantSpec { local: true, ..spec("http://two/x") }), 2, "it leads further");
    let header_files = [("X-Tok".to_owned(), "/x".into())].into();
    let with_secret = HttpGrantSpec { header_files, ..spec("http://127.0.0.1/x") };
    assert_eq!(build(with_secret), 3, "a server may know a connection by the secret that it has seen there");
}
