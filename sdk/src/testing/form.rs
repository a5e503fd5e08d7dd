//! What the host takes from nobody, whatever is granted: calls that are wrong by their form alone.
//!
//! Boundary: words only, as Lictor's own say it. Lictor judges some forms more strictly, such as a path that is encoded many
//! times over; no call of a plugin that works meets those by chance.

use crate::{CallError, exec, http, smtp};

/// Bytes of a key, of Consul's or of the kv-store's.
const KEY_MAX: usize = 512;

/// Bytes of a URL.
const URL_MAX: usize = 8 << 10;

/// Bytes of an argument.
const ARG_MAX: usize = (128 << 10) - 1;

/// Recipients of a mail.
const RECIPIENTS_MAX: usize = 500;

/// Bytes before the `@` of an address, behind it, and between two of the dots there.
const LOCAL_MAX: usize = 64;
const DOMAIN_MAX: usize = 254;
const LABEL_MAX: usize = 63;

/// Headers of a request.
const HEADERS_MAX: usize = 100;

/// Headers that the client alone sets, and those that servers take for more than text; `*` stands for any rest.
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

fn refused(why: impl Into<String>) -> CallError {
    CallError::Refused(why.into())
}

pub(super) fn exec(command: &exec::Command) -> Result<(), CallError> {
    if command.argv.iter().any(|text| text.len() > ARG_MAX) {
        let why = format!("more than {ARG_MAX} bytes, which Linux takes for no argument");
        return Err(refused(format!("an argument has {why}")));
    }
    let mut texts = command.argv.iter().chain(command.env.iter().map(|(_, value)| value));
    if texts.any(|text| text.contains('\0')) {
        return Err(refused("a NUL in an argument or a variable is never granted"));
    }
    let is_name = |name: &str| !name.is_empty() && !name.contains(['=', '\0']);
    if let Some((name, _)) = command.env.iter().find(|(name, _)| !is_name(name)) {
        return Err(refused(format!("{name:?} is not a variable's name")));
    }
    let program = command.argv.first().map(String::as_str).unwrap_or_default();
    if !program.strip_prefix('/').is_some_and(is_straight) || program.contains('*') {
        let why = "a program is named by its absolute path, without `*`, `.`, `..` and `//`";
        return Err(refused(format!("to run {program:?} is never granted: {why}")));
    }
    Ok(())
}

pub(super) fn append(path: &str) -> Result<(), CallError> {
    let why = match path.strip_prefix('/') {
        None => "the path is not absolute",
        Some(_) if path.contains('\0') => "the path holds a NUL",
        Some(below) if !is_straight(below) => "the path ends in `/` or has an empty part, `.` or `..`",
        Some(_) => return Ok(()),
    };
    Err(refused(format!("append to {path:?} is never granted: {why}")))
}

/// Whether a path goes to a file without a detour.
fn is_straight(path: &str) -> bool {
    !path.split('/').any(|part| matches!(part, "" | "." | ".."))
}

pub(super) fn http(request: &http::Request) -> Result<(), CallError> {
    let is_plain = |byte: u8| byte.is_ascii_alphabetic() || byte == b'-';
    let method = &request.method;
    if method.is_empty() || !method.bytes().all(is_plain) || method.eq_ignore_ascii_case("CONNECT") {
        return Err(refused(format!("{method:?} is not a method that can be granted")));
    }
    url(&request.url).map_err(|why| refused(format!("this URL is never granted: {why}")))?;
    let count = request.headers.len();
    if count > HEADERS_MAX {
        return Err(refused(format!("a request has at most {HEADERS_MAX} headers, and this has {count}")));
    }
    for (name, value) in &request.headers {
        if !is_token(name) {
            return Err(refused(format!("{name:?} is not a header's name")));
        }
        let name = name.to_ascii_lowercase();
        // A server may take all that is no letter and no digit for one.
        let folded = name.replace(|character: char| !character.is_ascii_alphanumeric(), "-");
        let stands_for = |pattern: &&str| match pattern.strip_suffix('*') {
            Some(start) => folded.starts_with(start),
            None => folded == *pattern,
        };
        if FRAMING_HEADERS.iter().any(stands_for) {
            return Err(refused(format!("header {name} is set by the client alone")));
        }
        if FORBIDDEN_HEADERS.iter().any(stands_for) {
            let why = "is no plugin's to set, since servers take it for more than text";
            return Err(refused(format!("header {name} {why}; an operator can have Lictor add it")));
        }
        if value.bytes().any(|byte| byte.is_ascii_control() && byte != b'\t') {
            return Err(refused(format!("header {name} holds a line end or control character")));
        }
    }
    Ok(())
}

