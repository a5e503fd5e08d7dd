//! `lictor explain`: why an event was sent, or not, and what became of it.

use anyhow::{Context, Result};
use serde::Serialize;

use super::records::{json_lines, lines, open, say, table, whole};
use super::{ConfigArgs, variable};
use crate::config::{Config, Look};
use crate::rules::{Facts, Rule, Rules, Verdict, remembered};
use crate::store::{Record, Seen, State};

/// What a person is shown of an event's data, where it is there.
const SHOWN: [&str; 18] = [
    "from",
    "to",
    "since",
    "service",
    "address",
    "port",
    "changed",
    "key",
    "old_value",
    "value",
    "name",
    "payload",
    "watch",
    "reason",
    "node_role",
    "initial",
    "catch_up",
    "output",
];

/// An event with all that is known of it.
#[derive(Serialize)]
struct Explained {
    id: String,
    #[serde(rename = "type")]
    kind: String,
    source: String,
    subject: String,
    time: jiff::Timestamp,
    node: String,
    environment: String,
    data: serde_json::Value,
    /// None: the configuration has faults.
    rules: Option<Vec<Judged>>,
    deliveries: Vec<Record>,
    /// What rules remember of it.
    remembered: Vec<Remembered>,
}

/// What a rule remembers of the event.
#[derive(Serialize)]
struct Remembered {
    rule: String,
    state: String,
}

/// What a rule makes of the event.
#[derive(Serialize)]
struct Judged {
    rule: String,
    /// None where it leaves the event alone.
    receivers: Option<Vec<String>>,
    /// Of them those that do not want it: it says that a check passes again, and their `send_resolved` is false.
    unwanted: Vec<String>,
    /// Why it leaves it alone.
    because: Option<String>,
}

pub(super) fn explain(args: &ConfigArgs, id: &str, json: bool) -> Result<()> {
    let config = Config::load(&args.paths, &variable, Look::Inside);
    let store = open(args)?;
    let explain = |seen: Seen| {
        let remembered = store.remembered(&seen.event.id)?.into_iter().map(|(rule, state, due)| {
            let state = remembered(&state, due).unwrap_or_else(|error| error.to_string());
            Remembered { rule, state }
        });
        let remembered = remembered.collect();
        Ok(Explained { remembered, ..explained(seen, config.as_ref().ok())? })
    };
    let explained: Vec<_> = store.events(id)?.into_iter().map(explain).collect::<Result<_>>()?;
    if json {
        return say(&json_lines(&explained)?);
    }
    say(&explained.iter().map(in_words).collect::<Vec<_>>().join("\n"))
}

fn explained(Seen { event, watch, deliveries }: Seen, config: Option<&Config>) -> Result<Explained> {
    let whole = whole(&event).with_context(|| format!("read event {}", event.id))?;
    let wanted = |name: &str| {
        let receiver = config.and_then(|config| config.receivers.iter().find(|known| known.name == name));
        receiver.is_none_or(|receiver| receiver.wishes.want(&whole))
    };
    let facts = Facts::of(&whole);
    let judge = |(rule, verdict): (&Rule, Verdict<'_>)| {
        let because = rule.objection(&verdict, &facts, Some(&watch));
        let receivers = because.is_none().then(|| rule.receivers.clone());
        let unwanted = receivers.iter().flatten().filter(|name| !wanted(name)).cloned().collect();
        Judged { rule: rule.name.clone(), receivers, unwanted, because }
    };
    let judged = |rules: &Rules| rules.iter().zip(rules.verdicts(&facts, Some(&watch))).map(judge).collect();
    Ok(Explained {
        rules: config.map(|config| judged(&config.rules)),
        data: serde_json::from_str(&event.data).context("read an event's data")?,
        id: event.id,
        kind: event.kind,
        source: event.source,
        subject: event.subject,
        time: event.time,
        node: event.node,
        environment: event.environment,
        deliveries,
        remembered: Vec::new(),
    })
}

fn in_words(explained: &Explained) -> String {
    let Explained { id, kind, subject, time, node, data, rules, deliveries, remembered, .. } = explained;
    let mut told = vec![
        format!("event      {id}"),
        format!("type       {kind}"),
        format!("subject    {subject}"),
        format!("seen       {time} on {node}"),
    ];
    for name in SHOWN {
        let value = data.get(name).filter(|value| !value.is_null() && value.as_str() != Some(""));
        told.extend(value.map(|value| {
            let shown = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            format!("{name:<10} {shown}")
        }));
    }
    told.extend([String::new(), "What the rules of the present configuration make of it".into()]);
    match rules {
        None => told.push("  not known: the configuration has faults, see `lictor validate`".into()),
        Some(rules) => told.extend(rules.iter().map(|judged| {
            let by_rule = |rule: &String| *rule == judged.rule;
            let waits = remembered.iter().any(|of| by_rule(&of.rule));
            let mut made = deliveries.iter().filter(|delivery| by_rule(&delivery.rule)).peekable();
            let withheld = made.peek().is_some() && made.all(|delivery| delivery.state == State::Suppressed);
            let sent = deliveries.iter().any(|of| by_rule(&of.rule) && of.state != State::Suppressed);
            judged.in_words(match (sent, withheld, waits) {
                (true, ..) => Fate::Sent,
                (false, true, _) => Fate::Withheld,
                (false, false, true) => Fate::Waits,
                (false, false, false) => Fate::Unknown,
            })
        })),
    }
    if !remembered.is_empty() {
        told.extend([String::new(), "What rules remember of it".into()]);
        told.extend(remembered.iter().map(|of| format!("  {}: {}", of.rule, of.state)));
    }
    told.extend([String::new(), "Deliveries".into()]);
    let deliveries = if deliveries.is_empty() { "  none\n".into() } else { table(deliveries) };
    lines(&told) + &deliveries
}

/// What became of an event that a rule matches.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Sent,
    Withheld,
    Waits,
    /// There is no delivery by this rule.
    Unknown,
}

impl Judged {
    fn in_words(&self, fate: Fate) -> String {
        let rule = &self.rule;
        let because = self.because.as_deref().unwrap_or_default();
        let Some(receivers) = &self.receivers else {
            return match fate {
                Fate::Sent => {
                    format!("  {rule}: sent as the end of what it told before; by itself {because}")
                }
                _ => format!("  {rule}: left alone, {because}"),
            };
        };
        let receivers = receivers.join(", ");
        let unwanted = self.unwanted.join(", ");
        match fate {
            Fate::Withheld => format!("  {rule}: for {receivers}, and not sent: see the deliveries"),
            Fate::Waits => format!("  {rule}: for {receivers}, and not sent yet"),
            Fate::Sent | Fate::Unknown if unwanted.is_empty() => format!("  {rule}: sent to {receivers}"),
            Fate::Sent | Fate::Unknown => format!(
                "  {rule}: sent to {receivers}, but {unwanted} wants no resolved (send_resolved = false)"
            ),
        }
    }
}
