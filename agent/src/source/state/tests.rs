//! Scripts: what is heard, what is passed on, what is asked next.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::*;
use crate::catalog::{Check, CheckStatus};
use crate::consul::Consistency;

const WAIT: Duration = Duration::from_mins(1);

/// One thing heard, and how long it took.
struct Say {
    heard: Heard,
    took: Duration,
}

impl Say {
    /// It came only when the wait had run out.
    fn late(self) -> Self {
        Self { took: WAIT, ..self }
    }

    fn edit(mut self, edit: impl FnOnce(&mut Answer<Vec<Entry>>)) -> Self {
        if let Heard::Entries(answer, _) = &mut self.heard {
            edit(answer);
        }
        self
    }

    /// It shows other names than the last one.
    fn of_others(mut self) -> Self {
        if let Heard::Entries(_, other_names) = &mut self.heard {
            *other_names = true;
        }
        self
    }

    fn leaderless(self) -> Self {
        self.edit(|answer| answer.known_leader = Some(false))
    }

    fn filtered(self) -> Self {
        self.edit(|answer| answer.filtered_by_acls = true)
    }

    fn too_old(self) -> Self {
        self.edit(|answer| answer.too_old = true)
    }
}

fn node(name: &str) -> Say {
    let node = LocalNode { name: name.into(), datacenter: "dc1".into(), meta: BTreeMap::new() };
    Say { heard: Heard::Node(node), took: Duration::ZERO }
}

fn failed() -> Say {
    Say { heard: Heard::Failed { reason: "refused".into() }, took: Duration::ZERO }
}

/// An answer with this index and a check for each `id@modify_index`.
fn checks(index: u64, checks: &str) -> Say {
    let value = checks.split_whitespace().map(|word| Entry::Check(check_of(word).into())).collect();
    let answer = Answer {
        value,
        index: WaitIndex::new(index),
        known_leader: Some(true),
        filtered_by_acls: false,
        too_old: false,
    };
    Say { heard: Heard::Entries(answer, false), took: Duration::ZERO }
}

fn check_of(text: &str) -> Check {
    let (id, modify_index) = text.split_once('@').unwrap();
    Check {
        node: "n1".into(),
        check_id: id.into(),
        name: id.into(),
        kind: String::new(),
        status: CheckStatus::Passing,
        notes: String::new(),
        output: String::new(),
        service_id: String::new(),
        service: String::new(),
        service_tags: Vec::new(),
        create_index: 1,
        modify_index: modify_index.parse().unwrap(),
    }
}

fn show_update(update: &Update) -> String {
    match update {
        Update::Node(node) => format!("node {}", node.name),
        Update::Entries { entries, index, reset } => {
            let word = if *reset { "reset" } else { "checks" };
            let ids: Vec<_> = entries
                .iter()
                .filter_map(Entry::check)
                .map(|check| format!("{}@{}", check.check_id, check.modify_index))
                .collect();
            format!("{word} {index} [{}]", ids.join(" "))
        }
        Update::Lost { reason } => format!("lost: {}", reason.split(',').next().unwrap_or_default()),
        Update::Suspect { reason } => format!("suspect: {}", reason.split(':').next().unwrap_or_default()),
        Update::Recovered => "recovered".into(),
    }
}

fn show_next(next: &Next<'_>, now: Instant) -> String {
    let ask = match next.ask {
        Ask::Node => "self".into(),
        Ask::Entries { query: Query { consistent: true, index: None, .. }, node } => format!("{node} leader"),
        Ask::Entries { query: Query { index: None, .. }, node } => format!("{node} all"),
        Ask::Entries { query: Query { index: Some(index), wait, consistent }, node } => {
            assert!(!consistent);
            let short = if wait == WAIT { String::new() } else { format!(" for {wait:?}") };
            format!("{node} wait {index}{short}")
        }
    };
    match next.not_before {
        None => ask,
        Some(at) => format!("{ask} in {} ms", at.duration_since(now).as_millis()),
    }
}

