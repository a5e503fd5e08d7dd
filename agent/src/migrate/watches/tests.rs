use super::*;

/// Only this program is there.
fn find(program: &str) -> Option<String> {
    (program == "jq").then(|| "/usr/bin/jq".to_owned())
}

fn migrated(text: &str) -> Result<String, MigrateError> {
    migrate(&[("consul.hcl".into(), text.into())], &find)
}

/// What is written, as a tree.
#[track_caller]
fn tree(text: &str) -> ::toml::Table {
    let written = migrated(text).unwrap();
    ::toml::from_str(&written).unwrap_or_else(|error| panic!("{error}\n{written}"))
}

#[track_caller]
fn check_refused(text: &str, want: &str) {
    assert_eq!(migrated(text).unwrap_err().to_string(), want);
}

#[test]
fn a_watch_becomes_a_watch_a_rule_and_a_receiver() {
    let written = migrated(
        r#"
        # An agent's configuration.
        datacenter = "dc1"
        watches = [
          {
            type = "checks"
            state = "critical"
            args = ["/usr/local/bin/alert.py", "-v"]
          },
        ]
        "#,
    );
    let want = r#"# consul.hcl, watch 1
# Its program runs in `/`, with a clean environment: `allow.exec` has `cwd` and `env` for another one.
[[watch]]
label = "checks-critical"
type = "checks"
state = "critical"

[[rules]]
name = "checks-critical"
on = ["check.status", "check.registered", "check.deregistered", "maintenance.started", "maintenance.ended"]
watch = ["checks-critical"]
receivers = ["checks-critical"]

[receivers."checks-critical"]
plugin = "shell"
config = { command = ["/usr/local/bin/alert.py", "-v"], stdin = "consul-watch", timeout = "10m" }
timeout = "11m"
order = "receiver"
overlap = "coalesce"
limits = { transfer = "64MiB" }
"#;
    assert_eq!(written.unwrap(), want);
}

#[test]
fn json_blocks_and_lists_are_read() {
    for text in [
        r#"{ "watches": [{ "type": "nodes", "args": ["/bin/x"] }] }"#,
        "watches = [{ type = \"nodes\", args = [\"/bin/x\"] }]",
        "watches {\n type = \"nodes\"\n args = [\"/bin/x\"]\n}",
    ] {
        assert_eq!(tree(text)["watch"][0]["type"].as_str(), Some("nodes"), "{text}");
    }
    let two = "watches {\n type = \"nodes\"\n args = [\"/x\"]\n}\nwatches {\n type = \"services\"\n args = [\"/x\"]\n}";
    assert_eq!(tree(two)["watch"].as_array().unwrap().len(), 2);
}

#[test]
fn an_http_handler_becomes_a_webhook() {
    let tree = tree(
        r#"watches = [{
            type = "key", key = "app/color", handler_type = "http"
            http_handler_config {
              path = "https://h/x", method = "put", timeout = "1m30s", tls_skip_verify = true
              header = { "X-Foo" = ["a", "b"] }
            }
        }]"#,
    );
    let receiver = &tree["receivers"]["key-app-color"];
    let config = &receiver["config"];
    assert_eq!((config["url"].as_str(), config["method"].as_str()), (Some("https://h/x"), Some("PUT")));
    assert_eq!((config["body"].as_str(), config["timeout"].as_str()), (Some("consul-watch"), Some("90s")));
    assert_eq!(config["headers"]["X-Foo"].as_str(), Some("a, b"));
    assert_eq!(tree["rules"][0]["on"][1].as_str(), Some("kv.deleted"));
}

#[test]
fn a_service_is_followed_with_its_health() {
    let text = r#"watches = [{ type = "service", service = "web", tag = "prod", filter = "Node.Node == n1", args = ["jq", "."] }]"#;
    let tree = tree(text);
    let watches = tree["watch"].as_array().unwrap();
    assert_eq!((watches.len(), watches[0].get("passing_only")), (2, None));
    assert_eq!((watches[0]["filter"].as_str(), watches[1].get("filter")), (Some("Node.Node == n1"), None));
    assert_eq!(watches[1]["type"].as_str(), Some("checks"));
    assert_eq!(tree["rules"][0]["watch"], ::toml::Value::from(vec!["service-web", "checks-web"]));
    assert_eq!(tree["rules"][0]["match"]["service_tags"].as_str(), Some("prod"));
    assert_eq!(tree["receivers"]["service-web"]["config"]["command"][0].as_str(), Some("/usr/bin/jq"));
}

