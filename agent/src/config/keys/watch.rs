//! The keys of `[[watch]]`, which are others for each type.

use super::{Beside, Key, Kind, Tagged, Unwritten};
use crate::catalog::CheckStatus;

pub(super) const WATCH: Tagged = Tagged {
    tag: "type",
    doc: "What is followed, in Consul's words.",
    words: &[
        ("checks", CHECKS),
        ("service", &[SERVICE, TAG, PASSING_ONLY]),
        ("services", &[]),
        ("nodes", &[]),
        ("node", &[Key::new("node", Kind::Text, "The node.").nothing("the one that Lictor runs beside")]),
        ("key", &[Key::new("key", Kind::Text, "The key, without a slash before it.")]),
        ("keyprefix", &[Key::new("prefix", Kind::Text, "How the keys begin.")]),
        ("event", &[Key::new("name", Kind::Text, "The name of the user events.").nothing("all of them")]),
        ("agent_service", &[Key::new("service_id", Kind::Text, "The id of the service at this agent.")]),
        ("connect_roots", &[]),
        ("connect_leaf", &[SERVICE]),
    ],
    common: &[
        Key::new("label", super::NAME, "A name of its own, for rules that are about what this watch tells.")
            .nothing("no rule can name it"),
        Key::new("filter", Kind::Text, "What does not fit is not there; in Consul's own language.")
            .nothing("everything fits"),
        Key::new("datacenter", Kind::Text, "Another datacenter than the agent's.").nothing("the agent's"),
        Key::new("namespace", Kind::Text, "A namespace of Consul Enterprise.").nothing("the connection's"),
        Key::new("partition", Kind::Text, "A partition of Consul Enterprise.").nothing("the connection's"),
        Key::new("stale", Kind::Flag, "Any server may answer.").or(Unwritten::Flag(false)),
        Key::new("max_stale", Kind::Duration, "How old a stale answer may be.").nothing("there is no bound"),
        Key::new("consistent", Kind::Flag, "The leader asks the other servers first.")
            .or(Unwritten::Flag(false)),
        Key::new("cached", Kind::Flag, "The agent may answer from its cache.").or(Unwritten::Flag(false)),
    ],
};

const SERVICE: Key = Key::new("service", Kind::Text, "The name of the service.");

const TAG: Key = Key::new(
    "tag",
    Kind::Any(&[Kind::Text, Kind::Some(&Kind::Text)]),
    "A tag that its instances must have, or several, all of which they must have.",
)
.nothing("all instances");

const PASSING_ONLY: Key = Key::new("passing_only", Kind::Flag, "An instance that does not pass is gone.")
    .or(Unwritten::Flag(false));

const CHECKS: &[Key] = &[
    Key::new("scope", Kind::Words(|| vec!["node", "datacenter"]), "Those of this node, or all.")
        .text("node")
        .beside(Beside::NoneOf(&["service", "state"])),
    Key::new("service", Kind::Text, "Only those of one service.")
        .nothing("those of all services and of nodes"),
    Key::new("state", Kind::Words(states), "Only those in one state.").nothing("those in all states"),
];

fn states() -> Vec<&'static str> {
    CheckStatus::ALL.into_iter().map(CheckStatus::as_str).chain(["any"]).collect()
}