/// Each step: what is heard, the updates it gives, the next query.
#[track_caller]
fn check(committed: Option<u64>, script: impl IntoIterator<Item = (Say, &'static str, &'static str)>) {
    check_watch(&What::NodeChecks.into(), committed, script);
}

#[track_caller]
fn check_watch(
    watch: &Watch,
    committed: Option<u64>,
    script: impl IntoIterator<Item = (Say, &'static str, &'static str)>,
) {
    let mut state = State::new(watch.clone(), WAIT, committed.map(WaitIndex::new));
    let mut now = Instant::now();
    for (number, (say, updates, next)) in script.into_iter().enumerate() {
        let asked = state.next().not_before.unwrap_or(now);
        now = asked + say.took;
        let found: Vec<_> =
            state.step(say.heard, Moment { asked, now, jitter: u16::MAX }).iter().map(show_update).collect();
        assert_eq!(
            (found.join(", ").as_str(), show_next(&state.next(), now).as_str()),
            (updates, next),
            "step {number}"
        );
    }
}

#[test]
fn the_node_is_asked_for_first_and_then_everything_without_an_index() {
    assert_eq!(
        State::new(What::NodeChecks.into(), WAIT, Some(WaitIndex::new(7))).next(),
        Next { not_before: None, ask: Ask::Node }
    );
    check(
        None,
        [
            (node("n1"), "node n1", "n1 all"),
            (checks(7, "a@5 b@7"), "checks 7 [a@5 b@7]", "n1 wait 7"),
            (checks(9, "a@9 b@7"), "checks 9 [a@9 b@7]", "n1 wait 9"),
        ],
    );
}

#[test]
fn an_equal_index_is_no_update() {
    check(
        None,
        [
            (node("n1"), "node n1", "n1 all"),
            (checks(7, "a@7"), "checks 7 [a@7]", "n1 wait 7"),
            (checks(7, "a@7").late(), "", "n1 wait 7"),
            (checks(8, "a@8"), "checks 8 [a@8]", "n1 wait 8"),
        ],
    );
}

#[test]
fn an_index_of_zero_is_raised_to_one() {
    check(None, [(node("n1"), "node n1", "n1 all"), (checks(0, "a@1"), "checks 1 [a@1]", "n1 wait 1")]);
}

#[test]
fn a_lower_index_is_confirmed_without_an_index_and_is_a_reset() {
    check(
        None,
        [
            (node("n1"), "node n1", "n1 all"),
            (checks(56, "a@50 b@56"), "checks 56 [a@50 b@56]", "n1 wait 56"),
            (checks(11, "a@11"), "suspect: Consul's index went back from 56 to 11", "n1 leader"),
            (checks(12, "a@12"), "reset 12 [a@12]", "n1 wait 12"),
            (checks(13, "a@13"), "checks 13 [a@13]", "n1 wait 13"),
        ],
    );
}

#[test]
fn a_lower_index_that_the_leader_denies_is_no_reset() {
    check(
        None,
        [
            (node("n1"), "node n1", "n1 all"),
            (checks(56, "a@56"), "checks 56 [a@56]", "n1 wait 56"),
            (checks(11, "a@11"), "suspect: Consul's index went back from 56 to 11", "n1 leader"),
            (checks(56, "a@56"), "", "n1 wait 56"),
            // Told once, until a plain answer.
            (checks(11, "a@11"), "", "n1 leader"),
            (checks(57, "a@57"), "checks 57 [a@57]", "n1 wait 57"),
            (checks(58, "a@58"), "checks 58 [a@58]", "n1 wait 58"),
            (checks(11, "a@11"), "suspect: Consul's index went back from 58 to 11", "n1 leader"),
        ],
    );
}

#[test]
fn a_committed_index_tells_a_reset_across_a_restart_and_is_not_waited_from() {
    check(
        Some(56),
        [
            (node("n1"), "node n1", "n1 all"),
            (checks(11, "a@11"), "suspect: Consul's index went back from 56 to 11", "n1 leader"),
            (checks(11, "a@11"), "reset 11 [a@11]", "n1 wait 11"),
        ],
    );
    check(
        Some(56),
        [(node("n1"), "node n1", "n1 all"), (checks(56, "a@7"), "checks 56 [a@7]", "n1 wait 56")],
    );
    check(
        Some(56),
        [(node("n1"), "node n1", "n1 all"), (checks(60, "a@7"), "checks 60 [a@7]", "n1 wait 60")],
    );
}

