//! What rules make of events over time, as scripts: one line for each event, one for each decision.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use proptest::prelude::*;

use super::super::*;
use crate::catalog::CheckStatus;
use crate::event::{About, Event, EventType, NodeRole};

/// Seconds since a certain full minute.
fn at(second: u64) -> Timestamp {
    Timestamp::from_second(1_700_000_040 + i64::try_from(second).unwrap()).unwrap()
}

/// A check of `node`'s service `web` that goes from one result to another.
fn turn(node: &str, from: CheckStatus, to: CheckStatus, second: u64) -> Event {
    let mut event = super::event();
    let About::Check(check) = &mut event.data.about else { unreachable!() };
    check.node = node.into();
    check.node_role = NodeRole::Standalone;
    (check.from, check.to) = (Some(from), Some(to));
    event.subject = format!("{node}/service:web");
    event.time = at(second);
    event.id = format!("{node}@{second}:{to}");
    event
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn query() -> Query {
    Query { watch: "checks/node".into(), name: "checks/node".into() }
}

/// What the rules remember, and what time it is.
struct Play {
    rules: Rules,
    inhibit_rules: Vec<InhibitRule>,
    alerts: Alerts,
    rows: BTreeMap<(String, String), String>,
    said: Vec<String>,
    now: u64,
}

impl Play {
    fn new(rules: Vec<Rule>) -> Self {
        let (alerts, rows, said) = (Alerts::default(), BTreeMap::new(), Vec::new());
        Self { rules: rules.into(), inhibit_rules: BuiltIn::default().rules(), alerts, rows, said, now: 0 }
    }

    /// One rule for results that do not pass.
    fn failing(schedule: Schedule) -> Self {
        Self::new(vec![Rule {
            matches: vec![super::matcher("to", super::words(&["warning", "critical"]))],
            ..all(schedule)
        }])
    }

    /// One rule for each result.
    fn all(schedule: Schedule) -> Self {
        Self::new(vec![all(schedule)])
    }

    fn policy(&self) -> Policy<'_> {
        Policy { rules: &self.rules, inhibit_rules: &self.inhibit_rules }
    }

    fn tell(&mut self, decisions: Vec<Decision>, events: &[Event]) {
        let now = self.now;
        for decision in decisions {
            self.said.push(match decision {
                Decision::Send { events: told, group, nth, .. } => {
                    let ids: Vec<_> = told
                        .into_iter()
                        .map(|told| match told {
                            Told::New(at) => events[at].id.clone(),
                            Told::Earlier(event) => event.id,
                        })
                        .collect();
                    let group = group.map(|group| format!(" {group}")).unwrap_or_default();
                    let again = if nth > 0 { format!(" #{nth}") } else { String::new() };
                    format!("{now} sent {}{group}{again}", ids.join("+"))
                }
                Decision::Withhold { event, reason, .. } => format!("{now} {} {}", reason.as_str(), event.id),
            });
        }
        let policy = Policy { rules: &self.rules, inhibit_rules: &self.inhibit_rules };
        for row in self.alerts.changes(policy) {
            match row.state {
                Some(state) => self.rows.insert((row.rule, row.key), state),
                None => self.rows.remove(&(row.rule, row.key)),
            };
        }
    }

    /// Lets time go by, stopping wherever something is due.
    fn until(&mut self, second: u64) {
        while let Some(due) = self.alerts.due().filter(|due| *due <= at(second)) {
            self.now = self.now.max(u64::try_from(due.as_second() - at(0).as_second()).unwrap_or(0));
            let policy = Policy { rules: &self.rules, inhibit_rules: &self.inhibit_rules };
            let decisions = self.alerts.tick(policy, at(self.now));
            self.tell(decisions, &[]);
        }
        self.now = second;
    }

    fn events(&mut self, second: u64, events: &[Event]) {
        self.until(second);
        let policy = Policy { rules: &self.rules, inhibit_rules: &self.inhibit_rules };
        let decisions = self.alerts.take(policy, events, &query(), at(second));
        self.tell(decisions, events);
    }

    /// The check of a node goes from one result to another.
    fn turn(&mut self, second: u64, node: &str, from: CheckStatus, to: CheckStatus) {
        self.events(second, &[turn(node, from, to, second)]);
    }

    /// Takes up what is stored, as a Lictor does that starts again.
    fn restart(&mut self) {
        let rows = self.rows.iter().map(|((rule, key), state)| (rule.clone(), key.clone(), state.clone()));
        let (alerts, unused) = Alerts::load(self.policy(), &["checks/node".to_owned()].into(), rows).unwrap();
        assert_eq!(unused, []);
        self.alerts = alerts;
    }

    #[track_caller]
    fn said(mut self, until: u64, want: &[&str]) {
        self.until(until);
        assert_eq!(self.said, want);
    }
}

