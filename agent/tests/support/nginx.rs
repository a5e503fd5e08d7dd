//! A real nginx as a receiver of webhooks, with and without TLS.

use std::fs;
use std::net::{Ipv4Addr, TcpStream};
use std::path::Path;
use std::process::Command;

use serde::Deserialize;
use tempfile::TempDir;

use super::mail::certificate;
use super::process::Process;
use super::{eventually, free_port, from_setup};

/// The seconds that `/busy` asks its callers to wait.
pub const RETRY_AFTER: u64 = 1;

/// nginx on loopback: `/ok` answers 200, `/busy` 503 with `Retry-After`, `/bad` 400, and `/moved` 302
/// to `/ok`; each answer's body is its path's word.
pub struct Nginx {
    plain_port: u16,
    tls_port: u16,
    process: Process,
    dir: TempDir,
}

/// A request that nginx saw. A header that was not sent is empty.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub struct Request {
    /// For example `POST`.
    pub method: String,
    /// Path and query.
    pub uri: String,
    /// `http` or `https`.
    pub scheme: String,
    /// The header `Content-Type`.
    pub content_type: String,
    /// The header `User-Agent`.
    pub user_agent: String,
    /// The header `Authorization`.
    pub authorization: String,
    /// The header `Idempotency-Key`.
    pub idempotency_key: String,
    /// The header `X-Test`, for a test's own use.
    pub x_test: String,
    /// The body, up to 1 MiB.
    pub body: String,
    /// What nginx answered.
    pub status: String,
}

impl Nginx {
    /// Starts nginx on free ports; it serves when this returns.
    pub async fn start() -> Self {
        let (dir, plain_port, tls_port) = (TempDir::new().unwrap(), free_port(), free_port());
        fs::write(dir.path().join("nginx.conf"), configuration(dir.path(), plain_port, tls_port)).unwrap();
        let mut command = Command::new(from_setup("parts/bin/nginx"));
        command.arg("-p").arg(dir.path()).args(["-c", "nginx.conf", "-e", "stderr"]);
        let mut process = Process::start("nginx", &mut command, dir.path().join("nginx.log"));
        let open = |port| TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok();
        let serving =
            process.until("open its ports", async |_| (open(plain_port) && open(tls_port)).then_some(()));
        serving.await;
        Self { plain_port, tls_port, process, dir }
    }

    /// The URL of a path such as `/ok`, without TLS.
    pub fn http(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.plain_port)
    }

    /// The URL of a path such as `/ok`, with TLS; [`super::mail::ca`] vouches for it.
    pub fn https(&self, path: &str) -> String {
        format!("https://localhost:{}{path}", self.tls_port)
    }

    /// What nginx has answered so far, in order.
    pub fn requests(&self) -> Vec<Request> {
        let log = fs::read_to_string(self.dir.path().join("requests.log")).unwrap();
        log.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// Waits until `count` requests were answered, and gives back all that were.
    pub async fn wait_for(&self, count: usize) -> Vec<Request> {
        let requests = eventually(async || Some(self.requests()).filter(|seen| seen.len() >= count)).await;
        requests.unwrap_or_else(|| {
            panic!("fewer than {count} requests came: {:?}\n{}", self.requests(), self.process.log())
        })
    }
}

/// nginx reads, and so logs, a body only when it passes it on: the outer servers pass it to an inner one.
fn configuration(dir: &Path, plain_port: u16, tls_port: u16) -> String {
    let (cert, key) = (certificate("server.pem"), certificate("server.key"));
    format!(
        r#"
daemon off;
master_process off;
pid nginx.pid;
events {{ worker_connections 64; }}
http {{
    access_log off;
    client_body_temp_path tmp-body;
    proxy_temp_path tmp-proxy;
    fastcgi_temp_path tmp-fastcgi;
    uwsgi_temp_path tmp-uwsgi;
    scgi_temp_path tmp-scgi;
    log_format requests escape=json '{{"method":"$request_method","uri":"$request_uri","scheme":"$scheme",'
        '"content_type":"$http_content_type","user_agent":"$http_user_agent",'
        '"authorization":"$http_authorization","idempotency_key":"$http_idempotency_key",'
        '"x_test":"$http_x_test","body":"$request_body","status":"$status"}}';
    server {{
        listen 127.0.0.1:{plain_port};
        listen 127.0.0.1:{tls_port} ssl;
        ssl_certificate {cert};
        ssl_certificate_key {key};
        access_log requests.log requests;
        client_max_body_size 1m;
        client_body_buffer_size 1m;
        location / {{
            proxy_pass http://unix:{dir}/inner.sock;
            proxy_redirect off;
        }}
    }}
    server {{
        listen unix:{dir}/inner.sock;
        absolute_redirect off;
        location = /ok {{ return 200 "ok\n"; }}
        location = /busy {{ add_header Retry-After {RETRY_AFTER} always; return 503 "busy\n"; }}
        location = /bad {{ return 400 "bad\n"; }}
        location = /moved {{ return 302 /ok; }}
    }}
}}
"#,
        cert = cert.display(),
        key = key.display(),
        dir = dir.display(),
    )
}
