//! What a guest writes: its log, and its standard output and error, all forwarded to our log.
//!
//! Invariant: one call adds at most its limit to our log, whatever it writes, and what was left out is said
//! once.

use tracing::Level;

use crate::text;

/// Bytes of one line. Longer ones are cut.
const LINE: usize = 8 << 10;

/// A guest's way into our log during one call.
#[derive(Debug)]
pub(crate) struct GuestLog {
    receiver: String,
    delivery: String,
    left: usize,
    full: bool,
}

impl GuestLog {
    /// Lets a call write `limit` bytes, marked with the receiver and the delivery.
    pub(crate) fn new(receiver: String, delivery: String, limit: usize) -> Self {
        Self { receiver, delivery, left: limit, full: false }
    }

    /// Writes one message.
    pub(crate) fn write(&mut self, level: Level, message: &str) {
        if self.full {
            return;
        }
        // An empty message costs something too, or a guest could write them without end.
        let cost = message.len().clamp(1, LINE);
        if cost > self.left {
            self.full = true;
            self.emit(Level::WARN, "The plugin wrote more to the log than its limit; the rest is left out.");
            return;
        }
        self.left -= cost;
        self.emit(level, &text::one_line(message, LINE));
    }

    /// Writes each line of what came out of a stream.
    pub(crate) fn write_lines(&mut self, level: Level, bytes: &[u8]) {
        for line in String::from_utf8_lossy(bytes).lines().filter(|line| !line.trim().is_empty()) {
            self.write(level, line);
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
