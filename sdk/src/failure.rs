//! Why a delivery was not made, and why a capability did not do what was asked.
//!
//! The two are apart on purpose: only the plugin knows what a failed call means for its delivery. The
//! conversion is what it means to most of them.

use std::{error::Error, fmt, time::Duration};

use crate::{bindings::lictor::plugin::types, duration};

/// Why a delivery was not made, and whether to try again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// May work later: Lictor tries again after its own backoff.
    Transient(String),
    /// May work after this time: Lictor does not try before. Of more than an hour it waits for one.
    RetryAfter(String, Duration),
    /// Will never work: Lictor does not try again.
    Permanent(String),
}

impl Failure {
    /// May work later. The message is for the record.
    pub fn transient(message: impl fmt::Display) -> Self {
        Self::Transient(message.to_string())
    }

    /// May work after `wait` (milliseconds count, and Lictor waits for an hour at most).
    pub fn retry_after(message: impl fmt::Display, wait: Duration) -> Self {
        Self::RetryAfter(message.to_string(), wait)
    }

    /// Will never work.
    pub fn permanent(message: impl fmt::Display) -> Self {
        Self::Permanent(message.to_string())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Transient(message) | Self::RetryAfter(message, _) | Self::Permanent(message) => {
                f.write_str(message)
            }
        }
    }
}

impl Error for Failure {}

impl From<Failure> for types::Failure {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Transient(message) => Self::Transient(message),
            Failure::RetryAfter(message, wait) => Self::RetryAfter((message, duration::as_millis(wait))),
            Failure::Permanent(message) => Self::Permanent(message),
        }
    }
}

/// Why a capability did not do what was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CallError {
    /// The receiver's grants do not cover it; the text says what would.
    Refused(String),
    /// The time was over.
    TimedOut(String),
    /// It was tried, and failed.
    Failed(String),
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(message) => write!(f, "refused: {message}"),
            Self::TimedOut(message) => write!(f, "timed out: {message}"),
            Self::Failed(message) => f.write_str(message),
        }
    }
}

impl Error for CallError {}

/// A refusal stays a refusal until the configuration changes; the rest may pass.
impl From<CallError> for Failure {
    fn from(error: CallError) -> Self {
        match error {
            CallError::Refused(_) => Self::permanent(error),
            CallError::TimedOut(_) | CallError::Failed(_) => Self::transient(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(error: CallError, want: &Failure) {
        assert_eq!(&Failure::from(error), want);
    }

    #[test]
    fn only_a_refused_call_is_never_tried_again() {
        check(CallError::Refused("x".into()), &Failure::permanent("refused: x"));
        check(CallError::TimedOut("x".into()), &Failure::transient("timed out: x"));
        check(CallError::Failed("x".into()), &Failure::transient("x"));
    }

    #[test]
    fn a_wait_is_told_in_milliseconds() {
        let told = types::Failure::from(Failure::retry_after("x", Duration::from_secs(2)));
        assert_eq!(told, types::Failure::RetryAfter(("x".into(), 2000)));
    }
}
