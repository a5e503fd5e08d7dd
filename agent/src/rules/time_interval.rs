//! Times of the week and of the year in which rules speak or are silent, as Alertmanager's `time_intervals`.
//!
//! Boundary: pure. Time and time zone are given; the words that name weekdays and months are `config`'s.
//!
//! Invariant: what holds in a minute of the local time holds in all of it.

use std::ops::{Range, RangeInclusive};

use jiff::civil::Date;
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{SignedDuration, Timestamp, ToSpan};

/// Whoever wants to know when it changes asks again after this time.
const AHEAD: SignedDuration = SignedDuration::from_hours(8 * 24);

/// The local days that `AHEAD` can touch: from yesterday, to which a clock may be set back over midnight, to the day
/// after the eighth, to which it may be set forward.
const DAYS: usize = 11;

/// Times of which all that is named must hold; what is empty holds always.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimeInterval {
    /// Minutes of the day, 0 to 1440.
    pub times: Vec<Range<i16>>,
    /// 0 is Sunday, 6 Saturday.
    pub weekdays: Vec<RangeInclusive<i16>>,
    /// The first and the last one of each range. 1 is the first day of the month, -1 its last one.
    pub days_of_month: Vec<(i16, i16)>,
    /// 1 is January.
    pub months: Vec<RangeInclusive<i16>>,
    /// Four digits.
    pub years: Vec<RangeInclusive<i16>>,
    /// Where it is that time.
    pub zone: TimeZone,
}

/// The lengths that months have.
const MONTH_LENGTHS: RangeInclusive<i16> = 28..=31;

/// The calendar repeats itself after so many years.
const CALENDAR_YEARS: usize = 400;

/// Several, of which one is enough.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TimeIntervals(Vec<TimeInterval>);

impl TimeIntervals {
    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = &TimeInterval> {
        self.0.iter()
    }

    /// Is it that time?
    pub fn contains(&self, now: Timestamp) -> bool {
        self.0.iter().any(|interval| interval.contains(now))
    }

    /// Is it that time whenever it is that of `other`? What only several of these cover together is not seen.
    pub fn covers(&self, other: &Self) -> bool {
        !other.0.is_empty() && other.0.iter().all(|narrow| self.0.iter().any(|wide| wide.covers(narrow)))
    }

    /// The first minute after `now` in which `contains` is another one. None: not in the next eight days, after which
    /// one asks again.
    pub fn ends_at(&self, now: Timestamp) -> Option<Timestamp> {
        let last = now.checked_add(AHEAD).unwrap_or(Timestamp::MAX);
        let mut edges = Vec::new();
        for interval in &self.0 {
            interval.edges(now, last, &mut edges);
        }
        edges.retain(|edge| (now..=last).contains(edge) && *edge != now);
        edges.sort_unstable();
        edges.dedup();
        let current = self.contains(now);
        edges.into_iter().find(|edge| self.contains(*edge) != current)
    }
}

impl FromIterator<TimeInterval> for TimeIntervals {
    fn from_iter<I: IntoIterator<Item = TimeInterval>>(intervals: I) -> Self {
        Self(intervals.into_iter().collect())
    }
}

impl TimeInterval {
    /// Holds nothing but the zone: it is always that time.
    pub fn always(zone: TimeZone) -> Self {
        let (times, weekdays, days_of_month, months, years) = Default::default();
        Self { times, weekdays, days_of_month, months, years, zone }
    }

    fn contains(&self, now: Timestamp) -> bool {
        let now = now.to_zoned(self.zone.clone());
        let minute = i16::from(now.hour()) * 60 + i16::from(now.minute());
        (self.times.is_empty() || self.times.iter().any(|times| times.contains(&minute)))
            && within(&self.weekdays, now.weekday().to_sunday_zero_offset().into())
            && within(&self.months, now.month().into())
            && within(&self.years, now.year())
            && self.has_day(now.day().into(), now.days_in_month().into())
    }

    /// Is it that time whenever it is that of `other`?
    pub fn covers(&self, other: &Self) -> bool {
        let has_minute = |interval: &Self, minute: i16| {
            interval.times.is_empty() || interval.times.iter().any(|times| times.contains(&minute))
        };
        let has_days =
            |length: i16| (1..=length).all(|day| !other.has_day(day, length) || self.has_day(day, length));
        self.zone == other.zone
            && (0..24 * 60).all(|minute| !has_minute(other, minute) || has_minute(self, minute))
            && all_within(0..=6, &self.weekdays, &other.weekdays)
            && MONTH_LENGTHS.into_iter().all(has_days)
            && all_within(1..=12, &self.months, &other.months)
            && all_within(1..=9999, &self.years, &other.years)
    }

