//! From a change of a service, whatever its instances, to the event that tells of it.

use super::{About, Context, Event, EventType, ServiceData};
use crate::catalog::Service;

/// A list of services has no index for each, so the id is made with that of the answer.
pub(super) fn event(
    subject: &str,
    old: Option<&Service>,
    new: Option<&Service>,
    context: &Context<'_>,
) -> Option<Event> {
    let state = new.or(old)?;
    let kind = match (old, new) {
        (_, None) => EventType::ServiceDeregistered,
        (None, Some(_)) => EventType::ServiceRegistered,
        (Some(_), Some(_)) => EventType::ServiceChanged,
    };
    let tags: Vec<_> = state.service_tags.iter().map(String::as_bytes).collect();
    let id = context.id(subject, kind, (0, context.index), &tags);
    let before = old.filter(|old| new.is_some_and(|new| new.service_tags != old.service_tags));
    let data = ServiceData {
        service: state.service_name.clone(),
        service_tags: state.service_tags.clone(),
        tags_before: before.map(|old| old.service_tags.clone()),
    };
    Some(context.event(id, kind, subject, About::Service(data)))
}
