//! From the loss of a watch, its end, or a doubt, to the event that tells of it.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::id::derive;
use super::{About, Context, Event, EventType, SourceData};

/// A watch that cannot be followed, or whose answer is in doubt.
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
    Some(told(kind, subject, state, context))
}

/// An answer of a watch is in doubt: this is told, and changes nothing.
pub fn suspect(doubt: &SourceState, context: &Context<'_>) -> Event {
    told(EventType::SourceSuspect, &doubt.watch, doubt, context)
}

fn told(kind: EventType, subject: &str, state: &SourceState, context: &Context<'_>) -> Event {
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
    context.event(id, kind, subject, About::Source(data))
}
