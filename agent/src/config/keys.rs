//! All keys of the configuration: what each holds, what counts where it is not written, and a sentence on it.
//!
//! The schema for editors (`schema`) and what `lictor config show` prints (`effective`) are made of this alone. The
//! sections read their keys themselves, with all that can be wrong with them; a test holds their keys against these,
//! in both directions, so that a key is added here with one line.
//!
//! Boundary: says how keys are written. Whether a value makes sense is known to the sections.

mod receivers;
mod rules;
mod watch;

use std::ops::RangeInclusive;

use super::agent::PERCENT_MAX;

pub(super) use rules::PATTERN;

/// One key of a table.
pub(crate) struct Key {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    pub(crate) unwritten: Unwritten,
    pub(crate) doc: &'static str,
    pub(crate) beside: Beside,
}

/// What is written for a key.
pub(crate) enum Kind {
    Text,
    /// A text that may be empty.
    AnyText,
    /// A text that is shown to nobody.
    Secret,
    /// A text of this form, a regular expression of JavaScript.
    Formed(&'static str),
    Words(fn() -> Vec<&'static str>),
    Flag,
    Number(RangeInclusive<u32>),
    /// Any number, whole or not.
    Float,
    Duration,
    Size,
    /// Of a file or a folder; a relative one is relative to the folder of the configuration file.
    Path,
    /// A word, or the path of a component.
    Plugin,
    List(&'static Kind),
    /// A list that is not empty.
    Some(&'static Kind),
    /// Any of these.
    Any(&'static [Kind]),
    Table(&'static [Key]),
    /// A table from which others with these keys get what they lack, but for those that are required of each.
    Defaults(&'static [Key]),
    /// A table of which one key is written.
    Choice(&'static [Key]),
    /// A table that has other keys for each word of one of them.
    Tagged(&'static Tagged),
    /// A table whose keys the operator chooses.
    Map(&'static Kind),
    /// The same; they are names of their own, in messages and metrics.
    Named(&'static Kind),
    /// The name of an attribute of events.
    Attribute,
    /// A table of attributes of events, each with a `PATTERN`.
    Attributes,
    /// Whatever a plugin wants.
    Free,
}

/// A table that has other keys for each word of one of them.
pub(crate) struct Tagged {
    /// Says which word it is.
    pub(crate) tag: &'static str,
    pub(crate) doc: &'static str,
    /// For each word, the keys that not all have.
    pub(crate) words: &'static [(&'static str, &'static [Key])],
    /// What all have.
    pub(crate) common: &'static [Key],
}

/// What counts where a key is not written.
#[derive(Clone, Copy)]
pub(crate) enum Unwritten {
    /// It is written.
    Required,
    /// It is written, here or among the defaults for tables like this one.
    HereOrInDefaults,
    Text(&'static str),
    Flag(bool),
    Number(u32),
    Texts(&'static [&'static str]),
    /// A table with nothing in it but defaults.
    Table,
    /// A list of one table, with this key and word.
    OneTable(&'static str, &'static str),
    /// No value; the words say what holds then.
    Nothing(&'static str),
}

/// Where a key has its default.
#[derive(Clone, Copy)]
pub(crate) enum Beside {
    Everything,
    /// Only where that key is written.
    Only(&'static str),
    /// Only where none of these keys is written.
    NoneOf(&'static [&'static str]),
}

impl Tagged {
    /// The keys that not all have, where the tag is this word.
    pub(crate) fn own(&self, word: &serde_json::Value) -> &'static [Key] {
        self.words.iter().find(|(known, _)| word == known).map_or(&[], |(_, keys)| keys)
    }
}

impl Key {
    /// One that must be written.
    const fn new(name: &'static str, kind: Kind, doc: &'static str) -> Self {
        Self { name, kind, unwritten: Unwritten::Required, doc, beside: Beside::Everything }
    }

    const fn or(self, unwritten: Unwritten) -> Self {
        Self { unwritten, ..self }
    }

    const fn text(self, text: &'static str) -> Self {
        self.or(Unwritten::Text(text))
    }

    const fn nothing(self, then: &'static str) -> Self {
        self.or(Unwritten::Nothing(then))
    }

    const fn beside(self, beside: Beside) -> Self {
        Self { beside, ..self }
    }

    /// Does its default count, or that it has none, in this table?
    pub(crate) fn counts_in(&self, table: &serde_json::Value) -> bool {
        let is_written = |key: &&str| table.get(key).is_some();
        match self.beside {
            Beside::Everything => true,
            Beside::Only(key) => is_written(&key),
            Beside::NoneOf(keys) => !keys.iter().any(is_written),
        }
    }
}

const TEXTS: Kind = Kind::List(&Kind::Text);

/// A rule, a receiver and the like.
pub(crate) const NAME: Kind = Kind::Formed("^[A-Za-z0-9_.-]+$");

/// All sections.
pub(crate) const KEYS: &[Key] = &[
    Key::new("agent", Kind::Table(AGENT), "This process.").or(Unwritten::Table),
    Key::new("consul", Kind::Table(CONSUL), "How the Consul agent of this node is reached.")
        .or(Unwritten::Table),
    Key::new("watch", Kind::List(&Kind::Tagged(&watch::WATCH)), "What is followed.")
        .or(Unwritten::OneTable("type", "checks")),
    Key::new("roles", Kind::Table(ROLES), "Which nodes are what for a service.").or(Unwritten::Table),
    Key::new(
        "defaults",
        Kind::Table(DEFAULTS),
        "What counts for each rule and receiver that does not say it itself.",
    )
    .or(Unwritten::Table),
    Key::new("rules", Kind::List(&Kind::Table(rules::RULE)), "Which events go to which receivers.")
        .or(Unwritten::Texts(&[])),
    Key::new(
        "receivers",
        Kind::Named(&Kind::Table(receivers::RECEIVER)),
        "Plugins, each with its configuration and what it may do.",
    )
    .or(Unwritten::Table),
    Key::new(
        "matchers",
        Kind::Named(&Kind::Attributes),
        "Conditions with a name, for the `matchers` of rules.",
    )
    .or(Unwritten::Table),
    Key::new("inhibit", Kind::Table(rules::INHIBIT), "Which of the built-in inhibit rules there are.")
        .or(Unwritten::Table),
    Key::new("inhibit_rules", Kind::List(&Kind::Table(rules::INHIBIT_RULE)), "What hides what.")
        .or(Unwritten::Texts(&[])),
    Key::new("time_intervals", Kind::List(&Kind::Table(rules::TIME_INTERVALS)), "Times that rules name.")
        .or(Unwritten::Texts(&[])),
];

/// Named as the sections that inherit.
pub(super) const DEFAULTS: &[Key] = &[
    Key::new("rules", Kind::Defaults(rules::RULE), "For each rule.").or(Unwritten::Table),
    Key::new("receivers", Kind::Defaults(receivers::RECEIVER), "For each receiver.").or(Unwritten::Table),
];

const PERCENT: Kind = Kind::Number(1..=PERCENT_MAX);

const AGENT: &[Key] = &[
    Key::new("environment", Kind::Text, "Where this is, for rules and plugins.")
        .nothing("the node's metadata `environment` says it"),
    Key::new("data_dir", Kind::Path, "The folder of the database and of compiled plugins.")
        .text("/var/lib/lictor"),
    Key::new(
        "initial_grace",
        Kind::Duration,
        "How long a check that is registered and has not run is waited for before it counts as critical.",
    )
    .text("5m"),
    Key::new("flap_interval", Kind::Duration, "Each interval in which a check's result was another counts.")
        .text("30s"),
    Key::new("low_flap_threshold", PERCENT, "Below so many percent of changes a check flaps no more.")
        .or(Unwritten::Number(20)),
    Key::new("high_flap_threshold", PERCENT, "From so many percent of changes on a check flaps.")
        .or(Unwritten::Number(30)),
    Key::new("shutdown_grace", Kind::Duration, "How long running calls may go on after the first SIGTERM.")
        .text("10s"),
    Key::new("retention", Kind::Table(RETENTION), "How much of the past is kept.").or(Unwritten::Table),
    Key::new(
        "durability",
        Kind::Words(|| vec!["normal", "full"]),
        "What a power cut may take: the last moment, which is then seen again, or nothing.",
    )
    .text("normal"),
];

const RETENTION: &[Key] = &[
    Key::new("age", Kind::Duration, "Events that were seen longer ago are deleted.").text("30d"),
    Key::new("size", Kind::Size, "Where the database is larger, the oldest events are deleted.")
        .text("256MiB"),
];

const CONSUL: &[Key] = &[
    Key::new("address", Kind::Text, "host:port, http://host:port, https://host:port or unix:///path.")
        .text("127.0.0.1:8500"),
    Key::new("token", Kind::Secret, "The ACL token itself; better keep it out of this file.")
        .nothing(NO_TOKEN),
    Key::new("token_file", Kind::Path, "The file that holds the ACL token.").nothing(NO_TOKEN),
    Key::new("token_env", Kind::Text, "The variable of the environment that holds the ACL token.")
        .nothing(NO_TOKEN),
    Key::new("ca_file", Kind::Path, "PEM file of the authorities to trust.").nothing(SYSTEM),
    Key::new("ca_path", Kind::Path, "Folder of PEM files of authorities to trust.").nothing(SYSTEM),
    Key::new("client_cert", Kind::Path, "PEM file of the certificate to show to Consul, with its chain.")
        .nothing("none is shown"),
    Key::new("client_key", Kind::Path, "PEM file of the key of `client_cert`.").nothing("none is shown"),
    Key::new("tls_server_name", Kind::Text, "The name that the certificate of Consul must have.")
        .nothing("the host of the address"),
    Key::new("tls_verify", Kind::Flag, "Whether the certificate of Consul is checked.")
        .or(Unwritten::Flag(true)),
    Key::new("block_query_wait", Kind::Duration, "How long one query waits for a change.").text("1m"),
];

const NO_TOKEN: &str = "no token of this kind";
const SYSTEM: &str = "those of the system, unless others are named";

const ROLES: &[Key] =
    &[Key::new("services", Kind::Map(&Kind::Table(SERVICE)), "By the name of the service.")
        .or(Unwritten::Table)];

const SERVICE: &[Key] = &[
    Key::new("active_nodes", TEXTS, "`node_role` is \"primary\" there.").or(Unwritten::Texts(&[])),
    Key::new("standby_nodes", TEXTS, "`node_role` is \"secondary\" there.").or(Unwritten::Texts(&[])),
];
