//! The keys of `[[rules]]` and of what rules name.

use super::{Beside, Key, Kind, NAME, Unwritten};
use crate::config::timing::OCCURRENCES_MAX;
use crate::event::EventType;

pub(super) const RULE: &[Key] = &[
    Key::new("name", NAME, "Unique among the rules."),
    Key::new("enabled", Kind::Flag, "A rule that is not enabled is read and checked, and does nothing.")
        .or(Unwritten::Flag(true)),
    Key::new("final", Kind::Flag, "An event that this rule sends is not looked at by the rules after it.")
        .or(Unwritten::Flag(false)),
    Key::new("on", TYPES, "Types of events.").or(Unwritten::HereOrInDefaults),
    Key::new(
        "watch",
        Kind::Any(&[Kind::Text, Kind::Some(&Kind::Text)]),
        "Only what these watches tell, by their `label`.",
    )
    .nothing("what any of them tells"),
    Key::new("match", Kind::Attributes, "Attributes of the event that must all fit.")
        .nothing("everything fits"),
    Key::new(
        "matchers",
        Kind::Any(&[Kind::Text, Kind::Some(&Kind::Text)]),
        "Named matchers that must all fit too.",
    )
    .nothing("none"),
    Key::new("unless", Kind::Attributes, "The rule does not fire when all of these fit.")
        .nothing("nothing does"),
    Key::new("receivers", Kind::Some(&Kind::Text), "Where the events go.").or(Unwritten::HereOrInDefaults),
    Key::new("for", Kind::Duration, "It must be so for this long before it is sent.").text("0s"),
    Key::new(
        "keep_firing_for",
        Kind::Duration,
        "For this long after it is over it counts as going on, so that it is not told anew.",
    )
    .text("0s"),
    Key::new("group_by", ATTRIBUTES, "Events that agree in these attributes are sent together.")
        .nothing("each event is sent by itself"),
    Key::new("group_wait", Kind::Duration, "How long the first event of a group waits for others.")
        .text("30s")
        .beside(GROUPED),
    Key::new("group_interval", Kind::Duration, "How long a group waits after it was sent.")
        .text("5m")
        .beside(GROUPED),
    Key::new("repeat_interval", Kind::Duration, "What goes on is told again after this time.")
        .nothing("it is told once"),
    Key::new("send_resolved", Kind::Flag, "What ends it is sent too, although the rule does not match it.")
        .or(Unwritten::Flag(false)),
    Key::new("occurrences", Kind::Table(OCCURRENCES), "How often it must happen first.").nothing("once"),
    Key::new("mute_time_intervals", Kind::Some(&Kind::Text), "Nothing is sent in these.")
        .nothing("there is no such time"),
    Key::new("active_time_intervals", Kind::Some(&Kind::Text), "Nothing is sent outside of these.")
        .nothing("it is sent at all times"),
];

const GROUPED: Beside = Beside::Only("group_by");

const ATTRIBUTES: Kind = Kind::List(&Kind::Attribute);

const OCCURRENCES: &[Key] = &[
    Key::new("count", Kind::Number(2..=OCCURRENCES_MAX), "So often."),
    Key::new("within", Kind::Duration, "Within this time."),
];

pub(super) const INHIBIT: &[Key] = &[
    Key::new(
        "node_failed",
        Kind::Flag,
        "A node that the cluster finds dead hides what its services' checks say.",
    )
    .or(Unwritten::Flag(true)),
    Key::new("maintenance", Kind::Flag, "Maintenance hides what the checks of its node or instance say.")
        .or(Unwritten::Flag(true)),
    Key::new("flapping", Kind::Flag, "A check that goes to and fro hides its results.")
        .or(Unwritten::Flag(true)),
];

pub(super) const INHIBIT_RULE: &[Key] = &[
    Key::new("name", NAME, "Unique among the inhibit rules."),
    Key::new("source_match", Kind::Attributes, "What hides: attributes that must all fit."),
    Key::new("target_match", Kind::Attributes, "What is hidden: attributes that must all fit.")
        .nothing("everything fits"),
    Key::new("target_on", TYPES, "Types of the events that are hidden.")
        .or(Unwritten::Texts(&["check.status", "check.output"])),
    Key::new("equal", ATTRIBUTES, "Attributes in which both agree.").or(Unwritten::Texts(&[])),
];

const TYPES: Kind = Kind::Some(&Kind::Words(|| EventType::ALL.map(EventType::as_str).into()));

pub(in crate::config) const PATTERN: Kind = Kind::Any(&[
    Kind::Text,
    Kind::Float,
    ANY,
    Kind::Flag,
    Kind::Choice(&[
        Key::new("glob", Kind::Text, "With `*` and `?`."),
        Key::new("regex", Kind::Text, "Over the whole value."),
        Key::new("prefix", Kind::Text, "How the value begins."),
        Key::new("any", ANY, "One of these is enough."),
        Key::new("all", Kind::Some(&Kind::Text), "A list that has each of these."),
        Key::new("present", Kind::Flag, "It is there, or not."),
    ]),
    Kind::Table(&[
        Key::new("gt", Kind::Float, "More than this.").nothing("anything"),
        Key::new("ge", Kind::Float, "At least this.").nothing("anything"),
        Key::new("lt", Kind::Float, "Less than this.").nothing("anything"),
        Key::new("le", Kind::Float, "At most this.").nothing("anything"),
    ]),
]);

const ANY: Kind = Kind::Any(&[Kind::Some(&Kind::Text), Kind::Some(&Kind::Float)]);

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
