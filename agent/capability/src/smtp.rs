//! SMTP: the relay, and who may be written to.
//!
//! Boundary: parses and decides; `smtp/address.rs` reads addresses, `smtp/send.rs` acts.
//!
//! Invariant: the relay and its password are the grant's. A guest chooses sender, recipients and words only,
//! and a password never crosses a network unencrypted.

mod address;
mod answers;
mod send;

#[cfg(test)]
mod tests;

use std::{fmt, net::IpAddr, path::PathBuf, time::Duration};

use address::AddressPattern;
use lettre::message::Mailbox;
pub(crate) use send::Sender;
use url::Url;

use crate::{CallError, GrantError, refusal};

/// Recipients of a mail: what large mail services take at once.
const RECIPIENTS_MAX: usize = 500;

/// What stands for the relay where none is named: in what a plugin needs, and in examples.
pub(crate) const NO_RELAY: &str = "smtps://relay.invalid";

/// A mail server that takes mail for all the world.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Relay {
    host: String,
    port: u16,
    security: Security,
}

/// How a connection to the relay is secured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Security {
    /// Not at all.
    None,
    /// By STARTTLS, or no mail is sent.
    StartTls,
    /// From the first byte.
    Tls,
}

/// A grant as the operator writes it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SmtpGrantSpec {
    /// `smtps://host:465` (TLS), `smtp://host:587?tls=required` (STARTTLS) or `smtp://host:25` (no TLS). The
    /// ports are the defaults.
    pub relay: String,
    /// For AUTH; needs `password_file`.
    pub username: Option<String>,
    /// Read at each mail; needs `username`.
    pub password_file: Option<PathBuf>,
    /// PEM file with the only certificates that are trusted; by default the system's roots.
    pub ca_file: Option<PathBuf>,
    /// Addresses or patterns of the senders; none means any, since a relay knows who may send as whom.
    pub from: Vec<String>,
    /// Addresses or patterns (`*@example.com`) of the recipients; none means nobody.
    pub to: Vec<String>,
}

/// The relay and who may be written to.
#[derive(Clone, Debug)]
pub struct SmtpGrant {
    relay: Relay,
    login: Option<Login>,
    ca_file: Option<PathBuf>,
    /// None: any.
    from: Vec<AddressPattern>,
    to: Vec<AddressPattern>,
}

/// Who we are to the relay.
#[derive(Clone, Debug)]
struct Login {
    username: String,
    password_file: PathBuf,
}

/// A mail to send. An address may have a name: `Lictor <lictor@example.com>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mail {
    /// The sender's address.
    pub from: String,
    /// The recipients' addresses, 1 to 500.
    pub to: Vec<String>,
    /// One line; control characters become spaces.
    pub subject: String,
    /// Plain text.
    pub body: String,
    /// The left side of the Message-ID: letters, digits and the signs of an address, at most 200.
    pub id: String,
    /// For the whole exchange.
    pub timeout: Duration,
}

/// Why a mail was not sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SmtpError {
    /// No grant covers it; the text says what would.
    #[error("{0}")]
    Refused(String),
    /// No connection, no answer in time, or a 4xx answer of the relay.
    #[error("{0}")]
    Transient(String),
    /// A 5xx answer of the relay, or a message that cannot be sent.
    #[error("{0}")]
    Permanent(String),
}

/// Whom a mail is from and to.
#[derive(Debug)]
pub(crate) struct Parties {
    from: Mailbox,
    to: Vec<Mailbox>,
}

impl Relay {
    /// Reads a relay's URL, in one of the forms that `SmtpGrantSpec::relay` names.
    pub fn parse(url: &str) -> Result<Self, GrantError> {
        // The text is not quoted: a password may have been written into it.
        let fault = |why: &str| {
            GrantError(format!(
                "read the relay: {why}; write smtps://host (TLS), smtp://host?tls=required (STARTTLS) or \
                 smtp://host (no TLS)"
            ))
        };
        let url = Url::parse(url).map_err(|error| fault(&error.to_string()))?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(fault("it names a user, which belongs in `username` and `password_file`"));
        }
        let (security, port) = match (url.scheme(), url.query()) {
            ("smtps", None) => (Security::Tls, 465),
            ("smtp", Some("tls=required")) => (Security::StartTls, 587),
            ("smtp", None) => (Security::None, 25),
            ("smtp" | "smtps", Some(_)) => {
                return Err(fault("its only setting is `?tls=required`, for smtp"));
            }
            _ => return Err(fault("its scheme is neither smtp nor smtps")),
        };
        if !matches!(url.path(), "" | "/") || url.fragment().is_some() {
            return Err(fault("it has a path"));
        }
        let Some(host) = url.host_str().filter(|host| !host.is_empty()) else {
            return Err(fault("it names no host"));
        };
        let host = host.trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase();
        Ok(Self { host, port: url.port().unwrap_or(port), security })
    }

    fn is_loopback(&self) -> bool {
        self.host == "localhost" || self.host.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
    }
}

