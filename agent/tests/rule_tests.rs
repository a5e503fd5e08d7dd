//! `lictor test`: the rule sets of `config/rules` by their own tests, what a test that fails looks like, and what other
//! rules would have made of what was recorded.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by a panic")]

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use support::consul::ConsulAgent;
use support::home::Home;
use support::lictor::command;

fn rule_sets() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../config/rules")
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "toml"));
    files.sort();
    files
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn each_rule_set_is_valid_and_passes_its_own_tests() {
    let (sets, tests) = (files(&rule_sets()), files(&rule_sets().join("tests")));
    let names =
        |paths: &[PathBuf]| paths.iter().map(|path| path.file_name().unwrap().to_owned()).collect::<Vec<_>>();
    assert_eq!((names(&sets), sets.len()), (names(&tests), 5));
    for set in &sets {
        let valid = command().args(["validate", "--offline", "-c"]).arg(set).output().unwrap();
        assert!(valid.status.success(), "{}", text(&valid.stderr));
    }
    let played = command().arg("test").args(&tests).output().unwrap();
    assert!(played.status.success(), "{}{}", text(&played.stdout), text(&played.stderr));
    assert_eq!(text(&played.stdout), "22 passed, 0 tests failed.\n");
}

const RULES: &str = "
[[rules]]\nname = 'down'\non = ['check.status']\nmatch = { to = 'critical' }\nfor = '30s'\nreceivers = ['log']
[receivers.log]\nplugin = 'file'\nconfig = { path = '/var/log/lictor.log' }
";

/// Plays a file of tests for `RULES`.
fn play(home: &Home, tests: &str) -> Output {
    home.write("rules.toml", RULES);
    home.write("tests.toml", format!("config = ['rules.toml']\n{tests}"));
    home.run(&["test", "tests.toml"])
}

#[test]
fn a_test_that_fails_shows_what_came_beside_what_is_wanted() {
    let home = Home::new();
    let played = play(
        &home,
        "[[test]]\nname = 'down for long'
        steps = [
            { at = '0s', event = 'check.status', service = 'web', from = 'passing', to = 'critical' },
            { at = '0s', event = 'check.status', service = 'db', from = 'passing', to = 'critical' },
            { at = '20s', event = 'check.status', service = 'db', from = 'critical', to = 'passing' },
        ]
        expect = [{ at = '29s', receiver = 'log', rule = 'down', events = ['node1/service:web'] }]
        withheld = [{ reason = 'muted', rule = 'down', event = 'node1/service:db' }]
        [[test]]\nname = 'nothing'\nsteps = []\nexpect = []",
    );
    assert_eq!(played.status.code(), Some(1));
    insta::assert_snapshot!(text(&played.stdout));
}

#[test]
fn what_waits_at_the_end_has_a_reason_and_what_flaps_says_so() {
    let home = Home::new();
    let check = "event = 'check.status', node = 'n1', service = 'web'";
    let played = play(
        &home,
        &format!(
            "[[test]]\nname = 'a dead node hides it'\nuntil = '5m'
            steps = [
                {{ at = '0s', event = 'node.failed', node = 'n1' }},
                {{ at = '1s', {check}, from = 'passing', to = 'critical' }},
            ]
            expect = []\nwithheld = [{{ reason = 'inhibited', rule = 'down' }}]
            [[test]]\nname = 'silenced'\nuntil = '5m'
            steps = [
                {{ at = '0s', silence = ['service=web'], for = '1h' }},
                {{ at = '1s', {check}, from = 'passing', to = 'critical' }},
            ]
            expect = []\nwithheld = [{{ reason = 'silenced', at = '1s' }}]
            [[test]]\nname = 'held'\nuntil = '10s'
            steps = [{{ at = '0s', {check}, from = 'passing', to = 'critical' }}]
            expect = []\nwithheld = [{{ reason = 'held', event = 'n1/service:web' }}]
            [[test]]\nname = 'between started and stopped'
            steps = [
                {{ at = '0s', event = 'flapping.started', node = 'n1', service = 'web', from = 'passing', to = 'critical' }},
                {{ at = '1s', {check}, from = 'passing', to = 'critical' }},
                {{ at = '2m', event = 'flapping.stopped', node = 'n1', service = 'web', to = 'critical' }},
            ]
            expect = [{{ at = '2m', receiver = 'log' }}]
            [[test]]\nname = 'the one for which it is sooner too late'
            steps = [
                {{ at = '0s', {check}, from = 'passing', to = 'critical' }},
                {{ at = '1m', event = 'check.status', service = 'db', from = 'passing', to = 'critical' }},
            ]
            expect = [{{ at = ['0s', '10m'], receiver = 'log' }}, {{ at = '30s', receiver = 'log' }}]"
        ),
    );
    assert_eq!(text(&played.stdout), "5 passed, 0 tests failed.\n", "{}", text(&played.stderr));
}

