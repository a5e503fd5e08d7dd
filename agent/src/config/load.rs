//! From paths to one configuration: which files are read, and how they add up.
//!
//! Boundary: what stands in a section is known to the section's own file.
//!
//! Invariant: each thing has one definition. A second one is a fault that names both places.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use toml::Spanned;
use toml::de::DeTable;

use super::agent::{self, Agent};
use super::consul::Env;
use super::fault::Fault;
use super::reader::{Defaults, Entry, Reader, Table};
use super::receivers::{self, Receiver};
use super::rules::Written;
use super::source::{Place, Source};
use super::{Config, Look, Rejected, consul, files, matchers, roles, rules, syntax};
use super::{Watch, inhibit, time_intervals, watch};
use crate::consul::Settings;
use crate::rules::{BuiltIn, InhibitRule, Named, Rule, ServiceRoles, TimeIntervals};

/// What was read so far.
pub(super) struct Draft<'e> {
    pub(super) look: Look,
    pub(super) env: Env<'e>,
    pub(super) faults: Vec<Fault>,
    /// A file could not be read to its end: what it defines is not known.
    pub(super) partial: bool,
    /// Sections that are written, in the environment or in a file, and not known in full.
    pub(super) unread: BTreeSet<&'static str>,
    pub(super) agent: Agent,
    pub(super) consul: Settings,
    pub(super) watches: Vec<Watch>,
    /// Where each is written.
    pub(super) watch_places: Vec<Place>,
    pub(super) roles: Vec<(String, ServiceRoles)>,
    /// Each with the names of its matchers, and where they are written.
    pub(super) rules: Vec<(Rule, Vec<(String, Place)>)>,
    pub(super) matchers: Vec<Arc<Named>>,
    pub(super) time_intervals: BTreeMap<String, TimeIntervals>,
    pub(super) built_in: BuiltIn,
    pub(super) inhibit_rules: Vec<InhibitRule>,
    pub(super) receivers: Vec<Receiver>,
    /// What is right, and perhaps not what was meant.
    pub(super) warnings: Vec<Fault>,
    /// What rules and receivers name: the kind of thing, its name, and where.
    pub(super) references: Vec<(&'static str, String, Place)>,
    /// The names in the store of the watches that have a label.
    pub(super) labels: BTreeMap<String, String>,
    /// Where each thing is defined, by its kind and name.
    pub(super) defined: BTreeMap<(&'static str, String), Place>,
}

/// Reads all files that `paths` lead to.
pub(super) fn load(paths: &[PathBuf], env: Env<'_>, look: Look) -> Result<Config, Box<Rejected>> {
    let mut faults = Vec::new();
    let consul = consul::from_env(env, &mut faults);
    let faults_of_env = faults.len();
    let files = files::find(paths, &mut faults);
    let mut draft = Draft {
        look,
        env,
        partial: faults.len() > faults_of_env,
        unread: (faults_of_env > 0).then_some("consul").into_iter().collect(),
        faults,
        agent: Agent::default(),
        consul,
        watches: Vec::new(),
        watch_places: Vec::new(),
        roles: Vec::new(),
        rules: Vec::new(),
        matchers: Vec::new(),
        time_intervals: BTreeMap::new(),
        built_in: BuiltIn::default(),
        inhibit_rules: Vec::new(),
        receivers: Vec::new(),
        warnings: Vec::new(),
        references: Vec::new(),
        labels: BTreeMap::new(),
        defined: BTreeMap::new(),
    };
    let texts = draft.texts(files);
    let files: Vec<_> = texts.iter().map(|(path, text)| File::parse(path.clone(), text, look)).collect();
    let defaults = |of| files.iter().find_map(|file| file.reader.defaults(file.tree.get_ref(), of));
    let defaults = Heritage { rules: defaults("rules"), receivers: defaults("receivers") };
    for file in &files {
        draft.file(file, defaults);
    }
    for file in files {
        draft.faults_of(file);
    }
    draft.finish()
}

/// One file, as the parser understands it.
struct File<'t> {
    source: Arc<Source>,
    tree: Spanned<DeTable<'t>>,
    reader: Reader,
    /// Where the parser does not.
    broken: Vec<Fault>,
    /// The ranges of the text whose meaning is lost by that.
    lost: Vec<Range<usize>>,
}

/// What counts for rules and receivers where they say nothing, in whatever file it is.
#[derive(Clone, Copy)]
struct Heritage<'a> {
    rules: Option<Defaults<'a>>,
    receivers: Option<Defaults<'a>>,
}

