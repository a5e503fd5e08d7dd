//! The keys of a rule that say when it sends.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::matchers::attribute_name;
use super::reader::{Entry, Table};
use super::source::Place;
use crate::event::EventType;
use crate::rules::{Grouping, Hours, Occurrences, Schedule, TimeIntervals};

/// Times shorter than this are those of a computer, not of a person.
const SHORTEST: Duration = Duration::from_millis(100);
/// More than this and nobody remembers what it was about.
const LONGEST: Duration = Duration::from_hours(30 * 24);
/// Less often than this would be a load on whoever reads it.
const REPEAT_MIN: Duration = Duration::from_secs(1);
/// How long the first event of a group waits, unless it is configured otherwise: Alertmanager's default.
const GROUP_WAIT: Duration = Duration::from_secs(30);
/// How long a group waits after it was sent, unless it is configured otherwise: Alertmanager's default.
const GROUP_INTERVAL: Duration = Duration::from_mins(5);
/// More than these would have to be kept for each thing.
pub(super) const OCCURRENCES_MAX: u32 = 100;

/// Reads the keys of a rule about events of these types. Its time intervals are known by their names only, which are
/// given with their places.
pub(super) fn read(table: &mut Table<'_>, on: &[EventType]) -> (Schedule, Vec<(String, Place)>) {
    let span = |entry: Entry<'_>| entry.duration(Duration::ZERO..=LONGEST);
    let hold = lasting(table, "for", on, span);
    let keep_firing_for = lasting(table, "keep_firing_for", on, span);
    let repeat_interval = lasting(table, "repeat_interval", on, |entry| entry.duration(REPEAT_MIN..=LONGEST));
    let send_resolved = lasting(table, "send_resolved", on, Entry::flag);
    let group = group(table);
    let occurrences = lasting(table, "occurrences", on, |entry| entry.table("`occurrences`", occurrences));
    let mute = table.get("mute_time_intervals", names).unwrap_or_default();
    let active = table.get("active_time_intervals", names).unwrap_or_default();
    let schedule = Schedule {
        hold: hold.unwrap_or_default(),
        keep_firing_for: keep_firing_for.unwrap_or_default(),
        group,
        repeat_interval,
        send_resolved: send_resolved.unwrap_or_default(),
        occurrences: occurrences.flatten(),
        mute: hours(&mute),
        active: hours(&active),
    };
    if schedule.is_timed() && on.contains(&EventType::DeliveryDead) {
        table.wrong::<()>(
            "a rule about `delivery.dead` is told at once",
            "leave the keys out that say when, or take `delivery.dead` out of `on`",
        );
    }
    (schedule, mute.into_iter().chain(active).collect())
}

fn hours(names: &[(String, Place)]) -> Vec<Hours> {
    names.iter().map(|(name, _)| Hours { name: name.clone(), intervals: Arc::default() }).collect()
}

/// Gives the time intervals that a schedule names; one that is not there was told.
pub(super) fn resolve(schedule: &mut Schedule, intervals: &BTreeMap<String, TimeIntervals>) {
    for hours in schedule.mute.iter_mut().chain(&mut schedule.active) {
        if let Some(intervals) = intervals.get(&hours.name) {
            hours.intervals = Arc::new(intervals.clone());
        }
    }
}

/// A key that means something only where something can end; its default means nothing anywhere.
fn lasting<'a, T: Default + PartialEq>(
    table: &mut Table<'a>,
    key: &'static str,
    on: &[EventType],
    read: impl FnOnce(Entry<'a>) -> Option<T>,
) -> Option<T> {
    let moment = on.iter().find(|kind| !kind.can_end());
    table.get(key, |entry| match (moment, read(entry)?) {
        (Some(kind), value) if value != T::default() => entry.wrong(
            format!("`{key}` means nothing for `{kind}`, which is over at once"),
            "leave it out, or write a rule of its own for what lasts",
        ),
        (_, value) => Some(value),
    })
}

fn group(table: &mut Table<'_>) -> Option<Grouping> {
    let by = table.get("group_by", |entry| entry.list("a list of attributes", attribute_name));
    let span = |entry: Entry<'_>| entry.duration(Duration::ZERO..=LONGEST);
    let wait = table.get("group_wait", span);
    let interval = table.get("group_interval", span);
    if by.is_none() && !table.unread("group_by", false) && (wait.is_some() || interval.is_some()) {
        table.wrong::<()>(
            "`group_wait` and `group_interval` say when a group is sent, and there is no `group_by`",
            "write group_by = [\"node\"], for example, or group_by = [] for one group of all",
        );
    }
    let (wait, interval) = (wait.unwrap_or(GROUP_WAIT), interval.unwrap_or(GROUP_INTERVAL));
    Some(Grouping { by: by?, wait, interval })
}

fn occurrences(table: &mut Table<'_>) -> Option<Occurrences> {
    let count = table.require("count", "count = 3", |entry| entry.number(2..=OCCURRENCES_MAX));
    let within = table.require("within", "within = \"10m\"", |entry| entry.duration(SHORTEST..=LONGEST));
    Some(Occurrences { count: count? as usize, within: within? })
}

/// The names of time intervals.
fn names(entry: Entry<'_>) -> Option<Vec<(String, Place)>> {
    entry.list("a list of names of [[time_intervals]]", |item| Some((item.string()?, item.place())))
}
