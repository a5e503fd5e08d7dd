use std::collections::BTreeMap;

use jiff::Timestamp;

use super::*;

mod time;
use crate::catalog::CheckStatus;
use crate::event::{About, CheckData, Event, EventData, NodeRole};

fn event() -> Event {
    let about = CheckData {
        node: "web1".into(),
        node_meta: BTreeMap::from([("rack".into(), "r7".into())]),
        check_id: "service:web".into(),
        check_name: "Service 'web' check".into(),
        service_id: "web-1".into(),
        service: "web".into(),
        service_tags: vec!["prod".into(), "blue".into()],
        from: Some(CheckStatus::Passing),
        to: Some(CheckStatus::Critical),
        since: Timestamp::UNIX_EPOCH,
        output: "connect: refused\nafter 5 s".into(),
        notes: String::new(),
        initial: false,
        coalesced: false,
        flapping: false,
        node_failed: false,
        node_role: NodeRole::Primary,
        create_index: 7,
        modify_index: 9,
    };
    let data = EventData {
        datacenter: "dc1".into(),
        environment: String::new(),
        catch_up: true,
        about: About::Check(about),
        delivery: None,
    };
    Event {
        id: "0".into(),
        source: "consul://dc1".into(),
        kind: EventType::CheckStatus,
        subject: "web1/service:web".into(),
        time: Timestamp::UNIX_EPOCH,
        data,
    }
}

fn words(words: &[&str]) -> Pattern {
    Pattern::Any(words.iter().map(|&word| word.into()).collect())
}

fn matcher(attribute: &str, pattern: Pattern) -> Matcher {
    Matcher { attribute: Attribute::parse(attribute).unwrap(), pattern }
}

#[track_caller]
fn check(attribute: &str, pattern: Pattern, want: bool) {
    let matcher = matcher(attribute, pattern);
    assert_eq!(matcher.holds(&Facts::of(&event())), want, "{attribute} {:?}", matcher.pattern);
}

#[test]
fn a_text_is_exact_and_a_list_is_any_of() {
    check("service", words(&["web"]), true);
    check("service", words(&["we"]), false);
    check("to", words(&["warning", "critical"]), true);
    check("to", words(&["passing"]), false);
    check("node_meta.rack", words(&["r7"]), true);
    check("node_role", words(&["primary"]), true);
}

#[test]
fn of_tags_one_that_fits_is_enough() {
    check("service_tags", words(&["blue"]), true);
    check("service_tags", words(&["green"]), false);
    check("service_tags", Pattern::prefix("pr"), true);
}

#[test]
fn an_attribute_that_is_not_there_fits_nothing() {
    check("node_meta.row", Pattern::glob("*").unwrap(), false);
    check("environment", Pattern::glob("*").unwrap(), false);
}

#[test]
fn globs_cover_the_whole_value() {
    check("check_id", Pattern::glob("service:*").unwrap(), true);
    check("check_id", Pattern::glob("*:w?b").unwrap(), true);
    check("check_id", Pattern::glob("service").unwrap(), false);
    check("node", Pattern::glob("{db,web}1").unwrap(), true);
}

#[test]
fn regular_expressions_cover_the_whole_value() {
    check("node", Pattern::regex("web[0-9]").unwrap(), true);
    check("node", Pattern::regex("web").unwrap(), false);
    check("node", Pattern::regex("eb1|web1").unwrap(), true);
    check("node", Pattern::regex("(?i)WEB1").unwrap(), true);
    // One line of a text with several is not the whole text.
    check("output", Pattern::regex("(?m)connect: refused").unwrap(), false);
    check("output", Pattern::regex("(?s)connect.*").unwrap(), true);
}

#[test]
fn a_pattern_that_cannot_be_read_says_why() {
    let message = |pattern: Result<Pattern, PatternError>| pattern.unwrap_err().to_string();
    assert_eq!(message(Pattern::regex("web[")), "unclosed character class");
    assert_eq!(message(Pattern::regex("a)|(b")), "unopened group");
    assert_eq!(
        message(Pattern::glob("{web")),
        "unclosed alternate group; missing '}' (maybe escape '{' with '[{]'?)"
    );
    assert!(message(Pattern::regex("(.{1000}){1000}")).contains("size limit"));
}

#[test]
fn flags_are_true_or_false() {
    check("catch_up", Pattern::Flag(true), true);
    check("initial", Pattern::Flag(true), false);
}

