//! What an event is taken in with, rule by rule.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::alert::Withheld;
use super::alerts::{Decision, Policy};
use super::group::{GroupKey, Member};

/// The groups that events changed, and the members that they told of.
pub(super) type Touched = BTreeMap<GroupKey, BTreeSet<Member>>;

/// An event, for one rule.
pub(super) struct Step<'a> {
    pub(super) policy: Policy<'a>,
    pub(super) rule: usize,
    pub(super) now: Timestamp,
    pub(super) decisions: &'a mut Vec<Decision>,
    pub(super) touched: &'a mut Touched,
}

impl Step<'_> {
    /// Does not send these.
    pub(super) fn withhold(&mut self, withheld: impl IntoIterator<Item = Withheld>) {
        let rule = self.rule;
        self.decisions.extend(withheld.into_iter().map(|Withheld { event, reason, detail }| {
            Decision::Withhold { rule, event: Box::new(event), reason, detail }
        }));
    }
}
