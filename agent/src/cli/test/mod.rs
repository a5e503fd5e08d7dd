//! `lictor test`: rules on a simulated clock, and what they would have made of what was recorded.

mod event;
mod file;
mod replay;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::Args;
use jiff::{SignedDuration, Timestamp};

use super::records::{one_line, say};
use super::{ConfigArgs, counted, variable};
use crate::app::routing;
use crate::catalog::CheckStatus;
use crate::config::{Config, Look};
use crate::consul::Watch;
use crate::event::{About, Event, EventType};
use crate::pipeline::Routing;
use crate::rehearsal::{Outcome, Rehearsal};
use crate::rules::{Reason, Silence};
use file::{Expected, Step, Test, What, Window, Wish, Written};

/// What is tested.
#[derive(Args)]
pub(super) struct TestArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// Files of rule tests; without -c each is for the configuration that it names.
    #[arg(value_name = "FILE", required_unless_present = "replay")]
    files: Vec<PathBuf>,
    /// Say what the rules would have made of the events that this database holds, and what was made of them.
    #[arg(long, value_name = "DB", conflicts_with = "files")]
    replay: Option<PathBuf>,
    /// Only events of this last time: 24h, 7d.
    #[arg(long, value_name = "TIME", requires = "replay", value_parser = super::silence::span)]
    since: Option<Duration>,
}

/// Two words that the store does not have: no rule is about the event, or it is about none since it is a first one.
const NO_RULE: &str = "no rule";
const INITIAL: &str = "initial";

/// Does what is asked; false where a test failed.
pub(super) fn test(args: &TestArgs) -> Result<bool> {
    if let Some(database) = &args.replay {
        let config = configuration(&args.config.paths)?;
        return replay::replay(&config, database, args.since).map(|()| true);
    }
    let (mut passed, mut failed) = (0, 0);
    for path in &args.files {
        let file = file::read(path)?;
        let paths = match (&args.config.paths[..], &file.config[..]) {
            ([], []) | ([_, ..], _) => args.config.paths.clone(),
            ([], beside) => {
                let folder = path.parent().unwrap_or(Path::new(""));
                beside.iter().map(|path| folder.join(path)).collect()
            }
        };
        let config = configuration(&paths)?;
        let routing = routing(&config);
        for written in &file.tests {
            let shown = path.display();
            let found = play(written, &config, &routing)
                .with_context(|| format!("play the test {:?} of {shown}", written.name))?;
            match found {
                None => passed += 1,
                Some(difference) => {
                    failed += 1;
                    say(&format!("FAIL {} ({shown})\n{difference}\n", written.name))?;
                }
            }
        }
    }
    say(&format!("{passed} passed, {} failed.\n", counted(failed, "test")))?;
    Ok(failed == 0)
}

fn configuration(paths: &[PathBuf]) -> Result<Config> {
    match Config::load(paths, &variable, Look::Inside) {
        Ok(config) => Ok(config),
        Err(rejected) => bail!("read the configuration:\n{}", rejected.faults),
    }
}

