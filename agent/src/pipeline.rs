//! The way of an event: source → diff → rules → store. Read this file first.
//!
//! Boundary: knows no plugin. What a commit has claimed is handed over to the dispatcher, which looks for the
//! rest itself.
//!
//! Invariant: the new snapshot, its events and their deliveries are one commit. An answer is let go only
//! when it was committed, so whatever happens in between, the next answer shows the difference again.

mod commit;
mod death;
mod outage;

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use jiff::Timestamp;
pub use outage::OUTAGES;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::catalog::{CheckStatus, Entry, LocalNode};
use crate::event::{
    Change, Context, Event, EventType, Snapshot, SourceState, State, diff, events, failed_nodes,
};
use crate::handover::Inlets;
use crate::rules::{Roles, Rule, route};
use crate::source::{Source, Update, Watch};
use crate::store::{Lane, NewDelivery, Overlap, Saved, Store};

/// One watch, followed.
pub struct Pipeline {
    /// What is followed.
    pub watch: Watch,
    /// What an answer means.
    pub routing: Arc<Routing>,
    /// Where all of it is kept.
    pub store: Store,
    /// Where what was committed is delivered.
    pub inlets: Inlets,
    /// Since when it is known and told that the watch cannot be followed.
    pub outage: Option<SourceState>,
}

/// What an answer means: the pure part.
#[derive(Debug)]
pub struct Routing {
    /// In the order of the configuration.
    pub rules: Vec<Rule>,
    /// Which node is primary or secondary for which service.
    pub roles: Roles,
    /// Where this is; without it the node's metadata `environment` says it.
    pub environment: Option<String>,
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
    /// The last committed states.
    pub states: Snapshot<State>,
    /// Whether something was ever committed, and by whom.
    pub history: History,
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
        Self { states: saved.states, history: History::Away }
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
    /// The states after it.
    pub states: Snapshot<State>,
    /// From the known states to these.
    pub changes: Vec<Change<State>>,
    /// What the changes mean.
    pub events: Vec<Event>,
    /// Where the events go.
    pub deliveries: Vec<NewDelivery>,
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
}

impl Routing {
    /// What `answer` means after what is `known`.
    pub fn plan(
        &self,
        known: &Known,
        place: Place<'_>,
        Answer { entries, index, .. }: Answer,
        now: Timestamp,
    ) -> Plan {
        let follow = |entry: Entry| {
            let key = entry.key();
            let state = State::follow(known.states.get(&key), entry, now);
            (key, state)
        };
        let states: Snapshot<_> = entries.into_iter().map(follow).collect();
        self.compare(known, place, states, (index, now))
    }

    /// What it means that these `states` come after what is `known`, by an answer with this index.
    fn compare(
        &self,
        known: &Known,
        Place { node, datacenter, watch, is_a_choice }: Place<'_>,
        states: Snapshot<State>,
        (index, now): (u64, Timestamp),
    ) -> Plan {
        let changes = diff(&known.states, &states);
        let context = Context {
            node,
            datacenter,
            environment: self.environment(node),
            node_role: &|service, node| self.roles.node_role(service, node),
            catch_up: known.history == History::Away,
            failed_nodes: &failed_nodes(&states),
            index,
            is_a_choice,
            now,
        };
        let events = match known.history {
            History::None => Vec::new(),
            History::Away | History::Live => events(&known.states, &changes, &context),
        };
        let to = |(at, event)| self.deliveries((at, event), Some(watch), now);
        let deliveries = events.iter().enumerate().flat_map(to).collect();
        Plan { states, changes, events, deliveries }
    }

    /// Where this is; empty where nothing says it.
    fn environment<'a>(&'a self, node: &'a LocalNode) -> &'a str {
        self.environment
            .as_deref()
            .or_else(|| node.meta.get("environment").map(String::as_str))
            .unwrap_or_default()
    }

