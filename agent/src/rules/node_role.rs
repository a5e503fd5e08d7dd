//! Which role a node has for a service.

use std::collections::{BTreeMap, BTreeSet};

use crate::event::NodeRole;

/// The role data of all services.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Roles(BTreeMap<String, ServiceRoles>);

/// The role data of one service, in python-powerconsul's words.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServiceRoles {
    /// The names of the nodes that are primary.
    pub active_nodes: BTreeSet<String>,
    /// The names of the nodes that are secondary.
    pub standby_nodes: BTreeSet<String>,
}

impl Roles {
    /// What `node` is for `service`.
    pub fn node_role(&self, service: &str, node: &str) -> NodeRole {
        match self.0.get(service) {
            Some(roles) if roles.active_nodes.contains(node) => NodeRole::Primary,
            Some(roles) if roles.standby_nodes.contains(node) => NodeRole::Secondary,
            _ => NodeRole::Standalone,
        }
    }
}

impl FromIterator<(String, ServiceRoles)> for Roles {
    fn from_iter<I: IntoIterator<Item = (String, ServiceRoles)>>(services: I) -> Self {
        Self(services.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_has_a_role_only_for_services_that_name_it() {
        let nodes = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        let web = ServiceRoles { active_nodes: nodes(&["web1"]), standby_nodes: nodes(&["web2"]) };
        let roles = Roles::from_iter([("web".to_owned(), web)]);
        let check =
            |service, node, want| assert_eq!(roles.node_role(service, node), want, "{service} {node}");
        check("web", "web1", NodeRole::Primary);
        check("web", "web2", NodeRole::Secondary);
        check("web", "web3", NodeRole::Standalone);
        check("db", "web1", NodeRole::Standalone);
        check("", "web1", NodeRole::Standalone);
    }
}
