//! Headers that are not a plugin's to set.

use hyper::header::HeaderName;

use crate::refusal;

/// How a message ends, whom it is for, and what happens to its connection. The client alone sets them: with them one request
/// could be taken for two, or reach another host.
const FRAMING_HEADERS: [&str; 9] = [
    "host",
    "content-length",
    "transfer-encoding",
    "connection",
    "keep-alive",
    "te",
    "trailer",
    "upgrade",
    "expect",
];

/// What servers and gateways take for another host, method or path than was granted, or for somebody else's word; `*` stands for
/// any rest. An operator who means it can have the host add them.
const FORBIDDEN_HEADERS: [&str; 118] = [
    "authelia-*",
    "base-url",
    "cf-access-authenticated-*",
    "cf-access-jwt-*",
    "cf-connecting-*",
    "client-cert*",
    "client-ip",
    "cluster-client-ip",
    "destination",
    "dtab-*",
    "fastly-client-ip",
    "fly-client-ip",
    "forwarded*",
    "front-end-https",
    "http-method*",
    "http2-settings",
    "impersonate-*",
    "l5d-*",
    "method-override",
    "oidc-*",
    "path-info",
    "proxy*",
    "remote-addr",
    "remote-email",
    "remote-groups",
    "remote-name",
    "remote-user*",
    "request-uri",
    "request-url",
    "script-name",
    "ssl-client-*",
    "sudo",
    "tailscale-user-*",
    "true-client-ip",
    "wl-proxy-*",
    "x-accel-*",
    "x-amz-copy-source*",
    "x-amzn-mtls-*",
    "x-amzn-oidc-*",
    "x-appengine-*",
    "x-arr-*",
    "x-auth-request-*",
    "x-authenticated-*",
    "x-authentik-*",
    "x-azure-clientip",
    "x-azure-socketip",
    "x-backend-host",
    "x-client-cert*",
    "x-client-dn",
    "x-client-ip",
    "x-client-s-dn",
    "x-client-verify",
    "x-cluster-client-ip",
    "x-consumer-*",
    "x-copy-from*",
    "x-custom-ip-*",
    "x-envoy-*",
    "x-forward-*",
    "x-forwarded*",
    "x-goog-authenticated-*",
    "x-goog-copy-source*",
    "x-goog-iap-*",
    "x-host",
    "x-host-override",
    "x-http-*",
    "x-invoke-path",
    "x-invoke-query",
    "x-matched-path",
    "x-method*",
    "x-middleware-*",
    "x-ms-client-principal*",
    "x-ms-copy-source*",
    "x-ms-original-url",
    "x-ms-rename-source*",
    "x-ms-token-*",
    "x-nf-client-*",
    "x-now-route-*",
    "x-orig-host",
    "x-orig-path",
    "x-orig-url",
    "x-original-*",
    "x-originating-*",
    "x-override-host",
    "x-override-method",
    "x-override-url",
    "x-path",
    "x-path-info",
    "x-path-override",
    "x-pomerium-*",
    "x-proxyuser-*",
    "x-real-host",
    "x-real-ip",
    "x-remote-addr",
    "x-remote-extra-*",
    "x-remote-group*",
    "x-remote-host",
    "x-remote-ip",
    "x-remote-user*",
    "x-replaced-*",
    "x-request-uri",
    "x-request-url",
    "x-rewrite-*",
    "x-scheme",
    "x-script-name",
    "x-sendfile-type",
    "x-source-ip",
    "x-ssl-cert",
    "x-ssl-client-*",
    "x-tls-client-*",
    "x-tunnel-method",
    "x-uri",
    "x-url",
    "x-url-scheme",
    "x-userinfo",
    "x-verb",
    "x-vouch-*",
    "x-waws-*",
    "x-webauth-*",
];

/// Headers that ask for a part of an answer, or for it in another encoding. Where the host adds a secret, no plugin says
/// them: a server that shows what it was sent would show it where we could not hide it.
const REVEALING_HEADERS: [&str; 3] = ["range", "if-range", "accept-encoding"];

/// The name of a header that a plugin may set. The error says why it may not.
pub(super) fn of_guest(name: &str) -> Result<HeaderName, String> {
    let header = of_grant(name)?;
    // Most of the list begins otherwise, and is let go of at once.
    let first = header.as_str().as_bytes().first();
    let mut alike = FORBIDDEN_HEADERS.iter().filter(|forbidden| forbidden.as_bytes().first() == first);
    let is_forbidden = alike.any(|forbidden| stands_for(forbidden, header.as_str()));
    if is_forbidden {
        return Err(format!(
            "header {header} is no plugin's to set, since servers take it for more than text; Lictor adds it with header_files = \
             {{ \"{header}\" = \"/the/file\" }} in the grant of allow.http"
        ));
    }
    Ok(header)
}

/// The name of a header that an operator may have the host add.
pub(super) fn of_grant(name: &str) -> Result<HeaderName, String> {
    let shown = || refusal::shorten(refusal::quote(name), 80);
    let header =
        HeaderName::from_bytes(name.as_bytes()).map_err(|_| format!("{} is not a header's name", shown()))?;
    let is_framing = FRAMING_HEADERS.iter().any(|framing| is_same(framing, header.as_str()));
    if is_framing { Err(format!("header {header} is set by the client alone")) } else { Ok(header) }
}

pub(super) fn is_revealing(name: &str) -> bool {
    REVEALING_HEADERS.iter().any(|revealing| is_same(revealing, name))
}

/// Whether a server may take two headers' names, in small letters, for one: in the variables of CGI `_` stands for `-`, and in
/// those of some servers for all that is no letter and no digit.
pub(super) fn is_same(one: &str, other: &str) -> bool {
    let folded = |byte: u8| if byte.is_ascii_alphanumeric() { byte } else { b'_' };
    one.bytes().map(folded).eq(other.bytes().map(folded))
}

/// The same for a pattern with a `*` at its end, or none.
fn stands_for(pattern: &str, name: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(start) => name.get(..start.len()).is_some_and(|name| is_same(start, name)),
        None => is_same(pattern, name),
    }
}
