//! What an answer means: pure.
//!
//! Boundary: no clock, no store; the time is an argument, and what to commit is the result.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use crate::catalog::{Check, CheckStatus, Entry, LocalNode};
use crate::event::{
    Change, Clock, Context, Event, EventType, Health, Snapshot, State, Timing, age, events, follow, standing,
};
use crate::rules::{InhibitRule, Policy, Roles, Rules};
use crate::store::{Lane, Overlap, Saved};

/// What an answer means: the pure part.
#[derive(Debug)]
pub struct Routing {
    /// In the order of the configuration.
    pub rules: Rules,
    /// What hides what.
    pub inhibit_rules: Vec<InhibitRule>,
    /// Which node is primary or secondary for which service.
    pub roles: Roles,
    /// Where this is; without it the node's metadata `environment` says it.
    pub environment: Option<String>,
    /// When time alone makes something of a check.
    pub timing: Timing,
    /// What receivers want; one that is not here wants the default.
    pub wishes: BTreeMap<String, Wishes>,
}

/// What a receiver wants of the events that rules send to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wishes {
    /// What happens where it is not done with an earlier one of the same subject. Default: the next one waits.
    pub overlap: Overlap,
    /// Whether it is told that a check passes again. Default: it is.
    pub send_resolved: bool,
    /// Who gets an event that this receiver did not get in the end. Default: nobody.
    pub fallback: Option<String>,
    /// Which of its deliveries wait for each other. Default: those of one subject.
    pub lane: Lane,
}

impl Default for Wishes {
    fn default() -> Self {
        Self { overlap: Overlap::default(), send_resolved: true, fallback: None, lane: Lane::default() }
    }
}

impl Wishes {
    /// Does the receiver want this event?
    pub fn want(&self, event: &Event) -> bool {
        let to = event.data.check().and_then(|check| check.to);
        let resolved = event.kind == EventType::CheckStatus && to == Some(CheckStatus::Passing);
        self.send_resolved || !resolved
    }
}

/// What is known of a watch before an answer.
#[derive(Debug, Default)]
pub struct Known {
    /// The states after the last answer, which are committed before the next one.
    pub states: Snapshot<State>,
    /// Whether something was ever committed, and by whom.
    pub history: History,
    /// The states are those of other queries.
    pub borrowed: Option<Borrowed>,
}

/// Where the states of a query come from that was never asked, and others were that ask for a part of the same.
#[derive(Debug)]
pub struct Borrowed {
    /// The services whose checks they are; what others have is no news.
    pub services: BTreeSet<String>,
    /// The names of those queries. What they knew is forgotten once it is taken over.
    pub from: Vec<String>,
}

impl Borrowed {
    /// The check is one of those that those queries asked for.
    fn has(&self, check: Option<&Check>) -> bool {
        check.is_some_and(|check| self.services.contains(&check.service))
    }

    /// The change is to something that those queries asked for.
    fn tells(&self, change: &Change<State>) -> bool {
        match change {
            Change::Added(_, state) => self.has(state.check().map(|state| &*state.check)),
            Change::Modified { .. } | Change::Removed(..) => true,
        }
    }
}

/// How the known states came to be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum History {
    /// Nothing was ever committed: what is there now is no news.
    #[default]
    None,
    /// They were committed before Lictor was away: what differs now happened meanwhile.
    Away,
    /// They are the answer before this one.
    Live,
}

impl From<Saved> for Known {
    fn from(saved: Saved) -> Self {
        Self { states: saved.states, history: History::Away, borrowed: None }
    }
}

/// All that a watch follows, as Consul has it at an index.
#[derive(Debug)]
pub struct Answer {
    /// In any order.
    pub entries: Vec<Entry>,
    /// Consul's index.
    pub index: u64,
    /// The indexes began anew.
    pub reset: bool,
}

/// What is to be committed for an answer.
#[derive(Debug, PartialEq)]
pub struct Plan {
    /// From the states that were known to those after it.
    pub changes: Vec<Change<State>>,
    /// What the changes mean.
    pub events: Vec<Event>,
}

