//! The real parts of the tests do what their handles promise.

#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

mod support;

use std::fs;
use std::process::Command;

use serde_json::json;
use support::consul::ConsulAgent;
use support::http_client;
use support::mail::{self, MailServer, PASSWORD, USERNAME};
use support::nginx::{Nginx, RETRY_AFTER};

#[tokio::test]
async fn consul_moves_a_ttl_check_and_forgets_it_with_a_restart() {
    let mut consul = ConsulAgent::start().await;
    consul.register_ttl_check("web", "web-ttl").await;

    for (state, status) in [("warn", "warning"), ("fail", "critical"), ("pass", "passing")] {
        consul.ttl("web-ttl", state, "by hand").await;
        let checks = consul.get("/v1/health/checks/web").await;
        assert_eq!(checks[0]["Status"], status);
        assert_eq!(checks[0]["Output"], "by hand");
        assert_eq!(checks[0]["Node"], consul.node().await);
    }

    consul.restart().await;
    assert_eq!(consul.get("/v1/health/checks/web").await, json!([]));
    consul.stop().await;
}

#[tokio::test]
async fn two_consuls_run_side_by_side() {
    let (one, two) = tokio::join!(ConsulAgent::start(), ConsulAgent::start());
    one.put("/v1/kv/here", "1").await;
    assert_eq!(one.get("/v1/kv/?keys").await, json!(["here"]));
    assert_ne!(one.address(), two.address());
}

/// Sends a mail with Python's own client, which is not the one that Lictor uses: `MODE PORT CA TO USER PASSWORD`.
const SEND: &str = r#"
import smtplib, socket, ssl, sys
socket.setdefaulttimeout(10)
mode, port, ca, to, user, password = sys.argv[1:]
tls = ssl.create_default_context(cafile=ca)
if mode == "smtps":
    client = smtplib.SMTP_SSL("localhost", int(port), context=tls)
else:
    client = smtplib.SMTP("localhost", int(port))
if mode == "starttls":
    client.starttls(context=tls)
try:
    if user:
        client.login(user, password)
    client.sendmail("a@example.com", [to], f"Subject: {mode}\r\n\r\nbody\r\n")
except smtplib.SMTPRecipientsRefused as refused:
    print(refused.recipients[to][0])
except smtplib.SMTPResponseException as refused:
    print(refused.smtp_code)
else:
    print(250)
"#;

/// Sends one mail and compares the server's last code.
#[track_caller]
fn check_mail(mode: &str, port: u16, to: &str, login: Option<(&str, &str)>, code: u16) {
    let (user, password) = login.unwrap_or_default();
    let mut client = Command::new(mail::python());
    client.args(["-c", SEND, mode, &port.to_string()]).arg(mail::ca()).args([to, user, password]);
    let output = client.output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), code.to_string(), "{errors}");
}

#[tokio::test]
async fn the_mail_server_demands_what_each_port_promises() {
    let server = MailServer::start().await;
    let (ports, login) = (server.ports(), Some((USERNAME, PASSWORD)));

    check_mail("plain", ports.plain, "ops@example.com", None, 250);
    check_mail("starttls", ports.starttls, "ops@example.com", login, 250);
    check_mail("smtps", ports.smtps, "ops@example.com", login, 250);
    check_mail("plain", ports.plain, "busy@example.com", None, 451);
    check_mail("plain", ports.plain, "unknown@example.com", None, 550);
    check_mail("plain", ports.starttls, "ops@example.com", None, 530);
    check_mail("starttls", ports.starttls, "ops@example.com", None, 530);
    check_mail("smtps", ports.smtps, "ops@example.com", Some((USERNAME, "wrong")), 535);

    let mails = server.wait_for(3).await;
    let seen: Vec<_> = mails.iter().map(|mail| (mail.tls, mail.user.as_deref())).collect();
    assert_eq!(seen, [(false, None), (true, Some(USERNAME)), (true, Some(USERNAME))]);
    assert_eq!(mails[0].from, "a@example.com");
    assert_eq!(mails[0].to, ["ops@example.com"]);
    assert!(mails[0].content.contains("Subject: plain"), "{}", mails[0].content);
}

#[tokio::test]
async fn nginx_answers_by_path_and_keeps_what_it_saw() {
    let nginx = Nginx::start().await;
    let ca = reqwest::Certificate::from_pem(&fs::read(mail::ca()).unwrap()).unwrap();
    let no_redirect = reqwest::redirect::Policy::none();
    let client = http_client(reqwest::Client::builder().tls_certs_only([ca]).redirect(no_redirect));

    let post = client.post(nginx.https("/ok?a=1")).header("X-Test", "yes").body("{\"a\":\"ü\"}");
    assert_eq!(post.send().await.unwrap().status(), 200);
    for (path, status, header, value) in [
        ("/busy", 503, "retry-after", RETRY_AFTER.to_string()),
        ("/moved", 302, "location", "/ok".into()),
        ("/bad", 400, "connection", "keep-alive".into()),
    ] {
        let answer = client.get(nginx.http(path)).send().await.unwrap();
        assert_eq!(answer.status(), status, "{path}");
        assert_eq!(answer.headers()[header], value, "{path}");
    }

    let seen = nginx.wait_for(4).await;
    let first = &seen[0];
    assert_eq!(
        (first.method.as_str(), first.uri.as_str(), first.scheme.as_str()),
        ("POST", "/ok?a=1", "https")
    );
    assert_eq!((first.x_test.as_str(), first.body.as_str()), ("yes", "{\"a\":\"ü\"}"));
    let statuses: Vec<_> = seen.iter().map(|request| request.status.as_str()).collect();
    assert_eq!(statuses, ["200", "503", "302", "400"]);

    let distrustful = http_client(reqwest::Client::builder());
    assert!(distrustful.get(nginx.https("/ok")).send().await.is_err());
}
