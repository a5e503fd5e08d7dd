//! A list of checks, read beside the answer before it: what is written in the same bytes is the same check.
//!
//! From one answer to the next most of a list stays as it is, and it is most of what there is to read: a thousand
//! checks are half a megabyte. So only what differs is read.
//!
//! Invariant: what comes of it is what reading all of it would give, errors included.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use serde_json::Deserializer;

use super::Garbage;
use crate::catalog;

/// The last answer with checks, as it was written and as it was read. Nothing at first.
#[derive(Debug, Default)]
pub struct Before {
    body: Vec<u8>,
    checks: Vec<Placed>,
}

/// One answer is seldom longer than the one before by more than this part of it.
const LONGER: usize = 64;

/// A check, and where it is written.
type Placed = (Range<usize>, Arc<catalog::Check>);

impl Before {
    /// Bytes that the next answer probably has at most: one that is as long as this one is not moved while it is read.
    pub(in crate::consul) fn likely(&self) -> usize {
        self.body.len() + self.body.len() / LONGER
    }

    /// Reads a list of checks, to which this is the one before; then it is that list. `null` is an empty one.
    pub(in crate::consul) fn checks(&mut self, body: Vec<u8>) -> Result<Vec<Arc<catalog::Check>>, Garbage> {
        let Some(checks) = self.beside(&body) else {
            // It is empty, or makes no sense; the reader of all of it says what.
            let checks = super::checks(&body)?;
            *self = Self::default();
            return Ok(checks.into_iter().map(Arc::new).collect());
        };
        *self = Self { body, checks };
        self.body.shrink_to_fit();
        Ok(self.checks.iter().map(|(_, check)| Arc::clone(check)).collect())
    }

    /// The checks of a list, if it is one with some.
    fn beside(&self, body: &[u8]) -> Option<Vec<Placed>> {
        let mut found = Vec::with_capacity(self.checks.len());
        let mut places = None;
        let (mut at, mut next) = (1, 0);
        body.strip_prefix(b"[")?;
        loop {
            let rest = &body[at..];
            // The next one as it was, or the one behind it, where one is gone.
            let same = (next..next + 2)
                .find(|known| self.written(*known).is_some_and(|text| rest.starts_with(text)));
            let (length, check) = if let Some((place, check)) = same.and_then(|known| self.checks.get(known))
            {
                (place.len(), Arc::clone(check))
            } else {
                let mut values = Deserializer::from_slice(rest).into_iter::<super::Check>();
                let check = values.next()?.ok()?.read().ok()?;
                (values.byte_offset(), Arc::new(check))
            };
            next = same.or_else(|| self.place_of(&check, next, &mut places)).map_or(next, |known| known + 1);
            found.push((at..at + length, check));
            // An agent in development mode writes each field on a line of its own.
            let rest = rest[length..].trim_ascii_start();
            at = body.len() - rest.len() + 1;
            match rest {
                [b',', ..] => {}
                [b']', end @ ..] if end.trim_ascii().is_empty() => return Some(found),
                _ => return None,
            }
        }
    }

    /// The bytes of a check.
    fn written(&self, known: usize) -> Option<&[u8]> {
        self.checks.get(known).map(|(place, _)| &self.body[place.clone()])
    }

