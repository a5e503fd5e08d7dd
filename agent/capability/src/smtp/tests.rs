//! SMTP grants as tables; mails to a scripted relay on loopback.

use std::sync::{Arc, Mutex};

use proptest::prelude::*;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    net::TcpListener,
    time::sleep,
};

use super::*;
use crate::trust::tests::{Authority, note, with_system_roots};

fn strings(texts: &[&str]) -> Vec<String> {
    texts.iter().map(ToString::to_string).collect()
}

fn spec(relay: &str) -> SmtpGrantSpec {
    SmtpGrantSpec { relay: relay.into(), to: strings(&["*@example.com"]), ..SmtpGrantSpec::default() }
}

fn mail() -> Mail {
    Mail {
        from: "Lictor <lictor@example.org>".into(),
        to: strings(&["ops@example.com"]),
        subject: "web is critical".into(),
        body: "It is.\n".into(),
        id: "delivery-1".into(),
        timeout: Duration::from_secs(10),
    }
}

#[track_caller]
fn check_relay(url: &str, want: Result<&str, &str>) {
    match (Relay::parse(url), want) {
        (Ok(relay), Ok(want)) => {
            assert_eq!(relay.to_string(), want);
            assert_eq!(Relay::parse(want).unwrap(), relay, "what is shown can be written");
        }
        (Err(error), Err(want)) => {
            let text = error.to_string();
            assert!(text.contains(want) && !text.contains("hunter2"), "{text}");
        }
        (got, want) => panic!("{url}: {got:?}, wanted {want:?}"),
    }
}

#[test]
fn a_relays_url_says_how_it_is_secured() {
    check_relay("smtps://Mail.Example.com", Ok("smtps://mail.example.com:465"));
    check_relay("smtps://mail:2465/", Ok("smtps://mail:2465"));
    check_relay("smtp://mail?tls=required", Ok("smtp://mail:587?tls=required"));
    check_relay("smtp://mail", Ok("smtp://mail:25"));
    check_relay("smtp://[::1]:2525", Ok("smtp://[::1]:2525"));
    check_relay("mail:25", Err("neither smtp nor smtps"));
    check_relay("mail", Err("write smtps://host (TLS), smtp://host?tls=required"));
    check_relay("https://mail", Err("neither smtp nor smtps"));
    check_relay("smtps://", Err("no host"));
    check_relay("smtp://mail?tls=opportunistic", Err("its only setting is `?tls=required`"));
    check_relay("smtps://mail?tls=required", Err("for smtp"));
    check_relay("smtps://lictor:hunter2@mail", Err("`password_file`"));
    check_relay("smtps://mail/path", Err("it has a path"));
    check_relay("smtps://mail#x", Err("it has a path"));
}

#[test]
fn a_password_needs_an_encrypted_way_or_none_at_all() {
    for (relay, want) in [
        ("smtps://mail", true),
        ("smtp://mail?tls=required", true),
        ("smtp://mail", false),
        ("smtp://10.0.0.1", false),
        ("smtp://localhost.example.com", false),
        ("smtp://localhost", true),
        ("smtp://127.0.0.1:2525", true),
        ("smtp://[::1]", true),
    ] {
        let login =
            SmtpGrantSpec { username: Some("u".into()), password_file: Some("/p".into()), ..spec(relay) };
        let parsed = SmtpGrant::parse(login);
        assert_eq!(parsed.is_ok(), want, "{relay}: {parsed:?}");
        for error in parsed.err().into_iter().flatten() {
            assert!(error.to_string().contains("unencrypted; write smtps://"), "{error}");
        }
    }
}