#[test]
fn a_file_that_cannot_be_read_says_where_and_what() {
    for (tests, want) in [
        ("", "missing field `test`"),
        ("[[test]]\nname = 'a'\nsteps = []\nexpect = []\nzzz = 1", "unknown field `zzz`"),
        (
            "[[test]]\nname = 'a'\nsteps = [{ at = '1x', event = 'check.status' }]\nexpect = []",
            "read the time \"1x\": write 30s",
        ),
        (
            "[[test]]\nname = 'a'\nsteps = [{ at = '1s', event = 'check.stat' }]\nexpect = []",
            "read event type \"check.stat\"",
        ),
        (
            "[[test]]\nname = 'a'\nsteps = [{ at = '1s', event = 'kv.set', service = 'x' }]\nexpect = []",
            "read step 1: read `service`: the data of kv.set have",
        ),
        (
            "[[test]]\nname = 'a'\nsteps = [{ at = '1s', event = 'check.status', to = 'bad' }]\nexpect = []",
            "a value is not of its kind",
        ),
        (
            "[[test]]\nname = 'a'\nsteps = [{ at = '9s', event = 'kv.set' }, { at = '1s', event = 'kv.set' }]\nexpect = []",
            "read step 2: it is before the one above it",
        ),
        (
            "[[test]]\nname = 'a'\nsteps = [{ at = '9s', silence = ['sevice=web'], for = '1h' }]\nexpect = []",
            "unknown attribute \"sevice\"",
        ),
        (
            "[[test]]\nname = 'a'\nsteps = []\nexpect = []\nwithheld = [{ reason = 'mute' }]",
            "read reason = \"mute\": write one of held, grouped",
        ),
        (
            "[[test]]\nname = 'a'\nsteps = [{ at = '9s', event = 'kv.set', of_watch = 'x' }]\nexpect = []",
            "find the watch \"x\"",
        ),
        ("[[test]]\nname = 'a'\nstart = 'noon'\nsteps = []\nexpect = []", "read start = \"noon\""),
    ] {
        let played = play(&Home::new(), tests);
        let told = text(&played.stderr);
        assert_eq!(played.status.code(), Some(78), "{tests}: {told}");
        assert!(told.contains(want), "{told}\nhas no {want}");
    }
}

#[tokio::test]
async fn what_was_recorded_is_played_by_other_rules() {
    let (consul, home) = (ConsulAgent::start().await, Home::warm());
    for check in ["db", "web"] {
        consul.register_ttl_check(check, check).await;
    }
    let rule = |name: &str, check: &str, more: &str| {
        format!(
            "[[rules]]\nname = '{name}'\non = ['check.status']\nmatch = {{ check_id = '{check}' }}\nreceivers = ['file']\n{more}"
        )
    };
    let config = format!(
        "consul.address = '{}'\n[receivers.file]\nplugin = 'file'\nconfig = {{ path = '{}' }}\n",
        consul.address(),
        home.path("log").display()
    );
    let before = config.clone() + &rule("web", "web", "");
    let mut lictor = home.follow(&before).await;
    for (check, state) in [("web", "fail"), ("db", "fail"), ("web", "pass")] {
        consul.ttl(check, state, "by hand").await;
        lictor
            .until("see it", async || {
                let seen = home.query("SELECT data FROM event", |row| row.get::<_, String>(0));
                seen.iter().any(|data| data.contains(&format!("\"check_id\":\"{check}\""))).then_some(())
            })
            .await;
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    }
    home.settled(&mut lictor, 2).await;
    assert_eq!(lictor.terminate().await, 0);
    let replay = |config: &str| {
        home.write("other.toml", config);
        let done = home.run(&["test", "-c", "other.toml", "--replay", "data/lictor.db"]);
        assert!(done.status.success(), "{}", text(&done.stderr));
        text(&done.stdout)
    };
    assert_eq!(
        replay(&before),
        "3 events: 2 sent in 2 deliveries then, 2 in 2 deliveries now; 0 no longer (-), 0 anew (+), 0 otherwise (~).\n"
    );
    let later =
        replay(&(config.clone() + &rule("web", "web", "occurrences = { count = 2, within = '1h' }\n")));
    assert!(later.contains("(occurrences: 1 of 2 within 3600s)"), "{later}");
    let other = replay(&(config + &rule("web", "web", "for = '1m'\n") + &rule("db", "db", "")));
    assert!(other.ends_with("; 2 no longer (-), 1 anew (+), 0 otherwise (~).\n"), "{other}");
    assert!(other.contains("(held: it had to be so for 60s, and it is again as it was)"), "{other}");
    assert!(
        other.lines().any(|line| line.starts_with('+') && line.ends_with("/db passing>critical  db → file")),
        "{other}"
    );
}