impl<'t> File<'t> {
    fn parse(path: PathBuf, text: &'t Arc<str>, look: Look) -> Self {
        let (tree, errors) = DeTable::parse_recoverable(text);
        let source = Arc::new(Source::new(path, Arc::clone(text), tree.get_ref(), errors.is_empty()));
        let (broken, lost) = syntax::faults(&source, &errors);
        let reader = Reader::new(Arc::clone(&source), look == Look::Everywhere);
        Self { source, tree, reader, broken, lost }
    }
}

/// What is defined and referred to, as messages call it.
pub(super) const RECEIVER: &str = "the receiver";
pub(super) const WATCH: &str = "the watch";
pub(super) const MATCHER: &str = "the matcher";
pub(super) const TIME_INTERVAL: &str = "the time interval";
pub(super) const RULE: &str = "the rule";

impl Draft<'_> {
    /// The texts of those that can be read.
    fn texts(&mut self, paths: Vec<PathBuf>) -> Vec<(PathBuf, Arc<str>)> {
        let mut texts = Vec::new();
        for path in paths {
            match files::read(&path) {
                Ok(text) => texts.push((path, text)),
                Err(fault) => {
                    self.partial = true;
                    self.faults.push(fault);
                }
            }
        }
        texts
    }

    fn file<'a>(&mut self, File { tree, reader, broken, .. }: &'a File<'_>, defaults: Heritage<'a>) {
        let receivers_before = self.receivers.len();
        reader.read(tree.get_ref(), |table| self.sections(table, defaults));
        if !broken.is_empty() {
            self.partial = true;
            // The parser may have lost a part of each.
            self.receivers.truncate(receivers_before);
        }
    }

    /// Once all files were read, since each may have found a fault in the defaults of another.
    fn faults_of(&mut self, File { source, reader, broken, lost, .. }: File<'_>) {
        // What the parser could not read may be missed, or be taken for something else, further on.
        let echo = |fault: &Fault| {
            let place = fault.place().filter(|place| place.is_in(&source));
            place.is_some_and(|place| {
                fault.is_missing()
                    || place.span().is_empty()
                    || lost.iter().any(|range| range.contains(&place.span().start))
            })
        };
        let is_told = |fault: &Fault| {
            (broken.is_empty() || !echo(fault)) && !(self.partial && fault.may_be_in_defaults())
        };
        self.warnings.extend(reader.take_warnings());
        self.faults.extend(reader.take_faults().into_iter().filter(is_told));
        self.faults.extend(broken);
    }

    fn sections<'a>(&mut self, table: &mut Table<'a>, defaults: Heritage<'a>) {
        table.get("agent", |entry| {
            self.define(entry, "the table", "[agent]");
            self.agent = entry.table("[agent]", agent::read)?;
            Some(())
        });
        let consul = table.get("consul", |entry| {
            entry.sound(|entry| {
                self.define(entry, "the table", "[consul]");
                entry.table("[consul]", |table| consul::read(table, &mut self.consul, self.env))
            })
        });
        let watches = table.get("watch", |entry| entry.tables("[[watch]]", |table| self.watch(table)));
        table.get("roles", |entry| {
            entry.table("[roles]", |table| {
                roles::read(table, |entry, service, nodes| {
                    self.define(entry, "the role data of", &service);
                    self.roles.push((service, nodes));
                });
            })
        });
        table.get("defaults", |entry| entry.table("[defaults]", |table| self.defaults(table)));
        table.get("rules", |entry| {
            entry.tables("[[rules]]", |table| {
                table.inherit(defaults.rules);
                self.rule(table);
            })
        });
        self.inhibit(table);
        let receivers = table.get("receivers", |entry| {
            entry.map("a table of receivers", |key, entry| {
                super::check_name(key.text())
                    .map_or_else(|(problem, help)| key.wrong::<()>(problem, help), Some);
                self.receiver(key.text(), entry, defaults.receivers)
            })
        });
        let matchers = table.get("matchers", |entry| {
            entry.map("a table of matchers", |key, entry| {
                super::check_name(key.text())
                    .map_or_else(|(problem, help)| key.wrong::<()>(problem, help), Some);
                self.define(entry, MATCHER, key.text());
                self.matchers.extend(matchers::named(key.text(), entry).map(Arc::new));
                Some(())
            })
        });
        let intervals = table.get("time_intervals", |entry| {
            entry.tables("[[time_intervals]]", |table| self.time_intervals(table))
        });
        let read = [
            ("consul", consul.is_some()),
            ("watch", watches.is_some()),
            ("receivers", receivers.is_some()),
            ("matchers", matchers.is_some()),
            ("time_intervals", intervals.is_some()),
        ];
        self.unread.extend(read.iter().filter(|(key, read)| table.unread(key, *read)).map(|(key, _)| key));
    }

    fn watch(&mut self, table: &mut Table<'_>) -> Option<()> {
        let label = table.get("label", |entry| Some((super::name(entry)?, entry.place())));
        // Before the rest is read: a watch with a fault has its label all the same.
        let label = label.map(|(label, place)| {
            if let Some(fault) = self.define_at(place, WATCH, &label) {
                table.note(fault);
            }
            label
        });
        let watch = watch::read(table)?;
        if let Some(label) = label {
            self.labels.insert(label, watch.name());
        }
        if self.watches.iter().any(|known| known.name() == watch.name()) {
            let fault = Fault::at(table.place(), "this is followed already, by another [[watch]]");
            table.note(fault.help("leave one of the two out"));
        }
        self.watches.push(watch);
        self.watch_places.push(table.place());
        Some(())
    }

    fn inhibit(&mut self, table: &mut Table<'_>) {
        table.get("inhibit", |entry| {
            self.define(entry, "the table", "[inhibit]");
            self.built_in = entry.table("[inhibit]", inhibit::built_in)?;
            Some(())
        });
        table.get("inhibit_rules", |entry| {
            entry.tables("[[inhibit_rules]]", |table| {
                let inhibit::Written { name, rule, warnings } = inhibit::read(table);
                self.warnings.extend(warnings);
                if let Some((name, place)) = name
                    && let Some(fault) = self.define_at(place, "the inhibit rule", &name)
                {
                    table.note(fault);
                }
                self.inhibit_rules.extend(rule);
            })
        });
    }

    fn rule(&mut self, table: &mut Table<'_>) {
        let written = rules::read(table);
        if let Some((name, place)) = &written.name
            && let Some(fault) = self.define_at(place.clone(), RULE, name)
        {
            table.note(fault);
        }
        let rule = self.refer_to(written);
        self.rules.extend(rule);
    }

    /// Notes what a rule names, and gives it with the names of its matchers.
    fn refer_to(&mut self, written: Written) -> Option<(Rule, Vec<(String, Place)>)> {
        let Written { rule, receivers, watches, named, intervals, warnings, .. } = written;
        self.warnings.extend(warnings);
        let matchers = named.clone();
        let names = [(RECEIVER, receivers), (WATCH, watches), (MATCHER, named), (TIME_INTERVAL, intervals)];
        for (kind, names) in names {
            self.references.extend(names.into_iter().map(|(name, place)| (kind, name, place)));
        }
        Some((rule?, matchers))
    }

    /// What is found here is of no rule and no receiver, and each that gets it finds it once more.
    fn defaults(&mut self, table: &mut Table<'_>) {
        table.get("rules", |entry| {
            self.define(entry, "the table", "[defaults.rules]");
            entry.table("[defaults.rules]", |table| {
                table.bequeath();
                let written = rules::read(table);
                self.refer_to(written);
            })
        });
        table.get("receivers", |entry| {
            self.define(entry, "the table", "[defaults.receivers]");
            entry.table("[defaults.receivers]", |table| {
                table.bequeath();
                receivers::read("", table);
            })
        });
    }

    fn receiver<'a>(&mut self, name: &str, entry: Entry<'a>, defaults: Option<Defaults<'a>>) -> Option<()> {
        self.define(entry, RECEIVER, name);
        let receiver = entry.table(&format!("[receivers.{name}]"), |table| {
            table.inherit(defaults);
            receivers::read(name, table)
        })??;
        let fallback = receiver.wishes.fallback.clone().zip(receiver.places.fallback.clone());
        self.references.extend(fallback.map(|(name, place)| (RECEIVER, name, place)));
        self.receivers.push(receiver);
        Some(())
    }

    fn time_intervals(&mut self, table: &mut Table<'_>) {
        let (name, intervals) = time_intervals::read(table);
        let Some((name, place)) = name else { return };
        if let Some(fault) = self.define_at(place, TIME_INTERVAL, &name) {
            table.note(fault);
        }
        self.time_intervals.extend(intervals.map(|intervals| (name, intervals)));
    }

    /// Notes that `name` is defined here, or that it was defined before.
    fn define(&mut self, entry: Entry<'_>, kind: &'static str, name: &str) {
        if let Some(fault) = self.define_at(entry.place(), kind, name) {
            entry.note(fault);
        }
    }

    fn define_at(&mut self, place: Place, kind: &'static str, name: &str) -> Option<Fault> {
        if let Some(first) = self.defined.get(&(kind, name.to_owned())) {
            let fault = Fault::at(place, format!("{kind} `{name}` is defined twice"));
            return Some(fault.other(first.clone(), "first here").help("keep one of them, or rename one"));
        }
        self.defined.insert((kind, name.to_owned()), place);
        None
    }
}
