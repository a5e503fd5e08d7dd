//! `lictor status`: how it stands, from the Lictor that runs and from the store, which is there without one too.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result};
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use super::records::{align, database, json_lines, open, say};
use super::{ConfigArgs, runtime};
use crate::admin::{self, AskError, SOCKET};
use crate::app::{Called, Status};
use crate::pipeline::OUTAGES;
use crate::store::{Alerts, Deliveries, SilenceRecord, Standing};

/// All that is shown.
#[derive(Serialize)]
struct Shown {
    /// None: no Lictor runs here.
    running: Option<Status>,
    #[serde(flatten)]
    standing: Standing,
    /// Those that have not ended.
    silences: Vec<SilenceRecord>,
}

/// Shows it, and answers whether a Lictor runs.
pub(super) fn status(args: &ConfigArgs, json: bool) -> Result<bool> {
    let socket = database(args).with_file_name(SOCKET);
    let (running, absence) = match runtime()?.block_on(admin::status(&socket)) {
        Ok(text) => (Some(serde_json::from_str(&text).context("read what Lictor says of itself")?), None),
        Err(AskError::NotRunning(socket)) => {
            (None, Some(format!("No Lictor runs here: nobody listens at {socket}.\n")))
        }
        Err(error) => return Err(error.into()),
    };
    // What is known of the running part comes first: without a store it is all there is to say.
    if let Some(absence) = absence.filter(|_| !json) {
        say(&absence)?;
    }
    let store = open(args)?;
    let now = Timestamp::now();
    let shown = Shown { running, standing: store.standing(OUTAGES)?, silences: store.silences(Some(now))? };
    say(&if json { json_lines(&[&shown])? } else { shown.in_words(now) })?;
    Ok(shown.running.is_some())
}

impl Shown {
    fn in_words(&self, now: Timestamp) -> String {
        let mut parts = Vec::new();
        if let Some(Status { version, started_at, .. }) = &self.running {
            parts.push(format!(
                "Lictor {version} runs since {started_at:.0}, for {}.\n",
                span(now.duration_since(*started_at))
            ));
        }
        parts.push(self.receivers());
        parts.push(self.watches());
        parts.push(rules(&self.standing.alerts));
        let silences = self.silences.iter().filter(|silence| silence.starts_at <= now).count();
        parts.push(match silences {
            0 => String::new(),
            1 => "1 silence holds.\n".to_owned(),
            several => format!("{several} silences hold.\n"),
        });
        parts.retain(|part| !part.is_empty());
        parts.join("\n")
    }

    /// Those that run, and those that the store has deliveries for.
    fn receivers(&self) -> String {
        let called: BTreeMap<_, _> = self
            .running
            .iter()
            .flat_map(|status| &status.receivers)
            .map(|called| (&called.receiver, called))
            .collect();
        let Standing { deliveries, .. } = &self.standing;
        let mut names: Vec<_> =
            called.keys().copied().chain(deliveries.iter().map(|some| &some.receiver)).collect();
        names.sort();
        names.dedup();
        if names.is_empty() {
            return "No receiver has anything to do.\n".to_owned();
        }
        let rows = names.into_iter().map(|name| {
            let (open, dead) = counts(deliveries, name);
            let [plugin, calls, failed, refused, mean, max, memory] = called
                .get(name)
                .map_or_else(|| std::array::from_fn(|_| "-".to_owned()), |called| cells(called));
            [name.clone(), plugin, calls, failed, refused, mean, max, memory, open, dead]
        });
        let head =
            ["RECEIVER", "PLUGIN", "CALLS", "FAILED", "REFUSED", "MEAN", "MAX", "MEMORY", "OPEN", "DEAD"];
        align(&head.map(str::to_owned), rows.collect())
    }

