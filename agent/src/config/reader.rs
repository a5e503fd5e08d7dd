//! Reads a tree of TOML values with their places, and notes every fault instead of stopping at one.
//!
//! A derived `Deserialize` stops at its first fault and knows no places. Here a section asks a `Table`
//! for its keys one by one; a faulty value is noted and read as missing, so that the next one is still
//! looked at. Nothing is made of a configuration with a fault; a section that concludes something from what
//! is not there asks first whether it is `unread`.
//!
//! Invariant: a key that no section asked for is a fault.

mod defaults;
mod scalar;

use std::cell::RefCell;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

pub(super) use defaults::Defaults;
use defaults::Kind;

use super::fault::Fault;
use super::source::{Place, Source};
use super::words;

/// What all tables of one file have in common.
pub(super) struct Reader {
    source: Arc<Source>,
    /// The folder that relative paths are relative to: that of the file.
    base: PathBuf,
    /// Are the files that it names looked at?
    looks: bool,
    faults: RefCell<Vec<Fault>>,
    /// What is right, and perhaps not what was meant.
    warnings: RefCell<Vec<Fault>>,
}

/// A table, and which of its keys were asked for.
pub(super) struct Table<'a> {
    reader: &'a Reader,
    /// As messages call it: `[agent]`; the top level has none.
    name: String,
    span: Range<usize>,
    entries: &'a DeTable<'a>,
    kind: Kind<'a>,
    known: Vec<&'static str>,
    /// The required keys that are not there, and how each is written.
    missing: Vec<(&'static str, &'static str)>,
}

/// A value, which is the entry of a table or of a list.
#[derive(Clone, Copy)]
pub(super) struct Entry<'a> {
    reader: &'a Reader,
    value: &'a Spanned<DeValue<'a>>,
}

/// A key that the operator chose, such as the name of a receiver.
#[derive(Clone, Copy)]
pub(super) struct Key<'a> {
    reader: &'a Reader,
    key: &'a Spanned<DeString<'a>>,
}

impl Reader {
    /// `looks` says whether the files that are named must exist.
    pub(super) fn new(source: Arc<Source>, looks: bool) -> Self {
        let base = source.path().parent().map(PathBuf::from).unwrap_or_default();
        Self { source, base, looks, faults: RefCell::default(), warnings: RefCell::default() }
    }

    /// Reads the whole file, and gives what was found to be wrong.
    pub(super) fn read<'a>(&'a self, tree: &'a DeTable<'a>, read: impl FnOnce(&mut Table<'a>)) {
        let mut table = Table::new(self, "the configuration", 0..0, tree);
        read(&mut table);
        table.finish();
    }

    pub(super) fn take_faults(&self) -> Vec<Fault> {
        self.faults.take()
    }

    pub(super) fn take_warnings(&self) -> Vec<Fault> {
        self.warnings.take()
    }

    fn place(&self, span: Range<usize>) -> Place {
        Place::new(Arc::clone(&self.source), span)
    }

    fn note(&self, fault: Fault) {
        self.faults.borrow_mut().push(fault);
    }
}

impl<'a> Table<'a> {
    fn new(reader: &'a Reader, name: &str, span: Range<usize>, entries: &'a DeTable<'a>) -> Self {
        let kind = Kind::Alone;
        Self { reader, name: name.to_owned(), span, entries, kind, known: Vec::new(), missing: Vec::new() }
    }

    pub(super) fn place(&self) -> Place {
        self.reader.place(self.span.clone())
    }

    /// Notes that the table as a whole is wrong. One of defaults is not judged as a whole: others add to it.
    pub(super) fn wrong<T>(&self, problem: impl Into<String>, help: impl Into<String>) -> Option<T> {
        if matches!(self.kind, Kind::Defaults) {
            return None;
        }
        self.note(Fault::at(self.place(), problem).help(help));
        None
    }

    pub(super) fn note(&self, fault: Fault) {
        self.reader.note(fault);
    }

