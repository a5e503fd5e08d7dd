//! What is remembered of events, to rows and back.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use jiff::Timestamp;

use super::alert::{Alert, Phase};
use super::alerts::{Alerts, Policy, Row};
use super::group::Times;
use crate::event::Condition;

/// A row that is not to be read: of another Lictor, or damaged. The text says why.
#[derive(Debug, thiserror::Error)]
#[error("read what the rule {rule:?} keeps as {key:?}")]
pub struct KeptError {
    rule: String,
    key: String,
    source: Option<serde_json::Error>,
}

/// What the JSON of an alert says, for a person; `due` is the time in its row.
///
/// # Errors
/// It is not that of an alert.
pub fn remembered(state: &str, due: Option<Timestamp>) -> Result<String, serde_json::Error> {
    let alert: Alert = serde_json::from_str(state)?;
    let until = due.map(|due| format!(" until {due:.0}")).unwrap_or_default();
    Ok(match alert.phase {
        Phase::Counting => format!("it did not happen often enough; counted{until}"),
        Phase::Held => format!("held since {:.0}{until}: it must go on", alert.since),
        Phase::Ready => match alert.blocked {
            Some((reason, detail)) => format!("waits, {}: {detail}", reason.as_str()),
            None => "waits for its group".into(),
        },
        Phase::Firing => format!("was sent, and goes on since {:.0}", alert.since),
        Phase::Ending(event, _) => {
            format!("is over by event {}, and not told{until}: it may come again", event.id)
        }
    })
}

impl Alerts {
    /// What is to be stored, since this was asked last.
    pub fn changes(&mut self, policy: Policy<'_>) -> Vec<Row> {
        let gone = |(rule, key)| Row { rule, key, state: None, due_at: None };
        let mut rows: Vec<_> = std::mem::take(&mut self.unknown).into_iter().map(gone).collect();
        for key in std::mem::take(&mut self.changed) {
            let alert = self.known.get(&key);
            let (thing, rule, condition) = key;
            let Some(rule) = policy.rules.get(rule) else { continue };
            rows.push(Row {
                rule: rule.name.clone(),
                key: format!("alert {condition} {thing}"),
                state: alert.and_then(|alert| serde_json::to_string(alert).ok()),
                due_at: alert.and_then(|alert| alert.due(&rule.schedule)),
            });
        }
        for (rule, name) in std::mem::take(&mut self.changed_groups) {
            let group = self.groups.get(&(rule, name.clone()));
            let times = group.map(|group| group.times).filter(|times| *times != Times::default());
            let Some(rule) = policy.rules.get(rule) else { continue };
            rows.push(Row {
                rule: rule.name.clone(),
                key: format!("group {name}"),
                state: times.and_then(|times| serde_json::to_string(&times).ok()),
                due_at: group.and_then(|group| group.due).filter(|due| *due != Timestamp::MIN),
            });
        }
        rows
    }

    /// What `rows` say, by the rules as they are now, and the alerts that these rules have no use for: rule, and what of
    /// which thing. All `watches` are yet to be followed.
    pub fn load(
        policy: Policy<'_>,
        watches: &BTreeSet<String>,
        rows: impl IntoIterator<Item = (String, String, String)>,
    ) -> Result<(Self, Vec<(String, String)>), KeptError> {
        let (mut alerts, mut unused) = (Self::default(), Vec::new());
        let (mut times, mut regrouped) = (BTreeMap::new(), Vec::new());
        let positions: HashMap<&str, usize> =
            policy.rules.iter().enumerate().map(|(at, rule)| (rule.name.as_str(), at)).collect();
        for (name, key, state) in rows {
            let error = |source| KeptError { rule: name.clone(), key: key.clone(), source };
            let rule = positions.get(name.as_str()).filter(|at| policy.rules[**at].enabled);
            let Some((at, rule)) = rule.map(|at| (*at, &policy.rules[*at])) else {
                unused.extend(key.strip_prefix("alert ").map(|what| (name.clone(), what.to_owned())));
                alerts.unknown.push((name, key));
                continue;
            };
            if let Some(group) = key.strip_prefix("group ") {
                let state: Times = serde_json::from_str(&state).map_err(|source| error(Some(source)))?;
                times.insert((at, group.to_owned()), state);
                continue;
            }
            let parts = key.strip_prefix("alert ").and_then(|rest| rest.split_once(' '));
            let (word, thing) = parts.ok_or_else(|| error(None))?;
            let condition = Condition::ALL.into_iter().find(|condition| condition.as_str() == word);
            let condition = condition.ok_or_else(|| error(None))?;
            let mut alert: Alert = serde_json::from_str(&state).map_err(|source| error(Some(source)))?;
            let still = alert.last || rule.fires(&alert.event, &alert.of.watch);
            if !still || !watches.contains(&alert.of.watch) {
                unused.push((name.clone(), format!("{condition} {thing}")));
                alerts.unknown.push((name, key));
                continue;
            }
            if alert.group_by != rule.grouped_by() {
                let before = (at, alert.group);
                (alert.group, alert.group_by) = rule.group_of(&alert.event);
                regrouped.push(((at, alert.group.clone()), before));
            }
            let group = alerts.groups.entry((at, alert.group.clone())).or_default();
            group.put((thing.to_owned(), condition), alert.standing(&rule.schedule));
            alerts.known.insert((thing.to_owned(), at, condition), alert);
        }
        for (key, before) in regrouped {
            // So that what was sent before is not sent under the same number again.
            if let (Some(group), Some(times)) = (alerts.groups.get_mut(&key), times.get(&before)) {
                group.times.join(*times);
                alerts.changed_groups.insert(key);
            }
        }
        for (key, times) in times {
            // What is in no group any more may still rest.
            let group = alerts.groups.entry(key).or_default();
            let joined = group.times;
            group.times = times;
            group.times.join(joined);
        }
        for key in alerts.groups.keys().cloned().collect::<Vec<_>>() {
            alerts.look_at(&key);
        }
        Ok((alerts, unused))
    }
}