impl fmt::Display for Relay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, query) = match self.security {
            Security::None => ("smtp", ""),
            Security::StartTls => ("smtp", "?tls=required"),
            Security::Tls => ("smtps", ""),
        };
        let (open, close) = if self.host.contains(':') { ("[", "]") } else { ("", "") };
        write!(f, "{scheme}://{open}{}{close}:{}{query}", self.host, self.port)
    }
}

impl SmtpGrant {
    /// Reads a grant. Nothing is opened yet.
    ///
    /// # Errors
    /// All that is wrong with it.
    pub fn parse(spec: SmtpGrantSpec) -> Result<Self, Vec<GrantError>> {
        let mut faults = Vec::new();
        let relay = Relay::parse(&spec.relay).map_err(|error| faults.push(error)).ok();
        let mut wrong = |why: &str| faults.push(GrantError(format!("read the smtp grant: {why}")));
        let login = match (spec.username, spec.password_file) {
            (Some(username), Some(password_file)) => Some(Login { username, password_file }),
            (None, None) => None,
            (Some(_), None) => {
                wrong("`username` needs a `password_file`");
                None
            }
            (None, Some(_)) => {
                wrong("`password_file` needs a `username`");
                None
            }
        };
        if login.as_ref().is_some_and(|login| !login.password_file.is_absolute()) {
            wrong("`password_file` must be an absolute path");
        }
        if let Some(relay) = relay.as_ref().filter(|relay| relay.security == Security::None) {
            if login.is_some() && !relay.is_loopback() {
                wrong(&format!(
                    "the password would cross the network unencrypted; write smtps://{0} or smtp://{0}?tls=required",
                    relay.host
                ));
            }
            if spec.ca_file.is_some() {
                wrong("`ca_file` has no meaning without TLS");
            }
        }
        let mut pattern = |text: &String| AddressPattern::parse(text).map_err(|why| wrong(&why)).ok();
        let from = spec.from.iter().filter_map(&mut pattern).collect();
        let to = spec.to.iter().filter_map(pattern).collect();
        match relay {
            Some(relay) if faults.is_empty() => Ok(Self { relay, login, ca_file: spec.ca_file, from, to }),
            _ => Err(faults),
        }
    }

    /// The same grant, where it says nothing of senders or recipients only for these.
    ///
    /// # Errors
    /// One of them is no address.
    pub fn limited_to(mut self, from: &str, to: &[String]) -> Result<Self, GrantError> {
        let parties = Parties::parse(from, to).map_err(GrantError)?;
        if self.from.is_empty() {
            self.from = vec![exact(&parties.from)?];
        }
        if self.to.is_empty() {
            self.to = parties.to.iter().map(exact).collect::<Result<_, _>>()?;
        }
        Ok(self)
    }

    /// The same grant, which covers a mail from and to these, too.
    ///
    /// # Errors
    /// One of them is no address.
    pub(crate) fn admitting(mut self, from: &str, to: &[String]) -> Result<Self, GrantError> {
        let parties = Parties::parse(from, to).map_err(GrantError)?;
        if !self.from.is_empty() && !covers_one(&self.from, &parties.from) {
            self.from.push(exact(&parties.from)?);
        }
        for to in &parties.to {
            if !covers_one(&self.to, to) {
                self.to.push(exact(to)?);
            }
        }
        Ok(self)
    }

    /// The line that would grant it, through no relay of anybody's.
    pub(crate) fn line(&self) -> String {
        let shown =
            |patterns: &[AddressPattern]| patterns.iter().map(ToString::to_string).collect::<Vec<_>>();
        line(&shown(&self.from), &shown(&self.to))
    }

    /// The relay is the one that stands for none.
    pub fn is_without_relay(&self) -> bool {
        self.relay.to_string() == format!("{NO_RELAY}:465")
    }