    /// The entry of `key`, which is known from now on.
    pub(super) fn entry(&mut self, key: &'static str) -> Option<Entry<'a>> {
        let own = self.own_entry(key);
        own.or_else(|| {
            let Defaults { reader, entries } = self.heritage()?;
            entries.get(key).map(|value| Entry { reader, value })
        })
    }

    /// The value of `key`, if it is there and can be read.
    pub(super) fn get<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(Entry<'a>) -> Option<T>,
    ) -> Option<T> {
        self.entry(key).and_then(read)
    }

    /// As `get`; a fault if the key is not there. `example` shows how it is written.
    pub(super) fn require<T>(
        &mut self,
        key: &'static str,
        example: &'static str,
        read: impl FnOnce(Entry<'a>) -> Option<T>,
    ) -> Option<T> {
        let entry = self.entry(key);
        if entry.is_none() {
            self.missing.push((key, example));
        }
        entry.and_then(read)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Is something written for `key`: right, wrong or misspelt? To be asked once all keys are known.
    pub(super) fn contains(&self, key: &str) -> bool {
        self.has(key) || self.is_misspelt(key)
    }

    /// Is something written for `key` that could not be read? That was told, and what is read of it, or
    /// stands in its place, says nothing of what the operator wants. To be asked once all keys are known.
    pub(super) fn unread(&self, key: &str, is_read: bool) -> bool {
        self.is_misspelt(key) || (!is_read && self.has(key))
    }

    fn is_misspelt(&self, key: &str) -> bool {
        let inherited = self.heritage().map(|defaults| self.unknown(defaults.entries));
        let mut unknown = self.unknown(self.entries).chain(inherited.into_iter().flatten());
        unknown.any(|unknown| self.meant(unknown.get_ref()) == Some(key))
    }

    /// Two keys of which one at most may be written.
    pub(super) fn exclude(&self, one: &str, other: &str) {
        let span = |key: &str| self.entries.get_key_value(key).map(|(key, _)| key.span());
        if let (Some(one_span), Some(other_span)) = (span(one), span(other)) {
            let problem = format!("`{one}` and `{other}` say the same thing in two ways");
            let fault = Fault::at(self.reader.place(other_span), problem).help("keep one of them");
            self.reader.note(fault.other(self.reader.place(one_span), "also here"));
        }
    }

    /// The keys that nobody asked for.
    fn unknown(&self, entries: &'a DeTable<'a>) -> impl Iterator<Item = &'a Spanned<DeString<'a>>> {
        entries.iter().map(|(key, _)| key).filter(|key| !self.known.contains(&key.get_ref().as_ref()))
    }

    /// The key that an unknown one was probably meant to be.
    fn meant(&self, unknown: &str) -> Option<&'static str> {
        words::nearest(unknown, self.known.iter().copied())
    }

    /// Names the keys that are not there, and those that nobody asked for.
    fn finish(self) {
        let is_told = |key: &str| !matches!(self.kind, Kind::Defaults) && !self.contains(key);
        for (key, example) in self.missing.iter().filter(|(key, _)| is_told(key)) {
            let problem = format!("{} has no `{key}`", self.name);
            let fault = Fault::at(self.place(), problem).help(format!("write {example}")).missing();
            self.note(if matches!(self.kind, Kind::Heir(_)) { fault.or_in_defaults() } else { fault });
        }
        for key in self.unknown(self.entries) {
            let word = key.get_ref().as_ref();
            let fault =
                Fault::at(self.reader.place(key.span()), format!("unknown key `{word}` in {}", self.name));
            self.note(match self.meant(word) {
                Some(near) => fault.help(format!("did you mean `{near}`?")),
                None => fault.help(format!("known keys are {}", words::keys(self.known.iter().copied()))),
            });
        }
    }
}

impl<'a> Key<'a> {
    pub(super) fn text(&self) -> &'a str {
        self.key.get_ref()
    }

    pub(super) fn place(&self) -> Place {
        self.reader.place(self.key.span())
    }

    pub(super) fn wrong<T>(&self, problem: impl Into<String>, help: impl Into<String>) -> Option<T> {
        self.reader.note(Fault::at(self.place(), problem).help(help));
        None
    }
}

impl<'a> Entry<'a> {
    pub(super) fn place(&self) -> Place {
        self.reader.place(self.value.span())
    }

    pub(super) fn value(&self) -> &'a DeValue<'a> {
        self.value.get_ref()
    }

    /// Must the files and variables that are named exist?
    pub(super) fn looks(&self) -> bool {
        self.reader.looks
    }

    pub(super) fn note(&self, fault: Fault) {
        self.reader.note(fault);
    }

