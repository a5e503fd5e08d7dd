//! What is told and what is not when Lictor or Consul goes away, comes back, or is in a bad way.

mod support;

use std::fs;
use std::time::Duration;

use rusqlite::Connection;
use support::consul::ConsulAgent;
use support::fake_consul::FakeConsul;
use support::home::{Delivery, Home};
use support::lictor::Lictor;
use tokio::time::{Instant, timeout};

/// Said when Consul is away, and when it is back.
const LOST: &str = "Consul cannot be followed; trying until it can.";
const RECOVERED: &str = "Consul is followed again.";

/// Said after the first signal.
const DRAINING: &str = "Shutting down; a second signal ends at once.";

/// Sends every change of a status to `receiver`.
fn every_change(address: &str, receiver: &str) -> String {
    format!(
        "consul.address = '{address}'
        rules = [{{ name = 'all', on = ['check.status'], receivers = ['it'] }}]
        [receivers.it]\n{receiver}"
    )
}

/// Notes each change as a line.
fn noted(home: &Home, address: &str) -> String {
    let path = home.path("notes");
    let template = "{{ data.check_id }} {{ data.from }} > {{ data.to }}, {% if data.catch_up %}caught up{% else %}live{% endif %}";
    every_change(
        address,
        &format!("plugin = 'file'\nconfig = {{ path = '{}', template = '{template}' }}", path.display()),
    )
}

/// Each attempt waits until the file `gate-<check>-<attempt>` is there, for at most ten seconds.
fn gated(home: &Home, address: &str) -> String {
    let script = home.script(
        "act.sh",
        r#"
        echo "begin $LICTOR_CHECK_ID $LICTOR_DELIVERY_ID $LICTOR_ATTEMPT" >>"$home/acts"
        for i in $(seq 200); do
            [ -e "$home/gate-$LICTOR_CHECK_ID-$LICTOR_ATTEMPT" ] && break
            [ -d "$home" ] || exit 1
            sleep 0.05
        done
        echo "end $LICTOR_CHECK_ID $LICTOR_ATTEMPT" >>"$home/acts""#,
    );
    every_change(address, &format!("plugin = 'shell'\nconfig = {{ command = ['{script}'] }}"))
}

#[tokio::test]
async fn only_what_changed_since_the_last_commit_is_told_after_a_start() {
    let consul = ConsulAgent::start().await;
    for check in ["down", "up", "other"] {
        consul.register_ttl_check(check, check).await;
    }
    consul.ttl("down", "fail", "before the first start").await;
    let home = Home::warm();
    let config = noted(&home, &consul.address());

    let mut lictor = home.follow(&config).await;
    consul.ttl("up", "fail", "live").await;
    let first = ["up passing > critical, live"];
    assert_eq!(home.wait_for_lines("notes", 1).await, first, "what was there at the first start is no news");
    assert_eq!(lictor.terminate().await, 0);

    let mut lictor = home.start(&config);
    lictor.told("Following the checks of this node.", 1).await;
    consul.ttl("other", "warn", "after a restart in which nothing happened").await;
    let second = [first[0], "other passing > warning, "];
    let notes = home.wait_for_lines("notes", 2).await;
    // The change may have come before the first answer of this run.
    assert!(notes.len() == 2 && notes[1].starts_with(second[1]), "{notes:?}");
    assert_eq!(lictor.terminate().await, 0);

    for state in ["pass", "fail", "warn"] {
        consul.ttl("up", state, "while Lictor was away").await;
    }
    let mut lictor = home.start(&config);
    home.wait_for_lines("notes", 3).await;
    consul.ttl("up", "pass", "live again").await;
    let notes = home.wait_for_lines("notes", 4).await;
    assert_eq!(
        notes[2..],
        ["up critical > warning, caught up", "up warning > passing, live"],
        "the net difference, once"
    );
    assert_eq!(lictor.terminate().await, 0);
    assert!(home.deliveries().iter().all(|one| one.state == "delivered" && one.attempts == 1));
}

/// A Lictor in the middle of its first call for the check `slow`, after one for `quick` that is done.
async fn in_the_middle(consul: &ConsulAgent, home: &Home, config: &str) -> Lictor {
    for check in ["quick", "slow"] {
        consul.register_ttl_check(check, check).await;
    }
    home.write("gate-quick-1", "");
    let mut lictor = home.follow(config).await;
    consul.ttl("quick", "fail", "by hand").await;
    home.settled(&mut lictor, 1).await;
    consul.ttl("slow", "fail", "by hand").await;
    home.wait_for_lines("acts", 3).await;
    lictor
}

