//! URLs, read strictly, and the scope of a grant.
//!
//! Boundary: pure. The same strict reading serves the operator's URL and the guest's.
//!
//! Invariant: servers and proxies differ in how they decode, cut and tidy a path. A path that any common
//! one of them could tidy into another place is not a `Target` at all, so a covered target stays below
//! the granted prefix whoever reads it.

use std::fmt;

use url::{Host, Url};

use crate::wildcard::{ANY, Pattern};

/// As the last segment of a grant's path: anything below.
const BELOW: &str = "**";
/// As the last parameter of a grant's query: any further ones, also none.
const REST: &str = "*";
/// How often a path is decoded to find what hides in it. More layers than this are an attack.
const MAX_DECODING: usize = 4;

/// Bytes of a URL: what servers commonly take. To hold a longer one against a grant would keep its thread from others.
const URL_MAX: usize = 8 << 10;

/// A URL that can be asked.
#[derive(Clone, Debug)]
pub(crate) struct Target(Url);

/// The URLs that a grant covers.
#[derive(Clone, Debug)]
pub(crate) struct Scope {
    url: Url,
    segments: Vec<Pattern>,
    /// The path ended in `/**`.
    below: bool,
    /// Without one, a target must have no query.
    query: Option<Query>,
}

/// The queries that a grant covers, parameter by parameter.
#[derive(Clone, Debug)]
struct Query {
    parameters: Vec<Pattern>,
    /// Further ones are allowed.
    rest: bool,
}

impl Target {
    /// Reads a URL. The error says what is wrong with it and quotes none of it: it may hold a secret.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        if text.len() > URL_MAX {
            return Err(format!("it has more than {URL_MAX} bytes"));
        }
        if text.contains(|c: char| c.is_whitespace() || c.is_control() || c == '\\') {
            return Err("it holds a space, a control character or a backslash".to_owned());
        }
        // What is looked at below must be what the URL is read as, and without the two slashes that is
        // something else: `http:h/a/x://y` is read as `http://h/a/x://y`.
        let is_http = |scheme: &str| ["http", "https"].iter().any(|known| scheme.eq_ignore_ascii_case(known));
        let Some((_, rest)) = text.split_once("://").filter(|(scheme, _)| is_http(scheme)) else {
            return Err("it must begin with http:// or https://".to_owned());
        };
        let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        if authority.contains('@') {
            return Err("it names a user; secrets belong in `header_files`".to_owned());
        }
        if path.contains('#') {
            return Err("it has a fragment, which is never sent".to_owned());
        }
        check_path(path.split('?').next().unwrap_or_default())?;
        let url = Url::parse(text).map_err(|error| error.to_string())?;
        // `https:///x` would be read as the host x.
        if authority.is_empty() || url.host().is_none() {
            return Err("it names no host".to_owned());
        }
        Ok(Self(url))
    }

    pub(crate) fn url(&self) -> &Url {
        &self.0
    }

    pub(crate) fn has_query(&self) -> bool {
        self.0.query().is_some()
    }

    /// For refusals: a query may hold a secret.
    pub(crate) fn without_query(&self) -> String {
        let mut url = self.0.clone();
        url.set_query(None);
        url.into()
    }

    /// Scheme, host and port: all that an error may say, since a path may hold a secret too.
    pub(crate) fn origin(&self) -> String {
        self.0.origin().ascii_serialization()
    }
}

