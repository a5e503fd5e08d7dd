//! What is different between what is known and an answer.
//!
//! Invariant: what `follow` leaves is what each entry of the answer makes of what was known of it, and what it gives is all
//! that is other than before, whatever the two hold.
//!
//! From one answer to the next nearly all stays as it is, so what stays is not touched: no key is made of it, and no state.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Clock, State};
use crate::catalog::Entry;

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

/// Brings `states` up to date with the `entries` of an answer, and gives the differences in the order of their keys: both
/// are gone through once, side by side. Of entries with one key the last one counts.
pub fn follow<'a>(
    states: &mut Snapshot<State>,
    mut entries: Vec<Entry>,
    clock: impl Fn(&Entry) -> Clock<'a>,
) -> Vec<Change<State>> {
    entries.sort_by(Entry::cmp_keys);
    let mut changes = Vec::new();
    let mut known = states.iter_mut().peekable();
    let mut entries = entries.into_iter().peekable();
    let removed = |(key, state): (&String, &mut State)| Change::Removed(key.clone(), state.clone());
    while let Some(entry) = entries.next() {
        if entries.peek().is_some_and(|next| entry.cmp_keys(next).is_eq()) {
            continue;
        }
        let same = loop {
            let order = known.peek().map(|(key, state)| order(&entry, (key, state)));
            match order {
                Some(Ordering::Greater) => changes.extend(known.next().map(removed)),
                Some(Ordering::Equal) => break known.next(),
                Some(Ordering::Less) | None => break None,
            }
        };
        let clock = clock(&entry);
        match same {
            Some((_, state)) if stays(state, &entry, clock) => {}
            Some((key, state)) => changes.extend(replaced(key, state, entry, clock)),
            None => changes.push(Change::Added(entry.key(), State::follow(None, entry, clock))),
        }
    }
    changes.extend(known.map(removed));
    for change in &changes {
        match change {
            Change::Added(key, new) => drop(states.insert(key.clone(), new.clone())),
            Change::Removed(key, _) => drop(states.remove(key)),
            Change::Modified { .. } => {}
        }
    }
    changes
}

/// How the key of `entry` stands to that of something known.
fn order(entry: &Entry, (key, state): (&str, &State)) -> Ordering {
    // The same object has the same key.
    let same =
        matches!((entry, state), (Entry::Check(check), State::Check(old)) if Arc::ptr_eq(check, &old.check));
    if same { Ordering::Equal } else { entry.cmp_key(key) }
}

/// The entry was in the answer before too, and no time makes anything else of it.
fn stays(state: &State, entry: &Entry, clock: Clock<'_>) -> bool {
    match (state, entry) {
        (State::Check(old), Entry::Check(check)) => {
            Arc::ptr_eq(&old.check, check) && old.due_at(clock.timing).is_none_or(|due| due > clock.now)
        }
        _ => false,
    }
}

/// What `entry` makes of `state`, in its place. None where it is the same; then the object of the entry is in its place.
fn replaced(key: &str, state: &mut State, entry: Entry, clock: Clock<'_>) -> Option<Change<State>> {
    let new = State::follow(Some(state), entry, clock);
    let old = std::mem::replace(state, new);
    (old != *state).then(|| Change::Modified { key: key.to_owned(), old, new: state.clone() })
}