/// Where an answer comes from.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// The node that Lictor runs beside.
    pub node: &'a LocalNode,
    /// The datacenter that was asked.
    pub datacenter: &'a str,
    /// The name of the watch.
    pub watch: &'a str,
    /// The answer has only what was chosen.
    pub is_a_choice: bool,
    /// The answer has only checks of some state.
    pub by_status: bool,
    /// Only user events of this name are of interest.
    pub user_events: Option<&'a str>,
}

impl Routing {
    /// What `answer` means after what is `known`, which then is what is known after it.
    pub fn plan(
        &self,
        known: &mut Known,
        place: Place<'_>,
        Answer { entries, index, .. }: Answer,
        now: Timestamp,
    ) -> Plan {
        let clock = self.clock(now);
        let Known { states, history, borrowed } = known;
        let changes = follow(states, entries, |entry| {
            let of_others = borrowed.as_ref().is_some_and(|borrowed| !borrowed.has(entry.check()));
            Clock { first: *history == History::None || of_others, ..clock }
        });
        self.told(known, place, changes, (index, now))
    }

    /// What it means that time went by since the answer with this index.
    pub fn age(&self, known: &mut Known, place: Place<'_>, (index, now): (u64, Timestamp)) -> Plan {
        let changes = age(&mut known.states, self.clock(now));
        self.told(known, place, changes, (index, now))
    }

    fn clock(&self, now: Timestamp) -> Clock<'_> {
        Clock { now, timing: &self.timing, first: false }
    }

    /// When that means something next.
    pub(super) fn due_at(&self, known: &Known) -> Option<Timestamp> {
        let checks = known.states.values().filter_map(State::check);
        checks.filter_map(|check| check.due_at(&self.timing)).min()
    }

    /// What it means that these `changes` led to what is `known`, by an answer with this index.
    pub(super) fn told(
        &self,
        known: &Known,
        place: Place<'_>,
        mut changes: Vec<Change<State>>,
        (index, now): (u64, Timestamp),
    ) -> Plan {
        let Known { states, history, .. } = known;
        if let Some(borrowed) = &known.borrowed {
            changes.retain(|change| borrowed.tells(change));
        }
        let health = Health::of(states);
        let events = self.in_context(*history, place, (&health, index, now), |context| match history {
            History::None => Vec::new(),
            History::Away | History::Live => events(states, &changes, context),
        });
        if known.borrowed.is_some() {
            // Under the name of this query nothing is kept yet.
            changes = states.iter().map(|(key, state)| Change::Added(key.clone(), state.clone())).collect();
        }
        Plan { changes, events }
    }

    /// What `told` makes of what all events of an answer have in common.
    pub(super) fn in_context<T>(
        &self,
        history: History,
        Place { node, datacenter, is_a_choice, by_status, user_events, .. }: Place<'_>,
        (health, index, now): (&Health<'_>, u64, Timestamp),
        told: impl FnOnce(&Context<'_>) -> T,
    ) -> T {
        told(&Context {
            node,
            datacenter,
            environment: self.environment(node),
            node_role: &|service, node| self.roles.node_role(service, node),
            catch_up: history == History::Away,
            health,
            index,
            is_a_choice,
            by_status,
            user_events,
            now,
        })
    }

    /// Where this is; empty where nothing says it.
    pub(super) fn environment<'a>(&'a self, node: &'a LocalNode) -> &'a str {
        self.environment
            .as_deref()
            .or_else(|| node.meta.get("environment").map(String::as_str))
            .unwrap_or_default()
    }

    /// How a check of the answers is, as an event that tells it.
    pub(super) fn standing(
        &self,
        (key, state): (&str, &State),
        place: Place<'_>,
        now: Timestamp,
    ) -> Option<Event> {
        let health = Health::unknown();
        self.in_context(History::Live, place, (&health, 0, now), |context| standing(key, state, context))
    }

    /// What the rules are.
    pub fn policy(&self) -> Policy<'_> {
        Policy { rules: &self.rules, inhibit_rules: &self.inhibit_rules }
    }
}

/// Consul's indexes began anew while Lictor was away, and the new ones are above ours already: what shows
/// it is a thing that was written earlier than before.
pub(super) fn went_back(changes: &[Change<State>]) -> bool {
    changes.iter().any(|change| match change {
        Change::Modified { old, new, .. } => new.modify_index() < old.modify_index(),
        Change::Added(..) | Change::Removed(..) => false,
    })
}