fn all(schedule: Schedule) -> Rule {
    Rule { schedule, ..super::rule("r", vec![], vec![]) }
}

use CheckStatus::{Critical, Passing, Warning};

#[test]
fn what_is_not_so_for_long_enough_is_not_sent() {
    let schedule = || Schedule { hold: seconds(30), ..Schedule::default() };
    let mut play = Play::failing(schedule());
    play.turn(0, "n", Passing, Critical);
    play.turn(29, "n", Critical, Passing);
    play.said(100, &["29 held n@0:critical"]);

    let mut play = Play::failing(schedule());
    play.turn(0, "n", Passing, Critical);
    play.said(100, &["30 sent n@0:critical"]);

    let mut play = Play::all(schedule());
    play.turn(0, "n", Passing, Critical);
    play.turn(20, "n", Critical, Passing);
    play.said(100, &["20 held n@0:critical", "20 held n@20:passing"]);
}

#[test]
fn a_worse_result_while_it_is_held_goes_on_and_is_what_is_sent() {
    let mut play = Play::failing(Schedule { hold: seconds(30), ..Schedule::default() });
    play.turn(0, "n", Passing, Warning);
    play.turn(20, "n", Warning, Critical);
    play.turn(40, "n", Critical, Warning);
    play.said(100, &["20 overtaken n@0:warning", "30 sent n@20:critical", "40 sent n@40:warning #1"]);
}

#[test]
fn a_restart_goes_on_where_it_was_and_waits_until_its_watch_is_followed() {
    let mut play = Play::failing(Schedule { hold: seconds(30), ..Schedule::default() });
    play.turn(0, "n", Passing, Critical);
    play.until(10);
    play.restart();
    play.alerts.followed(&query(), false);
    play.until(50);
    assert_eq!(play.said, Vec::<String>::new(), "what was held may be over");
    play.alerts.followed(&query(), true);
    play.said(60, &["50 sent n@0:critical"]);

    let mut play = Play::failing(Schedule { hold: seconds(30), ..Schedule::default() });
    play.turn(0, "n", Passing, Critical);
    play.restart();
    play.alerts.followed(&query(), false);
    play.turn(50, "n", Critical, Passing);
    play.alerts.followed(&query(), true);
    play.said(60, &["50 held n@0:critical"]);
}

#[test]
fn a_clock_that_jumps_ahead_makes_due_what_is_and_one_that_is_set_back_lets_it_wait() {
    let schedule =
        || Schedule { hold: seconds(30), repeat_interval: Some(seconds(60)), ..Schedule::default() };
    let mut play = Play::failing(schedule());
    play.turn(0, "n", Passing, Critical);
    // Nobody looked in between: what was due meanwhile is sent once, and not once for each time that went by.
    play.now = 1000;
    let decisions = play.alerts.tick(Policy { rules: &play.rules, inhibit_rules: &[] }, at(1000));
    play.tell(decisions, &[]);
    play.said(1010, &["1000 sent n@0:critical"]);

    let mut play = Play::failing(schedule());
    play.turn(1000, "n", Passing, Critical);
    let mut back = turn("n", Critical, Warning, 10);
    back.id = "back".into();
    let decisions =
        play.alerts.take(Policy { rules: &play.rules, inhibit_rules: &[] }, &[back], &query(), at(10));
    play.tell(decisions, &[]);
    assert_eq!(play.alerts.due(), Some(at(1030)));
    play.said(1035, &["1000 overtaken n@1000:critical", "1030 sent back"]);
}

#[test]
fn what_goes_on_is_told_again_until_it_is_over() {
    let schedule =
        Schedule { repeat_interval: Some(seconds(60)), send_resolved: true, ..Schedule::default() };
    let mut play = Play::failing(schedule);
    play.turn(0, "n", Passing, Critical);
    play.turn(130, "n", Critical, Passing);
    play.said(
        300,
        &[
            "0 sent n@0:critical",
            "60 sent n@0:critical #1",
            "120 sent n@0:critical #2",
            "130 sent n@130:passing #3",
        ],
    );
}

