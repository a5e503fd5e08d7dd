//! Whom a TLS connection trusts: the system's roots, or only the certificates of one file.
//!
//! Boundary: builds settings; opens no connection.
//!
//! Invariant: a file that was named is the only trust. It never adds to the system's roots.

use std::{
    path::Path,
    sync::{Arc, Mutex, PoisonError, Weak},
};

use rustls::{
    ClientConfig, RootCertStore,
    crypto::{CryptoProvider, ring},
    pki_types::{CertificateDer, pem::PemObject as _},
};
use rustls_platform_verifier::Verifier;

use crate::{GrantError, regular};

/// The certificates of a PEM file; at least one.
pub(crate) fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, GrantError> {
    let fault = |why: &dyn std::fmt::Display| GrantError(format!("read ca_file {}: {why}", path.display()));
    let pem = regular::whole(path, regular::PEM_MAX).map_err(|error| fault(&error))?;
    let certificates: Vec<_> = CertificateDer::pem_slice_iter(&pem)
        .collect::<Result<_, _>>()
        .map_err(|error| fault(&format!("it is not PEM ({error})")))?;
    if certificates.is_empty() {
        return Err(fault(&"it holds no certificate"));
    }
    Ok(certificates)
}

/// The system's roots, as long as somebody uses them: a hundred kilobytes, which a hundred receivers share.
static SYSTEM: Mutex<Weak<Verifier>> = Mutex::new(Weak::new());

/// Has the system's roots be read anew for what is built from now on: they may have changed.
pub fn read_roots_anew() {
    *SYSTEM.lock().unwrap_or_else(PoisonError::into_inner) = Weak::new();
}

/// Trusts the system's roots.
pub(crate) fn system() -> Result<ClientConfig, GrantError> {
    let provider = provider();
    let mut shared = SYSTEM.lock().unwrap_or_else(PoisonError::into_inner);
    let verifier = if let Some(verifier) = shared.upgrade() {
        verifier
    } else {
        let read = Verifier::new(Arc::clone(&provider));
        let read =
            read.map_err(|error| GrantError(format!("read the system's root certificates: {error}")))?;
        let read = Arc::new(read);
        *shared = Arc::downgrade(&read);
        read
    };
    Ok(versions(provider)?.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth())
}

/// Trusts what the file signed. Without a file: nobody, for clients that speak plain HTTP only.
pub(crate) fn only(ca_file: Option<&Path>) -> Result<ClientConfig, GrantError> {
    let mut roots = RootCertStore::empty();
    if let Some(path) = ca_file {
        for certificate in certificates(path)? {
            roots
                .add(certificate)
                .map_err(|error| GrantError(format!("read ca_file {}: {error}", path.display())))?;
        }
    }
    Ok(versions(provider())?.with_root_certificates(roots).with_no_client_auth())
}

/// Named here rather than installed for the process: two crates that install one would collide.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

fn versions(
    provider: Arc<CryptoProvider>,
) -> Result<rustls::ConfigBuilder<ClientConfig, rustls::WantsVerifier>, GrantError> {
    ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| GrantError(format!("set up TLS: {error}")))
}

#[cfg(test)]
pub(crate) mod tests;
