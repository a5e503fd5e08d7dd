//! A server that answers as a Consul agent with one check does, until it is told to answer wrongly.
//!
//! For what a real Consul cannot be made to say on demand; all else is tested with the real one.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::{Response, Uri};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::timeout;

use super::{PATIENCE, eventually};

/// The status and the body of a wrong answer.
pub type Trouble = (u16, &'static str);

/// The server; it ends with the runtime of its test.
pub struct FakeConsul {
    address: String,
    state: watch::Sender<State>,
    queries: Arc<AtomicUsize>,
}

#[derive(Clone)]
struct State {
    index: u64,
    status: &'static str,
    trouble: Option<Trouble>,
}

impl FakeConsul {
    /// An agent whose node `n1` has a passing check `web`.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let state = watch::Sender::new(State { index: 10, status: "passing", trouble: None });
        let queries = Arc::new(AtomicUsize::new(0));
        let (seen, noted) = (state.clone(), Arc::clone(&queries));
        let app = Router::new().fallback(async move |request: Request| {
            noted.fetch_add(1, Ordering::Relaxed);
            answer(request.uri().clone(), seen.subscribe()).await
        });
        tokio::spawn(async { axum::serve(listener, app).await });
        Self { address, state, queries }
    }

    /// For example `http://127.0.0.1:8500`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Gives the check another status (also `silent`), which is seen once there is no trouble.
    pub fn set(&self, status: &'static str) {
        self.state.send_modify(|state| (state.index, state.status) = (state.index + 1, status));
    }

    /// Answers every query with this from now on, or again as it should.
    pub fn trouble(&self, trouble: Option<Trouble>) {
        self.state.send_modify(|state| state.trouble = trouble);
    }

    /// How many queries came so far.
    pub fn queries(&self) -> usize {
        self.queries.load(Ordering::Relaxed)
    }

    /// Waits until `count` more queries came.
    pub async fn asked(&self, count: usize) {
        let wanted = self.queries() + count;
        let asked = eventually(async || (self.queries() >= wanted).then_some(()));
        asked.await.expect("queries come");
    }
}

async fn answer(uri: Uri, mut state: watch::Receiver<State>) -> Response<Body> {
    let known = uri.query().into_iter().flat_map(|query| query.split('&'));
    let known: Option<u64> =
        known.filter_map(|pair| pair.strip_prefix("index=")).find_map(|index| index.parse().ok());
    let is_news = |state: &State| state.trouble.is_some() || known != Some(state.index);
    // A query that nothing new comes for is answered with what there is.
    drop(timeout(PATIENCE, state.wait_for(is_news)).await);
    let State { index, status, trouble } = state.borrow().clone();
    let response = Response::builder().header("X-Consul-Index", index);
    if let Some((code, body)) = trouble {
        return response.status(code).body(body.into()).unwrap();
    }
    let body = if uri.path() == "/v1/agent/self" {
        json!({ "Config": { "NodeName": "n1", "Datacenter": "dc1" }, "Meta": {} })
    } else {
        // A check that has not run yet is critical without a word.
        let (status, output) = if status == "silent" { ("critical", "") } else { (status, status) };
        json!([{
            "Node": "n1", "CheckID": "web", "Name": "web", "Status": status, "Notes": "", "Output": output, "Type": "http",
            "ServiceID": "web", "ServiceName": "web", "ServiceTags": [], "CreateIndex": 5, "ModifyIndex": index,
        }])
    };
    response.body(body.to_string().into()).unwrap()
}