#[test]
fn what_comes_again_soon_goes_on() {
    let schedule = || Schedule { keep_firing_for: seconds(60), send_resolved: true, ..Schedule::default() };
    let mut play = Play::failing(schedule());
    play.turn(0, "n", Passing, Critical);
    play.turn(10, "n", Critical, Passing);
    play.turn(40, "n", Passing, Critical);
    play.turn(50, "n", Critical, Passing);
    play.said(
        300,
        &[
            "0 sent n@0:critical",
            "40 keep_firing_for n@10:passing",
            "40 keep_firing_for n@40:critical",
            "110 sent n@50:passing #1",
        ],
    );

    let mut play = Play::failing(schedule());
    play.turn(0, "n", Passing, Critical);
    play.turn(10, "n", Critical, Passing);
    play.turn(40, "n", Passing, Warning);
    play.said(300, &["0 sent n@0:critical", "40 keep_firing_for n@10:passing", "40 sent n@40:warning #1"]);
}

#[test]
fn a_group_is_sent_as_one_and_then_what_is_new() {
    let by = vec![Attribute::Service];
    let group = Some(Grouping { by, wait: seconds(10), interval: seconds(60) });
    let mut play = Play::failing(Schedule { group, ..Schedule::default() });
    play.events(0, &[turn("a", Passing, Critical, 0), turn("b", Passing, Critical, 0)]);
    play.turn(5, "c", Passing, Critical);
    play.turn(6, "b", Critical, Passing);
    play.turn(20, "d", Passing, Critical);
    play.turn(30, "a", Critical, Passing);
    play.said(
        300,
        &[
            "6 grouped b@0:critical",
            "10 sent a@0:critical+c@5:critical {service=web}",
            "70 sent d@20:critical {service=web} #1",
        ],
    );
}

#[test]
fn a_group_waits_for_the_next_one_where_the_first_is_over() {
    let group = Some(Grouping { by: vec![Attribute::Service], wait: seconds(30), interval: seconds(300) });
    let mut play = Play::failing(Schedule { group, hold: seconds(60), ..Schedule::default() });
    play.turn(0, "b", Passing, Critical);
    play.turn(65, "c", Passing, Critical);
    play.turn(66, "d", Passing, Critical);
    play.turn(70, "b", Critical, Passing);
    play.said(400, &["70 grouped b@0:critical", "155 sent c@65:critical+d@66:critical {service=web}"]);
}

#[test]
fn what_is_told_again_neither_holds_up_news_nor_is_put_off_by_it() {
    let group = |interval| Some(Grouping { by: Vec::new(), wait: seconds(30), interval: seconds(interval) });
    let schedule = |interval, repeat| Schedule {
        group: group(interval),
        repeat_interval: Some(seconds(repeat)),
        ..Schedule::default()
    };
    // Oftener than the group may be sent with news.
    let mut play = Play::failing(schedule(300, 60));
    play.turn(0, "a", Passing, Critical);
    play.turn(45, "b", Passing, Critical);
    play.said(
        400,
        &[
            "30 sent a@0:critical {}",
            "90 sent a@0:critical {} #1",
            "150 sent a@0:critical {} #2",
            "210 sent a@0:critical {} #3",
            "270 sent a@0:critical {} #4",
            "330 sent a@0:critical+b@45:critical {} #5",
            "390 sent a@0:critical+b@45:critical {} #6",
        ],
    );
    // News comes oftener than the repeats.
    let mut play = Play::failing(schedule(30, 100));
    play.turn(0, "a", Passing, Critical);
    play.turn(80, "b", Passing, Critical);
    play.turn(160, "c", Passing, Critical);
    play.said(
        260,
        &[
            "30 sent a@0:critical {}",
            "80 sent b@80:critical {} #1",
            "130 sent a@0:critical+b@80:critical {} #2",
            "160 sent c@160:critical {} #3",
            "230 sent a@0:critical+b@80:critical+c@160:critical {} #4",
        ],
    );
}

#[test]
fn what_is_repeated_leaves_out_what_is_silenced_and_does_not_hurry_for_it() {
    let schedule = Schedule {
        group: Some(Grouping { by: Vec::new(), wait: seconds(0), interval: seconds(10) }),
        repeat_interval: Some(seconds(100)),
        ..Schedule::default()
    };
    let mut play = Play::failing(schedule);
    play.turn(0, "a", Passing, Critical);
    play.turn(20, "b", Passing, Critical);
    let matchers = vec![super::matcher("node", super::words(&["b"]))];
    play.alerts.silence(vec![Silence { matchers, ..silence(250, false) }]);
    play.turn(130, "a", Critical, Warning);
    play.said(
        300,
        &[
            "0 sent a@0:critical {}",
            "20 sent b@20:critical {} #1",
            "100 sent a@0:critical {} #2",
            "130 sent a@130:warning {} #3",
            "230 sent a@130:warning {} #4",
            "250 sent b@20:critical+a@130:warning {} #5",
        ],
    );
}

