use std::collections::BTreeMap;
use std::ops::Bound::{self, Excluded, Included, Unbounded};

use jiff::Timestamp;

use super::*;

mod time;
use crate::catalog::CheckStatus;
use crate::event::{About, CheckData, Event, EventData, InstanceData, KeyData, NodeRole};

pub(super) fn event() -> Event {
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
        passing_left: Some(2),
        passing_left_share: Some(0.25),
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

/// The shipped samples: one of each type.
fn samples() -> Vec<Event> {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../sdk/events");
    let files = std::fs::read_dir(folder).unwrap().map(|file| std::fs::read(file.unwrap().path()).unwrap());
    let sample = |file: Vec<u8>| {
        let mut sample: serde_json::Value = serde_json::from_slice(&file).unwrap();
        let kind = sample["type"].as_str().unwrap().trim_start_matches("lictor.").parse().unwrap();
        Event { kind, data: serde_json::from_value(sample["data"].take()).unwrap(), ..event() }
    };
    files.map(sample).collect()
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
    assert_eq!(refusal("node", numbers(&[1])), "it is a text, not a number");
    assert_eq!(refusal("node_meta.slots", numbers(&[1])), "");
    assert_eq!(refusal("service_tags", Pattern::Flag(true)), "it is a text, not true or false");
    assert_eq!(refusal("changed", words(&["prot"])), CHANGED);
    assert_eq!(refusal("node", Pattern::All(vec!["a".into()])), "it is one value and no list");
    assert_eq!(refusal("service_tags", Pattern::All(vec!["a".into()])), "");
    let port = "it is a whole number from 0 to 65535";
    for pattern in [numbers(&[70_000]), numbers(&[-1]), range(Excluded(65_535), Unbounded), words(&["http"])]
    {
        assert_eq!(refusal("port", pattern), port);
    }
    for pattern in
        [numbers(&[80]), range(Included(1024), Excluded(2000)), words(&["80"]), Pattern::prefix("80")]
    {
        assert_eq!(refusal("port", pattern), "");
    }
    assert_eq!(refusal("flags", range(Unbounded, Excluded(0))), "it is a whole number from 0 on");
    assert_eq!(refusal("value.port", range(Excluded(5), Excluded(5))), "no number is in this range");
    assert_eq!(refusal("passing_left_share", range(Excluded(1), Unbounded)), "it is a number from 0 to 1");
    assert_eq!(refusal("passing_left_share", words(&["0.5"])), "it is a number from 0 to 1");
    assert_eq!(refusal("value.enabled", Pattern::Flag(true)), "");
    assert_eq!(refusal("value", Pattern::Flag(true)), "it is a text, not true or false");
    assert_eq!(refusal("initial", Pattern::Present(true)), "");
    assert_eq!(refusal("datacenter", Pattern::Present(false)), "every event has it");
}

const CHANGED: &str =
    "\"prot\" is none of address, port, service_tags, service_meta, node_id, node_address, node_meta";

fn numbers(numbers: &[i128]) -> Pattern {
    Pattern::Numbers(numbers.iter().map(|&number| number.into()).collect())
}

fn range(from: Bound<i128>, to: Bound<i128>) -> Pattern {
    Pattern::Range(Range { from: from.map(Number::from), to: to.map(Number::from) })
}

/// Of an instance with two tags on port 8080, and metadata of which one is a number.
pub(super) fn instance() -> Event {
    let about = InstanceData {
        node: "web1".into(),
        node_meta: BTreeMap::from([("slots".into(), "16".into())]),
        service_id: "web-1".into(),
        service: "web".into(),
        service_tags: vec!["prod".into(), "blue".into()],
        service_meta: BTreeMap::from([("version".into(), "2.5".into()), ("team".into(), "shop".into())]),
        address: "10.0.0.1".into(),
        port: 8080,
        changed: Vec::new(),
        before: None,
        node_role: NodeRole::Standalone,
        create_index: 7,
        modify_index: 9,
    };
    let mut event = event();
    event.kind = EventType::ServiceRegistered;
    event.data.about = About::Instance(about);
    event
}

/// Of a key with these values.
fn key(value: Option<&str>, old_value: Option<&str>) -> Event {
    let about = KeyData {
        key: "app/web".into(),
        value: value.map(str::to_owned),
        value_base64: None,
        old_value: old_value.map(str::to_owned),
        old_value_base64: None,
        flags: 42,
        session: String::new(),
        create_index: 7,
        modify_index: 9,
    };
    let mut event = event();
    event.kind = EventType::KvSet;
    event.data.about = About::Key(about);
    event
}

#[track_caller]
fn check_of(event: &Event, attribute: &str, pattern: Pattern, want: bool) {
    let matcher = matcher(attribute, pattern);
    assert_eq!(matcher.attribute.check(&matcher.pattern), Ok(()), "{attribute} {}", matcher.pattern);
    assert_eq!(matcher.holds(&Facts::of(event)), want, "{attribute} {}", matcher.pattern);
}

#[test]
fn numbers_are_compared_as_numbers() {
    let instance = instance();
    let check = |attribute, pattern, want| check_of(&instance, attribute, pattern, want);
    check("port", numbers(&[8080]), true);
    check("port", numbers(&[80, 443]), false);
    check("port", words(&["8080"]), true);
    check("port", range(Excluded(8080), Unbounded), false);
    check("port", range(Included(8080), Excluded(8081)), true);
    check("port", range(Included(1024), Excluded(2000)), false);
    check("node_meta.slots", range(Excluded(2), Unbounded), true);
    check("node_meta.slots", words(&["16"]), true);
    check("node_meta.rows", range(Excluded(2), Unbounded), false);
    check("service_meta.version", range(Excluded(2), Excluded(3)), true);
    check("service_meta.team", range(Unbounded, Excluded(3)), false);
    let key = key(Some("0.25\n"), None);
    check_of(&key, "flags", range(Included(42), Included(42)), true);
    check_of(&key, "value", range(Excluded(0), Excluded(1)), true);
    check_of(&key, "old_value", range(Excluded(0), Excluded(1)), false);
    check_of(&event(), "passing_left", range(Unbounded, Excluded(2)), false);
    check_of(&event(), "passing_left", numbers(&[2]), true);
    let half = Bound::Excluded(Number::from_float(0.5).unwrap());
    check_of(&event(), "passing_left_share", Pattern::Range(Range { from: Unbounded, to: half }), true);
}

#[test]
fn what_is_not_there_can_be_asked_for() {
    let instance = instance();
    for (attribute, there) in [
        ("service_meta.team", true),
        ("service_meta.owner", false),
        ("check_id", false),
        ("service_tags", true),
        ("changed", false),
        ("environment", false),
    ] {
        check_of(&instance, attribute, Pattern::Present(true), there);
        check_of(&instance, attribute, Pattern::Present(false), !there);
    }
}

#[test]
fn a_list_may_be_wanted_to_have_several() {
    let all = |words: &[&str]| Pattern::All(words.iter().map(|&word| word.into()).collect());
    check_of(&instance(), "service_tags", all(&["blue", "prod"]), true);
    check_of(&instance(), "service_tags", all(&["blue", "green"]), false);
    let key = key(Some(r#"{"tags": ["a", "b"], "ports": [80, 443], "one": "a"}"#), None);
    check_of(&key, "value.tags", all(&["a", "b"]), true);
    check_of(&key, "value.tags", all(&["a", "c"]), false);
    check_of(&key, "value.one", all(&["a"]), false);
    check_of(&key, "value.tags", words(&["c", "b"]), true);
    check_of(&key, "value.ports", numbers(&[443]), true);
    check_of(&key, "value.ports", range(Excluded(443), Unbounded), false);
}

#[test]
fn a_value_that_is_json_is_looked_into() {
    let text = r#"{"a": {"b": [10, {"c": "deep"}], "": 1}, "on": true, "n": 1.5, "s": "1.5", "nil": null, "o": {}, "0": "x"}"#;
    let key = key(Some(text), Some("plain text"));
    let check = |attribute, pattern, want| check_of(&key, attribute, pattern, want);
    check("value.a.b.1.c", words(&["deep"]), true);
    check("value.a.b.0", numbers(&[10]), true);
    check("value.a.b.2", Pattern::Present(true), false);
    check("value.a.b.x", Pattern::Present(false), true);
    check("value.0", Pattern::prefix("x"), true);
    check("value.on", Pattern::Flag(true), true);
    check("value.on", words(&["true"]), false);
    check("value.n", range(Excluded(1), Excluded(2)), true);
    check("value.n", words(&["1.5"]), false);
    check("value.s", range(Excluded(1), Excluded(2)), false);
    check("value.s", Pattern::regex("1.5").unwrap(), true);
    check("value.nil", Pattern::Present(true), false);
    check("value.o", Pattern::Present(true), true);
    check("value.o", Pattern::glob("*").unwrap(), false);
    check("old_value.a", Pattern::Present(true), false);
    check_of(&event(), "value.a", Pattern::Present(true), false);
}

#[test]
fn the_first_condition_that_does_not_hold_is_shown_with_the_value_that_is_there() {
    let shown = |event: &Event, attribute: &str, pattern: Pattern| {
        let rule = Rule { on: vec![event.kind], ..rule("r", vec![matcher(attribute, pattern)], vec![]) };
        let facts = Facts::of(event);
        rule.objection(&rule.verdict(&facts, None), &facts, None).unwrap()
    };
    let key = key(Some(r#"{"ports": [80], "state": "up"}"#), None);
    for (event, attribute, pattern, want) in [
        (
            &instance(),
            "port",
            range(Included(1), Excluded(9)),
            "`port` is 8080, and it wants { ge = 1, lt = 9 }",
        ),
        (&instance(), "port", numbers(&[1, 2]), "`port` is 8080, and it wants one of [1, 2]"),
        (
            &instance(),
            "service_meta.owner",
            Pattern::Present(true),
            "`service_meta.owner` is not there, and it wants { present = true }",
        ),
        (
            &instance(),
            "service_tags",
            Pattern::All(vec!["x".into()]),
            "`service_tags` is [\"prod\", \"blue\"], and it wants { all = [\"x\"] }",
        ),
        (&key, "value.ports", numbers(&[443]), "`value.ports` is [80], and it wants 443"),
        (&key, "value.state", Pattern::Flag(true), "`value.state` is \"up\", and it wants true"),
        (&event(), "passing_left_share", numbers(&[1]), "`passing_left_share` is 0.25, and it wants 1"),
    ] {
        assert_eq!(shown(event, attribute, pattern), want);
    }
}

#[test]
fn only_types_that_have_an_attribute_are_said_to_have_it() {
    let mut events = samples();
    assert!(events.len() >= EventType::ALL.len());
    events.extend([event(), instance(), key(Some("{\"a\": 1}"), Some("{\"a\": 1}"))]);
    for name in
        Attribute::NAMES.into_iter().chain(["node_meta.rack", "service_meta.team", "value.a", "old_value.a"])
    {
        let attribute = Attribute::parse(name).unwrap();
        for event in &events {
            let there = Facts::of(event).value(&attribute).is_there();
            assert!(!there || attribute.is_of(event.kind), "{name} {}", event.kind);
        }
        assert!(attribute.is_of(EventType::DeliveryDead));
        assert!(
            name == "receiver"
                || name == "outcome"
                || EventType::ALL
                    .iter()
                    .any(|&kind| { kind != EventType::DeliveryDead && attribute.is_of(kind) })
        );
    }
}

#[test]
fn every_name_is_an_attribute_and_shows_itself() {
    for name in Attribute::NAMES.into_iter().chain(["node_meta.rack", "value.a.0", "old_value.b"]) {
        assert_eq!(Attribute::parse(name).unwrap().to_string(), name);
    }
    assert_eq!(Attribute::parse("node_meta."), None);
    assert_eq!(Attribute::parse("nodes"), None);
    assert_eq!(Attribute::parse("value."), None);
    assert_eq!(Attribute::parse("value.a..b"), None);
    assert_eq!(Attribute::parse("output.a"), None);
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
    let rules = Rules::from(rules);
    rules.firing(&event(), None).into_iter().map(|at| rules[at].name.clone()).collect()
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
