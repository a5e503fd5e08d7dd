//! What a person wants to hear nothing of for a while.

use jiff::Timestamp;

use super::{Alerts, Facts, Matcher};
use crate::event::Event;

/// Nothing that fits is sent until it ends.
#[derive(Clone, Debug)]
pub struct Silence {
    /// 8 hexadecimal digits.
    pub id: String,
    /// All of them must hold; at least one.
    pub matchers: Vec<Matcher>,
    /// From when on.
    pub starts_at: Timestamp,
    /// Until when.
    pub ends_at: Timestamp,
    /// Who wants it.
    pub created_by: String,
    /// Why.
    pub comment: String,
    /// It ends early once what it hides is over.
    pub expire_on_resolve: bool,
}

impl Silence {
    /// Does it hide `event` at `now`?
    pub fn hides(&self, event: &Event, now: Timestamp) -> bool {
        self.starts_at <= now && now < self.ends_at && self.fits(event)
    }

    /// Is it about what `event` is about? What it looks at must be there.
    pub(super) fn fits(&self, event: &Event) -> bool {
        let facts = Facts::of(event);
        self.matchers.iter().all(|matcher| matcher.holds(&facts))
    }
}

impl Alerts {
    /// The silences are these.
    pub fn silence(&mut self, silences: Vec<Silence>) {
        self.silences = silences;
        self.look_again();
    }

    /// The silences that ended early since this was asked last: their ids, and when.
    pub fn expired(&mut self) -> Vec<(String, Timestamp)> {
        std::mem::take(&mut self.expired)
    }

    /// The silences that are to end with what they hide, and that hide what `event` says is over.
    pub(super) fn resolves(&self, event: &Event, thing: &str, now: Timestamp) -> Vec<String> {
        if self.silences.is_empty() || !event.is_resolved() {
            return Vec::new();
        }
        let standing = self.standing(thing).into_iter().filter_map(|(rule, condition)| {
            self.known.get(&(thing.to_owned(), rule, condition)).map(|alert| &alert.event)
        });
        let over: Vec<&Event> = standing.chain([event]).collect();
        let ends = |silence: &&Silence| {
            silence.expire_on_resolve && over.iter().any(|event| silence.hides(event, now))
        };
        self.silences.iter().filter(ends).map(|silence| silence.id.clone()).collect()
    }

    /// Ends these silences, but for those that hide something else that goes on.
    pub(super) fn end_silences(&mut self, ids: &[String], now: Timestamp) {
        if ids.is_empty() {
            return;
        }
        let going_on: Vec<&Event> =
            self.known.values().filter(|alert| alert.goes_on()).map(|alert| &alert.event).collect();
        let over = |silence: &&mut Silence| {
            ids.contains(&silence.id) && !going_on.iter().any(|event| silence.hides(event, now))
        };
        let ended: Vec<_> = self
            .silences
            .iter_mut()
            .filter(over)
            .map(|silence| {
                silence.ends_at = now;
                (silence.id.clone(), now)
            })
            .collect();
        if !ended.is_empty() {
            self.expired.extend(ended);
            self.look_again();
        }
    }
}
