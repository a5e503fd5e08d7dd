//! One watch, followed: from queries to a stream of what is new.
//!
//! Boundary: asks through `consul::Client` and hands on whole answers; what is different in them is
//! found by `event`, and nothing here knows the store. `state` decides, `pace` says when, and the
//! driver below only sleeps and asks.
//!
//! Consul being gone is a state, not an end: the stream goes on for ever.

mod pace;
mod shown;
mod state;

use std::collections::VecDeque;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};
use tracing::debug;

use crate::catalog::{Check, Entry, LocalNode};
use crate::chain::chain;
use crate::consul::{Before, Client, ClientError, Query, WaitIndex};
pub use crate::consul::{Watch, What};
pub use shown::Shown;
use shown::rights;
use state::{Ask, Heard, Moment, State};

/// Something new from Consul.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Update {
    /// Which node this is: before the first `Entries`, and again after an error if the name, the
    /// datacenter or the metadata are others by then.
    Node(LocalNode),
    /// All that is followed, as it is now. It need not differ from the last one.
    Entries {
        /// In Consul's order.
        entries: Vec<Entry>,
        /// The position that they stand for; to be committed with them.
        index: WaitIndex,
        /// Consul's history began anew, so its indexes are no longer comparable with earlier ones.
        reset: bool,
    },
    /// An answer is in doubt, so nothing follows from it: the leader is asked. Said once until an answer is plain.
    Suspect {
        /// What is wrong with it, in one line.
        reason: String,
    },
    /// Consul cannot be asked, or its answers make no sense. Said once; then we go on trying.
    Lost {
        /// The error and its causes in one line, without secrets.
        reason: String,
    },
    /// Consul answers again. Said once after each `Lost`, before the `Entries` that prove it; those
    /// only come if they are newer than the last ones.
    Recovered,
}

/// What the answers so far have shown.
#[derive(Debug)]
struct Seen {
    before: Before,
    shown: Shown,
}

/// Follows one watch.
#[derive(Debug)]
pub struct Source {
    client: Client,
    watch: Watch,
    seen: Seen,
    state: State,
    pending: VecDeque<Update>,
}

impl Source {
    /// A source that has asked nothing yet.
    ///
    /// `wait` is how long a query waits for a change. `committed` is the index of the last answer
    /// that was committed, perhaps by the process before this one: it is not waited from (the first
    /// query asks for all), it only tells whether Consul's history began anew in between. `shown` are the
    /// names in that answer.
    pub fn new(
        client: Client,
        watch: Watch,
        wait: Duration,
        (committed, shown): (Option<WaitIndex>, Shown),
    ) -> Self {
        let state = State::new(watch.clone(), wait, committed);
        let seen = Seen { before: Before::default(), shown };
        Self { client, watch, seen, state, pending: VecDeque::new() }
    }

    /// Waits for the next update.
    ///
    /// Cancel safe: a dropped call drops its query, which closes that connection, and nothing is lost,
    /// since the position only moves once an answer is whole. The next call asks the same again.
    pub async fn next(&mut self) -> Update {
        loop {
            if let Some(update) = self.pending.pop_front() {
                return update;
            }
            let next = self.state.next();
            if let Some(at) = next.not_before {
                sleep_until(at).await;
            }
            let asked = Instant::now();
            let heard = ask(&self.client, &self.watch, &mut self.seen, next.ask).await;
            if let Heard::Failed { reason } = &heard {
                debug!(reason, "A query to Consul failed.");
            }
            let moment = Moment { asked, now: Instant::now(), jitter: random() };
            self.pending.extend(self.state.step(heard, moment));
        }
    }
}

async fn ask(client: &Client, watch: &Watch, seen: &mut Seen, ask: Ask<'_>) -> Heard {
    let heard = match ask {
        Ask::Node => client.local_node().await.map(Heard::Node),
        Ask::Entries { node, query } => entries(client, watch, seen, (node, query)).await,
    };
    heard.unwrap_or_else(|error| Heard::Failed { reason: chain(&error) })
}

async fn entries(
    client: &Client,
    watch: &Watch,
    Seen { before, shown }: &mut Seen,
    (node, query): (&str, Query),
) -> Result<Heard, ClientError> {
    let mut answer = client.entries(watch, node, query, before).await?;
    if watch.what == What::NodeChecks {
        complete(client, &mut answer.value).await;
    }
    let now = rights(&watch.what, &answer.value);
    let mut doubtful = shown.missing((&watch.what, node), &now);
    if query.consistent && answer.value.is_empty() {
        doubtful.extend(watch.what.right(node));
    }
    if let Some((resource, name)) = client.denied(watch, &doubtful).await? {
        let (what, resource) = (watch.what.in_words(), resource.as_str());
        let reason = format!(
            "the token may not read the {resource} {name:?} (any more), so Consul hides it in {what}; what is hidden \
             is not gone"
        );
        return Ok(Heard::Failed { reason });
    }
    let other_names = shown.follow(now);
    Ok(Heard::Entries(answer, other_names))
}

/// Where a check is critical without a word, it has not run yet, or it has and the catalog does not know
/// what it said. The agent does.
async fn complete(client: &Client, entries: &mut [Entry]) {
    let mut silent: Vec<_> = entries.iter_mut().filter_map(silent).collect();
    if silent.is_empty() {
        return;
    }
    match client.local_failures().await {
        Ok(mut outputs) => {
            for check in &mut silent {
                check.output = outputs.remove(&check.check_id).unwrap_or_default();
            }
        }
        Err(error) => debug!(reason = chain(&error), "The agent did not tell what its checks say."),
    }
}

fn silent(entry: &mut Entry) -> Option<&mut Check> {
    match entry {
        Entry::Check(check) if check.says_nothing() => Some(Arc::make_mut(check)),
        _ => None,
    }
}

/// Good enough to keep the agents of a cluster apart: the standard library seeds its hash maps from
/// the system's random numbers.
fn random() -> u16 {
    let [low, high, ..] = RandomState::new().build_hasher().finish().to_le_bytes();
    u16::from_le_bytes([low, high])
}

#[cfg(test)]
mod tests;
