//! What a person is shown of a delivery, and what may be wrong with what is asked for.

use jiff::Timestamp;
use serde::Serialize;

use super::StoreError;

/// What became of a delivery so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// It waits for its first attempt.
    Pending,
    /// It is being made, or was when Lictor ended.
    Running,
    /// It was made.
    Delivered,
    /// Its last attempt failed, and it is tried again.
    Failed,
    /// It was given up after its last attempt.
    Dead,
    /// A person or a rule did not want it any more.
    Suppressed,
}

/// One delivery.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Record {
    /// 32 hexadecimal digits.
    pub id: String,
    /// The event that it tells of.
    pub event: String,
    /// The event's type, such as `lictor.check.status`.
    #[serde(rename = "type")]
    pub kind: String,
    /// What it is about.
    pub subject: String,
    /// The rule that wanted it.
    pub rule: String,
    /// The receiver that gets it.
    pub receiver: String,
    /// What became of it so far.
    pub state: State,
    /// How many attempts were begun.
    pub attempts: u32,
    /// When it was committed.
    pub created_at: Timestamp,
    /// Not before this time.
    pub due_at: Timestamp,
    /// When it was delivered or given up.
    pub settled_at: Option<Timestamp>,
    /// Of the last attempt: a word.
    pub outcome: Option<String>,
    /// Of the last attempt: the receipt, or why it failed.
    pub detail: Option<String>,
    #[serde(skip)]
    pub(super) seq: i64,
    /// What stands in the store for the deliveries that it waits for.
    #[serde(skip)]
    pub(super) lane: String,
}

/// One attempt of a delivery.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Attempt {
    /// From 1.
    pub number: u32,
    /// When it was begun.
    pub started_at: Timestamp,
    /// When it ended.
    pub ended_at: Timestamp,
    /// A word.
    pub outcome: String,
    /// The receipt, or why it failed.
    pub detail: String,
}

/// Which deliveries are listed, the newest first.
#[derive(Clone, Debug)]
pub struct Filter {
    /// Only those in this state.
    pub state: Option<State>,
    /// Only those of this receiver.
    pub receiver: Option<String>,
    /// At most so many.
    pub limit: u32,
}

/// Which events are listed.
#[derive(Clone, Debug, Default)]
pub struct EventFilter {
    /// Only those that were seen at this time or later, as far back as the clock only went forward.
    pub since: Option<Timestamp>,
    /// Only those after the event at this place in the store; 0 is before the first.
    pub after: i64,
    /// Only those of this type, such as `lictor.check.status`.
    pub kind: Option<String>,
    /// Only those whose data name this service.
    pub service: Option<String>,
    /// Only those whose data name this node.
    pub node: Option<String>,
    /// At most so many, the newest ones.
    pub limit: u32,
}

/// Why something cannot be done for a person.
#[derive(Debug, thiserror::Error)]
pub enum RecordsError {
    /// The store cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// No delivery or event has an id that begins so.
    #[error("find {what} {id:?}: none has an id that begins so")]
    Unknown {
        /// `a delivery`, `an event`.
        what: &'static str,
        /// As it was given.
        id: String,
    },
    /// Several have an id that begins so.
    #[error("find one {what} {id:?}: several begin so; write more of it")]
    Ambiguous {
        /// `delivery`, `silence`.
        what: &'static str,
        /// As it was given.
        id: String,
    },
    /// What is asked for is not to be done with a delivery in this state.
    #[error("{verb} delivery {id}: it is {}; {help}", state.as_str())]
    State {
        /// `send again`, `discard`.
        verb: &'static str,
        /// Its id.
        id: String,
        /// Its state.
        state: State,
        /// What can be done.
        help: &'static str,
    },
}

impl State {
    /// Every state, in the order of a delivery's life.
    pub const ALL: [Self; 6] =
        [Self::Pending, Self::Running, Self::Failed, Self::Delivered, Self::Dead, Self::Suppressed];

    /// The word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::Delivered => "delivered",
            Self::Failed => "failed",
            Self::Dead => "dead",
            Self::Suppressed => "suppressed",
        }
    }

    /// The state of that word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == word)
    }

    /// The rows in this state, in the terms of the indexes that have the few among them.
    pub(super) fn condition(self) -> &'static str {
        match self {
            Self::Pending => "settled_at IS NULL AND state = 'pending' AND outcome IS NULL",
            Self::Failed => "settled_at IS NULL AND state = 'pending' AND outcome IS NOT NULL",
            Self::Running => "settled_at IS NULL AND state = 'running'",
            Self::Delivered => "state = 'delivered'",
            Self::Dead => "state IN ('dead', 'suppressed') AND state = 'dead'",
            Self::Suppressed => "state IN ('dead', 'suppressed') AND state = 'suppressed'",
        }
    }

    pub(super) fn of(state: &str, outcome: Option<&str>) -> Option<Self> {
        match (Self::parse(state)?, outcome) {
            (Self::Pending, Some(_)) => Some(Self::Failed),
            (state, _) => Some(state),
        }
    }
}