#[test]
fn a_wrong_grant_says_what_would_be_right() {
    for (spec, want) in [
        (SmtpGrantSpec { username: Some("u".into()), ..spec("smtps://m") }, "needs a `password_file`"),
        (SmtpGrantSpec { password_file: Some("/p".into()), ..spec("smtps://m") }, "needs a `username`"),
        (
            SmtpGrantSpec {
                username: Some("u".into()),
                password_file: Some("p".into()),
                ..spec("smtps://m")
            },
            "absolute path",
        ),
        (SmtpGrantSpec { ca_file: Some("/c".into()), ..spec("smtp://m") }, "no meaning without TLS"),
        (SmtpGrantSpec { to: strings(&["example.com"]), ..spec("smtp://m") }, r#"pattern such as "*@"#),
        (SmtpGrantSpec { from: strings(&["lictor"]), ..spec("smtp://m") }, r#""lictor" is neither"#),
    ] {
        let faults = SmtpGrant::parse(spec).unwrap_err();
        assert!(faults.len() == 1 && faults[0].to_string().contains(want), "{faults:?}");
    }
    let (to, ca_file) = (strings(&["a", "b"]), Some("/c".into()));
    let faults = |relay: &str| {
        let username = Some("u".into());
        let spec = SmtpGrantSpec { to: to.clone(), ca_file: ca_file.clone(), username, ..spec(relay) };
        SmtpGrant::parse(spec).unwrap_err().len()
    };
    assert_eq!(faults("smtp://m"), 4, "all at once");
    assert_eq!(faults("m"), 4, "without a relay it is not known whether there is TLS");
}

#[track_caller]
fn check(grant: Option<SmtpGrantSpec>, from: &str, to: &[&str], want: Result<(), &str>) {
    let grant = grant.map(|spec| SmtpGrant::parse(spec).unwrap());
    match (covers(grant.as_ref(), from, &strings(to)), want) {
        (Ok(()), Ok(())) => {}
        (Err(CallError::Refused(text)), Err(want)) => assert!(text.contains(want), "{text}"),
        (got, want) => panic!("{from} to {to:?}: {got:?}, wanted {want:?}"),
    }
}

#[test]
fn sender_and_every_recipient_must_be_granted() {
    let open = || Some(spec("smtp://m"));
    let closed = || Some(SmtpGrantSpec { from: strings(&["lictor@example.org"]), ..spec("smtp://m") });
    check(open(), "any@one", &["a@example.com", "b@EXAMPLE.COM"], Ok(()));
    check(closed(), "Lictor <lictor@example.org>", &["a@example.com"], Ok(()));
    check(
        closed(),
        "root@example.org",
        &["a@example.com"],
        Err(
            r#"mail from "root@example.org" is not granted; it would be with: from = ["lictor@example.org", "root@example.org"] in allow.smtp"#,
        ),
    );
    check(
        open(),
        "any@one",
        &["a@example.com", "b@evil.org"],
        Err(
            r#"mail to ["b@evil.org"] is not granted; it would be with: to = ["*@example.com", "b@evil.org"] in allow.smtp"#,
        ),
    );
    check(
        closed(),
        "root@example.org",
        &["a@example.com", "b@evil.org"],
        Err(
            r#"mail from "root@example.org" to ["b@evil.org"] is not granted; it would be with: from = ["lictor@example.org", "root@example.org"] and to = ["*@example.com", "b@evil.org"] in allow.smtp"#,
        ),
    );
    check(
        None,
        "a@b.c",
        &["d@e.f"],
        Err(r#"allow.smtp = { relay = "smtps://relay.invalid", from = "a@b.c", to = ["d@e.f"] }"#),
    );
    check(open(), "any@one", &[], Err("to nobody"));
    check(open(), "any@one", &["a@example.com"; 500], Ok(()));
    check(open(), "any@one", &["a@example.com"; 501], Err("to 501 addresses: 500 are the most"));
    check(open(), "any", &["a@example.com"], Err(r#"read "any" as a mail address"#));
    check(
        Some(SmtpGrantSpec { to: Vec::new(), ..spec("smtp://m") }),
        "a@b.c",
        &["a@example.com"],
        Err("in allow.smtp"),
    );
}

#[test]
fn a_grant_is_told_in_words() {
    let words = |spec| SmtpGrant::parse(spec).unwrap().in_words();
    assert_eq!(
        words(spec("smtp://m")),
        "may send mail through smtp://m:25 from any address to *@example.com"
    );
    let full = SmtpGrantSpec {
        relay: "smtps://m".into(),
        username: Some("lictor".into()),
        password_file: Some("/run/secret".into()),
        ca_file: Some("/ca.pem".into()),
        from: strings(&["lictor@Example.org"]),
        to: strings(&["a@b.c", "*@d.e"]),
    };
    assert_eq!(
        words(full),
        "may send mail through smtps://m:465 as user lictor from lictor@example.org to a@b.c or *@d.e; \
         trusting only /ca.pem"
    );
}

/// What a relay says to EHLO, with the means to log in.
const HELLO: &str = "250-relay\r\n250-8BITMIME\r\n250 AUTH PLAIN\r\n";

/// What the scripted relay heard: each command, and the message as one.
type Heard = Arc<Mutex<Vec<String>>>;

/// A relay that takes all mail, but answers commands that begin with `at` by `answer`. With an empty answer
/// it says nothing any more. It serves one connection.
async fn relay(at: &'static str, answer: &'static str) -> (String, Heard) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("smtp://{}", listener.local_addr().unwrap());
    let heard = Heard::default();
    let notes = Arc::clone(&heard);
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut stream = BufReader::new(stream);
        let mut line = String::from("(connected)\r\n");
        loop {
            let usual = match line.get(..4).unwrap_or_default() {
                "(con" => "220 relay\r\n",
                "EHLO" => HELLO,
                "DATA" => "354 go on\r\n",
                "AUTH" => "235 welcome\r\n",
                "QUIT" => "221 bye\r\n",
                "(mes" => "250-2.0.0 Ok:\r\n250 queued as 42\r\n",
                _ => "250 ok\r\n",
            };
            let said = if line.starts_with(at) { answer } else { usual };
            if said.is_empty() {
                sleep(Duration::from_mins(1)).await;
            }
            stream.write_all(said.as_bytes()).await.unwrap();
            let in_message = line.starts_with("DATA") && said.starts_with("354");
            line.clear();
            while stream.read_line(&mut line).await.unwrap_or_default() > 0 {
                if !in_message || line.ends_with("\r\n.\r\n") {
                    break;
                }
            }
            if line.is_empty() {
                return;
            }
            notes.lock().unwrap().push(line.clone());
            if in_message {
                line.insert_str(0, "(message)\r\n");
            }
        }
    });
    (url, heard)
}

async fn send(spec: SmtpGrantSpec, mail: Mail) -> Result<String, SmtpError> {
    let grant = SmtpGrant::parse(spec).unwrap();
    let sender = Sender::build(Some(&grant)).unwrap();
    let parties = Parties::parse(&mail.from, &mail.to).map_err(SmtpError::Permanent)?;
    sender.send(&grant, parties, mail).await
}

#[tokio::test]
async fn a_mail_arrives_as_it_was_written() {
    let (url, heard) = relay("-", "").await;
    let asked = Mail {
        to: strings(&["ops@example.com", "Ops <ops2@EXAMPLE.com>"]),
        subject: "wéb\nis critical =?utf-8?q?a=0D=0ABcc:_e?=".into(),
        body: "first\n.\nlone \r cr\r\nlast".into(),
        ..mail()
    };
    assert_eq!(send(spec(&url), asked).await.unwrap(), "250 2.0.0 Ok: queued as 42");
    let heard = heard.lock().unwrap();
    let commands: Vec<&str> =
        heard.iter().map(|text| text.trim_end()).filter(|text| !text.contains('\n')).collect();
    assert_eq!(
        commands[1..4],
        ["MAIL FROM:<lictor@example.org>", "RCPT TO:<ops@example.com>", "RCPT TO:<ops2@EXAMPLE.com>"]
    );
    assert_eq!(commands.last(), Some(&"QUIT"));
    let message = heard.iter().find(|text| text.contains("\r\n\r\n")).unwrap();
    let (fields, body) = message.split_once("\r\n\r\n").unwrap();
    for line in [
        "From: Lictor <lictor@example.org>",
        "To: ops@example.com, Ops <ops2@EXAMPLE.com>",
        "Subject: =?utf-8?b?d8OpYg==?= is critical = ?utf-8?q?a=0D=0ABcc:_e?=",
        "Message-ID: <delivery-1@lictor>",
        "MIME-Version: 1.0",
        "Content-Type: text/plain; charset=utf-8",
    ] {
        assert!(fields.lines().any(|found| found == line), "{line:?} is missing in {fields}");
    }
    assert!(fields.contains("\r\nDate: "), "{fields}");
    assert_eq!(body, "first\r\n..\r\nlone \r\n cr\r\nlast\r\n.\r\n");
}

#[tokio::test]
async fn nothing_in_a_field_becomes_a_header_a_command_or_a_second_mail() {
    let evil = "x\r\nBcc: victim@evil.org\r\n\r\nfake\r\n.\r\nMAIL FROM:<evil@evil.org>\r\n";
    let plain = mail();
    for (asked, arrives) in [
        (Mail { from: format!("a@b.c{evil}"), ..plain.clone() }, false),
        (Mail { from: format!("{evil} <a@b.c>"), ..plain.clone() }, false),
        (Mail { to: vec![format!("ops{evil}@example.com")], ..plain.clone() }, false),
        (Mail { to: vec!["ops@example.com>\r\nRCPT TO:<victim@evil.org".into()], ..plain.clone() }, false),
        (Mail { id: format!("1>{evil}"), ..plain.clone() }, false),
        (Mail { id: "1 2".into(), ..plain.clone() }, false),
        (Mail { id: "a:b".into(), ..plain.clone() }, false),
        (Mail { id: "a..b".into(), ..plain.clone() }, false),
        (Mail { id: "a/b.c_d-1".into(), ..plain.clone() }, true),
        (Mail { id: String::new(), ..plain.clone() }, false),
        (Mail { id: "x".repeat(201), ..plain.clone() }, false),
        (Mail { subject: evil.into(), ..plain.clone() }, true),
        (Mail { subject: evil.repeat(30), ..plain.clone() }, true),
        (Mail { body: evil.into(), ..plain.clone() }, true),
        (Mail { body: evil.replace("\r\n", "\n"), ..plain.clone() }, true),
        (Mail { body: evil.replace("\r\n", "\r"), ..plain.clone() }, true),
    ] {
        let (url, heard) = relay("-", "").await;
        let sent = send(spec(&url), asked.clone()).await;
        if !arrives {
            assert!(matches!(&sent, Err(SmtpError::Permanent(_))), "{sent:?} for {asked:?}");
            assert!(heard.lock().unwrap().is_empty(), "no relay was asked");
            continue;
        }
        sent.unwrap();
        let heard = heard.lock().unwrap();
        let commands: Vec<&str> = heard.iter().map(|text| text.get(..4).unwrap()).collect();
        assert_eq!(commands[..4], ["EHLO", "MAIL", "RCPT", "DATA"]);
        assert_eq!(commands.len(), 6, "one message and QUIT: {heard:?}");
        let message = heard[4].replace("\r\n", "");
        assert!(!message.contains(['\r', '\n']), "a lone CR or LF in {message:?}");
        assert!(!heard[4].split("\r\n\r\n").next().unwrap().contains("\r\nBcc:"), "{}", heard[4]);
    }
}

/// The names of a message's fields, in order.
fn fields(message: &str) -> Vec<&str> {
    let (head, _) = message.split_once("\r\n\r\n").unwrap();
    // A line that begins with a space goes on with the field before.
    let lines = head.split("\r\n").filter(|line| !line.starts_with([' ', '\t']));
    lines.map(|line| line.split(':').next().unwrap()).collect()
}

proptest! {
    #[test]
    fn whatever_it_is_made_of_a_message_has_its_own_fields_and_no_others(
        text in proptest::collection::vec("(a| |\r|\n|\r\n|\r\nBcc: x@y.z|\u{2028}|ü|:|\\.|<|>|,|\"|\0|={1,90}){0,6}", 4),
    ) {
        let asked = Mail {
            from: format!("{} <a@b.c>", text[0]),
            subject: text[1].clone(),
            body: text[2].clone(),
            id: format!("d1{}", text[3]),
            ..mail()
        };
        let Ok(parties) = Parties::parse(&asked.from, &asked.to) else { return Ok(()) };
        let Ok(message) = send::compose(parties, &asked) else { return Ok(()) };
        let formatted = String::from_utf8(message.formatted()).unwrap();
        let mut names = fields(&formatted);
        names.sort_unstable();
        let mut want = ["From", "Subject", "Date", "Message-ID", "MIME-Version", "Content-Type", "To"].to_vec();
        if names.contains(&"Content-Transfer-Encoding") {
            want.push("Content-Transfer-Encoding");
        }
        want.sort_unstable();
        prop_assert_eq!(names, want, "{}", formatted);
        let to: Vec<_> = message.envelope().to().iter().map(ToString::to_string).collect();
        prop_assert_eq!(to, ["ops@example.com"]);
        prop_assert!(!formatted.replace("\r\n", "").contains(['\r', '\n']), "{:?}", formatted);
    }

    #[test]
    fn a_mail_that_is_granted_goes_to_granted_addresses_only(
        from in "(a|b)@(x|y)\\.org",
        to in proptest::collection::vec("(a|b|%|N <a@x.org>|\"q\")(@(x|y)\\.org|)", 0..4),
        patterns in proptest::collection::vec("(\\*|a)@(x|\\*)\\.org", 0..3),
    ) {
        let from_pattern = strings(&["a@*.org"]);
        let grant = SmtpGrant::parse(SmtpGrantSpec { to: patterns, from: from_pattern, ..spec("smtp://m") }).unwrap();
        let Ok(parties) = Parties::parse(&from, &to) else { return Ok(()) };
        let fits = |mailbox: &Mailbox| grant.to.iter().any(|pattern| pattern.matches(&mailbox.email));
        let want = from.starts_with("a@") && parties.to.iter().all(fits);
        prop_assert_eq!(decide(Some(&grant), &parties).is_ok(), want);
        prop_assert_eq!(covers(Some(&grant), &from, &to).is_ok(), want);
        prop_assert!(decide(None, &parties).is_err());
    }
}

#[tokio::test]
async fn a_password_is_read_at_each_mail() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("password");
    let login = |url: &str| SmtpGrantSpec {
        username: Some("lictor".into()),
        password_file: Some(file.clone()),
        ..spec(url)
    };
    // Base64 of NUL, the user, NUL, the password.
    for (password, want) in
        [("one", "AUTH PLAIN AGxpY3RvcgBvbmU=\r\n"), ("two", "AUTH PLAIN AGxpY3RvcgB0d28=\r\n")]
    {
        std::fs::write(&file, format!("{password}\n")).unwrap();
        let (url, heard) = relay("-", "").await;
        send(login(&url), mail()).await.unwrap();
        assert_eq!(heard.lock().unwrap()[1], want);
    }
    std::fs::remove_file(&file).unwrap();
    let (url, heard) = relay("-", "").await;
    let error = send(login(&url), mail()).await.unwrap_err();
    assert!(matches!(&error, SmtpError::Transient(text) if text.contains("read the secret")), "{error:?}");
    assert!(heard.lock().unwrap().is_empty());
}

async fn check_answer(at: &'static str, answer: &'static str, want: Result<(), SmtpError>) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("password");
    std::fs::write(&file, "hunter2").unwrap();
    let (url, _) = relay(at, answer).await;
    let login = SmtpGrantSpec { username: Some("u".into()), password_file: Some(file), ..spec(&url) };
    // A short time only where it will be over.
    let timeout = if answer.is_empty() && want.is_err() { 500 } else { 10_000 };
    let sent = send(login, Mail { timeout: Duration::from_millis(timeout), ..mail() }).await;
    match (&sent, &want) {
        (Ok(_), Ok(())) => {}
        (Err(SmtpError::Transient(text)), Err(SmtpError::Transient(want)))
        | (Err(SmtpError::Permanent(text)), Err(SmtpError::Permanent(want))) => {
            assert!(text.starts_with(&format!("send mail through {url}: ")) && text.contains(want), "{text}");
            assert!(!text.contains("hunter2"), "{text}");
        }
        _ => panic!("{at} answered with {answer:?}: {sent:?}, wanted {want:?}"),
    }
}

