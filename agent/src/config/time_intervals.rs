//! `[[time_intervals]]`: times that rules name, written as Alertmanager has them.
//!
//! Boundary: reads what is written; whether it is that time is known to the module `rules` of the crate alone.

use std::ops::{Range, RangeInclusive};

use jiff::tz::TimeZone;

use super::reader::{Entry, Table};
use super::source::Place;
use super::words;
use crate::rules::{TimeInterval, TimeIntervals};

/// The first one is 0.
const WEEKDAYS: [&str; 7] = ["sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"];

/// The first one is 1.
const MONTHS: [&str; 12] = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];

/// That of the machine.
const LOCAL: &str = "Local";

const TIMES: &str = "times = [{ start_time = \"18:00\", end_time = \"24:00\" }]";

/// The name with its place, and the intervals; each is none when it is not there or faulty.
pub(super) fn read(table: &mut Table<'_>) -> (Option<(String, Place)>, Option<TimeIntervals>) {
    let name = table.require("name", "name = \"nights\"", |entry| Some((super::name(entry)?, entry.place())));
    let example = "time_intervals = [{ weekdays = [\"saturday\", \"sunday\"] }]";
    let mut earlier: Vec<TimeInterval> = Vec::new();
    let intervals = table.require("time_intervals", example, |entry| {
        entry.some("a list of time intervals", |item| {
            let interval = item.table("a time interval", interval)??;
            doubt(item, &interval, &earlier);
            earlier.push(interval.clone());
            Some(interval)
        })
    });
    (name, intervals.map(TimeIntervals::from_iter))
}

/// Warnings where it says nothing that is not said without it.
fn doubt(item: Entry<'_>, interval: &TimeInterval, earlier: &[TimeInterval]) {
    let none = "leave it out, or say another time";
    if interval.is_never() {
        item.warn("it is never that time", "write days that the months have, and weekdays that they are");
    } else if earlier.iter().any(|known| known.covers(interval)) {
        item.warn("this time interval overlaps one before it, which holds in all of it", none);
    } else if earlier.iter().any(|known| interval.covers(known)) {
        item.warn(
            "this time interval overlaps one before it, and holds in all of that one",
            "leave that one out",
        );
    } else if earlier.iter().any(|known| known.overlaps_in_one(interval)) {
        let help = "write one that holds from the first to the last";
        item.warn("this time interval overlaps one before it", help);
    }
}

fn interval(table: &mut Table<'_>) -> Option<TimeInterval> {
    let times = table.get("times", |entry| {
        apart(entry, "a list of times", times, |one, other| one.start < other.end && other.start < one.end)
    });
    let weekdays = table.get("weekdays", |entry| apart(entry, "a list of weekdays", weekdays, overlap));
    let days = table.get("days_of_month", |entry| {
        apart(entry, "a list of days", days_of_month, |one, other| same_days(*one, *other))
    });
    let months = table.get("months", |entry| apart(entry, "a list of months", months, overlap));
    let years = table.get("years", |entry| apart(entry, "a list of years", years, overlap));
    let zone = table.get("location", zone);
    if !["times", "weekdays", "days_of_month", "months", "years"].iter().any(|key| table.contains(key)) {
        return table.wrong("this time interval holds at all times", format!("say when, such as {TIMES}"));
    }
    Some(TimeInterval {
        times: times.unwrap_or_default(),
        weekdays: weekdays.unwrap_or_default(),
        days_of_month: days.unwrap_or_default(),
        months: months.unwrap_or_default(),
        years: years.unwrap_or_default(),
        zone: zone.unwrap_or(TimeZone::UTC),
    })
}

