//! Whatever takes events in by HTTP: an incoming webhook of a chat, a handler of a watch.

use std::net::{Ipv4Addr, SocketAddr};

use axum::Router;
use axum::http::HeaderMap;
use tokio::net::TcpListener;
use tokio::sync::mpsc;

/// One thing that was posted.
#[derive(Debug)]
pub struct Post {
    headers: HeaderMap,
    pub body: String,
}

impl Post {
    /// The value of a header that is there.
    pub fn header(&self, name: &str) -> &str {
        self.headers[name].to_str().unwrap()
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

/// It answers 200 to all, until the test ends.
pub struct Inbox {
    pub url: String,
    posts: mpsc::UnboundedReceiver<Post>,
}

impl Inbox {
    pub async fn start() -> Self {
        Self::at((Ipv4Addr::LOCALHOST, 0).into()).await
    }

    pub async fn at(address: SocketAddr) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let url = format!("http://{}/hooks/ops", listener.local_addr().unwrap());
        let (posted, posts) = mpsc::unbounded_channel();
        let app = Router::new().fallback(async move |headers: HeaderMap, body: String| {
            posted.send(Post { headers, body }).ok();
        });
        tokio::spawn(async { axum::serve(listener, app).await });
        Self { url, posts }
    }

    /// What is posted next.
    pub async fn next(&mut self) -> Post {
        let post = tokio::time::timeout(super::PATIENCE, self.posts.recv()).await;
        post.expect("something is posted").unwrap()
    }

    /// What was posted and not looked at yet.
    pub fn rest(&mut self) -> Vec<Post> {
        std::iter::from_fn(|| self.posts.try_recv().ok()).collect()
    }
}