#[tokio::test]
async fn the_relays_answer_decides_whether_to_try_again() {
    let transient = |text: &str| Err(SmtpError::Transient(text.into()));
    let permanent = |text: &str| Err(SmtpError::Permanent(text.into()));
    check_answer("RCPT", "450 4.2.0 greylisted\r\n", transient("greylisted")).await;
    check_answer("RCPT", "550 5.1.1 no such user\r\n", permanent("no such user")).await;
    check_answer("MAIL", "452 no space\r\n", transient("no space")).await;
    check_answer("(message)", "554 5.7.1 spam\r\n", permanent("spam")).await;
    check_answer("(message)", "451 try later\r\n", transient("try later")).await;
    check_answer("AUTH", "535 5.7.8 wrong\r\n", permanent("wrong")).await;
    check_answer("AUTH", "454 4.7.0 not now\r\n", transient("not now")).await;
    check_answer("EHLO", "250 relay\r\n", permanent("No compatible authentication")).await;
    check_answer("EHLO", "550 see https://h/Why\r\n", permanent("see https://h/Why")).await;
    check_answer("(connected)", "421 busy\r\n", transient("busy")).await;
    check_answer("(connected)", "HTTP/1.1 400 Bad Request\r\n\r\n", transient("")).await;
    check_answer("(connected)", "", transient("no answer within 500ms")).await;
    check_answer("(message)", "", transient("no answer within 500ms")).await;
    for answer in ["354 go on\r\n", "334 \r\n", "221 closing\r\n", "what?\r\n"] {
        check_answer("(message)", answer, transient("to the message the relay says ")).await;
    }
    check_answer("DATA", "250 ok\r\n", transient("to DATA the relay says 250 ok")).await;
    check_answer("QUIT", "500 what?\r\n", Ok(())).await;
    check_answer("QUIT", "", Ok(())).await;
}