    /// Where the event at a place of its commit goes.
    fn deliveries<'a>(
        &'a self,
        (at, event): (usize, &'a Event),
        watch: Option<&str>,
        now: Timestamp,
    ) -> impl Iterator<Item = NewDelivery> {
        route(&self.rules, event, watch).flat_map(move |rule| {
            rule.receivers.iter().filter_map(move |receiver| {
                let wishes = self.wishes.get(receiver);
                wishes.is_none_or(|wishes| wishes.want(event)).then(|| NewDelivery {
                    event: at,
                    rule: rule.name.clone(),
                    receiver: receiver.clone(),
                    due_at: now,
                    overlap: wishes.map(|wishes| wishes.overlap).unwrap_or_default(),
                    lane: wishes.map(|wishes| wishes.lane).unwrap_or_default(),
                })
            })
        })
    }
}

impl Pipeline {
    /// Follows `source`, from what is `known`, until `stop`.
    pub async fn run(mut self, mut known: Known, mut source: Source, stop: CancellationToken) {
        let mut here = None;
        let name = self.watch.name();
        while let Some(update) = stop.run_until_cancelled(source.next()).await {
            match update {
                Update::Node(node) => {
                    let what = &self.watch.what;
                    info!(node = node.name, datacenter = node.datacenter, "Following {}.", what.in_words());
                    let is_other = |state: &State| state.node_name().is_some_and(|of| of != node.name);
                    if what.is_of_this_node() && known.states.values().any(is_other) {
                        warn!(
                            "What is known is of another node; its end and the beginning of this one tell nothing."
                        );
                        known.history = History::None;
                    }
                    here = Some(node);
                }
                Update::Lost { reason } => {
                    warn!(reason, watch = name, "Consul cannot be followed; trying until it can.");
                    // Before the first answer ever there is no node that an event could be of.
                    let Some(node) = &here else { continue };
                    if self.lost(node, reason, &stop).await.is_break() {
                        return;
                    }
                }
                Update::Recovered => {
                    info!(watch = name, "Consul is followed again.");
                    let Some(node) = &here else { continue };
                    if self.recovered(node, &stop).await.is_break() {
                        return;
                    }
                }
                Update::Entries { entries, index, reset } => {
                    // A source says which node this is before it tells of anything.
                    let Some(node) = &here else { continue };
                    let answer = Answer { entries, index: index.get(), reset };
                    // A loss that was told before Lictor's own start was no loss of this source.
                    if self.recovered(node, &stop).await.is_break()
                        || self.take(&mut known, node, answer, &stop).await.is_break()
                    {
                        return;
                    }
                }
            }
        }
    }

    /// Takes one answer about `node` in: what it means after what is `known` is committed and handed over.
    pub async fn take(
        &self,
        known: &mut Known,
        node: &LocalNode,
        answer: Answer,
        stop: &CancellationToken,
    ) -> ControlFlow<()> {
        let Answer { index, reset, .. } = answer;
        let now = Timestamp::now();
        let name = self.watch.name();
        let plan = self.routing.plan(known, self.place(node, &name), answer, now);
        let reset = reset || went_back(&plan.changes);
        if known.history == History::None || reset || !plan.changes.is_empty() {
            let states = self.store(plan, (name, node), (index, reset, now), stop).await?;
            *known = Known { states, history: History::Live };
        } else {
            *known = Known { states: plan.states, history: History::Live };
        }
        ControlFlow::Continue(())
    }

    /// Where an answer of this watch comes from.
    fn place<'a>(&'a self, node: &'a LocalNode, watch: &'a str) -> Place<'a> {
        let datacenter = self.watch.datacenter.as_ref().unwrap_or(&node.datacenter);
        Place { node, datacenter, watch, is_a_choice: self.watch.is_a_choice() }
    }
}

/// Consul's indexes began anew while Lictor was away, and the new ones are above ours already: what shows
/// it is a thing that was written earlier than before.
fn went_back(changes: &[Change<State>]) -> bool {
    changes.iter().any(|change| match change {
        Change::Modified { old, new, .. } => new.modify_index() < old.modify_index(),
        Change::Added(..) | Change::Removed(..) => false,
    })
}

#[cfg(test)]
mod tests;