impl Scope {
    /// Reads a grant's URL.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let url = Target::parse(text)?.0;
        if url.host_str().is_some_and(|host| host.contains('*')) {
            return Err("the host must be exact".to_owned());
        }
        let mut segments: Vec<Pattern> = segments(&url).map(Pattern::new).collect();
        let below = segments.pop_if(|last| last.as_str() == BELOW).is_some();
        if segments.iter().any(|segment| segment.as_str().contains(BELOW)) {
            return Err("`**` may only be the last part of the path".to_owned());
        }
        let query = url.query().map(Query::parse);
        Ok(Self { url, segments, below, query })
    }

    pub(crate) fn is_encrypted(&self) -> bool {
        self.url.scheme() == "https"
    }

    /// Does what is sent stay on this machine?
    pub(crate) fn is_loopback(&self) -> bool {
        match self.url.host() {
            Some(Host::Domain(name)) => super::resolve::is_loopback(name),
            Some(Host::Ipv4(address)) => address.is_loopback(),
            Some(Host::Ipv6(address)) => address.is_loopback(),
            None => false,
        }
    }

    pub(crate) fn covers(&self, target: &Target) -> bool {
        let (own, other) = (&self.url, &target.0);
        let same_place = own.scheme() == other.scheme()
            && own.host() == other.host()
            && own.port_or_known_default() == other.port_or_known_default();
        let path: Vec<&str> = segments(&target.0).collect();
        // Who asks for all that is below needs a grant of all that is below.
        if path.last() == Some(&BELOW) && !self.below {
            return false;
        }
        let count_agrees =
            if self.below { path.len() > self.segments.len() } else { path.len() == self.segments.len() };
        let query_agrees = match (&self.query, target.0.query()) {
            (None, None) => true,
            (Some(own), query) => own.covers(query.unwrap_or_default()),
            (None, Some(_)) => false,
        };
        same_place && count_agrees && query_agrees && self.segments.iter().zip(path).all(|(p, s)| takes(p, s))
    }
}

impl Query {
    fn parse(text: &str) -> Self {
        let mut parameters: Vec<_> = parameters(text).map(Pattern::new).collect();
        let rest = parameters.pop_if(|last| last.as_str() == REST).is_some();
        Self { parameters, rest }
    }

    fn covers(&self, query: &str) -> bool {
        // Who asks for any further ones needs a grant of any further ones.
        if parameters(query).last() == Some(REST) && !self.rest {
            return false;
        }
        let mut own = self.parameters.iter();
        let mut more = parameters(query);
        let all_match = own.all(|own| more.next().is_some_and(|parameter| takes_value(own, parameter)));
        all_match && (self.rest || more.next().is_none())
    }
}

fn parameters(query: &str) -> impl Iterator<Item = &str> {
    query.split('&').filter(|_| !query.is_empty())
}

/// A `*` stays in its parameter, also where a server cuts a query at `;`, as was once recommended. A text that is written as
/// the pattern is was granted itself.
fn takes_value(pattern: &Pattern, parameter: &str) -> bool {
    pattern.as_str() == parameter || (!parameter.contains(';') && pattern.matches(parameter))
}

/// What may be a secret, without it: where it begins, and how it goes on, stays to be seen by its `*`.
fn hidden(value: &str) -> String {
    let parts: Vec<_> = value.split(ANY).map(|part| if part.is_empty() { "" } else { "…" }).collect();
    parts.join("*")
}

/// Of a query the names are shown, and where in its values are `*`; all else of them may be a secret.
impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (url, query) = (self.url.as_str(), self.url.query());
        let shown = query.map_or(url, |query| &url[..url.len() - query.len() - 1]);
        f.write_str(shown)?;
        for (at, part) in query.into_iter().flat_map(|query| query.split('&')).enumerate() {
            let (name, value) = match part.split_once('=') {
                // What ends with `=` may be a secret in base64, and no name.
                Some((name, value)) if !value.trim_matches('=').is_empty() => (Some(name), value),
                _ => (None, part),
            };
            let (sign, value) = (if at == 0 { '?' } else { '&' }, hidden(value));
            match name {
                Some(name) => write!(f, "{sign}{name}={value}")?,
                None => write!(f, "{sign}{value}")?,
            }
        }
        Ok(())
    }
}

/// A `*` needs at least one character and stays in its segment, also where a server decodes `%2F` or drops
/// what follows a `;`: else `/a/*/b` could be made to mean `/a/b` or `/a/x/y/b`.
fn takes(pattern: &Pattern, segment: &str) -> bool {
    if pattern.is_exact() {
        return pattern.as_str() == segment;
    }
    let plain = decode(segment).is_ok_and(|text| !text.is_empty() && !text.contains(['/', '\\', ';']));
    plain && pattern.matches(segment)
}

