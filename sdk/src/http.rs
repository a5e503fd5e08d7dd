//! Sends HTTP requests. The host follows no redirect, and adds the secrets that the plugin never sees.

use std::{borrow::Cow, time::Duration};

use crate::{CallError, host};

/// A request to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// For example `POST`.
    pub method: String,
    /// The whole URL.
    pub url: String,
    /// Names and values.
    pub headers: Vec<(String, String)>,
    /// Default: empty.
    pub body: Vec<u8>,
    /// For the whole exchange. Default: 30 s.
    pub timeout: Duration,
}

impl Request {
    /// A request with no header and no body.
    pub fn new(method: impl Into<String>, url: impl Into<String>) -> Self {
        Self {
            method: method.into(),
            url: url.into(),
            headers: Vec::new(),
            body: Vec::new(),
            timeout: Duration::from_secs(30),
        }
    }

    /// Sets a header, in place of one of the same name (whatever its case).
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        let name = name.into();
        self.headers.retain(|(other, _)| !other.eq_ignore_ascii_case(&name));
        self.headers.push((name, value.into()));
        self
    }

    /// What to send.
    #[must_use]
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// How long the whole exchange may take.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Sends it. Any answer is `Ok`, whatever its status.
    pub fn send(&self) -> Result<Response, CallError> {
        host::http(self)
    }
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// For example 200.
    pub status: u16,
    /// Names in lower case, and values.
    pub headers: Vec<(String, String)>,
    /// The beginning of the body, as far as the receiver's limit goes.
    pub body: Vec<u8>,
}

impl Response {
    /// The first header of this name (whatever its case).
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(other, _)| other.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// The body as text; what is no UTF-8 is replaced.
    pub fn text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.body)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_replaces_one_of_the_same_name() {
        let request = Request::new("POST", "http://h/").header("A", "1").header("B", "2").header("a", "3");
        assert_eq!(request.headers, [("B".into(), "2".into()), ("a".into(), "3".into())]);
    }

    #[test]
    fn a_header_is_found_whatever_its_case() {
        let headers = vec![("retry-after".into(), "5".into())];
        let response = Response { status: 503, headers, body: Vec::new() };
        assert_eq!(response.header("Retry-After"), Some("5"));
        assert_eq!(response.header("location"), None);
    }
}
