//! One watch, followed: from queries to a stream of what is new.
//!
//! Boundary: asks through `consul::Client` and hands on whole answers; what is different in them is
//! found by `event`, and nothing here knows the store. `state` decides, `pace` says when, and the
//! driver below only sleeps and asks.
//!
//! Consul being gone is a state, not an end: the stream goes on for ever.

mod pace;
mod state;

use std::collections::VecDeque;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};
use tracing::debug;

use crate::catalog::{Check, LocalNode};
use crate::chain::chain;
use crate::consul::{Client, WaitIndex};
use state::{Ask, Heard, Moment, State};

/// Something new from Consul.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Update {
    /// Which node this is: before the first `Checks`, and again after an error if the name, the
    /// datacenter or the metadata are others by then.
    Node(LocalNode),
    /// All checks of the node, as they are now. They need not differ from the last ones.
    Checks {
        /// The checks, in Consul's order.
        checks: Vec<Check>,
        /// The position that they stand for; to be committed with them.
        index: WaitIndex,
        /// Consul's history began anew, so its indexes are no longer comparable with earlier ones.
        reset: bool,
    },
    /// Consul cannot be asked, or its answers make no sense. Said once; then we go on trying.
    Lost {
        /// The error and its causes in one line, without secrets.
        reason: String,
    },
    /// Consul answers again. Said once after each `Lost`, before the `Checks` that prove it; those
    /// only come if they are newer than the last ones.
    Recovered,
}

/// Follows the checks of the node that Lictor runs beside.
#[derive(Debug)]
pub struct Source {
    client: Client,
    state: State,
    pending: VecDeque<Update>,
}

impl Source {
    /// A source that has asked nothing yet.
    ///
    /// `wait` is how long a query waits for a change. `committed` is the index of the last answer
    /// that was committed, perhaps by the process before this one: it is not waited from (the first
    /// query asks for all), it only tells whether Consul's history began anew in between.
    pub fn new(client: Client, wait: Duration, committed: Option<WaitIndex>) -> Self {
        Self { client, state: State::new(wait, committed), pending: VecDeque::new() }
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
            let heard = ask(&self.client, next.ask).await;
            if let Heard::Failed { reason } = &heard {
                debug!(reason, "A query to Consul failed.");
            }
            let moment = Moment { asked, now: Instant::now(), jitter: random() };
            self.pending.extend(self.state.step(heard, moment));
        }
    }
}

async fn ask(client: &Client, ask: Ask<'_>) -> Heard {
    let heard = match ask {
        Ask::Node => client.local_node().await.map(Heard::Node),
        Ask::Checks { node, query } => match client.node_checks(node, query).await {
            Ok(mut answer) => {
                complete(client, &mut answer.value).await;
                Ok(Heard::Checks(answer))
            }
            Err(error) => Err(error),
        },
    };
    heard.unwrap_or_else(|error| Heard::Failed { reason: chain(&error) })
}

/// Where a check is critical without a word, it has not run yet, or it has and the catalog does not know
/// what it said. The agent does.
async fn complete(client: &Client, checks: &mut [Check]) {
    if !checks.iter().any(Check::says_nothing) {
        return;
    }
    match client.local_failures().await {
        Ok(mut outputs) => {
            for check in checks.iter_mut().filter(|check| check.says_nothing()) {
                check.output = outputs.remove(&check.check_id).unwrap_or_default();
            }
        }
        Err(error) => debug!(reason = chain(&error), "The agent did not tell what its checks say."),
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
