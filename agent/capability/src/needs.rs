//! What a plugin says it needs, as grants of exactly that: to read, to write down, to try out.
//!
//! Boundary: what is then granted is the operator's to say.

use crate::kv_store::KEYS;
use crate::smtp::NO_RELAY;
use crate::{
    AppendGrant, CallError, ExecGrant, GrantError, Grants, HttpGrant, HttpGrantSpec, KvGrant, KvStoreGrant,
    Request, SmtpGrant, SmtpGrantSpec, kv, kv_store, refusal,
};

impl Grants {
    /// What covers these requests and nothing else. A mail's relay is one of nobody.
    ///
    /// # Errors
    /// All that no grant could cover.
    pub fn for_requests(requests: &[Request]) -> Result<Self, Vec<GrantError>> {
        let mut grants = Self::default();
        let mut faults = Vec::new();
        for request in requests {
            faults.extend(grants.add(request).err().into_iter().flatten());
        }
        if faults.is_empty() {
            // A path that ends in `/` is a grant of a folder, and of no file.
            let uncovered = requests.iter().filter_map(|request| grants.covers(request).err());
            faults.extend(uncovered.map(|refusal| GrantError(refusal.to_string())));
        }
        if faults.is_empty() { Ok(grants) } else { Err(faults) }
    }

    /// The refusals of what these requests need and these grants lack. The lines that would grant it may be taken over one
    /// after the other, since each supposes those before it.
    pub fn refusals(&self, requests: &[Request]) -> Vec<CallError> {
        let mut grants = self.clone();
        let refusal = |request| {
            let refusal = grants.covers(request).err()?;
            // What no grant could cover has no line either.
            grants.add(request).ok();
            Some(refusal)
        };
        requests.iter().filter_map(refusal).collect()
    }

    fn add(&mut self, request: &Request) -> Result<(), Vec<GrantError>> {
        match request {
            Request::Exec { command, .. } => {
                self.exec.push(ExecGrant::parse(command.clone(), None, Vec::new())?);
            }
            Request::Append { path } => {
                self.append.push(AppendGrant::parse(path).map_err(|error| vec![error])?);
            }
            Request::Http { method, url } => {
                let (url, methods) = (url.clone(), vec![method.clone()]);
                self.http.push(HttpGrant::parse(HttpGrantSpec { url, methods, ..Default::default() })?);
            }
            Request::Smtp { from, to } => {
                let grant = match &self.smtp {
                    Some(grant) => grant.clone().admitting(from, to),
                    None => SmtpGrant::parse(SmtpGrantSpec { relay: NO_RELAY.into(), ..Default::default() })?
                        .limited_to(from, to),
                };
                self.smtp = Some(grant.map_err(|error| vec![error])?);
            }
            Request::Watch => self.watch = true,
            Request::Kv { prefix } => self.kv.push(KvGrant::parse(prefix).map_err(|error| vec![error])?),
            Request::KvStore { size } => {
                kv_store::can_be(*size).map_err(|error| vec![GrantError(error.to_string())])?;
                let granted = self.kv_store.unwrap_or(KvStoreGrant { size: 0, keys: KEYS });
                self.kv_store = Some(KvStoreGrant { size: granted.size.max(*size), ..granted });
            }
        }
        Ok(())
    }
}