#[test]
fn a_pattern_that_can_never_fit_is_refused() {
    let refusal = |attribute: &str, pattern: Pattern| {
        Attribute::parse(attribute).unwrap().check(&pattern).err().unwrap_or_default()
    };
    assert_eq!(refusal("to", words(&["crit"])), "\"crit\" is none of passing, warning, critical");
    assert_eq!(
        refusal("node_role", words(&["leader"])),
        "\"leader\" is none of primary, secondary, standalone"
    );
    assert_eq!(refusal("initial", words(&["true"])), "it is true or false");
    assert_eq!(refusal("node", Pattern::Flag(true)), "it is a text, not true or false");
    assert_eq!(refusal("node", words(&["anything"])), "");
}

#[test]
fn every_name_is_an_attribute_and_shows_itself() {
    for name in Attribute::NAMES.into_iter().chain(["node_meta.rack"]) {
        assert_eq!(Attribute::parse(name).unwrap().to_string(), name);
    }
    assert_eq!(Attribute::parse("node_meta."), None);
    assert_eq!(Attribute::parse("nodes"), None);
}

fn rule(name: &str, matches: Vec<Matcher>, unless: Vec<Matcher>) -> Rule {
    Rule {
        name: name.into(),
        on: vec![EventType::CheckStatus],
        matches,
        unless,
        receivers: vec!["mail".into()],
        ..Rule::default()
    }
}

/// The names of the rules that send the event.
fn routed(rules: Vec<Rule>) -> Vec<String> {
    Rules::from(rules).route(&event(), None).map(|rule| rule.name.clone()).collect()
}

/// Why each rule leaves the event alone.
fn objections(rules: Vec<Rule>) -> Vec<Option<String>> {
    let (rules, event) = (Rules::from(rules), event());
    let facts = Facts::of(&event);
    let verdicts = rules.verdicts(&facts, None);
    rules.iter().zip(&verdicts).map(|(rule, verdict)| rule.objection(verdict, &facts, None)).collect()
}

#[test]
fn all_rules_that_match_fire_in_their_order() {
    let web = || matcher("service", words(&["web"]));
    let db = || matcher("service", words(&["db"]));
    let mut other_kind = rule("other kind", vec![], vec![]);
    other_kind.on = vec![EventType::CheckOutput];
    let rules = vec![
        rule("all", vec![], vec![]),
        rule("db", vec![db()], vec![]),
        other_kind,
        rule("web", vec![web()], vec![]),
        rule("unless web", vec![], vec![web()]),
        rule("unless web and db", vec![], vec![web(), db()]),
    ];
    assert_eq!(routed(rules), ["all", "web", "unless web and db"]);
}

#[test]
fn a_final_rule_that_sends_the_event_is_the_last_one() {
    let last = |name, service| Rule {
        is_final: true,
        ..rule(name, vec![matcher("service", words(&[service]))], vec![])
    };
    let rules = || {
        vec![rule("all", vec![], vec![]), last("db", "db"), last("web", "web"), rule("rest", vec![], vec![])]
    };
    assert_eq!(routed(rules()), ["all", "web"]);
    let [all, db, web, rest] = &objections(rules())[..] else { panic!("four rules") };
    assert_eq!((all, web), (&None, &None));
    assert_eq!(db.as_deref(), Some("`service` is \"web\", and it wants \"db\""));
    assert_eq!(rest.as_deref(), Some("not reached: rule web before it is final"));
}

#[test]
fn the_conditions_of_named_matchers_must_hold_too() {
    let named = |service: &str| {
        Arc::new(Named {
            name: "tier".into(),
            matches: vec![matcher("node", words(&["web1"])), matcher("service", words(&[service]))],
        })
    };
    let rule = |named| Rule {
        named: vec![named],
        ..rule("tier", vec![matcher("to", words(&["critical"]))], vec![])
    };
    assert_eq!(routed(vec![rule(named("web"))]), ["tier"]);
    assert_eq!(routed(vec![rule(named("db"))]), [""; 0]);
    assert_eq!(
        objections(vec![rule(named("db"))]),
        [Some("`service` is \"web\", and its matcher tier wants \"db\"".into())]
    );
}

#[test]
fn a_rule_that_is_not_enabled_does_nothing() {
    let off = Rule { enabled: false, is_final: true, ..rule("off", vec![], vec![]) };
    let rules = vec![off, rule("on", vec![], vec![])];
    assert_eq!(routed(rules.clone()), ["on"]);
    assert_eq!(objections(rules), [Some("`enabled` is false".into()), None]);
}
