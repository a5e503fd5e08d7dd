use proptest::prelude::*;
use serde::Deserialize;

use super::*;
use crate::consul::What;

/// `agent/tests/filters.toml`, which is held against a real Consul too.
#[derive(Deserialize)]
struct Table {
    good: Vec<String>,
    newer: Vec<String>,
    bad: Vec<[String; 2]>,
}

fn table() -> Table {
    toml::from_str(include_str!("../../../tests/filters.toml")).unwrap()
}

fn of_checks(text: &str) -> Result<(), FilterError> {
    check(text, What::NodeChecks.filter_names().unwrap())
}

#[test]
fn what_a_consul_takes_is_taken() {
    let Table { good, newer, .. } = table();
    for filter in good.iter().chain(&newer) {
        assert_eq!(of_checks(filter), Ok(()), "{filter}");
    }
}

#[test]
fn what_no_consul_takes_is_told_with_its_place() {
    for [filter, want] in table().bad {
        let FilterError { at, found, right } = of_checks(&filter).expect_err(&filter);
        let told = format!("{at}: {found}; {right}");
        assert!(told.starts_with(&want), "{filter}\nis told as {told}\nand not as {want}");
    }
}

#[test]
fn where_no_names_are_known_any_is_taken() {
    assert_eq!(check("Whatever.it == is and not == 1", &[]), Ok(()));
    assert!(check("Whatever.it = is", &[]).is_err());
}

#[test]
fn a_fault_fits_after_failed_to_and_is_short() {
    let told = |text: &str| of_checks(text).unwrap_err().to_string();
    assert_eq!(
        told("(Node == 1"),
        "read the filter at character 11: found the end; right is `and` or `or` between spaces, or `)`"
    );
    assert!(told(&format!("Node == 1 {}", "x".repeat(1000))).contains("found `xxxxxxxxxxxxxxxxxxxxxxxx…`;"));
    assert!(told("Node == 1 a\u{7}").contains("found `a\\u{7}`;"));
}

#[test]
fn parentheses_are_bounded_and_not_and_chains_are_not() {
    let nested = |depth| format!("{}Node == 1{}", "(".repeat(depth), ")".repeat(depth));
    assert_eq!(of_checks(&nested(DEPTH_MAX)), Ok(()));
    assert_eq!(of_checks(&nested(DEPTH_MAX + 1)).unwrap_err().at, DEPTH_MAX + 1);
    assert!(of_checks(&nested(10_000)).is_err());
    assert_eq!(of_checks(&format!("{}Node == 1", "not ".repeat(10_000))), Ok(()));
    assert_eq!(of_checks(&vec!["(Node == 1)"; 10_000].join(" or ")), Ok(()));
    assert!(check(&"a.".repeat(10_000), &[]).is_err());
}

#[test]
fn the_name_that_was_meant_is_near() {
    let names = What::NodeChecks.filter_names().unwrap();
    let check = |name: &str, want: Option<&str>| assert_eq!(nearest(name, names), want, "{name}");
    check("check_id", Some("CheckID"));
    check("servicename", Some("ServiceName"));
    check("Stauts", Some("Status"));
    check("outputs", Some("Output"));
    check("Address", None);
    check("x", None);
    check(&"x".repeat(1000), None);
}

/// Spaces that must be somewhere.
fn gap() -> impl Strategy<Value = String> {
    "[ \t\r\n]{1,3}"
}

fn selector() -> impl Strategy<Value = String> {
    let names = What::NodeChecks.filter_names().unwrap();
    let part =
        prop_oneof!["\\.[a-zA-Z][a-zA-Z0-9_]{0,5}", "\\[ ?\"[^\"\\\\\n]{0,5}\" ?\\]", "\\[`[^`]{0,5}`\\]"];
    (prop::sample::select(names), prop::collection::vec(part, 0..3))
        .prop_map(|(name, parts)| name.to_owned() + &parts.concat())
}

fn value() -> impl Strategy<Value = String> {
    prop_oneof![
        selector(),
        "[a-zA-Z][a-zA-Z0-9_]{0,8}",
        "-?(0|[1-9][0-9]{0,5})(\\.[0-9]{1,3})?",
        "`[^`]{0,8}`",
        "\"([^\"\\\\\n]|\\\\[abfnrtv\\\\]|\\\\x[0-9a-fA-F]{2}|\\\\[0-3][0-7]{2}){0,8}\"",
    ]
}

fn comparison() -> impl Strategy<Value = String> {
    let compared = prop_oneof![" ?== ?", " ?!= ?", " (not )?contains ", "\n(not\t)?matches "];
    prop_oneof![
        (selector(), compared, value()).prop_map(|(selector, operator, value)| selector + &operator + &value),
        (value(), " (not )?in ", selector())
            .prop_map(|(value, operator, selector)| value + &operator + &selector),
        (selector(), " is (not  )?empty").prop_map(|(selector, operator)| selector + &operator),
    ]
}

fn expression() -> impl Strategy<Value = String> {
    // As deep as it may be, and not deeper.
    let depth = u32::try_from(DEPTH_MAX).unwrap();
    comparison().prop_recursive(depth, 32, 2, |inner| {
        prop_oneof![
            (inner.clone(), gap(), "and|or", gap(), inner.clone()).prop_map(|(a, before, word, after, b)| a
                + &before
                + &word
                + &after
                + &b),
            (gap(), inner.clone()).prop_map(|(gap, inner)| format!("not{gap}{inner}")),
            " ?".prop_flat_map(move |gap| inner
                .clone()
                .prop_map(move |inner| format!("({gap}{inner}{gap})"))),
        ]
    })
}

/// Pieces of expressions in any order, which get much further than random letters.
fn pieces() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "Node",
        "Status",
        "not",
        "and",
        "or",
        "in",
        "is",
        "empty",
        "contains",
        "matches",
        "==",
        "!=",
        "(",
        ")",
        "[",
        "]",
        ".",
        "\"",
        "`",
        "\\",
        "\\x",
        "\\u",
        "é",
        "\u{10FFFF}",
        "1",
        "-",
        "/",
        " ",
        " ",
        " ",
        "\n",
    ]);
    prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in any::<String>(), pieces in pieces()) {
        for text in [text, pieces] {
            if let Err(error) = of_checks(&text) {
                prop_assert!((1..=text.chars().count() + 1).contains(&error.at));
                prop_assert!(!error.found.is_empty() && !error.right.is_empty());
            }
        }
    }

    #[test]
    fn what_is_well_formed_is_taken(text in expression()) {
        prop_assert_eq!(of_checks(&text), Ok(()));
    }

    #[test]
    fn what_is_cut_off_does_not_make_it_panic(text in expression(), at in any::<prop::sample::Index>()) {
        let at = text.floor_char_boundary(at.index(text.len()));
        drop(of_checks(text.get(..at).unwrap()));
    }
}
