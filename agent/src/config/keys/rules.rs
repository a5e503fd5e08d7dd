//! The keys of `[[rules]]` and of what rules name.

use super::{Key, Kind, NAME};
use crate::event::EventType;

pub(super) const RULE: &[Key] = &[
    Key::new("name", NAME, "Unique among the rules."),
    Key::new(
        "on",
        Kind::Some(&Kind::Words(|| EventType::ALL.map(EventType::as_str).into())),
        "Types of events.",
    ),
    Key::new(
        "watch",
        Kind::Any(&[Kind::Text, Kind::Some(&Kind::Text)]),
        "Only what these watches tell, by their `label`.",
    )
    .nothing("what any of them tells"),
    Key::new("match", Kind::Attributes, "Attributes of the event that must all fit.")
        .nothing("everything fits"),
    Key::new("unless", Kind::Attributes, "The rule does not fire when all of these fit.")
        .nothing("nothing does"),
    Key::new("receivers", Kind::Some(&Kind::Text), "Where the events go."),
];

pub(in crate::config) const PATTERN: Kind = Kind::Any(&[
    Kind::Text,
    Kind::Some(&Kind::Text),
    Kind::Flag,
    Kind::Choice(&[
        Key::new("glob", Kind::Text, "With `*` and `?`."),
        Key::new("regex", Kind::Text, "Over the whole value."),
        Key::new("prefix", Kind::Text, "How the value begins."),
    ]),
]);

pub(super) const TIME_INTERVALS: &[Key] = &[
    Key::new("name", NAME, "Unique among the time intervals."),
    Key::new(
        "time_intervals",
        Kind::Some(&Kind::Table(TIME_INTERVAL)),
        "It is that time when one of these holds.",
    ),
];

const TIME_INTERVAL: &[Key] = &[
    Key::new("times", Kind::Some(&Kind::Table(TIMES)), "Times of the day.").nothing("the whole day"),
    Key::new("weekdays", Kind::Some(&Kind::Text), "\"monday\", or \"monday:friday\".").nothing("all of them"),
    Key::new(
        "days_of_month",
        Kind::Some(&Kind::Formed("^-?[0-9]+(:-?[0-9]+)?$")),
        "\"1:5\", or \"-3:-1\" from the end of the month.",
    )
    .nothing("all of them"),
    Key::new("months", Kind::Some(&Kind::Text), "\"january\" or \"1\", or \"january:march\".")
        .nothing("all of them"),
    Key::new("years", Kind::Some(&Kind::Formed("^[0-9]+(:[0-9]+)?$")), "\"2026\", or \"2026:2028\".")
        .nothing("all of them"),
    Key::new("location", Kind::Text, "A name of the time zone database, or \"Local\".").text("UTC"),
];

const TIME: Kind = Kind::Formed("^(([01][0-9]|2[0-3]):[0-5][0-9]|24:00)$");

const TIMES: &[Key] = &[
    Key::new("start_time", TIME, "\"00:00\" to \"24:00\"."),
    Key::new("end_time", TIME, "Later on the same day; it is not in it."),
];
