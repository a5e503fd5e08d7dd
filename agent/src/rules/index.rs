//! Which rules an event may concern, found without asking each of them.
//!
//! A rule is filed for each type in `on`: under the exact texts that one of its conditions wants of `service`,
//! `check_id` or `node`, or else among the rules of its type that may want any. An event concerns those that are filed
//! under its type and its own texts. Whether they send it they say themselves.
//!
//! Invariant: no rule that sends an event is left out, each is found once, and in the order of the configuration.

use std::collections::HashMap;
use std::sync::Arc;

use super::facts::Value;
use super::{Attribute, Facts, Pattern, Rule};
use crate::event::EventType;

/// What rules are filed under.
const KEYS: [Attribute; 3] = [Attribute::Service, Attribute::CheckId, Attribute::Node];

/// Places of rules, in order.
type Places = Vec<u32>;

/// The rules of one type of event.
#[derive(Debug, Default)]
struct OfType {
    /// Under the texts of each key. Types share the texts.
    by_text: [HashMap<Arc<str>, Places>; KEYS.len()],
    /// Under none.
    rest: Places,
}

/// Where the rules are filed.
#[derive(Debug)]
pub(super) struct Index([OfType; EventType::ALL.len()]);

/// The places of rules that an event may concern, in order.
#[derive(Debug)]
pub(super) struct Candidates<'a>([&'a [u32]; KEYS.len() + 1]);

impl Index {
    /// Files those of the rules that are `wanted`.
    pub(super) fn of(rules: &[Rule], wanted: impl Fn(&Rule) -> bool) -> Self {
        let mut index = Self(std::array::from_fn(|_| OfType::default()));
        let rules = || (0..).zip(rules).filter(|(_, rule)| wanted(rule));
        // Under the rarest texts that it has: others would bring a rule up for many events that it leaves alone.
        let mut frequency = HashMap::<_, u32>::new();
        for (_, rule) in rules() {
            for (key, texts) in texts(rule) {
                for text in texts {
                    *frequency.entry((key, text.as_str())).or_default() += 1;
                }
            }
        }
        let cost = |(key, texts): &(usize, &[String])| -> u32 {
            texts.iter().filter_map(|text| frequency.get(&(*key, text.as_str()))).sum()
        };
        let mut shared = HashMap::<&str, Arc<str>>::new();
        for (place, rule) in rules() {
            let Some((key, texts)) = texts(rule).min_by_key(cost) else {
                rule.on.iter().for_each(|kind| file(&mut index.of_type(*kind).rest, place));
                continue;
            };
            for text in texts {
                let text = shared.entry(text).or_insert_with(|| text.as_str().into());
                for kind in &rule.on {
                    file(index.of_type(*kind).by_text[key].entry(Arc::clone(text)).or_default(), place);
                }
            }
        }
        index
    }

    fn of_type(&mut self, kind: EventType) -> &mut OfType {
        &mut self.0[kind as usize]
    }

    /// The rules that an event may concern.
    pub(super) fn concerned(&self, facts: &Facts<'_>) -> Candidates<'_> {
        self.candidates(facts.kind(), |key| match facts.value(key) {
            Value::Text(text) => Some(text),
            _ => None,
        })
    }

    /// The rules that events of this type with these texts of the keys may concern.
    pub(super) fn candidates<'t>(
        &self,
        kind: EventType,
        text: impl Fn(&Attribute) -> Option<&'t str>,
    ) -> Candidates<'_> {
        let OfType { by_text, rest } = &self.0[kind as usize];
        let of_key = |key: usize| by_text[key].get(text(&KEYS[key])?);
        let mut places = [&rest[..]; KEYS.len() + 1];
        for key in 0..KEYS.len() {
            places[key + 1] = of_key(key).map_or(&[], Vec::as_slice);
        }
        Candidates(places)
    }
}

/// The exact texts that a rule wants, and of which key.
fn texts(rule: &Rule) -> impl Iterator<Item = (usize, &[String])> {
    rule.conditions().filter_map(|matcher| match &matcher.pattern {
        Pattern::Any(texts) => Some((KEYS.iter().position(|key| *key == matcher.attribute)?, &texts[..])),
        _ => None,
    })
}

/// What is there twice, a type or a text, is filed once.
fn file(places: &mut Places, place: u32) {
    if places.last() != Some(&place) {
        places.push(place);
    }
}

impl Iterator for Candidates<'_> {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        let first = self.0.iter().filter_map(|places| places.first()).min().copied()?;
        for places in &mut self.0 {
            if places.first() == Some(&first) {
                *places = &places[1..];
            }
        }
        usize::try_from(first).ok()
    }
}

#[cfg(test)]
mod tests;