#[tokio::test]
async fn a_relay_that_is_out_of_step_took_no_mail() {
    for (at, answer) in [
        ("RCPT", "250 ok\r\n250 ok\r\n"),
        ("RCPT", "250 ok\r\n354 go\r\n"),
        ("DATA", "354 go\r\n250 queued early\r\n"),
    ] {
        let want = SmtpError::Transient("says more than it was asked".into());
        check_answer(at, answer, Err(want)).await;
    }
}

#[tokio::test]
async fn a_mail_that_was_taken_counts_as_sent_however_it_is_said() {
    let long: &str = String::leak(format!("250 {}\r\n", "x".repeat(2000)));
    for answer in ["250\r\n", "250-a\r\n250\r\n", "250 queued\n", "251 elsewhere\r\n", long] {
        check_answer("(message)", answer, Ok(())).await;
    }
    check_answer("(connected)", "220\r\n", Ok(())).await;
    let able: &str = String::leak("250-X-EXT\r\n".repeat(90) + "250 AUTH PLAIN\r\n");
    check_answer("EHLO", able, Ok(())).await;
    let widest: &str = String::leak(format!("250-{}\r\n", "x".repeat(640)).repeat(99) + "250 ok\r\n");
    check_answer("(message)", widest, Ok(())).await;
    check_answer("EHLO", "250-\r\n250-8bitmime\r\n250 auth plain\r\n", Ok(())).await;
}