/// The next start repeats the call for `slow`, as attempt 2 of the same delivery, and no other.
async fn check_repeated(home: &Home, config: &str) -> Lictor {
    let cut_off = home.deliveries().remove(1);
    assert_eq!((cut_off.state.as_str(), cut_off.attempts), ("running", 1));
    home.write("gate-slow-2", "");
    let mut lictor = home.start(config);
    let deliveries = home.settled(&mut lictor, 2).await;
    let fates: Vec<_> = deliveries.iter().map(|one| (one.state.as_str(), one.attempts)).collect();
    assert_eq!(fates, [("delivered", 1), ("delivered", 2)]);
    let repeated: &Delivery = &deliveries[1];
    assert_eq!(repeated.id, cut_off.id);
    assert_eq!(home.attempts(&repeated.id), ["interrupted", "delivered"]);
    let begun: Vec<String> =
        home.lines("acts").into_iter().filter(|line| line.starts_with("begin slow")).collect();
    assert_eq!(begun, [1, 2].map(|attempt| format!("begin slow {} {attempt}", cut_off.id)));
    lictor
}

#[tokio::test]
async fn a_call_that_a_crash_cut_off_is_repeated_with_the_same_id_and_no_other() {
    let (consul, home) = (ConsulAgent::start().await, Home::warm());
    let config = gated(&home, &consul.address());
    let mut lictor = in_the_middle(&consul, &home, &config).await;
    lictor.kill();
    let mut lictor = check_repeated(&home, &config).await;
    lictor.told("The last run did not end in order; what it was delivering is repeated.", 1).await;
}

#[tokio::test]
async fn a_last_attempt_that_a_crash_cut_off_is_not_repeated() {
    let (consul, home) = (ConsulAgent::start().await, Home::warm());
    let config = format!("{}\nretry = {{ attempts = 1 }}", gated(&home, &consul.address()));
    let mut lictor = in_the_middle(&consul, &home, &config).await;
    lictor.kill();
    let mut lictor = home.follow(&config).await;
    lictor.told("The last run ended during the last attempt of these, which are dead now.", 1).await;
    consul.ttl("quick", "pass", "by hand").await;
    home.write("gate-quick-1", "");
    let deliveries = home.settled(&mut lictor, 3).await;
    let dead: Vec<_> = deliveries.iter().filter(|delivery| delivery.state == "dead").collect();
    assert_eq!((dead.len(), dead[0].attempts), (1, 1), "{deliveries:?}");
    let begun = home.wait_for_lines("acts", 5).await;
    assert_eq!(begun.iter().filter(|line| line.starts_with("begin slow")).count(), 1, "{begun:?}");
}

#[tokio::test]
async fn the_first_signal_lets_a_call_finish_and_the_second_does_not() {
    let (consul, home) = (ConsulAgent::start().await, Home::warm());
    let config = format!("agent.shutdown_grace = '1m'\n{}", gated(&home, &consul.address()));
    let mut lictor = in_the_middle(&consul, &home, &config).await;
    lictor.signal();
    lictor.told(DRAINING, 1).await;
    let second = Instant::now();
    lictor.signal();
    let (code, log) = lictor.ended().await;
    assert!(second.elapsed() < Duration::from_secs(5) && log.contains("Ending at once"), "{log}");
    assert_eq!(code, 0, "{log}");

    let mut lictor = check_repeated(&home, &config).await;
    consul.ttl("slow", "warn", "by hand").await;
    let begun = home.wait_for_lines("acts", 6).await;
    assert!(begun[5].starts_with("begin slow") && begun[5].ends_with(" 1"), "{begun:?}");
    lictor.signal();
    lictor.told(DRAINING, 1).await;
    consul.ttl("quick", "pass", "after the signal").await;
    home.write("gate-slow-1", "");
    let (code, log) = lictor.ended().await;
    assert_eq!(code, 0, "{log}");
    let deliveries = home.deliveries();
    let last = deliveries.last().unwrap();
    assert_eq!((last.word("to"), last.state.as_str(), last.attempts), ("warning", "delivered", 1));
}