#[test]
fn errors_are_told_once_and_back_off() {
    check(
        None,
        [
            (failed(), "lost: refused", "self in 500 ms"),
            (failed(), "", "self in 1000 ms"),
            (failed(), "", "self in 2000 ms"),
            (node("n1"), "node n1", "n1 all"),
            (failed(), "", "self in 4000 ms"),
            (node("n1"), "", "n1 all"),
            (checks(7, "a@7"), "recovered, checks 7 [a@7]", "n1 wait 7"),
            (checks(8, "a@8"), "checks 8 [a@8]", "n1 wait 8"),
            (failed(), "lost: refused", "self in 500 ms"),
        ],
    );
}

#[test]
fn where_only_the_queries_that_wait_fail_the_pauses_grow_all_the_same() {
    check(
        None,
        [
            (node("n1"), "node n1", "n1 all"),
            (checks(7, "a@7"), "checks 7 [a@7]", "n1 wait 7"),
            (failed(), "lost: refused", "self in 500 ms"),
            (node("n1"), "", "n1 all"),
            (checks(7, "a@7"), "recovered", "n1 wait 7"),
            (failed(), "lost: refused", "self in 1000 ms"),
            (node("n1"), "", "n1 all"),
            (checks(7, "a@7"), "recovered", "n1 wait 7"),
            (failed(), "lost: refused", "self in 2000 ms"),
        ],
    );
}

#[test]
fn after_an_error_nothing_is_waited_for_until_the_index_is_compared() {
    let start = || {
        [
            (node("n1"), "node n1", "n1 all"),
            (checks(56, "a@56"), "checks 56 [a@56]", "n1 wait 56"),
            (failed(), "lost: refused", "self in 500 ms"),
            (node("n1"), "", "n1 all"),
        ]
    };
    // Nothing happened.
    check(None, start().into_iter().chain([(checks(56, "a@56"), "recovered", "n1 wait 56")]));
    // Something happened.
    check(
        None,
        start().into_iter().chain([(checks(58, "a@58"), "recovered, checks 58 [a@58]", "n1 wait 58")]),
    );
    // Consul has lost its memory.
    check(
        None,
        start().into_iter().chain([
            (checks(11, "a@11"), "suspect: Consul's index went back from 56 to 11", "n1 leader"),
            (checks(11, "a@11"), "recovered, reset 11 [a@11]", "n1 wait 11"),
        ]),
    );
    // Consul has lost its memory, and happens to be at the same index again.
    check(
        None,
        start().into_iter().chain([
            (
                checks(56, "a@11"),
                "suspect: Consul shows something else than before at the same index 56",
                "n1 leader",
            ),
            (checks(56, "a@11"), "recovered, reset 56 [a@11]", "n1 wait 56"),
        ]),
    );
}

#[test]
fn suddenly_no_checks_are_a_loss_unless_the_leader_has_some() {
    let start = || {
        [
            (node("n1"), "node n1", "n1 all"),
            (checks(7, "a@7"), "checks 7 [a@7]", "n1 wait 7"),
            (checks(8, ""), "", "n1 leader"),
        ]
    };
    let no_checks = "lost: Consul shows no check of the node n1";
    check(
        None,
        start().into_iter().chain([
            (checks(8, ""), no_checks, "self in 500 ms"),
            (node("n1"), "", "n1 all"),
            (checks(8, ""), "", "n1 leader"),
            (checks(8, ""), "", "self in 1000 ms"),
            (node("n1"), "", "n1 all"),
            (checks(9, "a@7"), "recovered, checks 9 [a@7]", "n1 wait 9"),
        ]),
    );
    check(None, start().into_iter().chain([(checks(9, "a@7"), "checks 9 [a@7]", "n1 wait 9")]));
    check(
        None,
        start().into_iter().chain([
            (failed(), "lost: refused", "self in 500 ms"),
            (node("n1"), "", "n1 all"),
            (checks(8, ""), "", "n1 leader"),
            (failed(), "", "self in 1000 ms"),
        ]),
    );
}

