//! One thing in an answer of Consul, whatever it is, and the key that tells it from the others.

use std::cmp::Ordering;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use super::{Check, Instance, KeyValue, Leaf, Node, Right, Root, Service, UserEvent};

/// One thing in an answer of Consul. All but a check are in boxes, so that the many checks of an answer are small.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// Of the checks of a node, a service or a datacenter. What is the same as in the answer before is the same object,
    /// as it is in what is known of the watch.
    Check(Arc<Check>),
    /// Of the instances of a service, or of all on a node.
    Instance(Box<Instance>),
    /// Of the services of a datacenter.
    Service(Box<Service>),
    /// Of the nodes of a datacenter.
    Node(Box<Node>),
    /// Of the keys under a prefix.
    Key(Box<KeyValue>),
    /// Of the last user events.
    UserEvent(Box<UserEvent>),
    /// Of the roots of Connect's certificate authority.
    Root(Box<Root>),
    /// The certificate of a service.
    Leaf(Box<Leaf>),
}

impl Entry {
    /// What tells it from the others of an answer, and the subject of its events.
    pub fn key(&self) -> String {
        self.parts().concat()
    }

    /// The parts of its key.
    fn parts(&self) -> [&str; 3] {
        match self {
            Self::Check(check) => [&check.node, "/", &check.check_id],
            Self::Instance(instance) => [&instance.node, "/", &instance.service_id],
            Self::Service(service) => [&service.service_name, "", ""],
            Self::Node(node) => [&node.node, "", ""],
            Self::Key(key) => [&key.key, "", ""],
            Self::UserEvent(event) => [&event.user_event_id, "", ""],
            Self::Root(root) => [&root.root_id, "", ""],
            Self::Leaf(leaf) => [&leaf.service, "", ""],
        }
    }

    /// How its key stands to `key`.
    pub fn cmp_key(&self, key: &str) -> Ordering {
        let mut rest = key.as_bytes();
        for part in self.parts() {
            let (begin, after) = rest.split_at(rest.len().min(part.len()));
            match part.as_bytes().cmp(begin) {
                Ordering::Equal => rest = after,
                other => return other,
            }
        }
        if rest.is_empty() { Ordering::Equal } else { Ordering::Less }
    }

    /// How its key stands to that of another one.
    pub fn cmp_keys(&self, other: &Self) -> Ordering {
        let ([one, _, id], [another, _, other_id]) = (self.parts(), other.parts());
        // Those of one node follow each other.
        if one == another {
            return id.cmp(other_id);
        }
        self.parts()
            .iter()
            .flat_map(|part| part.bytes())
            .cmp(other.parts().iter().flat_map(|part| part.bytes()))
    }

    /// What a token has to be allowed to read to be shown it.
    pub fn rights(&self) -> [Option<Right<'_>>; 2] {
        match self {
            Self::Check(check) => check.rights(),
            Self::Instance(instance) => instance.rights(),
            Self::Service(service) => service.rights(),
            Self::Node(node) => node.rights(),
            Self::Key(key) => key.rights(),
            Self::UserEvent(_) | Self::Root(_) | Self::Leaf(_) => [None, None],
        }
    }

    /// The check, if it is one.
    pub fn check(&self) -> Option<&Check> {
        match self {
            Self::Check(check) => Some(check),
            _ => None,
        }
    }
}

/// Enough to see that something is another: each write of a check by Consul gives it another modify index, so the
/// rest of it need not be read.
impl Hash for Entry {
    fn hash<H: Hasher>(&self, state: &mut H) {
        match self {
            Self::Check(check) => {
                (&check.node, &check.check_id, check.status, check.create_index, check.modify_index)
                    .hash(state);
            }
            Self::Instance(instance) => instance.hash(state),
            Self::Service(service) => service.hash(state),
            Self::Node(node) => node.hash(state),
            Self::Key(key) => key.hash(state),
            Self::UserEvent(event) => event.hash(state),
            Self::Root(root) => root.hash(state),
            Self::Leaf(leaf) => leaf.hash(state),
        }
    }
}
