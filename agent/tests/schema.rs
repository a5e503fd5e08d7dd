//! `lictor config`: the schema is what the configuration's reader takes, and what `show` prints is what counts.

#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use boon::{Compiler, SchemaIndex, Schemas};
use lictor::config::{Config, Look, Receiver, schema};
use lictor::rules::{Matcher, Rule};
use serde_json::{Map, Value, json};
use support::home::Home;

/// Every key with a value, but those of which one excludes another, and those of other types of a watch.
const IN_FULL: &str = r#"
[agent]
environment = "production"
retention.age = "10d"

[consul]
address = "http://127.0.0.1:8501"
token = "hunter2"
ca_file = "ca.pem"

[[watch]]
type = "checks"
label = "web"
service = "web"
filter = "Status == critical"
stale = true
max_stale = "10s"

[[watch]]
type = "keyprefix"
prefix = "app/"

[roles.services."my web"]
active_nodes = ["web1"]

[[rules]]
name = "down"
on = ["check.status"]
watch = "web"
match = { service = ["web", "db"], node_meta.rack = "a", "service_meta.b c" = { glob = "x*" }, initial = false }
unless = { node = { regex = "a\\d+" } }
receivers = ["token-mail", "act"]

[[rules]]
name = "operators"
on = ["service.changed", "kv.set"]
receivers = ["act"]
match = { port = 80, flags = [1, 2], service_tags = { all = ["a", "b"] }, service = { any = ["c"] }, session = { present = true } }
unless = { value.ports.0 = { ge = 1024, lt = 2e3 }, "value.glob" = "x", old_value.state = { prefix = "up" }, value.on = true }

[receivers.token-mail]
plugin = "email"
config = { from = "a@example.com", to = ["b@example.com"], subject = "ü \"q\" \\ \t", password = "hunter2" }
allow.smtp = { relay = "smtps://localhost", username = "me", password_file = "secret" }

[receivers.act]
plugin = "act.wasm"
sha256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
config = { url = "https://hunter2@x/?token=hunter2&a=1", list = [1, -2.5, { a = true, d = 2026-01-01 }], "a b" = {} }
max_in_flight = 64
rate_limit = { max = 10, per = "1m" }
retry.max_elapsed = "1h"
limits.log_rate = 7

[[receivers.act.allow.exec]]
command = ["/bin/true", "a*", ""]
env = ["HOME"]
user = "nobody"
group = "0"

[receivers.act.allow]
append = ["/a/", { path = "/b" }, { path = "/c/", mode = "0644", owner = "nobody", group = "0", sync = true }]
watch = true
kv = ["app/", "db"]
kv_store = { size = "1MiB", keys = 7 }
http = [
    { url = "https://x/a/*", header_files = { Authorization = "auth" } },
    { url = "https://y/**", methods = ["GET"], ca_file = "/ca.pem" },
]

[defaults.rules]
on = ["check.output"]
unless = { node = "canary" }
[defaults.receivers]
fallback = "token-mail"
retry.attempts = 3
timeout = "5s"

[matchers.production]
environment = "production"

[[rules]]
name = "last"
final = true
enabled = false
matchers = ["production"]
receivers = ["token-mail"]

[[rules]]
name = "grouped"
on = ["check.status"]
receivers = ["act"]
group_by = ["node", "service"]
for = "30s"
occurrences = { count = 3, within = "10m" }
mute_time_intervals = ["nights"]

[inhibit]
flapping = false

[[inhibit_rules]]
name = "database"
source_match = { service = "db", to = "critical" }
equal = ["node"]

[[time_intervals]]
name = "nights"
time_intervals = [
    { times = [{ start_time = "18:00", end_time = "24:00" }], weekdays = ["monday:friday"], location = "Europe/Berlin" },
    { days_of_month = ["1:5", "-3:-1"], months = ["january", "3:4"], years = ["2026"] },
]
"#;

/// What hides nothing and names little, so that nearly all of it are defaults.
const BARE: &str = r#"
[[watch]]
type = "checks"
[[watch]]
type = "service"
service = "web"
[[rules]]
name = "all"
on = ["check.status"]
receivers = ["act"]
[receivers.act]
plugin = "shell"
allow = { exec = [{ command = ["/bin/true"] }], http = [{ url = "https://x/" }], smtp = { relay = "smtps://x" } }
"#;

struct Judge {
    schemas: Schemas,
    index: SchemaIndex,
}

