//! What is wrong in a configuration, or looks as if it were, and how it is shown.
//!
//! Boundary: knows nothing of the settings. Whoever finds a fault says what is wrong and what would be
//! right; the place, the quoted line and the colours are the same for all.
//!
//! Invariant: what is shown holds no secret and no control character of the file.

use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;

use lictor_capability::is_plain;

use super::source::Place;

/// Columns of a quoted line that are shown at most; a longer one is cut around the fault.
const SHOWN_COLUMNS: usize = 110;

/// Characters of a message that are shown at most; only one that quotes a very long value has more.
const MESSAGE_MAX: usize = 600;

/// Columns that are left before a fault in a line that is cut.
const COLUMNS_BEFORE: usize = 40;

/// One thing that is wrong, where it is, and what would be right.
#[derive(Clone, Debug)]
pub struct Fault {
    origin: Origin,
    problem: String,
    help: Option<String>,
    other: Option<Box<(Place, String)>>,
    missing: Missing,
    level: Level,
}

/// How bad is it?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Level {
    /// Nothing is made of the configuration.
    Error,
    /// It is right, and perhaps not what was meant.
    Warning,
}

/// Is the fault that something is not there?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Missing {
    /// It is another one.
    No,
    /// It had to be in the table.
    Here,
    /// It had to be there, or among the defaults, whatever file they are in.
    OrInDefaults,
}

/// All faults of a configuration, by file and place. Never empty when it is an error.
#[derive(Clone, Debug)]
pub struct Faults(Vec<Fault>);

#[derive(Clone, Debug)]
enum Origin {
    /// What is written there is wrong.
    Text(Place),
    /// The file or folder as a whole.
    File(PathBuf),
    /// A variable of the environment.
    Variable(String),
}

impl Fault {
    /// What is written at `place` is wrong. `problem` is a lowercase fragment without a secret.
    pub fn at(place: Place, problem: impl Into<String>) -> Self {
        Self::new(Origin::Text(place), problem.into())
    }

    /// A file or a folder cannot be used at all.
    pub fn in_file(path: impl Into<PathBuf>, problem: impl Into<String>) -> Self {
        Self::new(Origin::File(path.into()), problem.into())
    }

    /// A variable of the environment is wrong.
    pub fn in_variable(name: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::new(Origin::Variable(name.into()), problem.into())
    }

    fn new(origin: Origin, problem: String) -> Self {
        Self { origin, problem, help: None, other: None, missing: Missing::No, level: Level::Error }
    }

    /// Says what would be right.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Names a second place that has to do with it.
    #[must_use]
    pub fn other(mut self, place: Place, label: impl Into<String>) -> Self {
        self.other = Some(Box::new((place, label.into())));
        self
    }

    /// Marks it as something that is right, and perhaps not what was meant.
    #[must_use]
    pub fn warning(mut self) -> Self {
        self.level = Level::Warning;
        self
    }

    /// Is it right, and perhaps not what was meant?
    pub fn is_warning(&self) -> bool {
        self.level == Level::Warning
    }

    /// Marks the fault as something that is not there. In a file whose syntax is faulty it is not
    /// told, since the parser may have lost it.
    pub(super) fn missing(mut self) -> Self {
        self.missing = Missing::Here;
        self
    }

    /// Of something that is not there: it could as well be among the defaults. Where a file could not be read whole,
    /// that is not told either.
    pub(super) fn or_in_defaults(mut self) -> Self {
        self.missing = Missing::OrInDefaults;
        self
    }

    pub(super) fn is_missing(&self) -> bool {
        self.missing != Missing::No
    }

    pub(super) fn may_be_in_defaults(&self) -> bool {
        self.missing == Missing::OrInDefaults
    }

    /// What is wrong, in one line.
    pub fn problem(&self) -> &str {
        &self.problem
    }

    /// What would be right.
    pub fn remedy(&self) -> Option<&str> {
        self.help.as_deref()
    }

