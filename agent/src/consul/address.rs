//! Where a Consul agent listens, in the forms that Consul's own client accepts.
//!
//! Boundary: text to value and value to URL; nothing is looked up here.
//!
//! Invariant: an `Address` holds no user name and no password, so it can be shown.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use url::Url;

/// `host:port`, `http://…`, `https://…` or `unix:///path`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    scheme: Option<Scheme>,
    place: Place,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scheme {
    Http,
    Https,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Place {
    /// Host, port and perhaps a path before `/v1`, as written after the scheme.
    Host(String),
    Socket(PathBuf),
}

/// Not an address of a Consul agent. The text is shown without what stands before an `@`.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "read address {text:?}: {fault}; right are host:port, http://host:port, https://host:port, unix:///path"
)]
pub struct AddressError {
    text: String,
    fault: &'static str,
}

impl Address {
    /// The address as a base URL; `https` decides where the address names no scheme.
    ///
    /// A Unix socket gets the host `localhost`, which is never looked up.
    pub(super) fn url(&self, https: bool) -> Result<Url, AddressError> {
        let scheme = self.scheme.unwrap_or(if https { Scheme::Https } else { Scheme::Http });
        let host = match &self.place {
            Place::Host(host) => host,
            Place::Socket(_) => "localhost",
        };
        base_url(scheme, host).map_err(|fault| AddressError { text: self.to_string(), fault })
    }

    /// The path of the Unix socket, if it is one.
    pub(super) fn socket(&self) -> Option<&Path> {
        match &self.place {
            Place::Host(_) => None,
            Place::Socket(path) => Some(path),
        }
    }

    /// The same place, with https even where http was named.
    #[must_use]
    pub(super) fn secured(self) -> Self {
        Self { scheme: Some(Scheme::Https), ..self }
    }
}

impl Default for Address {
    fn default() -> Self {
        Self { scheme: None, place: Place::Host("127.0.0.1:8500".into()) }
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        parse(text).map_err(|fault| AddressError { text: without_credentials(text), fault })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.place, self.scheme) {
            (Place::Socket(path), _) => write!(f, "unix://{}", path.display()),
            (Place::Host(host), None) => f.write_str(host),
            (Place::Host(host), Some(scheme)) => write!(f, "{}://{host}", scheme.as_str()),
        }
    }
}

impl Scheme {
    fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }
}

fn parse(text: &str) -> Result<Address, &'static str> {
    let (scheme, host) = match text.split_once("://") {
        Some(("unix", path)) if Path::new(path).is_absolute() => {
            return Ok(Address { scheme: None, place: Place::Socket(path.into()) });
        }
        Some(("unix", _)) => return Err("the path of the socket is not absolute"),
        Some(("http", host)) => (Some(Scheme::Http), host),
        Some(("https", host)) => (Some(Scheme::Https), host),
        Some(_) => return Err("unknown scheme"),
        None => (None, text),
    };
    base_url(scheme.unwrap_or(Scheme::Http), host)?;
    Ok(Address { scheme, place: Place::Host(host.into()) })
}

fn base_url(scheme: Scheme, host: &str) -> Result<Url, &'static str> {
    if host.contains('@') {
        return Err("credentials belong into CONSUL_HTTP_AUTH or a token file");
    }
    let url = Url::parse(&format!("{}://{host}", scheme.as_str())).map_err(|_| "not a host and a port")?;
    if url.query().is_some() || url.fragment().is_some() {
        return Err("a query or a fragment has no place here");
    }
    Ok(url)
}

fn without_credentials(text: &str) -> String {
    match text.rsplit_once('@') {
        Some((before, host)) => {
            let scheme = before.split_once("://").map_or(String::new(), |(scheme, _)| format!("{scheme}://"));
            format!("{scheme}…@{host}")
        }
        None => text.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, https: bool, want: &str) {
        let address: Address = text.parse().unwrap();
        assert_eq!(address.to_string(), text);
        assert_eq!(address.url(https).unwrap().as_str(), want);
    }

    #[track_caller]
    fn check_fault(text: &str, want: &str) {
        let error = text.parse::<Address>().unwrap_err();
        assert!(error.to_string().starts_with(want), "{error}");
    }

    #[test]
    fn each_form_of_consuls_own_client_is_understood() {
        check("127.0.0.1:8500", false, "http://127.0.0.1:8500/");
        check("127.0.0.1:8500", true, "https://127.0.0.1:8500/");
        check("consul.example:80", true, "https://consul.example:80/");
        check("[::1]:8500", false, "http://[::1]:8500/");
        check("http://consul.example:8500", true, "http://consul.example:8500/");
        check("https://consul.example/prefix/", false, "https://consul.example/prefix/");
        check("unix:///run/consul.sock", false, "http://localhost/");
        assert_eq!(Address::default().url(false).unwrap().as_str(), "http://127.0.0.1:8500/");
    }

    #[test]
    fn a_socket_keeps_its_path() {
        let address: Address = "unix:///run/consul.sock".parse().unwrap();
        assert_eq!(address.socket(), Some(Path::new("/run/consul.sock")));
    }

    #[test]
    fn a_wrong_address_is_an_error_that_says_what_is_right() {
        check_fault("", r#"read address "": not a host and a port; right are host:port"#);
        check_fault("ftp://host", r#"read address "ftp://host": unknown scheme"#);
        check_fault("host:seven", r#"read address "host:seven": not a host"#);
        check_fault("unix://run/consul.sock", r#"read address "unix://run/consul.sock": the path"#);
        check_fault("http://host?token=x", r#"read address "http://host?token=x": a query"#);
    }

    #[test]
    fn credentials_in_an_address_are_refused_and_not_shown() {
        let error = "http://me:hunter2@host:8500".parse::<Address>().unwrap_err().to_string();
        assert!(error.starts_with(r#"read address "http://…@host:8500": credentials belong"#), "{error}");
        assert!(!error.contains("hunter2"));
    }
}