    /// Do two that differ in one thing alone overlap in that? As one they would say the same with less.
    pub fn overlaps_in_one(&self, other: &Self) -> bool {
        let ranges = |one: &[RangeInclusive<i16>], other: &[RangeInclusive<i16>]| {
            let overlap = |(one, other): (&RangeInclusive<i16>, &RangeInclusive<i16>)| {
                one.start() <= other.end() && other.start() <= one.end()
            };
            one.iter().any(|one| other.iter().any(|other| overlap((one, other))))
        };
        let times = |times: &[Range<i16>]| -> Vec<RangeInclusive<i16>> {
            times.iter().map(|times| times.start..=times.end - 1).collect()
        };
        let in_all_but = |except: usize| {
            [
                self.times == other.times,
                self.weekdays == other.weekdays,
                self.months == other.months,
                self.years == other.years,
            ]
            .iter()
            .enumerate()
            .all(|(at, same)| *same != (at == except))
        };
        self.zone == other.zone
            && self.days_of_month == other.days_of_month
            && (in_all_but(0) && ranges(&times(&self.times), &times(&other.times))
                || in_all_but(1) && ranges(&self.weekdays, &other.weekdays)
                || in_all_but(2) && ranges(&self.months, &other.months)
                || in_all_but(3) && ranges(&self.years, &other.years))
    }

    /// Is it never that time? Such is the 31st of a month that has less.
    pub fn is_never(&self) -> bool {
        let every = [1..=9999];
        let years = if self.years.is_empty() { &every[..] } else { &self.years };
        let mut years = years.iter().flat_map(|years| years.clone().take(CALENDAR_YEARS));
        !years.any(|year| (1..=12).any(|month| within(&self.months, month) && self.has_day_in(year, month)))
    }

    fn has_day_in(&self, year: i16, month: i16) -> bool {
        let first = i8::try_from(month).ok().and_then(|month| Date::new(year, month, 1).ok());
        let days = first
            .into_iter()
            .flat_map(|first| first.series(1.day()).take_while(move |date| date.month() == first.month()));
        days.into_iter().any(|date| {
            within(&self.weekdays, date.weekday().to_sunday_zero_offset().into())
                && self.has_day(date.day().into(), date.days_in_month().into())
        })
    }

    /// Of a month of that length. A day that the month does not have is in no range.
    fn has_day(&self, day: i16, length: i16) -> bool {
        let from_start = |day: i16| if day < 0 { length + day + 1 } else { day };
        let holds = |&(first, last): &(i16, i16)| (from_start(first)..=from_start(last)).contains(&day);
        self.days_of_month.is_empty() || self.days_of_month.iter().any(holds)
    }

    /// Where it may begin or end between `now` and `last`: at midnight, at its times, and where the clock is set
    /// forward or back. The times between are all alike, so only these need to be looked at.
    fn edges(&self, now: Timestamp, last: Timestamp, found: &mut Vec<Timestamp>) {
        let transitions = self.zone.following(now).map(|transition| transition.timestamp());
        found.extend(transitions.take_while(|at| *at <= last));
        let today = now.to_zoned(self.zone.clone()).date();
        let days = today.yesterday().unwrap_or(today).series(1.day()).take(DAYS);
        for day in days {
            self.edge(day, 0, found);
            for times in &self.times {
                self.edge(day, times.start, found);
                self.edge(day, times.end, found);
            }
        }
    }

    /// The instants at which the local clock shows that minute of the day: two where it is set back. Where it is set
    /// forward over it none does, and the transition is an edge itself.
    fn edge(&self, day: Date, minute: i16, found: &mut Vec<Timestamp>) {
        let Ok(time) = day.at(0, 0, 0, 0).checked_add(i64::from(minute).minutes()) else { return };
        match self.zone.to_ambiguous_timestamp(time).offset() {
            AmbiguousOffset::Unambiguous { offset } => found.extend(offset.to_timestamp(time)),
            AmbiguousOffset::Fold { before, after } => {
                found.extend(before.to_timestamp(time));
                found.extend(after.to_timestamp(time));
            }
            AmbiguousOffset::Gap { .. } => {}
        }
    }
}

