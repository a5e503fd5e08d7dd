//! The keys of `[receivers.*]`.

use super::{Key, Kind, TEXTS, Unwritten};
use crate::config::allow::KV_STORE_KEYS_MAX;
use crate::config::receivers::{ATTEMPTS_MAX, LOG_RATE_MAX, RATE_MAX};
use crate::dispatch::MAX_IN_FLIGHT_MAX;

pub(super) const RECEIVER: &[Key] = &[
    Key::new(
        "plugin",
        Kind::Plugin,
        "A plugin of Lictor's own, or the path of a .wasm file or of a folder with an OCI image layout.",
    )
    .or(Unwritten::HereOrInDefaults),
    Key::new(
        "sha256",
        Kind::Formed("^[0-9A-Fa-f]{64}$"),
        "The SHA-256 of the component, as `sha256sum` says it of a .wasm file.",
    )
    .nothing("it is not compared"),
    Key::new("config", Kind::Free, "What the plugin gets; which keys there are, the plugin says.")
        .or(Unwritten::Table),
    Key::new("timeout", Kind::Duration, "From the start of a call to its answer.").text("1m"),
    Key::new("max_in_flight", Kind::Number(1..=MAX_IN_FLIGHT_MAX), "How many calls run at once.")
        .or(Unwritten::Number(4)),
    Key::new("rate_limit", Kind::Table(RATE_LIMIT), "How many calls begin within a time.")
        .nothing("as many as can"),
    Key::new(
        "order",
        Kind::Words(|| vec!["subject", "receiver"]),
        "Which deliveries wait for each other: those of one subject, or all.",
    )
    .text("subject"),
    Key::new(
        "overlap",
        Kind::Words(|| vec!["queue", "coalesce", "replace", "skip"]),
        "What happens where a delivery comes before an earlier one that it waits for is done.",
    )
    .text("queue"),
    Key::new("send_resolved", Kind::Flag, "Whether it is told that a check passes again.")
        .or(Unwritten::Flag(true)),
    Key::new(
        "fallback",
        Kind::Text,
        "The receiver that gets an event which this one did not get in the end.",
    )
    .nothing("nobody gets it"),
    Key::new("retry", Kind::Table(RETRY), "When a failed delivery is tried again.").or(Unwritten::Table),
    Key::new("limits", Kind::Table(LIMITS), "What one call may take.").or(Unwritten::Table),
    Key::new("allow", Kind::Table(ALLOW), "What the plugin may do.").or(Unwritten::Table),
];

const RATE_LIMIT: &[Key] = &[
    Key::new("max", Kind::Number(1..=RATE_MAX), "So many calls."),
    Key::new("per", Kind::Duration, "Within this time."),
];

const RETRY: &[Key] = &[
    Key::new(
        "attempts",
        Kind::Number(0..=ATTEMPTS_MAX),
        "How often it is tried before it is dead; 0 is for ever.",
    )
    .or(Unwritten::Number(12)),
    Key::new("backoff", Kind::Duration, "The pause before the second attempt; it doubles each time.")
        .text("250ms"),
    Key::new("max_backoff", Kind::Duration, "What the pause grows to.").text("1m"),
    Key::new(
        "max_elapsed",
        Kind::Duration,
        "No attempt begins later than this after the event was committed.",
    )
    .nothing("the attempts alone are bounded"),
];

const LIMITS: &[Key] = &[
    Key::new("memory", Kind::Size, "Memory of the plugin.").text("64MiB"),
    Key::new("cpu", Kind::Duration, "Time on the processor.").text("1s"),
    Key::new("log", Kind::Size, "What is kept of its log.").text("64KiB"),
    Key::new(
        "log_rate",
        Kind::Number(1..=LOG_RATE_MAX),
        "How many lines of its log are kept in a second, whatever the number of calls.",
    )
    .or(Unwritten::Number(100)),
    Key::new("output", Kind::Size, "What is kept of each output stream of a command that it runs.")
        .text("4KiB"),
    Key::new(
        "response",
        Kind::Size,
        "What is read of an HTTP response (its headers are refused beyond that), and of Consul's keys.",
    )
    .text("64KiB"),
    Key::new("transfer", Kind::Size, "What it may pass to Lictor at once.").text("1MiB"),
];

const GRANTED: &str = "what `config` names, for a plugin of Lictor's own; nothing for another";

