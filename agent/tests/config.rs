//! Configurations, good and bad. `tests/config/` has one file or folder for each kind of fault, named by
//! what is wrong, and beside it what the operator is told.

#![expect(clippy::unwrap_used, reason = "a fixture that cannot be read fails its test")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::tz::TimeZone;
use lictor::config::{Agent, BUNDLED, Config, Fault, Faults, Look, PluginRef, schema};
use lictor::consul::{Secret, Settings, Token, What};
use lictor::dispatch::{RateLimit, RetryPolicy};
use lictor::event::{EventType, NodeRole};
use lictor::rules::TimeInterval;
use proptest::prelude::*;

const FIXTURES: &str = "tests/config";

fn env(name: &str) -> Option<String> {
    (name == "LICTOR_TEST_TOKEN").then(|| "hunter2".to_owned())
}

fn load(path: impl AsRef<Path>, look: Look) -> Result<Config, Faults> {
    Config::load(&[path.as_ref().to_owned()], &env, look).map_err(|rejected| rejected.faults)
}

/// Loads a text as if it were a file.
fn load_text(text: impl AsRef<[u8]>) -> Result<Config, Faults> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("lictor.toml");
    fs::write(&path, text).unwrap();
    load(path, Look::Inside)
}

#[test]
fn every_bad_configuration_is_told_as_it_was() {
    let told = |path: &Path| load(path, Look::Everywhere).unwrap_err().to_string();
    assert!(as_they_were(FIXTURES, told) >= 30, "the fixtures were not found");
}

#[test]
fn what_was_perhaps_not_meant_is_told_as_it_was() {
    let told = |path: &Path| {
        let config = load(path, Look::Inside).unwrap();
        assert!(config.warnings.iter().all(Fault::is_warning));
        config.warnings.to_string()
    };
    assert!(as_they_were("tests/warnings", told) >= 5, "the fixtures were not found");
}

/// Compares what is told of each file and folder of `fixtures` with the snapshot beside it.
fn as_they_were(fixtures: &str, told: impl Fn(&Path) -> String) -> usize {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path(fixtures.trim_start_matches("tests/"));
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    let mut fixtures: Vec<PathBuf> = fs::read_dir(fixtures)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_dir() || path.extension().is_some_and(|extension| extension == "toml"))
        .collect();
    fixtures.sort();
    settings.bind(|| {
        for path in &fixtures {
            let told = told(path);
            assert!(!told.contains("hunter2"), "{} tells a secret:\n{told}", path.display());
            insta::assert_snapshot!(path.file_stem().unwrap().to_str().unwrap(), told);
        }
    });
    fixtures.len()
}

#[test]
fn a_path_that_is_not_there_is_told() {
    let told = load("nonexistent.toml", Look::Everywhere).unwrap_err().to_string();
    assert!(told.contains("there is no such file") && told.contains("nonexistent.toml"), "{told}");
    // Neither of the default files is there where tests run.
    let told = Config::load(&[], &env, Look::Everywhere).unwrap_err().faults.to_string();
    assert!(told.contains("/etc/lictor/lictor.toml") && told.contains("./lictor.toml"), "{told}");
}

#[test]
fn faulty_variables_are_told_beside_faults_of_the_file() {
    let env = |name: &str| match name {
        "CONSUL_HTTP_ADDR" => Some("ftp://hunter2@127.0.0.1".to_owned()),
        "CONSUL_HTTP_SSL" => Some("maybe".to_owned()),
        _ => None,
    };
    let paths = ["tests/config/empty-string.toml", "tests/config/unknown-receiver.toml"].map(PathBuf::from);
    let told = Config::load(&paths, &env, Look::Everywhere).unwrap_err().faults.to_string();
    for part in [
        "empty-string.toml:2",
        "there is no receiver \"pager\"",
        "the variable CONSUL_HTTP_ADDR",
        "the variable CONSUL_HTTP_SSL",
    ] {
        assert!(told.contains(part), "{part} is not in\n{told}");
    }
    assert!(!told.contains("hunter2"), "{told}");
}

