//! Durations as an operator writes them: `250ms`, `30s`, `5m`, `1h`.
//!
//! In a configuration: `#[serde(with = "lictor_sdk::duration")] timeout: Duration`.

use std::{error::Error, fmt, time::Duration};

use serde::{Deserialize, Deserializer, de};

/// The text is no duration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DurationError(String);

impl fmt::Display for DurationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:?} is no duration: write a whole number above zero and ms, s, m or h, as in \"30s\"",
            self.0
        )
    }
}

impl Error for DurationError {}

/// Reads a whole number above zero with its unit: `ms`, `s`, `m` or `h`.
pub fn parse(text: &str) -> Result<Duration, DurationError> {
    let refused = || DurationError(text.into());
    let unit = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(refused)?;
    let (number, unit) = text.split_at(unit);
    let unit_ms: u64 = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return Err(refused()),
    };
    let number: u64 = number.parse().map_err(|_| refused())?;
    match number.checked_mul(unit_ms) {
        None | Some(0) => Err(refused()),
        Some(ms) => Ok(Duration::from_millis(ms)),
    }
}

/// For serde's `with` and `deserialize_with`.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    parse(&String::deserialize(deserializer)?).map_err(de::Error::custom)
}

/// Milliseconds as the contract counts them: at most some 49 days.
pub(crate) fn as_millis(duration: Duration) -> u32 {
    u32::try_from(duration.as_millis()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, want_ms: Option<u64>) {
        let want = want_ms.map(Duration::from_millis).ok_or_else(|| DurationError(text.into()));
        assert_eq!(parse(text), want);
    }

    #[test]
    fn a_number_and_a_unit_make_a_duration() {
        check("250ms", Some(250));
        check("30s", Some(30_000));
        check("5m", Some(300_000));
        check("1h", Some(3_600_000));
    }

    #[test]
    fn anything_else_is_refused() {
        for text in ["", "30", "s", "0s", "-1s", "1.5s", "1 s", "1d", "1h30m", "99999999999999999999s"] {
            check(text, None);
        }
        check(&format!("{}h", u64::MAX), None);
    }
}
