use std::collections::BTreeMap;

use super::*;
use crate::catalog::{Check, CheckStatus, Entry};
use crate::event::{Event, EventType, Timing};
use crate::rules::{Alerts, Attribute, Matcher, Pattern, Query, Rule, ServiceRoles};
use crate::store::{Aftermath, Claimed, Fallback, Lane, NewDelivery, Overlap, StoredEvent};

const NOW: Timestamp = Timestamp::UNIX_EPOCH;

fn node() -> LocalNode {
    let meta = BTreeMap::from([("environment".to_owned(), "staging".to_owned())]);
    LocalNode { name: "web1".into(), datacenter: "dc1".into(), meta }
}

fn check(id: &str, status: CheckStatus, modify_index: u64) -> Check {
    Check {
        node: "web1".into(),
        check_id: id.into(),
        name: id.into(),
        kind: String::new(),
        status,
        notes: String::new(),
        output: "said".into(),
        service_id: id.into(),
        service: id.into(),
        service_tags: Vec::new(),
        create_index: 1,
        modify_index,
    }
}

/// Two rules: every status to `log` and `mail`, and that of `web` to `pager`.
fn routing() -> Routing {
    let rule = |name: &str, matches: Vec<Matcher>, receivers: &[&str]| Rule {
        name: name.into(),
        on: vec![EventType::CheckStatus],
        matches,
        receivers: receivers.iter().map(|&receiver| receiver.into()).collect(),
        ..Rule::default()
    };
    let web = Matcher { attribute: Attribute::Service, pattern: Pattern::Any(vec!["web".into()]) };
    let active = ServiceRoles { active_nodes: ["web1".to_owned()].into(), ..ServiceRoles::default() };
    Routing {
        inhibit_rules: Vec::new(),
        rules: vec![rule("all", vec![], &["log", "mail"]), rule("web", vec![web], &["pager"])].into(),
        roles: [("web".to_owned(), active)].into_iter().collect(),
        environment: None,
        timing: Timing::default(),
        wishes: BTreeMap::new(),
    }
}

/// The plan for `now` after `before` was committed.
fn plan(history: History, before: Vec<Check>, now: Vec<Check>) -> Plan {
    let routing = routing();
    plan_of(&routing, &mut Known { history, ..known(&routing, before) }, now)
}

/// What is known after the first answer ever.
fn known(routing: &Routing, checks: Vec<Check>) -> Known {
    let mut known = Known::default();
    plan_of(routing, &mut known, checks);
    known
}

fn plan_of(routing: &Routing, known: &mut Known, checks: Vec<Check>) -> Plan {
    let answer = Answer {
        entries: checks.into_iter().map(|check| Entry::Check(check.into())).collect(),
        index: 7,
        reset: false,
    };
    let place = Place {
        node: &node(),
        datacenter: "dc1",
        watch: "checks/node",
        is_a_choice: false,
        by_status: false,
        user_events: None,
    };
    routing.plan(known, place, answer, NOW)
}

/// Where the events of a plan go, with nothing in the way.
fn deliveries(routing: &Routing, plan: &Plan) -> Vec<NewDelivery> {
    let query = Query { watch: "checks/node".into(), name: "checks/node".into() };
    let decisions = Alerts::default().take(routing.policy(), &plan.events, &query, NOW);
    let Decided { deliveries, recalled } = routing.in_deliveries(&plan.events, decisions, NOW);
    assert!(recalled.is_empty());
    deliveries
}

use CheckStatus::{Critical, Passing};

#[test]
fn the_first_answer_is_kept_and_tells_nothing() {
    let mut known = Known::default();
    let plan = plan_of(&routing(), &mut known, vec![check("web", Critical, 7)]);
    assert_eq!((known.states.len(), plan.changes.len()), (1, 1));
    assert_eq!(plan.events, vec![]);
}