/// Brings `states` up to date with the time that went by, and gives the differences.
pub fn age(states: &mut Snapshot<State>, clock: Clock<'_>) -> Vec<Change<State>> {
    let aged = |(key, state): (&String, &mut State)| {
        let check = Arc::clone(&state.check()?.check);
        replaced(key, state, Entry::Check(check), clock)
    };
    states.iter_mut().filter_map(aged).collect()
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use proptest::prelude::*;

    use super::*;
    use crate::catalog::{Check, CheckStatus, Node};
    use crate::event::Timing;

    /// Which of some checks an answer has: its node, its status, whether it says something, when it was written, and whether
    /// it is the same object as in the last answer that had such a one.
    type Written = (u8, u8, bool, u8, bool);

    fn check((at, status, speaks, index, _): Written) -> Check {
        Check {
            // By their keys, a check of the second is between those of the first.
            node: ["a", "a/b", "b"][usize::from(at % 3)].into(),
            check_id: ["c", "b/c", "d"][usize::from(at / 3 % 3)].into(),
            name: String::new(),
            kind: "http".into(),
            status: CheckStatus::ALL[usize::from(status % 3)],
            notes: String::new(),
            output: if speaks { "said".into() } else { String::new() },
            service_id: String::new(),
            service: String::new(),
            service_tags: Vec::new(),
            create_index: 1,
            modify_index: index.into(),
        }
    }

    const TIMING: Timing = Timing {
        initial_grace: std::time::Duration::from_secs(2),
        flap_interval: std::time::Duration::from_secs(1),
        low_flap_threshold: 5,
        high_flap_threshold: 10,
    };

    fn clock(second: usize) -> Clock<'static> {
        let now = Timestamp::from_second(i64::try_from(second).unwrap()).unwrap();
        Clock { now, timing: &TIMING, first: false }
    }

    /// What each entry makes of what was known of it, without regard to what stays.
    fn anew(known: &Snapshot<State>, entries: &[Entry], clock: Clock<'_>) -> Snapshot<State> {
        let state = |entry: &Entry| {
            let key = entry.key();
            let state = State::follow(known.get(&key), entry.clone(), clock);
            (key, state)
        };
        entries.iter().map(state).collect()
    }

    /// Undoes `changes` to `states`.
    fn before(mut states: Snapshot<State>, changes: &[Change<State>]) -> Snapshot<State> {
        for change in changes {
            match change.parts() {
                (key, Some(old), _) => drop(states.insert(key.to_owned(), old.clone())),
                (key, None, _) => drop(states.remove(key)),
            }
        }
        states
    }

    proptest! {
        #[test]
        fn what_is_left_and_what_is_told_is_what_comparing_all_gives(
            answers in prop::collection::vec(prop::collection::vec(any::<Written>(), 0..12), 1..8)
        ) {
            let mut states = Snapshot::new();
            let mut objects = Vec::<Arc<Check>>::new();
            for (second, answer) in answers.iter().enumerate() {
                let object = |written: &Written| {
                    let check = check(*written);
                    let known = objects.iter().find(|known| written.4 && ***known == check);
                    known.map_or_else(|| check.into(), Arc::clone)
                };
                let checks: Vec<_> = answer.iter().map(object).collect();
                let entries: Vec<_> = checks.iter().map(Arc::clone).map(Entry::Check).collect();
                objects = checks;
                let (was, want) = (states.clone(), anew(&states, &entries, clock(second)));
                let changes = follow(&mut states, entries, |_| clock(second));
                prop_assert_eq!(&states, &want);
                prop_assert_eq!(before(states.clone(), &changes), was.clone());
                let named: Vec<_> = changes.iter().map(Change::key).collect();
                let all = was.keys().chain(want.keys());
                let mut other: Vec<_> = all.filter(|key| was.get(*key) != want.get(*key)).collect();
                other.sort();
                other.dedup();
                prop_assert_eq!(named, other);
                let is_new = |change: &Change<State>| change.parts().2.is_none_or(|new| states.get(change.key()) == Some(new));
                prop_assert!(changes.iter().all(is_new));
            }
        }

        #[test]
        fn keys_are_in_the_order_of_their_text(one in any::<[u8; 2]>(), other in any::<[u8; 2]>()) {
            let part = |byte: u8| ["", "a", "/", "a/", "b", "a.b"][usize::from(byte % 6)].to_owned();
            let entry = |[node, id]: [u8; 2]| {
                let check = Check { node: part(node), check_id: part(id), ..check((0, 0, false, 0, false)) };
                Entry::Check(check.into())
            };
            let (one, other) = (entry(one), entry(other));
            prop_assert_eq!(one.cmp_keys(&other), one.key().cmp(&other.key()));
            prop_assert_eq!(one.cmp_key(&other.key()), one.key().cmp(&other.key()));
        }
    }

    #[test]
    fn time_alone_makes_something_of_a_check_that_stays() {
        let entry = Entry::Check(check((0, 2, false, 1, true)).into());
        let mut states = Snapshot::new();
        assert_eq!(follow(&mut states, vec![entry.clone()], |_| clock(0)).len(), 1);
        assert_eq!(follow(&mut states, vec![entry.clone()], |_| clock(1)), []);
        let changes = follow(&mut states.clone(), vec![entry], |_| clock(2));
        assert!(matches!(&changes[..], [Change::Modified { .. }]), "{changes:?}");
        assert_eq!(age(&mut states, clock(2)), changes);
        assert_eq!(age(&mut states, clock(3)), []);
    }

    #[test]
    fn the_last_of_two_entries_with_one_key_counts() {
        let node = |address: &str| {
            Box::new(Node {
                node: "a".into(),
                node_id: String::new(),
                node_address: address.into(),
                node_meta: BTreeMap::new(),
                create_index: 1,
                modify_index: 1,
            })
        };
        let mut states = Snapshot::new();
        let both = vec![Entry::Node(node("1")), Entry::Node(node("2"))];
        let changes = follow(&mut states, both, |_| clock(0));
        assert_eq!(changes, [Change::Added("a".into(), State::Node(node("2")))]);
        assert_eq!(states, [("a".to_owned(), State::Node(node("2")))].into());
    }
}
