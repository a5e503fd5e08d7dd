//! The main job, end to end: a real check turns critical and passing, and four bundled plugins act.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by a panic")]

mod support;

use std::collections::BTreeMap;

use axum::Router;
use serde_json::{Value, json};
use support::consul::ConsulAgent;
use support::eventually;
use support::home::{Delivery, Home};
use support::mail::{self, MailServer, PASSWORD, USERNAME};
use support::nginx::Nginx;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// Notes each call in a file of its own: its arguments, its variables, and its standard input.
const RECORD: &str = r#"
call="$home/call-$LICTOR_CHECK_ID-$LICTOR_TO"
{
    for argument; do echo "argument=$argument"; done
    env | grep ^LICTOR_
    echo "stdin=$(cat)"
} >"$call.part"
mv "$call.part" "$call"
"#;

/// The names and values that `RECORD` noted; several arguments are joined by a `|`.
fn recorded(home: &Home, call: &str) -> Option<BTreeMap<String, String>> {
    let mut found = BTreeMap::<_, String>::new();
    for line in home.lines(call) {
        let (name, value) = line.split_once('=')?;
        found
            .entry(name.to_owned())
            .and_modify(|known| *known = format!("{known}|{value}"))
            .or_insert_with(|| value.to_owned());
    }
    Some(found).filter(|found| !found.is_empty())
}

/// The receivers of the first test, each with what its plugin can do.
fn receivers(home: &Home, nginx: &Nginx, mail: &MailServer) -> String {
    let (record, dir, ca) = (home.script("record.sh", RECORD), home.path(""), mail::ca());
    let (dir, ca) = (dir.to_str().unwrap(), ca.to_str().unwrap());
    let password = home.write("password", format!("{PASSWORD}\n"));
    let authorization = home.write("authorization", "Bearer s3cret\n");
    let hook = nginx.https("/ok");
    let (starttls, smtps) = (mail.ports().starttls, mail.ports().smtps);
    format!(
        r#"
[receivers.command]
plugin = "shell"
config = {{ command = ["{record}", "one", "two; three $HOME"], timeout = "10s" }}

[receivers.journal]
plugin = "file"
config = {{ path = "{dir}journal" }}

[receivers.words]
plugin = "file"
config = {{ path = "{dir}words", template = "{{{{ data.service }}}}: {{{{ data.from }}}} > {{{{ data.to }}}}" }}

[receivers.hook]
plugin = "webhook"
config = {{ url = "{hook}", headers = {{ X-Test = "yes" }} }}
allow.http = [{{ url = "{hook}", header_files = {{ Authorization = "{authorization}" }}, ca_file = "{ca}" }}]

[receivers.mail]
plugin = "email"
config = {{ from = "lictor@example.com", to = ["ops@example.com", "dev@example.com"] }}
allow.smtp = {{ relay = "smtp://localhost:{starttls}?tls=required", username = "{USERNAME}", password_file = "{password}", ca_file = "{ca}" }}

[receivers.mail-tls]
plugin = "email"
config = {{ from = "lictor@example.com", to = ["ops@example.com"], subject = "{{{{ data.check_name }}}} is {{{{ data.to }}}}", body = "It said: {{{{ data.output }}}}" }}
allow.smtp = {{ relay = "smtps://localhost:{smtps}", username = "{USERNAME}", password_file = "{password}", ca_file = "{ca}" }}
"#
    )
}

const ALL: &str = r#"
[[rules]]
name = "web-changed"
on = ["check.status"]
match = { service = "web", to = ["critical", "passing"] }
receivers = ["command", "journal", "words", "hook", "mail", "mail-tls"]
"#;

#[tokio::test]
async fn a_check_that_turns_critical_and_passing_is_told_by_four_plugins() {
    let (consul, nginx, mail) = tokio::join!(ConsulAgent::start(), Nginx::start(), MailServer::start());
    consul.register_ttl_check("web", "alive").await;
    consul.register_ttl_check("other", "quiet").await;
    let home = Home::warm();
    let config = format!("consul.address = '{}'\n{ALL}{}", consul.address(), receivers(&home, &nginx, &mail));
    let mut lictor = home.follow(&config).await;

    consul.ttl("quiet", "fail", "nobody asked").await;
    consul.ttl("alive", "fail", "it went away: 503").await;
    home.settled(&mut lictor, 6).await;
    consul.ttl("alive", "pass", "it is back").await;
    let deliveries = home.settled(&mut lictor, 12).await;

    let node = consul.node().await;
    let bad: Vec<&Delivery> = deliveries.iter().filter(|one| one.state != "delivered").collect();
    assert!(bad.is_empty() && deliveries.len() == 12, "{bad:#?}");
    let subject = format!("{node}/alive");
    assert!(deliveries.iter().all(|one| one.subject == subject && one.attempts == 1));

    let event = check_journal(&home, &node);
    check_command(&home, &event);
    assert_eq!(home.lines("words"), ["web: passing > critical", "web: critical > passing"]);
    check_hook(&nginx, &event, &deliveries);
    check_mail(&mail, &deliveries);
    assert_eq!(lictor.terminate().await, 0);
}

