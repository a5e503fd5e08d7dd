//! What follows from it that a delivery is given up: pure, like all routing.

use jiff::Timestamp;

use super::Routing;
use crate::event::id::derive;
use crate::event::{Event, EventData, EventType, Undelivered};
use crate::rules::{Decision, Told};
use crate::store::{Aftermath, Claimed, Fallback};

impl Routing {
    /// What follows from the death of `claimed`, whose last attempt ended with `outcome` and `detail`: its event for
    /// the receiver's `fallback`, and a `delivery.dead` event by the rules.
    ///
    /// The death of a delivery that tells of another one's death is told to nobody, or two receivers that are down
    /// would tell of each other for ever.
    pub fn after_death(
        &self,
        claimed: &Claimed,
        (outcome, detail): (&str, &str),
        now: Timestamp,
    ) -> Aftermath {
        let wishes = |receiver: &str| self.wishes.get(receiver);
        let fallback = wishes(&claimed.receiver).and_then(|wishes| wishes.fallback.clone());
        let fallback = fallback.map(|receiver| Fallback {
            overlap: wishes(&receiver).map(|wishes| wishes.overlap).unwrap_or_default(),
            lane: wishes(&receiver).map(|wishes| wishes.lane).unwrap_or_default(),
            receiver,
        });
        let events: Vec<_> = dead(claimed, (outcome, detail), now).into_iter().collect();
        // What was given up is told at once, whatever silences and other rules say.
        let send = |(at, event)| {
            let firing = self.rules.firing(event, None).into_iter();
            firing.map(move |rule| Decision::Send { rule, events: vec![Told::New(at)], group: None, nth: 0 })
        };
        let decisions = events.iter().enumerate().flat_map(send).collect();
        let deliveries = self.in_deliveries(&events, decisions, now).deliveries;
        Aftermath { fallback, events, deliveries }
    }
}

/// The event that tells of a death. None where the event is itself one, or cannot be read.
fn dead(claimed: &Claimed, (outcome, detail): (&str, &str), now: Timestamp) -> Option<Event> {
    let kind = EventType::DeliveryDead;
    if claimed.event.kind.ends_with(kind.as_str()) {
        return None;
    }
    let data: EventData = serde_json::from_str(&claimed.event.data).ok()?;
    let delivery = Undelivered {
        id: claimed.id.clone(),
        rule: claimed.rule.clone(),
        receiver: claimed.receiver.clone(),
        attempts: claimed.attempt,
        outcome: outcome.to_owned(),
        detail: detail.to_owned(),
    };
    Some(Event {
        // One that is sent again may die again.
        id: derive(&[kind.as_str().as_bytes(), claimed.id.as_bytes(), &claimed.attempt.to_be_bytes()]),
        source: claimed.event.source.clone(),
        kind,
        subject: claimed.event.subject.clone(),
        time: now,
        data: EventData { delivery: Some(delivery), ..data },
    })
}
