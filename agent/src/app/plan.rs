//! How the watches are asked for: a whole datacenter's checks as narrowly as the rules that use them allow.
//!
//! A query for all checks gets all of them for each change of one: with ten thousand, 4.6 MB and 101 ms, where the
//! checks of one service are 4.6 KB and 0.9 ms (measured on Consul 1.8.7).
//!
//! Boundary: pure.

use std::collections::BTreeSet;

use crate::consul::{Watch, What};
use crate::rules::{Attribute, Family, Matcher, Pattern, Rule};

/// How many services one watch asks for one by one, at most. Each query is a connection, and an agent takes 200 from
/// one client.
const SERVICES_MAX: usize = 32;

/// How a watch is asked for.
#[derive(Debug, PartialEq, Eq)]
pub enum Plan<'a> {
    /// By the one query that it is.
    AsItIs,
    /// All checks of the datacenter by one query, since this is so.
    Wide(String),
    /// By one query for the checks of each of these services, which are all that its rules want.
    Services(BTreeSet<&'a str>),
}

/// One query of a watch.
#[derive(Debug, PartialEq, Eq)]
pub struct Query {
    /// What is asked for.
    pub watch: Watch,
    /// Under which name its answers are kept.
    pub name: String,
    /// The service of whose checks it is, where it is one of several of its watch.
    pub service: Option<String>,
}

impl<'a> Plan<'a> {
    /// The plan for `watch`, one of the watches that the `rules` are about.
    pub fn of(watch: &Watch, rules: &'a [Rule]) -> Self {
        if watch.what != What::StateChecks("any".into()) {
            return Self::AsItIs;
        }
        let name = watch.name();
        let uses = |rule: &&Rule| {
            rule.enabled
                && (rule.watches.is_empty() || rule.watches.contains(&name))
                && rule.on.iter().any(|kind| Family::from(*kind) == Family::Check)
        };
        let mut services = BTreeSet::new();
        for rule in rules.iter().filter(uses) {
            let Some(wanted) = services_of(rule) else {
                return Self::Wide(format!("the rule `{}` does not name its services", rule.name));
            };
            services.extend(wanted);
        }
        match services.len() {
            0 => Self::Wide("no rule is about them".into()),
            1..=SERVICES_MAX => Self::Services(services),
            more => Self::Wide(format!(
                "the rules name {more} services, and {SERVICES_MAX} are asked for one by one"
            )),
        }
    }

    /// The queries for `watch`, whose plan this is.
    pub fn queries(&self, watch: &Watch) -> Vec<Query> {
        let one = |service: &&str| Query {
            watch: Watch { what: What::ServiceChecks((*service).to_owned()), ..watch.clone() },
            name: format!("{}{}", prefix(watch), quoted(service)),
            service: Some((*service).to_owned()),
        };
        match self {
            Self::AsItIs | Self::Wide(_) => {
                vec![Query { watch: watch.clone(), name: watch.name(), service: None }]
            }
            Self::Services(services) => services.iter().map(one).collect(),
        }
    }
}

/// What the names of a watch's queries begin with where each is for one service.
fn prefix(watch: &Watch) -> String {
    format!("{} service=", watch.name())
}

fn quoted(service: &str) -> String {
    serde_json::Value::from(service).to_string()
}

/// The services that queries of `watch` with these names were for, with their names.
pub(super) fn asked_before<'n>(watch: &Watch, names: &'n [String]) -> Vec<(&'n String, String)> {
    let prefix = prefix(watch);
    let service = |name: &'n String| Some((name, serde_json::from_str(name.strip_prefix(&prefix)?).ok()?));
    names.iter().filter_map(service).collect()
}