#[tokio::test]
async fn a_mail_goes_to_as_many_as_it_may() {
    let answer: &str = String::leak(format!("250-2.1.5 {}\r\n250 ok\r\n", "x".repeat(150)));
    let (url, heard) = relay("RCPT", answer).await;
    let to = (0..500).map(|number| format!("a{number}@example.com")).collect();
    send(spec(&url), Mail { to, ..mail() }).await.unwrap();
    assert_eq!(heard.lock().unwrap().iter().filter(|line| line.starts_with("RCPT")).count(), 500);
}

#[tokio::test]
async fn a_refusal_is_told_without_taking_leave() {
    for (at, answer) in [
        ("EHLO", "550 not you\r\n"),
        ("RCPT", "550 no such user\r\n"),
        ("DATA", "250 ok\r\n"),
        ("(message)", "554 spam\r\n"),
    ] {
        let (url, heard) = relay(at, answer).await;
        send(spec(&url), mail()).await.unwrap_err();
        assert!(!heard.lock().unwrap().iter().any(|line| line.starts_with("QUIT")), "{answer}");
    }
}

#[tokio::test]
async fn an_answer_shows_no_password_in_any_form_in_which_it_was_sent() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("password");
    std::fs::write(&file, "correct horse battery").unwrap();
    let sent = async |at, answer| {
        let (url, heard) = relay(at, answer).await;
        let login =
            SmtpGrantSpec { username: Some("u".into()), password_file: Some(file.clone()), ..spec(&url) };
        (send(login, mail()).await, heard)
    };
    // AUTH PLAIN's "\0u\0…", and AUTH LOGIN's.
    let (plain, login) = ("AHUAY29ycmVjdCBob3JzZSBiYXR0ZXJ5", "Y29ycmVjdCBob3JzZSBiYXR0ZXJ5");
    let (welcome, heard) = sent("-", "").await;
    welcome.unwrap();
    assert!(heard.lock().unwrap().iter().any(|command| command.trim_end() == format!("AUTH PLAIN {plain}")));
    for secret in [plain, login, "correct horse battery"] {
        let answer = |code: &str| String::leak(format!("{code} is it {secret}?\r\n"));
        let (taken, _) = sent("(message)", answer("250")).await;
        assert_eq!(taken.unwrap(), "250 is it [secret]?");
        let (refused, _) = sent("AUTH", answer("535")).await;
        let Err(SmtpError::Permanent(why)) = refused else { panic!("{refused:?}") };
        assert!(why.ends_with("is it [secret]?"), "{why}");
        let (senseless, _) =
            sent("AUTH", String::leak(format!("ERR {} {secret}?\r\n", "x".repeat(180)))).await;
        let Err(SmtpError::Transient(why)) = senseless else { panic!("{senseless:?}") };
        assert!(why.ends_with("x [secret]?"), "{why}");
    }
}

