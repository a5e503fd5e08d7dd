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
    /// Those that these rights, of what was committed, are about.
    pub fn of<'a>(rights: impl IntoIterator<Item = Right<'a>>) -> Self {
        Self(rights.into_iter().map(|(resource, name)| (resource, name.to_owned())).collect())
    }

    /// What an answer that shows what is `now` shows nothing of any more.
    pub(super) fn missing(&self, now: &HashSet<Right<'_>>) -> Vec<Right<'_>> {
        self.0
            .iter()
            .map(|(resource, name)| (*resource, &name[..]))
            .filter(|right| !now.contains(right))
            .collect()
    }

    /// Goes on with what is shown `now`.
    pub(super) fn follow(&mut self, now: HashSet<Right<'_>>) {
        self.0.retain(|(resource, name)| now.contains(&(*resource, &name[..])));
        // Most answers show what the one before did.
        if self.0.len() < now.len() {
            self.0.extend(now.into_iter().map(|(resource, name)| (resource, name.to_owned())));
        }
    }
}

/// What a token has to be allowed to read to be shown `entries`. An agent shows its own service whatever node it is on.
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
    if what.is_of_the_agent() {
        all.retain(|(resource, _)| *resource != Resource::Node);
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::Service;

    fn services(names: &[&str]) -> Vec<Entry> {
        let service = |&name: &&str| Service { service_name: name.into(), service_tags: Vec::new() };
        names.iter().map(service).map(Entry::Service).collect()
    }

    #[test]
    fn what_is_shown_no_more_is_missing_until_it_is_let_go() {
        let mut shown = Shown::of([(Resource::Service, "db")]);
        let (before, now) = (services(&["db", "web"]), services(&["web", "mail"]));
        let rights = |entries| rights(&What::Services, entries);
        assert_eq!(shown.missing(&rights(&before)), []);
        shown.follow(rights(&before));
        assert_eq!(shown.missing(&rights(&now)), [(Resource::Service, "db")]);
        shown.follow(rights(&now));
        assert_eq!(shown.missing(&rights(&now)), []);
        let both = [(Resource::Service, "mail"), (Resource::Service, "web")];
        assert_eq!(shown.missing(&rights(&[])), both);
    }
}
