//! What a person can see and do while Lictor runs, and while it does not.

#![expect(clippy::unwrap_used, reason = "a test that cannot look has to fail")]

mod support;

use std::io::{BufRead, BufReader, Lines};
use std::process::{Child, ChildStdout, Output, Stdio};
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;
use support::consul::ConsulAgent;
use support::home::Home;
use support::http_client;
use support::lictor::command;

const CONFIG: [&str; 2] = ["-c", "lictor.toml"];

/// Runs a verb, and gives its exit code and what it wrote.
fn run(home: &Home, arguments: &[&str]) -> (i32, String) {
    let Output { status, stdout, stderr } = home.run(&[arguments, &CONFIG].concat());
    (status.code().unwrap(), String::from_utf8([stdout, stderr].concat()).unwrap())
}

#[track_caller]
fn check(home: &Home, arguments: &[&str], code: i32, wanted: &[&str]) -> String {
    let (found, text) = run(home, arguments);
    assert_eq!(found, code, "{arguments:?}: {text}");
    for want in wanted {
        assert!(text.contains(want), "{arguments:?} does not say {want:?}:\n{text}");
    }
    text
}

/// A receiver whose command fails for good until the file `mended` is there, and a rule that leaves all alone.
fn breakable(home: &Home, address: &str) -> String {
    let script = home.script(
        "act.sh",
        r#"[ -e "$home/mended" ] || { echo "no such device" >&2; exit 1; }
        echo "$LICTOR_DELIVERY_ID $LICTOR_ATTEMPT" >>"$home/acts""#,
    );
    format!(
        "consul.address = '{address}'
        rules = [
            {{ name = 'other', on = ['check.status'], match = {{ service = 'db' }}, receivers = ['act'] }},
            {{ name = 'off', on = ['check.status'], receivers = ['act'], enabled = false }},
            {{ name = 'all', on = ['check.status'], receivers = ['act'], final = true }},
            {{ name = 'late', on = ['check.status'], receivers = ['act'] }},
        ]
        [receivers.act]\nplugin = 'shell'\nconfig = {{ command = ['{script}'] }}"
    )
}

#[tokio::test]
async fn what_failed_is_found_explained_and_sent_again() {
    let consul = ConsulAgent::start().await;
    consul.register_ttl_check("web", "web").await;
    let home = Home::warm();
    let config = breakable(&home, &consul.address());
    assert_eq!(run(&home, &["deliveries", "list"]).0, 69, "there is no configuration and no store");

    let mut lictor = home.follow(&config).await;
    consul.ttl("web", "fail", "by hand").await;
    let dead = home.settled(&mut lictor, 1).await.remove(0);

    let listed = check(&home, &["deliveries", "list", "--state", "dead", "--json"], 0, &[]);
    let listed: Value = serde_json::from_str(&listed).unwrap();
    assert_eq!((&listed["id"], &listed["attempts"]), (&Value::from(dead.id.as_str()), &Value::from(1)));
    check(&home, &["deliveries", "list", "--receiver", "act"], 0, &["dead", "permanent: ", "no such device"]);
    check(
        &home,
        &["deliveries", "show", &dead.id[..8]],
        0,
        &["state      dead", "1 attempt\n", "no such device"],
    );
    let event = listed["event"].as_str().unwrap();
    let because = "other: left alone, `service` is \"web\", and it wants \"db\"";
    let others =
        ["off: left alone, `enabled` is false", "late: left alone, not reached: rule all before it is final"];
    check(&home, &["explain", event], 0, &[&["all: sent to act", because, "dead"], &others[..]].concat());

    // Mended, while Lictor runs.
    home.write("mended", "");
    check(
        &home,
        &["deliveries", "retry", "--all-dead", "--receiver", "act"],
        0,
        &["1 delivery is sent again."],
    );
    let acts = home.wait_for_lines("acts", 1).await;
    assert_eq!(acts, [format!("{} 2", dead.id)], "the same delivery, its second attempt");
    assert_eq!(home.settled(&mut lictor, 1).await[0].state, "delivered");
    check(&home, &["deliveries", "retry", &dead.id], 1, &["it is delivered; only what failed is sent again"]);
    check(&home, &["deliveries", "show", "ffff"], 1, &["none has an id that begins so"]);
    assert_eq!(lictor.terminate().await, 0);

    check(&home, &["explain", event], 0, &["all: sent to act", "delivered"]);
    let state = ["state", "check"];
    check(&home, &state, 0, &["schema version 3", "delivered   1", "events      2", "It is whole."]);
    check(&home, &["state", "repair"], 0, &["It is whole."]);
    let broken = ["deliveries", "list", "--state", "gone"];
    check(&home, &broken, 2, &["write one of pending, running, failed, delivered, dead, suppressed"]);
}