impl Judge {
    fn new() -> Self {
        let (mut schemas, mut compiler) = (Schemas::new(), Compiler::new());
        compiler.add_resource("lictor.json", schema()).unwrap();
        let index = compiler.compile("lictor.json", &mut schemas).unwrap();
        Self { schemas, index }
    }

    fn judge(&self, text: &str) -> Result<(), String> {
        let value = to_json(text.parse::<toml::Table>().map_err(|error| error.to_string())?.into());
        self.schemas.validate(&value, self.index).map_err(|error| format!("{error:#}"))
    }
}

/// A date is a text for the schema, as it is for a plugin.
fn to_json(value: toml::Value) -> Value {
    match value {
        toml::Value::Datetime(date) => date.to_string().into(),
        toml::Value::Array(items) => items.into_iter().map(to_json).collect(),
        toml::Value::Table(table) => table.into_iter().map(|(key, value)| (key, to_json(value))).collect(),
        other => serde_json::to_value(other).unwrap(),
    }
}

fn to_toml(value: &Value) -> String {
    match value {
        Value::Array(items) => format!("[{}]", items.iter().map(to_toml).collect::<Vec<_>>().join(", ")),
        Value::Object(table) => {
            let pairs = table.iter().map(|(key, value)| format!("{key:?} = {}", to_toml(value)));
            format!("{{ {} }}", pairs.collect::<Vec<_>>().join(", "))
        }
        other => other.to_string(),
    }
}

fn read(path: impl AsRef<Path>) -> String {
    fs::read_to_string(path).unwrap()
}

/// The keys that the reader says it knows in a table in which one is misspelt.
fn known(document: &Value) -> BTreeSet<String> {
    let keys = document.as_object().unwrap().iter();
    let lines: Vec<_> = keys.map(|(key, value)| format!("{key} = {}\n", to_toml(value))).collect();
    let text = lines.concat();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("lictor.toml");
    fs::write(&path, &text).unwrap();
    let rejected = Config::load(&[path], &|_| None, Look::Inside).unwrap_err();
    let told = |fault: &lictor::config::Fault| {
        fault.problem().starts_with("unknown key `zzz`").then(|| fault.remedy().unwrap().to_owned())
    };
    let told: Vec<_> = rejected.faults.iter().filter_map(told).collect();
    let [keys] = &told[..] else { panic!("one misspelt key:\n{text}\n{}", rejected.faults) };
    let keys = keys.strip_prefix("known keys are ").unwrap();
    keys.split(", ").map(|key| key.trim_matches('`').to_owned()).collect()
}

/// A value that the schema takes, as far as the reader needs it to go on.
fn sample(schema: &Value) -> Value {
    if let Some(words) = schema.get("enum").or_else(|| schema.pointer("/anyOf/0/enum")) {
        return words[0].clone();
    }
    match schema["type"].as_str() {
        Some("object") => required(schema),
        Some("array") => json!([sample(&schema["items"])]),
        Some("integer") => schema["minimum"].clone(),
        Some("boolean") => json!(true),
        _ => json!("x"),
    }
}

/// The keys that a table has to have.
fn required(schema: &Value) -> Value {
    let names = schema["required"].as_array().into_iter().flatten();
    names
        .map(|name| {
            (name.as_str().unwrap().to_owned(), sample(&schema["properties"][name.as_str().unwrap()]))
        })
        .collect()
}

/// Compares the keys of each table of the schema with those that the reader knows; `document` puts the table where it
/// belongs.
fn compare(schema: &Value, place: &str, document: &dyn Fn(Value) -> Value, seen: &mut Vec<String>) {
    if let Some(item) = schema.get("items") {
        compare(item, place, &|value| document(json!([value])), seen);
    }
    for one in schema["anyOf"].as_array().into_iter().flatten() {
        compare(one, place, document, seen);
    }
    if let Some(value) = schema.get("additionalProperties").filter(|value| value.is_object()) {
        compare(value, &format!("{place}.*"), &|value| document(json!({ "x": value })), seen);
    }
    let Some(properties) = schema["properties"].as_object() else { return };
    let with = |name: &str, value: Value| {
        let mut table = required(schema);
        table[name] = value;
        table
    };
    // Which attributes there are is known to the rules alone, and a fault in one is told in other words.
    if !properties.contains_key("node_meta") {
        for (fixed, keys) in variants(schema, properties) {
            let mut table = with("zzz", json!(1));
            table.as_object_mut().unwrap().extend(fixed);
            let told = known(&document(table.clone()));
            assert_eq!(told, keys, "{place}, {table}: the reader's keys, and those of the schema");
            seen.push(place.to_owned());
        }
    }
    for (name, value) in properties {
        compare(value, &format!("{place}.{name}"), &|inner| document(with(name, inner)), seen);
    }
}