#[test]
fn a_faulty_variable_makes_no_other_one_missing() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("lictor.toml");
    fs::write(&file, "[consul]\nclient_cert = \"cert.pem\"\n").unwrap();
    let env = |name: &str| match name {
        "CONSUL_CLIENT_KEY" => Some("key.pem".to_owned()),
        "CONSUL_HTTP_SSL" => Some("maybe".to_owned()),
        _ => None,
    };
    let faults = Config::load(&[file], &env, Look::Inside).unwrap_err().faults;
    let problems: Vec<_> = faults.iter().map(Fault::problem).collect();
    assert_eq!(problems, ["this is neither on nor off"]);
}

#[test]
fn settings_of_consul_that_show_their_fault_in_use_are_told_where_they_are_written() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("ca.pem"), "no certificate").unwrap();
    let file = folder.path().join("lictor.toml");
    fs::write(&file, "[consul]\naddress = \"https://127.0.0.1\"\nca_file = \"ca.pem\"\n").unwrap();
    let told = load(&file, Look::Everywhere).unwrap_err().to_string();
    assert!(told.contains("ca.pem: it holds no certificate in PEM form"), "{told}");
    assert!(told.contains("lictor.toml:1:1"), "{told}");
    load(&file, Look::Inside).unwrap();

    let env = |name: &str| match name {
        "CONSUL_HTTP_ADDR" => Some("https://127.0.0.1".to_owned()),
        "CONSUL_CACERT" => Some(folder.path().join("ca.pem").display().to_string()),
        _ => None,
    };
    fs::write(&file, "").unwrap();
    let told = Config::load(&[file], &env, Look::Everywhere).unwrap_err().faults.to_string();
    assert!(told.contains("the variable CONSUL_*"), "{told}");
}

#[test]
fn of_a_faulty_configuration_only_what_is_known_is_looked_at_further() {
    let folder = tempfile::tempdir().unwrap();
    let sound = "[receivers.sound]\nplugin = 'shell'\n";
    let faulty = "[receivers.faulty]\nplugin = 'shell'\ntimeout = 5\nconfig = { a = [1, inf], b = 1 }\n";
    let unknown = "[receivers.unknown]\nplugin = 'slack'\n";
    fs::write(folder.path().join("10.toml"), format!("zzz = 1\n{faulty}{unknown}{sound}")).unwrap();
    fs::write(folder.path().join("20.toml"), "[receivers.broken]\nplugin = 'shell'\nconfig = {\n").unwrap();
    let rejected = Config::load(&[folder.path().to_owned()], &env, Look::Inside).unwrap_err();
    let names: Vec<_> = rejected.receivers.iter().map(|receiver| receiver.name.as_str()).collect();
    assert_eq!(names, ["faulty", "sound"], "{}", rejected.faults);
    let [faulty, sound] = &rejected.receivers[..] else { panic!("two receivers") };
    assert_eq!(faulty.config, serde_json::json!({ "b": 1 }), "half of a setting is none");
    assert_eq!(faulty.unread.settings, ["a"]);
    assert!(faulty.unread.timeout && !faulty.unread.limits && !faulty.unread.config);
    assert!(!sound.unread.timeout && sound.unread.settings.is_empty());
}

#[test]
fn what_another_machine_must_have_is_not_looked_for_here() {
    load("tests/config/token-variable-not-set.toml", Look::Inside).unwrap();
    load("tests/config/token-file-missing.toml", Look::Inside).unwrap();
}

#[test]
fn an_empty_file_gives_the_defaults() {
    let config = load_text("").unwrap();
    assert_eq!(config.agent, Agent::default());
    assert_eq!(config.consul, Settings::default());
    assert_eq!(config.watches, [What::NodeChecks.into()]);
    assert!(config.rules.is_empty() && config.receivers.is_empty());
}

/// As the page of the design shows it, but for what is not there yet.
const DESIGN: &str = r#"
[agent]
environment = "production"
data_dir    = "data"

[consul]
address   = "http://127.0.0.1:8501"
token_env = "LICTOR_TEST_TOKEN"

[[watch]]
type  = "checks"
scope = "node"

[roles.services.web]
active_nodes  = ["web1"]
standby_nodes = ["web2"]

[[rules]]
name      = "web-down"
on        = ["check.status"]
match     = { service = "web", to = ["warning", "critical"], node_role = "primary", node_meta.rack = "r1" }
unless    = { node = { glob = "*-canary" } }
receivers = ["restart-web", "ops-mail"]

[[rules]]
name      = "all"
on        = ["check.status", "check.output"]
receivers = ["chat"]

