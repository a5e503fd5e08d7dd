use std::sync::Arc;

use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use super::*;
use crate::event::{About, Event, EventData};
use crate::rules::tests::{event, instance};
use crate::rules::{Matcher, Named, Rules};

const WORDS: [&str; 3] = ["a", "b", "c"];
const KINDS: [EventType; 3] = [EventType::CheckStatus, EventType::CheckOutput, EventType::ServiceChanged];

fn pattern() -> impl Strategy<Value = Pattern> {
    let words = subsequence(&WORDS[..], 1..=2);
    prop_oneof![
        4 => words.prop_map(|words| Pattern::Any(words.into_iter().map(str::to_owned).collect())),
        1 => Just(Pattern::prefix("a")),
        1 => Just(Pattern::glob("[ab]").unwrap()),
        1 => any::<bool>().prop_map(Pattern::Present),
    ]
}

fn matchers() -> impl Strategy<Value = Vec<Matcher>> {
    const ATTRIBUTES: [&str; 5] = ["service", "check_id", "node", "output", "node_meta.rack"];
    let matcher = (select(&ATTRIBUTES[..]), pattern()).prop_map(|(attribute, pattern)| Matcher {
        attribute: Attribute::parse(attribute).unwrap(),
        pattern,
    });
    prop::collection::vec(matcher, 0..3)
}

fn rule() -> impl Strategy<Value = Rule> {
    let switches = (prop::bool::weighted(0.9), prop::bool::weighted(0.2));
    let watches = subsequence(&["w1", "w2"][..], 0..=2);
    let on = prop::collection::vec(select(&KINDS[..]), 1..4);
    (switches, watches, on, matchers(), prop::collection::vec(matchers(), 0..2), matchers()).prop_map(
        |((enabled, is_final), watches, on, matches, named, unless)| Rule {
            enabled,
            is_final,
            on,
            watches: watches.into_iter().map(str::to_owned).collect(),
            matches,
            named: named
                .into_iter()
                .map(|matches| Arc::new(Named { name: String::new(), matches }))
                .collect(),
            unless,
            ..Rule::default()
        },
    )
}

fn any_event() -> impl Strategy<Value = Event> {
    let word = || select(&["a", "b", "c", "d"][..]).prop_map(str::to_owned);
    (select(&KINDS[..]), word(), word(), word(), any::<bool>()).prop_map(
        |(kind, node, service, check_id, of_service)| {
            let event = if kind == EventType::ServiceChanged { instance() } else { event() };
            let about = match event.data.about {
                About::Check(check) => About::Check(crate::event::CheckData {
                    node,
                    output: check_id.clone(),
                    check_id,
                    service_id: if of_service { service.clone() } else { String::new() },
                    service,
                    ..check
                }),
                About::Instance(instance) => {
                    About::Instance(crate::event::InstanceData { node, service, ..instance })
                }
                other => other,
            };
            Event { kind, data: EventData { about, ..event.data }, ..event }
        },
    )
}

proptest! {
    #[test]
    fn the_rules_that_are_found_are_those_that_asking_each_finds(
        rules in prop::collection::vec(rule(), 0..24),
        event in any_event(),
        watch in prop::option::of(select(&["w1", "w2"][..])),
    ) {
        let rules: Vec<_> =
            (0..).zip(rules).map(|(at, rule): (u32, Rule)| Rule { name: at.to_string(), ..rule }).collect();
        let facts = Facts::of(&event);
        let mut asked: Vec<&str> = Vec::new();
        for rule in &rules {
            if rule.verdict(&facts, watch).sends() {
                asked.push(&rule.name);
                if rule.is_final {
                    break;
                }
            }
        }
        let indexed = Rules::from(rules.clone());
        let found = indexed.firing(&event, watch);
        let found: Vec<&str> = found.into_iter().map(|at| &indexed[at].name[..]).collect();
        prop_assert_eq!(&found, &asked);
        let explained = indexed.verdicts(&facts, watch);
        let sent = indexed.iter().zip(explained).filter(|(_, verdict)| verdict.sends());
        prop_assert_eq!(sent.map(|(rule, _)| &rule.name[..]).collect::<Vec<_>>(), asked);
        for (rule, last) in indexed.unreachable() {
            prop_assert!(!found.contains(&&rule.name[..]), "{} is hidden by {}", rule.name, last.name);
        }
    }

    #[test]
    fn a_rule_hides_itself_and_what_is_narrower(rule in rule(), more in matchers()) {
        let narrow = Rule { enabled: true, matches: [rule.matches.clone(), more].concat(), ..rule.clone() };
        // Of several exact conditions on one attribute, which is odd, only the first is looked at.
        let exact: Vec<_> = texts(&narrow).map(|(key, _)| key).collect();
        prop_assume!(exact.iter().collect::<std::collections::BTreeSet<_>>().len() == exact.len());
        let rules = Rules::from(vec![Rule { enabled: true, is_final: true, ..rule }, narrow]);
        prop_assert_eq!(rules.unreachable().len(), 1);
    }
}

#[test]
fn each_type_has_a_place_of_its_own() {
    for (at, kind) in EventType::ALL.into_iter().enumerate() {
        assert_eq!(kind as usize, at, "{kind}");
    }
}

#[test]
fn a_rule_is_asked_only_for_events_that_may_concern_it() {
    let text = |attribute: &str, text: &str| Matcher {
        attribute: Attribute::parse(attribute).unwrap(),
        pattern: Pattern::Any(vec![text.into()]),
    };
    let rule = |on, matches| Rule { on: vec![on], matches, ..Rule::default() };
    let on = EventType::CheckStatus;
    let rules = [
        rule(on, vec![text("service", "db")]),
        rule(on, vec![text("service", "web"), text("node", "web2")]),
        rule(on, vec![text("service", "web"), text("node", "web1")]),
        rule(EventType::CheckOutput, vec![]),
        rule(on, vec![text("to", "passing")]),
        rule(on, vec![text("check_id", "service:web")]),
    ];
    let index = Index::of(&rules, |_| true);
    let found: Vec<_> = index.concerned(&Facts::of(&event())).collect();
    assert_eq!(found, [2, 4, 5], "the node of the second one is rarer than its service");
}
