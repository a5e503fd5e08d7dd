//! Whether and when an attempt that failed is made again.
//!
//! Boundary: pure. The time and the jitter are arguments.

use std::time::Duration;

use jiff::Timestamp;

use super::Failure;

/// How long a receiver is tried, and how fast.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// How many attempts are made, the first one included; 0 is for ever. Default: 12, which with the
    /// other defaults is two to four minutes.
    pub attempts: u32,
    /// The pause after the first failure; it doubles with each one. Default: 250 ms.
    pub backoff: Duration,
    /// The pause never grows longer than this. Default: 60 s.
    pub max_backoff: Duration,
    /// No attempt begins later than this after the commit. Default: none, the attempts alone are bounded.
    pub max_elapsed: Option<Duration>,
}

/// What was tried so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tries {
    /// Attempts, the one that failed included; at least one.
    pub count: u32,
    /// When the delivery was committed, or a person had it sent again.
    pub since: Timestamp,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            attempts: 12,
            backoff: Duration::from_millis(250),
            max_backoff: Duration::from_mins(1),
            max_elapsed: None,
        }
    }
}

/// What becomes of a delivery whose attempt failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It is tried again, not before this time.
    RetryAt(Timestamp),
    /// It is given up: it cannot work, or it was tried often enough.
    Dead,
}

/// The longest that a receiver can ask us to wait: what comes after it for the same check waits too, and a
/// server that says a year by mistake must not silence a check for it.
pub const RETRY_AFTER_MAX: Duration = Duration::from_hours(1);

/// Decides after `tries`, the last of which failed at `now`; `jitter` is from 0 to 1.
///
/// The jitter is an equal one: half of the pause is kept, half is drawn. Agents that fail together do
/// not come back together, and yet the bound on attempts stands for a known least time, which a full
/// jitter (from zero) would not give. A `retry-after` is the least pause, and the drawn half comes on
/// top of it, since it was likely said to many.
pub fn decide(
    policy: &RetryPolicy,
    tries: Tries,
    failure: &Failure,
    now: Timestamp,
    jitter: f64,
) -> Decision {
    let least = match failure {
        Failure::Permanent(_) | Failure::Refused(_) => return Decision::Dead,
        Failure::RetryAfter(_, after) => (*after).min(RETRY_AFTER_MAX),
        Failure::Transient(_) | Failure::Trapped(_) | Failure::Deadline(_) | Failure::Memory(_) => {
            Duration::ZERO
        }
    };
    if policy.attempts != 0 && tries.count >= policy.attempts {
        return Decision::Dead;
    }
    let half = pause(policy, tries.count) / 2;
    let wait = half.max(least).saturating_add(half.mul_f64(jitter.clamp(0.0, 1.0)));
    let at = now.checked_add(wait).unwrap_or(Timestamp::MAX);
    let not_after =
        policy.max_elapsed.map(|longest| tries.since.checked_add(longest).unwrap_or(Timestamp::MAX));
    if not_after.is_some_and(|not_after| at > not_after) {
        return Decision::Dead;
    }
    Decision::RetryAt(at)
}

