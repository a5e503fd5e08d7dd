//! Values without parts: texts, words, numbers, durations, sizes and paths.
//!
//! Boundary: looks whether a named file exists, and at nothing else outside of the configuration.

use std::fs::Metadata;
use std::io;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use toml::de::DeValue;

use super::Entry;
use crate::config::words;

impl Entry<'_> {
    /// A string that is not empty.
    pub(in crate::config) fn string(self) -> Option<String> {
        match self.value() {
            DeValue::String(text) if text.is_empty() => {
                self.wrong("this is empty", "write a text, or leave it out")
            }
            DeValue::String(text) => Some(text.clone().into_owned()),
            _ => self.expected("a string", "put it in quotes: \"…\""),
        }
    }

    /// A string, also an empty one.
    pub(in crate::config) fn any_string(self) -> Option<String> {
        match self.value() {
            DeValue::String(text) => Some(text.clone().into_owned()),
            _ => self.string(),
        }
    }

    /// One of a few words.
    pub(in crate::config) fn word(self, known: &[&'static str]) -> Option<&'static str> {
        let text = self.string()?;
        known.iter().find(|word| **word == text).copied().or_else(|| {
            let help = match words::nearest(&text, known.iter().copied()) {
                Some(near) => format!("did you mean \"{near}\"?"),
                None => format!("it can be {}", words::values(known.iter().copied())),
            };
            self.wrong(format!("{text:?} is not known here"), help)
        })
    }

    pub(in crate::config) fn flag(self) -> Option<bool> {
        match self.value() {
            DeValue::Boolean(flag) => Some(*flag),
            _ => self.expected("true or false", "write true or false, without quotes"),
        }
    }

    /// A whole number in `range`.
    pub(in crate::config) fn number(self, range: RangeInclusive<u32>) -> Option<u32> {
        let help = format!("write a whole number from {} to {}", range.start(), range.end());
        let DeValue::Integer(number) = self.value() else {
            return self.expected("a whole number", help);
        };
        match u32::from_str_radix(number.as_str(), number.radix()) {
            Ok(number) if range.contains(&number) => Some(number),
            _ => self.wrong(format!("{number} is out of range"), help),
        }
    }

    /// A duration in `range`: a whole number and its unit.
    pub(in crate::config) fn duration(self, range: RangeInclusive<Duration>) -> Option<Duration> {
        const HELP: &str = "write a whole number and ms, s, m, h or d";
        let (least, most) = (words::show_duration(*range.start()), words::show_duration(*range.end()));
        let within = format!("write a duration from {least} to {most}");
        let text = match self.value() {
            DeValue::String(text) => text,
            DeValue::Integer(number) => {
                let seconds = format!("{number}s");
                let fits = words::duration(&seconds).is_some_and(|duration| range.contains(&duration));
                let help = if fits { format!("write \"{seconds}\" for seconds") } else { within };
                return self.wrong("the unit of the duration is missing", help);
            }
            _ => return self.expected("a duration", format!("{HELP}: \"30s\"")),
        };
        let Some(duration) = words::duration(text) else {
            return self
                .wrong(format!("{text:?} is not a duration"), format!("{HELP}: \"250ms\", \"30s\", \"5m\""));
        };
        if range.contains(&duration) {
            return Some(duration);
        }
        self.wrong(format!("{text:?} is out of range"), within)
    }

    /// A size in bytes in `range`: a whole number and its unit.
    pub(in crate::config) fn size(self, range: RangeInclusive<u64>) -> Option<u64> {
        const HELP: &str = "write a whole number and B, KiB, MiB or GiB";
        let (least, most) = (words::show_size(*range.start()), words::show_size(*range.end()));
        let within = format!("write a size from {least} to {most}");
        let text = match self.value() {
            DeValue::String(text) => text,
            DeValue::Integer(number) => {
                let bytes = format!("{number}B");
                let fits = words::size(&bytes).is_some_and(|size| range.contains(&size));
                let help = if fits { format!("write \"{bytes}\" for bytes") } else { within };
                return self.wrong("the unit of the size is missing", help);
            }
            _ => return self.expected("a size", format!("{HELP}: \"64KiB\"")),
        };
        let Some(size) = words::size(text) else {
            return self.wrong(format!("{text:?} is not a size"), format!("{HELP}: \"64KiB\", \"1MiB\""));
        };
        if range.contains(&size) {
            return Some(size);
        }
        self.wrong(format!("{text:?} is out of range"), within)
    }

    /// A path; a relative one is relative to the folder of the file that it is written in.
    pub(in crate::config) fn path(self) -> Option<PathBuf> {
        let text = self.string()?;
        let path = self.reader.base.join(&text);
        if text.contains('\0') {
            return self.wrong("a path cannot hold a NUL character", "leave it out");
        }
        // A later change of the working directory must not change what it means.
        std::path::absolute(path)
            .map_err(|error| {
                self.wrong::<()>(format!("this path has no absolute form: {error}"), "write it in full")
            })
            .ok()
    }

    /// The path of a file that must exist. Where there is none, the path is known all the same.
    pub(in crate::config) fn file(self) -> Option<PathBuf> {
        let path = self.path()?;
        self.look(&path, |found| found.is_dir().then_some(("this is a folder", "name a file")));
        Some(path)
    }

    /// The path of a folder that must exist. Where there is none, the path is known all the same.
    pub(in crate::config) fn folder(self) -> Option<PathBuf> {
        let path = self.path()?;
        self.look(&path, |found| (!found.is_dir()).then_some(("this is not a folder", "name a folder")));
        Some(path)
    }

    fn look(self, path: &Path, wrong: impl FnOnce(&Metadata) -> Option<(&'static str, &'static str)>) {
        if !self.looks() {
            return;
        }
        match path.metadata() {
            Ok(found) => {
                if let Some((problem, help)) = wrong(&found) {
                    self.wrong::<()>(problem, help);
                }
            }
            Err(error) => {
                let why = match error.kind() {
                    io::ErrorKind::NotFound => "there is no such file or folder".to_owned(),
                    _ => format!("failed to look at this: {error}"),
                };
                self.wrong::<()>(why, format!("it was looked for at {}", path.display()));
            }
        }
    }
}
