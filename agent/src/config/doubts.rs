//! What is right in a configuration, and perhaps not what was meant, as far as only all files together show it.

use std::collections::BTreeSet;
use std::mem;

use super::fault::{Fault, Faults};
use super::load::{Draft, MATCHER, RECEIVER, RULE, TIME_INTERVAL};
use super::source::Place;
use crate::consul::What;
use crate::rules::{Family, Hours, Rule, Rules, TimeIntervals};

/// So many rules are named in one warning.
const NAMED_MAX: usize = 5;

impl Draft<'_> {
    /// All warnings, also those that were found while the files were read.
    pub(super) fn doubts(&mut self, rules: &Rules) -> Faults {
        let mut warnings = mem::take(&mut self.warnings);
        warnings.extend(self.unreachable(rules));
        warnings.extend(self.unused());
        warnings.extend(self.everywhere(rules));
        warnings.extend(self.never_heard(rules));
        warnings.extend(rules.iter().filter_map(|rule| self.never_sends(rule)));
        Faults::new(warnings)
    }

    fn place_of(&self, kind: &'static str, name: &str) -> Option<Place> {
        self.defined.get(&(kind, name.to_owned())).cloned()
    }

    /// Rules after a final one that sends all that they would.
    fn unreachable(&self, rules: &Rules) -> Vec<Fault> {
        let warning = |(rule, last): (&Rule, &Rule)| {
            let problem = format!(
                "no event reaches this rule: `{}` before it is final and wants all of its events",
                last.name
            );
            let fault = Fault::at(self.place_of(RULE, &rule.name)?, problem);
            let fault = fault.other(self.place_of(RULE, &last.name)?, "this is the final one");
            Some(fault.help("put it before that one, or narrow that one").warning())
        };
        rules.unreachable().into_iter().filter_map(warning).collect()
    }

    /// Receivers and matchers that nothing names.
    fn unused(&self) -> Vec<Fault> {
        let named: BTreeSet<(&str, &str)> =
            self.references.iter().map(|(kind, name, _)| (*kind, name.as_str())).collect();
        let warning = |kind: &'static str, name: &str, place: &Place| {
            let (problem, help) = match kind {
                RECEIVER => (
                    "nothing is sent to",
                    "name it in the `receivers` of a rule or as a `fallback`, or leave it out",
                ),
                TIME_INTERVAL => (
                    "no rule names",
                    "name it in `mute_time_intervals` or `active_time_intervals` of a rule, or leave it out",
                ),
                MATCHER => ("no rule has", "name it in the `matchers` of a rule, or leave it out"),
                _ => return None,
            };
            Some(Fault::at(place.clone(), format!("{problem} {kind} `{name}`")).help(help).warning())
        };
        let unused = self.defined.iter().filter(|((kind, name), _)| !named.contains(&(*kind, name.as_str())));
        unused.filter_map(|((kind, name), place)| warning(kind, name, place)).collect()
    }

    /// A rule whose own conditions leave nothing to send.
    fn never_sends(&self, rule: &Rule) -> Option<Fault> {
        let (problem, help) = if let Some((one, other)) = rule.contradiction() {
            let (attribute, one, other) = (&one.attribute, &one.pattern, &other.pattern);
            (
                format!("`{}` never sends: `{attribute}` must be {one} and also {other}", rule.name),
                "leave one of the two out",
            )
        } else if rule.excepts_all() {
            (
                format!("`{}` never sends: its `unless` holds for all that it matches", rule.name),
                "narrow `unless`, or widen `match`",
            )
        } else {
            return None;
        };
        Some(Fault::at(self.place_of(RULE, &rule.name)?, problem).help(help).warning())
    }

    /// Rules that are mute whenever they are active.
    fn never_heard(&self, rules: &Rules) -> Vec<Fault> {
        let names = |hours: &[Hours]| hours.iter().map(|hours| hours.name.clone()).collect::<BTreeSet<_>>();
        let warning = |rule: &Rule| {
            let (mute, active) = (names(&rule.schedule.mute), names(&rule.schedule.active));
            let both = active.intersection(&mute).map(String::as_str).collect::<Vec<_>>().join(", ");
            let problem = match (both.is_empty(), active.is_subset(&mute)) {
                (true, _) => {
                    let all = |hours: &[Hours]| -> TimeIntervals {
                        hours.iter().flat_map(|hours| hours.intervals.iter()).cloned().collect()
                    };
                    if !all(&rule.schedule.mute).covers(&all(&rule.schedule.active)) {
                        return None;
                    }
                    let list = |names: BTreeSet<String>| names.into_iter().collect::<Vec<_>>().join(", ");
                    format!(
                        "`{}` never sends: in {}, where it is active, it is mute because of {}",
                        rule.name,
                        list(active),
                        list(mute)
                    )
                }
                (false, true) => {
                    format!("`{}` never sends: it is mute whenever it is active, in {both}", rule.name)
                }
                (false, false) => format!("`{}` is active and mute in {both}; then it is mute", rule.name),
            };
            let help = "take the time interval out of one of the two";
            Some(Fault::at(self.place_of(RULE, &rule.name)?, problem).help(help).warning())
        };
        rules.iter().filter_map(warning).collect()
    }

    /// Rules that fire beside each Lictor, since each sees the whole datacenter.
    fn everywhere(&self, rules: &Rules) -> Vec<Fault> {
        let mut warnings = Vec::new();
        for (watch, place) in self.watches.iter().zip(&self.watch_places) {
            let name = watch.name();
            let is_about = |rule: &&Rule| {
                rule.enabled
                    && (rule.watches.is_empty() || rule.watches.contains(&name))
                    && rule.on.iter().any(|kind| Family::from(*kind) == Family::Check)
            };
            let users: Vec<_> =
                rules.iter().filter(is_about).map(|rule| format!("`{}`", rule.name)).collect();
            if !matches!(watch.what, What::StateChecks(_) | What::ServiceChecks(_)) || users.is_empty() {
                continue;
            }
            let more = users.len().saturating_sub(NAMED_MAX);
            let mut named = users[..users.len().min(NAMED_MAX)].join(", ");
            if more > 0 {
                named = format!("{named} and {more} more");
            }
            let problem = format!(
                "every Lictor with this watch sees checks of the whole datacenter, so each of them fires {named}"
            );
            let help = "watch the checks of the node, so that each sees its own, or have these rules in one Lictor alone";
            warnings.push(Fault::at(place.clone(), problem).help(help).warning());
        }
        warnings
    }
}
