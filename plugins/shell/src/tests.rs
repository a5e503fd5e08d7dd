use lictor_sdk::{
    CallError,
    testing::{self, Call, Host},
};
use serde_json::json;

use super::*;

fn config() -> Value {
    json!({ "command": ["/bin/restart", "web"], "timeout": "5s", "stdin": "event" })
}

/// What the plugin ran for a delivery of these events' data.
#[track_caller]
fn run(data: impl IntoIterator<Item = Value>, config: &Value) -> Command {
    let host = Host::start();
    testing::handle::<Shell>(&testing::delivery(data), config).unwrap();
    match host.calls().as_slice() {
        [Call::Exec(command)] => command.clone(),
        calls => panic!("expected one command, found {calls:?}"),
    }
}

#[track_caller]
fn check_ended(status: Status, stdout: &str, stderr: &str, want: Result<&str, Failure>) {
    let host = Host::start();
    host.answer_exec(Ok(Output { status, stdout: stdout.into(), stderr: stderr.into() }));
    let receipt = testing::handle::<Shell>(&testing::delivery([json!({})]), &config());
    assert_eq!(receipt, want.map(str::to_owned));
}

#[track_caller]
fn check_refused(config: &Value, want: &str) {
    assert_eq!(testing::requests::<Shell>(config).unwrap_err(), want);
}

#[test]
fn the_schema_is_true() {
    testing::check_schema::<Shell>(&config()).unwrap();
}

#[test]
fn it_requests_the_command_that_it_runs() {
    let command = ["/bin/restart", "web"];
    let want = Request::exec(command, Duration::from_secs(5));
    assert_eq!(testing::requests::<Shell>(&config()), Ok(vec![want]));
    let ran = run([json!({})], &config());
    assert_eq!((ran.argv, ran.timeout), (command.map(String::from).to_vec(), Duration::from_secs(5)));
}