/// The services that a rule names, letter by letter; none where it may want others too, or looks at what only the
/// checks of nodes say.
fn services_of(rule: &Rule) -> Option<impl Iterator<Item = &str>> {
    let of_nodes = |matcher: &Matcher| matcher.attribute == Attribute::NodeFailed;
    if rule.conditions().chain(&rule.unless).any(of_nodes) {
        return None;
    }
    let named = rule.conditions().find_map(|matcher| match (&matcher.attribute, &matcher.pattern) {
        (Attribute::Service, Pattern::Any(names)) => Some(names),
        _ => None,
    });
    named.map(|names| names.iter().map(String::as_str))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::EventType;

    fn rule(on: EventType, service: impl Into<Option<Pattern>>) -> Rule {
        let matches = service.into().map(|pattern| Matcher { attribute: Attribute::Service, pattern });
        Rule {
            name: "r".into(),
            on: vec![on],
            matches: matches.into_iter().collect(),
            receivers: vec!["mail".into()],
            ..Rule::default()
        }
    }

    fn named(names: &[&str]) -> Pattern {
        Pattern::Any(names.iter().map(|&name| name.into()).collect())
    }

    /// The names of the queries for a watch of the datacenter.
    #[track_caller]
    fn check(rules: &[Rule], want: &[&str]) {
        let watch = Watch::from(What::StateChecks("any".into()));
        let queries = Plan::of(&watch, rules).queries(&watch);
        assert_eq!(queries.iter().map(|query| &query.name[..]).collect::<Vec<_>>(), want);
    }

    const WIDE: &[&str] = &["checks/state/any"];

    #[test]
    fn where_all_rules_name_their_services_each_is_a_query() {
        use EventType::{CheckStatus, KvSet, NodeFailed};
        let (web, both) = (rule(CheckStatus, named(&["web"])), rule(CheckStatus, named(&["web", "db"])));
        check(&[web.clone(), both], &["checks/state/any service=\"db\"", "checks/state/any service=\"web\""]);
        check(&[web.clone(), rule(KvSet, None)], &["checks/state/any service=\"web\""]);
        check(&[web.clone(), rule(NodeFailed, None)], WIDE);
        check(&[web.clone(), rule(EventType::FlappingStarted, None)], WIDE);
        check(&[web.clone(), rule(CheckStatus, Pattern::prefix("w"))], WIDE);
        check(&[], WIDE);
        let node_failed = Matcher { attribute: Attribute::NodeFailed, pattern: Pattern::Flag(true) };
        check(&[Rule { unless: vec![node_failed], ..web.clone() }], WIDE);
        // A rule about another watch does not count, nor one that takes no part.
        check(
            &[web.clone(), Rule { enabled: false, ..rule(CheckStatus, None) }],
            &["checks/state/any service=\"web\""],
        );
        let other = Rule { watches: vec!["checks/node".into()], ..rule(CheckStatus, None) };
        check(&[web, other], &["checks/state/any service=\"web\""]);
    }

    #[test]
    fn what_was_asked_for_before_is_known_by_its_name() {
        let watch = Watch::from(What::StateChecks("any".into()));
        let rules = [rule(EventType::CheckStatus, named(&["a \"b\"", "c"]))];
        let mut names: Vec<_> =
            Plan::of(&watch, &rules).queries(&watch).into_iter().map(|query| query.name).collect();
        names.extend(["checks/state/any".to_owned(), "services".to_owned()]);
        let services: Vec<_> = asked_before(&watch, &names).into_iter().map(|(_, service)| service).collect();
        assert_eq!(services, ["a \"b\"", "c"]);
    }

    #[test]
    fn too_many_services_are_one_query() {
        let names: Vec<_> = (0..=SERVICES_MAX).map(|number| format!("s{number}")).collect();
        let names: Vec<_> = names.iter().map(String::as_str).collect();
        check(&[rule(EventType::CheckStatus, named(&names))], WIDE);
        let watch = Watch::from(What::StateChecks("any".into()));
        let rules = [rule(EventType::CheckStatus, named(&names[1..]))];
        assert_eq!(Plan::of(&watch, &rules).queries(&watch).len(), SERVICES_MAX);
    }

    #[test]
    fn other_watches_are_asked_for_as_they_are() {
        let watch = Watch::from(What::StateChecks("critical".into()));
        assert_eq!(Plan::of(&watch, &[]), Plan::AsItIs);
    }
}
