//! What Lictor counts, for Prometheus.
//!
//! Boundary: counts what it is told, and writes it down; what is counted is decided where it happens.

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
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Attempt {
    receiver: String,
    outcome: &'static str,
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
        let text = metrics.text();
        for line in [
            r#"lictor_withheld_total{rule="page",reason="held"} 1"#,
            "# TYPE lictor_attempts counter",
            r#"lictor_attempts_total{receiver="mail",outcome="transient"} 2"#,
            r#"lictor_attempts_total{receiver="a\"b",outcome="delivered"} 1"#,
            "# EOF",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
    }
}