/// The lines of a receiver that grant these requests, for a person to take over. Nothing for what no grant
/// could cover.
pub fn allow_lines(requests: &[Request]) -> Vec<String> {
    let mut lists = [("exec", Vec::new()), ("append", Vec::new()), ("http", Vec::new())];
    for request in requests {
        let (list, item) = match request {
            Request::Exec { command, .. } => (0, format!("{{ command = {} }}", refusal::quote_all(command))),
            Request::Append { path } => (1, refusal::quote(path).to_string()),
            Request::Http { method, url } => {
                (2, format!("{{ url = {}, methods = [{}] }}", refusal::quote(url), refusal::quote(method)))
            }
            Request::Smtp { .. } | Request::Watch | Request::Kv { .. } | Request::KvStore { .. } => continue,
        };
        lists[list].1.push(item);
    }
    let lists = lists.into_iter().filter(|(_, items)| !items.is_empty());
    let mut lines: Vec<_> =
        lists.map(|(key, items)| format!("allow.{key} = [{}]", items.join(", "))).collect();
    let mut mails = Grants::default();
    for request in requests.iter().filter(|request| matches!(request, Request::Smtp { .. })) {
        // What is no address has no line.
        mails.add(request).ok();
    }
    lines.extend(mails.smtp.map(|grant| grant.line()));
    lines.extend(requests.contains(&Request::Watch).then(|| "allow.watch = true".to_owned()));
    let prefixes: Vec<_> = requests
        .iter()
        .filter_map(|request| match request {
            Request::Kv { prefix } => Some(&prefix[..]),
            _ => None,
        })
        .collect();
    lines.extend((!prefixes.is_empty()).then(|| kv::lines(prefixes)));
    let kept = requests.iter().filter_map(|request| match request {
        Request::KvStore { size } => Some(*size).filter(|size| kv_store::can_be(*size).is_ok()),
        _ => None,
    });
    lines.extend(kept.max().map(kv_store::line));
    lines
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn strings(texts: &[&str]) -> Vec<String> {
        texts.iter().map(ToString::to_string).collect()
    }

    fn exec(command: &[&str]) -> Request {
        Request::Exec { command: strings(command), timeout: Duration::from_secs(1) }
    }

    fn http(url: &str) -> Request {
        Request::Http { method: "PUT".into(), url: url.into() }
    }

    fn key(prefix: &str) -> Request {
        Request::Kv { prefix: prefix.into() }
    }

    fn mail(from: &str, to: &[&str]) -> Request {
        Request::Smtp { from: from.into(), to: strings(to) }
    }

    #[test]
    fn what_is_needed_is_covered_and_nothing_else() {
        let requests = [
            exec(&["/bin/true", "*"]),
            Request::Append { path: "/var/log/x".into() },
            http("https://h/a"),
            mail("Lictor <a@b.c>", &["x@b.c"]),
            Request::Watch,
            key("app/"),
            key("db"),
            Request::KvStore { size: 4096 },
            Request::KvStore { size: 2048 },
        ];
        let grants = Grants::for_requests(&requests).unwrap();
        for request in &requests {
            grants.covers(request).unwrap();
        }
        let more = Request::KvStore { size: 4097 };
        let others = [
            more,
            key("app"),
            exec(&["/bin/true"]),
            http("https://h/b"),
            mail("a@b.c", &["y@b.c"]),
            mail("z@b.c", &["x@b.c"]),
        ];
        for other in &others {
            grants.covers(other).unwrap_err();
        }
        assert_eq!(Grants::for_requests(&[]).unwrap().in_words(), strings(&[]));
    }

    #[test]
    fn refusals_suppose_what_those_before_them_grant() {
        let lines = |grants: &Grants, requests: &[Request]| -> Vec<_> {
            let refusals = grants.refusals(requests);
            refusals
                .iter()
                .map(|refusal| refusal.to_string().rsplit_once(": ").unwrap().1.to_owned())
                .collect()
        };
        let requests = [key("app/"), key("db/"), key("app/x"), Request::KvStore { size: 2048 }];
        let want = [
            r#"allow.kv = ["app/"]"#,
            r#""db/" as one more item of allow.kv"#,
            r#"allow.kv_store = { size = "2KiB" }"#,
        ];
        assert_eq!(lines(&Grants::default(), &requests), want);
        let mails = [mail("a@b.c", &["x@b.c"]), mail("b@b.c", &["y@b.c"]), mail("b@b.c", &["y@b.c"])];
        let want = [
            r#"allow.smtp = { relay = "smtps://relay.invalid", from = "a@b.c", to = ["x@b.c"] }"#,
            r#"from = ["a@b.c", "b@b.c"] and to = ["x@b.c", "y@b.c"] in allow.smtp"#,
        ];
        assert_eq!(lines(&Grants::default(), &mails), want);
        let some = Grants { kv_store: Some(KvStoreGrant { size: 1, keys: 3 }), ..Grants::default() };
        let sizes = [Request::KvStore { size: 2048 }, Request::KvStore { size: 4096 }];
        let want = ["2KiB", "4KiB"].map(|size| format!("allow.kv_store = {{ size = \"{size}\", keys = 3 }}"));
        assert_eq!(lines(&some, &sizes), want);
    }

    #[test]
    fn what_no_grant_could_cover_is_told_all_at_once() {
        let requests = [exec(&["ls"]), http("ftp://h/"), mail("nobody", &["x@b.c"])];
        assert_eq!(Grants::for_requests(&requests).unwrap_err().len(), 3);
        // To hold them against a pattern would take a thread for long.
        let long = "a".repeat(10_000);
        let requests = [http(&format!("http://h/{long}")), mail("a@b.c", &[&format!("{long}@b.c")])];
        let faults = Grants::for_requests(&requests).unwrap_err();
        assert_eq!(faults.len(), 2, "{faults:?}");
        assert!(faults.iter().all(|fault| fault.to_string().contains("bytes")), "{faults:?}");
        let folder = Request::Append { path: "/var/log/".into() };
        assert!(Grants::for_requests(&[folder]).unwrap_err()[0].to_string().contains("never granted"));
        let much = [Request::KvStore { size: (64 << 20) + 1 }];
        assert!(
            Grants::for_requests(&much).unwrap_err()[0].to_string().contains("a grant is of 1 B to 64 MiB")
        );
        assert_eq!(allow_lines(&much), [""; 0]);
    }

    #[test]
    fn each_kind_has_one_line() {
        let requests = [
            http("https://h/a"),
            exec(&["/bin/true", "a \"b\""]),
            http("https://h/b"),
            mail("A <a@b.c>", &["x@b.c"]),
            mail("a@b.c", &["y@b.c"]),
            Request::Watch,
            key("app/"),
            Request::KvStore { size: 2048 },
            key("db"),
            Request::KvStore { size: 4096 },
        ];
        assert_eq!(
            allow_lines(&requests),
            [
                r#"allow.exec = [{ command = ["/bin/true", "a \"b\""] }]"#,
                r#"allow.http = [{ url = "https://h/a", methods = ["PUT"] }, { url = "https://h/b", methods = ["PUT"] }]"#,
                r#"allow.smtp = { relay = "smtps://relay.invalid", from = "a@b.c", to = ["x@b.c", "y@b.c"] }"#,
                "allow.watch = true",
                r#"allow.kv = ["app/", "db"]"#,
                r#"allow.kv_store = { size = "4KiB" }"#,
            ]
        );
        let several = [mail("a@b.c", &["x@b.c"]), mail("b@b.c", &["x@b.c"]), mail("a@b.c", &["x@b.c"])];
        let line =
            r#"allow.smtp = { relay = "smtps://relay.invalid", from = ["a@b.c", "b@b.c"], to = ["x@b.c"] }"#;
        assert_eq!(allow_lines(&several), [line]);
    }
}
