//! From a change of a certificate of Connect to the event that tells of it.

use super::{About, Context, Event, EventType, LeafData, RootData};
use crate::catalog::{Leaf, Root};

/// None where it was written and is the same.
pub(super) fn root(
    subject: &str,
    old: Option<&Root>,
    new: Option<&Root>,
    context: &Context<'_>,
) -> Option<Event> {
    let state = new.or(old)?;
    let kind = match (old, new) {
        (_, None) => EventType::RootRemoved,
        (None, Some(_)) => EventType::RootAdded,
        (Some(old), Some(new)) if (old.active, &old.name) == (new.active, &new.name) => return None,
        (Some(_), Some(_)) => EventType::RootChanged,
    };
    let indexes = (state.create_index, state.modify_index);
    let id = context.id(subject, kind, indexes, &[&[u8::from(state.active)]]);
    let data = RootData {
        root_id: state.root_id.clone(),
        name: state.name.clone(),
        active: state.active,
        trust_domain: state.trust_domain.clone(),
        not_before: state.not_before.clone(),
        not_after: state.not_after.clone(),
        certificate: state.certificate.clone(),
        create_index: state.create_index,
        modify_index: state.modify_index,
    };
    Some(context.event(id, kind, subject, About::Root(data)))
}

/// None where it is the same certificate. An agent always has one, so its end is none of Consul's doing.
pub(super) fn leaf(
    subject: &str,
    old: Option<&Leaf>,
    new: Option<&Leaf>,
    context: &Context<'_>,
) -> Option<Event> {
    let new = new?;
    let identity = |leaf: &Leaf| (leaf.serial_number.clone(), leaf.service_uri.clone());
    if old.is_some_and(|old| identity(old) == identity(new)) {
        return None;
    }
    let kind = EventType::LeafIssued;
    let indexes = (new.create_index, new.modify_index);
    let id = context.id(subject, kind, indexes, &[new.serial_number.as_bytes(), new.service_uri.as_bytes()]);
    let data = LeafData {
        service: new.service.clone(),
        serial_number: new.serial_number.clone(),
        service_uri: new.service_uri.clone(),
        valid_after: new.valid_after.clone(),
        valid_before: new.valid_before.clone(),
        certificate: new.certificate.clone(),
        create_index: new.create_index,
        modify_index: new.modify_index,
    };
    Some(context.event(id, kind, subject, About::Leaf(data)))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use jiff::Timestamp;

    use super::*;
    use crate::catalog::LocalNode;
    use crate::event::{Health, NodeRole};

    /// The type of the event that tells of a change, if one does, and its id.
    fn told(event: impl FnOnce(&Context<'_>) -> Option<Event>) -> Option<(EventType, String)> {
        let node = LocalNode { name: "n1".into(), datacenter: "dc1".into(), meta: BTreeMap::new() };
        let told = event(&Context {
            node: &node,
            datacenter: "dc1",
            environment: "",
            node_role: &|_, _| NodeRole::Standalone,
            catch_up: false,
            health: &Health::unknown(),
            index: 0,
            is_a_choice: false,
            by_status: false,
            user_events: None,
            now: Timestamp::UNIX_EPOCH,
        });
        told.map(|event| (event.kind, event.id))
    }

    fn certificate(serial: &str, modify_index: u64) -> Leaf {
        Leaf {
            service: "web".into(),
            serial_number: serial.into(),
            service_uri: "spiffe://x.consul/ns/default/dc/dc1/svc/web".into(),
            valid_after: "2026-01-01T00:00:00Z".into(),
            valid_before: "2026-01-04T00:00:00Z".into(),
            certificate: "-----BEGIN CERTIFICATE-----".into(),
            create_index: 7,
            modify_index,
        }
    }

    #[test]
    fn a_certificate_is_told_when_it_is_another_one() {
        let told = |old: Option<&Leaf>, new: Option<&Leaf>| {
            told(|context| leaf("web", old, new, context)).map(|(kind, _)| kind)
        };
        let (first, again, renewed) = (certificate("08", 7), certificate("08", 9), certificate("09", 9));
        assert_eq!(told(None, Some(&first)), Some(EventType::LeafIssued));
        assert_eq!(told(Some(&first), Some(&again)), None);
        assert_eq!(told(Some(&again), Some(&renewed)), Some(EventType::LeafIssued));
        assert_eq!(told(Some(&renewed), None), None);
    }

    #[test]
    fn a_root_is_told_when_it_comes_turns_and_goes() {
        let state = |active, modify_index| Root {
            root_id: "6c:00".into(),
            name: "Consul CA Root Cert".into(),
            active,
            trust_domain: "x.consul".into(),
            not_before: String::new(),
            not_after: String::new(),
            certificate: String::new(),
            create_index: 7,
            modify_index,
        };
        let told = |old: Option<&Root>, new: Option<&Root>| told(|context| root("6c:00", old, new, context));
        let kind = |old: Option<&Root>, new: Option<&Root>| told(old, new).map(|(kind, _)| kind);
        let (new, same, retired) = (state(true, 7), state(true, 8), state(false, 9));
        assert_eq!(kind(None, Some(&new)), Some(EventType::RootAdded));
        assert_eq!(kind(Some(&new), Some(&same)), None);
        assert_eq!(kind(Some(&same), Some(&retired)), Some(EventType::RootChanged));
        assert_eq!(kind(Some(&retired), None), Some(EventType::RootRemoved));
        assert_ne!(told(Some(&same), Some(&retired)), told(Some(&retired), Some(&state(true, 9))));
    }
}
