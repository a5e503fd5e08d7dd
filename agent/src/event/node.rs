//! From a change of a node in the catalog to the event that tells of it.

use super::{About, Context, Event, EventType, NodeData};
use crate::catalog::Node;

/// None where nothing changed that a person could see.
pub(super) fn event(
    subject: &str,
    old: Option<&Node>,
    new: Option<&Node>,
    context: &Context<'_>,
) -> Option<Event> {
    let state = new.or(old)?;
    let changed = old.zip(new).map_or_else(Vec::new, |(old, new)| changed(old, new));
    let kind = match (old, new) {
        (_, None) => EventType::NodeLeft,
        (None, Some(_)) => EventType::NodeJoined,
        (Some(old), Some(new)) if old.create_index != new.create_index => EventType::NodeJoined,
        (Some(_), Some(_)) if changed.is_empty() => return None,
        (Some(_), Some(_)) => EventType::NodeChanged,
    };
    let facts = (&state.node_id, &state.node_address, &state.node_meta);
    let facts = serde_json::to_vec(&facts).unwrap_or_default();
    let id = context.id(subject, kind, (state.create_index, state.modify_index), &[&facts]);
    let data = NodeData {
        node: state.node.clone(),
        node_id: state.node_id.clone(),
        node_address: state.node_address.clone(),
        node_meta: state.node_meta.clone(),
        changed,
        create_index: state.create_index,
        modify_index: state.modify_index,
    };
    Some(context.event(id, kind, subject, About::Node(data)))
}

fn changed(old: &Node, new: &Node) -> Vec<String> {
    let differ = [
        ("node_id", old.node_id != new.node_id),
        ("node_address", old.node_address != new.node_address),
        ("node_meta", old.node_meta != new.node_meta),
    ];
    differ.into_iter().filter(|(_, differs)| *differs).map(|(name, _)| name.to_owned()).collect()
}
