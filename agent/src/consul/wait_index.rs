//! The cursor of a blocking query, and Consul's rules for moving it.
//!
//! Only for endpoints backed by Raft: `/v1/event/list` numbers have no order.
//!
//! Invariant: a `WaitIndex` is never zero. Consul answers `?index=0` at once, so a client that
//! sends a zero back polls in a busy loop.

use std::fmt;
use std::num::{NonZeroU64, ParseIntError};

/// Position in an endpoint's history: the `X-Consul-Index` we last saw, sent back as `?index=`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct WaitIndex(NonZeroU64);

/// What an answer's index says about the position we already have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Nothing was written since.
    Unchanged,
    /// The answer is newer: take it, then wait from its index.
    Advanced,
    /// The history began anew (a restore, a restart in development mode): ask again without an index.
    Reset,
}

/// The answer carried no usable `X-Consul-Index`.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("read X-Consul-Index {value:?}")]
pub struct IndexError {
    value: String,
    source: ParseIntError,
}

impl WaitIndex {
    /// Raises zero to one: waiting from one is always safe.
    pub fn new(index: u64) -> Self {
        Self(NonZeroU64::new(index).unwrap_or(NonZeroU64::MIN))
    }

    /// Reads the header.
    pub fn parse(value: &str) -> Result<Self, IndexError> {
        value.parse().map(Self::new).map_err(|source| IndexError { value: value.into(), source })
    }

    /// Reads the hash that takes an index's place where an agent tells of itself: up to 16 hexadecimal digits.
    pub fn parse_hash(value: &str) -> Result<Self, IndexError> {
        let hash = u64::from_str_radix(value, 16);
        hash.map(Self::new).map_err(|source| IndexError { value: value.into(), source })
    }

    /// The number, at least one.
    pub fn get(self) -> u64 {
        self.0.get()
    }

    /// Compares the `seen` index with the `last` one.
    pub fn progress(last: Option<Self>, seen: Self) -> Progress {
        match last {
            Some(last) if seen == last => Progress::Unchanged,
            Some(last) if seen < last => Progress::Reset,
            _ => Progress::Advanced,
        }
    }
}

impl fmt::Display for WaitIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(last: Option<&str>, seen: &str, want: Progress) {
        let last = last.map(|value| WaitIndex::parse(value).unwrap());
        let seen = WaitIndex::parse(seen).unwrap();
        assert_eq!(WaitIndex::progress(last, seen), want);
    }

    #[test]
    fn an_answer_moves_the_cursor_by_consuls_rules() {
        check(None, "7", Progress::Advanced);
        check(Some("7"), "8", Progress::Advanced);
        check(Some("7"), "7", Progress::Unchanged);
        check(Some("7"), "3", Progress::Reset);
        check(Some("7"), "0", Progress::Reset);
        check(Some("18446744073709551614"), "18446744073709551615", Progress::Advanced);
    }

    #[test]
    fn a_zero_is_raised_to_one() {
        assert_eq!(WaitIndex::parse("0").unwrap().get(), 1);
        check(Some("0"), "1", Progress::Unchanged);
    }

    #[test]
    fn a_broken_header_is_an_error_that_names_it() {
        for value in ["seven", "", "-1", "18446744073709551616"] {
            let error = WaitIndex::parse(value).unwrap_err();
            assert_eq!(error.to_string(), format!("read X-Consul-Index {value:?}"));
        }
    }
}