#[test]
fn what_counts_as_going_on_is_repeated_and_its_end_is_withheld_if_it_comes_again() {
    let schedule = Schedule {
        keep_firing_for: seconds(300),
        repeat_interval: Some(seconds(100)),
        ..Schedule::default()
    };
    let mut play = Play::all(schedule);
    play.turn(0, "n", Passing, Critical);
    play.turn(50, "n", Critical, Passing);
    play.turn(250, "n", Passing, Critical);
    play.turn(260, "n", Critical, Passing);
    play.turn(270, "n", Passing, Warning);
    play.said(
        350,
        &[
            "0 sent n@0:critical",
            "100 sent n@0:critical #1",
            "200 sent n@0:critical #2",
            "250 keep_firing_for n@50:passing",
            "250 keep_firing_for n@250:critical",
            "270 keep_firing_for n@260:passing",
            "270 sent n@270:warning #3",
        ],
    );
}

#[test]
fn an_empty_group_still_rests() {
    let group = Some(Grouping { by: vec![Attribute::Node], wait: seconds(30), interval: seconds(300) });
    for restarts in [false, true] {
        let mut play = Play::failing(Schedule { group: group.clone(), ..Schedule::default() });
        play.turn(0, "n", Passing, Critical);
        play.turn(40, "n", Critical, Passing);
        if restarts {
            play.restart();
        }
        play.turn(50, "n", Passing, Critical);
        play.turn(340, "n", Critical, Passing);
        play.until(640);
        assert!(play.rows.is_empty(), "{:?}", play.rows);
        play.turn(700, "n", Passing, Critical);
        play.said(
            800,
            &[
                "30 sent n@0:critical {node=n}",
                "330 sent n@50:critical {node=n} #1",
                "730 sent n@700:critical {node=n}",
            ],
        );
    }
}

#[test]
fn another_grouping_goes_on_with_what_was_sent() {
    let schedule = |by: Option<Attribute>| Schedule {
        group: by.map(|by| Grouping { by: vec![by], wait: seconds(0), interval: seconds(10) }),
        repeat_interval: Some(seconds(100)),
        ..Schedule::default()
    };
    for (before, after) in [
        (None, Some(Attribute::Node)),
        (Some(Attribute::Node), Some(Attribute::Service)),
        (Some(Attribute::Node), None),
    ] {
        let mut play = Play::failing(schedule(before));
        play.turn(0, "n", Passing, Critical);
        play.until(150);
        play.rules = Play::failing(schedule(after)).rules;
        play.restart();
        play.until(310);
        let said: Vec<_> = play.said.iter().map(|said| said.split(" {").next().unwrap()).collect();
        let nth: Vec<_> = play.said.iter().map(|said| said.rsplit(' ').next().unwrap()).collect();
        assert_eq!(said.len(), 4, "{said:?}");
        assert!(said[2].starts_with("200 sent") && said[3].starts_with("300 sent"), "{said:?}");
        assert_eq!(nth[2..], ["#2", "#3"]);
    }
}

#[test]
fn what_waits_when_the_thing_goes_is_told_to_be_withheld() {
    let group = Some(Grouping { by: Vec::new(), wait: seconds(30), interval: seconds(300) });
    let schedule = Schedule { group, ..Schedule::default() };
    let on = vec![EventType::CheckStatus, EventType::CheckDeregistered];
    let mut play = Play::new(vec![Rule { on, ..all(schedule) }]);
    let gone =
        Event { id: "gone".into(), kind: EventType::CheckDeregistered, ..turn("a", Critical, Critical, 0) };
    play.turn(0, "a", Passing, Critical);
    play.events(2, &[gone]);
    play.said(100, &["2 grouped a@0:critical", "30 sent gone {}"]);
}