[receivers.restart-web]
plugin = "shell"
config = { command = ["/usr/bin/systemctl", "restart", "web"], since = 2026-11-20, ratio = 0.5, deep = [{ n = 1_000 }] }
timeout = "30s"
retry = { attempts = 0, backoff = "1s" }
limits.memory = "128MiB"

[receivers.ops-mail]
plugin = "email"
config = { to = ["ops@example.com"], subject = "{{ data.service }} is {{ data.to }} on {{ data.node }}" }
allow.smtp = { relay = "smtps://smtp.example.com", username = "lictor", password_file = "/run/credentials/lictor/smtp", to = ["ops@example.com"] }

[receivers.chat]
plugin = "plugins/chat.wasm"
sha256 = "E3B0C44298FC1C149AFBF4C8996FB92427AE41E4649B934CA495991B7852B855"
allow.http = [{ url = "https://chat.example.com/hooks/*", header_files = { Authorization = "/run/credentials/lictor/chat" } }]
allow.append = []
"#;

#[test]
fn a_whole_configuration_is_read() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("lictor.toml"), DESIGN).unwrap();
    let config = load(folder.path(), Look::Inside).unwrap();

    assert_eq!(config.agent.environment.as_deref(), Some("production"));
    assert_eq!(config.agent.data_dir, folder.path().join("data"));
    assert_eq!(config.consul.address, "http://127.0.0.1:8501".parse().unwrap());
    assert_eq!(config.consul.token, Some(Token::Value(Secret::new("hunter2"))));
    assert_eq!(config.roles.node_role("web", "web2"), NodeRole::Secondary);

    let [down, all] = &config.rules[..] else { panic!("two rules") };
    assert_eq!((down.name.as_str(), down.receivers.len(), down.unless.len()), ("web-down", 2, 1));
    let attributes: Vec<_> = down.matches.iter().map(|matcher| matcher.attribute.to_string()).collect();
    assert_eq!(attributes, ["service", "to", "node_role", "node_meta.rack"]);
    assert_eq!(all.on, [EventType::CheckStatus, EventType::CheckOutput]);

    let [shell, mail, chat] = &config.receivers[..] else { panic!("three receivers") };
    assert_eq!(shell.plugin, PluginRef::Bundled("shell"));
    assert_eq!(shell.timeout, Duration::from_secs(30));
    assert_eq!((shell.retry.attempts, shell.retry.backoff), (0, Duration::from_secs(1)));
    assert_eq!((shell.limits.memory, shell.limits.log), (128 << 20, 64 << 10));
    assert_eq!(
        shell.config,
        serde_json::json!({
            "command": ["/usr/bin/systemctl", "restart", "web"],
            "since": "2026-11-20", "ratio": 0.5, "deep": [{ "n": 1000 }],
        })
    );
    assert!(shell.allow.exec.is_none() && mail.allow.smtp.is_some());
    assert_eq!(chat.plugin, PluginRef::File(folder.path().join("plugins/chat.wasm")));
    assert!(chat.sha256.as_deref().is_some_and(|hash| hash.starts_with("e3b0c442")));
    assert_eq!(chat.allow.http.as_ref().map(Vec::len), Some(1));
    assert_eq!(chat.allow.append.as_ref().map(Vec::len), Some(0), "written, and empty");
    assert_eq!(chat.places.plugin.line_and_column(), (43, 10));
    assert_eq!(chat.places.config.line_and_column(), (42, 1), "not written: that of the receiver");
}

#[test]
fn times_are_read_as_alertmanager_has_them() {
    let config = load_text(
        "[[time_intervals]]
        name = 'quiet'
        time_intervals = [
            { times = [{ start_time = '18:30', end_time = '24:00' }], location = 'Europe/Berlin' },
            { weekdays = ['sunday', 'Friday:SATURDAY'], days_of_month = ['1:5', '-3:-1', '28:-1'] },
            { months = ['january:march', '12'], years = ['2026:2028', '2030'], location = 'UTC' },
            { weekdays = ['monday'], location = 'Local' },
        ]",
    )
    .unwrap();
    let always = TimeInterval::always(TimeZone::UTC);
    let evening = 18 * 60 + 30..24 * 60;
    let want = [
        TimeInterval {
            times: vec![evening],
            ..TimeInterval::always(TimeZone::get("Europe/Berlin").unwrap())
        },
        TimeInterval {
            weekdays: vec![0..=0, 5..=6],
            days_of_month: vec![(1, 5), (-3, -1), (28, -1)],
            ..always.clone()
        },
        TimeInterval { months: vec![1..=3, 12..=12], years: vec![2026..=2028, 2030..=2030], ..always },
        TimeInterval { weekdays: vec![1..=1], ..TimeInterval::always(TimeZone::system()) },
    ];
    assert_eq!(config.time_intervals["quiet"], want.into_iter().collect());
}