#[test]
fn an_event_goes_to_the_receivers_of_every_rule_that_fires_in_their_order() {
    let before = || vec![check("db", Passing, 5), check("web", Passing, 6)];
    let now = vec![check("db", Critical, 7), check("web", Critical, 8)];
    let plan = plan(History::Live, before(), now);
    let deliveries = deliveries(&routing(), &plan);
    let sent: Vec<_> = deliveries
        .iter()
        .map(|delivery| {
            assert_eq!(delivery.due_at, NOW);
            let subject = plan.events[delivery.event].subject.as_str();
            (subject, delivery.rule.as_str(), delivery.receiver.as_str())
        })
        .collect();
    assert_eq!(
        sent,
        [
            ("web1/db", "all", "log"),
            ("web1/db", "all", "mail"),
            ("web1/web", "all", "log"),
            ("web1/web", "all", "mail"),
            ("web1/web", "web", "pager"),
        ]
    );
}

#[test]
fn what_happened_while_lictor_was_away_is_marked() {
    for (history, catch_up) in [(History::Away, true), (History::Live, false)] {
        let plan = plan(history, vec![check("web", Passing, 7)], vec![check("web", Critical, 8)]);
        assert_eq!(plan.events[0].data.catch_up, catch_up);
    }
}

#[test]
fn an_event_knows_its_environment_and_the_nodes_role() {
    let changed = || plan(History::Live, vec![check("web", Passing, 7)], vec![check("web", Critical, 8)]);
    let data = changed().events.remove(0).data;
    assert_eq!((data.environment.as_str(), data.check().unwrap().node_role.as_str()), ("staging", "primary"));
    let configured = Routing { environment: Some("production".into()), ..routing() };
    assert_eq!(configured.environment(&node()), "production");
}

#[test]
fn an_answer_like_the_last_one_is_nothing_to_commit() {
    let plan = plan(History::Away, vec![check("web", Passing, 7)], vec![check("web", Passing, 7)]);
    assert!(plan.changes.is_empty() && plan.events.is_empty());
}

#[test]
fn a_check_that_was_written_earlier_than_before_shows_that_the_indexes_began_anew() {
    let changes = |before, now| {
        plan(History::Away, vec![check("web", Passing, before)], vec![check("web", Critical, now)]).changes
    };
    assert!(went_back(&changes(70, 12)));
    assert!(!went_back(&changes(70, 71)));
    assert!(!went_back(&plan(History::Away, vec![check("web", Passing, 70)], vec![]).changes));
}

#[test]
fn who_wants_no_resolved_is_not_told_that_a_check_passes() {
    let quiet = Wishes { send_resolved: false, ..Wishes::default() };
    let routing = Routing { wishes: BTreeMap::from([("mail".to_owned(), quiet)]), ..routing() };
    let told = |before, now| {
        let known = known(&routing, vec![check("db", before, 1)]);
        let mut known = Known { history: History::Live, ..known };
        let plan = plan_of(&routing, &mut known, vec![check("db", now, 2)]);
        deliveries(&routing, &plan).into_iter().map(|delivery| delivery.receiver).collect::<Vec<_>>()
    };
    assert_eq!(told(Passing, Critical), ["log", "mail"]);
    assert_eq!(told(Critical, Passing), ["log"]);
}

/// A delivery to `receiver` that is given up, of the event of the plan for a check that fails.
fn given_up(routing: &Routing, receiver: &str) -> Aftermath {
    let event =
        plan(History::Live, vec![check("web", Passing, 1)], vec![check("web", Critical, 2)]).events.remove(0);
    let claimed = Claimed {
        more: Vec::new(),
        nth: 0,
        id: "d1".into(),
        attempt: 3,
        redriven: 0,
        rule: "all".into(),
        receiver: receiver.into(),
        event: StoredEvent {
            id: event.id,
            source: event.source,
            kind: format!("lictor.{}", event.kind),
            subject: event.subject,
            time: NOW,
            data: serde_json::to_string(&event.data).unwrap(),
            node: "web1".into(),
            environment: String::new(),
        },
        created_at: NOW,
        tried_since: NOW,
    };
    routing.after_death(&claimed, ("permanent", "no such address"), NOW)
}