#[tokio::test]
async fn a_call_that_outlasts_the_grace_period_is_repeated() {
    let (consul, home) = (ConsulAgent::start().await, Home::warm());
    let config = gated(&home, &consul.address());
    let hasty = format!("agent.shutdown_grace = '200ms'\n{config}");
    let mut lictor = in_the_middle(&consul, &home, &hasty).await;
    let began = Instant::now();
    assert_eq!(lictor.terminate().await, 0);
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    assert_eq!(lictor.count("Calls are cut off; the next start repeats them."), 1);
    check_repeated(&home, &config).await;
}

#[tokio::test]
async fn a_consul_that_comes_later_goes_and_comes_back_is_followed_all_the_same() {
    let mut consul = ConsulAgent::start().await;
    let home = Home::warm();
    let config = noted(&home, &consul.address());
    consul.stop().await;
    let mut lictor = home.start(&config);
    lictor.told(LOST, 1).await;
    consul.restart().await;
    lictor.told(RECOVERED, 1).await;
    lictor.until("commit", async || (!home.snapshot().is_empty()).then_some(())).await;

    // A development agent forgets everything, so its index starts over each time.
    for round in 1..=2 {
        consul.register_ttl_check("web", "web").await;
        consul.ttl("web", "fail", "by hand").await;
        let critical = async || {
            let deliveries = home.deliveries();
            (deliveries.iter().filter(|one| one.word("to") == "critical").count() == round).then_some(())
        };
        lictor.until("tell of the failed check", critical).await;
        assert_eq!((lictor.count(LOST), lictor.count(RECOVERED)), (round, round));
        consul.stop().await;
        lictor.told(LOST, round + 1).await;
        consul.restart().await;
        lictor.told(RECOVERED, round + 1).await;
    }
    assert_eq!((lictor.count(LOST), lictor.count(RECOVERED)), (3, 3), "one line each");
    assert_eq!(lictor.terminate().await, 0);
}

#[tokio::test]
async fn a_wrong_answer_is_told_once_and_what_it_hid_is_told_after_it() {
    let (consul, home) = (FakeConsul::start().await, Home::warm());
    let mut lictor = home.follow(&noted(&home, consul.address())).await;
    for (round, (trouble, status, reason)) in [
        ((500, "rpc error: No cluster leader"), "critical", "No cluster leader"),
        ((403, "Permission denied"), "warning", "the token has to allow agent:read"),
        ((200, "<html>A portal</html>"), "critical", "expected value at line 1"),
        ((200, "{}"), "warning", "expected a sequence"),
    ]
    .into_iter()
    .enumerate()
    {
        consul.trouble(Some(trouble));
        lictor.told(LOST, round + 1).await;
        consul.set(status);
        // It is asked again, and more slowly each time, but that is told once.
        let began = Instant::now();
        consul.asked(2).await;
        assert!(began.elapsed() > Duration::from_millis(500), "{:?}", began.elapsed());
        assert_eq!((lictor.count(LOST), lictor.count(RECOVERED)), (round + 1, round), "{trouble:?}");
        assert_eq!(home.lines("notes").len(), 2 * round);
        consul.trouble(None);
        lictor.told(RECOVERED, round + 1).await;
        // And one more change: only a query that waited well ends the long pauses.
        home.wait_for_lines("notes", 2 * round + 1).await;
        consul.set("passing");
        let notes = home.wait_for_lines("notes", 2 * round + 2).await;
        let due = [format!("web passing > {status}, live"), format!("web {status} > passing, live")];
        assert_eq!(notes[2 * round..], due);
        let log = lictor.log();
        let told = log.iter().rfind(|line| line["message"] == LOST).unwrap()["reason"].as_str().unwrap();
        assert!(told.contains(reason), "{told:?} does not say {reason:?}");
    }
    assert_eq!(lictor.terminate().await, 0);
}

#[tokio::test]
async fn a_signal_while_plugins_are_compiled_is_not_kept_waiting() {
    // Nothing is cached, and a debug build takes seconds for this plugin.
    let home = Home::new();
    let mut lictor = home.start(
        "consul.address = '127.0.0.1:9'
        [receivers.mail]
        plugin = 'email'
        config = { from = 'a@example.com', to = ['b@example.com'] }
        allow.smtp = { relay = 'smtp://127.0.0.1:9' }
        ",
    );
    lictor.told("Lictor starts.", 1).await;
    assert_eq!(lictor.terminate().await, 0);
    assert_eq!((lictor.count("Lictor ended before it ran."), lictor.count("Lictor runs.")), (1, 0));
    assert!(!home.path("data").exists(), "nothing was made");
}