#[test]
fn a_fault_that_shows_later_points_to_the_same_file() {
    let config = load_text(DESIGN).unwrap();
    let place = config.receivers[2].places.plugin.clone();
    let told = Faults::new(vec![Fault::at(place, "this is no component").help("build it anew")]).to_string();
    assert!(told.contains(r#"43 | plugin = "plugins/chat.wasm""#), "{told}");
    assert!(told.contains("this is no component") && told.contains("help: build it anew"), "{told}");
}

#[test]
fn debug_output_shows_no_secret() {
    let config = load_text(
        "[consul]\ntoken = 'hunter2'\n[receivers.x]\nplugin = 'webhook'\nconfig = { token = 'hunter2' }\n",
    )
    .unwrap();
    assert!(!format!("{config:?}").contains("hunter2"));
}

#[test]
fn the_files_of_a_folder_are_read_by_name_and_once() {
    let folder = tempfile::tempdir().unwrap();
    let rule = |name: &str| format!("[[rules]]\nname = '{name}'\non = ['check.status']\nreceivers = ['x']\n");
    fs::write(folder.path().join("20.toml"), rule("second")).unwrap();
    fs::write(folder.path().join("10.toml"), rule("first") + "[receivers.x]\nplugin = 'shell'\n").unwrap();
    fs::write(folder.path().join("notes.txt"), "not TOML").unwrap();
    let paths = [folder.path().to_owned(), folder.path().join("10.toml")];
    let config = Config::load(&paths, &env, Look::Everywhere).unwrap();
    let names: Vec<_> = config.rules.iter().map(|rule| rule.name.as_str()).collect();
    assert_eq!(names, ["first", "second"]);
}

#[test]
fn rules_and_receivers_inherit_what_they_do_not_write() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    write(
        "10.toml",
        "[[rules]]\nname = 'heir'
        [[rules]]\nname = 'own'\non = ['check.output']\nmatch = { to = 'passing' }\nfinal = false
        [receivers.heir]
        [receivers.own]\nplugin = 'file'\ntimeout = '1s'\nretry = { attempts = 1 }\nfallback = 'heir'
        [receivers.last]",
    );
    write(
        "20.toml",
        "[defaults.rules]\non = ['check.status']\nreceivers = ['heir']\nmatch = { service = 'web' }\nfinal = true
        [defaults.receivers]\nplugin = 'shell'\ntimeout = '5s'\nretry = { backoff = '2s' }\nfallback = 'last'",
    );
    let config = load(folder.path(), Look::Inside).unwrap();
    let [heir, own] = &config.rules[..] else { panic!("two rules") };
    let matches = |rule: &lictor::rules::Rule| rule.matches[0].attribute.to_string();
    assert_eq!(
        (&heir.on[..], heir.is_final, matches(heir)),
        (&[EventType::CheckStatus][..], true, "service".into())
    );
    assert_eq!(
        (&own.on[..], own.is_final, matches(own)),
        (&[EventType::CheckOutput][..], false, "to".into())
    );
    assert_eq!((&heir.receivers, &own.receivers), (&vec!["heir".to_owned()], &vec!["heir".to_owned()]));

    let [heir, own, last] = &config.receivers[..] else { panic!("three receivers") };
    let (shell, file) = (PluginRef::Bundled("shell"), PluginRef::Bundled("file"));
    assert_eq!((&heir.plugin, &own.plugin, &last.plugin), (&shell, &file, &shell));
    assert_eq!((heir.timeout, own.timeout), (Duration::from_secs(5), Duration::from_secs(1)));
    assert_eq!(heir.retry.backoff, Duration::from_secs(2));
    let whole = RetryPolicy { attempts: 1, ..RetryPolicy::default() };
    assert_eq!(own.retry, whole, "a key that is written is not added to");
    let fallback = |receiver: &lictor::config::Receiver| receiver.wishes.fallback.clone();
    assert_eq!((fallback(heir), fallback(own)), (Some("last".into()), Some("heir".into())));
    assert_eq!(fallback(last), None, "the default is not meant for the one that it names");
}

#[test]
fn defaults_alone_change_nothing_and_are_checked() {
    let config = load_text("[defaults.rules]\nfinal = true\n[defaults.receivers]\ntimeout = '5s'\n").unwrap();
    assert!(config.rules.is_empty() && config.receivers.is_empty());
    let faults = load_text("[defaults.rules]\nfinal = 1\n[defaults.receivers]\ntimout = '5s'\n").unwrap_err();
    assert_eq!(faults.iter().len(), 2, "{faults}");
}

#[test]
fn rules_share_the_matchers_that_they_name() {
    let text =
        "[[rules]]\nname = 'a'\non = ['check.status']\nmatchers = ['web', 'bad']\nmatch = { node = 'n' }
        receivers = ['x']\n[[rules]]\nname = 'b'\non = ['check.status']\nmatchers = 'web'\nreceivers = ['x']
        [matchers.web]\nservice = 'web'\nnode_meta.rack = 'r1'\n[matchers.bad]\nto = 'critical'
        [receivers.x]\nplugin = 'shell'";
    let config = load_text(text).unwrap();
    let conditions = |at: usize| {
        config.rules[at].conditions().map(|matcher| matcher.attribute.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(conditions(0), ["node", "service", "node_meta.rack", "to"]);
    assert_eq!(conditions(1), ["service", "node_meta.rack"]);
}

#[test]
fn patterns_are_read_as_they_are_shown() {
    let written = [
        ("port = 8080", "port 8080"),
        ("port = [80, 443]", "port one of [80, 443]"),
        ("port = { ge = 1_024, lt = 2000 }", "port { ge = 1024, lt = 2000 }"),
        ("passing_left_share = { le = 0.5 }", "passing_left_share { le = 0.5 }"),
        ("service_tags = { all = ['a', 'b'] }", "service_tags { all = [\"a\", \"b\"] }"),
        ("service_tags = { any = ['a', 'b'] }", "service_tags one of [\"a\", \"b\"]"),
        ("port = { any = [80] }", "port 80"),
        ("session = { present = false }", "session { present = false }"),
        ("value.a.b = true", "value.a.b true"),
        ("value.a = { b.c = -1.5 }", "value.a.b.c -1.5"),
        ("value = { prefix = 'x' }", "value { prefix = \"x\" }"),
        ("'value.prefix' = 'x'", "value.prefix \"x\""),
        ("value.prefix.glob = 'x'", "value.prefix { glob = \"x\" }"),
        ("old_value.list.0 = { gt = 0 }", "old_value.list.0 { gt = 0 }"),
        ("value = { gt = 0 }", "value { gt = 0 }"),
    ];
    for (text, want) in written {
        let text = format!(
            "[matchers.m]\n{text}\n[receivers.x]\nplugin = 'shell'\n[[rules]]\nname = 'r'
            on = ['service.changed', 'kv.set', 'check.status']\nmatchers = 'm'\nreceivers = ['x']"
        );
        let config = load_text(&text).unwrap_or_else(|faults| panic!("{text}\n{faults}"));
        let matcher = config.rules[0].conditions().next().unwrap();
        assert_eq!(format!("{} {}", matcher.attribute, matcher.pattern), want);
    }
}

fn reference() -> String {
    fs::read_to_string("../config/lictor.toml").unwrap()
}

/// The reference configuration with every line that shows a default taken as it stands.
fn reference_in_full() -> String {
    let is_setting = |line: &str| line.split_once(" = ").is_some_and(|(key, _)| !key.contains(' '));
    let reference = reference();
    reference
        .lines()
        .filter(|line| !line.starts_with("# token = ") && !line.starts_with("# token_env = "))
        // The receiver that it names is not in this file.
        .filter(|line| !line.starts_with("# fallback = "))
        .map(|line| line.strip_prefix("# ").filter(|rest| is_setting(rest)).unwrap_or(line).to_owned() + "\n")
        .collect()
}

#[test]
fn the_reference_configuration_is_valid_and_shows_the_defaults() {
    let as_it_is = load("../config/lictor.toml", Look::Everywhere).unwrap();
    let in_full = load_text(reference_in_full()).unwrap();
    let default = load_text("[receivers.x]\nplugin = 'shell'\n").unwrap();
    let (full, default_receiver) = (&in_full.receivers[0], &default.receivers[0]);
    assert_eq!(full.timeout, default_receiver.timeout);
    let example = Some(Duration::from_hours(1));
    assert_eq!(full.retry, RetryPolicy { max_elapsed: example, ..default_receiver.retry.clone() });
    assert_eq!(full.rate_limit, Some(RateLimit { max: 10, per: Duration::from_mins(1) }));
    assert_eq!(full.wishes, default_receiver.wishes);
    assert_eq!(full.limits, default_receiver.limits);
    assert_eq!(full.max_in_flight, default_receiver.max_in_flight);
    assert_eq!(in_full.agent, Agent { environment: Some("production".into()), ..Agent::default() });
    assert_eq!(in_full.consul.block_query_wait, default.consul.block_query_wait);
    assert_eq!(in_full.consul.verify, default.consul.verify);
    assert_eq!(as_it_is.agent, Agent::default());
    assert_eq!(as_it_is.consul, Settings::default());
}

/// All keys of a schema, but for the attributes of events.
fn keys(schema: &serde_json::Value, found: &mut BTreeSet<String>) {
    let properties = schema["properties"].as_object();
    for (name, value) in properties.into_iter().flatten().filter(|_| schema["patternProperties"].is_null()) {
        found.insert(name.clone());
        keys(value, found);
    }
    for inner in ["items", "additionalProperties"].iter().filter_map(|inner| schema.get(inner)) {
        keys(inner, found);
    }
    for one in schema["anyOf"].as_array().into_iter().flatten() {
        keys(one, found);
    }
}

/// That the schema has all keys is held by a test of its own.
#[test]
fn the_reference_configuration_names_every_key() {
    let reference = reference();
    let words: BTreeSet<&str> = reference.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').collect();
    let mut all = BTreeSet::new();
    keys(&schema(), &mut all);
    keys(&schema()["definitions"]["pattern"], &mut all);
    assert!(all.contains("agent") && all.contains("header_files") && all.contains("glob"), "{all:?}");
    let missing: Vec<_> = all.iter().filter(|key| !words.contains(key.as_str())).collect();
    assert!(missing.is_empty(), "not in config/lictor.toml: {missing:?}");
}

#[test]
fn every_plugin_that_can_be_named_is_in_the_binary() {
    let mut names = BUNDLED;
    names.sort_unstable();
    assert_eq!(names, lictor::bundled::NAMES);
}

#[test]
fn the_quickstart_is_valid() {
    let path = Path::new("../examples/quickstart/lictor.toml");
    if path.exists() {
        load(path, Look::Inside).unwrap();
    }
}

proptest! {
    #[test]
    fn any_text_is_read_or_told_to_be_wrong(text in any::<Vec<u8>>()) {
        if let Err(faults) = load_text(text) {
            prop_assert!(faults.iter().len() > 0 && !faults.coloured().is_empty());
        }
    }

    /// A configuration with a piece cut out or put in, which gets much further than a random text.
    #[test]
    fn a_damaged_configuration_is_read_or_told_to_be_wrong(
        from in 0..DESIGN.len(),
        length in 0_usize..60,
        piece in "[\\[\\]{}=\"'\\n\\ta-z0-9é.]{0,8}",
    ) {
        let mut text = DESIGN.to_owned();
        text.replace_range(from..(from + length).min(DESIGN.len()), &piece);
        if let Err(faults) = load_text(text) {
            for fault in faults.iter() {
                prop_assert!(!fault.to_string().contains('\t'));
                prop_assert!(!fault.problem().is_empty());
            }
        }
    }

    #[test]
    fn a_secret_is_told_in_no_damaged_configuration(
        before in "[\\[\\]{}=\"'\\na-z., ]{0,12}",
        after in "[\\[\\]{}=\"'\\na-z., ]{0,12}",
    ) {
        let text = format!("{before}\n[consul]\ntoken = \"hunter2\"{after}\ndatacenter = 1\n");
        if let Err(faults) = load_text(text) {
            prop_assert!(!faults.to_string().contains("hunter2"));
        }
    }
}
