//! Numbers as rules compare them: exactly, whatever their size, whole or not.

use std::cmp::Ordering;
use std::fmt;
use std::ops::{Bound, RangeBounds};

/// A number of a rule or of an event.
#[derive(Clone, Copy, Debug)]
pub struct Number(Kind);

#[derive(Clone, Copy, Debug)]
enum Kind {
    Whole(i128),
    /// Finite.
    Float(f64),
}

impl From<i128> for Number {
    fn from(number: i128) -> Self {
        Self(Kind::Whole(number))
    }
}

impl Number {
    /// None for what is no number, and for what is infinite.
    pub fn from_float(number: f64) -> Option<Self> {
        number.is_finite().then_some(Self(Kind::Float(number)))
    }

    /// The number that a text is.
    pub(super) fn read(text: &str) -> Option<Self> {
        let text = text.trim();
        // Rust also reads words, such as `nan` and `infinity`.
        if !text.ends_with(|c: char| c.is_ascii_digit() || c == '.') {
            return None;
        }
        let whole = text.parse().ok().map(|whole: i128| whole.into());
        whole.or_else(|| Self::from_float(text.parse().ok()?))
    }

    /// The number of a JSON document.
    pub(super) fn of_json(number: &serde_json::Number) -> Option<Self> {
        let whole = number.as_i128().map(Self::from);
        whole.or_else(|| Self::from_float(number.as_f64()?))
    }

    /// Is it one of the whole numbers up to `max`?
    fn is_count(self, max: u64) -> bool {
        (Self::from(0)..=Self::from(i128::from(max))).contains(&self) && self == self.floor()
    }

    fn floor(self) -> Self {
        match self.0 {
            Kind::Whole(_) => self,
            Kind::Float(float) => Self(Kind::Float(float.floor())),
        }
    }

    /// The largest whole number that is not above it, as far as there are such.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "what is beyond all whole numbers becomes the last of them"
    )]
    fn whole(self) -> i128 {
        match self.0 {
            Kind::Whole(whole) => whole,
            Kind::Float(float) => float.floor() as i128,
        }
    }
}

impl Ord for Number {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self.0, other.0) {
            (Kind::Whole(one), Kind::Whole(other)) => one.cmp(&other),
            (Kind::Float(one), Kind::Float(other)) => one.partial_cmp(&other).unwrap_or(Ordering::Equal),
            (Kind::Whole(one), Kind::Float(float)) => {
                // Not the other way round: large whole numbers are no floats.
                let fraction = if float > float.floor() { Ordering::Less } else { Ordering::Equal };
                one.cmp(&other.whole()).then(fraction)
            }
            (Kind::Float(_), Kind::Whole(_)) => other.cmp(self).reverse(),
        }
    }
}

impl PartialOrd for Number {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Number {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Number {}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Kind::Whole(whole) => write!(f, "{whole}"),
            Kind::Float(float) => write!(f, "{float:?}"),
        }
    }
}

/// All numbers between two bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// The lower bound.
    pub from: Bound<Number>,
    /// The upper bound.
    pub to: Bound<Number>,
}

impl Range {
    pub(super) fn contains(&self, number: Number) -> bool {
        (self.from, self.to).contains(&number)
    }

    /// Is every number of `other` in this one, as their bounds show?
    pub(super) fn covers(&self, other: &Self) -> bool {
        let from = match (self.from, other.from) {
            (Bound::Unbounded, _) => true,
            (_, Bound::Unbounded) => false,
            (Bound::Excluded(own), Bound::Included(at)) => own < at,
            (Bound::Excluded(own) | Bound::Included(own), Bound::Excluded(at) | Bound::Included(at)) => {
                own <= at
            }
        };
        let to = match (self.to, other.to) {
            (Bound::Unbounded, _) => true,
            (_, Bound::Unbounded) => false,
            (Bound::Excluded(own), Bound::Included(at)) => own > at,
            (Bound::Excluded(own) | Bound::Included(own), Bound::Excluded(at) | Bound::Included(at)) => {
                own >= at
            }
        };
        from && to
    }

    /// Has it any number at all?
    pub(super) fn has_any(&self) -> bool {
        match (self.from, self.to) {
            (Bound::Included(from), Bound::Included(to)) => from <= to,
            (Bound::Included(from) | Bound::Excluded(from), Bound::Included(to) | Bound::Excluded(to)) => {
                from < to
            }
            _ => true,
        }
    }

    /// Has it one of the whole numbers up to `max`?
    pub(super) fn has_count(&self, max: u64) -> bool {
        let least = match self.from {
            Bound::Unbounded => 0,
            Bound::Included(from) if from == from.floor() => from.whole(),
            Bound::Included(from) | Bound::Excluded(from) => from.whole().saturating_add(1),
        };
        self.contains(least.max(0).into()) && Number::from(least.max(0)).is_count(max)
    }