#[tokio::test]
async fn what_dies_is_told_by_a_rule_and_goes_to_the_fallback() {
    let consul = ConsulAgent::start().await;
    consul.register_ttl_check("web", "web").await;
    let home = Home::warm();
    let note = |name: &str, template: &str| {
        let path = home.path(name);
        format!(
            "[receivers.{name}]\nplugin = 'file'\nconfig = {{ path = '{}', template = '{template}' }}\n",
            path.display()
        )
    };
    let config = breakable(&home, &consul.address()).replace(
        "rules = [",
        "rules = [
            { name = 'undelivered', on = ['delivery.dead'], match = { receiver = 'act', outcome = 'permanent' }, receivers = ['told'] },",
    ) + "\nfallback = 'instead'\n"
        + &note("told", "{{ data.delivery.receiver }} {{ data.delivery.attempts }} {{ data.check_id }}")
        + &note("instead", "{{ data.check_id }} {{ data.from }} > {{ data.to }}");
    let mut lictor = home.follow(&config).await;
    consul.ttl("web", "fail", "by hand").await;
    assert_eq!(home.wait_for_lines("told", 1).await, ["act 1 web"]);
    assert_eq!(home.wait_for_lines("instead", 1).await, ["web passing > critical"]);
    home.settled(&mut lictor, 3).await;
    assert_eq!(lictor.terminate().await, 0);
}

#[tokio::test]
async fn what_is_done_while_lictor_does_not_run_is_there_at_its_start() {
    let consul = ConsulAgent::start().await;
    for check in ["a", "b"] {
        consul.register_ttl_check(check, check).await;
    }
    let home = Home::warm();
    let config = breakable(&home, &consul.address());
    let mut lictor = home.follow(&config).await;
    for check in ["a", "b"] {
        consul.ttl(check, "fail", "by hand").await;
    }
    let dead = home.settled(&mut lictor, 2).await;
    assert_eq!(lictor.terminate().await, 0);

    home.write("mended", "");
    let not_running = "Lictor does not run; it is done at its next start.";
    check(&home, &["deliveries", "retry", &dead[0].id], 0, &["is sent again", not_running]);
    let discard = ["deliveries", "discard", &dead[1].id, "--reason", "told by phone"];
    check(&home, &discard, 0, &["is discarded", not_running]);
    check(&home, &["reload"], 69, &["ask Lictor: none runs here"]);
    let mut lictor = home.start(&config);
    home.wait_for_lines("acts", 1).await;
    assert_eq!(lictor.terminate().await, 0);
    let states: Vec<_> = home.deliveries().into_iter().map(|one| one.state).collect();
    assert_eq!(states, ["delivered", "suppressed"]);
    check(&home, &["deliveries", "show", &dead[1].id], 0, &["because    told by phone"]);
}

/// Notes each change as a line of the file `name`.
fn noted(home: &Home, address: &str, name: &str) -> String {
    let path = home.path(name);
    format!(
        "agent.data_dir = 'data'
        consul.address = '{address}'
        rules = [{{ name = 'all', on = ['check.status'], receivers = ['note'] }}]
        [receivers.note]\nplugin = 'file'
        config = {{ path = '{}', template = '{{{{ data.from }}}} > {{{{ data.to }}}}{{% if data.catch_up %}} late{{% endif %}}' }}",
        path.display()
    )
}

