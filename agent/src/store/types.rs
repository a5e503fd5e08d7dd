//! What goes into the store and comes out of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;

use super::RuleState;
use crate::event::{Change, Event, Snapshot, State};

/// Bytes of a receipt or of a failure's text that are kept: enough for the end of a stack trace or a
/// server's answer, little enough that a million deliveries do not fill a disk with prose.
pub const DETAIL_MAX: usize = 4096;

/// What is known of a watch.
#[derive(Clone, Debug, PartialEq)]
pub struct Saved {
    /// Consul's index of the last committed answer.
    pub index: u64,
    /// How often Consul's indexes have started over.
    pub generation: u64,
    /// The last committed answer.
    pub states: Snapshot<State>,
}

/// One answer of a watch with all that it caused: it is stored whole, or not at all.
#[derive(Clone, Debug)]
pub struct Commit {
    /// The query that was answered.
    pub watch: String,
    /// The name of its watch that rules know.
    pub told_as: String,
    /// Consul's index of the answer.
    pub index: u64,
    /// Consul's indexes have started over: ids that come again tell of new events.
    pub reset: bool,
    /// From the last committed answer to this one.
    pub changes: Vec<Change<State>>,
    /// What the changes mean, in the order in which it happened.
    pub events: Vec<Event>,
    /// Events of before that something is to be delivered of. They come after the `events` in what deliveries refer to.
    pub recalled: Vec<Event>,
    /// What is to be delivered.
    pub deliveries: Vec<NewDelivery>,
    /// What the rules remember now.
    pub rule_states: Vec<RuleState>,
    /// The silences that end early, by id, and when.
    pub expired: Vec<(String, Timestamp)>,
    /// How many of these deliveries are claimed at once, by receiver: those that are due and that no
    /// earlier open delivery of the same subject precedes. The others stay pending.
    pub claim: BTreeMap<String, usize>,
    /// The node that Lictor runs on.
    pub node: String,
    /// Where it runs: `production`, for example; empty where nothing says it.
    pub environment: String,
    /// The time of the commit.
    pub now: Timestamp,
}

/// An event that is to be delivered to a receiver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewDelivery {
    /// The event's position in [`Commit::events`], or after them in [`Commit::recalled`].
    pub event: usize,
    /// The positions of the other events that are sent with it.
    pub more: Vec<usize>,
    /// What stands for the subject where several are sent together.
    pub group: Option<String>,
    /// How often its group was sent before.
    pub nth: u32,
    /// It is not made: a word, and why.
    pub withheld: Option<(&'static str, String)>,
    /// The rule that wants it.
    pub rule: String,
    /// The receiver that gets it.
    pub receiver: String,
    /// Not before this time; rounded down to a millisecond.
    pub due_at: Timestamp,
    /// What becomes of it, or of those before it, where the receiver is not done with its lane.
    pub overlap: Overlap,
    /// Which others it waits for.
    pub lane: Lane,
}

/// Which deliveries of a receiver are one lane: they are made one after the other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Lane {
    /// Those of one subject.
    #[default]
    Subject,
    /// All.
    Receiver,
}

impl Lane {
    /// What stands in the store for the lane of a delivery about `subject`.
    pub(super) fn key(self, subject: &str) -> &str {
        match self {
            Self::Subject => subject,
            Self::Receiver => "*",
        }
    }
}

/// What happens where a delivery comes while an earlier one of the same lane is not settled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Overlap {
    /// It waits for its turn.
    #[default]
    Queue,
    /// It takes the place of those that wait. What runs comes to its end first.
    Coalesce,
    /// It takes the place of those that wait, and ends the call that runs.
    Replace,
    /// It is not made.
    Skip,
}

impl Overlap {
    /// Only the newest of a lane is worth making.
    pub(super) fn is_for_the_newest(self) -> bool {
        matches!(self, Self::Coalesce | Self::Replace)
    }
}

/// What a commit has begun and ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Committed {
    /// Deliveries that the caller now has to make and to settle.
    pub claimed: Vec<Claimed>,
    /// Deliveries that run and are to be ended.
    pub replaced: Vec<Replaced>,
}

/// A delivery that runs and is to be ended, since another one takes its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replaced {
    /// The receiver that it runs for.
    pub receiver: String,
    /// Its id.
    pub id: String,
}

