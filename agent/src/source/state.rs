//! What we know of Consul, and what an answer makes of it: one pure step.
//!
//! ```text
//!  Locate ──node──► Ask ──answer──► Wait ◄─┐ answer: news, or none
//!    ▲               │                │ └──┘
//!    │               └──── doubt ─────┤
//!    │                                ▼
//!    └──────── any error ──────── Confirm ──answer──► Wait
//! ```
//!
//! Boundary: no I/O, no clock, no randomness; all three come in as arguments.
//!
//! Invariants:
//! - An answer in doubt (a lower index, no leader, suddenly nothing, most of it gone, less and a token that
//!   hides some) is never passed on: the leader is asked, and what it says is.
//! - Where there is always something, nothing at all is never passed on: that is a loss, not news.
//! - `Lost` and `Recovered` alternate, and an answer that is passed on is never behind a `Lost`.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::time::Duration;

use tokio::time::Instant;

use super::Update;
use super::pace::{Bucket, backoff};
use crate::catalog::{Entry, LocalNode};
use crate::consul::{Answer, Progress, Query, WaitIndex, Watch, What};

/// How long a query waits while a check is critical without a word. Its first result changes nothing in the
/// catalog if it is critical too, so no query would come back for it.
const SILENT_WAIT: Duration = Duration::from_secs(5);

/// How long to wait where nothing is there and Consul does not wait for it.
const MISSING_WAIT: Duration = Duration::from_secs(1);

/// Everything between two queries.
#[derive(Clone, Debug)]
pub(super) struct State {
    watch: Watch,
    phase: Phase,
    wait: Duration,
    node: Option<LocalNode>,
    /// Of the last answer that was passed on, by us or (at the start) by the process before us.
    index: Option<WaitIndex>,
    /// None until an answer was passed on.
    content: Option<Content>,
    /// How many of this node's checks were critical without a word: perhaps they have not run yet.
    silent: usize,
    /// `Lost` was said, and not yet `Recovered`.
    lost: bool,
    /// `Suspect` was said, and no plain answer came since.
    suspect: bool,
    /// Errors since a query that waited was answered. An answer at once does not count: where only the
    /// queries that wait fail, the pauses must grow all the same.
    failures: u32,
    bucket: Bucket,
    not_before: Option<Instant>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Find out which node this is: at the start and after each error, since the agent may be another.
    Locate,
    /// Ask without an index and compare. After an error too: if Consul restarted, our index may lie
    /// in its future, and a query that waits from there is blind until its wait ends.
    Ask,
    /// Wait for something newer.
    Wait,
    /// The last answer was in doubt, or a query came back empty-handed from who may be behind: ask the leader, without
    /// an index.
    Confirm,
}

/// As much of an answer as it takes to see that another one is the same or less.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Content {
    count: usize,
    /// The token hid some.
    filtered: bool,
    fingerprint: u64,
}

/// How an answer stands to what we know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Relation {
    Same,
    Newer,
    /// Another history: the index went back, or the same index stands for something else.
    Anew,
}

/// The next query, and when.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Next<'a> {
    /// None: at once.
    pub(super) not_before: Option<Instant>,
    pub(super) ask: Ask<'a>,
}

/// What to ask for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Ask<'a> {
    Node,
    Entries { node: &'a str, query: Query },
}

/// What came of it.
#[derive(Debug)]
pub(super) enum Heard {
    Node(LocalNode),
    /// An answer, and whether it shows other nodes, services or keys than the last one.
    Entries(Answer<Vec<Entry>>, bool),
    Failed {
        reason: String,
    },
}

/// The outside world of one step.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment {
    /// When the query was sent.
    pub(super) asked: Instant,
    /// When its answer was there.
    pub(super) now: Instant,
    /// A random number.
    pub(super) jitter: u16,
}

impl State {
    pub(super) fn new(watch: Watch, wait: Duration, committed: Option<WaitIndex>) -> Self {
        Self {
            watch,
            phase: Phase::Locate,
            wait,
            node: None,
            index: committed,
            content: None,
            silent: 0,
            lost: false,
            suspect: false,
            failures: 0,
            bucket: Bucket::default(),
            not_before: None,
        }
    }