#[test]
fn a_result_ends_what_the_check_said_before() {
    let says = |id: &str, kind, output: &str| {
        let mut event = Event { id: id.into(), kind, ..turn("n", Critical, Passing, 0) };
        if let About::Check(check) = &mut event.data.about {
            check.output = output.into();
        }
        event
    };
    let matches = vec![super::matcher("output", Pattern::regex("ERR.*").unwrap())];
    let rule = Rule {
        on: vec![EventType::CheckOutput],
        matches,
        ..all(Schedule { hold: seconds(30), ..Schedule::default() })
    };
    for (output, want) in [("fine", "10 held err"), ("ERR still", "30 sent err")] {
        let mut play = Play::new(vec![rule.clone()]);
        play.events(0, &[says("err", EventType::CheckOutput, "ERR disk")]);
        play.events(10, &[says("turn", EventType::CheckStatus, output)]);
        play.said(100, &[want]);
    }
}

#[test]
fn it_keeps_firing_from_when_it_was_over_first() {
    let mut play = Play::new(vec![Rule {
        matches: vec![super::matcher("to", super::words(&["critical"]))],
        ..all(Schedule { keep_firing_for: seconds(100), send_resolved: true, ..Schedule::default() })
    }]);
    play.turn(0, "n", Passing, Critical);
    play.turn(10, "n", Critical, Warning);
    play.turn(50, "n", Warning, Passing);
    play.said(200, &["0 sent n@0:critical", "50 keep_firing_for n@10:warning", "110 sent n@50:passing #1"]);
}

#[test]
fn what_two_watches_tell_happened_once() {
    let other = Query { watch: "checks/state/any".into(), name: "checks/state/any".into() };
    let happened = |schedule: Schedule, twice: bool| {
        let mut play = Play::failing(schedule);
        for (second, from, to) in [
            (0, Passing, Critical),
            (10, Critical, Passing),
            (20, Passing, Critical),
            (30, Critical, Passing),
        ] {
            let event = turn("n", from, to, second);
            play.events(second, std::slice::from_ref(&event));
            if twice {
                play.until(second + 1);
                let policy = Policy { rules: &play.rules, inhibit_rules: &play.inhibit_rules };
                let decisions = play.alerts.take(policy, &[event], &other, at(second + 1));
                assert_eq!(decisions, []);
            }
        }
        play.until(500);
        play.said
    };
    for schedule in [
        Schedule { keep_firing_for: seconds(60), send_resolved: true, ..Schedule::default() },
        Schedule { occurrences: Some(Occurrences { count: 2, within: seconds(60) }), ..Schedule::default() },
        Schedule { hold: seconds(5), repeat_interval: Some(seconds(60)), ..Schedule::default() },
    ] {
        assert_eq!(happened(schedule.clone(), true), happened(schedule, false));
    }
}

#[test]
fn it_must_happen_often_enough() {
    let occurrences = Some(Occurrences { count: 3, within: seconds(60) });
    let mut play = Play::failing(Schedule { occurrences, ..Schedule::default() });
    for (second, from, to) in [
        (0, Passing, Critical),
        (10, Critical, Passing),
        (20, Passing, Critical),
        (30, Critical, Passing),
        (70, Passing, Critical),
        (75, Critical, Passing),
        (79, Passing, Critical),
        (90, Critical, Passing),
        (95, Passing, Critical),
    ] {
        play.turn(second, "n", from, to);
    }
    play.said(
        300,
        &[
            "0 occurrences n@0:critical",
            "20 occurrences n@20:critical",
            "70 occurrences n@70:critical",
            "79 sent n@79:critical",
            "95 occurrences n@95:critical",
        ],
    );
}

/// A time interval that holds in the minutes from one to another one.
fn minutes(from: i16, to: i16) -> Vec<Hours> {
    let zone = jiff::tz::TimeZone::UTC;
    let start = at(0).to_zoned(zone.clone());
    let start = i16::from(start.hour()) * 60 + i16::from(start.minute());
    let interval = TimeInterval {
        times: [(start + from, start + to)].map(|(from, to)| from..to).into(),
        ..TimeInterval::always(zone)
    };
    vec![Hours { name: "lunch".into(), intervals: std::sync::Arc::new([interval].into_iter().collect()) }]
}

#[test]
fn what_is_muted_is_sent_afterwards_if_it_is_still_so() {
    let schedule = || Schedule { mute: minutes(1, 5), ..Schedule::default() };
    let mut play = Play::all(schedule());
    play.turn(10, "a", Passing, Critical);
    play.turn(70, "a", Critical, Passing);
    play.turn(80, "b", Passing, Critical);
    play.turn(90, "b", Critical, Passing);
    play.said(
        1000,
        &[
            "10 sent a@10:critical",
            "90 muted b@80:critical",
            "90 muted b@90:passing",
            "300 sent a@70:passing",
        ],
    );
    let active = Schedule { active: minutes(1, 5), ..Schedule::default() };
    let mut play = Play::all(active);
    play.turn(10, "a", Passing, Critical);
    play.said(1000, &["60 sent a@10:critical"]);
}

