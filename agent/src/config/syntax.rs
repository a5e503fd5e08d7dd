//! Faults of TOML's own grammar, in our words.

use std::ops::Range;
use std::sync::Arc;

use super::fault::Fault;
use super::source::{Place, Source};

/// What the parser calls a key that was written before.
const DUPLICATE: &str = "duplicate key";

/// The faults that the parser found, and the ranges of the text whose meaning is lost by them.
pub(super) fn faults(source: &Arc<Source>, errors: &[toml::de::Error]) -> (Vec<Fault>, Vec<Range<usize>>) {
    let text = source.text();
    let (mut faults, mut lost) = (Vec::new(), Vec::<Range<usize>>::new());
    let mut errors: Vec<_> =
        errors.iter().map(|error| (error.span().unwrap_or(0..0), error.message())).collect();
    errors.sort_by_key(|(span, _)| span.start);
    let mut last_line = None;
    for (span, message) in errors {
        let line = line_start(text, span.start);
        // One slip often breaks the rest of its line in several ways; the first one tells. And a table
        // that is there twice has its keys twice.
        let repeated = message == DUPLICATE && lost.iter().any(|range| range.contains(&span.start));
        if last_line.replace(line) == Some(line) || repeated {
            continue;
        }
        lost.push(line..end_of_loss(text, line));
        faults.push(fault(source, span, message));
    }
    (faults, lost)
}

/// The parser goes on after the line, unless something that can span lines was opened there: then all is
/// in doubt up to the next header of a table.
fn end_of_loss(text: &str, line: usize) -> usize {
    let rest = &text[line..];
    let end = rest.find('\n').unwrap_or(rest.len());
    let opens = ["[", "{", "\"\"\"", "'''"].iter().any(|opening| rest[..end].contains(opening));
    if opens { rest.find("\n[").map_or(text.len(), |at| line + at + 1) } else { line + end }
}

fn fault(source: &Arc<Source>, span: Range<usize>, message: &str) -> Fault {
    let place = Place::new(Arc::clone(source), span.clone());
    let after = source.text()[place.span().start..].chars().next();
    if message == DUPLICATE {
        let key = &source.text()[place.span()];
        let fault = Fault::at(place, format!("`{key}` is defined twice")).help("keep one of them");
        return match first_definition(source.text(), &span) {
            Some(first) => fault.other(Place::new(Arc::clone(source), first), "first here"),
            None => fault,
        };
    }
    let (problem, right) = message.split_once(", expected ").unwrap_or((message, ""));
    let fault = Fault::at(place, problem);
    match (problem, right) {
        ("string values must be quoted", _) => fault.help("put it in quotes: \"…\""),
        (_, "") => fault,
        (_, "nothing") => fault.help("leave it out"),
        _ if after == Some(':') => fault.help("write `=` between a key and its value"),
        _ => fault.help(format!("expected {right}")),
    }
}

/// Where the key or the header at `second` was written before.
fn first_definition(text: &str, second: &Range<usize>) -> Option<Range<usize>> {
    let line = line_start(text, second.start);
    let line_end = text[line..].find('\n').map_or(text.len(), |at| line + at);
    let header = text[line..line_end].trim();
    let key = text.get(second.clone())?;
    let mut start = line;
    while start > 0 {
        let end = start - 1;
        start = line_start(text, end);
        let candidate = text[start..end].trim();
        let at = start + (text[start..end].len() - text[start..end].trim_start().len());
        if header.starts_with('[') {
            if candidate == header {
                return Some(at..at + candidate.len());
            }
        } else if candidate.starts_with('[') {
            return None;
        } else if candidate.strip_prefix(key).is_some_and(|rest| rest.trim_start().starts_with('=')) {
            return Some(at..at + key.len());
        }
    }
    None
}

fn line_start(text: &str, offset: usize) -> usize {
    let offset = text.floor_char_boundary(offset.min(text.len()));
    text[..offset].rfind('\n').map_or(0, |at| at + 1)
}
