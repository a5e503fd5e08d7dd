//! From a change of a check to the events that tell of it.
//!
//! Consul gives a check that has not run yet the status `critical` and no output (its default, see
//! the agent's documentation of checks). That is no result: it never counts as a failure, and the
//! result before it is carried across it, but not for ever: a check that stays silent for longer than a bound counts. A check that was registered anew shows it by its
//! `CreateIndex`. One whose agent restarted with its data does not, so there the kind of check
//! decides: those that Consul makes itself always say something when they fail.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::flapping::Flaps;
use super::health::Instances;
use super::{About, CheckData, Clock, Context, Event, EventType, Timing};
use crate::catalog::{Check, CheckStatus};

/// A check, and what its history says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckState {
    /// As Consul has it now.
    pub check: Arc<Check>,
    /// It has run since it was registered or its agent started; before that its status is Consul's default.
    pub ran: bool,
    /// Its last real result; none before its very first run.
    pub result: Option<CheckStatus>,
    /// When `result` began.
    pub since: Timestamp,
    /// Since when it is there without having run; none once it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub silent_since: Option<Timestamp>,
    /// How often `result` was another of late; none where it never was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flaps: Option<Flaps>,
}

/// The kinds of check whose failures have an output: Consul itself writes it. A script or a TTL may
/// fail without a word.
const ALWAYS_SPEAK: [&str; 5] = ["http", "tcp", "udp", "grpc", "h2ping"];

impl CheckState {
    /// The state of `check` after the state `old`.
    pub fn follow(old: Option<&Self>, check: Arc<Check>, Clock { now, timing, first }: Clock<'_>) -> Self {
        let same = old.filter(|old| old.check.create_index == check.create_index);
        // What was written after it was registered has run, or its agent told of it once more.
        let was_written = first && old.is_none() && check.create_index != check.modify_index;
        let ran_before = was_written || same.is_some_and(|old| old.ran);
        let ran = !check.says_nothing() || ran_before && !ALWAYS_SPEAK.contains(&check.kind.as_str());
        let silent_since = (!ran).then(|| same.and_then(|old| old.silent_since).unwrap_or(now));
        let overdue = silent_since.is_some_and(|since| later(since, timing.initial_grace) <= now);
        let result = if ran || overdue { Some(check.status) } else { old.and_then(|old| old.result) };
        let since = old.filter(|old| old.result == result).map_or(now, |old| old.since);
        let before = old.and_then(|old| old.result);
        let flaps = old.and_then(|old| old.flaps);
        let flaps = Flaps::follow(flaps, before.is_some() && before != result, now, timing);
        Self { check, ran, result, since, silent_since, flaps }
    }

    /// When time alone makes something else of it; none where it does not.
    pub fn due_at(&self, timing: &Timing) -> Option<Timestamp> {
        let counts = self.result == Some(self.check.status);
        let overdue = self.silent_since.filter(|_| !counts).map(|since| later(since, timing.initial_grace));
        let calm = self.flaps.and_then(|flaps| flaps.ends_at(timing));
        overdue.into_iter().chain(calm).min()
    }

    fn is_flapping(&self) -> bool {
        self.flaps.is_some_and(|flaps| flaps.flapping)
    }
}

fn later(time: Timestamp, by: Duration) -> Timestamp {
    time.checked_add(by).unwrap_or(Timestamp::MAX)
}

/// The check that says that the cluster finds its node alive.
const SERF_HEALTH: &str = "serfHealth";

/// A change of one check.
pub(super) struct Changed<'a> {
    /// `<node>/<check id>`.
    pub(super) key: &'a str,
    /// None: it is new.
    pub(super) old: Option<&'a CheckState>,
    /// None: it is gone.
    pub(super) new: Option<&'a CheckState>,
}

impl CheckState {
    /// The cluster finds the check's node dead: this is the check that says so.
    pub(super) fn says_node_failed(&self) -> bool {
        self.check.check_id == SERF_HEALTH && self.check.status == CheckStatus::Critical
    }
}

