//! What a person wants to hear nothing of for a while.

use jiff::Timestamp;

use super::{Facts, Matcher};
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
