//! Kv: keys of Consul that may be read.
//!
//! Boundary: parses and decides; who is connected to Consul reads.
//!
//! Invariant: a key that was granted has no part `.` or `..` and no control character. Nobody on the way to Consul takes it
//! for another one, so it begins as it was granted.

use std::{future::Future, pin::Pin};

use crate::{CallError, GrantError, refusal};

/// Bytes of a key, which is as much as Consul takes.
const KEY_MAX: usize = 512;

/// Keys with this beginning may be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KvGrant {
    prefix: String,
}

/// What is asked of Consul's keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KvCall {
    /// The value of a key.
    Get(String),
    /// The keys with this beginning.
    Keys(String),
}

/// What there is. Of the two only one was asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KvAnswer {
    /// The value, if there is one.
    pub value: Option<Vec<u8>>,
    /// The keys.
    pub keys: Vec<String>,
}

/// Keys that are being read.
pub type KvReading<'a> = Pin<Box<dyn Future<Output = Result<KvAnswer, CallError>> + Send + 'a>>;

/// Reads keys.
pub trait Keys: Send + Sync {
    /// Answers a call, unless the answer has more than `limit` bytes.
    fn read<'a>(&'a self, call: &'a KvCall, limit: usize) -> KvReading<'a>;
}

/// Says that an answer has more bytes than are read.
pub fn longer_than(limit: usize) -> CallError {
    CallError::Failed(format!(
        "the answer has more than {limit} bytes; the receiver's `limits.response` is the most that is read"
    ))
}

impl KvGrant {
    /// Reads a grant: how the keys begin.
    pub fn parse(prefix: &str) -> Result<Self, GrantError> {
        let fault = |why: &str| GrantError(format!("read the kv grant {}: {why}", refusal::quote(prefix)));
        if prefix.contains('*') {
            return Err(fault("it takes no pattern; it is the beginning of the keys, \"app/\" for example"));
        }
        check(prefix).map_err(|why| fault(&why))?;
        Ok(Self { prefix: prefix.to_owned() })
    }

    /// What it allows, in words.
    pub(crate) fn in_words(&self) -> String {
        format!("may read the keys of Consul that begin with {}", self.prefix)
    }
}

impl KvCall {
    /// The key, or how the keys begin.
    fn text(&self) -> &str {
        match self {
            Self::Get(text) | Self::Keys(text) => text,
        }
    }
}

/// Whether all keys with this beginning may be read.
pub(crate) fn covers(grants: &[KvGrant], prefix: &str) -> Result<(), CallError> {
    let shown = || refusal::shorten(refusal::quote(prefix), KEY_MAX);
    check(prefix)
        .map_err(|why| CallError::Refused(format!("to read the key {} is never granted: {why}", shown())))?;
    if grants.iter().any(|grant| prefix.starts_with(&grant.prefix)) {
        return Ok(());
    }
    if prefix.contains('*') {
        return Err(CallError::Refused(format!(
            "to read the key {} is granted only with how it begins: a grant holds no `*`",
            shown()
        )));
    }
    let what = format_args!("to read the keys of Consul that begin with {}", shown());
    Err(refusal::refused(what, refusal::one_more("allow.kv", grants, refusal::quote(prefix))))
}

/// Whether the call may be made: a key is the beginning of itself.
pub(crate) fn decide(grants: &[KvGrant], call: &KvCall) -> Result<(), CallError> {
    covers(grants, call.text())
}

/// What grants the keys that begin in these ways.
pub(crate) fn lines<'a>(prefixes: impl IntoIterator<Item = &'a str> + Clone) -> String {
    format!("allow.kv = {}", refusal::quote_all(prefixes))
}