/// The events that tell of a change, in the order in which they happened.
pub(super) fn events(changed: &Changed<'_>, context: &Context<'_>) -> Vec<Event> {
    let kinds = if context.by_status { of_one_state(changed) } else { kinds(changed) };
    kinds.into_iter().filter_map(|kind| event(kind, changed, context)).collect()
}

/// A check as it is, as if it had just come to be so; none where it passes or has not run, unless it flaps.
pub(super) fn standing(key: &str, state: &CheckState, context: &Context<'_>) -> Option<Event> {
    let status = if state.check.is_maintenance() { Some(CheckStatus::Critical) } else { state.result };
    let fails = status.is_some_and(|status| status != CheckStatus::Passing);
    let changed = Changed { key, old: Some(state), new: Some(state) };
    if fails || state.is_flapping() { event(EventType::CheckStatus, &changed, context) } else { None }
}

fn kinds(changed: &Changed<'_>) -> Vec<EventType> {
    let Changed { old, new, .. } = *changed;
    let Some(state) = new.or(old) else { return Vec::new() };
    if state.check.is_maintenance() {
        // Its status is always critical; that it is there is what it says.
        return match (old, new) {
            (None, Some(_)) => vec![EventType::MaintenanceStarted],
            (Some(_), None) => vec![EventType::MaintenanceEnded],
            _ => Vec::new(),
        };
    }
    let Some(new) = new else { return vec![EventType::CheckDeregistered] };
    let mut kinds = Vec::new();
    let flapped = old.is_some_and(CheckState::is_flapping);
    let anew = old.is_none_or(|old| old.check.create_index != new.check.create_index);
    if anew {
        kinds.push(EventType::CheckRegistered);
    }
    if old.and_then(|old| old.result) != new.result {
        kinds.push(EventType::CheckStatus);
        kinds.extend(node_fate(old, new));
    } else if !anew && old.is_some_and(|old| says_other(old, new) || coalesced(old, new)) {
        kinds.push(EventType::CheckOutput);
    }
    match (flapped, new.is_flapping()) {
        (false, true) => kinds.push(EventType::FlappingStarted),
        (true, false) => kinds.push(EventType::FlappingStopped),
        _ => {}
    }
    kinds
}

/// Where an answer has only checks of some state, one that is no longer there has another state or is gone, and one
/// that is there was perhaps registered long ago.
fn of_one_state(changed: &Changed<'_>) -> Vec<EventType> {
    let check = changed.new.or(changed.old).map(|state| &*state.check);
    match (changed.old, changed.new) {
        _ if check.is_some_and(Check::is_maintenance) => kinds(changed),
        (Some(_), None) => vec![EventType::CheckStatus],
        (None, Some(new)) if new.check.create_index != new.check.modify_index => {
            kinds(changed).into_iter().filter(|kind| *kind != EventType::CheckRegistered).collect()
        }
        _ => kinds(changed),
    }
}

/// What a change of the result of `serfHealth` means.
fn node_fate(old: Option<&CheckState>, new: &CheckState) -> Option<EventType> {
    let before = old.is_some_and(CheckState::says_node_failed);
    match (before, new.says_node_failed()) {
        (false, true) => Some(EventType::NodeFailed),
        (true, false) => Some(EventType::NodeRecovered),
        _ => None,
    }
}

fn says_other(old: &CheckState, new: &CheckState) -> bool {
    old.ran && new.ran && old.check.output != new.check.output
}

/// It was written, and nothing that a person could see is another.
fn coalesced(old: &CheckState, new: &CheckState) -> bool {
    let Check { modify_index, .. } = *old.check;
    old.check.modify_index != new.check.modify_index
        && old.ran == new.ran
        && Check { modify_index, ..Check::clone(&new.check) } == *old.check
}