#[tokio::test]
async fn a_relay_that_does_not_stop_talking_is_not_listened_to() {
    let line: &str = String::leak("220 ".to_owned() + &"x".repeat(1 << 20));
    let lines: &str = String::leak("220-hi\r\n".repeat(100_000));
    for endless in [line, lines] {
        let text = || SmtpError::Transient("says more than 65536 bytes at once".into());
        check_answer("(connected)", endless, Err(text())).await;
    }
}

#[tokio::test]
async fn without_a_relay_a_mail_may_be_sent_later() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("smtp://{}", listener.local_addr().unwrap());
    drop(listener);
    let error = send(spec(&url), mail()).await.unwrap_err();
    assert!(matches!(&error, SmtpError::Transient(text) if text.contains("refused")), "{error:?}");
}

#[tokio::test]
async fn without_the_starttls_that_is_required_nothing_is_sent() {
    let authority = Authority::new();
    let (url, heard) = relay("-", "").await;
    let secured =
        SmtpGrantSpec { ca_file: Some(authority.ca_file()), ..spec(&format!("{url}?tls=required")) };
    let error = send(secured, mail()).await.unwrap_err();
    assert!(matches!(&error, SmtpError::Permanent(text) if text.contains("STARTTLS")), "{error:?}");
    assert_eq!(heard.lock().unwrap().iter().filter(|line| !line.starts_with("EHLO")).count(), 0);
}

