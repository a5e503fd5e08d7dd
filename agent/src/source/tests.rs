//! The driver against a small server with a script: one reply per request, whatever is asked.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::Response;
use tokio::net::TcpListener;
use tokio::time::timeout;

use super::*;
use crate::catalog::CheckStatus;
use crate::consul::Settings;

const SELF: &str = r#"{"Config": {"NodeName": "n1", "Datacenter": "dc1"}}"#;

/// One reply: status, index and body. An index of zero makes the query wait for ever.
type Reply = (u16, u64, String);

struct Script {
    settings: Settings,
    replies: Arc<Mutex<VecDeque<Reply>>>,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Script {
    async fn new(replies: impl IntoIterator<Item = Reply>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string().parse().unwrap();
        let replies = Arc::new(Mutex::new(replies.into_iter().collect::<VecDeque<_>>()));
        let (script, asked) = (Arc::clone(&replies), Arc::<Mutex<Vec<String>>>::default());
        let noted = Arc::clone(&asked);
        let app = Router::new().fallback(async move |request: Request| {
            noted.lock().unwrap().push(request.uri().to_string());
            let reply = script.lock().unwrap().pop_front();
            let Some((status, index, body)) = reply.filter(|(_, index, _)| *index > 0) else {
                return std::future::pending::<Response<Body>>().await;
            };
            Response::builder().status(status).header("X-Consul-Index", index).body(body.into()).unwrap()
        });
        tokio::spawn(async { axum::serve(listener, app).await });
        Self { settings: Settings { address, ..Settings::default() }, replies, asked }
    }

    fn source(&self) -> Source {
        Source::new(
            Client::new(&self.settings).unwrap(),
            What::NodeChecks.into(),
            self.settings.block_query_wait,
            (None, Shown::default()),
        )
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().iter().map(|uri| uri.replace("/v1/health/node/n1", "checks")).collect()
    }
}

fn ok(index: u64, body: impl Into<String>) -> Reply {
    (200, index, body.into())
}

fn check(status: &str, modify_index: u64) -> String {
    format!(
        r#"[{{"Node": "n1", "CheckID": "c", "Name": "c", "Status": "{status}", "Notes": "", "Output": "said",
        "ServiceID": "", "ServiceName": "", "CreateIndex": 1, "ModifyIndex": {modify_index}}}]"#
    )
}

fn show(update: &Update) -> String {
    match update {
        Update::Node(node) => format!("node {}", node.name),
        Update::Entries { entries, index, reset } => {
            let states: Vec<_> =
                entries.iter().filter_map(Entry::check).map(|check| check.status.as_str()).collect();
            format!("{} at {index}{}", states.join(" "), if *reset { ", reset" } else { "" })
        }
        Update::Lost { reason } => format!("lost: {}", reason.split_once("/v1/").unwrap().1),
        Update::Suspect { reason } => format!("suspect: {reason}"),
        Update::Recovered => "recovered".into(),
    }
}

async fn take(source: &mut Source, count: usize) -> Vec<String> {
    let mut told = Vec::new();
    while told.len() < count {
        told.push(show(&timeout(Duration::from_mins(2), source.next()).await.unwrap()));
    }
    told
}

#[tokio::test(start_paused = true)]
async fn errors_and_garbage_are_one_loss_and_the_stream_goes_on_where_it_was() {
    let script = Script::new([
        ok(1, SELF),
        ok(7, check("passing", 7)),
        (500, 1, "No cluster leader".into()),
        ok(1, SELF),
        ok(7, "<html>"),
        ok(1, SELF),
        ok(7, r#"[{"CheckID": "c"}]"#),
        ok(1, SELF),
        ok(9, check("critical", 9)),
        ok(10, check("passing", 10)),
    ])
    .await;
    let mut source = script.source();
    assert_eq!(
        take(&mut source, 6).await,
        [
            "node n1",
            "passing at 7",
            r#"lost: health/node/n1?index=7&wait=60000ms: status 500 "No cluster leader""#,
            "recovered",
            "critical at 9",
            "passing at 10",
        ]
    );
    let (node, all, waits) =
        ("/v1/agent/self", "checks", |index| format!("checks?index={index}&wait=60000ms"));
    let want = [node, all, &waits(7), node, all, node, all, node, all, &waits(9)];
    assert_eq!(script.asked(), want);
}

#[tokio::test(start_paused = true)]
async fn a_consul_that_is_gone_for_an_hour_is_one_loss_and_what_happened_meanwhile_is_told_once() {
    let gone = std::iter::repeat_n((500, 1, "No cluster leader".to_owned()), 200);
    let script = [ok(1, SELF), ok(7, check("passing", 7))].into_iter().chain(gone);
    let script = Script::new(script.chain([ok(1, SELF), ok(9, check("critical", 9))])).await;
    let (mut source, start) = (script.source(), Instant::now());
    let told = take(&mut source, 3).await;
    assert!(told[2].starts_with("lost: "), "{told:?}");
    let rest = timeout(Duration::from_hours(24), async { [source.next().await, source.next().await] }).await;
    assert_eq!(rest.unwrap().each_ref().map(show), ["recovered", "critical at 9"]);
    assert!(start.elapsed() > Duration::from_hours(1), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_suspicious_answer_is_confirmed_by_the_leader() {
    let script = Script::new([
        ok(1, SELF),
        ok(7, check("passing", 7)),
        ok(8, "[]"),
        (401, 1, "ACL support disabled".into()),
        ok(9, check("passing", 7)),
        ok(3, check("critical", 2)),
        ok(4, check("critical", 2)),
    ])
    .await;
    let mut source = script.source();
    let told = take(&mut source, 5).await;
    let suspect =
        "suspect: Consul's index went back from 9 to 3: its history began anew, or a server is behind";
    assert_eq!(told, ["node n1", "passing at 7", "passing at 9", suspect, "critical at 4, reset"]);
    let asked = script.asked();
    assert_eq!((asked[4].as_str(), asked[6].as_str()), ("checks?consistent", "checks?consistent"));
    assert_eq!(asked[3], "/v1/internal/acl/authorize", "the last trace of the node disappeared");
}

#[tokio::test]
async fn a_dropped_call_loses_nothing() {
    let script = Script::new([ok(1, SELF), ok(7, check("passing", 7)), ok(0, "")]).await;
    let mut source = script.source();
    assert_eq!(take(&mut source, 2).await, ["node n1", "passing at 7"]);

    // The query waits; the pipeline turns to something else.
    for _ in 0..500 {
        if script.asked().len() >= 3 {
            break;
        }
        assert!(timeout(Duration::from_millis(20), source.next()).await.is_err());
    }
    script.replies.lock().unwrap().push_back(ok(8, check("warning", 8)));
    let Update::Entries { entries, .. } = source.next().await else {
        unreachable!("only checks are scripted")
    };
    assert_eq!(entries[0].check().unwrap().status, CheckStatus::Warning);
    let asked = script.asked();
    assert_eq!(asked[2..], vec![asked[2].clone(); asked.len() - 2], "the same is asked again");
    assert_eq!(asked[2], "checks?index=7&wait=60000ms");
}
