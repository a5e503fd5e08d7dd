//! One attempt of a plugin in the real sandbox, in a world where nothing happens.
//!
//! Invariant: it may do what it says in `requests` that it needs, and nothing else: what it forgets to say is
//! refused here, as it would be in a receiver.

use std::sync::Arc;
use std::time::Duration;

use lictor_capability::{Answers, Capabilities, Grants, Kept, OutputLimits, Recorded, Script};
use lictor_host::{Call, Delivery, Event, Failure, Limits, Plugin, RequestsError};
use serde_json::{Value, json};

use super::calls;
use super::case::{Ending, Expect};
use crate::cli::records;
use crate::dispatch::RETRY_AFTER_MAX;

/// What is tried.
pub(super) struct Trial {
    pub(super) name: String,
    pub(super) events: Vec<Event>,
    pub(super) attempt: u32,
    pub(super) config: Value,
    pub(super) answers: Answers,
    /// None: that it is delivered.
    pub(super) expect: Option<Expect>,
}

/// What an attempt may take, as a receiver has it.
pub(super) struct TrialLimits {
    pub(super) call: Limits,
    pub(super) output: OutputLimits,
}

/// What came of it.
pub(super) struct Tried {
    name: String,
    /// Grants in words.
    needs: Vec<String>,
    calls: Vec<Recorded>,
    ending: Ending,
    /// The receipt, or why there is none.
    text: String,
    duration: Duration,
    peak_memory: usize,
    /// What is to be known and is no fault.
    notes: Vec<String>,
    /// What is not as it was expected.
    faults: Vec<String>,
}

impl Trial {
    /// Tries it where so much is `kept`, and keeps what it keeps.
    pub(super) async fn run(self, plugin: &Plugin, limits: &TrialLimits, kept: &mut Kept) -> Tried {
        let TrialLimits { call: limits, output } = limits;
        let config = self.config.to_string();
        let requests = match plugin.requests(&config, limits).await {
            Ok(requests) => requests,
            Err(RequestsError::Config(why)) => return self.over(Ending::Config, why),
            Err(RequestsError::Call(failure)) => {
                let (ending, text) = ending(Err(failure.into()));
                return self.over(ending, format!("while it was asked what it needs: {text}"));
            }
        };
        let grants = match Grants::for_requests(&requests) {
            Ok(grants) => grants,
            Err(faults) => {
                let faults: Vec<_> = faults.iter().map(ToString::to_string).collect();
                return self.over(Ending::Config, format!("no grant covers this: {}", faults.join("; ")));
            }
        };
        let needs = grants.in_words();
        let script = Arc::new(Script::new(self.answers.clone(), kept.clone(), *output));
        let call = Call {
            delivery: self.delivery(),
            config: config.into(),
            capabilities: Arc::new(Capabilities::scripted(grants, Arc::clone(&script))),
            limits: limits.clone(),
        };
        let report = plugin.handle(call).await;
        *kept = script.kept();
        let (ending, text) = ending(report.result);
        let mut tried = self.over(ending, text);
        let (duration, peak_memory) = (report.duration, report.peak_memory);
        tried = Tried { needs, calls: script.recorded(), duration, peak_memory, ..tried };
        tried.faults = tried.judge(self.expect.as_ref());
        let unused = script.unused();
        if !unused.is_empty() {
            // Answers of a test are for its own event, those by hand for any.
            let told = if self.expect.is_some() { &mut tried.faults } else { &mut tried.notes };
            told.push(format!("no call took these answers: {}", unused.join(", ")));
        }
        tried
    }

    fn delivery(&self) -> Delivery {
        Delivery {
            id: "9f86d081884c7d659a2feaa0c55ad015".into(),
            attempt: self.attempt,
            rule: "test".into(),
            receiver: "test".into(),
            environment: "production".into(),
            node: "web1".into(),
            events: self.events.clone(),
        }
    }