#[tokio::test]
async fn what_is_said_before_tls_is_not_taken_for_the_relays_words_under_it() {
    let authority = Authority::new();
    for (at, answer) in [
        ("(con", "220 relay\r\n250 STARTTLS\r\n220 go\r\n250 mitm\r\n"),
        (
            "EHLO",
            "250-relay\r\n250 STARTTLS\r\n220 go\r\n250 mitm\r\n250 ok\r\n250 ok\r\n354 go\r\n250 queued\r\n",
        ),
    ] {
        let (url, heard) = relay(at, answer).await;
        let secured =
            SmtpGrantSpec { ca_file: Some(authority.ca_file()), ..spec(&format!("{url}?tls=required")) };
        let error = send(secured, mail()).await.unwrap_err();
        assert!(
            matches!(&error, SmtpError::Transient(text) if text.contains("more than it was asked")),
            "{error:?}"
        );
        assert!(
            !heard
                .lock()
                .unwrap()
                .iter()
                .any(|line| line.starts_with("STARTTLS") || line.starts_with("MAIL"))
        );
    }
}

/// A relay that takes one mail.
const ANSWERS: &[&str] =
    &["220 relay\r\n", "250 relay\r\n", "250 ok\r\n", "250 ok\r\n", "354 go on\r\n", "250 queued\r\n"];

