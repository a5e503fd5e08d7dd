//! From a change of an instance of a service to the event that tells of it.

use super::{About, Context, Event, EventType, InstanceData, InstanceFacts};
use crate::catalog::Instance;

/// None where nothing changed that belongs to the instance.
pub(super) fn event(
    subject: &str,
    old: Option<&Instance>,
    new: Option<&Instance>,
    context: &Context<'_>,
) -> Option<Event> {
    let state = new.or(old)?;
    let changed = old.zip(new).map_or_else(Vec::new, |(old, new)| changed(old, new));
    let kind = match (old, new) {
        (_, None) => EventType::ServiceDeregistered,
        (None, Some(_)) => EventType::ServiceRegistered,
        (Some(old), Some(new)) if old.create_index != new.create_index => EventType::ServiceRegistered,
        (Some(_), Some(_)) if changed.is_empty() => return None,
        (Some(_), Some(_)) => EventType::ServiceChanged,
    };
    let modified = match state.modify_index {
        // An agent knows no index of its own services, and no other agent sees the same: the time tells one from the
        // next.
        0 => context.now.as_millisecond().cast_unsigned(),
        _ if context.is_a_choice && old.is_none() != new.is_none() => context.index,
        index => index,
    };
    let facts_now = serde_json::to_vec(&facts(state)).unwrap_or_default();
    let id = context.id(subject, kind, (state.create_index, modified), &[&facts_now]);
    let data = InstanceData {
        node: state.node.clone(),
        node_meta: state.node_meta.clone(),
        service_id: state.service_id.clone(),
        service: state.service.clone(),
        service_tags: state.service_tags.clone(),
        service_meta: state.service_meta.clone(),
        address: state.address.clone(),
        port: state.port,
        before: old.filter(|_| !changed.is_empty()).map(facts),
        changed,
        node_role: (context.node_role)(&state.service, &state.node),
        create_index: state.create_index,
        modify_index: state.modify_index,
    };
    Some(context.event(id, kind, subject, About::Instance(data)))
}

fn changed(old: &Instance, new: &Instance) -> Vec<String> {
    let differ = [
        ("address", old.address != new.address),
        ("port", old.port != new.port),
        ("service_tags", old.service_tags != new.service_tags),
        ("service_meta", old.service_meta != new.service_meta),
    ];
    differ.into_iter().filter(|(_, differs)| *differs).map(|(name, _)| name.to_owned()).collect()
}

fn facts(instance: &Instance) -> InstanceFacts {
    InstanceFacts {
        address: instance.address.clone(),
        port: instance.port,
        service_tags: instance.service_tags.clone(),
        service_meta: instance.service_meta.clone(),
    }
}
