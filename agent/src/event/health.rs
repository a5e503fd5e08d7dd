//! What an answer says of nodes and services as a whole: worked out once, and only if an event has to tell of it.

use std::cell::{Cell, OnceCell};
use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::{CheckState, Snapshot, State};
use crate::catalog::CheckStatus;

/// What the states after an answer say together.
#[derive(Debug)]
pub struct Health<'a> {
    /// None where they are not at hand.
    states: Option<&'a Snapshot<State>>,
    failed_nodes: OnceCell<BTreeSet<String>>,
    services: OnceCell<HashMap<String, Instances>>,
    /// How many services were looked at one by one.
    asked: Cell<u32>,
}

/// So many services are looked at one by one, before it is cheaper to look at all.
const ONE_BY_ONE: u32 = 3;

/// The instances of a service that a watch shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Instances {
    pub(super) passing: u32,
    all: u32,
}

impl Instances {
    /// Those that pass, of all; 0 where there are none.
    pub(super) fn share(self) -> f64 {
        if self.all == 0 { 0.0 } else { f64::from(self.passing) / f64::from(self.all) }
    }
}

impl<'a> Health<'a> {
    /// That of these `states`.
    pub fn of(states: &'a Snapshot<State>) -> Self {
        Self { states: Some(states), ..Self::unknown() }
    }

    /// Nothing is said: no node is dead, and of no service is it known how it is.
    pub fn unknown() -> Self {
        Self { states: None, failed_nodes: OnceCell::new(), services: OnceCell::new(), asked: Cell::new(0) }
    }

    fn checks(&self) -> impl Iterator<Item = &'a CheckState> {
        self.states.into_iter().flat_map(Snapshot::values).filter_map(State::check)
    }

    /// The cluster finds the node dead.
    pub(super) fn is_failed(&self, node: &str) -> bool {
        let failed = || {
            let failed = self.checks().filter(|check| check.says_node_failed());
            failed.map(|state| state.check.node.clone()).collect()
        };
        self.failed_nodes.get_or_init(failed).contains(node)
    }

    /// The instances of a service, if that is known. One passes where its checks pass and those of its node, of those that there are.
    pub(super) fn instances_of(&self, service: &str) -> Option<Instances> {
        self.states?;
        if self.services.get().is_none() && self.asked.replace(self.asked.get() + 1) < ONE_BY_ONE {
            return Some(self.count(Some(service)).remove(service).unwrap_or_default());
        }
        Some(self.services.get_or_init(|| self.count(None)).get(service).copied().unwrap_or_default())
    }

    /// Those of one service, or of all.
    fn count(&self, service: Option<&str>) -> HashMap<String, Instances> {
        let counts = |state: &&CheckState| {
            let of_node = state.check.service_id.is_empty();
            // One that passes says nothing of the instances of its node.
            let fails = of_node && state.result != Some(CheckStatus::Passing);
            fails || !of_node && service.is_none_or(|service| state.check.service == service)
        };
        let mut checks: Vec<_> = self.checks().filter(counts).collect();
        // They come node by node, so there is hardly anything to sort.
        checks.sort_by(|one, other| one.check.node.cmp(&other.check.node));
        let mut services = HashMap::<&str, Instances>::new();
        for node in checks.chunk_by(|one, other| one.check.node == other.check.node) {
            let (mut instances, mut is_well) = (BTreeMap::new(), true);
            for state in node {
                let passes = state.result == Some(CheckStatus::Passing);
                if state.check.service_id.is_empty() {
                    is_well &= passes;
                    continue;
                }
                let (_, all_pass) =
                    instances.entry(&state.check.service_id[..]).or_insert((&state.check.service[..], true));
                *all_pass &= passes;
            }
            for (service, all_pass) in instances.into_values() {
                let known = services.entry(service).or_default();
                known.all += 1;
                known.passing += u32::from(all_pass && is_well);
            }
        }
        services.into_iter().map(|(service, instances)| (service.to_owned(), instances)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::Check;

    use CheckStatus::{Critical, Passing, Warning};

    fn state(node: &str, id: &str, service: &str, status: CheckStatus, ran: bool) -> (String, State) {
        let (instance, _) = id.split_once(':').unwrap_or_default();
        let check = Check {
            node: node.into(),
            check_id: id.into(),
            name: id.into(),
            kind: String::new(),
            status,
            notes: String::new(),
            output: String::new(),
            service_id: instance.into(),
            service: service.into(),
            service_tags: Vec::new(),
            create_index: 1,
            modify_index: 1,
        };
        let state = CheckState {
            check: check.into(),
            ran,
            result: ran.then_some(status),
            since: jiff::Timestamp::UNIX_EPOCH,
            silent_since: None,
            flaps: None,
        };
        (format!("{node}/{id}"), State::Check(state))
    }

    #[test]
    fn an_instance_passes_where_all_its_checks_and_those_of_its_node_pass() {
        let states: Snapshot<State> = [
            state("n1", "web-1:http", "web", Passing, true),
            state("n1", "web-1:disk", "web", Passing, true),
            state("n1", "web-2:http", "web", Warning, true),
            state("n1", "db:tcp", "db", Passing, true),
            state("n1", "serfHealth", "", Passing, true),
            state("n2", "web-1:http", "web", Passing, true),
            state("n2", "serfHealth", "", Critical, true),
            // By their keys, its checks are between those of another node.
            state("n1/a", "web-1:http", "web", Passing, true),
            state("n3", "web-1:http", "web", Critical, false),
            state("n3", "web-2:http", "web", Passing, true),
            state("n3", "web-2:_service_maintenance", "web", Critical, false),
        ]
        .into();
        let health = Health::of(&states);
        let of = |service: &str| {
            let instances = health.instances_of(service).unwrap();
            (instances.passing, instances.all)
        };
        assert_eq!((of("web"), of("db"), of("mail")), ((2, 6), (1, 1), (0, 0)));
        assert_eq!((of("web"), of("db")), ((2, 6), (1, 1)), "one by one and all at once are the same");
        let share = |service: &str| health.instances_of(service).unwrap().share();
        assert!((share("web") - 1.0 / 3.0).abs() < f64::EPSILON && share("mail") < f64::EPSILON);
        assert_eq!(Health::unknown().instances_of("web"), None);
        assert!(health.is_failed("n2") && !health.is_failed("n1"));
    }
}
