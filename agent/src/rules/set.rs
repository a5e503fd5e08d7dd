//! All rules of a configuration: which of them send an event.
//!
//! Invariant: rules are asked in the order of the configuration, and none after a final one that sends the event.

use std::ops::Deref;
use std::sync::Arc;

use super::{Facts, Rule, Verdict};
use crate::event::Event;

/// The rules, in the order of the configuration. Copies share them.
#[derive(Clone, Debug, Default)]
pub struct Rules(Arc<[Rule]>);

impl From<Vec<Rule>> for Rules {
    fn from(rules: Vec<Rule>) -> Self {
        Self(rules.into())
    }
}

impl Deref for Rules {
    type Target = [Rule];

    fn deref(&self) -> &[Rule] {
        &self.0
    }
}

impl Rules {
    /// The rules that send `event`, which a watch told of.
    pub fn route<'a>(&'a self, event: &'a Event, watch: Option<&'a str>) -> impl Iterator<Item = &'a Rule> {
        let facts = Facts::of(event);
        let mut asked = self.0.iter();
        let mut is_over = false;
        std::iter::from_fn(move || {
            let rule = asked.find(|rule| !is_over && rule.verdict(&facts, watch).sends())?;
            is_over = rule.is_final;
            Some(rule)
        })
    }

    /// The positions of the rules that send `event`, which a watch told of, in ascending order.
    pub fn firing(&self, event: &Event, watch: Option<&str>) -> Vec<usize> {
        let facts = Facts::of(event);
        let mut firing = Vec::new();
        for (at, rule) in self.0.iter().enumerate() {
            if rule.verdict(&facts, watch).sends() {
                firing.push(at);
                if rule.is_final {
                    break;
                }
            }
        }
        firing
    }

    /// What each rule makes of an event, which a watch told of.
    pub fn verdicts<'a>(&'a self, facts: &Facts<'_>, watch: Option<&str>) -> Vec<Verdict<'a>> {
        let mut last: Option<&Rule> = None;
        let verdict = |rule: &'a Rule| {
            if let Some(last) = last {
                return Verdict::NotReached(last);
            }
            let verdict = rule.verdict(facts, watch);
            last = Some(rule).filter(|rule| rule.is_final && verdict.sends());
            verdict
        };
        self.0.iter().map(verdict).collect()
    }
}
