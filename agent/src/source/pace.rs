//! When to ask again: at once after news, later after an answer that brought none or an error.
//!
//! Boundary: pure; the time and the random number are arguments.
//!
//! A plain pause in the loop would lose most of a fast flap (with 100 ms, 95 % of the states at 200
//! changes a second), so only queries that turn out useless are slowed down.

use std::time::Duration;

use tokio::time::Instant;

/// This many useless answers in a row cost nothing: most such bursts end by themselves.
const BURST: u32 = 2;

/// Then one more is let through each 250 ms: under endless useless wake-ups, four queries a second
/// for Consul and at most 250 ms of delay for a change that falls into the pause.
const REFILL: Duration = Duration::from_millis(250);

/// After the first error we wait between half of this and all of it.
const BACKOFF_FIRST: Duration = Duration::from_millis(500);

/// Errors never make us wait longer than this, so a Consul that is back is seen within it.
const BACKOFF_MAX: Duration = Duration::from_secs(30);

/// A token bucket that holds `BURST` tokens.
#[derive(Clone, Debug, Default)]
pub(super) struct Bucket {
    /// When it will be full again, if nothing more is taken.
    full_at: Option<Instant>,
}

impl Bucket {
    /// Takes a token, and says how long to wait for it.
    pub(super) fn take(&mut self, now: Instant) -> Duration {
        let full_at = self.full_at.map_or(now, |at| at.max(now)) + REFILL;
        self.full_at = Some(full_at);
        full_at.saturating_duration_since(now + BURST * REFILL)
    }
}

/// How long to wait after so many `failures` in a row: doubled each time up to a bound, and spread
/// by `jitter` over its upper half, so that the agents of a cluster do not come back together.
pub(super) fn backoff(failures: u32, jitter: u16) -> Duration {
    let doubled =
        2u32.checked_pow(failures.saturating_sub(1)).and_then(|factor| BACKOFF_FIRST.checked_mul(factor));
    let half = doubled.map_or(BACKOFF_MAX, |delay| delay.min(BACKOFF_MAX)) / 2;
    half + half * u32::from(jitter) / u32::from(u16::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[track_caller]
    fn check_backoff(failures: u32, low: u32, high: u32) {
        assert_eq!((backoff(failures, 0), backoff(failures, u16::MAX)), (low * MS, high * MS));
    }

    #[test]
    fn errors_double_the_pause_up_to_half_a_minute() {
        check_backoff(1, 250, 500);
        check_backoff(2, 500, 1_000);
        check_backoff(6, 8_000, 16_000);
        check_backoff(7, 15_000, 30_000);
        check_backoff(u32::MAX, 15_000, 30_000);
    }

    #[test]
    fn a_burst_is_free_and_then_each_token_takes_its_time() {
        let (mut bucket, mut now) = (Bucket::default(), Instant::now());
        let mut take = |now| bucket.take(now).as_millis();
        assert_eq!((take(now), take(now), take(now)), (0, 0, 250));
        now += 250 * MS;
        assert_eq!(take(now), 250);
        now += 300 * MS;
        assert_eq!(take(now), 200);
    }

    #[test]
    fn a_quiet_time_fills_the_bucket_and_no_more() {
        let (mut bucket, now) = (Bucket::default(), Instant::now());
        let mut take = |now| bucket.take(now).as_millis();
        assert_eq!((take(now), take(now), take(now)), (0, 0, 250));
        let later = now + 60_000 * MS;
        assert_eq!((take(later), take(later), take(later)), (0, 0, 250));
    }
}