    /// What to ask next.
    pub(super) fn next(&self) -> Next<'_> {
        let query = |index, consistent| Query { index, wait: self.wait(), consistent };
        let ask = match (&self.node, self.phase) {
            (None, _) | (_, Phase::Locate) => Ask::Node,
            (Some(node), Phase::Ask) => Ask::Entries { node: &node.name, query: query(None, false) },
            (Some(node), Phase::Wait) => Ask::Entries { node: &node.name, query: query(self.index, false) },
            (Some(node), Phase::Confirm) => Ask::Entries { node: &node.name, query: query(None, true) },
        };
        Next { not_before: self.not_before, ask }
    }

    /// How long a query waits.
    fn wait(&self) -> Duration {
        if self.silent > 0 { self.wait.min(SILENT_WAIT) } else { self.wait }
    }

    /// Takes in what was heard; gives what is to be passed on, in this order.
    pub(super) fn step(&mut self, heard: Heard, moment: Moment) -> Vec<Update> {
        self.not_before = None;
        match heard {
            Heard::Failed { reason } => self.failed(reason, moment),
            Heard::Node(node) => self.located(node),
            Heard::Entries(answer, other_names) => self.answered((answer, other_names), moment),
        }
    }

    fn failed(&mut self, reason: String, moment: Moment) -> Vec<Update> {
        self.phase = Phase::Locate;
        self.failures = self.failures.saturating_add(1);
        self.not_before = Some(moment.now + backoff(self.failures, moment.jitter));
        let first = !std::mem::replace(&mut self.lost, true);
        if first { vec![Update::Lost { reason }] } else { Vec::new() }
    }

    fn located(&mut self, node: LocalNode) -> Vec<Update> {
        self.phase = Phase::Ask;
        if self.node.as_ref() == Some(&node) {
            return Vec::new();
        }
        if self.watch.what.is_of_this_node()
            && self.node.as_ref().is_some_and(|known| known.name != node.name)
        {
            // Another node's checks say nothing about these.
            self.content = None;
        }
        self.node = Some(node.clone());
        vec![Update::Node(node)]
    }

    fn answered(&mut self, (answer, other_names): (Answer<Vec<Entry>>, bool), moment: Moment) -> Vec<Update> {
        let content = Content::of(&answer);
        let relation = self.relation(answer.index, content, other_names);
        if self.phase == Phase::Confirm
            && let Some(reason) = self.hidden(&answer)
        {
            return self.failed(reason, moment);
        }
        if self.phase != Phase::Confirm
            && let Some(doubt) = self.doubt(&answer, relation)
        {
            self.phase = Phase::Confirm;
            let told = doubt.reason().filter(|_| !std::mem::replace(&mut self.suspect, true));
            return told.map(|reason| Update::Suspect { reason }).into_iter().collect();
        }
        let silent = match self.watch.what {
            What::NodeChecks => {
                answer.value.iter().filter_map(Entry::check).filter(|check| check.says_nothing()).count()
            }
            _ => 0,
        };
        let spoke = silent != self.silent;
        let news = spoke || self.content != Some(content) && relation != Relation::Anew;
        if !news && moment.now.duration_since(moment.asked) < self.wait {
            // A history that begins anew again and again is paced too: two servers may disagree.
            let pause = self.bucket.take(moment.now);
            let nothing = answer.value.is_empty() && self.watch.what.is_asked_again_where_missing();
            let pause = if nothing { pause.max(MISSING_WAIT) } else { pause };
            self.not_before = (!pause.is_zero()).then(|| moment.now + pause);
        }
        let mut updates = Vec::new();
        if std::mem::take(&mut self.lost) {
            updates.push(Update::Recovered);
        }
        if self.phase == Phase::Wait {
            self.failures = 0;
            self.suspect = false;
        }
        let empty_handed = !news && moment.now.duration_since(moment.asked) >= self.wait();
        let ask_the_leader = self.phase == Phase::Wait && empty_handed && self.watch.may_be_behind();
        self.phase = if ask_the_leader { Phase::Confirm } else { Phase::Wait };
        self.index = Some(answer.index);
        self.content = Some(content);
        self.silent = silent;
        if relation != Relation::Same || spoke {
            let reset = relation == Relation::Anew;
            updates.push(Update::Entries { entries: answer.value, index: answer.index, reset });
        }
        updates
    }

    /// Why even the leader's answer is not the truth. Each cluster has a service and a node, and each node at least
    /// the check `serfHealth`, so none is a token that may not read them: it gets an empty answer and no error.
    /// Newer Consuls say themselves when the token hides something.
    fn hidden(&self, answer: &Answer<Vec<Entry>>) -> Option<String> {
        let count = answer.value.len();
        if count == 0 && self.watch.is_never_empty() {
            return Some(self.nothing());
        }
        if !answer.filtered_by_acls {
            return None;
        }
        let what = self.watch.what.in_words();
        if count == 0 {
            return Some(format!("the token may not read {what}: Consul shows it nothing"));
        }
        // A token that never showed all is believed: what it shows no more is gone.
        let lost_rights = self.content.is_some_and(|known| !known.filtered && count < known.count);
        lost_rights.then(|| {
            format!("the token hides some of {what}, and showed them before; it has lost rights to read them")
        })
    }

    fn nothing(&self) -> String {
        match (&self.watch.what, &self.node) {
            (What::NodeChecks, Some(LocalNode { name, .. })) => format!(
                "Consul shows no check of the node {name}, not even serfHealth: its agent is not registered (yet), \
                 or the token lacks node:read and service:read"
            ),
            (what, _) => format!(
                "Consul shows nothing where it always has something ({}): the token lacks node:read and service:read",
                what.in_words()
            ),
        }
    }

    fn relation(&self, index: WaitIndex, content: Content, other_names: bool) -> Relation {
        match WaitIndex::progress(self.index, index) {
            Progress::Advanced => Relation::Newer,
            Progress::Reset if !self.watch.what.has_order() => Relation::Newer,
            Progress::Reset => Relation::Anew,
            Progress::Unchanged => match self.content {
                // The answer that was committed by the process before us; its content is not known here.
                None => Relation::Newer,
                Some(known) if known == content => Relation::Same,
                // What a token may read is not written to what the index counts.
                Some(_) if other_names => Relation::Newer,
                Some(_) => Relation::Anew,
            },
        }
    }

    /// What is doubtful in an answer that did not come from the leader's certain knowledge.
    fn doubt(&self, answer: &Answer<Vec<Entry>>, relation: Relation) -> Option<Doubt> {
        let count = answer.value.len();
        let known = self.content.map(|known| known.count);
        let less = known.is_none_or(|known| count < known);
        let most_gone = self.watch.what.has_order() && known.is_some_and(|known| count < known / 2);
        let shorter = Doubt::Shorter { known, count };
        if relation == Relation::Anew {
            Some(Doubt::Anew { known: self.index, index: answer.index })
        } else if answer.known_leader == Some(false) {
            Some(Doubt::NoLeader)
        } else if answer.too_old {
            Some(Doubt::TooOld)
        } else if answer.filtered_by_acls && less {
            Some(known.map_or(shorter, |_| Doubt::Hidden))
        } else {
            // Without knowledge of what was, nothing is doubtful too: it costs one query.
            (most_gone || count == 0 && less).then_some(shorter)
        }
    }
}