/// One event per line, as `CloudEvents`; gives back the first one.
fn check_journal(home: &Home, node: &str) -> Value {
    let lines: Vec<Value> =
        home.lines("journal").iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    let [down, up] = &lines[..] else { panic!("two lines are due: {lines:#?}") };
    assert_ne!(down["id"], up["id"]);
    for (name, value) in [
        ("specversion", json!("1.0")),
        ("type", json!("lictor.check.status")),
        ("source", json!("consul://dc1")),
        ("subject", json!(format!("{node}/alive"))),
        ("datacontenttype", json!("application/json")),
    ] {
        assert_eq!(down[name], value, "{name}");
    }
    let data = &down["data"];
    for (name, value) in [
        ("node", json!(node)),
        ("datacenter", json!("dc1")),
        ("check_id", json!("alive")),
        ("service", json!("web")),
        ("from", json!("passing")),
        ("to", json!("critical")),
        ("output", json!("it went away: 503")),
        ("initial", json!(false)),
        ("catch_up", json!(false)),
        ("environment", json!("test")),
        ("node_role", json!("standalone")),
    ] {
        assert_eq!(data[name], value, "{name}");
    }
    assert_eq!((&up["data"]["from"], &up["data"]["to"]), (&json!("critical"), &json!("passing")));
    let (down_at, critical_since) = (down["time"].as_str(), up["data"]["since"].as_str());
    assert_eq!(down_at.map(|time| &time[..19]), critical_since.map(|since| &since[..19]));
    down.clone()
}

/// The command got its arguments as they are written, the event in its variables, and on its input.
fn check_command(home: &Home, event: &Value) {
    let call = recorded(home, "call-alive-critical").unwrap();
    for (name, value) in [
        ("argument", "one|two; three $HOME"),
        ("LICTOR_RULE", "web-changed"),
        ("LICTOR_RECEIVER", "command"),
        ("LICTOR_ATTEMPT", "1"),
        ("LICTOR_ENVIRONMENT", "test"),
        ("LICTOR_EVENT_ID", event["id"].as_str().unwrap()),
        ("LICTOR_EVENT_TYPE", "lictor.check.status"),
        ("LICTOR_SERVICE", "web"),
        ("LICTOR_FROM", "passing"),
        ("LICTOR_TO", "critical"),
        ("LICTOR_OUTPUT", "it went away: 503"),
    ] {
        assert_eq!(call.get(name).map(String::as_str), Some(value), "{name} in {call:#?}");
    }
    assert_eq!(serde_json::from_str::<Value>(&call["stdin"]).unwrap(), *event);
    assert!(recorded(home, "call-alive-passing").is_some());
}

/// The webhook came over TLS, with the header that only the host knows.
fn check_hook(nginx: &Nginx, event: &Value, deliveries: &[Delivery]) {
    let (requests, ids) = (nginx.requests(), ids(deliveries, "hook"));
    assert_eq!(requests.len(), 2);
    for (request, id) in requests.iter().zip(ids) {
        assert_eq!((request.method.as_str(), request.scheme.as_str()), ("POST", "https"));
        assert_eq!(request.content_type, "application/cloudevents+json");
        assert_eq!((request.authorization.as_str(), request.x_test.as_str()), ("Bearer s3cret", "yes"));
        assert_eq!(request.idempotency_key, id);
        assert!(request.user_agent.starts_with("lictor/"), "{}", request.user_agent);
    }
    assert_eq!(serde_json::from_str::<Value>(&requests[0].body).unwrap(), *event);
}

