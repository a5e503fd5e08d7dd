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

    /// What `entries` show nothing of any more.
    pub(super) fn missing(&self, what: &What, entries: &[Entry]) -> Vec<Right<'_>> {
        let now = rights(what, entries);
        self.0
            .iter()
            .map(|(resource, name)| (*resource, &name[..]))
            .filter(|right| !now.contains(right))
            .collect()
    }

    /// Goes on with what `entries` show.
    pub(super) fn follow(&mut self, what: &What, entries: &[Entry]) {
        let now = rights(what, entries);
        self.0.retain(|(resource, name)| now.contains(&(*resource, &name[..])));
        // Most answers show what the one before did.
        if self.0.len() < now.len() {
            self.0.extend(now.into_iter().map(|(resource, name)| (resource, name.to_owned())));
        }
    }
}

/// What a token has to be allowed to read to be shown these. An agent shows its own service whatever node it is on.
fn rights<'a>(what: &What, entries: &'a [Entry]) -> HashSet<Right<'a>> {
    let all = entries.iter().flat_map(Entry::rights).flatten();
    all.filter(|(resource, _)| *resource != Resource::Node || !what.is_of_the_agent()).collect()
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
        assert_eq!(shown.missing(&What::Services, &before), []);
        shown.follow(&What::Services, &before);
        assert_eq!(shown.missing(&What::Services, &now), [(Resource::Service, "db")]);
        shown.follow(&What::Services, &now);
        assert_eq!(shown.missing(&What::Services, &now), []);
        let both = [(Resource::Service, "mail"), (Resource::Service, "web")];
        assert_eq!(shown.missing(&What::Services, &[]), both);
    }
}
