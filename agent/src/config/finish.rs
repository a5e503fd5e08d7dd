//! What only all files together show: that what is named is there, and what a configuration is in the end.

use std::collections::{BTreeMap, BTreeSet};
use std::mem;
use std::sync::Arc;

use super::fault::{Fault, Faults};
use super::load::{Draft, MATCHER, RECEIVER, TIME_INTERVAL, WATCH};
use super::rules::never;
use super::{Config, Look, Rejected, consul, fallback, timing, watch, words};
use crate::rules::{Named, Roles, Rules};

impl Draft<'_> {
    /// The configuration, or all that is wrong with it.
    pub(super) fn finish(mut self) -> Result<Config, Box<Rejected>> {
        let known = |section| !self.partial && !self.unread.contains(section);
        let (receivers, consul, watches) = (known("receivers"), known("consul"), known("watch"));
        let (matchers, intervals) = (known("matchers"), known("time_intervals"));
        if receivers {
            self.refer(RECEIVER, |name| format!("add a table [receivers.{name}]"));
            self.faults.extend(fallback::circles(&self.receivers));
        }
        if watches {
            self.refer(WATCH, |name| format!("add `label = {name:?}` to a [[watch]]"));
        }
        if matchers {
            self.refer(MATCHER, |name| format!("add a table [matchers.{name}]"));
        }
        if intervals {
            self.refer(TIME_INTERVAL, |name| format!("add [[time_intervals]] with `name = {name:?}`"));
        }
        if consul && self.look == Look::Everywhere {
            self.faults.extend(self.consul_in_use());
        }
        if !self.faults.is_empty() {
            return Err(Box::new(Rejected {
                faults: Faults::new(self.faults),
                receivers: self.receivers,
                data_dir: self.agent.data_dir,
            }));
        }
        let rules = self.rules();
        let warnings = self.doubts(&rules);
        if self.watches.is_empty() {
            self.watches.push(watch::default());
        }
        Ok(Config {
            agent: self.agent,
            consul: self.consul,
            watches: self.watches,
            roles: Roles::from_iter(self.roles),
            rules,
            warnings,
            receivers: self.receivers,
            labels: self.labels,
            time_intervals: self.time_intervals,
            inhibit_rules: self.built_in.rules().into_iter().chain(self.inhibit_rules).collect(),
        })
    }

    fn consul_in_use(&self) -> Vec<Fault> {
        let place = self.defined.get(&("the table", "[consul]".to_owned()));
        let fault = |problem: String| match place {
            Some(place) => Fault::at(place.clone(), format!("failed to {problem}")),
            None => Fault::in_variable("CONSUL_*", format!("failed to {problem}")),
        };
        consul::in_use(&self.consul).into_iter().map(fault).collect()
    }

    /// What is named must be defined, in whatever file.
    fn refer(&mut self, kind: &'static str, add: fn(&str) -> String) {
        let names: BTreeSet<&str> =
            self.defined.keys().filter(|(of, _)| *of == kind).map(|(_, name)| name.as_str()).collect();
        for (_, name, place) in self.references.iter().filter(|(of, ..)| *of == kind) {
            if names.contains(name.as_str()) {
                continue;
            }
            let help = match words::nearest(name, names.iter().copied()) {
                Some(near) => format!("did you mean {near:?}?"),
                None if names.is_empty() => add(name),
                None => format!("{}, or name {}", add(name), words::values(names.iter().copied())),
            };
            self.faults.push(
                Fault::at(place.clone(), format!("there is no {} {name:?}", kind.trim_start_matches("the ")))
                    .help(help),
            );
        }
    }

    /// Rules name watches by their labels, the store by what they ask for; and they share the matchers that they name.
    fn rules(&mut self) -> Rules {
        let by_name: BTreeMap<&str, &Arc<Named>> =
            self.matchers.iter().map(|matcher| (matcher.name.as_str(), matcher)).collect();
        let mut whole = Vec::new();
        for (mut rule, matchers) in mem::take(&mut self.rules) {
            for watch in &mut rule.watches {
                if let Some(name) = self.labels.get(watch) {
                    watch.clone_from(name);
                }
            }
            timing::resolve(&mut rule.schedule, &self.time_intervals);
            for (name, place) in &matchers {
                let Some(named) = by_name.get(name.as_str()) else { continue };
                let doubts = named.matches.iter().filter_map(|matcher| never(&rule.on, matcher, place));
                self.warnings.extend(doubts);
                rule.named.push(Arc::clone(named));
            }
            whole.push(rule);
        }
        whole.into()
    }
}