/// The whole pause after attempt number `attempt`.
fn pause(policy: &RetryPolicy, attempt: u32) -> Duration {
    let doublings = attempt.saturating_sub(1).min(31);
    policy.backoff.saturating_mul(1 << doublings).min(policy.max_backoff)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn now() -> Timestamp {
        Timestamp::from_second(1_700_000_000).unwrap()
    }

    fn tries(count: u32) -> Tries {
        Tries { count, since: now() }
    }

    fn transient() -> Failure {
        Failure::Transient("refused".into())
    }

    fn after(milliseconds: u64) -> Failure {
        Failure::RetryAfter("busy".into(), Duration::from_millis(milliseconds))
    }

    /// The decision with the default policy: milliseconds to wait, or none for dead.
    #[track_caller]
    fn check(attempt: u32, failure: &Failure, jitter: f64, want: Option<i64>) {
        let waits = match decide(&RetryPolicy::default(), tries(attempt), failure, now(), jitter) {
            Decision::Dead => None,
            Decision::RetryAt(at) => Some(at.as_millisecond() - now().as_millisecond()),
        };
        assert_eq!(waits, want, "attempt {attempt}, jitter {jitter}: {failure:?}");
    }

    #[test]
    fn the_pause_doubles_up_to_its_bound() {
        for (attempt, whole) in [(1, 250), (2, 500), (3, 1000), (8, 32_000), (9, 60_000), (11, 60_000)] {
            check(attempt, &transient(), 1.0, Some(whole));
            check(attempt, &transient(), 0.0, Some(whole / 2));
        }
    }

    #[test]
    fn the_last_attempt_is_the_last() {
        check(12, &transient(), 0.5, None);
        check(13, &after(5), 0.5, None);
    }

    #[test]
    fn each_kind_of_failure_has_its_fate() {
        let text = || "why".to_owned();
        for (failure, again) in [
            (Failure::Transient(text()), true),
            (Failure::Trapped(text()), true),
            (Failure::Deadline(text()), true),
            (Failure::Memory(text()), true),
            (Failure::Permanent(text()), false),
            (Failure::Refused(text()), false),
        ] {
            check(1, &failure, 0.0, again.then_some(125));
        }
    }

    #[test]
    fn a_retry_after_is_kept_and_spread() {
        check(1, &after(30_000), 0.0, Some(30_000));
        check(1, &after(30_000), 1.0, Some(30_125));
        check(1, &after(10), 0.0, Some(125));
        check(1, &after(u64::MAX), 0.0, Some(3_600_000));
    }

    #[test]
    fn no_attempt_begins_after_the_longest_time() {
        let policy = RetryPolicy { max_elapsed: Some(Duration::from_secs(10)), ..RetryPolicy::default() };
        for (since_then, again) in [(0, true), (9_875, true), (9_876, false), (60_000, false)] {
            let now = now() + jiff::SignedDuration::from_millis(since_then);
            let decision = decide(&policy, tries(1), &transient(), now, 0.0);
            assert_eq!(decision != Decision::Dead, again, "{since_then} ms");
        }
    }

    #[test]
    fn a_time_beyond_all_times_is_the_last_one() {
        let policy =
            RetryPolicy { backoff: Duration::MAX, max_backoff: Duration::MAX, ..RetryPolicy::default() };
        let decision = decide(&policy, tries(1), &transient(), now(), 0.5);
        assert_eq!(decision, Decision::RetryAt(Timestamp::MAX));
    }

    proptest! {
        #[test]
        fn a_wait_stays_within_its_bounds(
            attempt in 1_u32..,
            backoff in 0_u64..1 << 40,
            max_backoff in 0_u64..1 << 40,
            least in prop::option::of(0_u64..=3_600_000),
            jitter in 0.0..=1.0_f64,
        ) {
            let policy = RetryPolicy {
                attempts: 0,
                backoff: Duration::from_millis(backoff),
                max_backoff: Duration::from_millis(max_backoff),
                max_elapsed: None,
            };
            let failure = least.map_or_else(transient, after);
            let Decision::RetryAt(at) = decide(&policy, tries(attempt), &failure, now(), jitter) else {
                return Err(TestCaseError::fail("without a bound on attempts there is always another one"));
            };
            let wait = Duration::try_from(at.duration_since(now())).unwrap();
            let least = Duration::from_millis(least.unwrap_or(0));
            let first = policy.backoff.min(policy.max_backoff);
            prop_assert!(wait >= least.max(first / 2));
            prop_assert!(wait <= least + policy.max_backoff);
            let later = decide(&policy, tries(attempt.saturating_add(1)), &failure, now(), jitter);
            prop_assert!(matches!(later, Decision::RetryAt(later) if later >= at), "a pause never shrinks");
        }
    }
}