/// Plays a test; gives what is other than it wants, if something is.
fn play(written: &Written, config: &Config, routing: &Routing) -> Result<Option<String>> {
    let test = written.test()?;
    known_rules(written, config)?;
    for Wish { reason, .. } in &written.withheld {
        let known = Reason::ALL.map(Reason::as_str);
        if !known.contains(&reason.as_str()) && ![NO_RULE, INITIAL].contains(&reason.as_str()) {
            bail!("read reason = {reason:?}: write one of {}, {NO_RULE}, {INITIAL}", known.join(", "));
        }
    }
    let Test { start, until, steps } = test;
    let mut rehearsal = Rehearsal::new(routing);
    let mut unwanted = Vec::new();
    let first = config.watches.first().map(Watch::name).unwrap_or_default();
    let mut at_once: BTreeMap<(Timestamp, String), Vec<Event>> = BTreeMap::new();
    let (mut number, mut flapping) = (0, BTreeSet::new());
    for Step { at, what } in steps {
        match what {
            What::Event(mut event, watch) => {
                mark(&mut event, &mut flapping);
                let watch = match watch {
                    Some(label) => config
                        .labels
                        .get(&label)
                        .cloned()
                        .with_context(|| format!("find the watch {label:?}"))?,
                    None => first.clone(),
                };
                if !rehearsal.is_wanted(&event, &watch) {
                    let first = event.data.check().is_some_and(|check| check.initial);
                    unwanted.push((at, if first { INITIAL } else { NO_RULE }, Box::clone(&event)));
                }
                at_once.entry((at, watch)).or_default().push(*event);
            }
            What::Silence { matchers, lasts, expire_on_resolve } => {
                hand_over(&mut rehearsal, &mut at_once);
                number += 1;
                rehearsal.silence(Silence {
                    id: format!("{number:08}"),
                    matchers,
                    starts_at: at,
                    ends_at: at.checked_add(lasts)?,
                    created_by: "the test".into(),
                    comment: String::new(),
                    expire_on_resolve,
                });
            }
        }
    }
    hand_over(&mut rehearsal, &mut at_once);
    rehearsal.until(until);
    let outcomes = rehearsal.into_outcomes();
    // What tells that something is over may be sent although no rule matches it.
    let is_sent = |event: &Event| {
        let mut sent = outcomes.iter().filter(|outcome| outcome.withheld.is_none());
        sent.any(|outcome| outcome.events.iter().any(|of| of.id == event.id))
    };
    let unwanted: Vec<_> = unwanted
        .into_iter()
        .filter(|(_, _, event)| !is_sent(event))
        .map(|(at, reason, event)| (at, reason, event.subject))
        .collect();
    Ok(Comparison { start, written, outcomes: &outcomes, unwanted: &unwanted }.difference())
}

/// A rule that is misspelt would never send what is not wanted.
fn known_rules(written: &Written, config: &Config) -> Result<()> {
    let expected = written.expect.iter().map(|expected| &expected.rule);
    let withheld = written.withheld.iter().map(|wish| &wish.rule);
    for name in expected.chain(withheld).flatten() {
        if !config.rules.iter().any(|rule| rule.name == *name) {
            bail!("read rule = {name:?}: there is no such rule");
        }
    }
    match written.withheld.iter().find(|wish| wish.reason == NO_RULE && wish.rule.is_some()) {
        Some(_) => bail!("read reason = {NO_RULE:?}: leave `rule` out, since no rule wants the event"),
        None => Ok(()),
    }
}

/// Between `flapping.started` and `flapping.stopped` the events of a check say that it flaps, as a watch says it.
fn mark(event: &mut Event, flapping: &mut BTreeSet<String>) {
    match event.kind {
        EventType::FlappingStarted => drop(flapping.insert(event.subject.clone())),
        EventType::FlappingStopped => drop(flapping.remove(&event.subject)),
        _ => {
            if let About::Check(check) = &mut event.data.about {
                check.flapping |= flapping.contains(&event.subject);
            }
        }
    }
}

/// What has one time comes in one answer of a watch.
fn hand_over(rehearsal: &mut Rehearsal<'_>, events: &mut BTreeMap<(Timestamp, String), Vec<Event>>) {
    for ((at, watch), events) in std::mem::take(events) {
        rehearsal.events(&events, &watch, at);
    }
}

/// What a test wants, and what came.
struct Comparison<'a> {
    start: Timestamp,
    written: &'a Written,
    outcomes: &'a [Outcome],
    /// The events that no rule wants.
    unwanted: &'a [(Timestamp, &'static str, String)],
}

