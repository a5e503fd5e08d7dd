//! What a guest writes: its log, and its standard output and error, all forwarded to our log.
//!
//! Invariant: one call adds at most its limit to our log, and all calls of a receiver together so many lines in a second,
//! whatever they write; what was left out is said once, with how much it was.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use tracing::Level;

use crate::text;

/// Bytes of one line. Longer ones are cut.
const LINE: usize = 8 << 10;

/// In this time as many lines as the rate says are passed on.
const SECOND: Duration = Duration::from_secs(1);

/// How many lines of a log are passed on in a second. Clones count together.
#[derive(Clone, Debug)]
pub struct LogRate {
    lines: u32,
    now: Arc<Mutex<Window>>,
}

/// The second that passes.
#[derive(Debug, Default)]
struct Window {
    since: Option<Instant>,
    passed: u32,
    /// Lines that were left out, and that nobody was told of.
    left_out: u64,
    /// In this second it was told that lines were left out.
    told: bool,
}

impl LogRate {
    /// So many lines in a second.
    pub fn new(lines: u32) -> Self {
        Self { lines, now: Arc::default() }
    }

    /// Whether another line may pass, and how many were left out before it, if that is to be told now.
    fn pass(&self, now: Instant) -> (bool, u64) {
        let mut window = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        let mut left_out = 0;
        if window.since.is_none_or(|since| now.duration_since(since) >= SECOND) {
            left_out = window.left_out;
            *window = Window { since: Some(now), ..Window::default() };
        }
        let passes = window.passed < self.lines;
        if passes {
            window.passed += 1;
        } else {
            window.left_out += 1;
        }
        (passes, left_out)
    }

    /// How many lines were left out, if that is to be told now: at the end of a call, once in a second.
    fn left_out(&self) -> u64 {
        let mut window = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        if window.told || window.left_out == 0 {
            return 0;
        }
        window.told = true;
        std::mem::take(&mut window.left_out)
    }
}

/// A guest's way into our log during one call.
#[derive(Debug)]
pub(crate) struct GuestLog {
    receiver: String,
    delivery: String,
    limit: usize,
    left: usize,
    full: bool,
    rate: LogRate,
}

impl GuestLog {
    /// Lets a call write `limit` bytes, marked with the receiver and the delivery, at a rate.
    pub(crate) fn new(receiver: String, delivery: String, limit: usize, rate: LogRate) -> Self {
        Self { receiver, delivery, limit, left: limit, full: false, rate }
    }

    /// Whether the guest wrote something, or wanted to.
    pub(crate) fn is_used(&self) -> bool {
        self.full || self.left < self.limit
    }

    /// Writes one message, unless the log was full before.
    pub(crate) fn write(&mut self, level: Level, message: &str) -> bool {
        if self.full {
            return false;
        }
        // An empty message costs something too, or a guest could write them without end.
        let cost = message.len().clamp(1, LINE);
        if cost > self.left {
            self.full = true;
            self.emit(Level::WARN, "The plugin wrote more to the log than its limit; the rest is left out.");
            return true;
        }
        self.left -= cost;
        if !is_heard(level) {
            return true;
        }
        let (passes, left_out) = self.rate.pass(Instant::now());
        self.tell(left_out);
        if passes {
            self.emit(level, &text::one_line(message, LINE));
        }
        true
    }

    /// Writes each line of what was printed, after how many bytes before it were left out.
    pub(crate) fn write_printed(&mut self, level: Level, bytes: &[u8], left_out: usize) {
        if left_out > 0 {
            self.write(
                level,
                &format!("The plugin printed {left_out} bytes more, before these; they are left out."),
            );
        }
        for line in String::from_utf8_lossy(bytes).lines().filter(|line| !line.trim().is_empty()) {
            self.write(level, line);
        }
    }

    /// Tells at the end of the call what was left out.
    pub(crate) fn close(&self) {
        self.tell(self.rate.left_out());
    }

    fn tell(&self, left_out: u64) {
        if left_out > 0 {
            let rate = self.rate.lines;
            self.emit(
                Level::WARN,
                &format!(
                    "The plugin wrote more lines in a second than its `log_rate`, {rate}; {left_out} are left out."
                ),
            );
        }
    }

    fn emit(&self, level: Level, message: &str) {
        let Self { receiver, delivery, .. } = self;
        // The level is part of the static call site, so there must be one for each.
        macro_rules! emit {
            ($level:expr) => {
                tracing::event!(target: "plugin", $level, receiver, delivery.id = delivery, "{message}")
            };
        }
        match level {
            Level::ERROR => emit!(Level::ERROR),
            Level::WARN => emit!(Level::WARN),
            Level::INFO => emit!(Level::INFO),
            _ => emit!(Level::DEBUG),
        }
    }
}

/// Whether our log takes such lines. What nobody hears displaces nothing.
fn is_heard(level: Level) -> bool {
    match level {
        Level::ERROR => tracing::enabled!(target: "plugin", Level::ERROR),
        Level::WARN => tracing::enabled!(target: "plugin", Level::WARN),
        Level::INFO => tracing::enabled!(target: "plugin", Level::INFO),
        _ => tracing::enabled!(target: "plugin", Level::DEBUG),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn so_many_lines_pass_in_a_second_and_the_rest_is_counted_and_told_once() {
        let rate = LogRate::new(2);
        let pass = |count: usize| -> Vec<_> {
            // Another call of the same receiver.
            let other = rate.clone();
            (0..count).map(|_| other.pass(Instant::now())).collect()
        };
        assert_eq!(rate.left_out(), 0);
        assert_eq!(pass(4), [(true, 0), (true, 0), (false, 0), (false, 0)]);
        assert_eq!([rate.left_out(), rate.left_out()], [2, 0]);
        assert_eq!(pass(1), [(false, 0)]);
        assert_eq!(rate.left_out(), 0, "once in a second");
        tokio::time::advance(Duration::from_millis(999)).await;
        assert_eq!(pass(1), [(false, 0)]);
        tokio::time::advance(Duration::from_millis(1)).await;
        assert_eq!(pass(2), [(true, 2), (true, 0)], "nothing is forgotten");
        assert_eq!(rate.left_out(), 0);
    }
}
