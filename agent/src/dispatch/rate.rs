//! How many calls begin within a time.
//!
//! Boundary: pure. The time is an argument.

use std::time::Duration;

use jiff::Timestamp;

/// So many calls may begin within such a time. They may all begin at once; then one more for each part of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimit {
    /// Calls; at least one.
    pub max: u32,
    /// The time.
    pub per: Duration,
}

/// What may begin now.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bucket {
    limit: RateLimit,
    tokens: u32,
    /// Up to when tokens were given; none while it is full.
    since: Option<Timestamp>,
}

impl Bucket {
    pub(super) fn full(limit: RateLimit) -> Self {
        Self { limit, tokens: limit.max, since: None }
    }

    /// What a start finds, where these calls began within the time before it, in their order. It may be less than there
    /// was, and not more: how much there was before the first of them is not known.
    pub(super) fn after(limit: RateLimit, calls: &[Timestamp]) -> Self {
        let began = u32::try_from(calls.len()).unwrap_or(u32::MAX);
        Self { limit, tokens: limit.max.saturating_sub(began), since: calls.last().copied() }
    }

    /// How many calls may begin at `now`.
    pub(super) fn tokens(&mut self, now: Timestamp) -> u32 {
        if let Some(since) = self.since {
            let one = self.one();
            let passed = Duration::try_from(now.duration_since(since)).unwrap_or_default();
            let new = u32::try_from(passed.as_nanos() / one.as_nanos()).unwrap_or(u32::MAX);
            self.tokens = self.tokens.saturating_add(new).min(self.limit.max);
            // A clock that was set back begins anew.
            let from =
                if now < since { now } else { since.checked_add(one.saturating_mul(new)).unwrap_or(now) };
            self.since = (self.tokens < self.limit.max).then_some(from);
        }
        self.tokens
    }

    /// So many calls begin at `now`.
    pub(super) fn take(&mut self, count: u32, now: Timestamp) {
        self.tokens = self.tokens.saturating_sub(count);
        if count > 0 {
            self.since.get_or_insert(now);
        }
    }

    /// How long after `now` the next one may begin, where none may.
    pub(super) fn wait(&self, now: Timestamp) -> Duration {
        let passed =
            self.since.map(|since| Duration::try_from(now.duration_since(since)).unwrap_or_default());
        self.one().saturating_sub(passed.unwrap_or_default())
    }

    /// The time for one.
    fn one(&self) -> Duration {
        (self.limit.per / self.limit.max.max(1)).max(Duration::from_nanos(1))
    }
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;

    #[test]
    fn all_at_once_and_then_one_for_each_part_of_the_time() {
        let mut bucket = Bucket::full(RateLimit { max: 3, per: Duration::from_secs(30) });
        let at = |seconds| Timestamp::UNIX_EPOCH + SignedDuration::from_secs(seconds);
        assert_eq!(bucket.tokens(at(0)), 3);
        bucket.take(3, at(0));
        assert_eq!((bucket.tokens(at(4)), bucket.wait(at(4))), (0, Duration::from_secs(6)));
        assert_eq!(bucket.tokens(at(10)), 1);
        bucket.take(1, at(10));
        assert_eq!((bucket.tokens(at(19)), bucket.tokens(at(25))), (0, 1));
        assert_eq!((bucket.tokens(at(29)), bucket.tokens(at(30))), (1, 2));
        assert_eq!((bucket.tokens(at(1000)), bucket.tokens(at(2000))), (3, 3), "never more than its bound");
    }

    #[test]
    fn a_start_finds_what_earlier_calls_left() {
        let limit = RateLimit { max: 2, per: Duration::from_secs(20) };
        let at = |seconds| Timestamp::UNIX_EPOCH + SignedDuration::from_secs(seconds);
        for (calls, now, want) in [
            (&[][..], 0, 2),
            (&[0], 5, 1),
            (&[0, 1], 5, 0),
            (&[0, 1], 11, 1),
            (&[20, 30], 31, 0),
            (&[20, 30], 40, 1),
            (&[0, 1], 21, 2),
            // More than the limit, which was another one then.
            (&[0, 0, 0, 0], 9, 0),
        ] {
            let calls: Vec<_> = calls.iter().map(|call| at(*call)).collect();
            assert_eq!(Bucket::after(limit, &calls).tokens(at(now)), want, "{calls:?} {now}");
        }
    }

    #[test]
    fn a_clock_that_is_set_back_costs_one_part_of_the_time() {
        let mut bucket = Bucket::full(RateLimit { max: 1, per: Duration::from_secs(10) });
        let at = |seconds| Timestamp::UNIX_EPOCH + SignedDuration::from_secs(seconds);
        bucket.take(1, at(1_000_000));
        assert_eq!((bucket.tokens(at(0)), bucket.wait(at(0))), (0, Duration::from_secs(10)));
        assert_eq!(bucket.tokens(at(10)), 1);
    }
}