/// What a table has to have, and its keys; where it has others for each word of one of them, for each.
fn variants(schema: &Value, properties: &Map<String, Value>) -> Vec<(Map<String, Value>, BTreeSet<String>)> {
    let all: BTreeSet<String> = properties.keys().cloned().collect();
    let Some(words) = schema["allOf"].as_array() else { return vec![(Map::new(), all)] };
    let of_word = |word: &Value| {
        let (tag, value) = word["if"]["properties"].as_object().unwrap().iter().next().unwrap();
        let foreign: BTreeSet<String> =
            word["then"]["properties"].as_object().unwrap().keys().cloned().collect();
        let needed = word["then"]["required"].as_array().unwrap().iter();
        let needed = needed.map(|name| (name.as_str().unwrap().to_owned(), json!("x")));
        let fixed = needed.chain([(tag.clone(), value["const"].clone())]).collect();
        (fixed, all.difference(&foreign).cloned().collect())
    };
    words.iter().map(of_word).collect()
}

#[test]
fn the_schema_has_the_keys_that_are_read_and_no_others() {
    let mut seen = Vec::new();
    compare(&schema(), "", &|value| value, &mut seen);
    for place in ["", ".agent.retention", ".watch", ".rules", ".receivers.*.allow.http", ".receivers.*.retry"]
    {
        assert!(seen.iter().any(|seen| seen == place), "{place:?} is not among {seen:?}");
    }
    assert_eq!(seen.iter().filter(|place| *place == ".watch").count(), 11, "one for each type");
}

#[test]
fn the_schema_has_the_patterns_that_are_read() {
    let rule = json!({ "name": "x", "match": { "node": { "zzz": 1 } } });
    let schema = schema();
    let forms = schema["definitions"]["pattern"]["anyOf"].as_array().unwrap().iter();
    let keys = forms.filter_map(|form| form["properties"].as_object()).flat_map(Map::keys).cloned();
    assert_eq!(known(&json!({ "rules": [rule] })), keys.collect());
}

#[test]
fn the_schema_in_the_folder_is_the_one_of_the_program() {
    let file = read("../config/lictor.schema.json");
    let made = serde_json::to_string_pretty(&schema()).unwrap() + "\n";
    assert!(file == made, "run `cargo run -- config schema >config/lictor.schema.json`");
}

