//! Which events were told, and by which watches: an event that two of them tell happened once.

use std::collections::{HashMap, VecDeque};

/// So many events are remembered. Watches that see the same tell it within seconds of each other.
const EVENTS_MAX: usize = 4096;

/// The last events, by their ids, each with the watches that told it.
#[derive(Debug, Default)]
pub(super) struct Heard {
    watches: HashMap<String, Vec<String>>,
    order: VecDeque<String>,
}

impl Heard {
    /// Notes that `watch` tells an event, and gives the watches that told it before.
    pub(super) fn note(&mut self, event: &str, watch: &str) -> Vec<String> {
        if let Some(known) = self.watches.get_mut(event) {
            let before = known.clone();
            if !before.iter().any(|known| known == watch) {
                known.push(watch.to_owned());
            }
            return before;
        }
        if self.order.len() >= EVENTS_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.watches.remove(&oldest);
        }
        self.order.push_back(event.to_owned());
        self.watches.insert(event.to_owned(), vec![watch.to_owned()]);
        Vec::new()
    }

    /// Consul's indexes began anew: an id that comes again is another event.
    pub(super) fn forget(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_has_the_watches_that_told_it_until_many_others_came() {
        let mut heard = Heard::default();
        assert!(heard.note("e", "a").is_empty());
        assert_eq!(heard.note("e", "b"), ["a"]);
        assert_eq!(heard.note("e", "b"), ["a", "b"]);
        for number in 0..EVENTS_MAX {
            heard.note(&number.to_string(), "a");
        }
        assert!(heard.note("e", "b").is_empty());
        assert_eq!((heard.order.len(), heard.watches.len()), (EVENTS_MAX, EVENTS_MAX));
        heard.forget();
        assert!(heard.note("e", "b").is_empty());
    }
}