    /// Where it is written, if it is in a file's text.
    pub fn place(&self) -> Option<&Place> {
        match &self.origin {
            Origin::Text(place) => Some(place),
            Origin::File(_) | Origin::Variable(_) => None,
        }
    }

    /// Files first, by path and place; then the environment.
    fn order(&self) -> (u8, PathBuf, usize) {
        match &self.origin {
            Origin::Text(place) => (0, place.path().to_owned(), place.span().start),
            Origin::File(path) => (0, path.clone(), 0),
            Origin::Variable(name) => (1, name.into(), 0),
        }
    }

    fn write(&self, out: &mut impl fmt::Write, paint: Paint) -> fmt::Result {
        let [colour, blue, bold, plain] = paint.codes(self.level);
        let word = match self.level {
            Level::Error => "error",
            Level::Warning => "warning",
        };
        writeln!(out, "{colour}{word}{plain}{bold}: {}{plain}", clean(&self.problem))?;
        let margin = self.margin();
        match &self.origin {
            Origin::Text(place) => {
                writeln!(out, "{:margin$}{blue}-->{plain} {place}", "")?;
                write_quote(out, place, (Mark::Fault(self.level), margin), paint)?;
            }
            Origin::File(path) => writeln!(out, " {blue}-->{plain} {}", clean(&path.to_string_lossy()))?,
            Origin::Variable(name) => writeln!(out, " {blue}-->{plain} the variable {}", clean(name))?,
        }
        if let Some((place, label)) = self.other.as_deref() {
            writeln!(out, "{:margin$}{blue}:::{plain} {place}", "")?;
            write_quote(out, place, (Mark::Other(label), margin), paint)?;
        }
        match &self.help {
            Some(help) => writeln!(out, "{:margin$} {blue}={plain} {bold}help{plain}: {}", "", clean(help)),
            None => Ok(()),
        }
    }

    /// The width of the largest line number.
    fn margin(&self) -> usize {
        let places = self.place().into_iter().chain(self.other.as_deref().map(|(place, _)| place));
        places.map(|place| place.line_and_column().0.to_string().len()).max().unwrap_or(1)
    }
}

/// As it is shown in a pipe: without colours.
impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(f, Paint::Plain)
    }
}

impl Faults {
    /// Puts the faults in the order in which a person goes through them. One that was found several times, in defaults
    /// for example, is one.
    pub fn new(mut faults: Vec<Fault>) -> Self {
        faults.sort_by_cached_key(Fault::order);
        let mut told = BTreeSet::new();
        faults.retain(|fault| told.insert((fault.order(), fault.problem.clone())));
        Self(faults)
    }

    /// These and those.
    #[must_use]
    pub fn and(self, others: Self) -> Self {
        Self::new([self.0, others.0].concat())
    }

    /// Is nothing wrong?
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All of them, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Fault> {
        self.0.iter()
    }

    /// As they are shown at a terminal: with colours.
    pub fn coloured(&self) -> String {
        let mut text = String::new();
        // Writing to a string cannot fail.
        self.write(&mut text, Paint::Coloured).map_or_else(|_| String::new(), |()| text)
    }

    fn write(&self, out: &mut impl fmt::Write, paint: Paint) -> fmt::Result {
        for (number, fault) in self.0.iter().enumerate() {
            if number > 0 {
                writeln!(out)?;
            }
            fault.write(out, paint)?;
        }
        Ok(())
    }
}

/// As they are shown in a pipe: without colours, an empty line between two.
impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(f, Paint::Plain)
    }
}

impl std::error::Error for Faults {}

#[derive(Clone, Copy)]
enum Paint {
    Plain,
    Coloured,
}

impl Paint {
    /// Red or yellow, blue, bold, and back to plain.
    fn codes(self, level: Level) -> [&'static str; 4] {
        let colour = match level {
            Level::Error => "\x1b[1;31m",
            Level::Warning => "\x1b[1;33m",
        };
        match self {
            Self::Plain => [""; 4],
            Self::Coloured => [colour, "\x1b[1;34m", "\x1b[1m", "\x1b[0m"],
        }
    }
}

