//! Mail addresses and patterns of them.
//!
//! Boundary: pure.
//!
//! Invariant: an address that we accept means the same to every relay: its domain is where it goes. The
//! forms that ask a relay to pass it on somewhere else are not accepted at all.

use std::fmt;

use lettre::{Address, message::Mailbox};

use crate::{refusal, wildcard::Pattern};

/// In a local part these ask old and new relays alike to route further (`victim%evil.org@example.com`), or
/// quote what would.
const ROUTING_SIGNS: [char; 6] = ['%', '!', '@', '"', ':', '\\'];

/// Bytes of an address with the name beside it: of the line of a mail that it would be, and more than any has.
const ADDRESS_MAX: usize = 998;

/// An address, exact but for its `*`. The `@` is in the pattern; no `*` reaches across it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AddressPattern {
    local: Pattern,
    /// In lower case.
    domain: Pattern,
}

impl AddressPattern {
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let shown = || refusal::quote(text);
        let fault = || format!("{} is neither an address nor a pattern such as \"*@example.com\"", shown());
        let (local, domain) = text.rsplit_once('@').ok_or_else(fault)?;
        let is_wrong =
            |c: char| c.is_whitespace() || c.is_control() || ROUTING_SIGNS.contains(&c) || "<>,;".contains(c);
        if local.is_empty() || domain.is_empty() || local.contains(is_wrong) || domain.contains(is_wrong) {
            return Err(fault());
        }
        Ok(Self { local: Pattern::new(local), domain: Pattern::new(domain.to_ascii_lowercase()) })
    }

    /// Local parts are told apart by case, domains are not.
    pub(crate) fn matches(&self, address: &Address) -> bool {
        self.local.matches(address.user()) && self.domain.matches(&address.domain().to_ascii_lowercase())
    }
}

impl fmt::Display for AddressPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.local, self.domain)
    }
}

/// Reads an address, with or without a name. The error fits after "failed to".
pub(crate) fn mailbox(text: &str) -> Result<Mailbox, String> {
    let fault =
        |why: &str| format!("read {} as a mail address: {why}", refusal::shorten(refusal::quote(text), 200));
    if text.len() > ADDRESS_MAX {
        return Err(fault(&format!("it has more than {ADDRESS_MAX} bytes")));
    }
    if text.contains(char::is_control) {
        return Err(fault("it holds a control character"));
    }
    let mailbox: Mailbox =
        text.parse().map_err(|error: lettre::address::AddressError| fault(&error.to_string()))?;
    if mailbox.email.user().contains(ROUTING_SIGNS) {
        return Err(fault("its local part asks the relay to send it elsewhere"));
    }
    if mailbox.email.user().contains("=?") {
        return Err(fault("its local part holds an encoded word"));
    }
    Ok(Mailbox { name: mailbox.name.as_deref().map(no_encoded_word), email: mailbox.email })
}

/// A text that holds no encoded word (RFC 2047): a reader's program would decode it to what nobody here has seen.
pub(super) fn no_encoded_word(text: &str) -> String {
    text.replace("=?", "= ?")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(pattern: &str, address: &str, want: bool) {
        let matches =
            mailbox(address).is_ok_and(|found| AddressPattern::parse(pattern).unwrap().matches(&found.email));
        assert_eq!(matches, want, "{pattern} for {address}");
    }

    #[test]
    fn a_pattern_matches_on_each_side_of_the_at() {
        check("ops@example.com", "ops@example.com", true);
        check("ops@example.com", "Ops Team <ops@example.com>", true);
        check("ops@example.com", "ops@EXAMPLE.com", true);
        check("ops@Example.com", "ops@example.com", true);
        check("ops@example.com", "OPS@example.com", false);
        check("*@example.com", "a.b+c@example.com", true);
        check("*@example.com", "a@sub.example.com", false);
        check("*@example.com", "a@example.com.evil.org", false);
        check("*@*.example.com", "a@b.c.example.com", true);
        check("*@*.example.com", "a@example.com", false);
        check("ops-*@example.com", "ops-1@example.com", true);
        check("*@localhost", "root@localhost", true);
    }

    #[test]
    fn an_address_that_a_relay_would_pass_on_is_none() {
        for address in [
            "victim%evil.org@example.com",
            "evil.org!victim@example.com",
            "\"victim@evil.org\"@example.com",
            "victim@evil.org@example.com",
            "@evil.org:victim@example.com",
            "=?utf-8?q?victim=40evil.org?=@example.com",
        ] {
            check("*@example.com", address, false);
        }
    }

    #[test]
    fn what_is_no_address_is_told() {
        for text in ["", "ops", "@example.com", "ops@", "a@b.c\r\nRCPT TO:<x@y.z>", "a@b.c, d@e.f", "a\0@b.c"]
        {
            let error = mailbox(text).unwrap_err();
            assert!(error.starts_with("read \"") && !error.contains('\n'), "{error}");
        }
        for text in ["", "*", "@", "*@", "@example.com", "a b@example.com", "a@b@c", "<a@b.c>"] {
            assert!(AddressPattern::parse(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_covered_address_ends_in_the_granted_domain(text in "(a|%|!|@|\"|:|<|>| |,|\\.|e\\.org|x\\.com|\r\n){1,9}") {
            for text in [text.clone(), format!("{text}@x.com"), format!("a@{text}x.com")] {
                let Ok(found) = mailbox(&text) else { continue };
                if AddressPattern::parse("*@x.com").unwrap().matches(&found.email) {
                    let address = found.email.to_string();
                    prop_assert!(address.ends_with("@x.com") && address.matches('@').count() == 1, "{}", address);
                }
            }
        }
    }
}