#[test]
fn why_something_waited_does_not_depend_on_a_restart() {
    let group = Some(Grouping { by: Vec::new(), wait: seconds(50), interval: seconds(0) });
    for restarts in [false, true] {
        let mut play =
            Play::failing(Schedule { group: group.clone(), mute: minutes(0, 1), ..Schedule::default() });
        play.turn(30, "a", Passing, Critical);
        if restarts {
            play.restart();
            play.until(35);
        }
        play.turn(70, "a", Critical, Passing);
        play.said(300, &["70 grouped a@30:critical"]);
    }
}

fn silence(ends: u64, expire_on_resolve: bool) -> Silence {
    Silence {
        id: "51".into(),
        matchers: vec![super::matcher("service", super::words(&["web"]))],
        starts_at: at(0),
        ends_at: at(ends),
        created_by: "ann".into(),
        comment: "upgrade".into(),
        expire_on_resolve,
    }
}

#[test]
fn what_is_silenced_is_sent_when_the_silence_ends_if_it_is_still_so() {
    let mut play = Play::all(Schedule::default());
    play.alerts.silence(vec![silence(100, false)]);
    play.turn(10, "a", Passing, Critical);
    play.turn(20, "b", Passing, Critical);
    play.turn(50, "b", Critical, Passing);
    play.said(300, &["50 silenced b@20:critical", "50 silenced b@50:passing", "100 sent a@10:critical"]);

    // Not before all that it hides is over.
    let mut play = Play::all(Schedule::default());
    play.alerts.silence(vec![silence(100, true)]);
    play.turn(10, "a", Passing, Critical);
    play.turn(10, "b", Passing, Critical);
    play.turn(20, "a", Critical, Passing);
    assert_eq!(play.alerts.expired(), []);
    play.turn(30, "b", Critical, Passing);
    assert_eq!(play.alerts.expired(), [("51".to_owned(), at(30))]);

    // What tells that it is over is perhaps not what the silence is about.
    let mut play = Play::failing(Schedule::default());
    let mut failing = silence(100, true);
    failing.matchers = vec![super::matcher("to", super::words(&["critical"]))];
    play.alerts.silence(vec![failing]);
    play.turn(10, "a", Passing, Critical);
    play.turn(20, "a", Critical, Passing);
    assert_eq!(play.alerts.expired(), [("51".to_owned(), at(20))]);

    let mut play = Play::all(Schedule::default());
    play.alerts.silence(vec![silence(100, true)]);
    play.turn(10, "a", Passing, Critical);
    play.turn(20, "a", Critical, Passing);
    assert_eq!(play.alerts.expired(), [("51".to_owned(), at(20))]);
    play.turn(30, "a", Passing, Critical);
    play.said(300, &["20 silenced a@10:critical", "20 silenced a@20:passing", "30 sent a@30:critical"]);
}

#[test]
fn a_dead_node_hides_the_checks_of_its_services_until_it_is_back() {
    let mut play = Play::all(Schedule::default());
    let mut serf = turn("a", Critical, Critical, 0);
    let About::Check(check) = &mut serf.data.about else { unreachable!() };
    check.check_id = "serfHealth".into();
    let policy = Policy { rules: &play.rules, inhibit_rules: &play.inhibit_rules };
    play.alerts.observe(policy, "a/serfHealth", Some(&serf));
    play.turn(10, "a", Passing, Critical);
    play.turn(10, "b", Passing, Critical);
    play.until(50);
    let policy = Policy { rules: &play.rules, inhibit_rules: &play.inhibit_rules };
    play.alerts.observe(policy, "a/serfHealth", None);
    play.said(60, &["10 sent b@10:critical", "50 sent a@10:critical"]);
}