/// What HTTP takes for a method or a header's name.
fn is_token(text: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    !text.is_empty() && text.chars().all(fits)
}

fn url(text: &str) -> Result<(), &'static str> {
    if text.len() > URL_MAX {
        return Err("it has more than 8192 bytes");
    }
    if text.contains(|c: char| c.is_whitespace() || c.is_control() || c == '\\') {
        return Err("it holds a space, a control character or a backslash");
    }
    let is_http = |scheme: &str| ["http", "https"].iter().any(|known| scheme.eq_ignore_ascii_case(known));
    let Some((_, rest)) = text.split_once("://").filter(|(scheme, _)| is_http(scheme)) else {
        return Err("it must begin with http:// or https://");
    };
    let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let port = authority.rsplit_once(':').map(|(_, port)| port).filter(|port| !port.ends_with(']'));
    if authority.contains('@') {
        return Err("it names a user; secrets belong in `header_files`");
    }
    if path.contains('#') {
        return Err("it has a fragment, which is never sent");
    }
    let path = path.split('?').next().unwrap_or_default();
    if path.split('/').any(|part| matches!(part, "." | "..")) {
        return Err("its path holds `.` or `..`");
    }
    if authority.is_empty() || authority.starts_with(':') {
        return Err("it names no host");
    }
    if port.is_some_and(|port| !port.is_empty() && port.parse::<u16>().is_err()) {
        return Err("invalid port number");
    }
    Ok(())
}

pub(super) fn smtp(message: &smtp::Message) -> Result<(), smtp::SendError> {
    if message.to.is_empty() {
        return Err(smtp::SendError::Permanent("send a mail to nobody".into()));
    }
    let count = message.to.len();
    if count > RECIPIENTS_MAX {
        let why = format!("send a mail to {count} addresses: {RECIPIENTS_MAX} are the most");
        return Err(smtp::SendError::Permanent(why));
    }
    for text in message.to.iter().chain([&message.from]) {
        if let Err(why) = address(text) {
            return Err(smtp::SendError::Permanent(format!("read {text:?} as a mail address: {why}")));
        }
    }
    Ok(())
}

/// One address, alone or as in `Web Team <web@example.com>`.
fn address(text: &str) -> Result<(), &'static str> {
    if text.contains(char::is_control) {
        return Err("it holds a control character");
    }
    let text = text.trim_matches(' ');
    let address = match text.rsplit_once('<') {
        Some((name, address)) if is_name(name.trim_end()) => {
            address.strip_suffix('>').ok_or("it has a `<` without a `>`")?
        }
        Some(_) => return Err("invalid name; a comma and the like stand between quotation marks"),
        None => text,
    };
    let (local, domain) = address.rsplit_once('@').ok_or("it has no @")?;
    if local.contains(['%', '!', '@', '"', ':', '\\']) {
        return Err("its local part asks the relay to send it elsewhere");
    }
    if local.len() > LOCAL_MAX || !local.split('.').all(is_atom) {
        return Err("invalid email user");
    }
    if domain.len() > DOMAIN_MAX || !domain.trim_start().split('.').all(is_label) {
        return Err("invalid email domain");
    }
    Ok(())
}