#[test]
fn a_death_is_told_by_the_rules_and_the_fallback_gets_the_event() {
    let instead = Wishes { fallback: Some("pager".into()), ..Wishes::default() };
    let last = Wishes { overlap: Overlap::Skip, ..Wishes::default() };
    let of_mail = Matcher { attribute: Attribute::Receiver, pattern: Pattern::Any(vec!["mail".into()]) };
    let rule = Rule {
        name: "undelivered".into(),
        on: vec![EventType::DeliveryDead],
        matches: vec![of_mail],
        receivers: vec!["log".into()],
        ..Rule::default()
    };
    let wishes = BTreeMap::from([("mail".to_owned(), instead), ("pager".to_owned(), last)]);
    let routing = Routing { wishes, rules: vec![rule].into(), ..routing() };
    let Aftermath { fallback, events, deliveries } = given_up(&routing, "mail");
    assert_eq!(
        fallback,
        Some(Fallback { receiver: "pager".into(), overlap: Overlap::Skip, lane: Lane::Subject })
    );
    assert_eq!(deliveries.iter().map(|delivery| delivery.receiver.as_str()).collect::<Vec<_>>(), ["log"]);
    let [Event { kind: EventType::DeliveryDead, data, subject, .. }] = &events[..] else {
        panic!("{events:?}")
    };
    assert_eq!((subject.as_str(), data.check().unwrap().to), ("web1/web", Some(Critical)));
    let dead = data.delivery.as_ref().unwrap();
    assert_eq!((dead.attempts, dead.detail.as_str()), (3, "no such address"));

    let Aftermath { fallback, events, deliveries } = given_up(&routing, "log");
    assert_eq!((fallback, events.len(), deliveries.len()), (None, 1, 0), "no rule is about this receiver");
}

#[test]
fn an_event_of_a_service_says_how_many_instances_are_left() {
    let of_web = |id: &str, status, index| Check { service: "web".into(), ..check(id, status, index) };
    let before = || vec![of_web("web-1", Passing, 1), of_web("web-2", Passing, 1), check("db", Passing, 1)];
    let after = vec![of_web("web-1", Critical, 2), of_web("web-2", Passing, 1), check("db", Passing, 1)];
    let left = |now: Vec<Check>| {
        let event = plan(History::Live, before(), now).events.remove(0);
        let check = event.data.check().unwrap();
        (check.passing_left, check.passing_left_share)
    };
    assert_eq!(left(after), (Some(1), Some(0.5)));
    assert_eq!(left(before().split_off(1)), (Some(1), Some(1.0)), "what is gone is none of all");
}

/// What is told of `now` after another query had `before`, all of the services `web` and `db`; and what is stored.
fn taken_over(before: Vec<Check>, now: Vec<Check>) -> (Vec<String>, usize) {
    let routing = routing();
    let services = ["db", "web"].map(str::to_owned).into();
    let borrowed = Some(Borrowed { services, from: Vec::new() });
    let mut known = Known { history: History::Away, borrowed, ..known(&routing, before) };
    let plan = plan_of(&routing, &mut known, now);
    let told = plan.events.iter().map(|event| format!("{} {}", event.kind, event.subject)).collect();
    (told, plan.changes.len())
}

#[test]
fn a_query_that_takes_over_what_others_knew_tells_what_changed_and_nothing_of_what_they_did_not_ask_for() {
    let before = || vec![check("db", Passing, 1), check("web", Passing, 1)];
    let now = || vec![check("db", Passing, 1), check("mail", Critical, 1), check("web", Critical, 2)];
    let (told, stored) = taken_over(before(), now());
    assert_eq!(
        (told, stored),
        (vec!["check.status web1/web".to_owned()], 3),
        "all is stored under its own name"
    );
    let (told, _) = taken_over(before(), vec![check("web", Passing, 1)]);
    assert_eq!(told, ["check.deregistered web1/db"]);
}