    fn over(&self, ending: Ending, text: String) -> Tried {
        let mut tried = Tried {
            name: self.name.clone(),
            needs: Vec::new(),
            calls: Vec::new(),
            ending,
            text,
            duration: Duration::ZERO,
            peak_memory: 0,
            notes: Vec::new(),
            faults: Vec::new(),
        };
        tried.faults = tried.judge(self.expect.as_ref());
        tried
    }
}

fn ending(result: Result<String, Failure>) -> (Ending, String) {
    match result {
        Ok(receipt) => (Ending::Delivered, receipt),
        Err(Failure::Transient(why)) => (Ending::Transient, why),
        Err(Failure::RetryAfter(why, wait)) => {
            let capped = if wait > RETRY_AFTER_MAX { ", of which Lictor waits for an hour" } else { "" };
            (Ending::RetryAfter, format!("{why} (after {} ms{capped})", wait.as_millis()))
        }
        Err(Failure::Permanent(why)) => (Ending::Permanent, why),
        Err(Failure::Refused(why)) => (Ending::Refused, why),
        Err(Failure::Trapped(why)) => (Ending::Trapped, why),
        Err(Failure::Deadline(why)) => (Ending::Deadline, why),
        Err(Failure::Memory(why)) => (Ending::Memory, why),
    }
}

impl Tried {
    pub(super) fn is_right(&self) -> bool {
        self.faults.is_empty()
    }

    /// What is not as it was expected.
    fn judge(&self, expect: Option<&Expect>) -> Vec<String> {
        let default = Expect::default();
        let Expect { result, text, needs, calls: wanted } = expect.unwrap_or(&default);
        let mut faults = Vec::new();
        let result = result.unwrap_or_default();
        if result != self.ending {
            faults.push(format!("it is {}, expected {}", self.ending.as_str(), result.as_str()));
        }
        if let Some(text) = text.as_ref().filter(|text| !self.text.contains(*text)) {
            faults.push(format!("it says {:?}, expected {text:?}", self.text));
        }
        if let Some(needs) = needs.as_ref().filter(|needs| **needs != self.needs) {
            faults.push(format!("it needs {:?}, expected {needs:?}", self.needs));
        }
        let Some(wanted) = wanted else { return faults };
        if wanted.len() != self.calls.len() {
            faults.push(format!("it made {} calls, expected {}", self.calls.len(), wanted.len()));
        }
        for (number, (wanted, call)) in (1..).zip(wanted.iter().zip(&self.calls)) {
            let wanted = super::json(&toml::Value::Table(wanted.clone()));
            let differences = calls::differences(&wanted, &calls::to_json(call), "");
            faults.extend(differences.into_iter().map(|difference| format!("call {number}: {difference}")));
        }
        faults
    }

    pub(super) fn to_json(&self) -> Value {
        json!({
            "name": self.name,
            "right": self.is_right(),
            "result": self.ending.as_str(),
            "text": self.text,
            "needs": self.needs,
            "calls": self.calls.iter().map(calls::to_json).collect::<Vec<_>>(),
            "microseconds": u64::try_from(self.duration.as_micros()).unwrap_or(u64::MAX),
            "peak_memory": self.peak_memory,
            "notes": self.notes,
            "faults": self.faults,
        })
    }

    pub(super) fn in_words(&self) -> String {
        let Self { name, ending, text, .. } = self;
        let mark = if self.is_right() { "ok  " } else { "FAIL" };
        let milliseconds = self.duration.as_secs_f64() * 1000.0;
        let kib = self.peak_memory >> 10;
        let mut lines =
            vec![format!("{mark} {name}: {}, {text} ({milliseconds:.1} ms, {kib} KiB)", ending.as_str())];
        lines.extend(self.calls.iter().map(|call| format!("       {}", calls::in_words(call))));
        lines.extend(self.notes.iter().map(|note| format!("       {note}")));
        lines.extend(self.faults.iter().map(|fault| format!("     ! {fault}")));
        records::lines(&lines)
    }
}