fn segments(url: &Url) -> impl Iterator<Item = &str> {
    url.path().strip_prefix('/').unwrap_or_default().split('/')
}

/// Refuses what a server could take for a step up: `.` and `..`, also encoded, also more than once, also
/// between backslashes, also with parameters after a `;` as some Java servers cut off.
fn check_path(path: &str) -> Result<(), String> {
    let decoded = decode(path)?;
    if decoded.contains(char::is_control) {
        return Err("its path holds a control character".to_owned());
    }
    let is_step = |part: &str| matches!(part.split(';').next(), Some("." | ".."));
    if decoded.split(['/', '\\']).any(is_step) {
        return Err("its path holds `.` or `..`".to_owned());
    }
    Ok(())
}

/// The text with all its percent-encodings undone, again and again until none is left.
fn decode(text: &str) -> Result<String, String> {
    let mut text = text.to_owned();
    for _ in 0..MAX_DECODING {
        let decoded = decode_once(&text)?;
        if decoded == text {
            return Ok(decoded);
        }
        text = decoded;
    }
    Err("its path is encoded many times over".to_owned())
}

fn decode_once(text: &str) -> Result<String, String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        match after {
            [high, low, after @ ..]
                if *first == b'%' && high.is_ascii_hexdigit() && low.is_ascii_hexdigit() =>
            {
                bytes.push(digit(*high) << 4 | digit(*low));
                rest = after;
            }
            _ => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    // Overlong forms of `.` and `/` are not UTF-8, but old servers read them.
    String::from_utf8(bytes).map_err(|_| "its path is not UTF-8 when decoded".to_owned())
}