/// Would anybody take it for another key? The path of a URL is made of it.
fn check(key: &str) -> Result<(), String> {
    if key.is_empty() || key.len() > KEY_MAX {
        return Err(format!("a key has 1 to {KEY_MAX} bytes, and this has {}", key.len()));
    }
    if key.contains(char::is_control) {
        return Err("it holds a control character".to_owned());
    }
    if key.split('/').any(|part| matches!(part, "." | "..")) {
        return Err("it has a part `.` or `..`".to_owned());
    }
    if key.starts_with('/') || key.contains("//") {
        return Err("it has an empty part, and Consul serves no such key".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn grants(prefixes: &[&str]) -> Vec<KvGrant> {
        prefixes.iter().map(|prefix| KvGrant::parse(prefix).unwrap()).collect()
    }

    #[track_caller]
    fn check(granted: &[&str], key: &str, want: Result<(), &str>) {
        for call in [KvCall::Get(key.into()), KvCall::Keys(key.into())] {
            match (decide(&grants(granted), &call), want) {
                (Ok(()), Ok(())) => {}
                (Err(CallError::Refused(text)), Err(want)) => assert!(text.contains(want), "{text}"),
                (got, want) => panic!("{call:?}: {got:?}, wanted {want:?}"),
            }
        }
    }

    #[test]
    fn keys_are_granted_by_how_they_begin() {
        check(&["app/"], "app/web", Ok(()));
        check(&["app/"], "app/", Ok(()));
        check(&["app/"], "app/web/x", Ok(()));
        check(&["db/", "app/web"], "app/web2", Ok(()));
        check(
            &["app/"],
            "app",
            Err(r#"begin with "app" is not granted; it would be with: "app" as one more item of allow.kv"#),
        );
        check(&["app/"], "App/web", Err(r#""App/web" as one more item of allow.kv"#));
        check(&[], "app/web", Err(r#"allow.kv = ["app/web"]"#));
    }

    #[test]
    fn a_key_that_could_be_taken_for_another_is_never_granted() {
        for (key, why) in [
            ("", "has 0"),
            ("app/../secret", "`..`"),
            ("app/.", "`.`"),
            ("app/.\t./secret", "control"),
            ("app/\n", "control"),
            ("app/\0", "control"),
            ("/app/web", "empty part"),
            ("app//web", "empty part"),
        ] {
            check(&["app/"], key, Err(why));
        }
        check(&["a"], &"a".repeat(KEY_MAX), Ok(()));
        check(&["a"], &"a".repeat(KEY_MAX + 1), Err("has 513"));
        check(&["app/"], "app/..secret/%2e%2e/a..b", Ok(()));
    }

    #[test]
    fn a_wrong_grant_says_what_would_be_right() {
        for (prefix, want) in [
            ("", "1 to 512"),
            ("app/*", "no pattern"),
            ("a/../b", "`..`"),
            ("a\n", "control"),
            ("/a/", "empty"),
        ] {
            let text = KvGrant::parse(prefix).unwrap_err().to_string();
            assert!(text.starts_with("read the kv grant ") && text.contains(want), "{text}");
        }
        assert_eq!(grants(&["app/"])[0].in_words(), "may read the keys of Consul that begin with app/");
    }

    proptest! {
        #[test]
        fn what_is_granted_begins_as_a_grant_does(
            granted in proptest::collection::vec("(a|b|/|\\.b){1,4}", 0..3),
            key in "(a|b|/|\\.|\\.\\.|\t|%2e){0,6}",
        ) {
            let grants: Vec<_> = granted.iter().filter_map(|prefix| KvGrant::parse(prefix).ok()).collect();
            let decided = decide(&grants, &KvCall::Get(key.clone()));
            let begins = grants.iter().any(|grant| key.starts_with(&grant.prefix));
            prop_assert_eq!(decided.is_ok(), begins && super::check(&key).is_ok());
            // A call that a request announced is not refused later.
            let longer = format!("{key}a");
            if decided.is_ok() && super::check(&longer).is_ok() {
                prop_assert!(decide(&grants, &KvCall::Get(longer)).is_ok());
            }
        }
    }
}