#[test]
fn what_two_handlers_watch_is_followed_once() {
    let one = r#"{ type = "services", args = ["/bin/a"] }"#;
    let text =
        format!("watches = [{one}, {one}, {{ type = \"services\", args = [\"/bin/a\"], stale = true }}]");
    let tree = tree(&text);
    let count = |name: &str| tree[name].as_array().unwrap().len();
    assert_eq!((count("watch"), count("rules"), tree["receivers"].as_table().unwrap().len()), (2, 3, 3));
    assert_eq!(tree["rules"][1]["watch"], ::toml::Value::from(vec!["services"]));
}

#[test]
fn no_two_have_one_name() {
    let of = |key: &str| format!(r#"{{ type = "key", key = "{key}", args = ["/x"] }}"#);
    let text = format!("watches = [{}, {}, {}, {}]", of("a/b"), of("a-b-2"), of("a.b/"), of("a-b"));
    let tree = tree(&text);
    let names: Vec<_> = tree["receivers"].as_table().unwrap().keys().collect();
    assert_eq!(names, ["key-a-b", "key-a-b-2", "key-a-b-3", "key-a.b"]);
    assert_eq!(tree["rules"][3]["watch"], ::toml::Value::from(vec!["key-a-b-3"]));
}

#[test]
fn what_is_other_than_it_was_is_said() {
    let written = migrated(
        r#"watches = [{ type = "event", name = "deploy", token = "s", handler = "run it | mail", odd = 1 }]"#,
    )
    .unwrap();
    assert!(written.contains("# Left out: its token."), "{written}");
    assert!(written.contains("# Left out: `odd`, which Lictor does not know."), "{written}");
    assert!(written.contains(r#"command = ["/bin/sh", "-c", "run it | mail"]"#), "{written}");
    let unknown = migrated(r#"watches = [{ type = "nodes", args = ["handler.rb"] }]"#).unwrap();
    assert!(unknown.contains(r#"command = ["/usr/bin/env", "handler.rb"]"#), "{unknown}");
}

#[test]
fn what_consul_would_refuse_is_refused_with_its_place() {
    let of = |watch: &str| format!("watches = [{{ {watch} }}]");
    let wrong = "take over watch 1 of consul.hcl: ";
    check_refused(&of(r#"args = ["/x"]"#), &format!("{wrong}it has no `type`"));
    check_refused(&of(r#"type = "odd", args = ["/x"]"#), &format!("{wrong}there is no type \"odd\""));
    check_refused(&of(r#"type = "key", args = ["/x"]"#), &format!("{wrong}it has no `key`"));
    check_refused(&of(r#"type = "nodes""#), &format!("{wrong}it has neither `args` nor `handler`"));
    let both = r#"type = "checks", service = "a", state = "any", args = ["/x"]"#;
    check_refused(&of(both), &format!("{wrong}it has `service` and `state`, and Consul takes one of them"));
    check_refused(
        &of(r#"type = "checks", state = "odd", args = ["/x"]"#),
        &format!("{wrong}there is no state \"odd\""),
    );
    let up = r#"type = "keyprefix", prefix = "../x", args = ["/x"]"#;
    let wrong_path = "\"../x\" has a part that is `.` or `..`, and Consul cannot be asked for that";
    check_refused(&of(up), &format!("{wrong}{wrong_path}"));
    let slash = tree(&of(r#"type = "key", key = "/app/color", args = ["/x"]"#));
    assert_eq!(slash["watch"][0]["key"].as_str(), Some("app/color"), "Consul's client leaves it out too");
    check_refused("a = 1", "find `watches` in consul.hcl");
    assert!(matches!(migrated("a = = 1"), Err(MigrateError::Syntax { language: "HCL", .. })));
    assert!(matches!(migrated("{ a"), Err(MigrateError::Syntax { language: "JSON", .. })));
}

#[test]
fn a_line_break_ends_no_comment_and_no_text() {
    let text =
        r#"{ "watches": [{ "type": "key", "key": "a\n[agent]", "args": ["/x\n[x]"], "o\nx = 1": 1 }] }"#;
    let tree = tree(text);
    assert_eq!(tree.keys().collect::<Vec<_>>(), ["receivers", "rules", "watch"]);
    assert_eq!(tree["watch"][0]["key"].as_str(), Some("a\n[agent]"));
}

#[test]
fn durations_are_read_as_go_writes_them() {
    for (text, want) in [
        ("10s", Some("10s")),
        ("1m30s", Some("90s")),
        ("250ms", Some("250ms")),
        ("1h", Some("3600s")),
        ("", None),
        ("0s", None),
        ("10", None),
        ("1.5s", Some("1500ms")),
        ("0.25m", Some("15s")),
        ("1.2.3s", None),
        (".s", None),
        ("99999999999999999999h", None),
    ] {
        assert_eq!(handler::duration(text).as_deref(), want, "{text}");
    }
}