    /// What it allows, in words.
    pub(crate) fn in_words(&self) -> String {
        let user =
            self.login.as_ref().map_or_else(String::new, |login| format!(" as user {}", login.username));
        let shown = |patterns: &[AddressPattern], none: &str| {
            let patterns: Vec<String> = patterns.iter().map(ToString::to_string).collect();
            if patterns.is_empty() { none.to_owned() } else { patterns.join(" or ") }
        };
        let (from, to) = (shown(&self.from, "any address"), shown(&self.to, "nobody"));
        let relay = if self.is_without_relay() {
            "a relay that is still to be named".to_owned()
        } else {
            self.relay.to_string()
        };
        let mut words = vec![format!("may send mail through {relay}{user} from {from} to {to}")];
        if let Some(path) = &self.ca_file {
            words.push(format!("trusting only {}", path.display()));
        }
        words.join("; ")
    }
}

fn line(from: &[String], to: &[String]) -> String {
    let to = refusal::quote_all(to);
    let from = match from {
        [from] => refusal::quote(from).to_string(),
        from => refusal::quote_all(from).to_string(),
    };
    format!("allow.smtp = {{ relay = \"{NO_RELAY}\", from = {from}, to = {to} }}")
}

/// The pattern of one address.
fn exact(mailbox: &Mailbox) -> Result<AddressPattern, GrantError> {
    AddressPattern::parse(mailbox.email.as_ref()).map_err(GrantError)
}

fn covers_one(patterns: &[AddressPattern], mailbox: &Mailbox) -> bool {
    patterns.iter().any(|pattern| pattern.matches(&mailbox.email))
}

impl Parties {
    /// Reads the addresses; the error fits after "failed to".
    pub(crate) fn parse(from: &str, to: &[String]) -> Result<Self, String> {
        if to.is_empty() {
            return Err("send a mail to nobody".to_owned());
        }
        if to.len() > RECIPIENTS_MAX {
            let count = to.len();
            return Err(format!("send a mail to {count} addresses: {RECIPIENTS_MAX} are the most"));
        }
        let to = to.iter().map(|text| address::mailbox(text)).collect::<Result<_, _>>()?;
        Ok(Self { from: address::mailbox(from)?, to })
    }
}

/// Whether the grant covers a mail from and to these addresses.
pub(crate) fn covers(grant: Option<&SmtpGrant>, from: &str, to: &[String]) -> Result<(), CallError> {
    let parties = Parties::parse(from, to).map_err(CallError::Refused)?;
    decide(grant, &parties).map(|_| ())
}

/// The grant, if it covers sender and recipients.
pub(crate) fn decide<'g>(
    grant: Option<&'g SmtpGrant>,
    parties: &Parties,
) -> Result<&'g SmtpGrant, CallError> {
    let from = parties.from.email.to_string();
    let everyone = || parties.to.iter().map(|to| to.email.to_string());
    let Some(grant) = grant else {
        return Err(refusal::refused(
            format_args!("sending mail{}", refusal::widely(everyone().chain([from.clone()]))),
            line(std::slice::from_ref(&from), &everyone().collect::<Vec<_>>()),
        ));
    };
    let is_strange = |to: &&Mailbox| !covers_one(&grant.to, to);
    let to: Vec<String> = parties.to.iter().filter(is_strange).map(|to| to.email.to_string()).collect();
    let may_send = grant.from.is_empty() || covers_one(&grant.from, &parties.from);
    let with = |key: &str, granted: &[AddressPattern], more: &[String]| {
        let granted = granted.iter().map(ToString::to_string);
        format!("{key} = {}", refusal::quote_all(granted.chain(more.iter().cloned())))
    };
    let (mut missing, mut lines) = (Vec::new(), Vec::new());
    if !may_send {
        missing.push(format!("from {}", refusal::quote(&from)));
        lines.push(with("from", &grant.from, std::slice::from_ref(&from)));
    }
    if !to.is_empty() {
        missing.push(format!("to {}", refusal::quote_all(&to)));
        lines.push(with("to", &grant.to, &to));
    }
    if lines.is_empty() {
        return Ok(grant);
    }
    let strange = to.iter().chain((!may_send).then_some(&from));
    Err(refusal::refused(
        format_args!("mail{} {}", refusal::widely(strange), missing.join(" ")),
        format_args!("{} in allow.smtp", lines.join(" and ")),
    ))
}
