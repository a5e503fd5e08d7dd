//! Which names Consul has shown: what it shows no more is gone only if the token may still read it.
//!
//! A token that is narrowed gives shorter answers without an error, and older Consuls do not say that anything is
//! hidden. So each time that the last trace of a node, a service or a key disappears, the token's rights to read it
//! are asked for.
//!
//! Boundary: pure; who asks is the driver.

use std::collections::{BTreeSet, HashSet};

use crate::catalog::{Entry, Resource, Right};
use crate::consul::What;

/// The names that were shown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shown(BTreeSet<(Resource, String)>);

impl Shown {
    /// Those that these rights, of what was committed of `what`, are about.
    pub fn of<'a>(what: &What, rights: impl IntoIterator<Item = Right<'a>>) -> Self {
        let rights = rights.into_iter().filter(|right| is_needed(what, right));
        Self(rights.map(|(resource, name)| (resource, name.to_owned())).collect())
    }

    /// What an answer to `what` that shows what is `now`, beside the node `here`, shows nothing of any more.
    pub(super) fn missing(&self, (what, here): (&What, &str), now: &HashSet<Right<'_>>) -> Vec<Right<'_>> {
        // The agent may have another name than before, which says nothing of the old one.
        let is_past = |right: &Right<'_>| {
            what.is_of_this_node() && matches!(right, (Resource::Node, name) if *name != here)
        };
        let all = self.0.iter().map(|(resource, name)| (*resource, &name[..]));
        all.filter(|right| !now.contains(right) && !is_past(right)).collect()
    }

    /// Goes on with what is shown `now`, and says whether it is other than before.
    pub(super) fn follow(&mut self, now: HashSet<Right<'_>>) -> bool {
        let before = self.0.len();
        self.0.retain(|(resource, name)| now.contains(&(*resource, &name[..])));
        // Most answers show what the one before did.
        let is_other = self.0.len() < before || self.0.len() < now.len();
        if self.0.len() < now.len() {
            self.0.extend(now.into_iter().map(|(resource, name)| (resource, name.to_owned())));
        }
        is_other
    }
}

/// An agent shows its own service whatever node it is on.
fn is_needed(what: &What, (resource, _): &Right<'_>) -> bool {
    *resource != Resource::Node || !what.is_of_the_agent()
}

/// What a token has to be allowed to read to be shown `entries`.
pub(super) fn rights<'a>(what: &What, entries: &'a [Entry]) -> HashSet<Right<'a>> {
    let (mut all, mut before) = (HashSet::new(), [None, None]);
    for entry in entries {
        let rights = entry.rights();
        // Those of one node follow each other, as do those of one service.
        all.extend(
            rights
                .iter()
                .zip(before)
                .filter(|(right, before)| *right != before)
                .filter_map(|(right, _)| *right),
        );
        before = rights;
    }
    all.retain(|right| is_needed(what, right));
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::Service;

    fn services(names: &[&str]) -> Vec<Entry> {
        let service = |&name: &&str| Service { service_name: name.into(), service_tags: Vec::new() };
        names.iter().map(service).map(Box::new).map(Entry::Service).collect()
    }

    #[test]
    fn what_is_shown_no_more_is_missing_until_it_is_let_go() {
        let mut shown = Shown::of(&What::Services, [(Resource::Service, "db")]);
        let (before, now) = (services(&["db", "web"]), services(&["web", "mail"]));
        let rights = |entries| rights(&What::Services, entries);
        assert_eq!(shown.missing((&What::Services, "n1"), &rights(&before)), []);
        assert!(shown.follow(rights(&before)));
        assert!(!shown.follow(rights(&before)));
        assert_eq!(shown.missing((&What::Services, "n1"), &rights(&now)), [(Resource::Service, "db")]);
        assert!(shown.follow(rights(&now)));
        assert_eq!(shown.missing((&What::Services, "n1"), &rights(&now)), []);
        let both = [(Resource::Service, "mail"), (Resource::Service, "web")];
        assert_eq!(shown.missing((&What::Services, "n1"), &rights(&[])), both);
    }

    #[test]
    fn an_agents_own_services_need_no_right_to_its_node_and_another_name_of_it_says_nothing() {
        let of = |what: &What| Shown::of(what, [(Resource::Node, "n1"), (Resource::Service, "web")]);
        let now = HashSet::from([(Resource::Service, "web")]);
        let agent = What::AgentService("web".into());
        assert_eq!(of(&agent).missing((&agent, "n1"), &now), []);
        assert_eq!(of(&What::NodeChecks).missing((&What::NodeChecks, "n1"), &now), [(Resource::Node, "n1")]);
        assert_eq!(of(&What::NodeChecks).missing((&What::NodeChecks, "n2"), &now), []);
        assert_eq!(of(&What::Nodes).missing((&What::Nodes, "n2"), &now), [(Resource::Node, "n1")]);
    }
}
