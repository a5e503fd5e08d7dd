//! From the user events that an agent keeps to those that are new.
//!
//! An agent keeps the last 256, and the index of its answer has no order, so what is new is found by their own
//! identifiers. Where none of those that were known is left, some may have come and gone in between.

use super::id::derive;
use super::key::text;
use super::{About, Change, Context, Event, EventType, FiredData, Snapshot, State};
use crate::catalog::UserEvent;

/// As many user events as an agent keeps.
const RING: usize = 256;

/// The events for those that are new among these `states`, in the order in which they were fired.
pub(super) fn events(
    states: &Snapshot<State>,
    changes: &[Change<State>],
    context: &Context<'_>,
) -> Vec<Event> {
    let mut fired: Vec<&UserEvent> = changes
        .iter()
        .filter_map(|change| match change {
            Change::Added(_, state) => state.user_event(),
            Change::Modified { .. } | Change::Removed(..) => None,
        })
        .collect();
    fired.sort_by(|a, b| (a.ltime, &a.user_event_id).cmp(&(b.ltime, &b.user_event_id)));
    let lost = lost((states, changes), &fired);
    fired.retain(|one| context.user_events.is_none_or(|name| one.name == name));
    fired
        .into_iter()
        .enumerate()
        .map(|(at, one)| event(one, if at == 0 { lost } else { 0 }, context))
        .collect()
}

/// How many may have come and gone unseen: only where the agent keeps nothing but new ones, by Lamport's clock,
/// which goes up with each. An agent that was started anew has forgotten all; nothing is known of how many it missed.
fn lost((states, changes): (&Snapshot<State>, &[Change<State>]), fired: &[&UserEvent]) -> u64 {
    if fired.len() < RING {
        return 0;
    }
    let last = last_known(states, changes);
    let first = fired.first().map(|first| first.ltime);
    first.zip(last).map_or(0, |(first, last)| first.saturating_sub(last).saturating_sub(1))
}

/// The time of the last one that was known before.
fn last_known(states: &Snapshot<State>, changes: &[Change<State>]) -> Option<u64> {
    let is_new = |key: &str| {
        let found = changes.binary_search_by(|change| change.key().cmp(key));
        found.is_ok_and(|at| matches!(changes[at], Change::Added(..)))
    };
    let kept = states.iter().filter(|(key, _)| !is_new(key)).map(|(_, state)| state);
    let gone = changes.iter().filter_map(|change| match change {
        Change::Removed(_, state) => Some(state),
        Change::Added(..) | Change::Modified { .. } => None,
    });
    kept.chain(gone).filter_map(State::user_event).map(|event| event.ltime).max()
}

fn event(fired: &UserEvent, lost: u64, context: &Context<'_>) -> Event {
    let kind = EventType::EventFired;
    let id =
        derive(&[context.datacenter.as_bytes(), kind.as_str().as_bytes(), fired.user_event_id.as_bytes()]);
    let (payload, payload_base64) = text(&fired.payload);
    let data = FiredData {
        user_event_id: fired.user_event_id.clone(),
        name: fired.name.clone(),
        payload,
        payload_base64,
        node_filter: fired.node_filter.clone(),
        service_filter: fired.service_filter.clone(),
        tag_filter: fired.tag_filter.clone(),
        ltime: fired.ltime,
        lost,
    };
    context.event(id, kind, &fired.name, About::Fired(data))
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::catalog::Entry;
    use crate::event::{Clock, Timing, follow};

    fn fired(ltime: u64) -> UserEvent {
        UserEvent {
            user_event_id: ltime.to_string(),
            name: "deploy".into(),
            payload: String::new(),
            node_filter: String::new(),
            service_filter: String::new(),
            tag_filter: String::new(),
            ltime,
        }
    }

    #[track_caller]
    fn check(known: impl IntoIterator<Item = u64>, new: impl IntoIterator<Item = u64>, want: u64) {
        let entries =
            |ltimes: Vec<u64>| ltimes.into_iter().map(fired).map(Box::new).map(Entry::UserEvent).collect();
        let timing = Timing::default();
        let clock = |_: &Entry| Clock { now: Timestamp::UNIX_EPOCH, timing: &timing, first: false };
        let mut states = Snapshot::new();
        follow(&mut states, entries(known.into_iter().collect()), clock);
        let new: Vec<_> = new.into_iter().collect();
        let changes = follow(&mut states, entries(new.clone()), clock);
        let new: Vec<_> = new.into_iter().map(fired).collect();
        assert_eq!(lost((&states, &changes), &new.iter().collect::<Vec<_>>()), want);
    }

    #[test]
    fn what_came_and_went_is_counted_where_that_is_known() {
        check([1, 2], 50..306, 47);
        check([1, 2], 3..259, 0);
        // Not all that the agent keeps is new, so none is missing.
        check([1, 2], 50..60, 0);
        // An agent that was started anew has forgotten what was before.
        check([], 5000..5256, 0);
    }
}
