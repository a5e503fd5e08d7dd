//! How much CPU time a call has used, and when that or its deadline is over.
//!
//! A tick of the epoch says only that time has passed: a guest that waits in a capability, or for its turn
//! on a busy machine, uses no CPU. So the meter asks the operating system for the thread's CPU time, at both
//! ends of each poll of the call's future; between those the future stays on one thread.

use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use tokio::time::Instant;
use wasmtime::UpdateDeadline;

/// The limit of time that a call went over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum OverTime {
    /// It used its CPU time.
    #[error("the CPU time is used up")]
    Cpu,
    /// It was not done by its deadline.
    #[error("the deadline is over")]
    Wall,
}

/// The CPU time of one call, in nanoseconds.
///
/// Atomic only because the future and the epoch's callback share it; both run on the thread that polls.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    spent: AtomicU64,
    resumed_at: AtomicU64,
}

impl Meter {
    /// Drives `call` and counts its CPU time.
    pub(crate) async fn measure<T>(&self, call: impl Future<Output = T>) -> T {
        let mut call = pin!(call);
        std::future::poll_fn(|context| {
            self.resumed_at.store(thread_cpu_ns(), Relaxed);
            let poll = call.as_mut().poll(context);
            self.spent.store(self.used_ns(), Relaxed);
            poll
        })
        .await
    }

    /// Counts what was used for it before.
    pub(crate) fn add(&self, used: Duration) {
        self.spent.fetch_add(u64::try_from(used.as_nanos()).unwrap_or(u64::MAX), Relaxed);
    }

    /// What the call used, as far as it was driven.
    pub(crate) fn spent(&self) -> Duration {
        Duration::from_nanos(self.spent.load(Relaxed))
    }

    /// What to do at a tick of the epoch: stop the guest, or let others run before it goes on.
    pub(crate) fn tick(&self, cpu: Duration, deadline: Instant) -> Result<UpdateDeadline, OverTime> {
        if Duration::from_nanos(self.used_ns()) >= cpu {
            return Err(OverTime::Cpu);
        }
        // A timer fires late while guests spin on every thread of the runtime, so the deadline is checked
        // here too.
        if Instant::now() >= deadline {
            return Err(OverTime::Wall);
        }
        // A plain `Yield` wakes itself at once and is polled before anything else; tokio's own yield goes
        // to the end of the queue.
        Ok(UpdateDeadline::YieldCustom(1, Box::pin(tokio::task::yield_now())))
    }

    /// Only right while the call is polled, on that thread.
    fn used_ns(&self) -> u64 {
        let running = thread_cpu_ns().saturating_sub(self.resumed_at.load(Relaxed));
        self.spent.load(Relaxed).saturating_add(running)
    }
}

/// The CPU time that this thread has used since it began.
pub(crate) fn thread_cpu_ns() -> u64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
    let nanoseconds = u64::try_from(time.tv_nsec).unwrap_or_default();
    seconds.saturating_mul(1_000_000_000).saturating_add(nanoseconds)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Burns CPU time until this thread has used `ns` more.
    pub(crate) fn burn(ns: u64) {
        let start = thread_cpu_ns();
        while thread_cpu_ns() - start < ns {}
    }

    #[tokio::test]
    async fn only_work_counts_and_it_adds_up_over_polls() {
        let meter = Meter::default();
        meter
            .measure(async {
                burn(2_000_000);
                tokio::time::sleep(Duration::from_millis(50)).await;
                burn(2_000_000);
            })
            .await;
        let spent = Duration::from_nanos(meter.spent.load(Relaxed));
        assert!(spent >= Duration::from_millis(4), "{spent:?}");
        assert!(spent < Duration::from_millis(50), "the sleep was counted: {spent:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_tick_stops_a_call_that_is_over_one_of_its_limits() {
        let meter = Meter::default();
        let late = Instant::now();
        let later = late + Duration::from_secs(1);
        let hour = Duration::from_hours(1);
        meter
            .measure(async {
                assert_eq!(meter.tick(Duration::ZERO, later).err(), Some(OverTime::Cpu));
                assert_eq!(meter.tick(hour, late).err(), Some(OverTime::Wall));
                assert!(matches!(meter.tick(hour, later), Ok(UpdateDeadline::YieldCustom(1, _))));
            })
            .await;
    }
}