/// Two mails for each change: with STARTTLS and the plugin's words, with implicit TLS and the operator's.
fn check_mail(server: &MailServer, deliveries: &[Delivery]) {
    let mails = server.mails();
    assert_eq!(mails.len(), 4);
    assert!(mails.iter().all(|mail| mail.tls && mail.user.as_deref() == Some(USERNAME)));
    assert!(mails.iter().all(|mail| mail.from == "lictor@example.com"));
    let (starttls, smtps): (Vec<_>, Vec<_>) = mails.iter().partition(|mail| mail.to.len() == 2);

    assert_eq!(starttls[0].to, ["ops@example.com", "dev@example.com"]);
    let (head, body) = starttls[0].content.split_once("\r\n\r\n").unwrap();
    assert!(body.contains("(was passing)") && body.contains("it went away: 503"), "{body}");
    assert!(head.contains("is critical"), "{head}");
    assert!(head.contains(&ids(deliveries, "mail")[0]), "the Message-ID is the delivery's: {head}");

    let (head, body) = smtps[1].content.split_once("\r\n\r\n").unwrap();
    assert!(head.contains("Subject: alive is passing\r\n"), "{head}");
    assert_eq!(body.trim_end(), "It said: it is back");
}

/// The ids of a receiver's deliveries, in their order.
fn ids(deliveries: &[Delivery], receiver: &str) -> Vec<String> {
    deliveries.iter().filter(|one| one.receiver == receiver).map(|one| one.id.clone()).collect()
}

/// A web server for Consul's own check, until it is aborted.
async fn serve(address: &str) -> (String, JoinHandle<()>) {
    let listener = TcpListener::bind(address).await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let app = Router::new().fallback(async || "healthy");
    let server = tokio::spawn(async move {
        axum::serve(listener, app).await.unwrap();
    });
    (address, server)
}

#[tokio::test]
async fn a_real_http_check_is_followed_down_and_up() {
    let consul = ConsulAgent::start().await;
    let (address, server) = serve("127.0.0.1:0").await;
    let check = json!({
        "CheckID": "http", "Name": "http", "HTTP": format!("http://{address}/"), "Interval": "1s", "Timeout": "10s",
        "Header": { "Connection": ["close"] },
    });
    let service = json!({ "ID": "web-1", "Name": "web", "Tags": ["blue", "v2"], "Check": check });
    consul.put("/v1/agent/service/register", service.to_string()).await;
    let healthy = async || {
        let checks = consul.get("/v1/health/checks/web").await;
        (checks[0]["Status"] == "passing").then_some(())
    };
    eventually(healthy).await.unwrap();

    let home = Home::warm();
    let config = format!(
        "consul.address = '{}'
        rules = [{{ name = 'down-and-up', on = ['check.status'], match = {{ service_tags = 'blue' }}, receivers = ['words'] }}]
        receivers.words = {{ plugin = 'file', config = {{ path = '{}', template = '{{{{ data.from }}}} > {{{{ data.to }}}}' }} }}",
        consul.address(),
        home.path("words").display(),
    );
    let mut lictor = home.follow(&config).await;
    server.abort();
    assert_eq!(home.wait_for_lines("words", 1).await, ["passing > critical"]);
    let (_, _server) = serve(&address).await;
    assert_eq!(home.wait_for_lines("words", 2).await, ["passing > critical", "critical > passing"]);
    let deliveries = home.settled(&mut lictor, 2).await;
    assert!(deliveries[1].word("output").contains("200"), "{:?}", deliveries[1].data);
}

/// Rules, and for each event that follows which of them fire.
const RULES: &str = r#"
[roles.services.web]
active_nodes = ["NODE"]
[roles.services.db]
standby_nodes = ["NODE"]

[[rules]]
name = "by-text"
on = ["check.status"]
match = { service = "web", to = "critical" }
receivers = ["journal"]

[[rules]]
name = "by-regex"
on = ["check.status"]
match = { service = { regex = "web|d." }, output = { regex = "(?s).*disk.*" } }
receivers = ["journal"]

[[rules]]
name = "by-role"
on = ["check.status"]
match = { node_role = "primary", to = ["warning", "critical"] }
unless = { output = { glob = "*maintenance*" } }
receivers = ["journal"]

[[rules]]
name = "by-secondary"
on = ["check.status"]
match = { node_role = "secondary", datacenter = { prefix = "dc" } }
receivers = ["journal"]

[[rules]]
name = "by-kind"
on = ["check.output", "check.registered", "check.deregistered"]
match = { check_id = { glob = "*-alive" } }
receivers = ["journal"]
"#;