#[test]
fn no_checks_at_the_start_are_a_loss_too() {
    check(
        None,
        [
            (node("n1"), "node n1", "n1 all"),
            (checks(7, ""), "", "n1 leader"),
            (checks(7, ""), "lost: Consul shows no check of the node n1", "self in 500 ms"),
            (node("n1"), "", "n1 all"),
            (checks(8, "a@8"), "recovered, checks 8 [a@8]", "n1 wait 8"),
        ],
    );
}

#[test]
fn an_answer_without_a_leader_is_confirmed() {
    check(
        None,
        [
            (node("n1"), "node n1", "n1 all"),
            (checks(7, "a@7").leaderless(), "suspect: the server that answered knows no leader", "n1 leader"),
            (checks(9, "a@9"), "checks 9 [a@9]", "n1 wait 9"),
            (checks(10, "a@10"), "checks 10 [a@10]", "n1 wait 10"),
            (
                checks(11, "a@11").too_old(),
                "suspect: the server that answered has not heard of its leader for longer than `max_stale`",
                "n1 leader",
            ),
            (failed(), "lost: refused", "self in 500 ms"),
        ],
    );
}

const FEWER: &str = "suspect: fewer things are shown than before, and the token hides some";

#[test]
fn most_of_the_checks_gone_at_once_is_told_and_confirmed() {
    check(
        None,
        [
            (node("n1"), "node n1", "n1 all"),
            (checks(7, "a@5 b@6 c@7"), "checks 7 [a@5 b@6 c@7]", "n1 wait 7"),
            (checks(8, ""), "suspect: 0 things are shown, and there were 3 before", "n1 leader"),
            (checks(9, "a@5 b@6 c@9"), "checks 9 [a@5 b@6 c@9]", "n1 wait 9"),
        ],
    );
}

#[test]
fn who_may_be_behind_is_compared_with_the_leader_when_a_query_comes_back_empty_handed() {
    let stale = Watch { consistency: Consistency::Stale { max: None }, ..What::NodeChecks.into() };
    for watch in [stale, Watch { cached: true, ..What::NodeChecks.into() }] {
        check_watch(
            &watch,
            None,
            [
                (node("n1"), "node n1", "n1 all"),
                (checks(57, "a@57"), "checks 57 [a@57]", "n1 wait 57"),
                (checks(57, "a@57").late(), "", "n1 leader"),
                // The follower knew nothing of a restored leader.
                (checks(11, "a@11"), "reset 11 [a@11]", "n1 wait 11"),
                (checks(11, "a@11"), "", "n1 wait 11"),
                (checks(11, "a@11").late(), "", "n1 leader"),
                (checks(11, "a@11"), "", "n1 wait 11"),
                (checks(12, "a@12").late(), "checks 12 [a@12]", "n1 wait 12"),
            ],
        );
    }
}

#[test]
fn fewer_checks_under_a_filter_are_confirmed_and_as_many_are_not() {
    check(
        None,
        [
            (node("n1"), "node n1", "n1 all"),
            (checks(7, "a@5 b@7"), "checks 7 [a@5 b@7]", "n1 wait 7"),
            (checks(8, "a@8 b@7").filtered(), "checks 8 [a@8 b@7]", "n1 wait 8"),
            (checks(9, "a@8").filtered(), FEWER, "n1 leader"),
            (checks(9, "a@8").filtered(), "checks 9 [a@8]", "n1 wait 9"),
            (checks(10, "a@10").filtered(), "checks 10 [a@10]", "n1 wait 10"),
        ],
    );
}