/// The value of a hexadecimal digit.
fn digit(c: u8) -> u8 {
    if c.is_ascii_digit() { c - b'0' } else { (c | 0x20) - b'a' + 10 }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use url::Host;

    use super::*;

    #[track_caller]
    fn check(scope: &str, target: &str, want: bool) {
        let covered = Target::parse(target).is_ok_and(|target| Scope::parse(scope).unwrap().covers(&target));
        assert_eq!(covered, want, "{scope} for {target}");
    }

    #[test]
    fn scheme_host_and_port_are_exact() {
        let scope = "https://chat.example.com/x";
        check(scope, "https://chat.example.com/x", true);
        check(scope, "HTTPS://Chat.Example.COM:443/x", true);
        check(scope, "http://chat.example.com/x", false);
        check(scope, "http://chat.example.com:443/x", false);
        check(scope, "https://chat.example.com:8443/x", false);
        check(scope, "https://chat.example.com./x", false);
        check(scope, "https://example.com/x", false);
        check(scope, "https://chat.example.com.evil.org/x", false);
        check(scope, "https://chat.example.com@evil.org/x", false);
        check(scope, "https://evil.org/https://chat.example.com/x", false);
        check("http://127.0.0.1/x", "http://0x7f.1/x", true);
        check("http://127.0.0.1/x", "http://localhost/x", false);
        check("http://[::1]:80/x", "http://[0:0::1]/x", true);
        check("https://bücher.example/x", "https://xn--bcher-kva.example/x", true);
    }

    #[test]
    fn a_path_is_exact_or_a_pattern_by_segment() {
        check("http://h", "http://h/", true);
        check("http://h/", "http://h", true);
        check("http://h/a", "http://h/a/", false);
        check("http://h/a", "http://h/A", false);
        check("http://h/a", "http://h/%61", false);
        check("http://h/hooks/*", "http://h/hooks/x", true);
        check("http://h/hooks/*", "http://h/hooks/x%20y", true);
        check("http://h/hooks/*", "http://h/hooks/", false);
        check("http://h/hooks/*", "http://h/hooks/x/y", false);
        check("http://h/hooks/*", "http://h/hooks", false);
        check("http://h/hooks/*", "http://h/hooks/x%2fy", false);
        check("http://h/hooks/*", "http://h/hooks/x%252fy", false);
        check("http://h/hooks/*", "http://h/hooks/x;y", false);
        check("http://h/a/*/b", "http://h/a//b", false);
        check("http://h/a/v*/b", "http://h/a/v1/b", true);
        check("http://h/hooks/**", "http://h/hooks/x/y", true);
        check("http://h/hooks/**", "http://h/hooks/x%2Fy", true);
        check("http://h/hooks/**", "http://h/hooks/", true);
        check("http://h/hooks/**", "http://h/hooks", false);
        check("http://h/hooks/**", "http://h/hooksx/y", false);
        check("http://h/**", "http://h/", true);
        check("http://h/hooks/*", "http://h/hooks/*", true);
        check("http://h/hooks/*", "http://h/hooks/**", false);
        check("http://h/hooks/**", "http://h/hooks/**", true);
        check("http://h/hooks/**", "http://h/hooks/x/**", true);
        check("http://h/hooks/x/**", "http://h/hooks/**", false);
        check("http://h/group%2Fproject", "http://h/group%2Fproject", true);
    }

    #[test]
    fn a_query_needs_a_grant_of_its_own() {
        check("http://h/a", "http://h/a?b", false);
        check("http://h/a", "http://h/a?", false);
        check("http://h/a?*", "http://h/a?b=../c", true);
        check("http://h/a?*", "http://h/a", true);
        check("http://h/a?room=*", "http://h/a?room=ops", true);
        check("http://h/a?room=*", "http://h/a", false);
        check("http://h/a?room=*", "http://h/a?x&room=ops", false);
        check("http://h/a?room=*", "http://h/a?room=ops&admin=1", false);
        check("http://h/a?room=*", "http://h/a?room=ops;admin=1", false);
        check("http://h/a?room=*", "http://h/a?room=ops%26admin=1", true);
        check("http://h/a?room=*", "http://h/a?room=*", true);
        check("http://h/a?room=*", "http://h/a?*", false);
        check("http://h/a?**", "http://h/a?*", false);
        check("http://h/a?**", "http://h/a?b", true);
        check("http://h/a?x&*", "http://h/a?x&*", true);
        check("http://h/a?room=*", "http://h/a?room=*&*", false);
        check("http://h/a?room=*&*", "http://h/a?room=ops&x=1&y", true);
        check("http://h/a?room=*&*", "http://h/a?room=*&*", true);
        check("http://h/a?room=*&*", "http://h/a?room=ops", true);
        check("http://h/a?room=*&*", "http://h/a?x=1&room=ops", false);
        check("http://h/a?r=a*&x=*", "http://h/a?r=ab&x=", true);
        check("http://h/a?x;y", "http://h/a?x;y", true);
        check("http://h/a?x;y*", "http://h/a?x;y*", true);
        check("http://h/a?x;y*", "http://h/a?x;y1", false);
        check("http://h/a?", "http://h/a?", true);
        check("http://h/a?", "http://h/a?b", false);
        check("http://h/**", "http://h/a?b", false);
    }

    #[test]
    fn a_url_that_may_mean_another_place_is_no_target() {
        for (url, want) in [
            ("http://h/hooks/../admin", "`..`"),
            ("http://h/hooks/./x", "`.`"),
            ("http://h/hooks/%2e%2e/admin", "`..`"),
            ("http://h/hooks/.%2E/admin", "`..`"),
            ("http://h/hooks/%252e%252e/admin", "`..`"),
            ("http://h/hooks/x%2f..%2fadmin", "`..`"),
            ("http://h/hooks/x%5c..%5cadmin", "`..`"),
            ("http://h/hooks/..;a=b/admin", "`..`"),
            ("http://h/hooks/%c0%ae%c0%ae/admin", "not UTF-8"),
            ("http://h/%25252525252e", "many times over"),
            ("http://h/hooks\\..\\admin", "backslash"),
            ("http://h/ho\toks", "control"),
            ("http://h/a b", "space"),
            ("http://h/a%00", "control"),
            ("http://h/a%0d%0aX:", "control"),
            ("http://user:hunter2@h/", "names a user"),
            ("http://@h/", "names a user"),
            ("http://h/a#b", "fragment"),
            ("http:///h/", "no host"),
            ("http:h/a", "must begin with"),
            ("http:h/hooks/..;/admin/x://y", "must begin with"),
            ("http:h/hooks/%2e%2e%2fadmin/x://y", "must begin with"),
            ("http:/h/a/x://y", "must begin with"),
            ("x http://h/a", "a space"),
            ("/a", "must begin with"),
            ("ftp://h/a", "must begin with"),
            ("file:///etc/passwd", "must begin with"),
            ("http://h:99999/", "invalid port"),
        ] {
            let text = Target::parse(url).unwrap_err();
            assert!(text.contains(want) && !text.contains("hunter2"), "{url}: {text}");
        }
    }

    #[test]
    fn a_scope_hides_a_query_that_may_be_a_secret() {
        for (url, want) in [
            ("http://h", "http://h/"),
            ("http://h/a?*", "http://h/a?*"),
            ("http://h/a?key=1", "http://h/a?key=…"),
            ("http://h/a?key=1&y=*&*", "http://h/a?key=…&y=*&*"),
            ("http://h/a?secret", "http://h/a?…"),
            ("http://h/a?y=x*&z=2*3&v=**", "http://h/a?y=…*&z=…*…&v=**"),
            ("http://h/a?plain*&a==*&a=*=", "http://h/a?…*&a=…*&a=*…"),
            ("http://h/a?c2VjcmV0cw==", "http://h/a?…"),
            ("http://h/a?c2VjcmV0cw=&a=1", "http://h/a?…&a=…"),
        ] {
            assert_eq!(Scope::parse(url).unwrap().to_string(), want);
        }
    }

    #[test]
    fn a_wrong_scope_says_what_would_be_right() {
        for (url, want) in [
            ("https://*.example.com/", "host must be exact"),
            ("https://h/**/x", "last part"),
            ("https://h/a**", "last part"),
            ("https://h/a/../b", "`..`"),
        ] {
            assert!(Scope::parse(url).unwrap_err().contains(want), "{url}");
        }
    }

    /// How a lenient server finds its file: decode, turn backslashes, drop parameters, merge slashes, climb.
    fn tidy(path: &str) -> Vec<String> {
        let mut decoded = path.to_owned();
        for _ in 0..8 {
            decoded = decode_once(&decoded).unwrap_or(decoded);
        }
        let mut place: Vec<String> = Vec::new();
        for part in decoded.split(['/', '\\']).map(|part| part.split(';').next().unwrap()) {
            match part {
                "" | "." => {}
                ".." => drop(place.pop()),
                part => place.push(part.to_owned()),
            }
        }
        place
    }

    proptest! {
        #[test]
        fn no_spelling_leaves_the_grant(
            path in "(/|\\\\|\\.|\\.\\.|%2e|%2E|%2f|%5c|%252e|%25|;|x|hooks|admin|\\?|\\*|@|:|é){0,9}"
        ) {
            let scope = Scope::parse("http://h/hooks/*/end").unwrap();
            let tree = Scope::parse("http://h/hooks/**").unwrap();
            for url in [format!("http://h{path}"), format!("http://h/hooks/{path}"), format!("http://h/hooks/{path}/end")] {
                let Ok(target) = Target::parse(&url) else { continue };
                let place = tidy(target.url().path());
                if scope.covers(&target) {
                    prop_assert!(matches!(&place[..], [first, _, end] if first == "hooks" && end == "end"), "{}", url);
                }
                if tree.covers(&target) {
                    prop_assert_eq!(place.first().map(String::as_str), Some("hooks"), "{}", url);
                }
                if scope.covers(&target) || tree.covers(&target) {
                    prop_assert_eq!(target.url().host(), Some(Host::Domain("h")));
                }
            }
        }
    }
}