/// What a receiver has to do, and when there is more.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Claims {
    /// Deliveries that the caller now has to make and to settle.
    pub claimed: Vec<Claimed>,
    /// When the next one can be claimed; it may be past. None where nothing waits, or where as many were claimed as
    /// there may be, so that nobody asks yet.
    pub next_due: Option<Timestamp>,
}

/// A delivery that the caller now has to make and to settle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claimed {
    /// The idempotency key, the same on every attempt: 32 hexadecimal digits.
    pub id: String,
    /// 1 for the first attempt.
    pub attempt: u32,
    /// Attempts before a person had it sent again; they no longer count.
    pub redriven: u32,
    /// The rule that wanted it.
    pub rule: String,
    /// The receiver that gets it.
    pub receiver: String,
    /// What happened.
    pub event: StoredEvent,
    /// What else happened that is sent with it.
    pub more: Vec<StoredEvent>,
    /// How often its group was sent before.
    pub nth: u32,
    /// When it was committed.
    pub created_at: Timestamp,
    /// When it was committed, or a person had it sent again.
    pub tried_since: Timestamp,
}

/// An event as plugins get it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredEvent {
    /// Derived from the change: 32 hexadecimal digits.
    pub id: String,
    /// `consul://<datacenter>`.
    pub source: String,
    /// The `CloudEvents` type, such as `lictor.check.status`.
    pub kind: String,
    /// What it is about.
    pub subject: String,
    /// When Lictor saw it, to the millisecond.
    pub time: Timestamp,
    /// JSON.
    pub data: String,
    /// The node that Lictor ran on when it saw the event.
    pub node: String,
    /// Where it ran; empty where nothing said it.
    pub environment: String,
}

/// What follows from it that a delivery is given up.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Aftermath {
    /// Who gets the same event instead.
    pub fallback: Option<Fallback>,
    /// What is told of it.
    pub events: Vec<Event>,
    /// Where these events go.
    pub deliveries: Vec<NewDelivery>,
}

/// A receiver that gets an event since another one did not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fallback {
    /// Its name.
    pub receiver: String,
    /// What becomes of it where that receiver is not done with its lane.
    pub overlap: Overlap,
    /// Which others it waits for.
    pub lane: Lane,
}

/// Says what follows from the death of a delivery: of which one, the word and the text of its last outcome, and
/// when. It is asked on the store's thread, so it must not block.
pub type AfterDeath = Arc<dyn Fn(&Claimed, (&str, &str), Timestamp) -> Aftermath + Send + Sync>;

/// How an attempt ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Settlement {
    /// The delivery.
    pub id: String,
    /// The attempt; it is ignored when this is not the one that is running.
    pub attempt: u32,
    /// When the attempt started.
    pub started_at: Timestamp,
    /// When it ended.
    pub now: Timestamp,
    /// What becomes of the delivery.
    pub verdict: Verdict,
    /// What follows from it, if that is its death.
    pub aftermath: Aftermath,
}

/// What becomes of a delivery after an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It was made.
    Delivered {
        /// What the plugin says for the record; kept up to [`DETAIL_MAX`] bytes.
        receipt: String,
    },
    /// It is tried again. What comes after it for the same subject waits.
    RetryAt {
        /// Not before this time; rounded up to a millisecond.
        at: Timestamp,
        /// The kind of failure, a short word.
        outcome: &'static str,
        /// Why; kept up to [`DETAIL_MAX`] bytes.
        detail: String,
    },
    /// Another one has taken its place.
    Suppressed {
        /// A short word.
        outcome: &'static str,
        /// Why; kept up to [`DETAIL_MAX`] bytes.
        detail: String,
    },
    /// It is given up and kept for a person to look at.
    Dead {
        /// The kind of failure, a short word.
        outcome: &'static str,
        /// Why; kept up to [`DETAIL_MAX`] bytes.
        detail: String,
    },
}

impl Verdict {
    /// How the attempt ended: a word for the record, the log and the metrics.
    pub fn outcome(&self) -> &'static str {
        match self {
            Self::Delivered { .. } => "delivered",
            Self::RetryAt { outcome, .. } | Self::Suppressed { outcome, .. } | Self::Dead { outcome, .. } => {
                outcome
            }
        }
    }
}

/// What became of the deliveries that ran when Lictor ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    /// They are tried again.
    pub repeated: u64,
    /// Their last attempt was cut off too.
    pub dead: u64,
}
