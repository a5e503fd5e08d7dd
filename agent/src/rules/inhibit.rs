//! What hides something else: Alertmanager's inhibition, on the states of checks.
//!
//! Boundary: pure. What is so is told with [`Inhibitions::observe`], from the states and not from events, so it is known
//! from the first answer on.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::{Attribute, Facts, Matcher, Pattern};
use crate::event::{Event, EventType};

/// While a check is as `source_match` says, what `target_match` says is hidden, where both have the same of `equal`.
#[derive(Clone, Debug)]
pub struct InhibitRule {
    /// Unique among the inhibit rules.
    pub name: String,
    /// All must hold for the result of a check that does not pass, or that flaps.
    pub source_match: Vec<Matcher>,
    /// The kinds of event that are hidden.
    pub target_on: Vec<EventType>,
    /// All must hold for what is hidden.
    pub target_match: Vec<Matcher>,
    /// What both have the same of. Where both lack it, that is the same.
    pub equal: Vec<Attribute>,
}

/// The built-in rule of a check that goes to and fro.
pub(super) const FLAPPING: &str = "flapping";

/// Which inhibit rules are there without being written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BuiltIn {
    /// A node that the cluster finds dead hides what its services' checks say. Default: it does.
    pub node_failed: bool,
    /// Maintenance hides what the checks of its node or instance say. Default: it does.
    pub maintenance: bool,
    /// A check that goes to and fro hides its results: `flapping.started` tells of it. Default: it does.
    pub flapping: bool,
}

impl Default for BuiltIn {
    fn default() -> Self {
        Self { node_failed: true, maintenance: true, flapping: true }
    }
}

impl BuiltIn {
    /// The names of the built-in rules.
    pub const NAMES: [&str; 3] = ["node_failed", "maintenance", FLAPPING];

    /// The rules.
    pub fn rules(self) -> Vec<InhibitRule> {
        let text = |attribute, text: &str| Matcher { attribute, pattern: Pattern::Any(vec![text.into()]) };
        let prefix = |attribute, text: &str| Matcher { attribute, pattern: Pattern::prefix(text) };
        let rule = |name: &str, source_match, target_match, equal| InhibitRule {
            name: name.into(),
            source_match,
            target_on: vec![EventType::CheckStatus, EventType::CheckOutput],
            target_match,
            equal,
        };
        let mut rules = Vec::new();
        if self.node_failed {
            let dead = vec![text(Attribute::CheckId, "serfHealth"), text(Attribute::To, "critical")];
            // A check of a service: it has an id of one.
            rules.push(rule(
                "node_failed",
                dead,
                vec![prefix(Attribute::ServiceId, "")],
                vec![Attribute::Node],
            ));
        }
        if self.maintenance {
            let node = vec![text(Attribute::CheckId, "_node_maintenance")];
            rules.push(rule("maintenance", node, Vec::new(), vec![Attribute::Node]));
            let instance = vec![prefix(Attribute::CheckId, "_service_maintenance:")];
            let equal = vec![Attribute::Node, Attribute::ServiceId];
            rules.push(rule("maintenance", instance, Vec::new(), equal));
        }
        if self.flapping {
            let flaps = vec![Matcher { attribute: Attribute::Flapping, pattern: Pattern::Flag(true) }];
            let equal = vec![Attribute::Node, Attribute::CheckId];
            let results = InhibitRule {
                target_on: vec![EventType::CheckStatus],
                ..rule(FLAPPING, flaps, Vec::new(), equal)
            };
            rules.push(results);
        }
        rules
    }
}

/// An inhibit rule, and what the attributes in `equal` are.
type Key = (usize, Vec<Option<String>>);

/// Which inhibit rules have a source now.
#[derive(Debug, Default)]
pub struct Inhibitions {
    /// What each check is a source of.
    of_checks: HashMap<String, Vec<Key>>,
    /// The checks that are a source.
    active: BTreeMap<Key, BTreeSet<String>>,
}

impl Inhibitions {
    /// Takes in how a check is: `event` tells it as a result; none where it is gone, or says nothing that hides. Says
    /// whether something that was hidden may be so no more.
    pub fn observe(&mut self, rules: &[InhibitRule], check: &str, event: Option<&Event>) -> bool {
        let keys: Vec<Key> = event.map_or_else(Vec::new, |event| {
            let sources = rules.iter().enumerate().filter(|(_, rule)| holds(&rule.source_match, event));
            sources.map(|(at, rule)| (at, equal(rule, event))).collect()
        });
        let before = if keys.is_empty() {
            self.of_checks.remove(check)
        } else {
            self.of_checks.insert(check.to_owned(), keys.clone())
        };
        let before = before.unwrap_or_default();
        let mut ended = false;
        for key in before.iter().filter(|key| !keys.contains(key)) {
            if let Some(checks) = self.active.get_mut(key) {
                checks.remove(check);
                if checks.is_empty() {
                    self.active.remove(key);
                    ended = true;
                }
            }
        }
        for key in keys {
            self.active.entry(key).or_default().insert(check.to_owned());
        }
        ended
    }

    /// What hides `event`, if something does: the inhibit rule, and the check. Nothing hides itself.
    pub fn hides<'a>(
        &'a self,
        rules: &'a [InhibitRule],
        event: &Event,
    ) -> Option<(&'a InhibitRule, &'a str)> {
        if self.active.is_empty() {
            return None;
        }
        let targets = rules.iter().enumerate().filter(|(_, rule)| rule.target_on.contains(&event.kind));
        targets.filter(|(_, rule)| holds(&rule.target_match, event)).find_map(|(at, rule)| {
            let checks = self.active.get(&(at, equal(rule, event)))?;
            let is_source = holds(&rule.source_match, event);
            let check =
                checks.iter().find(|check| !is_source || **check != event.subject || rule.hides_itself());
            check.map(|check| (rule, check.as_str()))
        })
    }
}

impl InhibitRule {
    /// A check that flaps hides its own results: the flapping is the news, and not each turn of it.
    fn hides_itself(&self) -> bool {
        self.equal.contains(&Attribute::CheckId)
    }
}

fn holds(matchers: &[Matcher], event: &Event) -> bool {
    let facts = Facts::of(event);
    matchers.iter().all(|matcher| matcher.holds(&facts))
}

fn equal(rule: &InhibitRule, event: &Event) -> Vec<Option<String>> {
    let facts = Facts::of(event);
    rule.equal.iter().map(|attribute| facts.text(attribute)).collect()
}
