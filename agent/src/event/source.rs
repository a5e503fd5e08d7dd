//! From the loss of a watch, or its end, to the event that tells of it.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::id::derive;
use super::{About, Context, Event, EventType, SourceData};

/// A watch that cannot be followed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceState {
    /// Its name.
    pub watch: String,
    /// Why not.
    pub reason: String,
    /// Since when.
    pub since: Timestamp,
}

/// What has happened once is told once, so the id has the time at which it began.
pub(super) fn event(
    subject: &str,
    old: Option<&SourceState>,
    new: Option<&SourceState>,
    context: &Context<'_>,
) -> Option<Event> {
    let state = new.or(old)?;
    let kind = if new.is_some() { EventType::SourceLost } else { EventType::SourceRecovered };
    let id = derive(&[
        context.datacenter.as_bytes(),
        context.node.name.as_bytes(),
        subject.as_bytes(),
        kind.as_str().as_bytes(),
        &state.since.as_nanosecond().to_be_bytes(),
    ]);
    let data = SourceData {
        node: context.node.name.clone(),
        watch: state.watch.clone(),
        reason: state.reason.clone(),
        since: state.since,
    };
    Some(context.event(id, kind, subject, About::Source(data)))
}
