//! All rules of a configuration: which of them send an event.
//!
//! Invariant: rules are asked in the order of the configuration, and none after a final one that sends the event.

use std::ops::Deref;
use std::sync::Arc;

use super::index::Index;
use super::{Attribute, Facts, Pattern, Rule, Verdict};
use crate::event::Event;

/// The rules, in the order of the configuration. Copies share them.
#[derive(Clone, Debug)]
pub struct Rules(Arc<Indexed>);

#[derive(Debug)]
struct Indexed {
    rules: Vec<Rule>,
    index: Index,
}

impl From<Vec<Rule>> for Rules {
    fn from(rules: Vec<Rule>) -> Self {
        let index = Index::of(&rules, |rule| rule.enabled);
        Self(Arc::new(Indexed { rules, index }))
    }
}

impl Deref for Rules {
    type Target = [Rule];

    fn deref(&self) -> &[Rule] {
        &self.0.rules
    }
}

impl Rules {
    /// The positions of the rules that send `event`, which a watch told of, in ascending order.
    pub fn firing(&self, event: &Event, watch: Option<&str>) -> Vec<usize> {
        let facts = Facts::of(event);
        let mut firing = Vec::new();
        for at in self.0.index.concerned(&facts) {
            let rule = &self.0.rules[at];
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
        let verdict = |rule: &'a Rule| match last {
            Some(last) if rule.enabled => Verdict::NotReached(last),
            _ => {
                let verdict = rule.verdict(facts, watch);
                last = last.or(Some(rule).filter(|rule| rule.is_final && verdict.sends()));
                verdict
            }
        };
        self.iter().map(verdict).collect()
    }

    /// The enabled rules that no event reaches, each with a final one before it that sends all that it would.
    pub fn unreachable(&self) -> Vec<(&Rule, &Rule)> {
        // A final rule wants at least the exact texts of those after it that it hides.
        let finals = Index::of(self, |rule| rule.enabled && rule.is_final);
        let mut unreachable = Vec::new();
        for (place, rule) in self.iter().enumerate().filter(|(_, rule)| rule.enabled) {
            let Some(kind) = rule.on.first() else { continue };
            let mut before = finals.candidates(*kind, |key| exact(rule, key)).take_while(|at| *at < place);
            let hides = before.find(|at| self[*at].hides(rule)).map(|at| &self[at]);
            unreachable.extend(hides.map(|last| (rule, last)));
        }
        unreachable
    }
}

/// One of the texts of which a rule wants an attribute to be one.
fn exact<'a>(rule: &'a Rule, attribute: &Attribute) -> Option<&'a str> {
    rule.conditions().find_map(|matcher| match &matcher.pattern {
        Pattern::Any(texts) if matcher.attribute == *attribute => texts.first().map(String::as_str),
        _ => None,
    })
}
