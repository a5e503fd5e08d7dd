//! What the demonstration hopes to see, and whether it did.
//!
//! Boundary: pure.

use std::collections::BTreeSet;
use std::fmt;

/// One of the four plugins, by what it leaves behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Plugin {
    /// A line in a file.
    File,
    /// A command that ran.
    Shell,
    /// A webhook that came in.
    Webhook,
    /// A mail that came in.
    Email,
}

impl Plugin {
    /// All that have to act.
    pub(crate) const ALL: [Self; 4] = [Self::File, Self::Shell, Self::Webhook, Self::Email];
}

impl fmt::Display for Plugin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::File => "file",
            Self::Shell => "shell",
            Self::Webhook => "webhook",
            Self::Email => "email",
        })
    }
}

/// Where a sighting was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// Consul itself.
    Consul,
    /// A plugin's doing.
    Plugin(Plugin),
}

/// Somebody told that the check of `web` is now in this state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sighting {
    /// Who told it.
    pub(crate) place: Place,
    /// `passing`, `warning` or `critical`.
    pub(crate) status: String,
    /// What was seen, in one line.
    pub(crate) detail: String,
}

/// One change of the check, and who has told of it so far.
#[derive(Debug)]
pub(crate) struct Act {
    status: &'static str,
    by_consul: bool,
    by: BTreeSet<Plugin>,
}

impl Act {
    /// The change to `status`, of which nothing was seen yet.
    pub(crate) fn new(status: &'static str) -> Self {
        Self { status, by_consul: false, by: BTreeSet::new() }
    }

    /// Takes in a sighting; one of another state proves nothing here.
    pub(crate) fn see(&mut self, sighting: &Sighting) {
        if sighting.status != self.status {
            return;
        }
        match sighting.place {
            Place::Consul => self.by_consul = true,
            Place::Plugin(plugin) => {
                self.by.insert(plugin);
            }
        }
    }

    /// Did Consul itself see the change?
    pub(crate) fn seen_by_consul(&self) -> bool {
        self.by_consul
    }

    /// What is still to be seen, in words; empty when the act is complete.
    pub(crate) fn missing(&self) -> Vec<String> {
        let consul = (!self.by_consul).then(|| format!("Consul never said that web is {}", self.status));
        let silent = Plugin::ALL.into_iter().filter(|plugin| !self.by.contains(plugin));
        let plugins =
            silent.map(|plugin| format!("the plugin {plugin} did nothing when web was {}", self.status));
        consul.into_iter().chain(plugins).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sighting(place: Place, status: &str) -> Sighting {
        Sighting { place, status: status.into(), detail: String::new() }
    }

    #[track_caller]
    fn check(seen: &[(Place, &str)], missing: &[&str]) {
        let mut act = Act::new("critical");
        for (place, status) in seen {
            act.see(&sighting(*place, status));
        }
        assert_eq!(act.missing(), missing);
    }

    #[test]
    fn an_act_is_complete_when_consul_and_all_four_plugins_told_of_it() {
        let all = Plugin::ALL.map(|plugin| (Place::Plugin(plugin), "critical"));
        let consul = (Place::Consul, "critical");

        check(&[&all[..], &[consul]].concat(), &[]);
        check(&all, &["Consul never said that web is critical"]);
        check(&[&all[1..], &[consul]].concat(), &["the plugin file did nothing when web was critical"]);
    }

    #[test]
    fn the_news_of_another_state_proves_nothing() {
        let late = Plugin::ALL.map(|plugin| (Place::Plugin(plugin), "passing"));
        let mut act = Act::new("critical");
        for (place, status) in late {
            act.see(&sighting(place, status));
        }
        assert_eq!(act.missing().len(), 5);
    }
}
