//! Is a filter expression one that Consul can read?
//!
//! Boundary: pure text. What a filter chooses is Consul's business, and so are the names after the first one of a
//! selector and which operators a field has: they differ between versions. Where the versions differ in what they
//! can read, this takes what any of them takes.
//!
//! Invariant: no text makes this panic or recurse, however it is nested.

mod scan;

use scan::{Scan, Token};

/// How deep parentheses may be nested. Consul tries each of them in several ways, so one more makes its own reading
/// four times longer: ten take it half a minute, and these take it longer than any query waits.
const DEPTH_MAX: usize = 12;

/// The most letters of what was found that are shown.
const SHOWN_MAX: usize = 24;

const EXPRESSION: &str =
    "a comparison, such as `Status == critical`, `\"prod\" in ServiceTags`, or one in parentheses";
const OPERATOR: &str = "an operator: `==`, `!=`, or between spaces `in`, `contains`, `matches`, each also with `not` \
     before it, `is empty`, `is not empty`";
const VALUE: &str = "a value: a word, a number, or a text in double quotes or in backquotes";
const SELECTOR: &str = "a name, such as `ServiceTags`; a value stands after `==`, or before `in`";
const EMPTY: &str = "`empty`, as in `is empty` and `is not empty`";
const APART: &str = "a space, or the end; a value of more than letters, digits and `_` belongs in quotes";
const JOINED: &str = "`and` or `or` between spaces, or the end";
const JOINED_INSIDE: &str = "`and` or `or` between spaces, or `)`";

/// A filter that Consul would refuse.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("read the filter at character {at}: found {found}; right is {right}")]
pub struct FilterError {
    /// Where it goes wrong; the first character is 1.
    pub at: usize,
    /// What is there.
    pub found: String,
    /// What would be right there.
    pub right: String,
}

/// What an operator takes.
enum Operator {
    /// A selector before it and a value after it.
    Compares,
    /// A value before it and a selector after it.
    Contained,
    /// A selector before it and nothing after it.
    Empty,
}

/// Can Consul read this? `names` are those that a selector may begin with; none of them is any.
pub fn check(text: &str, names: &[&str]) -> Result<(), FilterError> {
    let mut reader = Reader { scan: Scan::new(text), names, depth: 0 };
    loop {
        reader.expression()?;
        if !reader.joined()? {
            return Ok(());
        }
    }
}

#[derive(Clone, Copy)]
struct Reader<'t> {
    scan: Scan<'t>,
    names: &'t [&'t str],
    /// How many parentheses are open.
    depth: usize,
}

impl Reader<'_> {
    /// One comparison, with what may stand before it.
    fn expression(&mut self) -> Result<(), FilterError> {
        self.scan.spaces();
        // `not` can be a name too, where nothing that could be negated follows it.
        let mut named = None;
        loop {
            let before = *self;
            if self.scan.eat("(") {
                self.open(before.scan)?;
                named = None;
            } else if self.scan.eat("not") && self.scan.spaces() {
                named = Some(before);
                continue;
            } else {
                *self = before;
                break;
            }
            self.scan.spaces();
        }
        let error = match self.comparison() {
            Ok(()) => return Ok(()),
            Err(error) => error,
        };
        let Some(named) = named else { return Err(error) };
        *self = named;
        self.comparison().map_err(|other| if other.at > error.at { other } else { error })
    }

    fn open(&mut self, before: Scan<'_>) -> Result<(), FilterError> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            let right = format!("fewer parentheses inside of each other: at most {DEPTH_MAX}");
            return Err(FilterError { right, ..before.fault(EXPRESSION) });
        }
        Ok(())
    }

    /// What follows a comparison. Is it another one?
    fn joined(&mut self) -> Result<bool, FilterError> {
        loop {
            let apart = self.scan.spaces();
            if self.depth > 0 && self.scan.eat(")") {
                self.depth -= 1;
                continue;
            }
            if self.depth == 0 && self.scan.is_over() {
                return Ok(false);
            }
            if !apart && !self.scan.is_over() {
                return Err(self.scan.fault(APART));
            }
            if self.scan.word("and")? || self.scan.word("or")? {
                return Ok(true);
            }
            return Err(self.scan.fault(if self.depth == 0 { JOINED } else { JOINED_INSIDE }));
        }
    }

    fn comparison(&mut self) -> Result<(), FilterError> {
        let before = self.scan;
        let left = self.scan.token(EXPRESSION)?;
        match self.operator()? {
            Operator::Compares => {
                self.selector(left, before)?;
                self.scan.token(VALUE)?;
            }
            Operator::Empty => self.selector(left, before)?,
            Operator::Contained => {
                let before = self.scan;
                let right = self.scan.token(SELECTOR)?;
                self.selector(right, before)?;
            }
        }
        Ok(())
    }

    fn operator(&mut self) -> Result<Operator, FilterError> {
        let apart = self.scan.spaces();
        let before = self.scan;
        if self.scan.eat("==") || self.scan.eat("!=") {
            self.scan.spaces();
            return Ok(Operator::Compares);
        }
        let is_negated = apart && self.scan.word("not")?;
        let operator = if !apart {
            None
        } else if self.scan.word("in")? {
            Some(Operator::Contained)
        } else if self.scan.word("contains")? || self.scan.word("matches")? {
            Some(Operator::Compares)
        } else if !is_negated && self.scan.word("is")? {
            self.scan.word("not")?;
            // Newer versions know `nil`.
            if !self.scan.eat("empty") && !self.scan.eat("nil") {
                return Err(self.scan.fault(EMPTY));
            }
            Some(Operator::Empty)
        } else {
            None
        };
        operator.ok_or_else(|| before.fault(OPERATOR))
    }

    /// A selector has to be a name, and a known one.
    fn selector(&self, token: Token<'_>, before: Scan<'_>) -> Result<(), FilterError> {
        let Some(name) = token.name() else { return Err(before.fault(SELECTOR)) };
        if self.names.is_empty() || self.names.contains(&name) {
            return Ok(());
        }
        let one_of = || {
            let names: Vec<_> = self.names.iter().map(|name| format!("`{name}`")).collect();
            format!("one of {}", names.join(", "))
        };
        let right = nearest(name, self.names).map_or_else(one_of, |near| format!("`{near}`"));
        Err(FilterError { right, ..before.fault(SELECTOR) })
    }
}

/// The name that was probably meant: the same one written otherwise (`service_tags`), or with at most two slips.
fn nearest<'n>(name: &str, known: &[&'n str]) -> Option<&'n str> {
    const SLIPS_MAX: usize = 2;
    let plain = |text: &str| text.replace('_', "").to_lowercase();
    let name = plain(name);
    // Words of very different lengths are not near; this also bounds the work for a very long one.
    let near = known.iter().filter(|known| known.len().abs_diff(name.len()) <= SLIPS_MAX);
    let slips = near.map(|known| (strsim::damerau_levenshtein(&name, &plain(known)), *known));
    let (slips, near) = slips.min_by_key(|(slips, _)| *slips)?;
    // Two slips in a short word make any other one of it.
    (slips * 3 <= near.len() && slips <= SLIPS_MAX).then_some(near)
}

#[cfg(test)]
mod tests;