    /// Has it one of the numbers from 0 to 1?
    pub(super) fn has_share(&self) -> bool {
        let (zero, one) = (Number::from(0), Number::from(1));
        let from = match self.from {
            Bound::Included(from) | Bound::Excluded(from) if from >= zero => self.from,
            _ => Bound::Included(zero),
        };
        let to = match self.to {
            Bound::Included(to) | Bound::Excluded(to) if to <= one => self.to,
            _ => Bound::Included(one),
        };
        Self { from, to }.has_any()
    }
}

/// Is one of the whole numbers up to `max` among these?
pub(super) fn all_counts(numbers: &[Number], max: u64) -> bool {
    numbers.iter().all(|number| number.is_count(max))
}

/// As the configuration writes it.
impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bound = |bound, words: [&str; 2]| match bound {
            Bound::Unbounded => None,
            Bound::Included(at) => Some(format!("{} = {at}", words[0])),
            Bound::Excluded(at) => Some(format!("{} = {at}", words[1])),
        };
        let bounds = [bound(self.from, ["ge", "gt"]), bound(self.to, ["le", "lt"])];
        write!(f, "{{ {} }}", bounds.into_iter().flatten().collect::<Vec<_>>().join(", "))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn range(from: Bound<i128>, to: Bound<i128>) -> Range {
        Range { from: from.map(Number::from), to: to.map(Number::from) }
    }

    #[test]
    fn a_text_is_a_number_where_it_is_written_as_one() {
        let check = |text: &str, want: Option<&str>| {
            assert_eq!(Number::read(text).map(|number| number.to_string()).as_deref(), want, "{text:?}");
        };
        check("8080", Some("8080"));
        check(" -7\n", Some("-7"));
        check("0.5", Some("0.5"));
        check("1e3", Some("1000.0"));
        for text in ["", "nan", "inf", "infinity", "8080/tcp", "1 2", "0x10", "1_000", "1e999", "."] {
            check(text, None);
        }
    }

    #[test]
    fn a_range_that_no_number_fits_is_known() {
        use Bound::{Excluded, Included, Unbounded};
        let check = |from, to, any, count, share| {
            let range = range(from, to);
            assert_eq!(
                (range.has_any(), range.has_count(65535), range.has_share()),
                (any, count, share),
                "{range}"
            );
        };
        check(Included(1), Included(1), true, true, true);
        check(Excluded(1), Included(1), false, false, false);
        check(Excluded(1), Excluded(2), true, false, false);
        check(Included(65536), Unbounded, true, false, false);
        check(Unbounded, Excluded(0), true, false, false);
        check(Unbounded, Excluded(1), true, true, true);
        check(Excluded(-5), Unbounded, true, true, true);
        let half = Number::from_float(0.5).unwrap();
        let halves = Range { from: Included(half), to: Excluded(Number::from(1)) };
        assert_eq!((halves.has_count(9), halves.has_share()), (false, true));
        assert!(Range { from: Included(half), to: Unbounded }.has_count(1));
    }

    fn number() -> impl Strategy<Value = Number> {
        prop_oneof![
            any::<i64>().prop_map(|whole| i128::from(whole).into()),
            (-8_i128..8).prop_map(Number::from),
            prop::num::f64::NORMAL.prop_map(|float| Number::from_float(float).unwrap()),
            (-16_i32..16).prop_map(|halves| Number::from_float(f64::from(halves) / 2.0).unwrap()),
        ]
    }

    fn bound() -> impl Strategy<Value = Bound<Number>> {
        prop_oneof![
            Just(Bound::Unbounded),
            number().prop_map(Bound::Included),
            number().prop_map(Bound::Excluded),
        ]
    }

    proptest! {
        #[test]
        fn numbers_have_one_order(a in number(), b in number(), c in number()) {
            prop_assert_eq!(a.cmp(&b), b.cmp(&a).reverse());
            if a <= b && b <= c {
                prop_assert!(a <= c);
            }
        }

        #[test]
        fn a_number_is_read_as_it_is_shown(number in number()) {
            prop_assert_eq!(Number::read(&number.to_string()), Some(number));
        }

        #[test]
        fn what_a_range_has_shows_what_it_covers(a in (bound(), bound()), b in (bound(), bound()), number in number()) {
            let (a, b) = (Range { from: a.0, to: a.1 }, Range { from: b.0, to: b.1 });
            if a.contains(number) {
                prop_assert!(a.has_any());
                prop_assert!(!b.covers(&a) || b.contains(number));
                prop_assert!(!number.is_count(100) || a.has_count(100));
            }
        }
    }
}
