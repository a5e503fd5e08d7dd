//! `[roles]`: which nodes are primary or secondary for a service.

use std::collections::{BTreeMap, BTreeSet};

use super::fault::Fault;
use super::reader::{Entry, Table};
use super::source::Place;
use crate::rules::ServiceRoles;

/// The nodes of a service and where each is named.
type Nodes = BTreeMap<String, Place>;

/// Hands each service to `found`, with the place of its name.
pub(super) fn read<'a>(table: &mut Table<'a>, mut found: impl FnMut(Entry<'a>, String, ServiceRoles)) {
    table.get("services", |services| {
        services.map("a table of services", |name, entry| {
            let title = format!("[roles.services.{}]", name.text());
            let roles = entry.table(&title, service)?;
            found(entry, name.text().to_owned(), roles);
            Some(())
        })
    });
}

fn service(table: &mut Table<'_>) -> ServiceRoles {
    let active = table.get("active_nodes", nodes).unwrap_or_default();
    let standby = table.get("standby_nodes", nodes).unwrap_or_default();
    for (node, place) in &standby {
        if let Some(first) = active.get(node) {
            let fault = Fault::at(place.clone(), format!("the node {node:?} is active and standby at once"));
            table.note(fault.other(first.clone(), "active here").help("keep it in one of the two lists"));
        }
    }
    let names = |nodes: Nodes| nodes.into_keys().collect::<BTreeSet<_>>();
    ServiceRoles { active_nodes: names(active), standby_nodes: names(standby) }
}

fn nodes(entry: Entry<'_>) -> Option<Nodes> {
    let nodes = entry.list("a list of node names", |item| Some((item.string()?, item.place())))?;
    Some(nodes.into_iter().collect())
}