/// A list of ranges, of which none should overlap another.
fn apart<T: Clone>(
    entry: Entry<'_>,
    what: &str,
    read: impl Fn(Entry<'_>) -> Option<T>,
    overlap: impl Fn(&T, &T) -> bool,
) -> Option<Vec<T>> {
    let mut earlier: Vec<T> = Vec::new();
    entry.some(what, |item| {
        let range = read(item)?;
        if earlier.iter().any(|known| overlap(known, &range)) {
            item.warn("this overlaps one before it", "write one that holds from the first to the last");
        }
        earlier.push(range.clone());
        Some(range)
    })
}

fn overlap(one: &RangeInclusive<i16>, other: &RangeInclusive<i16>) -> bool {
    one.start() <= other.end() && other.start() <= one.end()
}

/// As far as they are counted from the same end of the month.
fn same_days(one: (i16, i16), other: (i16, i16)) -> bool {
    let of_one_end = [one.1, other.0, other.1].iter().all(|day| (*day < 0) == (one.0 < 0));
    of_one_end && one.0 <= other.1 && other.0 <= one.1
}

fn times(entry: Entry<'_>) -> Option<Range<i16>> {
    let times = entry.table("a time", |table| {
        let start = table.require("start_time", TIMES, minute);
        let end = table.require("end_time", TIMES, minute);
        Some(start?..end?)
    })??;
    if times.is_empty() {
        let help =
            "a time ends later on the same day; for a night write two: until \"24:00\", and from \"00:00\"";
        return entry.wrong("this time does not begin before it ends", help);
    }
    Some(times)
}

/// A minute of the day, from `00:00` to `24:00`.
fn minute(entry: Entry<'_>) -> Option<i16> {
    let text = entry.string()?;
    let two_digits = |text: &str| {
        let digits = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
        digits.then(|| text.parse::<i16>().ok()).flatten()
    };
    let parts =
        text.split_once(':').and_then(|(hour, minute)| Some((two_digits(hour)?, two_digits(minute)?)));
    match parts {
        Some((hour @ 0..24, minute @ 0..60)) => Some(hour * 60 + minute),
        Some((24, 0)) => Some(24 * 60),
        _ => entry.wrong(
            format!("{text:?} is not a time of the day"),
            "write two digits each for hour and minute, \"00:00\" to \"24:00\"",
        ),
    }
}

fn weekdays(entry: Entry<'_>) -> Option<RangeInclusive<i16>> {
    let help = "write a weekday, such as \"monday\", or the first and the last one, \"monday:friday\"";
    let one = |word: &str| position(&WEEKDAYS, word);
    ordered(entry, ends(entry, help, &WEEKDAYS, one)?, "a week begins with sunday; write two ranges")
}

fn months(entry: Entry<'_>) -> Option<RangeInclusive<i16>> {
    let help =
        "write a month, such as \"january\" or \"1\", or the first and the last one, \"january:march\"";
    let one = |word: &str| match position(&MONTHS, word) {
        Some(month) => Some(month + 1),
        None => word.parse().ok().filter(|month| (1..=12).contains(month)),
    };
    ordered(entry, ends(entry, help, &MONTHS, one)?, "write two ranges, one for each year")
}

fn years(entry: Entry<'_>) -> Option<RangeInclusive<i16>> {
    let help = "write a year, such as \"2026\", or the first and the last one, \"2026:2028\"";
    let one = |word: &str| word.parse().ok().filter(|year| (1..=9999).contains(year));
    ordered(entry, ends(entry, help, &[], one)?, "write the earlier one first")
}

/// Days from the end of the month are negative.
fn days_of_month(entry: Entry<'_>) -> Option<(i16, i16)> {
    let help = "write a day, \"1\" to \"31\" or, from the end, \"-1\" to \"-31\", or the first and the last one, \"1:5\"";
    let one = |word: &str| word.parse().ok().filter(|day: &i16| *day != 0 && (-31..=31).contains(day));
    let (first, last) = ends(entry, help, &[], one)?;
    if first < 0 && last > 0 {
        return entry.wrong(
            "a range that begins from the end of the month ends so, too",
            "count both days from the same end: \"-3:-1\"",
        );
    }
    // As far as it can be told without a month.
    let in_longest_month = |day: i16| if day < 0 { day + 32 } else { day };
    let days = (in_longest_month(first), in_longest_month(last));
    ordered(entry, days, "write the earlier one first, or two ranges").map(|_| (first, last))
}

fn ordered(entry: Entry<'_>, (first, last): (i16, i16), help: &str) -> Option<RangeInclusive<i16>> {
    if first > last {
        return entry.wrong("this range ends before it begins", help);
    }
    Some(first..=last)
}

/// `first:last`, or one that is both. `known` are the words of which one may be misspelt.
fn ends(
    entry: Entry<'_>,
    help: &str,
    known: &[&str],
    one: impl Fn(&str) -> Option<i16>,
) -> Option<(i16, i16)> {
    let text = entry.string()?.to_lowercase();
    let (first, last) = text.split_once(':').unwrap_or((&text, &text));
    let read = |word: &str| {
        one(word).or_else(|| {
            let near = words::nearest(word, known.iter().copied());
            let help = near.map_or_else(|| help.to_owned(), |near| format!("did you mean {near:?}?"));
            entry.wrong(format!("{word:?} is not known here"), help)
        })
    };
    let first_read = read(first);
    let last_read = if first == last { first_read } else { read(last) };
    Some((first_read?, last_read?))
}

fn position(words: &[&str], word: &str) -> Option<i16> {
    i16::try_from(words.iter().position(|known| *known == word)?).ok()
}

/// That of the system, if it has the zone, else the one that is part of the program.
fn zone(entry: Entry<'_>) -> Option<TimeZone> {
    let name = entry.string()?;
    if name == LOCAL {
        return Some(TimeZone::system());
    }
    TimeZone::get(&name).ok().or_else(|| {
        let known: Vec<String> = jiff::tz::db().available().map(|zone| zone.to_string()).collect();
        let help = match words::nearest(&name, known.iter().map(String::as_str).chain([LOCAL])) {
            Some(near) => format!("did you mean {near:?}?"),
            None => {
                "write a name of the time zone database, such as \"Europe/Berlin\", or \"Local\"".to_owned()
            }
        };
        entry.wrong(format!("there is no time zone {name:?}"), help)
    })
}