#[tokio::test]
async fn a_relay_is_trusted_by_its_ca_file_only() {
    let (ours, other) = (Authority::new(), Authority::new());
    for (trusted, want) in [(&ours, true), (&other, false)] {
        let (port, serving) = ours.serve(ANSWERS);
        let url = format!("smtps://127.0.0.1:{port}");
        let secured = SmtpGrantSpec { ca_file: Some(trusted.ca_file()), ..spec(&url) };
        let sent = send(secured, mail()).await;
        match sent {
            Ok(words) => assert!(want && words == "250 queued", "{words}"),
            Err(SmtpError::Transient(text)) => assert!(!want && text.contains("certificate"), "{text}"),
            Err(error) => panic!("{error:?}"),
        }
        assert_eq!(serving.join().unwrap(), want);
    }
}

#[test]
fn what_a_grant_leaves_open_is_limited_to_the_addresses_of_the_configuration() {
    let open = SmtpGrantSpec { relay: "smtp://m".into(), ..SmtpGrantSpec::default() };
    let limited =
        SmtpGrant::parse(open).unwrap().limited_to("Lictor <me@here>", &strings(&["a@b.c"])).unwrap();
    assert!(covers(Some(&limited), "me@here", &strings(&["a@b.c"])).is_ok());
    assert!(covers(Some(&limited), "you@here", &strings(&["a@b.c"])).is_err());
    assert!(covers(Some(&limited), "me@here", &strings(&["b@b.c"])).is_err());
    let written =
        SmtpGrant::parse(spec("smtp://m")).unwrap().limited_to("me@here", &strings(&["a@b.c"])).unwrap();
    assert!(
        covers(Some(&written), "me@here", &strings(&["b@example.com"])).is_ok(),
        "what was written stays"
    );
}

#[tokio::test]
async fn a_ca_file_replaces_the_systems_roots() {
    let Some(note) = note() else {
        let (system, other) = (Authority::new(), Authority::new());
        let ((first, _), (second, _)) = (system.serve(ANSWERS), system.serve(ANSWERS));
        let note = format!("{first} {second} {}", other.ca_file().display());
        return with_system_roots(&system, "smtp::tests::a_ca_file_replaces_the_systems_roots", &note);
    };
    let [first, second, ca_file] = note.split(' ').collect::<Vec<_>>()[..] else { panic!("{note}") };
    let url = |port| format!("smtps://127.0.0.1:{port}");
    assert_eq!(send(spec(&url(first)), mail()).await.unwrap(), "250 queued");
    let narrow = SmtpGrantSpec { ca_file: Some(ca_file.into()), ..spec(&url(second)) };
    let error = send(narrow, mail()).await.unwrap_err();
    assert!(error.to_string().contains("certificate"), "{error}");
}