/// What may stand before the address of a mailbox: words, or all of it between quotation marks.
fn is_name(text: &str) -> bool {
    // What may stand between quotation marks is Lictor's to say.
    text.contains('"') || text.split(' ').all(|word| word.is_empty() || is_atom(&word.replace('.', "")))
}

fn is_atom(text: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || !c.is_ascii() || "!#$%&'*+-/=?^_`{|}~".contains(c);
    !text.is_empty() && text.chars().all(fits)
}

fn is_label(text: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || !c.is_ascii() || "-_".contains(c);
    // Punycode has other lengths.
    !text.is_empty()
        && (text.len() <= LABEL_MAX || !text.is_ascii())
        && text.chars().all(fits)
        && !text.starts_with('-')
        && !text.ends_with('-')
}

/// A key of Consul, or how keys begin.
pub(super) fn key(key: &str) -> Result<(), CallError> {
    let why = if key.is_empty() || key.len() > KEY_MAX {
        format!("a key has 1 to {KEY_MAX} bytes, and this has {}", key.len())
    } else if key.contains(char::is_control) {
        "it holds a control character".into()
    } else if key.split('/').any(|part| matches!(part, "." | "..")) {
        "it has a part `.` or `..`".into()
    } else if key.starts_with('/') || key.contains("//") {
        "it has an empty part, and Consul serves no such key".into()
    } else {
        return Ok(());
    };
    Err(refused(format!("to read the key {key:?} is never granted: {why}")))
}

