//! Answers, read with their headers: what Consul said, and how far it is to be trusted.
//!
//! Boundary: no I/O.

use std::borrow::Cow;
use std::time::Duration;

use reqwest::header::{HeaderMap, HeaderName};

use super::{Before, Garbage, WaitIndex, Watch};
use crate::catalog::Entry;

pub(super) const INDEX: HeaderName = HeaderName::from_static("x-consul-index");
const HASH: HeaderName = HeaderName::from_static("x-consul-contenthash");
const LAST_CONTACT: HeaderName = HeaderName::from_static("x-consul-lastcontact");
pub(super) const KNOWN_LEADER: HeaderName = HeaderName::from_static("x-consul-knownleader");
pub(super) const FILTERED: HeaderName = HeaderName::from_static("x-consul-results-filtered-by-acls");

/// What Consul said, and how far it is to be trusted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer<T> {
    /// What was asked for.
    pub value: T,
    /// The position to wait from.
    pub index: WaitIndex,
    /// Whether there was a leader; none if Consul did not say.
    pub known_leader: Option<bool>,
    /// The token hides some of the truth.
    pub filtered_by_acls: bool,
    /// It is from a server that has not heard of the leader for longer than the watch allows.
    pub too_old: bool,
}

/// Reads an answer of `watch`, beside the node `here` and after the one `before`.
pub(super) fn answer(
    headers: &HeaderMap,
    body: Vec<u8>,
    (watch, here): (&Watch, &str),
    before: &mut Before,
) -> Result<Answer<Vec<Entry>>, Garbage> {
    let text = |name| text(headers, name);
    let last_contact = text(LAST_CONTACT).and_then(|millis| millis.parse().ok()).map(Duration::from_millis);
    let known_leader = text(KNOWN_LEADER).filter(|_| !watch.what.is_of_the_agent());
    Ok(Answer {
        index: position(headers, watch)?,
        known_leader: known_leader.map(|value| value == "true"),
        filtered_by_acls: text(FILTERED).is_some_and(|value| value == "true"),
        too_old: watch.consistency.is_too_old(last_contact),
        value: watch.what.read(body, here, before)?,
    })
}

fn text(headers: &HeaderMap, name: HeaderName) -> Option<Cow<'_, str>> {
    headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()))
}

/// The position to wait from.
pub(super) fn position(headers: &HeaderMap, watch: &Watch) -> Result<WaitIndex, Garbage> {
    if watch.what.is_hashed() {
        // Where there is nothing, there is no hash of it.
        let hash = text(headers, HASH);
        return Ok(hash.map_or(Ok(WaitIndex::new(1)), |hash| WaitIndex::parse_hash(&hash))?);
    }
    Ok(WaitIndex::parse(&text(headers, INDEX).ok_or(Garbage::NoIndex)?)?)
}