const ALLOW: &[Key] = &[
    Key::new("exec", Kind::List(&Kind::Table(EXEC)), "Programs that may be run.").nothing(GRANTED),
    Key::new(
        "append",
        Kind::List(&Kind::Any(&[Kind::Text, Kind::Table(APPEND)])),
        "Files, or folders with a `/` at the end, that may be appended to.",
    )
    .nothing(GRANTED),
    Key::new("http", Kind::List(&Kind::Table(HTTP)), "URLs that may be asked.").nothing(GRANTED),
    Key::new("smtp", Kind::Table(SMTP), "The relay, and which addresses mail may come from and go to.")
        .nothing("no mail may be sent"),
    Key::new("watch", Kind::Flag, "Whether the whole list that the watch of the rule follows may be read.")
        .nothing(GRANTED),
    Key::new("kv", TEXTS, "How the keys of Consul begin that may be read.").nothing("none may be read"),
    Key::new("kv_store", Kind::Table(KV_STORE), "How much may be kept from one call to the next.")
        .nothing("nothing may be kept"),
];

const KV_STORE: &[Key] = &[
    Key::new("size", Kind::Size, "Bytes of all keys and values together."),
    Key::new("keys", Kind::Number(1..=KV_STORE_KEYS_MAX), "How many keys.").or(Unwritten::Number(1000)),
];

const EXEC: &[Key] = &[
    Key::new(
        "command",
        Kind::Some(&Kind::AnyText),
        "The absolute path, then arguments, each exact or with `*`.",
    ),
    Key::new("cwd", Kind::Path, "The folder that it runs in.").text("/"),
    Key::new("env", TEXTS, "The variables that the plugin may set.").or(Unwritten::Texts(&[])),
    Key::new(
        "user",
        Kind::Text,
        "Whom it runs as, a name or a number; for another user Lictor has to be root.",
    )
    .nothing("Lictor's user"),
    Key::new("group", Kind::Text, "Its group, a name or a number; where Lictor is root it is in no other.")
        .nothing("the own group of `user`; without it, Lictor's groups"),
];

const APPEND: &[Key] = &[
    Key::new("path", Kind::Text, "The absolute path; with a `/` at the end all that is in this folder."),
    Key::new("mode", Kind::Text, "The mode of a file that is made, in octal digits, whatever the umask.")
        .nothing("0640 less the umask"),
    Key::new(
        "owner",
        Kind::Text,
        "Whose a file is that is made, a name or a number; for another user Lictor has to be root.",
    )
    .nothing("Lictor's user"),
    Key::new("group", Kind::Text, "Its group, a name or a number.")
        .nothing("Lictor's group, or the folder's"),
    Key::new("sync", Kind::Flag, "An append is done only when it is on the disk.").or(Unwritten::Flag(false)),
];

const HTTP: &[Key] = &[
    Key::new(
        "url",
        Kind::Text,
        "`*` is one segment of the path, `/**` at the end all below, `?*` any query.",
    ),
    Key::new("methods", Kind::Some(&Kind::Text), "The methods: at least one.")
        .or(Unwritten::Texts(&["POST"])),
    Key::new(
        "header_files",
        Kind::Map(&Kind::Path),
        "Headers that Lictor adds, and the files that hold them.",
    )
    .or(Unwritten::Table),
    Key::new("ca_file", Kind::Path, "PEM file of the authorities to trust.").nothing("those of the system"),
    Key::new("local", Kind::Flag, "Whether the host's name may lead to a loopback or link-local address.")
        .or(Unwritten::Flag(false)),
];

const SMTP: &[Key] = &[
    Key::new("relay", Kind::Text, "smtps://, or smtp://…?tls=required."),
    Key::new("username", Kind::Text, "Who Lictor is there.").nothing("it does not log in"),
    Key::new("password_file", Kind::Path, "The file that holds the password.").nothing("it does not log in"),
    Key::new("ca_file", Kind::Path, "PEM file of the authorities to trust.").nothing("those of the system"),
    Key::new(
        "from",
        Kind::Any(&[Kind::Text, Kind::Some(&Kind::Text)]),
        "The addresses that mail may come from.",
    )
    .nothing("the one that `config` names, for a plugin of Lictor's own; any for another"),
    Key::new("to", TEXTS, "The addresses that mail may go to.")
        .nothing("those that `config` names, for a plugin of Lictor's own; none for another"),
];
