//! The web server that the check asks, and the receiver of webhooks.

use std::net::{Ipv4Addr, SocketAddr};

use anyhow::Context;
use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::{get, post};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use crate::sighting::{Place, Plugin, Sighting};

/// The service `web`; it stops answering when it is stopped or dropped.
pub(crate) struct WebServer {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl WebServer {
    /// Serves `/health` on a free port, or on the one where it was before.
    pub(crate) async fn start(port: u16) -> anyhow::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await.context("bind the web server")?;
        let address = listener.local_addr().context("bind the web server")?;
        let (stop, stopped) = oneshot::channel();
        let app = Router::new().route("/health", get(async || "web is well\n"));
        let serve = axum::serve(listener, app).with_graceful_shutdown(async {
            stopped.await.ok();
        });
        let task = tokio::spawn(async {
            serve.await.ok();
        });
        Ok(Self { address, stop, task })
    }

    /// Host and port.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Closes the port and waits for running answers.
    pub(crate) async fn stop(self) {
        self.stop.send(()).ok();
        self.task.await.ok();
    }
}

/// Serves `/hooks/chat` for as long as the runtime lives, and gives back host and port.
pub(crate) async fn receive_webhooks(news: mpsc::Sender<Sighting>) -> anyhow::Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.context("bind the webhook receiver")?;
    let address = listener.local_addr().context("bind the webhook receiver")?;
    let app = Router::new().route("/hooks/chat", post(webhook)).with_state(news);
    tokio::spawn(async {
        axum::serve(listener, app).await.ok();
    });
    Ok(address)
}

async fn webhook(State(news): State<mpsc::Sender<Sighting>>, body: String) -> StatusCode {
    let Some((status, change)) = change(&body) else { return StatusCode::BAD_REQUEST };
    let detail = format!("POST /hooks/chat: {change}");
    let sighting = Sighting { place: Place::Plugin(Plugin::Webhook), status, detail };
    match news.send(sighting).await {
        Ok(()) => StatusCode::NO_CONTENT,
        Err(_) => StatusCode::SERVICE_UNAVAILABLE,
    }
}

/// The new state that a `CloudEvent` tells, and its type and change in words.
pub(crate) fn change(event: &str) -> Option<(String, String)> {
    let event: Value = serde_json::from_str(event).ok()?;
    let data = &event["data"];
    let (from, to) = (data["from"].as_str()?, data["to"].as_str()?);
    let change = format!("{} {} {from} -> {to}", event["type"].as_str()?, data["service"].as_str()?);
    Some((to.to_owned(), change))
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVENT: &str =
        r#"{"type":"lictor.check.status","data":{"service":"web","from":"passing","to":"critical"}}"#;

    async fn status_of(request: reqwest::RequestBuilder) -> Option<u16> {
        request.send().await.ok().map(|answer| answer.status().as_u16())
    }

    #[tokio::test]
    async fn the_web_server_stops_and_comes_back_at_the_same_address() {
        let client = crate::tests::client();
        let server = WebServer::start(0).await.unwrap();
        let url = format!("http://{}/health", server.address());
        let port = server.address().port();

        assert_eq!(status_of(client.get(&url)).await, Some(200));
        server.stop().await;
        assert_eq!(status_of(client.get(&url)).await, None);
        let _server = WebServer::start(port).await.unwrap();
        assert_eq!(status_of(client.get(&url)).await, Some(200));
    }

    #[tokio::test]
    async fn a_webhook_is_told_and_other_bodies_are_refused() {
        let (news, mut seen) = mpsc::channel(8);
        let client = crate::tests::client();
        let url = format!("http://{}/hooks/chat", receive_webhooks(news).await.unwrap());

        assert_eq!(status_of(client.post(&url).body("{}")).await, Some(400));
        assert_eq!(status_of(client.post(&url).body(EVENT)).await, Some(204));
        let sighting = seen.recv().await.unwrap();
        assert_eq!((sighting.place, sighting.status.as_str()), (Place::Plugin(Plugin::Webhook), "critical"));
        assert_eq!(sighting.detail, "POST /hooks/chat: lictor.check.status web passing -> critical");
    }
}
