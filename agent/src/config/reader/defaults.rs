//! Tables that others fall back to for a key that they lack: `[defaults.rules]` for each rule, for example.
//!
//! Boundary: knows no settings; whatever a table asks for can be a default, but for what it has to have itself.

use toml::de::DeTable;

use super::{Entry, Reader, Table};
use crate::config::words;

/// What a table has to do with defaults.
#[derive(Clone, Copy)]
pub(super) enum Kind<'a> {
    /// Nothing.
    Alone,
    /// It gets the keys that it lacks from another one, where there is one.
    Heir(Option<Defaults<'a>>),
    /// Others get theirs from it. By itself it need not be whole.
    Defaults,
}

/// A table that others fall back to for a key that they lack. Its faults are its own: it is also read by itself, as
/// a table of defaults.
#[derive(Clone, Copy)]
pub(in crate::config) struct Defaults<'a> {
    pub(super) reader: &'a Reader,
    pub(super) entries: &'a DeTable<'a>,
}

impl Reader {
    /// The table `[defaults.of]`, where the file has one. A misspelt one counts: that it is misspelt is told, and what
    /// it has is not missing elsewhere.
    pub(in crate::config) fn defaults<'a>(
        &'a self,
        tree: &'a DeTable<'a>,
        of: &'static str,
    ) -> Option<Defaults<'a>> {
        let inner = |table: &'a DeTable<'a>, name: &'static str| {
            let meant = |key: &str| words::nearest(key, [name]).is_some();
            let (_, value) = table
                .iter()
                .find(|(key, _)| key.get_ref() == name)
                .or_else(|| table.iter().find(|(key, _)| meant(key.get_ref())))?;
            value.get_ref().as_table()
        };
        let entries = inner(inner(tree, "defaults")?, of)?;
        Some(Defaults { reader: self, entries })
    }
}

impl<'a> Table<'a> {
    /// A key that is not written here counts as `defaults` has it.
    pub(in crate::config) fn inherit(&mut self, defaults: Option<Defaults<'a>>) {
        self.kind = Kind::Heir(defaults);
    }

    /// Others get from this table what they lack.
    pub(in crate::config) fn bequeath(&mut self) {
        self.kind = Kind::Defaults;
    }

    /// As `entry`; what is written elsewhere for others too does not count.
    pub(super) fn own_entry(&mut self, key: &'static str) -> Option<Entry<'a>> {
        self.known.push(key);
        self.entries.get(key).map(|value| Entry { reader: self.reader, value })
    }

    pub(super) fn heritage(&self) -> Option<Defaults<'a>> {
        match self.kind {
            Kind::Heir(defaults) => defaults,
            Kind::Alone | Kind::Defaults => None,
        }
    }

    /// As `require`, for a key that each table has for itself.
    pub(in crate::config) fn require_own<T>(
        &mut self,
        key: &'static str,
        example: &'static str,
        read: impl FnOnce(Entry<'a>) -> Option<T>,
    ) -> Option<T> {
        match (self.own_entry(key), self.kind) {
            (Some(entry), Kind::Defaults) => {
                entry.wrong(format!("`{key}` cannot be a default"), "each has its own: leave it out here")
            }
            (Some(entry), _) => read(entry),
            (None, _) => {
                self.missing.push((key, example));
                None
            }
        }
    }

    /// Is `key` written in the table itself?
    pub(in crate::config) fn writes(&self, key: &str) -> bool {
        self.entries.contains_key(key)
    }

    /// Here, or in what it falls back to.
    pub(super) fn has(&self, key: &str) -> bool {
        self.writes(key) || self.heritage().is_some_and(|defaults| defaults.entries.contains_key(key))
    }
}