    /// As `read`; none if anything in this value is faulty, even where the rest of it can be read.
    pub(super) fn sound<T>(self, read: impl FnOnce(Self) -> Option<T>) -> Option<T> {
        let faults = || self.reader.faults.borrow().len();
        let before = faults();
        read(self).filter(|_| faults() == before)
    }

    /// Another entry, inside of this one.
    fn inner(&self, value: &'a Spanned<DeValue<'a>>) -> Self {
        Self { reader: self.reader, value }
    }

    /// Notes that this value is wrong.
    pub(super) fn wrong<T>(self, problem: impl Into<String>, help: impl Into<String>) -> Option<T> {
        self.reader.note(Fault::at(self.place(), problem).help(help));
        None
    }

    /// Notes that this value is right, and perhaps not what was meant.
    pub(super) fn warn(self, problem: impl Into<String>, help: impl Into<String>) {
        let warning = Fault::at(self.place(), problem).help(help).warning();
        self.reader.warnings.borrow_mut().push(warning);
    }

    /// Notes that this value is of the wrong kind.
    pub(super) fn expected<T>(self, what: &str, help: impl Into<String>) -> Option<T> {
        self.wrong(format!("expected {what}, found {}", self.kind()), help)
    }

    /// What is written here, in TOML's words.
    pub(super) fn kind(&self) -> String {
        match self.value() {
            DeValue::Integer(_) => "a whole number".into(),
            DeValue::Float(_) => "a number".into(),
            DeValue::Boolean(flag) => flag.to_string(),
            DeValue::Array(_) => "a list".into(),
            DeValue::Datetime(_) => "a date".into(),
            other => format!("a {}", other.type_str()),
        }
    }

    /// A list; what cannot be read is noted and left out.
    pub(super) fn list<T>(self, what: &str, read: impl FnMut(Self) -> Option<T>) -> Option<Vec<T>> {
        match self.value() {
            DeValue::Array(items) => {
                Some(items.iter().map(|item| self.inner(item)).filter_map(read).collect())
            }
            DeValue::String(_) => self.expected(what, "put it in brackets: [\"…\"]"),
            _ => self.expected(what, "write a list: […]"),
        }
    }

    /// A list that is not empty.
    pub(super) fn some<T>(self, what: &str, read: impl FnMut(Self) -> Option<T>) -> Option<Vec<T>> {
        if matches!(self.value(), DeValue::Array(items) if items.is_empty()) {
            return self.wrong(format!("expected {what}, found an empty list"), "name at least one");
        }
        self.list(what, read)
    }

    /// A text alone, or a list of texts that is not empty.
    pub(super) fn one_or_some<T>(
        self,
        what: &str,
        mut read: impl FnMut(Self) -> Option<T>,
    ) -> Option<Vec<T>> {
        match self.value() {
            DeValue::String(_) => Some(vec![read(self)?]),
            _ => self.some(what, read),
        }
    }

    /// A list of tables, `[[name]]`.
    pub(super) fn tables<T>(self, name: &str, mut read: impl FnMut(&mut Table<'a>) -> T) -> Option<Vec<T>> {
        match self.value() {
            DeValue::Array(_) => self.list(name, |item| item.table(name, &mut read)),
            _ => self.wrong(
                format!("expected {name}, found {}", self.kind()),
                format!("write {name}, with two brackets"),
            ),
        }
    }

    /// A table of known keys, which messages call `name`.
    pub(super) fn table<T>(self, name: &str, read: impl FnOnce(&mut Table<'a>) -> T) -> Option<T> {
        let DeValue::Table(entries) = self.value() else {
            return self.expected("a table", format!("write {name} as a table: {{ key = value }}"));
        };
        let mut table = Table::new(self.reader, name, self.value.span(), entries);
        let value = read(&mut table);
        table.finish();
        Some(value)
    }

    /// A table whose keys the operator chooses, in the order in which they are written.
    pub(super) fn map<T>(
        self,
        what: &str,
        mut read: impl FnMut(Key<'a>, Self) -> Option<T>,
    ) -> Option<Vec<T>> {
        let DeValue::Table(entries) = self.value() else {
            return self.expected(what, "write a table: { key = value }");
        };
        let mut entries: Vec<_> = entries.iter().collect();
        entries.sort_by_key(|(key, _)| key.span().start);
        let reader = self.reader;
        Some(
            entries
                .into_iter()
                .filter_map(|(key, value)| read(Key { reader, key }, self.inner(value)))
                .collect(),
        )
    }
}
