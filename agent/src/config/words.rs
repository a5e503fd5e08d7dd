//! How values and names are written: durations, sizes, and what a misspelt word was meant to be.
//!
//! Boundary: pure text.

use std::time::Duration;

/// The units of a duration, in milliseconds.
const TIME: [(&str, u64); 5] = [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

/// The units of a size, in bytes.
const SPACE: [(&str, u64); 4] = [("B", 1), ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30)];

/// Reads `250ms`, `30s`, `5m`, `1h` or `30d`: one whole number and one unit.
pub(crate) fn duration(text: &str) -> Option<Duration> {
    amount(text, &TIME).map(Duration::from_millis)
}

/// Reads `512B`, `64KiB`, `1MiB` or `2GiB`: one whole number and one unit.
pub(crate) fn size(text: &str) -> Option<u64> {
    amount(text, &SPACE)
}

/// Writes a duration as `duration` reads it, in the largest unit that is exact.
pub(super) fn show_duration(duration: Duration) -> String {
    show(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX), &TIME)
}

/// Writes a size as `size` reads it, in the largest unit that is exact.
pub(super) fn show_size(bytes: u64) -> String {
    show(bytes, &SPACE)
}

fn amount(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let end = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(end);
    let (_, factor) = units.iter().find(|(name, _)| *name == unit)?;
    number.parse::<u64>().ok()?.checked_mul(*factor)
}

fn show(amount: u64, units: &[(&str, u64)]) -> String {
    let fits = |(_, factor): &&(&str, u64)| amount >= *factor && amount.is_multiple_of(*factor);
    match units.iter().rev().find(fits) {
        Some((unit, factor)) => format!("{}{unit}", amount / factor),
        None => format!("{amount}{}", units.first().map_or("", |(unit, _)| unit)),
    }
}

/// Could `word` be a slip of the pen for `known`? One slip for a short word, two for a long one.
pub(super) fn near(word: &str, known: &str) -> bool {
    let slips = if known.len() < 4 { 0 } else { 1 + usize::from(known.len() > 6) };
    // Words of very different lengths are not near; this also bounds the work for a very long one.
    word.len().abs_diff(known.len()) <= slips && strsim::damerau_levenshtein(word, known) <= slips
}

/// What `word` was probably meant to be.
pub(crate) fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let folded = word.to_lowercase().replace('-', "_");
    known
        .into_iter()
        .filter(|known| folded == *known || near(word, known))
        .min_by_key(|known| strsim::damerau_levenshtein(word, known))
}

/// `a`, `b`, `c`: keys as a message quotes them.
pub(super) fn keys<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    let words: Vec<String> = words.into_iter().map(|word| format!("`{word}`")).collect();
    words.join(", ")
}

/// "a", "b", "c": values as a message quotes them.
pub(super) fn values<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    let words: Vec<String> = words.into_iter().map(|word| format!("{word:?}")).collect();
    words.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_a_whole_number_and_a_unit() {
        let check = |text: &str, want: Option<u64>| {
            assert_eq!(duration(text), want.map(Duration::from_millis), "{text:?}");
        };
        check("250ms", Some(250));
        check("30s", Some(30_000));
        check("5m", Some(300_000));
        check("1h", Some(3_600_000));
        check("30d", Some(2_592_000_000));
        check("0s", Some(0));
        for wrong in
            ["", "30", "s", "1.5s", "-1s", "1h30m", "30 s", "30S", "1w", "+1s", "99999999999999999999s"]
        {
            check(wrong, None);
        }
        check("18446744073709551615h", None);
    }

    #[test]
    fn a_size_is_a_whole_number_and_a_unit() {
        let check = |text: &str, want: Option<u64>| assert_eq!(size(text), want, "{text:?}");
        check("512B", Some(512));
        check("64KiB", Some(65_536));
        check("1MiB", Some(1 << 20));
        check("2GiB", Some(2 << 30));
        for wrong in ["", "64", "64KB", "64k", "1.5MiB", "-1B", "17179869184GiB"] {
            check(wrong, None);
        }
    }

    #[test]
    fn what_is_shown_can_be_read_again() {
        for text in ["250ms", "90s", "1m", "23h", "30d", "0ms"] {
            assert_eq!(duration(text).map(show_duration).as_deref(), Some(text));
        }
        for text in ["1000B", "64KiB", "1MiB", "4GiB", "0B"] {
            assert_eq!(size(text).map(show_size).as_deref(), Some(text));
        }
    }

    #[test]
    fn a_slip_of_the_pen_is_near_and_another_word_is_not() {
        let known = ["receivers", "on", "match", "name", "log", "data_dir"];
        let check = |word: &str, want: Option<&str>| assert_eq!(nearest(word, known), want, "{word:?}");
        check("recievers", Some("receivers"));
        check("receiver", Some("receivers"));
        check("macth", Some("match"));
        check("Name", Some("name"));
        check("data-dir", Some("data_dir"));
        check("an", None);
        check("color", None);
        check("lag", None);
    }
}
