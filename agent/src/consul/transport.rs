//! The connection to the agent: TCP or a Unix socket, plain or TLS.
//!
//! Boundary: turns `Settings` into a `reqwest` client and sends nothing. A proxy from the
//! environment is never used: the agent is this machine's, and a proxy would see the token.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::{HOST, HeaderMap, HeaderValue};
use reqwest::tls::{Certificate, Identity};
use reqwest::{ClientBuilder, redirect};
use rustls::crypto::CryptoProvider;
use url::Url;

use super::{Settings, SetupError};
use crate::regular;

/// A connection that is not there by then never comes: the agent is near.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// The client, and the base URL of its queries.
pub(super) fn build(settings: &Settings) -> Result<(reqwest::Client, Url), SetupError> {
    let mut url = settings.address.url(settings.https)?;
    let mut builder = reqwest::Client::builder()
        .no_proxy()
        .redirect(redirect::Policy::none())
        .connect_timeout(CONNECT_TIMEOUT)
        .user_agent(concat!("lictor/", env!("CARGO_PKG_VERSION")));
    if let Some(path) = settings.address.socket() {
        builder = builder.unix_socket(path);
    }
    provide_crypto();
    if url.scheme() == "https" {
        builder = secure(builder, settings)?;
        if let Some(name) = &settings.tls_server_name {
            builder = rename(builder, &mut url, name)?;
        }
    } else {
        // Spares reading the system's authorities, which takes longer than all the rest of the start.
        builder = builder.tls_certs_only(std::iter::empty());
    }
    let client = builder.build().map_err(SetupError::Transport)?;
    Ok((client, url))
}

/// Chooses who does the cryptography. A client's builder makes a TLS configuration even for plain http.
pub(crate) fn provide_crypto() {
    if CryptoProvider::get_default().is_none() {
        // An error only says that another thread was first, which is as good.
        drop(rustls::crypto::ring::default_provider().install_default());
    }
}

fn secure(mut builder: ClientBuilder, settings: &Settings) -> Result<ClientBuilder, SetupError> {
    let files = authorities(settings)?;
    if !files.is_empty() {
        let mut certificates = Vec::new();
        for file in files {
            certificates.extend(certificates_of(&file)?);
        }
        builder = builder.tls_certs_only(certificates);
    }
    if !settings.verify {
        builder = builder.tls_danger_accept_invalid_certs(true);
    }
    match (&settings.client_cert, &settings.client_key) {
        (None, None) => Ok(builder),
        (Some(certificate), Some(key)) => {
            let mut pem = read(certificate)?;
            pem.push(b'\n');
            pem.extend(read(key)?);
            let identity = Identity::from_pem(&pem).map_err(|source| SetupError::Identity {
                certificate: certificate.clone(),
                key: key.clone(),
                source,
            })?;
            Ok(builder.identity(identity))
        }
        _ => Err(SetupError::HalfIdentity),
    }
}

fn authorities(settings: &Settings) -> Result<Vec<PathBuf>, SetupError> {
    let mut files: Vec<_> = settings.ca_file.iter().cloned().collect();
    if let Some(folder) = &settings.ca_path {
        let unreadable = |source| SetupError::Read { path: folder.clone(), source };
        let entries = fs::read_dir(folder).and_then(Iterator::collect::<io::Result<Vec<_>>>);
        files.extend(
            entries.map_err(unreadable)?.iter().map(fs::DirEntry::path).filter(|path| path.is_file()),
        );
    }
    Ok(files)
}

fn certificates_of(file: &Path) -> Result<Vec<Certificate>, SetupError> {
    let certificates = Certificate::from_pem_bundle(&read(file)?)
        .map_err(|source| SetupError::Authority { path: file.into(), source })?;
    if certificates.is_empty() {
        return Err(SetupError::NoAuthority { path: file.into() });
    }
    Ok(certificates)
}

fn read(path: &Path) -> Result<Vec<u8>, SetupError> {
    regular::whole(path, regular::PEM_MAX).map_err(|source| SetupError::Read { path: path.into(), source })
}

/// Puts `name` in the place of the URL's host, for the handshake and the certificate alone: the
/// connection and the `Host` header keep the old one.
fn rename(builder: ClientBuilder, url: &mut Url, name: &str) -> Result<ClientBuilder, SetupError> {
    let bad = || SetupError::ServerName(name.into());
    let authority = HeaderValue::from_str(url.authority()).map_err(|_| bad())?;
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned();
    url.set_host(Some(name)).map_err(|_| bad())?;
    if url.domain().is_none() {
        return Err(bad());
    }
    Ok(builder.default_headers(HeaderMap::from_iter([(HOST, authority)])).dns_resolver(Always { host }))
}

/// Looks up one host, whatever it is asked for.
struct Always {
    host: String,
}

impl Resolve for Always {
    fn resolve(&self, _: Name) -> Resolving {
        let host = self.host.clone();
        Box::pin(async move {
            // The port is the URL's.
            let found: Vec<_> = tokio::net::lookup_host((host, 0)).await?.collect();
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_fault(settings: Settings, want: &str) {
        let https = Settings { address: "https://127.0.0.1:8501".parse().unwrap(), ..settings };
        assert_eq!(build(&https).unwrap_err().to_string(), want);
    }

    #[test]
    fn a_wrong_tls_setting_is_an_error_that_names_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let shown = |name: &str| path(name).display().to_string();
        fs::write(path("empty"), "").unwrap();
        let none = Settings::default;
        check_fault(Settings { ca_file: Some(path("none")), ..none() }, &format!("read {}", shown("none")));
        check_fault(Settings { ca_path: Some(path("none")), ..none() }, &format!("read {}", shown("none")));
        check_fault(
            Settings { ca_path: Some(path("")), ..none() },
            &format!("read {}: it holds no certificate in PEM form", shown("empty")),
        );
        check_fault(
            Settings { client_cert: Some(path("empty")), ..none() },
            "use a client certificate: the certificate and its key belong together, and one is missing",
        );
        check_fault(
            Settings { client_cert: Some(path("empty")), client_key: Some(path("empty")), ..none() },
            &format!("use client certificate {} with key {}", shown("empty"), shown("empty")),
        );
        check_fault(
            Settings { ca_file: None, verify: false, tls_server_name: Some("10.0.0.1".into()), ..none() },
            r#"use TLS server name "10.0.0.1": not a DNS name"#,
        );
    }

    #[test]
    fn a_server_name_changes_the_url_and_nothing_else() {
        let settings = Settings {
            address: "https://127.0.0.1:8501/prefix".parse().unwrap(),
            tls_server_name: Some("server.dc1.consul".into()),
            verify: false,
            ..Settings::default()
        };
        assert_eq!(build(&settings).unwrap().1.as_str(), "https://server.dc1.consul:8501/prefix");
    }
}