#[tokio::test]
async fn a_new_configuration_is_taken_whole_and_nothing_fires_again() {
    let consul = ConsulAgent::start().await;
    consul.register_ttl_check("web", "web").await;
    let home = Home::warm();
    let mut lictor = home.follow(noted(&home, &consul.address(), "first").split_once('\n').unwrap().1).await;
    consul.ttl("web", "fail", "by hand").await;
    assert_eq!(home.wait_for_lines("first", 1).await, ["passing > critical"]);

    home.write("lictor.toml", noted(&home, &consul.address(), "second"));
    check(&home, &["reload"], 0, &["Lictor runs with the configuration as it is now."]);
    consul.ttl("web", "warn", "by hand").await;
    assert_eq!(home.wait_for_lines("second", 1).await, ["critical > warning"], "no catch-up, nothing again");

    home.write(
        "lictor.toml",
        "agent.data_dir = 'data'\n[[rules]]\nname = 'all'\non = ['check.status']\nreceivers = ['nobody']\n",
    );
    let kept = "Lictor goes on with the one that it has.";
    check(&home, &["reload"], 78, &["there is no receiver \"nobody\"", "lictor.toml:5", kept]);
    home.write("lictor.toml", noted(&home, &consul.address(), "third").replace("'data'", "'elsewhere'"));
    // Whoever asks finds Lictor by its configuration, so here it is told by a signal.
    lictor.send(Signal::HUP);
    lictor.told("The configuration is not taken; Lictor goes on with the one that it has.", 2).await;
    consul.ttl("web", "pass", "by hand").await;
    assert_eq!(home.wait_for_lines("second", 2).await[1], "warning > passing");

    home.write("lictor.toml", noted(&home, &consul.address(), "third"));
    lictor.send(Signal::HUP);
    lictor.told("Lictor runs with the configuration as it is now.", 2).await;
    consul.ttl("web", "fail", "by hand").await;
    home.wait_for_lines("third", 1).await;
    assert_eq!(lictor.terminate().await, 0);
    assert_eq!((home.lines("first").len(), home.lines("second").len()), (1, 2));
}

#[tokio::test]
async fn a_call_that_runs_comes_to_its_end_on_the_old_configuration() {
    let consul = ConsulAgent::start().await;
    consul.register_ttl_check("web", "web").await;
    let home = Home::warm();
    let config = |name: &str| {
        let script = home.script(
            &format!("{name}.sh"),
            &format!(
                r#"echo "{name} begins" >>"$home/acts"
                for i in $(seq 200); do [ -e "$home/go" ] && break; [ -d "$home" ] || exit 1; sleep 0.05; done
                echo "{name} ends" >>"$home/acts""#
            ),
        );
        format!(
            "agent.data_dir = 'data'\nconsul.address = '{}'
            rules = [{{ name = 'all', on = ['check.status'], receivers = ['act'] }}]
            [receivers.act]\nplugin = 'shell'\nconfig = {{ command = ['{script}'] }}",
            consul.address()
        )
    };
    let mut lictor = home.follow(config("old").split_once('\n').unwrap().1).await;
    consul.ttl("web", "fail", "by hand").await;
    home.wait_for_lines("acts", 1).await;
    home.write("lictor.toml", config("new"));
    check(&home, &["reload"], 0, &[]);
    consul.ttl("web", "pass", "by hand").await;
    // The next change of this check waits for the call that runs.
    lictor.until("commit the second change", async || (home.deliveries().len() == 2).then_some(())).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    home.write("go", "");
    assert_eq!(home.wait_for_lines("acts", 4).await, ["old begins", "old ends", "new begins", "new ends"]);
    assert!(home.settled(&mut lictor, 2).await.iter().all(|one| one.attempts == 1));
    assert_eq!(lictor.terminate().await, 0);
}