/// Starts Lictor, which must end with exit 69 and say all of `wanted`.
async fn check_unavailable(home: &Home, wanted: &[&str]) {
    let (code, log) = home.start(&noted(home, "127.0.0.1:9")).ended().await;
    assert_eq!(code, 69, "{log}");
    for part in wanted {
        assert!(log.contains(part), "{part:?} is not in:\n{log}");
    }
}

#[tokio::test]
async fn a_database_that_lictor_cannot_understand_is_refused_and_left_alone() {
    let home = Home::warm();
    let database = home.path("data/lictor.db");
    let check = async |wanted: &[&str]| {
        let before = fs::read(&database).unwrap();
        check_unavailable(&home, wanted).await;
        assert!(fs::read(&database).unwrap() == before, "it was written to");
    };
    let mut lictor = home.start(&noted(&home, "127.0.0.1:9"));
    lictor.told("Lictor runs.", 1).await;
    assert_eq!(lictor.terminate().await, 0);
    Connection::open(&database).unwrap().pragma_update(None, "user_version", 99).unwrap();
    check(&["lictor.db", "schema version 99", "knows versions up to 3"]).await;

    fs::remove_file(&database).unwrap();
    Connection::open(&database).unwrap().execute_batch("CREATE TABLE songs (title)").unwrap();
    check(&["lictor.db", "belongs to another program"]).await;
}

#[tokio::test]
async fn a_damaged_database_is_set_aside_and_another_one_begun() {
    let consul = ConsulAgent::start().await;
    consul.register_ttl_check("web", "web").await;
    let home = Home::warm();
    let config = noted(&home, &consul.address());
    let mut lictor = home.follow(&config).await;
    consul.ttl("web", "fail", "by hand").await;
    home.settled(&mut lictor, 1).await;
    let database = home.path("data/lictor.db");

    // Damage that is met while it runs: it ends, and the next start finds it.
    lictor.kill();
    let connection = Connection::open(&database).unwrap();
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", (), |_| Ok(())).unwrap();
    drop(connection);
    let mut bytes = fs::read(&database).unwrap();
    // All pages but the first, which says what is in the others.
    bytes[4096..].fill(0xa5);
    fs::write(&database, &bytes).unwrap();
    let (code, log) = home.start(&config).ended().await;
    assert_eq!(code, 69, "{log}");
    assert!(log.contains("it is damaged"), "{log}");

    let set_aside = "The database was damaged and is set aside.";
    let mut lictor = home.start(&config);
    lictor.wait_for(set_aside, |line| line.contains(set_aside)).await;
    lictor.until("take in what Consul has", async || (!home.snapshot().is_empty()).then_some(())).await;
    consul.ttl("web", "pass", "by hand").await;
    let notes = home.wait_for_lines("notes", 2).await;
    assert_eq!(notes[1], "web critical > passing, live", "what was there is no news");
    assert_eq!(lictor.terminate().await, 0);
    let kept = || {
        let files = fs::read_dir(home.path("data")).unwrap().map(|file| file.unwrap().path());
        files.filter(|path| path.to_string_lossy().contains(".db.damaged-")).collect::<Vec<_>>()
    };
    assert!(kept().iter().any(|path| fs::read(path).unwrap() == bytes), "it is kept as it was");

    // What is no database at all.
    fs::write(&database, "a letter to a friend").unwrap();
    let mut lictor = home.start(&config);
    lictor.wait_for(set_aside, |line| line.contains(set_aside)).await;
    assert_eq!(lictor.terminate().await, 0);
    assert!(kept().iter().any(|path| fs::read(path).unwrap() == b"a letter to a friend"));
}

#[tokio::test]
async fn a_second_lictor_on_the_same_data_is_refused() {
    let home = Home::warm();
    let config = noted(&home, "127.0.0.1:9");
    let mut first = home.start(&config);
    first.told("Lictor runs.", 1).await;
    // It has a log of its own, so it is not started as the first one.
    let second = timeout(Duration::from_secs(10), async {
        tokio::task::spawn_blocking(move || (home.run(&["run", "-c", "lictor.toml"]), home)).await.unwrap()
    });
    let (second, home) = second.await.unwrap();
    let told = String::from_utf8(second.stderr).unwrap();
    assert_eq!(second.status.code(), Some(69), "{told}");
    let process = fs::read_to_string(home.path("data/lictor.lock")).unwrap();
    let wanted = format!("another lictor (process {}) uses it", process.trim());
    assert!(told.contains(&wanted) && told.contains("data_dir"), "{told}");
    assert_eq!(first.terminate().await, 0);
}
