//! From a change of a key to the event that tells of it.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use super::{About, Context, Event, EventType, KeyData};
use crate::catalog::KeyValue;

/// None where only the session of the key is another: a lock that is taken or given back says nothing of the value.
pub(super) fn event(
    subject: &str,
    old: Option<&KeyValue>,
    new: Option<&KeyValue>,
    context: &Context<'_>,
) -> Option<Event> {
    let state = new.or(old)?;
    let same = |old: &KeyValue, new: &KeyValue| {
        (&old.value, old.flags, old.create_index) == (&new.value, new.flags, new.create_index)
    };
    let kind = match (old, new) {
        (_, None) => EventType::KvDeleted,
        (Some(old), Some(new)) if same(old, new) => return None,
        (_, Some(_)) => EventType::KvSet,
    };
    let id = context.id(subject, kind, (state.create_index, state.modify_index), &[state.value.as_bytes()]);
    let (value, value_base64) = new.map_or((None, None), |new| text(&new.value));
    let (old_value, old_value_base64) = old.map_or((None, None), |old| text(&old.value));
    let data = KeyData {
        key: state.key.clone(),
        value,
        value_base64,
        old_value,
        old_value_base64,
        flags: state.flags,
        session: state.session.clone(),
        create_index: state.create_index,
        modify_index: state.modify_index,
    };
    Some(context.event(id, kind, subject, About::Key(data)))
}

/// What is encoded, where it is text; else the code.
pub(super) fn text(base64: &str) -> (Option<String>, Option<String>) {
    match BASE64_STANDARD.decode(base64).map(String::from_utf8) {
        Ok(Ok(text)) => (Some(text), None),
        _ => (None, Some(base64.to_owned())),
    }
}