impl Comparison<'_> {
    /// One line for each delivery and each wish that does not fit, among those that do.
    fn difference(&self) -> Option<String> {
        let mut missing: Vec<&Expected> = self.written.expect.iter().collect();
        let (mut lines, mut fits) = (Vec::new(), true);
        for outcome in self.outcomes {
            let found = match outcome.withheld {
                // Of those that fit, the one for which it is soonest too late.
                None => (0..missing.len())
                    .filter(|at| self.is(outcome, missing[*at]))
                    .min_by_key(|at| missing[*at].at.1),
                Some(_) => None,
            };
            let mark = match (found, outcome.withheld.is_some()) {
                (_, true) => ' ',
                (Some(at), _) => {
                    missing.remove(at);
                    ' '
                }
                (None, false) => {
                    fits = false;
                    '+'
                }
            };
            lines.push((outcome.at, format!("{mark} {}", self.in_words(outcome))));
        }
        for (at, reason, subject) in self.unwanted {
            lines.push((*at, format!("  {:>7} withheld  {reason}: {subject}", self.span(*at))));
        }
        lines.sort_by_key(|(at, _)| *at);
        let mut text = String::new();
        for (_, line) in lines {
            let _infallible = writeln!(text, "{line}");
        }
        for Expected { at: Window(from, to), receiver, rule, events } in &missing {
            fits = false;
            let at =
                if from == to { lasting(*from) } else { format!("{} to {}", lasting(*from), lasting(*to)) };
            let rule = rule.as_deref().map(|rule| format!("{rule} ")).unwrap_or_default();
            let events = events.as_ref().map(|events| events.join(", ")).unwrap_or_default();
            let _infallible = writeln!(text, "- {at:>7} sent      {rule}→ {receiver}: {events}");
        }
        for wish in self.written.withheld.iter().filter(|wish| !self.is_withheld(wish)) {
            fits = false;
            let Wish { reason, rule, event, at } = wish;
            let at = at.as_ref().map(|Window(from, _)| lasting(*from)).unwrap_or_default();
            let rule = rule.as_deref().map(|rule| format!(" by {rule}")).unwrap_or_default();
            let event = event.as_deref().unwrap_or("an event");
            let _infallible = writeln!(text, "- {at:>7} withheld  {reason}{rule}: {event}");
        }
        let _infallible = write!(text, "(- is wanted and did not come, + came and is not wanted)");
        (!fits).then_some(text)
    }

    /// `4h 1m`, since the start.
    fn span(&self, at: Timestamp) -> String {
        format!("{:#}", at.duration_since(self.start))
    }

    fn in_words(&self, outcome: &Outcome) -> String {
        let Outcome { at, rule, receiver, events, withheld } = outcome;
        let events: Vec<_> = events.iter().map(told).collect();
        let (what, why) = match withheld {
            None => ("sent    ", String::new()),
            Some((reason, detail)) => ("withheld", format!(" ({reason}: {})", one_line(detail))),
        };
        format!("{:>7} {what}  {rule} → {receiver}: {}{why}", self.span(*at), events.join(", "))
    }

    fn within(&self, at: Timestamp, Window(from, to): &Window) -> bool {
        let after = Duration::try_from(at.duration_since(self.start)).unwrap_or_default();
        (*from..=*to).contains(&after)
    }

    fn is(&self, outcome: &Outcome, expected: &Expected) -> bool {
        let same = |events: &Vec<String>| {
            let mut came: Vec<_> = outcome.events.iter().map(|event| &event.subject).collect();
            let mut wanted: Vec<_> = events.iter().collect();
            came.sort();
            wanted.sort();
            came == wanted
        };
        self.within(outcome.at, &expected.at)
            && outcome.receiver == expected.receiver
            && expected.rule.as_ref().is_none_or(|rule| *rule == outcome.rule)
            && expected.events.as_ref().is_none_or(same)
    }

    fn is_withheld(&self, wish: &Wish) -> bool {
        let fits = |at: Timestamp, subject: &str| {
            wish.at.as_ref().is_none_or(|window| self.within(at, window))
                && wish.event.as_ref().is_none_or(|event| event == subject)
        };
        let by_rule = self.outcomes.iter().any(|outcome| {
            outcome.withheld.as_ref().is_some_and(|(reason, _)| *reason == wish.reason)
                && wish.rule.as_ref().is_none_or(|rule| *rule == outcome.rule)
                && outcome.events.iter().any(|event| fits(outcome.at, &event.subject))
        });
        by_rule
            || self.unwanted.iter().any(|(at, reason, subject)| *reason == wish.reason && fits(*at, subject))
    }
}

fn lasting(span: Duration) -> String {
    format!("{:#}", SignedDuration::try_from(span).unwrap_or(SignedDuration::MAX))
}

/// An event in a line: its subject, and what became of it.
fn told(event: &Event) -> String {
    let word = |status: Option<CheckStatus>| status.map_or("none", CheckStatus::as_str);
    match event.result() {
        Some(check) => format!("{} {}>{}", one_line(&event.subject), word(check.from), word(check.to)),
        None => format!("{} {}", event.kind, one_line(&event.subject)),
    }
}