#[test]
fn a_check_that_speaks_is_news_though_the_catalog_did_not_change() {
    let edit = |edit: fn(&mut Check)| {
        checks(7, "a@7").edit(|answer| {
            if let Entry::Check(check) = &mut answer.value[0] {
                let check = Arc::make_mut(check);
                check.status = CheckStatus::Critical;
                edit(check);
            }
        })
    };
    let silent = || edit(|_| {});
    let spoken = || edit(|check| check.output = "refused".into());
    check(
        None,
        [
            (node("n1"), "node n1", "n1 all"),
            (silent(), "checks 7 [a@7]", "n1 wait 7 for 5s"),
            (silent().late(), "", "n1 wait 7 for 5s"),
            (spoken().late(), "checks 7 [a@7]", "n1 wait 7"),
            (spoken().late(), "", "n1 wait 7"),
        ],
    );
}

#[test]
fn a_token_that_begins_to_hide_checks_is_a_loss() {
    let lost = "lost: the token hides some of the checks of this node";
    check(
        None,
        [
            (node("n1"), "node n1", "n1 all"),
            (checks(7, "a@5 b@7"), "checks 7 [a@5 b@7]", "n1 wait 7"),
            (checks(8, "a@5").filtered(), FEWER, "n1 leader"),
            (checks(8, "a@5").filtered(), lost, "self in 500 ms"),
            (node("n1"), "", "n1 all"),
            (checks(9, "a@5 b@7"), "recovered, checks 9 [a@5 b@7]", "n1 wait 9"),
        ],
    );
}

#[test]
fn fewer_checks_without_a_filter_are_believed() {
    check(
        None,
        [
            (node("n1"), "node n1", "n1 all"),
            (checks(7, "a@5 b@7"), "checks 7 [a@5 b@7]", "n1 wait 7"),
            (checks(8, "a@5"), "checks 8 [a@5]", "n1 wait 8"),
        ],
    );
}

#[test]
fn useless_early_answers_are_slowed_down_and_news_are_not() {
    check(
        None,
        [
            (node("n1"), "node n1", "n1 all"),
            (checks(7, "a@7"), "checks 7 [a@7]", "n1 wait 7"),
            (checks(8, "a@7"), "checks 8 [a@7]", "n1 wait 8"),
            (checks(8, "a@7"), "", "n1 wait 8"),
            (checks(9, "a@7"), "checks 9 [a@7]", "n1 wait 9 in 250 ms"),
            (checks(9, "a@7"), "", "n1 wait 9 in 250 ms"),
            (checks(10, "a@10"), "checks 10 [a@10]", "n1 wait 10"),
            (checks(11, "a@11"), "checks 11 [a@11]", "n1 wait 11"),
            (checks(11, "a@11").late(), "", "n1 wait 11"),
        ],
    );
}

#[test]
fn two_servers_that_disagree_do_not_make_a_busy_loop() {
    check(
        None,
        [
            (node("n1"), "node n1", "n1 all"),
            (checks(50, "a@50"), "checks 50 [a@50]", "n1 wait 50"),
            (checks(9, "a@9"), "suspect: Consul's index went back from 50 to 9", "n1 leader"),
            (checks(50, "a@50"), "", "n1 wait 50"),
            (checks(9, "a@9"), "", "n1 leader"),
            (checks(50, "a@50"), "", "n1 wait 50"),
            (checks(9, "a@9"), "", "n1 leader"),
            (checks(50, "a@50"), "", "n1 wait 50 in 250 ms"),
        ],
    );
}

#[test]
fn a_node_that_changed_is_told_and_nothing_is_concluded_from_its_old_checks() {
    check(
        None,
        [
            (node("n1"), "node n1", "n1 all"),
            (checks(7, "a@7"), "checks 7 [a@7]", "n1 wait 7"),
            (failed(), "lost: refused", "self in 500 ms"),
            (node("n2"), "node n2", "n2 all"),
            (checks(7, "b@3"), "recovered, checks 7 [b@3]", "n2 wait 7"),
        ],
    );
}

#[test]
fn a_token_that_may_read_more_shows_more_at_the_same_index_and_no_history_began_anew() {
    check(
        None,
        [
            (node("n1"), "node n1", "n1 all"),
            (checks(7, "a@7"), "checks 7 [a@7]", "n1 wait 7"),
            (checks(7, "a@7 b@6").of_others().late(), "checks 7 [a@7 b@6]", "n1 wait 7"),
        ],
    );
}