#[tokio::test]
async fn what_was_seen_is_listed_and_followed() {
    let consul = ConsulAgent::start().await;
    for check in ["web", "db"] {
        consul.register_ttl_check(check, check).await;
    }
    let home = Home::warm();
    let config = format!("consul.address = '{}'\nrules = []", consul.address());
    let mut lictor = home.follow(&config).await;
    let lines = |filter: &[&str]| {
        let (code, text) = run(&home, &[&["events", "list"], filter].concat());
        assert_eq!(code, 0, "{text}");
        text.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    consul.ttl("web", "fail", "refused \u{1b}[2J").await;
    lictor.until("see it", async || (lines(&[]).len() == 1).then_some(())).await;
    consul.ttl("db", "warn", "slow").await;
    lictor.until("see both", async || (lines(&[]).len() == 2).then_some(())).await;
    let both = lines(&["--since", "1h"]);
    assert!(
        both[0].contains("check.status") && both[0].contains("passing → critical  refused  [2J"),
        "{both:?}"
    );
    assert!(both[1].contains("/db  passing → warning  slow"), "{both:?}");
    assert_eq!(lines(&["--service", "web"]), both[..1]);
    assert_eq!(lines(&["--limit", "1"]), both[1..], "the newest");
    assert_eq!(lines(&["--type", "kv.set"]), [""; 0]);
    assert_eq!(lines(&["--node", "elsewhere"]), [""; 0]);
    assert_eq!(lines(&["--since", "2100-01-01T00:00:00Z"]), [""; 0]);
    let json: Value = serde_json::from_str(&lines(&["--json", "--service", "web"])[0]).unwrap();
    assert_eq!((&json["type"], &json["data"]["to"]), (&"lictor.check.status".into(), &"critical".into()));
    check(&home, &["events", "list", "--since", "yesterday"], 2, &["write how long ago, such as 1h"]);
    check(&home, &["events", "list", "--type", "check.stat"], 2, &["write one of check.status"]);

    let mut tail = Tail::start(&home, &["-n", "1"]);
    tail.line_with("passing → warning");
    consul.ttl("web", "pass", "fine").await;
    tail.line_with("critical → passing  fine");
    assert_eq!(lictor.terminate().await, 0);
    assert_eq!(lines(&[]).len(), 3, "also while it does not run");
}

#[tokio::test]
async fn attempts_are_counted_by_their_outcome() {
    let consul = ConsulAgent::start().await;
    consul.register_ttl_check("web", "web").await;
    let home = Home::warm();
    let mut lictor = home.follow(&breakable(&home, &consul.address())).await;
    consul.ttl("web", "fail", "by hand").await;
    home.settled(&mut lictor, 1).await;
    home.write("mended", "");
    consul.ttl("web", "pass", "by hand").await;
    home.settled(&mut lictor, 2).await;
    let client = http_client(reqwest::Client::builder().unix_socket(home.path("data/lictor.sock")));
    let answer = client.get("http://lictor/metrics").send().await.unwrap();
    let text = answer.error_for_status().unwrap().text().await.unwrap();
    for outcome in ["permanent", "delivered"] {
        let line = format!("lictor_attempts_total{{receiver=\"act\",outcome=\"{outcome}\"}} 1");
        assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
    }
    assert_eq!(lictor.terminate().await, 0);
}

/// `lictor events tail`, ended on drop.
struct Tail {
    process: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Tail {
    fn start(home: &Home, arguments: &[&str]) -> Self {
        let mut command = command();
        command.args(["events", "tail"]).args(arguments).args(CONFIG).current_dir(home.path(""));
        let mut process = command.stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        Self { process, lines }
    }

    fn line_with(&mut self, text: &str) {
        let line = self.lines.next().unwrap().unwrap();
        assert!(line.contains(text), "{line}");
    }
}

impl Drop for Tail {
    fn drop(&mut self) {
        drop((self.process.kill(), self.process.wait()));
    }
}

#[tokio::test]
async fn a_silence_that_cannot_be_is_refused_by_its_exit_code() {
    let consul = ConsulAgent::start().await;
    let home = Home::warm();
    let mut lictor = home.follow(&breakable(&home, &consul.address())).await;
    for (arguments, code, wanted) in [
        (&["add", "--match", "service=web"][..], 2, "--for"),
        (&["add", "--for", "1h"], 2, "--match"),
        (&["add", "--match", "servise=web", "--for", "1h"], 2, "unknown attribute \"servise\""),
        (&["add", "--match", "service", "--for", "1h"], 2, "attribute=value"),
        (&["add", "--match", "node=~(", "--for", "1h"], 2, "unclosed group"),
        (&["add", "--match", "receiver=act", "--for", "1h"], 2, "no silence hides"),
        (&["add", "--match", "service=web", "--for", "soon"], 2, "--for"),
        (&["add", "--match", "service=web", "--until", "2020-01-01T00:00:00Z"], 2, "over already"),
        (&["expire", ""], 2, "ID"),
        (&["expire", "0123456789abcdef"], 1, "0123456789abcdef"),
        (&["list"], 0, "ID"),
    ] {
        check(&home, &[&["silence"], arguments].concat(), code, &[wanted]);
    }
    let added = check(&home, &["silence", "add", "--match", "service=web", "--for", "1h", "--quiet"], 0, &[]);
    check(&home, &["silence", "list", "--json"], 0, &[added.trim()]);
    check(&home, &["silence", "expire", added.trim()], 0, &["is over"]);
    assert_eq!(lictor.terminate().await, 0);
}