#[test]
fn what_is_right_fits_the_schema() {
    let judge = Judge::new();
    let quickstart = "../examples/quickstart/lictor.toml";
    let files = [
        "../config/lictor.toml",
        quickstart,
        "../examples/cluster/server.toml",
        "../examples/cluster/client.toml",
    ];
    let files = files.map(|path| (path, read(path)));
    let texts = [("IN_FULL", IN_FULL.to_owned()), ("BARE", BARE.to_owned()), ("nothing", String::new())];
    for (name, text) in files.into_iter().chain(texts) {
        judge.judge(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
    }
}

#[test]
fn what_is_wrong_does_not_fit_the_schema() {
    let judge = Judge::new();
    let bad = [
        "duration-without-unit",
        "empty-string",
        "nodes-not-a-list",
        "number-out-of-range",
        "pattern-of-a-wrong-kind",
        "receivers-as-a-list",
        "rule-name",
        "rule-with-empty-lists",
        "rule-without-anything",
        "sha256",
        "size-without-unit",
        "time-interval-with-wrong-times",
        "unknown-attribute",
        "unknown-event-type",
        "unknown-key",
        "unknown-keys-deep-down",
        "unknown-plugin",
        "unknown-section",
        "unknown-watch",
        "wrong-type",
    ];
    for name in bad {
        assert!(judge.judge(&read(format!("tests/config/{name}.toml"))).is_err(), "{name} fits");
    }
    for text in
        ["[[watch]]\ntype = 'nodes'\nservice = 'web'", "[[watch]]\ntype = 'key'", "[[watch]]\nscope = 'node'"]
    {
        assert!(judge.judge(text).is_err(), "{text} fits");
    }
}

/// Loads a text in a folder, and gives all of it that can be compared.
fn loaded(home: &Home, name: &str) -> Vec<String> {
    let path = home.path(name);
    let config = Config::load(&[path], &|_| None, Look::Inside).unwrap();
    // Warnings name the places of what is written, which are others.
    let Config {
        agent,
        consul,
        watches,
        roles,
        rules,
        receivers,
        time_intervals,
        labels,
        inhibit_rules,
        warnings: _,
    } = config;
    let receiver = |receiver: Receiver| {
        let Receiver { name, plugin, sha256, config, timeout, retry, max_in_flight, .. } = &receiver;
        let Receiver { rate_limit, wishes, limits, allow, .. } = &receiver;
        let known = (name, plugin, sha256, config, timeout, retry, max_in_flight);
        format!("{known:?} {:?}", (rate_limit, wishes, limits, allow))
    };
    let mut all =
        vec![format!("{agent:?}"), format!("{consul:?}"), format!("{watches:?}"), format!("{roles:?}")];
    let mut receivers: Vec<_> = receivers.into_iter().map(receiver).collect();
    receivers.sort();
    all.extend(receivers);
    all.extend(rules.iter().cloned().map(rule));
    all.extend([format!("{time_intervals:?}"), format!("{labels:?}"), format!("{inhibit_rules:?}")]);
    all
}

/// All conditions must hold, so their order says nothing.
fn rule(rule: Rule) -> String {
    let matcher = |matcher: &Matcher| format!("{} {}", matcher.attribute, matcher.pattern);
    let conditions =
        [&rule.matches, &rule.unless].map(|all| all.iter().map(matcher).collect::<BTreeSet<_>>());
    let rest = Rule { matches: Vec::new(), unless: Vec::new(), ..rule };
    format!("{rest:?} {conditions:?}")
}

/// What the verb prints, without a variable but these.
fn show(home: &Home, arguments: &[&str], variables: &[(&str, &str)]) -> String {
    let mut command = support::lictor::command();
    command
        .current_dir(home.path(""))
        .args(["config", "show"])
        .args(arguments)
        .envs(variables.iter().copied());
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn what_is_shown_is_read_as_what_was_written() {
    let home = Home::new();
    fs::create_dir(home.path("sub")).unwrap();
    let right = [
        ("in full", IN_FULL.replace("hunter2", "***")),
        ("bare", BARE.to_owned()),
        ("empty", String::new()),
        ("reference", read("../config/lictor.toml")),
        ("quickstart", read("../examples/quickstart/lictor.toml")),
        ("server", read("../examples/cluster/server.toml").replace("token_file", "# token_file")),
    ];
    for (name, text) in right {
        home.write("sub/lictor.toml", &text);
        let shown = show(&home, &["-c", "sub/lictor.toml"], &[]);
        // Elsewhere, so that a relative path would lead to another file.
        home.write("shown.toml", &shown);
        let both = [loaded(&home, "shown.toml"), loaded(&home, "sub/lictor.toml")];
        assert_eq!(both[0].len(), both[1].len(), "{name}");
        for (shown, written) in both[0].iter().zip(&both[1]) {
            assert_eq!(shown, written, "{name}");
        }
        let as_json = show(&home, &["--json", "-c", "sub/lictor.toml"], &[]);
        assert_eq!(show(&home, &["--json", "-c", "shown.toml"], &[]), as_json, "{name}: once more");
        Judge::new().judge(&shown).unwrap();
    }
}

#[test]
fn every_key_is_shown_with_its_value_or_with_what_holds_without_one() {
    let home = Home::new();
    home.write("lictor.toml", BARE);
    let shown = show(&home, &[], &[]);
    for line in [
        "[agent]\n# environment: the node's metadata `environment` says it\ndata_dir = \"/var/lib/lictor\"  # default",
        "[[watch]]\ntype = \"checks\"\nscope = \"node\"  # default\n# service: those of all services and of nodes",
        "[receivers.act]\nplugin = \"shell\"\n",
        "[receivers.act.retry]\nattempts = 12  # default\n",
        "[[receivers.act.allow.http]]\nurl = \"https://x/\"\nmethods = [\"POST\"]  # default\n",
    ] {
        assert!(shown.contains(line), "{line:?} is not in:\n{shown}");
    }
    let json: Value = serde_json::from_str(&show(&home, &["--json"], &[])).unwrap();
    assert_eq!(json["consul"]["tls_verify"], true);
    assert_eq!(
        json["watch"][1],
        json!({ "type": "service", "service": "web", "passing_only": false, "stale": false, "consistent": false, "cached": false })
    );
}

#[test]
fn what_is_inherited_is_shown_where_it_counts() {
    let home = Home::new();
    let rules = "[[rules]]\nname = 'a'\nreceivers = ['x']\n[[rules]]\nname = 'b'\non = ['kv.set']\nreceivers = ['y']\n";
    let defaults = "[defaults.rules]\non = ['check.status']\n[defaults.receivers]\nplugin = 'shell'\nfallback = 'x'\nretry.attempts = 3\n";
    home.write("lictor.toml", format!("{rules}{defaults}[receivers.x]\n[receivers.y]\ntimeout = '5s'\n"));
    let shown = show(&home, &[], &[]);
    let part = |heading: &str| shown.split_once(heading).unwrap().1.split("\n\n").next().unwrap().to_owned();
    assert!(part("[[rules]]\nname = \"a\"").contains("\non = [\"check.status\"]  # [defaults]\n"), "{shown}");
    assert!(part("[[rules]]\nname = \"b\"").contains("\non = [\"kv.set\"]\n"), "{shown}");
    assert!(part("[receivers.y]").contains("plugin = \"shell\"  # [defaults]\n"), "{shown}");
    assert!(part("[receivers.y]").contains("fallback = \"x\"  # [defaults]"), "{shown}");
    assert!(part("[receivers.x]").contains("# fallback: nobody gets it"), "{shown}");
    assert!(
        part("[receivers.x.retry]").contains("attempts = 3  # [defaults]\nbackoff = \"250ms\"  # default"),
        "{shown}"
    );
}

#[test]
fn files_add_up_and_variables_count() {
    let home = Home::new();
    fs::create_dir(home.path("conf.d")).unwrap();
    home.write(
        "conf.d/10.toml",
        "[receivers.a]\nplugin = 'shell'\n[roles.services.web]\nactive_nodes = ['x']\n",
    );
    home.write(
        "conf.d/20.toml",
        "rules = [{ name = 'r', on = ['check.status'], receivers = ['a', 'b'] }]\n[consul]\ntls_verify = true\n
        [receivers.b]\nplugin = 'b.wasm'\n[roles.services.db]\nactive_nodes = ['y']\n",
    );
    let variables = [
        ("CONSUL_HTTP_ADDR", "10.0.0.1:8501"),
        ("CONSUL_HTTP_TOKEN", "hunter2"),
        ("CONSUL_HTTP_AUTH", "me:hunter2"),
        ("CONSUL_HTTP_SSL", "true"),
        ("CONSUL_HTTP_SSL_VERIFY", "false"),
    ];
    let shown = show(&home, &["-c", "conf.d"], &variables);
    for line in [
        "# The variable CONSUL_HTTP_AUTH counts too; there is no key for it.\n",
        "\naddress = \"https://10.0.0.1:8501\"  # CONSUL_HTTP_ADDR\n",
        "\ntoken_env = \"CONSUL_HTTP_TOKEN\"  # CONSUL_HTTP_TOKEN\n",
        "\ntls_verify = true\n",
        "\n[roles.services.db]\nactive_nodes = [\"y\"]\n",
        "\n[roles.services.web]\nactive_nodes = [\"x\"]\n",
        "\n[receivers.a]\n",
    ] {
        assert!(shown.contains(line), "{line:?} is not in:\n{shown}");
    }
    let plugin = home.path("conf.d/b.wasm");
    assert!(shown.contains(&format!("plugin = \"{}\"\n", plugin.display())), "{shown}");
    assert!(!shown.contains("hunter2"), "{shown}");
    home.write("conf.d/20.toml", "consul.token_file = '/t'\n");
    assert!(
        !show(&home, &["-c", "conf.d"], &variables).contains("token_env ="),
        "the file has the last word"
    );
}

#[test]
fn no_secret_is_shown() {
    let home = Home::new();
    home.write("lictor.toml", IN_FULL);
    let shown = show(&home, &[], &[]) + &show(&home, &["--json"], &[]);
    assert!(!shown.contains("hunter2"), "{shown}");
    for part in [
        "url = \"https://***@x/?token=***&a=1\"",
        "token = \"***\"",
        "/secret\"\n",
        "[receivers.token-mail]\n",
    ] {
        assert!(shown.contains(part), "{part:?} is not in:\n{shown}");
    }
}

#[test]
fn a_configuration_with_faults_is_not_shown() {
    let home = Home::new();
    home.write("lictor.toml", "zzz = 1");
    let output = home.run(&["config", "show"]);
    assert_eq!((output.status.code(), output.stdout.len()), (Some(78), 0));
    assert!(String::from_utf8(output.stderr).unwrap().contains("unknown key `zzz`"));
}
