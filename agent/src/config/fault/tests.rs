use std::sync::Arc;

use toml::de::DeTable;

use super::*;
use crate::config::source::Source;

/// The fault at the first `part` of `text`, as it is shown in a pipe.
fn told(text: &str, part: &str) -> String {
    let (tree, errors) = DeTable::parse_recoverable(text);
    let source = Arc::new(Source::new("x.toml".into(), text.into(), tree.get_ref(), errors.is_empty()));
    let start = text.find(part).unwrap();
    Fault::at(Place::new(source, start..start + part.len()), "wrong").to_string()
}

#[track_caller]
fn check(text: &str, part: &str, want: &str) {
    let told = told(text, part);
    let quoted: Vec<&str> = told.lines().skip(1).collect();
    assert_eq!(quoted.join("\n"), want, "{told}");
}

#[test]
fn the_offending_text_is_underlined() {
    check("a = 1\nb = 2\n", "2", " --> x.toml:2:5\n  |\n2 | b = 2\n  |     ^");
    check("a = 'ü' # é\n", "# é", " --> x.toml:1:9\n  |\n1 | a = 'ü' # é\n  |         ^^^");
}

#[test]
fn the_name_of_a_file_moves_no_cursor() {
    let source = Source::new("a\u{1b}[2J\n\u{202e}b.toml".into(), "a = 1".into(), &DeTable::new(), true);
    let told = Fault::at(Place::new(Arc::new(source), 0..1), "wrong").to_string();
    assert!(told.contains(" --> a\u{fffd}[2J\u{fffd}\u{fffd}b.toml:1:1\n"), "{told:?}");
}

#[test]
fn text_over_several_lines_is_underlined_in_the_first() {
    check("a = [\n1]\n", "[\n1]", " --> x.toml:1:5\n  |\n1 | a = [\n  |     ^");
}

#[test]
fn the_end_of_a_line_and_of_the_file_can_be_pointed_at() {
    check("a = 1\nb = 2", "\nb", " --> x.toml:1:6\n  |\n1 | a = 1\n  |      ^");
    check("a = 1\n", "", " --> x.toml:1:1\n  |\n1 | a = 1\n  | ^");
    let source = Source::new("x.toml".into(), "a = ".into(), &DeTable::new(), true);
    let told = Fault::at(Place::new(Arc::new(source), 4..9), "wrong").to_string();
    assert!(told.ends_with("1 | a = \n  |     ^\n"), "{told}");
}

#[test]
fn a_terminal_gets_no_control_characters_from_the_file() {
    check(
        "\ta = '\t' # \u{1b}[2J\n",
        "a",
        " --> x.toml:1:2\n  |\n1 |     a = '    ' # \u{fffd}[2J\n  |     ^",
    );
    let told = Fault::in_file("\u{1b}x", "\u{1b}y\nz").help("\u{7}").to_string();
    assert_eq!(told, "error: \u{fffd}y z\n --> \u{fffd}x\n  = help: \u{fffd}\n");
}

#[test]
fn a_secret_is_shown_as_stars_of_one_length() {
    check(
        "a = { token = 'hunter2', b = 1 }\n",
        "b",
        " --> x.toml:1:26\n  |\n1 | a = { token = ***, b = 1 }\n  |                    ^",
    );
    check("token = 'hunter2'\n", "'hunter2'", " --> x.toml:1:9\n  |\n1 | token = ***\n  |         ^^^");
}

#[test]
fn a_long_line_is_cut_around_the_fault() {
    let text = format!("a = '{}', b = 1, c = '{}'\n", "x".repeat(500), "y".repeat(500));
    let told = told(&text, "b = 1");
    let lines: Vec<&str> = told.lines().collect();
    assert!(lines[3].starts_with("1 | …xxx") && lines[3].ends_with("yyy…"), "{told}");
    let at = lines[3].chars().position(|c| c == 'b').unwrap();
    assert_eq!(lines[4].chars().skip(at).collect::<String>(), "^^^^^", "{told}");
}

#[test]
fn a_message_that_quotes_a_very_long_value_is_cut() {
    let told = Fault::in_variable("V", "x".repeat(100_000)).to_string();
    assert!(told.chars().count() < 700 && told.contains("xxx…"), "{told}");
}

#[test]
fn faults_are_in_the_order_of_their_files_and_places() {
    let place = |path: &str, at: usize| {
        let source = Source::new(path.into(), "abcdef".into(), &DeTable::new(), true);
        Place::new(Arc::new(source), at..at)
    };
    let faults = Faults::new(vec![
        Fault::in_variable("V", "5"),
        Fault::at(place("b", 1), "4"),
        Fault::at(place("a", 3), "2"),
        Fault::at(place("a", 1), "1"),
        Fault::in_file("aa", "3"),
    ]);
    let order: Vec<&str> = faults.iter().map(Fault::problem).collect();
    assert_eq!(order, ["1", "2", "3", "4", "5"]);
}

#[test]
fn colours_are_for_terminals_alone() {
    let faults = Faults::new(vec![Fault::in_file("x", "wrong")]);
    assert!(!faults.to_string().contains('\u{1b}'));
    assert!(faults.coloured().contains("\u{1b}[1;31merror\u{1b}[0m"));
}