#[tokio::test]
async fn each_event_goes_where_its_rules_say_and_what_no_rule_wants_goes_nowhere() {
    let consul = ConsulAgent::start().await;
    for service in ["web", "db", "dbx"] {
        consul.register_ttl_check(service, &format!("{service}-alive")).await;
    }
    let home = Home::warm();
    let journal = home.path("journal");
    let config = format!(
        "consul.address = '{}'\n{}[receivers.journal]\nplugin = 'file'\nconfig.path = '{}'",
        consul.address(),
        RULES.replace("NODE", &consul.node().await),
        journal.display(),
    );
    let mut lictor = home.follow(&config).await;

    let mut due = Vec::new();
    let mut check = async |check: &str, state: &str, output: &str, rules: &[&str]| {
        consul.ttl(&format!("{check}-alive"), state, output).await;
        due.extend(rules.iter().map(|rule| (format!("{check}-alive"), (*rule).to_owned())));
        // Each step is its own answer of Consul: the next one waits until Lictor has seen this one.
        lictor.until("see the step", async || seen(&home, check, output)).await;
    };
    check("web", "fail", "gone", &["by-text", "by-role"]).await;
    check("web", "fail", "still gone", &["by-kind"]).await;
    check("web", "warn", "maintenance", &[]).await;
    check("web", "warn", "full disk", &["by-kind"]).await;
    check("web", "fail", "full disk\nfull", &["by-text", "by-regex", "by-role"]).await;
    check("db", "fail", "no disk", &["by-regex", "by-secondary"]).await;
    check("dbx", "fail", "no disk", &[]).await;
    check("dbx", "pass", "disk", &[]).await;
    consul.put("/v1/agent/service/deregister/dbx", "").await;
    due.push(("dbx-alive".into(), "by-kind".into()));

    let deliveries = home.settled(&mut lictor, due.len()).await;
    let made: Vec<_> =
        deliveries.iter().map(|one| (one.word("check_id").to_owned(), one.rule.clone())).collect();
    assert_eq!(made, due);
    assert_eq!(home.lines("journal").len(), due.len());
    assert_eq!(deliveries.last().map(|one| one.kind.as_str()), Some("check.deregistered"));
}

/// Whether Lictor's last known state of a check has this output.
fn seen(home: &Home, check: &str, output: &str) -> Option<()> {
    let states = home.snapshot();
    states
        .iter()
        .any(|state| {
            state["check"]["check_id"] == format!("{check}-alive") && state["check"]["output"] == output
        })
        .then_some(())
}

#[tokio::test]
async fn a_subject_keeps_its_order_and_another_one_does_not_wait() {
    let consul = ConsulAgent::start().await;
    consul.register_ttl_check("web", "slow").await;
    consul.register_ttl_check("db", "quick").await;
    let home = Home::warm();
    let script = home.script(
        "act.sh",
        r#"
        echo "begin $LICTOR_CHECK_ID $LICTOR_TO $LICTOR_ATTEMPT" >>"$home/acts"
        [ "$LICTOR_CHECK_ID" = quick ] && exit 0
        for i in $(seq 200); do [ -e "$home/gate" ] && break; sleep 0.05; done
        [ "$LICTOR_TO$LICTOR_ATTEMPT" = critical1 ] && exit 75
        echo "end $LICTOR_CHECK_ID $LICTOR_TO" >>"$home/acts""#,
    );
    let config = format!(
        "consul.address = '{}'
        rules = [{{ name = 'all', on = ['check.status'], receivers = ['act'] }}]
        receivers.act = {{ plugin = 'shell', retry.backoff = '100ms', config = {{ command = ['{script}'] }} }}",
        consul.address(),
    );
    let mut lictor = home.follow(&config).await;
    for (check, state, count) in
        [("slow", "fail", 1), ("slow", "warn", 2), ("slow", "pass", 3), ("quick", "fail", 4)]
    {
        consul.ttl(check, state, "by hand").await;
        lictor.until("commit", async || (home.deliveries().len() == count).then_some(())).await;
    }
    assert_eq!(
        home.wait_for_lines("acts", 2).await,
        ["begin slow critical 1", "begin quick critical 1"],
        "the other subject does not wait, and this one does"
    );
    home.write("gate", "");
    let deliveries = home.settled(&mut lictor, 4).await;
    assert_eq!(deliveries.iter().map(|one| one.attempts).collect::<Vec<_>>(), [2, 1, 1, 1]);
    assert_eq!(
        home.lines("acts")[2..],
        [
            "begin slow critical 2",
            "end slow critical",
            "begin slow warning 1",
            "end slow warning",
            "begin slow passing 1",
            "end slow passing",
        ]
    );
}
