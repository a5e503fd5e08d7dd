//! What is different between two snapshots.
//!
//! Invariant: `apply(old, &diff(old, new)) == new`, whatever the two hold.

use std::cmp::Ordering;
use std::collections::BTreeMap;

/// The things that one watch follows, by their key.
pub type Snapshot<T> = BTreeMap<String, T>;

/// One difference. Each carries its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change<T> {
    /// It was not there before.
    Added(String, T),
    /// It was there, and is otherwise now.
    Modified {
        /// Its key.
        key: String,
        /// As it was.
        old: T,
        /// As it is.
        new: T,
    },
    /// It is no longer there.
    Removed(String, T),
}

/// The differences from `old` to `new`, in the order of their keys: both are gone through once, side by side.
pub fn diff<T: Clone + PartialEq>(old: &Snapshot<T>, new: &Snapshot<T>) -> Vec<Change<T>> {
    let (mut before, mut after) = (old.iter().peekable(), new.iter().peekable());
    let mut changes = Vec::new();
    loop {
        let order = match (before.peek(), after.peek()) {
            (None, None) => return changes,
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some((old, _)), Some((new, _))) => old.cmp(new),
        };
        let old = if order.is_le() { before.next() } else { None };
        let new = if order.is_ge() { after.next() } else { None };
        match (old, new) {
            (Some((key, old)), None) => changes.push(Change::Removed(key.clone(), old.clone())),
            (None, Some((key, new))) => changes.push(Change::Added(key.clone(), new.clone())),
            (Some((key, old)), Some((_, new))) if old != new => {
                changes.push(Change::Modified { key: key.clone(), old: old.clone(), new: new.clone() });
            }
            _ => {}
        }
    }
}

/// Carries `changes` out on `snapshot`.
pub fn apply<T: Clone>(snapshot: &mut Snapshot<T>, changes: &[Change<T>]) {
    for change in changes {
        match change {
            Change::Added(key, new) | Change::Modified { key, new, .. } => {
                snapshot.insert(key.clone(), new.clone());
            }
            Change::Removed(key, _) => {
                snapshot.remove(key);
            }
        }
    }
}

impl<T> Change<T> {
    /// The key of the thing that changed.
    pub fn key(&self) -> &str {
        match self {
            Self::Added(key, _) | Self::Removed(key, _) | Self::Modified { key, .. } => key,
        }
    }

    /// Its key, what was there, and what is.
    pub fn parts(&self) -> (&str, Option<&T>, Option<&T>) {
        match self {
            Self::Added(key, new) => (key, None, Some(new)),
            Self::Modified { key, old, new } => (key, Some(old), Some(new)),
            Self::Removed(key, old) => (key, Some(old), None),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn snapshot() -> impl Strategy<Value = Snapshot<u8>> {
        prop::collection::btree_map("[a-f]{1,2}", 0_u8..4, 0..12)
    }

    proptest! {
        #[test]
        fn applying_the_difference_gives_the_new_snapshot(old in snapshot(), new in snapshot()) {
            let mut applied = old.clone();
            apply(&mut applied, &diff(&old, &new));
            prop_assert_eq!(applied, new);
        }

        #[test]
        fn only_what_differs_is_named_and_only_once(old in snapshot(), new in snapshot()) {
            let changes = diff(&old, &new);
            let named: Vec<_> = changes.iter().map(Change::key).collect();
            let mut different: Vec<_> = old.keys().chain(new.keys()).filter(|key| old.get(*key) != new.get(*key)).collect();
            different.sort();
            different.dedup();
            prop_assert_eq!(named, different);
        }
    }
}