#[test]
fn a_check_that_goes_to_and_fro_is_quiet_until_it_rests() {
    let mut play = Play::all(Schedule::default());
    let mut flapping = turn("a", Passing, Critical, 0);
    let About::Check(check) = &mut flapping.data.about else { unreachable!() };
    check.flapping = true;
    let policy = Policy { rules: &play.rules, inhibit_rules: &play.inhibit_rules };
    play.alerts.observe(policy, "a/service:web", Some(&flapping));
    play.turn(10, "a", Passing, Critical);
    play.turn(20, "a", Critical, Passing);
    play.turn(30, "a", Passing, Critical);
    let policy = Policy { rules: &play.rules, inhibit_rules: &play.inhibit_rules };
    play.alerts.observe(policy, "a/service:web", None);
    play.said(60, &["20 flapping a@10:critical", "20 flapping a@20:passing", "30 sent a@30:critical"]);
}

#[test]
fn what_is_over_at_once_is_each_sent_however_long_it_waits() {
    let fired =
        |id: &str| Event { id: id.into(), kind: EventType::EventFired, ..turn("a", Passing, Critical, 0) };
    let on = vec![EventType::EventFired];
    let mut play =
        Play::new(vec![Rule { on, ..all(Schedule { mute: minutes(0, 1), ..Schedule::default() }) }]);
    play.events(1, &[fired("e1")]);
    play.events(2, &[fired("e2")]);
    play.said(100, &["60 sent e1", "60 sent e2"]);
}

#[test]
fn what_a_final_rule_takes_does_not_end_what_the_rules_after_it_remember() {
    let to = |word: &str| vec![super::matcher("to", super::words(&[word]))];
    let last =
        Rule { name: "page".into(), is_final: true, matches: to("critical"), ..all(Schedule::default()) };
    let schedule = Schedule { send_resolved: true, ..Schedule::default() };
    let unless = to("passing");
    let mut play = Play::new(vec![last, Rule { unless, ..all(schedule) }]);
    play.turn(0, "n", Passing, Warning);
    play.turn(10, "n", Warning, Critical);
    play.turn(20, "n", Critical, Passing);
    play.said(100, &["0 sent n@0:warning", "10 sent n@10:critical", "20 sent n@20:passing #1"]);
}

#[test]
fn what_another_watch_tells_ends_nothing_of_a_rule_that_does_not_hear_it() {
    let watches = vec!["checks/node".to_owned()];
    let matches = vec![super::matcher("to", super::words(&["critical"]))];
    let rule = Rule { watches, matches, ..all(Schedule { hold: seconds(30), ..Schedule::default() }) };
    let mut play = Play::new(vec![rule]);
    play.turn(0, "n", Passing, Critical);
    let other = Query { watch: "checks/state/any".into(), name: "checks/state/any".into() };
    for event in [
        turn("n", Critical, Passing, 10),
        Event { id: "gone".into(), kind: EventType::CheckDeregistered, ..turn("n", Critical, Critical, 11) },
    ] {
        let policy = Policy { rules: &play.rules, inhibit_rules: &[] };
        assert_eq!(play.alerts.take(policy, &[event], &other, at(11)), []);
    }
    play.said(100, &["30 sent n@0:critical"]);
}

#[test]
fn what_is_gone_is_over() {
    let mut play = Play::failing(Schedule { hold: seconds(30), send_resolved: true, ..Schedule::default() });
    let gone = |id: &str| Event {
        id: id.into(),
        kind: EventType::CheckDeregistered,
        ..turn("a", Critical, Critical, 0)
    };
    play.turn(0, "a", Passing, Critical);
    play.events(10, &[gone("gone1")]);
    play.turn(20, "a", Passing, Critical);
    play.events(60, &[gone("gone2")]);
    play.said(100, &["10 held a@0:critical", "50 sent a@20:critical", "60 sent gone2 #1"]);
    assert!(Play::all(Schedule::default()).rows.is_empty());
}

#[test]
fn what_a_rule_that_is_gone_waited_with_is_told_and_forgotten() {
    let mut play = Play::failing(Schedule { hold: seconds(30), ..Schedule::default() });
    play.turn(0, "n", Passing, Critical);
    let rows = play.rows.iter().map(|((rule, key), state)| (rule.clone(), key.clone(), state.clone()));
    let rows: Vec<_> = rows.collect();
    let renamed: Rules = vec![Rule { name: "other".into(), ..all(Schedule::default()) }].into();
    let disabled: Rules = vec![Rule { enabled: false, ..all(Schedule::default()) }].into();
    for rules in [renamed, disabled] {
        let policy = Policy { rules: &rules, inhibit_rules: &[] };
        let watches = ["checks/node".to_owned()].into();
        let (mut alerts, unused) = Alerts::load(policy, &watches, rows.clone()).unwrap();
        assert_eq!(unused, [("r".to_owned(), "status check n/service:web".to_owned())]);
        let gone = alerts.changes(policy);
        assert!(gone.iter().all(|row| row.rule == "r" && row.state.is_none()) && gone.len() == rows.len());
        assert_eq!(alerts.due(), None);
    }
}