    /// Each query, and since when its watch cannot be followed.
    fn watches(&self) -> String {
        let Standing { queries, outages, .. } = &self.standing;
        let state = |lost: Option<&crate::event::SourceState>| match lost {
            Some(lost) => format!("lost since {:.0}: {}", lost.since, lost.reason),
            None if self.running.is_some() => "followed".to_owned(),
            None => "not followed".to_owned(),
        };
        let is_of = |name: &str, watch: &str| {
            name.strip_prefix(watch).is_some_and(|rest| rest.is_empty() || rest.starts_with(" service="))
        };
        let mut rows: Vec<_> = queries
            .iter()
            .map(|query| {
                let lost = outages.iter().find(|lost| is_of(&query.name, &lost.watch));
                [query.name.clone(), format!("{:.0}", query.changed_at), state(lost)]
            })
            .collect();
        // One that was never answered has no query yet.
        let unanswered =
            outages.iter().filter(|lost| !queries.iter().any(|query| is_of(&query.name, &lost.watch)));
        rows.extend(unanswered.map(|lost| [lost.watch.clone(), "never".to_owned(), state(Some(lost))]));
        if rows.is_empty() {
            return "No watch was answered yet.\n".to_owned();
        }
        align(&["WATCH", "CHANGED", "STATE"].map(str::to_owned), rows)
    }
}

/// Open and dead deliveries of a receiver.
fn counts(deliveries: &[Deliveries], receiver: &str) -> (String, String) {
    let of = |dead: bool| {
        let some =
            deliveries.iter().filter(|some| some.receiver == receiver && (some.state == "dead") == dead);
        some.map(|some| some.count).sum::<u64>().to_string()
    };
    (of(false), of(true))
}

fn cells(called: &Called) -> [String; 7] {
    let failures: Vec<_> =
        called.failures.iter().map(|(outcome, count)| format!("{outcome} {count}")).collect();
    let time = |microseconds| format!("{:.1?}", Duration::from_micros(microseconds));
    let [mean, max, memory] = if called.calls == 0 {
        std::array::from_fn(|_| "-".to_owned())
    } else {
        [time(called.mean_us), time(called.max_us), format!("{} KiB", called.peak_memory >> 10)]
    };
    let failed = if failures.is_empty() { "0".to_owned() } else { failures.join(", ") };
    [called.plugin.clone(), called.calls.to_string(), failed, called.refusals.to_string(), mean, max, memory]
}

/// What the rules hold back or have told of.
fn rules(alerts: &[Alerts]) -> String {
    let mut by_rule = BTreeMap::<_, Vec<_>>::new();
    for Alerts { rule, phase, count } in alerts {
        let what = match phase.as_str() {
            "counting" => "counted until there are enough",
            "held" => "held for a while",
            "blocked" => "wait until nothing is in the way",
            "ready" => "wait for their group",
            "firing" => "sent, and go on",
            _ => "over, and may come again",
        };
        by_rule.entry(rule).or_default().push(format!("{count} {what}"));
    }
    let lines = by_rule.iter().map(|(rule, what)| format!("rule {rule}: {}\n", what.join(", ")));
    lines.collect::<Vec<_>>().concat()
}

/// `3d 4h`, `5m 10s`: the two largest units.
fn span(time: SignedDuration) -> String {
    let seconds = time.as_secs().max(0);
    let units = [(86400, "d"), (3600, "h"), (60, "m"), (1, "s")];
    let first = units.iter().position(|(unit, _)| seconds >= *unit).unwrap_or(3);
    let mut rest = seconds;
    let shown = units[first..].iter().take(2).map(|(unit, name)| {
        let count = rest / unit;
        rest %= unit;
        format!("{count}{name}")
    });
    shown.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_has_two_units() {
        let told = [0, 59, 60, 3599, 3600, 90_000, 10_000_000].map(|s| span(SignedDuration::from_secs(s)));
        assert_eq!(told, ["0s", "59s", "1m 0s", "59m 59s", "1h 0m", "1d 1h", "115d 17h"]);
    }

    #[test]
    fn what_a_rule_holds_back_is_told_on_its_line() {
        let some = |rule: &str, phase: &str, count| Alerts { rule: rule.into(), phase: phase.into(), count };
        assert_eq!(
            rules(&[some("a", "held", 2), some("a", "ready", 1), some("b", "firing", 3)]),
            "rule a: 2 held for a while, 1 wait for their group\nrule b: 3 sent, and go on\n"
        );
    }
}