/// What is under a quoted line.
#[derive(Clone, Copy)]
enum Mark<'a> {
    /// The offending text.
    Fault(Level),
    /// What else has to do with it, and how.
    Other(&'a str),
}

/// Draws the line that `place` is in, and the mark under it. `margin` is the width of line numbers.
fn write_quote(
    out: &mut impl fmt::Write,
    place: &Place,
    (mark, margin): (Mark<'_>, usize),
    paint: Paint,
) -> fmt::Result {
    let level = match mark {
        Mark::Fault(level) => level,
        Mark::Other(_) => Level::Error,
    };
    let [strong, blue, _, plain] = paint.codes(level);
    let Quote { line, before, width } = quote(place);
    let number = place.line_and_column().0;
    let (colour, under) = match mark {
        Mark::Fault(_) => (strong, "^".repeat(width)),
        Mark::Other(label) => (blue, format!("{} {}", "-".repeat(width), clean(label))),
    };
    writeln!(out, "{:margin$} {blue}|{plain}", "")?;
    writeln!(out, "{blue}{number:>margin$} |{plain} {line}")?;
    writeln!(out, "{:margin$} {blue}|{plain} {:before$}{colour}{under}{plain}", "", "")
}

/// One line of the file as it is shown, and the columns to underline.
struct Quote {
    line: String,
    before: usize,
    width: usize,
}

/// Replaces what is not to be seen: secrets become stars of one length, control characters a sign.
fn quote(place: &Place) -> Quote {
    let (source, span) = (place.source(), place.span());
    let text = source.text();
    let start = text[..span.start].rfind('\n').map_or(0, |at| at + 1);
    let end = text[span.start..].find('\n').map_or(text.len(), |at| span.start + at);
    let (mut shown, mut from, mut to, mut hidden) = (Vec::new(), None, None, false);
    for (at, c) in text[start..end].char_indices().map(|(at, c)| (start + at, c)) {
        let was_hidden = std::mem::replace(&mut hidden, source.hides(at));
        let begins = shown.len().saturating_sub(if hidden && was_hidden { 3 } else { 0 });
        if at >= span.start {
            from.get_or_insert(begins);
        }
        if at >= span.end {
            to.get_or_insert(begins);
        }
        match c {
            _ if hidden && was_hidden => {}
            _ if hidden => shown.extend("***".chars()),
            '\t' => shown.extend("    ".chars()),
            '\r' => {}
            c => shown.push(visible(c)),
        }
    }
    let before = from.unwrap_or(shown.len());
    let width = to.unwrap_or(shown.len()).saturating_sub(before).max(1);
    cut(&shown, before, width)
}

/// Keeps what is around the fault of a line that is too long.
fn cut(shown: &[char], before: usize, width: usize) -> Quote {
    if shown.len() <= SHOWN_COLUMNS {
        return Quote { line: shown.iter().collect(), before, width };
    }
    let first = before.saturating_sub(COLUMNS_BEFORE).min(shown.len() - SHOWN_COLUMNS);
    let last = first + SHOWN_COLUMNS;
    let mut line: String = shown[first..last].iter().collect();
    if first > 0 {
        line.insert(0, '…');
    }
    if last < shown.len() {
        line.push('…');
    }
    let before = before - first;
    Quote { line, before: before + usize::from(first > 0), width: width.min(SHOWN_COLUMNS - before).max(1) }
}

/// A control character could move a terminal's cursor or colour what follows, and some turn the direction of writing.
pub(crate) fn visible(c: char) -> char {
    if is_plain(c) { c } else { char::REPLACEMENT_CHARACTER }
}

/// One line, of bounded length.
fn clean(text: &str) -> String {
    let mut shown: String =
        text.chars().take(MESSAGE_MAX).map(|c| if c == '\n' { ' ' } else { visible(c) }).collect();
    if text.chars().nth(MESSAGE_MAX).is_some() {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests;
