//! Which rules and conditions say less than others: what one of them fits, the other one fits too.
//!
//! Boundary: what cannot be seen from the patterns is not claimed.

use super::{Matcher, Pattern, Rule};

impl Rule {
    /// Does this rule send all that `other` would?
    pub(super) fn hides(&self, other: &Self) -> bool {
        let on = other.on.iter().all(|kind| self.on.contains(kind));
        let watches = self.watches.is_empty()
            || !other.watches.is_empty() && other.watches.iter().all(|watch| self.watches.contains(watch));
        let matches = || self.conditions().all(|wide| other.conditions().any(|narrow| wide.covers(narrow)));
        // Where this one is excepted, so is the other one.
        let unless = || {
            let follows = |wide: &Matcher| self.unless.iter().any(|narrow| wide.covers(narrow));
            self.unless.is_empty() || !other.unless.is_empty() && other.unless.iter().all(follows)
        };
        on && watches && matches() && unless()
    }

    /// Does it except all that it matches, so that it never sends?
    pub fn excepts_all(&self) -> bool {
        let follows = |wide: &Matcher| self.conditions().any(|narrow| wide.covers(narrow));
        !self.unless.is_empty() && self.unless.iter().all(follows)
    }

    /// Two conditions that never hold together.
    pub fn contradiction(&self) -> Option<(&Matcher, &Matcher)> {
        let after = |(at, one)| self.conditions().skip(at + 1).map(move |other| (one, other));
        self.conditions().enumerate().flat_map(after).find(|(one, other)| one.excludes(other))
    }
}

impl Matcher {
    /// Does it hold wherever `other` holds?
    fn covers(&self, other: &Self) -> bool {
        self.attribute == other.attribute && self.pattern.covers(&other.pattern)
    }

    /// Does it never hold where `other` does?
    fn excludes(&self, other: &Self) -> bool {
        self.attribute == other.attribute
            && !self.attribute.is_list()
            && (self.pattern.excludes(&other.pattern) || other.pattern.excludes(&self.pattern))
    }
}

impl Pattern {
    /// Of one value.
    fn excludes(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Present(false), other) => !matches!(other, Self::Present(false)),
            (Self::Flag(one), Self::Flag(other)) => one != other,
            (Self::Numbers(one), Self::Numbers(other)) => !one.iter().any(|number| other.contains(number)),
            (Self::Range(range), Self::Numbers(numbers)) => {
                !numbers.iter().any(|number| range.contains(*number))
            }
            (Self::Any(_) | Self::Glob(..) | Self::Regex(_) | Self::Prefix(_), Self::Any(words)) => {
                !words.iter().any(|word| self.fits_text(word))
            }
            _ => false,
        }
    }

    fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Present(wanted), Self::Present(other)) => wanted == other,
            // What fits anything else is there.
            (Self::Present(wanted), _) => *wanted,
            (Self::Any(wide), Self::Any(narrow)) => narrow.iter().all(|text| wide.contains(text)),
            (Self::Any(wide), Self::All(narrow)) => narrow.iter().any(|text| wide.contains(text)),
            (Self::All(wide), Self::All(narrow)) => wide.iter().all(|text| narrow.contains(text)),
            (Self::Numbers(wide), Self::Numbers(narrow)) => narrow.iter().all(|number| wide.contains(number)),
            (Self::Range(wide), Self::Numbers(narrow)) => narrow.iter().all(|number| wide.contains(*number)),
            (Self::Range(wide), Self::Range(narrow)) => wide.covers(narrow),
            (Self::Prefix(wide), Self::Prefix(narrow)) => narrow.starts_with(wide),
            (Self::Prefix(wide), Self::Glob(narrow, _)) => narrow
                .glob()
                .split(['*', '?', '[', '{', '\\'])
                .next()
                .is_some_and(|text| text.starts_with(wide)),
            (Self::Glob(..) | Self::Regex(_) | Self::Prefix(_), Self::Any(narrow)) => {
                narrow.iter().all(|text| self.fits_text(text))
            }
            (Self::Glob(wide, _), Self::Glob(narrow, _)) => wide.glob() == narrow.glob(),
            (Self::Regex(wide), Self::Regex(narrow)) => wide.as_str() == narrow.as_str(),
            (Self::Flag(wide), Self::Flag(narrow)) => wide == narrow,
            _ => false,
        }
    }
}
