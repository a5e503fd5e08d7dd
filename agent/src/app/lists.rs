//! The whole lists that watches follow, for receivers that want those instead of an event.

use std::collections::BTreeMap;

use lictor_capability::{CallError, List, Lists, Reading};

use super::keys;
use super::receivers::Ready;
use crate::config::{Config, Fault, Faults};
use crate::consul::{Client, Watch};

/// The lists, by the rule that is about one.
pub(super) struct Watched {
    client: Client,
    by_rule: BTreeMap<String, Watch>,
}

impl Watched {
    /// Those of a configuration.
    pub(super) fn new(config: &Config, client: &Client) -> Self {
        let of = |rule: &crate::rules::Rule| Some((rule.name.clone(), watch_of(config, rule)?.clone()));
        Self { client: client.clone(), by_rule: config.rules.iter().filter_map(of).collect() }
    }
}

impl Lists for Watched {
    /// Consul is asked anew, so what a repeated attempt gets is as it is then.
    fn current<'a>(&'a self, rule: &'a str) -> Reading<'a> {
        Box::pin(async move {
            let failed = CallError::Failed;
            let watch = self
                .by_rule
                .get(rule)
                .ok_or_else(|| failed(format!("there is no rule {rule:?} any more, or its watch is gone")))?;
            let read = async {
                let here = self.client.local_node().await?;
                self.client.list(watch, &here.name).await
            };
            let (index, body) = read.await.map_err(|error| keys::failed(&error))?;
            Ok(List { index: index.get(), body })
        })
    }
}

/// The watch whose list a rule's receivers get: the first that it names, or the only one.
fn watch_of<'a>(config: &'a Config, rule: &crate::rules::Rule) -> Option<&'a Watch> {
    match (rule.watches.first(), &config.watches[..]) {
        (Some(name), watches) => watches.iter().find(|watch| watch.name() == *name),
        (None, [only]) => Some(only),
        (None, _) => None,
    }
}

/// Where a receiver wants a list, each rule that sends to it has to say of which watch.
pub(super) fn check<'a>(config: &'a Config, ready: Vec<Ready<'a>>) -> Result<Vec<Ready<'a>>, Faults> {
    let mut faults = Vec::new();
    for Ready { config: receiver, .. } in ready.iter().filter(|ready| ready.capabilities.grants().watch) {
        let unsure = config
            .rules
            .iter()
            .filter(|rule| rule.receivers.contains(&receiver.name) && watch_of(config, rule).is_none());
        faults.extend(unsure.map(|rule| {
            let problem =
                format!("it reads the list of a watch, and the rule `{}` does not say of which", rule.name);
            let help = "give the [[watch]] a `label`, and write `watch = \"<label>\"` in the rule";
            Fault::at(receiver.places.config.clone(), problem).help(help)
        }));
    }
    if faults.is_empty() { Ok(ready) } else { Err(Faults::new(faults)) }
}
