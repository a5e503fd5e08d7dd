//! What other processes of this machine ask of a Lictor that runs: HTTP on a socket in its `data_dir`.
//!
//! Boundary: carries questions and answers. What is asked is done by `app`.
//!
//! Invariant: only the user that Lictor runs as, and root, can reach the socket.

mod client;

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::routing::{get, post};
use tokio::net::UnixListener;
use tokio::sync::{mpsc, oneshot};
use tracing::warn;

pub use client::{AskError, look, reload, status};

use crate::metrics::Metrics;

/// The socket, in `data_dir`.
pub const SOCKET: &str = "lictor.sock";

/// What Prometheus calls the text of its metrics.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Questions that wait for their answer; who comes then waits too.
const WAITING: usize = 16;

/// Something that is asked of a Lictor that runs.
#[derive(Debug)]
pub enum Question {
    /// Somebody else made deliveries due: look for them.
    Look,
    /// Take the configuration anew. The answer is one line, or all that is wrong.
    Reload(oneshot::Sender<Result<String, String>>),
    /// How it stands. The answer is JSON.
    Status(oneshot::Sender<String>),
}

/// The asking end.
type Questions = mpsc::Sender<Question>;

/// Listens at `path` within a tokio runtime, and gives what is asked. A socket that is left from before is
/// replaced, so the store's lock must be held.
///
/// # Errors
/// The socket cannot be made: its path is too long (over 107 bytes), for example.
pub fn listen(path: &Path, metrics: Metrics) -> io::Result<(Questions, mpsc::Receiver<Question>)> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(path)?;
    // The folder is closed to others already.
    fs::set_permissions(path, Permissions::from_mode(0o600))?;
    let (sender, questions) = mpsc::channel(WAITING);
    let app = Router::new()
        .route("/v1/look", post(answer_look))
        .route("/v1/reload", post(answer_reload))
        .route("/v1/status", get(answer_status))
        .route("/metrics", get(async move || ([(CONTENT_TYPE, OPEN_METRICS)], metrics.text())))
        .with_state(sender.clone());
    tokio::spawn(async move {
        if let Err(error) = axum::serve(listener, app).await {
            warn!(%error, "Nobody can ask this Lictor anything any more.");
        }
    });
    Ok((sender, questions))
}

async fn answer_look(State(questions): State<Questions>) -> StatusCode {
    match questions.send(Question::Look).await {
        Ok(()) => StatusCode::NO_CONTENT,
        Err(_) => StatusCode::SERVICE_UNAVAILABLE,
    }
}

async fn answer_reload(State(questions): State<Questions>) -> (StatusCode, String) {
    let (reply, answer) = oneshot::channel();
    let ends = || (StatusCode::SERVICE_UNAVAILABLE, "Lictor is ending\n".to_owned());
    if questions.send(Question::Reload(reply)).await.is_err() {
        return ends();
    }
    match answer.await {
        Ok(Ok(said)) => (StatusCode::OK, said),
        Ok(Err(faults)) => (StatusCode::UNPROCESSABLE_ENTITY, faults),
        Err(_) => ends(),
    }
}

async fn answer_status(State(questions): State<Questions>) -> Result<String, StatusCode> {
    let (reply, answer) = oneshot::channel();
    let ends = StatusCode::SERVICE_UNAVAILABLE;
    questions.send(Question::Status(reply)).await.map_err(|_| ends)?;
    answer.await.map_err(|_| ends)
}

#[cfg(test)]
mod tests;