/// A key of the kv-store.
pub(super) fn kept(key: &str) -> Result<(), CallError> {
    if key.is_empty() || key.len() > KEY_MAX {
        let count = key.len();
        return Err(refused(format!("a key has 1 to {KEY_MAX} bytes, and this one has {count}")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fmt::Debug;

    use super::*;
    use crate::{append, kv, kv_store, testing::Host};

    /// It is refused, and no answer of the test is taken for it.
    #[track_caller]
    fn check<T: Debug>(answer: Result<T, CallError>, want: &str) {
        let text = answer.unwrap_err().to_string();
        assert!(text.contains(want), "{text}");
    }

    #[test]
    fn a_program_and_its_variables_have_a_form() {
        let _host = Host::start();
        let run = |argv: &[&str]| exec::Command::new(argv.iter().copied()).run();
        check(run(&["systemctl", "restart"]), "by its absolute path");
        check(run(&["/bin/"]), "by its absolute path");
        for path in ["/bin/*", "/bin/../bin/sh", "/./sh", "//sh"] {
            check(run(&[path]), "by its absolute path");
        }
        check(run(&[]), "to run \"\" is never granted: a program is named by its absolute path");
        check(run(&["/bin/echo", "a\0"]), "a NUL");
        check(run(&["/bin/echo", &"x".repeat(ARG_MAX + 1)]), "more than 131071 bytes");
        check(exec::Command::new(["/bin/echo"]).env("A=B", "c").run(), "\"A=B\" is not a variable's name");
        assert!(exec::Command::new(["/bin/echo", ""]).env("LICTOR_X", "=").run().is_ok());
    }

    #[test]
    fn a_path_is_absolute_and_plain() {
        let host = Host::start();
        host.answer_append(Err(CallError::Failed("the disk is full".into())));
        check(append::append("log", "x"), "append to \"log\" is never granted: the path is not absolute");
        check(append::append("/var/log/", "x"), "ends in `/`");
        check(append::append("/var/../log", "x"), "`..`");
        check(append::append("/a\0", "x"), "a NUL");
        check(append::append("/var/log/x", "x"), "the disk is full");
        assert_eq!(host.calls().len(), 5, "what was asked for is told, also what was refused");
    }

    #[test]
    fn a_request_is_one_that_can_be_sent() {
        let _host = Host::start();
        let send = |method: &str, url: &str| http::Request::new(method, url).send();
        for method in ["", "*", "PO ST", "GET\r\n", "CONNECT"] {
            check(send(method, "http://h/"), "is not a method that can be granted");
        }
        for (url, why) in [
            ("chat.example.com/x", "must begin with http://"),
            ("ftp://h/", "must begin with http://"),
            ("http:/h/", "must begin with http://"),
            ("http://h/a b", "a space"),
            ("http://h/a\\b", "a backslash"),
            ("http://user:pass@h/", "names a user"),
            ("http://h/a#b", "a fragment"),
            ("http://h/a/../b", "`..`"),
            ("http:///x", "no host"),
            ("http://:80/x", "no host"),
            ("http://h:99999/", "port"),
            ("http://h:x/", "port"),
            (&format!("http://h/{}", "x".repeat(URL_MAX)), "more than 8192 bytes"),
        ] {
            check(send("POST", url), why);
        }
        let with =
            |name: &str, value: &str| http::Request::new("GET", "http://h/").header(name, value).send();
        check(with("", "x"), "\"\" is not a header's name");
        check(with("X Y", "x"), "\"X Y\" is not a header's name");
        check(with("Host", "x"), "header host is set by the client alone");
        check(with("X_Forwarded_Host", "x"), "header x_forwarded_host is no plugin's to set");
        check(with("Script.Name", "x"), "header script.name is no plugin's to set");
        assert!(with("X-Host-Group", "x").is_ok());
        check(with("X-Text", "a\nb"), "header x-text holds a line end");
        check(with("X-Text", "a\u{7f}"), "header x-text holds");
        assert!(with("X-Text", "a\tbü").is_ok());
        let many = (0..=HEADERS_MAX).fold(http::Request::new("GET", "http://h/"), |request, number| {
            request.header(format!("X-{number}"), "x")
        });
        check(many.send(), "at most 100 headers, and this has 101");
        for url in
            ["http://h", "https://[::1]:8080/a?b=../c", "HTTP://h:80", "http://[::1]/", "http://h/a.b/..c"]
        {
            assert!(send("post", url).is_ok(), "{url}");
        }
    }

    #[test]
    fn a_mail_has_recipients() {
        let _host = Host::start();
        let send = |from: &str, to: &[&str]| smtp::Message::new("d1", from, to.iter().copied()).send();
        let is_none = |from: &str, to: &[&str]| {
            assert!(matches!(send(from, to), Err(smtp::SendError::Permanent(_))), "{from} {to:?}");
        };
        is_none("a@b.c", &[]);
        is_none("a", &["a@b.c"]);
        is_none("a@b.c", &["a@b.c"; RECIPIENTS_MAX + 1]);
        let long = format!("{}@b.c", "a".repeat(LOCAL_MAX + 1));
        for address in [
            "ops",
            "a@b.c\r\nX",
            "b@",
            "@x.com",
            "b x@x.com",
            "b@x..com",
            "b@x.com, c@x.com",
            "a%x@b.c",
            "A <a@b.c",
            &long,
        ] {
            is_none("a@b.c", &[address]);
        }
        for address in ["ops@example.com", "a.b+c@localhost", "\"Ops, all\" <ops@example.com>", " a@b.c "] {
            assert!(send("Lictor <lictor@example.com>", &[address]).is_ok(), "{address}");
        }
    }

    #[test]
    fn a_key_has_a_length() {
        let _host = Host::start();
        let long = "k".repeat(KEY_MAX + 1);
        check(kv_store::get(""), "a key has 1 to 512 bytes, and this one has 0");
        check(kv_store::set(&long, "x"), "and this one has 513");
        check(kv_store::delete(""), "a key has 1 to 512 bytes");
        check(kv::get(""), "a key has 1 to 512 bytes, and this has 0");
        check(kv::keys(&long), "and this has 513");
        check(kv::get("app/../x"), "`..`");
        check(kv::get("app/\n"), "a control character");
        check(kv::keys("/app/"), "an empty part");
        assert!(kv_store::set(&long[1..], "x").is_ok() && kv::get("app/web").is_ok());
    }
}
