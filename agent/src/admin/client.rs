//! Asks a Lictor that runs.

use std::path::Path;
use std::time::Duration;

use reqwest::{Client, Method, Response, StatusCode};

/// A Lictor that is there takes the connection at once.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// A reload compiles plugins that it does not know yet, the largest for some minutes.
const TIMEOUT: Duration = Duration::from_mins(10);

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// Nobody listens: no Lictor runs on this `data_dir`.
    #[error("ask Lictor: none runs here (nobody listens at {0})")]
    NotRunning(String),
    /// It said no, and why.
    #[error("{0}")]
    Refused(String),
    /// It broke off.
    #[error("ask Lictor")]
    Broken(#[source] reqwest::Error),
}

/// Has the Lictor whose socket is at `path` look for deliveries that became due.
///
/// # Errors
/// It did not hear it.
pub async fn look(path: &Path) -> Result<(), AskError> {
    ask(path, Method::POST, "look").await.map(drop)
}

/// Has the Lictor whose socket is at `path` take its configuration anew. Gives what it says.
///
/// # Errors
/// It refused the configuration, and goes on with the one that it has; or it did not hear it.
pub async fn reload(path: &Path) -> Result<String, AskError> {
    ask(path, Method::POST, "reload").await?.text().await.map_err(AskError::Broken)
}

/// Asks the Lictor whose socket is at `path` how it stands. Gives JSON.
///
/// # Errors
/// It did not hear it.
pub async fn status(path: &Path) -> Result<String, AskError> {
    ask(path, Method::GET, "status").await?.text().await.map_err(AskError::Broken)
}

async fn ask(path: &Path, method: Method, verb: &str) -> Result<Response, AskError> {
    crate::consul::provide_crypto();
    let client = Client::builder()
        .no_proxy()
        .unix_socket(path)
        .tls_certs_only(std::iter::empty())
        .connect_timeout(CONNECT_TIMEOUT)
        .timeout(TIMEOUT)
        .build()
        .map_err(AskError::Broken)?;
    let asked = client.request(method, format!("http://lictor/v1/{verb}")).send().await;
    let response = asked.map_err(|error| {
        if error.is_connect() {
            AskError::NotRunning(path.display().to_string())
        } else {
            AskError::Broken(error)
        }
    })?;
    match response.status() {
        StatusCode::UNPROCESSABLE_ENTITY | StatusCode::SERVICE_UNAVAILABLE => {
            Err(AskError::Refused(response.text().await.map_err(AskError::Broken)?))
        }
        _ => response.error_for_status().map_err(AskError::Broken),
    }
}