#[test]
fn rows_that_are_damaged_are_told() {
    let rules: Rules = vec![all(Schedule::default())].into();
    let policy = Policy { rules: &rules, inhibit_rules: &[] };
    for (key, state) in
        [("alert status check a/b", "{"), ("alert", "{}"), ("group {}", "[]x"), ("alert no x", "{}")]
    {
        let rows = [("r".to_owned(), key.to_owned(), state.to_owned())];
        let error = Alerts::load(policy, &["w".to_owned()].into(), rows).unwrap_err();
        assert_eq!(error.to_string(), format!("read what the rule \"r\" keeps as {key:?}"));
    }
}

fn schedules() -> impl Strategy<Value = Schedule> {
    let group = proptest::option::of((0..3_usize, 0..30_u64, 0..60_u64));
    let occurrences = proptest::option::of((2..4_usize, 20..90_u64));
    (0..40_u64, 0..40_u64, group, proptest::option::of(15..90_u64), any::<bool>(), occurrences, any::<bool>())
        .prop_map(|(hold, keep, group, repeat, send_resolved, occurrences, muted)| Schedule {
            hold: seconds(hold / 10 * 10),
            keep_firing_for: seconds(keep / 10 * 10),
            group: group.map(|(by, wait, interval)| Grouping {
                by: [Attribute::Node, Attribute::To][..by].to_vec(),
                wait: seconds(wait),
                interval: seconds(interval),
            }),
            repeat_interval: repeat.map(seconds),
            send_resolved,
            occurrences: occurrences.map(|(count, within)| Occurrences { count, within: seconds(within) }),
            mute: if muted { minutes(1, 2) } else { Vec::new() },
            active: Vec::new(),
        })
}

/// Checks of three nodes that turn, each some time after the one before: nodes, results, pauses, and whether it is killed
/// afterwards.
fn histories() -> impl Strategy<Value = Vec<(usize, usize, u64, bool)>> {
    proptest::collection::vec((0..3_usize, 0..3_usize, 0..25_u64, any::<bool>()), 1..25)
}

fn played(rules: &[Rule], history: &[(usize, usize, u64, bool)], kills: bool) -> Vec<String> {
    let mut play = Play::new(rules.to_vec());
    let (mut second, mut results) = (0, [Passing; 3]);
    for (number, &(node, to, pause, kill)) in history.iter().enumerate() {
        second += pause;
        let to = CheckStatus::ALL[to];
        let from = std::mem::replace(&mut results[node], to);
        if from != to {
            let mut event = turn(["a", "b", "c"][node], from, to, second);
            // Consul's indexes go up with each write, and so no id comes again.
            event.id = format!("{} {number}", event.id);
            play.events(second, &[event]);
        }
        if kills && kill {
            play.restart();
        }
    }
    play.until(second + 400);
    play.said
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    /// A kill at any moment loses no timer and fires none twice.
    #[test]
    fn who_is_killed_and_starts_again_decides_the_same(
        schedules in proptest::collection::vec(schedules(), 1..3),
        history in histories(),
    ) {
        let failing = vec![super::matcher("to", super::words(&["critical", "warning"]))];
        let rules: Vec<_> = schedules.into_iter().enumerate().map(|(at, schedule)| Rule {
            name: format!("r{at}"),
            matches: if at == 0 { failing.clone() } else { Vec::new() },
            ..all(schedule)
        }).collect();
        prop_assert_eq!(played(&rules, &history, true), played(&rules, &history, false));
    }

    /// With nothing that delays, each event is sent once, in its order.
    #[test]
    fn a_plain_rule_sends_all_and_remembers_nothing(history in histories()) {
        let mut play = Play::all(Schedule::default());
        let (mut second, mut last) = (0, Passing);
        let mut want = Vec::new();
        for (_, to, pause, _) in history {
            second += pause + 1;
            let to = CheckStatus::ALL[to];
            if to != last {
                play.turn(second, "n", last, to);
                want.push(format!("{second} sent n@{second}:{to}"));
                last = to;
            }
        }
        prop_assert!(play.rows.is_empty());
        prop_assert_eq!(play.said, want);
    }
}