    /// Where a check that is written otherwise now was before; most often it is the `next` one.
    fn place_of<'a>(
        &'a self,
        check: &catalog::Check,
        next: usize,
        places: &mut Option<HashMap<[&'a str; 2], usize>>,
    ) -> Option<usize> {
        fn name(check: &catalog::Check) -> [&str; 2] {
            [&check.node, &check.check_id]
        }
        if self.checks.get(next).is_some_and(|(_, known)| name(known) == name(check)) {
            return Some(next);
        }
        let all = self.checks.iter().enumerate();
        let places = places.get_or_insert_with(|| all.map(|(at, (_, known))| (name(known), at)).collect());
        places.get(&name(check)).copied()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn check(number: u8, output: u8) -> Value {
        json!({
            "Node": "n1", "CheckID": format!("c{number}"), "Name": "{[,", "Status": "passing", "Notes": "",
            "Output": "]".repeat(output.into()), "ServiceID": "", "ServiceName": "", "ServiceTags": null,
            "CreateIndex": 7, "ModifyIndex": output,
        })
    }

    fn list(checks: &[(u8, u8)]) -> Vec<u8> {
        let checks: Vec<_> = checks.iter().map(|(number, output)| check(*number, *output)).collect();
        Value::from(checks).to_string().into_bytes()
    }

    fn pretty(list: &[u8]) -> Vec<u8> {
        let value: Value = serde_json::from_slice(list).unwrap();
        let mut body = serde_json::to_vec_pretty(&value).unwrap();
        body.push(b'\n');
        body
    }

    /// Which of the second list are the same objects as in the first one, however the two are written.
    fn same(first: &[(u8, u8)], second: &[(u8, u8)]) -> Vec<bool> {
        let of = |first, second| {
            let mut before = Before::default();
            let known = before.checks(first).unwrap();
            let is_known = |check| known.iter().any(|known| Arc::ptr_eq(known, check));
            before.checks(second).unwrap().iter().map(is_known).collect()
        };
        let same = of(list(first), list(second));
        assert_eq!(same, of(pretty(&list(first)), pretty(&list(second))));
        same
    }

    #[test]
    fn only_what_differs_is_read() {
        let first = [(1, 0), (2, 0), (3, 0), (4, 0), (5, 0)];
        assert_eq!(same(&first, &first), [true; 5]);
        assert_eq!(same(&first, &[(1, 0), (2, 9), (3, 0), (4, 8), (5, 0)]), [true, false, true, false, true]);
        assert_eq!(same(&first, &[(1, 0), (3, 0), (4, 0), (5, 0)]), [true; 4], "one is gone");
        // After more than one that is gone the next one is read.
        assert_eq!(same(&first, &[(1, 0), (4, 0), (5, 0)]), [true, false, true]);
        assert_eq!(same(&first, &[(9, 0), (1, 0), (2, 0)]), [false, true, true], "one is new");
    }

    #[test]
    fn what_makes_no_sense_is_told_by_its_place_and_changes_nothing() {
        let mut before = Before::default();
        let known = before.checks(list(&[(1, 0), (2, 0)])).unwrap();
        let mut bad = list(&[(1, 0), (2, 0)]);
        bad.truncate(bad.len() - 1);
        let error = crate::chain::chain(&before.checks(bad.clone()).unwrap_err());
        assert_eq!(error, crate::chain::chain(&super::super::checks(&bad).unwrap_err()));
        assert!(error.contains("EOF while parsing a list"), "{error}");
        let again = before.checks(list(&[(1, 0), (2, 0)])).unwrap();
        assert!(known.iter().zip(&again).all(|(one, other)| Arc::ptr_eq(one, other)));
    }

    /// A list of some checks in any order, written in one of two ways, and perhaps damaged.
    fn answer() -> impl Strategy<Value = Vec<u8>> {
        let checks = prop::collection::vec((0_u8..8, 0_u8..3), 0..10);
        let damage = prop::option::weighted(0.2, (any::<prop::sample::Index>(), any::<u8>()));
        (checks, prop::bool::weighted(0.1), damage).prop_map(|(checks, is_pretty, damage)| {
            let mut body = list(&checks);
            if is_pretty {
                body = pretty(&body);
            }
            if let Some((at, byte)) = damage {
                let at = at.index(body.len());
                body[at] = byte;
            }
            body
        })
    }

    proptest! {
        #[test]
        fn it_is_what_reading_all_of_it_gives(answers in prop::collection::vec(answer(), 1..6)) {
            let mut before = Before::default();
            for body in answers {
                let whole = super::super::checks(&body).map_err(|error| error.to_string());
                let beside = before.checks(body).map_err(|error| error.to_string());
                let beside = beside.map(|checks| checks.iter().map(|check| catalog::Check::clone(check)).collect());
                prop_assert_eq!(beside, whole);
            }
        }
    }
}