/// Is of these values each one that `narrow` has also one of `wide`?
fn all_within(
    mut values: RangeInclusive<i16>,
    wide: &[RangeInclusive<i16>],
    narrow: &[RangeInclusive<i16>],
) -> bool {
    values.all(|value| !within(narrow, value) || within(wide, value))
}

fn within(ranges: &[RangeInclusive<i16>], value: i16) -> bool {
    ranges.is_empty() || ranges.iter().any(|range| range.contains(&value))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn zone(name: &str) -> TimeZone {
        TimeZone::get(name).unwrap()
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    /// From 22:30 to the end of the day, say.
    fn times(from: (i16, i16), to: (i16, i16)) -> Range<i16> {
        from.0 * 60 + from.1..to.0 * 60 + to.1
    }

    /// Minute by minute, which needs no thought and much time.
    fn slow_ends_at(intervals: &TimeIntervals, now: Timestamp) -> Option<Timestamp> {
        let current = intervals.contains(now);
        let minute = now.as_second().div_euclid(60);
        (minute + 1..=minute + 8 * 24 * 60)
            .map(|minute| Timestamp::from_second(minute * 60).unwrap())
            .find(|at| intervals.contains(*at) != current)
    }

    #[test]
    fn each_field_is_a_condition_and_the_end_of_a_time_is_not_in_it() {
        let utc = || TimeInterval::always(TimeZone::UTC);
        let check = |interval: &TimeInterval, inside: &[&str], outside: &[&str]| {
            for (texts, want) in [(inside, true), (outside, false)] {
                for text in texts {
                    assert_eq!(interval.contains(at(text)), want, "{text} in {interval:?}");
                }
            }
        };
        check(&utc(), &["2026-03-29T02:30:00Z"], &[]);
        let evening = TimeInterval { times: vec![times((18, 0), (24, 0)), times((6, 0), (7, 0))], ..utc() };
        check(
            &evening,
            &["2026-11-20T18:00:00Z", "2026-11-20T23:59:59.999Z", "2026-11-20T06:59:59Z"],
            &["2026-11-20T17:59:59Z", "2026-11-21T00:00:00Z", "2026-11-20T07:00:00Z"],
        );
        // The 20th of November 2026 is a Friday.
        let workdays = TimeInterval { weekdays: vec![1..=5], ..utc() };
        check(&workdays, &["2026-11-20T23:59:59Z", "2026-11-23T00:00:00Z"], &["2026-11-21T00:00:00Z"]);
        let days = TimeInterval { days_of_month: vec![(1, 2), (-3, -2), (31, 31)], ..utc() };
        check(
            &days,
            &["2026-02-26T12:00:00Z", "2026-02-27T12:00:00Z", "2028-02-28T12:00:00Z", "2026-01-31T12:00:00Z"],
            &["2026-02-28T12:00:00Z", "2028-02-29T12:00:00Z", "2026-01-28T12:00:00Z", "2026-03-03T12:00:00Z"],
        );
        let from_fifth_to_last_but_one = TimeInterval { days_of_month: vec![(5, -2)], ..utc() };
        check(
            &from_fifth_to_last_but_one,
            &["2026-04-05T00:00:00Z", "2026-04-29T00:00:00Z"],
            &["2026-04-04T00:00:00Z", "2026-04-30T00:00:00Z"],
        );
        let winter = TimeInterval { months: vec![1..=3, 12..=12], years: vec![2026..=2027], ..utc() };
        check(
            &winter,
            &["2026-12-31T23:59:59Z", "2027-03-31T23:59:59Z"],
            &["2025-12-31T23:59:59Z", "2027-04-01T00:00:00Z", "2028-01-01T00:00:00Z"],
        );
        let both = TimeInterval { weekdays: vec![5..=5], ..evening.clone() };
        check(&both, &["2026-11-20T18:00:00Z"], &["2026-11-20T12:00:00Z", "2026-11-21T18:00:00Z"]);
        let berlin = TimeInterval { zone: zone("Europe/Berlin"), ..evening };
        check(&berlin, &["2026-11-20T17:00:00Z", "2026-07-20T16:00:00Z"], &["2026-11-20T23:00:00Z"]);
    }

    #[test]
    fn one_of_several_is_enough() {
        let of = |times| TimeInterval { times: vec![times], ..TimeInterval::always(TimeZone::UTC) };
        let night: TimeIntervals =
            [of(times((22, 0), (24, 0))), of(times((0, 0), (6, 0)))].into_iter().collect();
        for (hour, want) in [(21, false), (22, true), (23, true), (0, true), (5, true), (6, false)] {
            assert_eq!(night.contains(at(&format!("2026-11-20T{hour:02}:30:00Z"))), want, "{hour}");
        }
        assert_eq!(
            night.ends_at(at("2026-11-20T22:30:00Z")),
            Some(at("2026-11-21T06:00:00Z")),
            "over midnight"
        );
        assert_eq!(night.ends_at(at("2026-11-20T21:59:59.5Z")), Some(at("2026-11-20T22:00:00Z")));
        assert!(!TimeIntervals::default().contains(at("2026-11-20T22:30:00Z")));
    }

    #[test]
    fn a_clock_that_is_set_forward_or_back_moves_the_end() {
        let check = |from, to, now: &str, inside: bool, ends: &str| {
            let interval =
                TimeInterval { times: vec![times(from, to)], ..TimeInterval::always(zone("Europe/Berlin")) };
            let intervals: TimeIntervals = [interval].into_iter().collect();
            assert_eq!(intervals.contains(at(now)), inside, "{from:?} to {to:?} at {now}");
            assert_eq!(intervals.ends_at(at(now)), Some(at(ends)), "{from:?} to {to:?} at {now}");
        };
        // On this day 02:00 to 03:00 is left out, at 01:00 UTC.
        check((1, 0), (4, 0), "2026-03-29T00:10:00Z", true, "2026-03-29T02:00:00Z");
        check((1, 0), (2, 30), "2026-03-29T00:10:00Z", true, "2026-03-29T01:00:00Z");
        check((2, 30), (4, 0), "2026-03-29T00:59:59Z", false, "2026-03-29T01:00:00Z");
        check((2, 0), (3, 0), "2026-03-28T03:00:00Z", false, "2026-03-30T00:00:00Z");
        // On this day 02:00 to 03:00 comes twice, from 00:00 and from 01:00 UTC.
        check((1, 0), (4, 0), "2026-10-24T23:10:00Z", true, "2026-10-25T03:00:00Z");
        check((2, 0), (3, 0), "2026-10-24T23:59:00Z", false, "2026-10-25T00:00:00Z");
        check((2, 0), (3, 0), "2026-10-25T00:30:00Z", true, "2026-10-25T02:00:00Z");
        check((2, 0), (2, 30), "2026-10-25T00:10:00Z", true, "2026-10-25T00:30:00Z");
        check((2, 0), (2, 30), "2026-10-25T00:40:00Z", false, "2026-10-25T01:00:00Z");
        check((2, 30), (3, 0), "2026-10-25T00:40:00Z", true, "2026-10-25T01:00:00Z");
    }

    #[test]
    fn what_does_not_change_in_eight_days_has_no_end() {
        let of = |interval: TimeInterval| -> TimeIntervals { [interval].into_iter().collect() };
        let always = || TimeInterval::always(TimeZone::UTC);
        let now = at("2026-11-20T12:00:30Z");
        assert_eq!(of(always()).ends_at(now), None);
        assert_eq!(of(TimeInterval { years: vec![2024..=2025], ..always() }).ends_at(now), None);
        let november = of(TimeInterval { months: vec![11..=11], ..always() });
        assert_eq!(november.ends_at(now), None);
        assert_eq!(november.ends_at(at("2026-11-23T00:00:00Z")), Some(at("2026-12-01T00:00:00Z")));
        assert_eq!(november.ends_at(at("2026-11-22T23:59:59Z")), None);
        assert_eq!(of(always()).ends_at(Timestamp::MAX), None);
        assert_eq!(of(always()).ends_at(Timestamp::MIN), None);
    }

    #[test]
    fn a_wider_interval_covers_a_narrower_one_of_the_same_zone() {
        let utc = || TimeInterval::always(TimeZone::UTC);
        let evening = TimeInterval { times: vec![times((18, 0), (24, 0))], ..utc() };
        let late = TimeInterval { times: vec![times((18, 0), (20, 0)), times((20, 0), (23, 0))], ..utc() };
        let weekend = TimeInterval { weekdays: vec![0..=0, 6..=6], ..utc() };
        let sunday_evening = TimeInterval { weekdays: vec![0..=0], ..evening.clone() };
        let last = TimeInterval { days_of_month: vec![(-1, -1)], ..utc() };
        let end = TimeInterval { days_of_month: vec![(28, 31)], months: vec![2..=2], ..utc() };
        let all = [utc(), evening, late, weekend, sunday_evening, last, end];
        let names = ["always", "evening", "late", "weekend", "sunday evening", "last", "end"];
        let covered: Vec<_> = all
            .iter()
            .zip(names)
            .flat_map(|(wide, name)| {
                let narrow = all
                    .iter()
                    .zip(names)
                    .filter(move |(narrow, other)| name != *other && wide.covers(narrow));
                narrow.map(move |(_, other)| format!("{name} > {other}"))
            })
            .collect();
        let from_always = names[1..].iter().map(|name| format!("always > {name}"));
        let others = ["evening > late", "evening > sunday evening", "weekend > sunday evening"];
        let want: Vec<_> = from_always.chain(others.map(str::to_owned)).collect();
        assert_eq!(covered, want);
        let elsewhere = TimeInterval { zone: zone("Europe/Berlin"), ..utc() };
        assert!(!utc().covers(&elsewhere), "another zone");
        let of = |intervals: &[TimeInterval]| intervals.iter().cloned().collect::<TimeIntervals>();
        assert!(of(&all[1..4]).covers(&of(&all[2..5])));
        assert!(!of(&all[2..4]).covers(&of(&all[1..2])) && !of(&all).covers(&of(&[])));
    }

    #[test]
    fn a_day_that_no_year_has_is_never() {
        let of = |days: &[(i16, i16)], months: &[i16], weekdays: &[i16], years: &[i16]| {
            let ranges = |values: &[i16]| values.iter().map(|value| *value..=*value).collect();
            TimeInterval {
                days_of_month: days.to_vec(),
                months: ranges(months),
                weekdays: ranges(weekdays),
                years: ranges(years),
                ..TimeInterval::always(TimeZone::UTC)
            }
            .is_never()
        };
        assert!(of(&[(31, 31)], &[2, 4], &[], &[]) && of(&[(30, 31)], &[2], &[], &[]));
        assert!(!of(&[(29, 29)], &[2], &[], &[]) && of(&[(29, 29)], &[2], &[], &[2025, 2027]));
        // The 28th of February 2025 is a Friday; the 29th was one in 2008.
        assert!(!of(&[(28, 28)], &[2], &[5], &[2025]) && of(&[(28, 28)], &[2], &[6], &[2025]));
        assert!(!of(&[(29, 29)], &[2], &[5], &[]) && !of(&[], &[], &[], &[2025]));
        assert!(of(&[(-31, -31)], &[9], &[], &[]) && !of(&[(-31, -31)], &[10], &[], &[]));
    }

    fn intervals() -> impl Strategy<Value = TimeIntervals> {
        let ranges = |least: i16, most: i16| {
            let range = (least..=most, least..=most).prop_map(|(a, b)| a.min(b)..=a.max(b));
            proptest::collection::vec(range, 0..2)
        };
        let times = (0_i16..1440, 1_i16..=1440).prop_map(|(a, b)| a.min(b - 1)..b.max(a + 1));
        // Half an hour of difference, none at all, a change at midnight, and one that goes back over it.
        let zones: &[&str] =
            &["UTC", "Europe/Berlin", "Australia/Lord_Howe", "Asia/Kathmandu", "America/Santiago"];
        let fields = (
            proptest::collection::vec(times, 0..3),
            ranges(0, 6),
            proptest::collection::vec((1_i16..=31, -31_i16..=-1), 0..2),
            ranges(1, 12),
            ranges(2025, 2027),
            proptest::sample::select(zones),
        );
        let one = fields.prop_map(|(times, weekdays, days_of_month, months, years, name)| TimeInterval {
            times,
            weekdays,
            days_of_month,
            months,
            years,
            zone: zone(name),
        });
        proptest::collection::vec(one, 1..3).prop_map(|intervals| intervals.into_iter().collect())
    }

    proptest! {
        #[test]
        fn the_end_is_the_one_that_is_found_minute_by_minute(
            intervals in intervals(),
            // Two years, with two changes of the clock in each.
            second in 1_767_225_600_i64..1_830_297_600,
            fraction in 0..1_000_000_000,
        ) {
            let now = Timestamp::new(second, fraction).unwrap();
            prop_assert_eq!(intervals.ends_at(now), slow_ends_at(&intervals, now));
        }
    }
}