/// An event about the new state, or the last one of a check that is gone.
fn event(kind: EventType, changed: &Changed<'_>, context: &Context<'_>) -> Option<Event> {
    let Changed { key, old, new } = *changed;
    let state = new.or(old)?;
    let check = &state.check;
    let gone = new.is_none();
    let to = (!gone).then_some(check.status);
    let subject = match kind {
        EventType::NodeFailed | EventType::NodeRecovered => &check.node,
        _ => key,
    };
    let word = to.map_or("", CheckStatus::as_str);
    let indexes = (check.create_index, check.modify_index);
    let (seen, view) = ([word.as_bytes(), check.output.as_bytes()], [&b"one state"[..]]);
    // Who sees only some states does not know what was before, so that is another event than the one of who does.
    let id = context.id(
        subject,
        kind,
        indexes,
        &[&seen[..], if context.by_status { &view } else { &[] }].concat(),
    );
    // A watch of one state does not show those that pass, and a check of a node is of no service.
    let shows_service = !context.by_status && !check.service.is_empty();
    let instances = shows_service.then(|| context.health.instances_of(&check.service)).flatten();
    let data = CheckData {
        node: check.node.clone(),
        node_meta: context.meta_of(&check.node),
        check_id: check.check_id.clone(),
        check_name: check.name.clone(),
        service_id: check.service_id.clone(),
        service: check.service.clone(),
        service_tags: check.service_tags.clone(),
        from: old.and_then(|old| old.result),
        to,
        since: old.map_or(state.since, |old| old.since),
        output: check.output.clone(),
        notes: check.notes.clone(),
        initial: !gone && !state.ran,
        coalesced: kind == EventType::CheckOutput && old.is_some_and(|old| coalesced(old, state)),
        flapping: state.is_flapping(),
        node_failed: context.health.is_failed(&check.node),
        passing_left: instances.map(|instances| instances.passing),
        passing_left_share: instances.map(Instances::share),
        node_role: (context.node_role)(&check.service, &check.node),
        create_index: check.create_index,
        modify_index: check.modify_index,
    };
    Some(context.event(id, kind, subject, About::Check(data)))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::catalog::LocalNode;
    use crate::event::{Health, NodeRole};

    fn check(status: CheckStatus, output: &str, create_index: u64) -> Check {
        Check {
            node: "web1".into(),
            check_id: "service:web".into(),
            name: "Service 'web' check".into(),
            kind: "script".into(),
            status,
            notes: String::new(),
            output: output.into(),
            service_id: "web".into(),
            service: "web".into(),
            service_tags: vec!["prod".into()],
            create_index,
            modify_index: create_index,
        }
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    const TIMING: Timing = Timing {
        initial_grace: Duration::from_secs(5),
        flap_interval: Duration::from_secs(1),
        low_flap_threshold: 20,
        high_flap_threshold: 30,
    };

    /// A check that has not run within five seconds counts, and a flap of a second.
    fn clock(second: i64) -> Clock<'static> {
        Clock { now: at(second), timing: &TIMING, first: false }
    }

    fn node() -> LocalNode {
        LocalNode { name: "web1".into(), datacenter: "dc1".into(), meta: BTreeMap::new() }
    }

    fn context<'a>(node: &'a LocalNode, health: &'a Health<'a>, by_status: bool) -> Context<'a> {
        Context {
            node,
            datacenter: "dc1",
            environment: "",
            node_role: &|_, _| NodeRole::Standalone,
            catch_up: false,
            health,
            index: 0,
            is_a_choice: false,
            by_status,
            user_events: None,
            now: at(0),
        }
    }

    /// Follows `answers` one second apart and tells of each event: `type from>to since`.
    #[track_caller]
    fn follow(answers: &[Option<(CheckStatus, &str, u64)>], want: &[&str]) {
        follow_some(false, answers, want);
    }

    #[track_caller]
    fn follow_some(by_status: bool, answers: &[Option<(CheckStatus, &str, u64)>], want: &[&str]) {
        let node = node();
        let mut state = None;
        let mut told = Vec::new();
        for (second, answer) in (1..).zip(answers) {
            let new = answer.map(|(status, output, create_index)| {
                CheckState::follow(state.as_ref(), check(status, output, create_index).into(), clock(second))
            });
            let health = Health::unknown();
            let context = Context { now: at(second), ..context(&node, &health, by_status) };
            let changed = Changed { key: "web1/service:web", old: state.as_ref(), new: new.as_ref() };
            let told_now = if state == new { Vec::new() } else { events(&changed, &context) };
            for event in told_now {
                let data = event.data.check().unwrap();
                let word = |status: Option<CheckStatus>| status.map_or("-", CheckStatus::as_str);
                let initial = if data.initial { " initial" } else { "" };
                let since = data.since.as_second();
                told.push(format!("{} {}>{} {since}{initial}", event.kind, word(data.from), word(data.to)));
            }
            state = new;
        }
        assert_eq!(told, want);
    }

    use CheckStatus::{Critical, Passing, Warning};

    #[test]
    fn a_new_check_has_no_result_before_its_first_run() {
        follow(
            &[Some((Critical, "", 7)), Some((Passing, "ok", 7))],
            &["check.registered ->critical 1 initial", "check.status ->passing 1"],
        );
        follow(
            &[Some((Critical, "", 7)), Some((Critical, "refused", 7))],
            &["check.registered ->critical 1 initial", "check.status ->critical 1"],
        );
    }

    #[test]
    fn a_check_that_comes_with_a_result_tells_both() {
        follow(&[Some((Warning, "", 7))], &["check.registered ->warning 1", "check.status ->warning 1"]);
    }

    #[test]
    fn a_transition_says_since_when_the_former_state_was() {
        follow(
            &[
                Some((Passing, "a", 7)),
                Some((Passing, "b", 7)),
                Some((Critical, "", 7)),
                Some((Passing, "", 7)),
            ],
            &[
                "check.registered ->passing 1",
                "check.status ->passing 1",
                "check.output passing>passing 1",
                "check.status passing>critical 1",
                "check.status critical>passing 3",
            ],
        );
    }

    #[test]
    fn registering_anew_is_no_outage() {
        follow(
            &[Some((Passing, "ok", 7)), Some((Critical, "", 9)), Some((Passing, "ok", 9))],
            &[
                "check.registered ->passing 1",
                "check.status ->passing 1",
                "check.registered passing>critical 1 initial",
            ],
        );
    }

    #[test]
    fn an_agent_that_restarts_with_its_data_is_no_outage_where_consul_makes_the_check() {
        let state = |kind: &str, status, output: &str, old: Option<&CheckState>| {
            let check = Check { kind: kind.into(), ..check(status, output, 7) };
            CheckState::follow(old, check.into(), clock(1))
        };
        for (kind, counts) in [("http", false), ("tcp", false), ("script", true), ("ttl", true), ("", true)] {
            let before = state(kind, Passing, "ok", None);
            let restarted = state(kind, Critical, "", Some(&before));
            assert_eq!((restarted.ran, restarted.result == Some(Critical)), (counts, counts), "{kind}");
            let down = state(kind, Critical, "refused", Some(&restarted));
            assert_eq!((down.ran, down.result), (true, Some(Critical)), "{kind}");
        }
    }

    #[test]
    fn a_check_that_does_not_run_at_all_counts_after_a_while() {
        let silent = Some((Critical, "", 7));
        follow(
            &[silent, silent, silent, silent, silent, silent, silent, Some((Passing, "ok", 7))],
            &[
                "check.registered ->critical 1 initial",
                "check.status ->critical 1 initial",
                "check.status critical>passing 6",
            ],
        );
        // Registered anew: it is waited for anew.
        let again = Some((Critical, "", 9));
        let answers = [silent, silent, silent, silent, again, again, again, again, Some((Passing, "ok", 9))];
        follow(
            &answers,
            &[
                "check.registered ->critical 1 initial",
                "check.registered ->critical 1 initial",
                "check.status ->passing 1",
            ],
        );
    }

    #[test]
    fn what_failed_before_it_was_first_seen_is_no_news_later() {
        let seen = |kind: &str, modify_index| {
            let check = Check { kind: kind.into(), modify_index, ..check(Critical, "", 7) };
            CheckState::follow(None, check.into(), Clock { first: true, ..clock(1) })
        };
        assert_eq!(seen("ttl", 9).due_at(&TIMING), None);
        assert_eq!(seen("ttl", 7).due_at(&TIMING), Some(at(6)), "it never ran");
        assert_eq!(seen("http", 9).due_at(&TIMING), Some(at(6)), "it always speaks");
    }

    #[test]
    fn it_is_known_when_a_silent_check_will_count() {
        let state = |status, output| CheckState::follow(None, check(status, output, 7).into(), clock(1));
        let silent = state(Critical, "");
        assert_eq!(silent.due_at(&TIMING), Some(at(6)));
        let counted = CheckState::follow(Some(&silent), silent.check.clone(), clock(6));
        assert_eq!((counted.due_at(&TIMING), counted.result), (None, Some(Critical)));
        assert_eq!(state(Critical, "refused").due_at(&TIMING), None);
    }

    #[test]
    fn a_check_that_goes_to_and_fro_is_told_once_and_its_end_too() {
        let (up, down) = (Some((Passing, "ok", 7)), Some((Critical, "refused", 7)));
        let mut answers: Vec<_> = (0..10).map(|second| if second % 2 == 0 { up } else { down }).collect();
        answers.extend([down; 20]);
        let mut state = None;
        let mut told = Vec::new();
        for (second, answer) in (1..).zip(&answers) {
            let (status, output, create_index) = answer.unwrap();
            let new =
                CheckState::follow(state.as_ref(), check(status, output, create_index).into(), clock(second));
            if state.as_ref() != Some(&new) {
                let changed = Changed { key: "web1/service:web", old: state.as_ref(), new: Some(&new) };
                told.extend(kinds(&changed).into_iter().map(|kind| (kind, second)));
            }
            state = Some(new);
        }
        let flapping: Vec<_> =
            told.iter().filter(|(kind, _)| kind.as_str().starts_with("flapping")).collect();
        assert_eq!(flapping.len(), 2, "{told:?}");
        assert_eq!(flapping[0], &(EventType::FlappingStarted, 7), "the sixth transition");
        assert_eq!(flapping[1].0, EventType::FlappingStopped);
        assert!((16..30).contains(&flapping[1].1), "{told:?}");
    }

    #[test]
    fn who_sees_one_state_and_who_sees_all_tell_of_other_events() {
        let down = CheckState::follow(None, check(Critical, "refused", 7).into(), clock(1));
        let changed = Changed { key: "web1/service:web", old: None, new: Some(&down) };
        let id = |by_status| {
            let (node, health) = (node(), Health::unknown());
            let told = event(EventType::CheckStatus, &changed, &context(&node, &health, by_status));
            told.map(|event| event.id)
        };
        assert_ne!(id(true), id(false), "one of them does not know what was before");
        assert_eq!(id(true), id(true));
    }

    #[test]
    fn of_one_state_a_check_comes_and_goes_and_is_not_registered_by_that() {
        follow_some(
            true,
            &[None, Some((Critical, "refused", 7)), None],
            &["check.registered ->critical 2", "check.status ->critical 2", "check.status critical>- 2"],
        );
        let written = |check| Check { modify_index: 9, ..check };
        let new = CheckState::follow(None, written(check(Critical, "refused", 7)).into(), clock(1));
        let changed = Changed { key: "web1/service:web", old: None, new: Some(&new) };
        assert_eq!(of_one_state(&changed), [EventType::CheckStatus]);
    }

    #[test]
    fn an_outage_that_begins_while_registering_anew_is_told() {
        follow(
            &[Some((Passing, "ok", 7)), Some((Critical, "", 9)), Some((Critical, "refused", 9))],
            &[
                "check.registered ->passing 1",
                "check.status ->passing 1",
                "check.registered passing>critical 1 initial",
                "check.status passing>critical 1",
            ],
        );
    }

    #[test]
    fn a_check_that_is_gone_is_told_with_its_last_result() {
        follow(
            &[Some((Passing, "ok", 7)), None],
            &["check.registered ->passing 1", "check.status ->passing 1", "check.deregistered passing>- 1"],
        );
    }
}
