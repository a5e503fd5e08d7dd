//! What Lictor counts, for Prometheus and for `lictor status`.
//!
//! Boundary: counts what it is told, and writes it down; what is counted is decided where it happens.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

/// The counters of one Lictor, from its start on. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    attempts: Family<Attempt, Counter>,
    withheld: Family<Withheld, Counter>,
    refusals: Family<Refusals, Counter>,
    calls: Arc<Mutex<BTreeMap<String, Calls>>>,
}

/// What the calls of one receiver came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Calls {
    /// How many ended so.
    pub outcomes: BTreeMap<&'static str, u64>,
    /// How many came to their own end; one that is replaced is cut off.
    pub made: u64,
    /// What they asked for and no grant covers.
    pub refusals: u64,
    /// All of them together.
    pub time: Duration,
    /// The longest.
    pub longest: Duration,
    /// The most bytes of memory that one of them held.
    pub peak_memory: usize,
}

/// What one call took.
#[derive(Clone, Copy, Debug)]
pub struct Took {
    /// What it asked for and no grant covers.
    pub refusals: u64,
    /// From its start to its end.
    pub time: Duration,
    /// The most bytes of memory that it held.
    pub peak_memory: usize,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Attempt {
    receiver: String,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Refusals {
    receiver: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Withheld {
    rule: String,
    reason: &'static str,
}

impl Metrics {
    /// A rule matched an event that it did not send to a receiver.
    pub fn withheld(&self, rule: &str, reason: &'static str) {
        self.withheld.get_or_create(&Withheld { rule: rule.to_owned(), reason }).inc();
    }

    /// An attempt ended.
    pub fn attempt(&self, receiver: &str, outcome: &'static str) {
        self.attempts.get_or_create(&Attempt { receiver: receiver.to_owned(), outcome }).inc();
        self.of(receiver, |calls| *calls.outcomes.entry(outcome).or_default() += 1);
    }

    /// A call of a plugin ended, whatever came of it.
    pub fn call(&self, receiver: &str, took: Took) {
        if took.refusals > 0 {
            self.refusals.get_or_create(&Refusals { receiver: receiver.to_owned() }).inc_by(took.refusals);
        }
        self.of(receiver, |calls| {
            calls.made += 1;
            calls.refusals += took.refusals;
            calls.time += took.time;
            calls.longest = calls.longest.max(took.time);
            calls.peak_memory = calls.peak_memory.max(took.peak_memory);
        });
    }

    /// What the calls of a receiver came to so far.
    pub fn calls(&self, receiver: &str) -> Calls {
        self.of(receiver, |calls| calls.clone())
    }

    fn of<T>(&self, receiver: &str, act: impl FnOnce(&mut Calls) -> T) -> T {
        let mut all = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        match all.get_mut(receiver) {
            Some(calls) => act(calls),
            None => act(all.entry(receiver.to_owned()).or_default()),
        }
    }

    /// In the text format of `OpenMetrics`.
    pub fn text(&self) -> String {
        let mut registry = Registry::with_prefix("lictor");
        registry.register(
            "attempts",
            "Attempts of deliveries that ended, by how they did",
            self.attempts.clone(),
        );
        registry.register("withheld", "Deliveries that rules did not make, by why", self.withheld.clone());
        registry.register("refusals", "What plugins asked for and no grant covers", self.refusals.clone());
        let mut text = String::new();
        match encode(&mut text, &registry) {
            Ok(()) => text,
            // Writing to a text cannot fail.
            Err(_) => String::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attempts_are_counted_by_receiver_and_outcome() {
        let metrics = Metrics::default();
        metrics.attempt("mail", "transient");
        metrics.clone().attempt("mail", "transient");
        metrics.attempt("a\"b", "delivered");
        metrics.withheld("page", "held");
        for (refusals, milliseconds, peak_memory) in [(2, 30, 100), (0, 10, 200)] {
            let time = Duration::from_millis(milliseconds);
            metrics.call("mail", Took { refusals, time, peak_memory });
        }
        let calls = metrics.clone().calls("mail");
        assert_eq!((calls.made, calls.refusals, calls.peak_memory), (2, 2, 200));
        assert_eq!([calls.time, calls.longest], [40, 30].map(Duration::from_millis));
        assert_eq!(calls.outcomes, BTreeMap::from([("transient", 2)]));
        assert_eq!(metrics.calls("nobody"), Calls::default());
        let text = metrics.text();
        for line in [
            r#"lictor_withheld_total{rule="page",reason="held"} 1"#,
            "# TYPE lictor_attempts counter",
            r#"lictor_attempts_total{receiver="mail",outcome="transient"} 2"#,
            r#"lictor_refusals_total{receiver="mail"} 2"#,
            r#"lictor_attempts_total{receiver="a\"b",outcome="delivered"} 1"#,
            "# EOF",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
    }
}
