//! Does a check go to and fro too often?
//!
//! Nagios' and Sensu's measure: of 21 samples in a row, how many differ from the one before, those of late weighing
//! more (0.8 for the oldest pair, 1.18 for the newest). Consul tells transitions and not results, so the samples are
//! taken by a clock: each interval in which the result was another at least once counts as one that differs.
//!
//! Boundary: pure. Intervals are counted from the epoch, so all agents take the same samples.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Timing;

/// Pairs of samples.
const PAIRS: u32 = 20;

/// How often a check's result was another of late.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flaps {
    /// The last transition.
    at: Timestamp,
    /// A bit for each of the last intervals up to the one of that, the lowest for the newest: there was a transition.
    transitions: u32,
    /// It flaps.
    pub flapping: bool,
}

impl Flaps {
    /// After `old`, when there was a transition, or none.
    pub(super) fn follow(
        old: Option<Self>,
        transition: bool,
        now: Timestamp,
        timing: &Timing,
    ) -> Option<Self> {
        let was = old.is_some_and(|old| old.flapping);
        let transitions = old.map_or(0, |old| old.after(old.passed(now, timing))) | u32::from(transition);
        let share = percent(transitions);
        if transition {
            let threshold = if was { timing.low_flap_threshold } else { timing.high_flap_threshold };
            return Some(Self { at: now, transitions, flapping: share >= threshold });
        }
        // What did not change is kept as it is: nothing is written because time goes by.
        old.filter(|old| !old.flapping || share >= timing.low_flap_threshold)
    }

    /// When it flaps no more if there is no further transition; none where it does not flap.
    pub(super) fn ends_at(self, timing: &Timing) -> Option<Timestamp> {
        let calm = |later: &i64| percent(self.after(*later)) < timing.low_flap_threshold;
        let later = self.flapping.then(|| (1..=i64::from(PAIRS)).find(calm).unwrap_or(i64::from(PAIRS)))?;
        let millis = (interval(self.at, timing) + later).saturating_mul(millis(timing));
        Timestamp::from_millisecond(millis).ok()
    }

    /// The intervals since the last transition, whatever they were before. A clock that was set back makes none.
    fn passed(self, now: Timestamp, timing: &Timing) -> i64 {
        (interval(now, timing) - interval(self.at, timing)).max(0)
    }

    /// The transitions as they are so many intervals later.
    fn after(self, intervals: i64) -> u32 {
        let later = u32::try_from(intervals).unwrap_or(PAIRS);
        let all = (1 << PAIRS) - 1;
        self.transitions.checked_shl(later).unwrap_or(0) & all
    }
}

fn millis(timing: &Timing) -> i64 {
    i64::try_from(timing.flap_interval.as_millis()).unwrap_or(i64::MAX).max(1)
}

fn interval(now: Timestamp, timing: &Timing) -> i64 {
    now.as_millisecond().div_euclid(millis(timing))
}

/// The weighted share of the pairs that differ. The newest weighs 118 of a hundred, the oldest 80.
fn percent(transitions: u32) -> u32 {
    (0..PAIRS).filter(|pair| transitions >> pair & 1 == 1).map(|pair| 118 - 2 * pair).sum::<u32>() / PAIRS
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Intervals of a minute, and the thresholds of the default.
    fn timing() -> Timing {
        Timing { flap_interval: std::time::Duration::from_mins(1), ..Timing::default() }
    }

    fn minute(minute: i64) -> Timestamp {
        Timestamp::from_second(60 * minute + 7).unwrap()
    }

    /// After a transition in each of these minutes.
    fn after(minutes: impl IntoIterator<Item = i64>) -> Option<Flaps> {
        let follow = |old, at| Flaps::follow(old, true, minute(at), &timing());
        minutes.into_iter().fold(None, follow)
    }

    fn flaps(flaps: Option<Flaps>) -> bool {
        flaps.is_some_and(|flaps| flaps.flapping)
    }

    #[test]
    fn the_share_is_weighted_by_how_late_a_transition_was() {
        assert_eq!((percent(0), percent(1), percent(1 << 19)), (0, 5, 4));
        assert_eq!(percent((1 << 20) - 1), 99);
    }

    #[test]
    fn it_flaps_from_the_high_threshold_on_until_the_low_one() {
        assert!(!flaps(after([0, 1, 2, 3, 4])));
        assert!(flaps(after([0, 1, 2, 3, 4, 5])));
        assert!(!flaps(after([0, 10, 20, 30, 40, 50, 60])), "now and then is not to and fro");
        assert!(!flaps(after([7; 40])), "one interval is one sample, however often it changes in it");
        let started = after(0..6);
        let later = |minute_| Flaps::follow(started, false, minute(minute_), &timing());
        assert_eq!(later(6), started, "nothing is written because time goes by");
        let ends = started.unwrap().ends_at(&timing()).unwrap();
        let last = ends.as_second() / 60 - 1;
        assert!(flaps(later(last)));
        assert_eq!(later(last + 1), None);
        assert!(last > 6, "calm for a while: {last}");
    }

    #[test]
    fn another_interval_in_the_configuration_does_not_make_it_flap_for_ever() {
        let started = after(0..6);
        for seconds in [1, 3600] {
            let timing = Timing { flap_interval: std::time::Duration::from_secs(seconds), ..timing() };
            let ends = started.unwrap().ends_at(&timing).unwrap();
            assert!(ends <= Timestamp::from_second(21 * 3600).unwrap(), "{ends}");
            assert_eq!(Flaps::follow(started, false, ends, &timing), None);
        }
    }

    #[test]
    fn a_clock_that_is_set_back_ends_nothing() {
        let started = after(0..6);
        assert_eq!(Flaps::follow(started, false, minute(-1000), &timing()), started);
        assert!(flaps(Flaps::follow(started, true, minute(-1000), &timing())));
    }
}