/// Why an answer is not believed before the leader was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Doubt {
    Anew { known: Option<WaitIndex>, index: WaitIndex },
    NoLeader,
    TooOld,
    Hidden,
    Shorter { known: Option<usize>, count: usize },
}

impl Doubt {
    /// In words. None where it is the way of the world: the last of a kind is gone, or nothing is known yet.
    fn reason(self) -> Option<String> {
        Some(match self {
            Self::Anew { known: Some(known), index } if index < known => {
                format!(
                    "Consul's index went back from {known} to {index}: its history began anew, or a server is behind"
                )
            }
            Self::Anew { index, .. } => {
                format!(
                    "Consul shows something else than before at the same index {index}: its history began anew"
                )
            }
            Self::NoLeader => "the server that answered knows no leader".into(),
            Self::TooOld => {
                "the server that answered has not heard of its leader for longer than `max_stale`".into()
            }
            Self::Hidden => "fewer things are shown than before, and the token hides some".into(),
            Self::Shorter { known: Some(known), count } if known > 1 => {
                format!("{count} things are shown, and there were {known} before")
            }
            Self::Shorter { .. } => return None,
        })
    }
}

impl Content {
    fn of(answer: &Answer<Vec<Entry>>) -> Self {
        let mut hasher = DefaultHasher::new();
        answer.value.hash(&mut hasher);
        Self { count: answer.value.len(), filtered: answer.filtered_by_acls, fingerprint: hasher.finish() }
    }
}

#[cfg(test)]
mod tests;