#[test]
fn a_configuration_that_cannot_work_is_refused() {
    check_refused(
        &json!({ "command": [] }),
        "command: expected the program's absolute path, then its arguments",
    );
    check_refused(&json!({ "command": ["ls"] }), r#"command[0]: "ls" is no absolute path"#);
    check_refused(
        &json!({ "command": ["/bin/ls"], "timeout": "30" }),
        r#"timeout: "30" is no duration: write a whole number above zero and ms, s, m or h, as in "30s""#,
    );
    check_refused(
        &json!({ "command": ["/bin/ls"], "stdin": "all" }),
        "stdin: unknown variant `all`, expected one of `event`, `none`, `consul-watch`",
    );
}

#[test]
fn the_environment_holds_the_delivery_and_the_scalars_of_the_data() {
    let ran = run(
        [
            json!({ "service": "web", "to": "critical", "modify-index": 7, "initial": false, "tags": ["a"], "old": null }),
        ],
        &config(),
    );
    let want = [
        ("LICTOR_ATTEMPT", "1"),
        ("LICTOR_DELIVERY_ID", "d1"),
        ("LICTOR_ENVIRONMENT", "production"),
        ("LICTOR_EVENT_ID", "e1"),
        ("LICTOR_EVENT_SUBJECT", "n1/service:web"),
        ("LICTOR_EVENT_TIME", "2026-01-01T00:00:00Z"),
        ("LICTOR_EVENT_TYPE", "lictor.check.status"),
        ("LICTOR_INITIAL", "false"),
        ("LICTOR_MODIFY_INDEX", "7"),
        ("LICTOR_NODE", "n1"),
        ("LICTOR_RECEIVER", "ops"),
        ("LICTOR_RULE", "web-down"),
        ("LICTOR_SERVICE", "web"),
        ("LICTOR_TO", "critical"),
    ];
    assert_eq!(ran.env, want.map(|(name, value)| (name.to_owned(), value.to_owned())));
}

#[test]
fn what_is_too_long_for_a_variable_is_on_standard_input_alone() {
    let (fits, long) = ("v".repeat(64 << 10), "v".repeat((64 << 10) + 1));
    let ran = run([json!({ "value": fits, "old_value": long })], &config());
    let names: Vec<_> = ran.env.iter().map(|(name, _)| &name[..]).collect();
    assert!(names.contains(&"LICTOR_VALUE") && !names.contains(&"LICTOR_OLD_VALUE"), "{names:?}");
    assert!(String::from_utf8(ran.stdin).unwrap().contains(&long));
}

#[test]
fn data_cannot_change_the_command_or_the_deliverys_own_variables() {
    let output = "x\0; rm -rf / $(reboot) `reboot`";
    let plain = run([json!({})], &config());
    let ran = run(
        [json!({ "output": output, "node": "evil", "event_id": "evil", "Delivery-Id": "evil" })],
        &config(),
    );
    assert_eq!(ran.argv, plain.argv);
    let mut want = plain.env;
    want.push(("LICTOR_OUTPUT".into(), output.replace('\0', "")));
    want.sort();
    assert_eq!(ran.env, want);
}

#[test]
fn standard_input_holds_one_event_or_an_array_or_nothing() {
    let delivery = testing::delivery([json!({ "output": "a\nb" }), json!({})]);
    let first = delivery.events[0].to_cloudevent().unwrap();
    let both = delivery.to_cloudevents_batch().unwrap();
    assert_eq!(run([json!({ "output": "a\nb" })], &config()).stdin, format!("{first}\n").into_bytes());
    assert_eq!(
        run([json!({ "output": "a\nb" }), json!({})], &config()).stdin,
        format!("{both}\n").into_bytes()
    );
    let silent = json!({ "command": ["/bin/true"], "stdin": "none" });
    assert_eq!(run([json!({})], &silent).stdin, b"");
}

#[test]
fn the_exit_status_decides() {
    check_ended(Status::Code(0), "", "", Ok("exit 0"));
    check_ended(Status::Code(75), "", "busy\n", Err(Failure::transient("exit 75: busy")));
    check_ended(Status::Code(1), "out", "err", Err(Failure::permanent("exit 1: err")));
    check_ended(Status::Code(1), "out", " \n", Err(Failure::permanent("exit 1: out")));
    check_ended(Status::Signal(9), "", "", Err(Failure::permanent("signal 9")));
}

#[test]
fn a_failure_quotes_only_the_end_of_what_was_said() {
    let said = format!("start{}end", "ä".repeat(LAST_WORDS));
    let want = format!("exit 1: {}end", "ä".repeat(LAST_WORDS - 3));
    check_ended(Status::Code(1), "", &said, Err(Failure::permanent(want)));
}

#[test]
fn a_handler_of_a_watch_gets_the_whole_list_and_its_index() {
    let config = json!({ "command": ["/usr/local/bin/handler"], "stdin": "consul-watch" });
    let exec = Request::exec(["/usr/local/bin/handler"], Duration::from_secs(30));
    assert_eq!(testing::requests::<Shell>(&config), Ok(vec![exec, Request::Watch]));

    let host = Host::start();
    host.answer_watch(Ok(watch::Answer { index: 42, body: br#"[{"CheckID":"web"}]"#.to_vec() }));
    let delivery = testing::delivery([json!({ "service": "web" })]);
    assert_eq!(testing::handle::<Shell>(&delivery, &config), Ok("exit 0".into()));
    let calls = host.calls();
    let [Call::Watch, Call::Exec(command)] = calls.as_slice() else { panic!("{calls:?}") };
    assert_eq!(command.stdin, b"[{\"CheckID\":\"web\"}]\n");
    let set =
        |name: &str| command.env.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
    assert_eq!((set("CONSUL_INDEX"), set("LICTOR_SERVICE")), (Some("42"), Some("web")));
}

#[test]
fn a_handler_of_a_watch_that_fails_runs_again() {
    let config = json!({ "command": ["/usr/local/bin/handler"], "stdin": "consul-watch" });
    let handle = || testing::handle::<Shell>(&testing::delivery([json!({})]), &config);
    let host = Host::start();
    host.answer_exec(Ok(Output { status: Status::Code(1), stdout: String::new(), stderr: "no".into() }));
    assert_eq!(handle(), Err(Failure::transient("exit 1: no")));
    host.answer_watch(Err(CallError::Failed("Consul is not reachable".into())));
    assert_eq!(handle(), Err(Failure::transient("Consul is not reachable")));
}
