//! CA files as tables; a TLS server for the tests of those who connect.

use std::{
    io::{Read as _, Write as _},
    net::TcpListener,
    path::PathBuf,
    process,
    thread::{self, JoinHandle},
    time::Duration,
};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::{
    ServerConfig, ServerConnection, StreamOwned,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
};

use super::*;

/// A certificate authority, its file, and a server on 127.0.0.1 that it vouches for.
pub(crate) struct Authority {
    folder: tempfile::TempDir,
    server: Arc<ServerConfig>,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let leaf =
            CertificateParams::new(vec!["127.0.0.1".into()]).unwrap().signed_by(&key, &issuer).unwrap();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let server = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![leaf.der().clone()], key)
            .unwrap();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("ca.pem"), issuer.pem()).unwrap();
        Self { folder, server: Arc::new(server) }
    }

    pub(crate) fn ca_file(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// Serves one connection: says `answers[0]`, then one more for each thing it hears. Answers with the
    /// port; the thread, with whether the handshake succeeded.
    pub(crate) fn serve(&self, answers: &'static [&'static str]) -> (u16, JoinHandle<bool>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let connection = ServerConnection::new(Arc::clone(&self.server)).unwrap();
        let serving = thread::spawn(move || {
            let (stream, _) = listener.accept().unwrap();
            stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
            let mut stream = StreamOwned::new(connection, stream);
            for (index, answer) in answers.iter().enumerate() {
                if index > 0 && stream.read(&mut [0; 4096]).is_err() {
                    return false;
                }
                if stream.write_all(answer.as_bytes()).and_then(|()| stream.flush()).is_err() {
                    return false;
                }
            }
            true
        });
        (port, serving)
    }
}

/// Set in a process that was started by `with_system_roots`.
const NOTE: &str = "LICTOR_TEST_NOTE";

/// Runs the named test again in a process whose system roots are the authority's, and hands it a note.
pub(crate) fn with_system_roots(authority: &Authority, test: &str, note: &str) {
    let output = process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test])
        .env("SSL_CERT_FILE", authority.ca_file())
        .env(NOTE, note)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}

/// The note, in the process that got one.
pub(crate) fn note() -> Option<String> {
    std::env::var(NOTE).ok()
}

#[track_caller]
fn check(content: &str, want: Result<usize, &str>) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ca.pem");
    std::fs::write(&path, content).unwrap();
    match (certificates(&path), want) {
        (Ok(found), Ok(count)) => assert_eq!(found.len(), count),
        (Err(error), Err(want)) => {
            assert!(
                error.to_string().starts_with(&format!("read ca_file {}: {want}", path.display())),
                "{error}"
            );
        }
        (got, want) => panic!("{got:?}, wanted {want:?}"),
    }
}

#[test]
fn a_ca_file_holds_at_least_one_certificate() {
    let pem = std::fs::read_to_string(Authority::new().ca_file()).unwrap();
    check(&pem, Ok(1));
    check(&format!("a comment\n{pem}{pem}"), Ok(2));
    check("", Err("it holds no certificate"));
    check("-----BEGIN CERTIFICATE-----\nAAAA", Err("it is not PEM"));
    assert!(only(Some(Path::new("/nowhere/ca.pem"))).unwrap_err().to_string().contains("No such file"));
}

#[test]
fn a_certificate_that_is_no_authority_at_all_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ca.pem");
    std::fs::write(&path, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").unwrap();
    assert!(only(Some(&path)).unwrap_err().to_string().starts_with("read ca_file"));
}

#[test]
fn the_systems_roots_are_kept_once_until_they_are_read_anew() {
    let kept = || SYSTEM.lock().unwrap().clone();
    let _first = system().unwrap();
    let before = kept();
    let _second = system().unwrap();
    assert!(Weak::ptr_eq(&before, &kept()));
    read_roots_anew();
    let _third = system().unwrap();
    assert!(!Weak::ptr_eq(&before, &kept()));
}
