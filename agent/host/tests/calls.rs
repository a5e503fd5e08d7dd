//! What a call gives back, and how it ends. All the ways to misbehave are in `agent/tests/sandbox`.

#![expect(clippy::unwrap_used, reason = "a test that cannot look has to fail")]

mod common;

use std::time::Duration;

use common::{call, host, may_run, misbehave, patient, run};
use lictor_capability::{AppendGrant, Grants};
use lictor_host::{Call, Failure, Host, HostSettings, Limits};
use tokio::time::{Instant, sleep, timeout};

/// How long a test waits for what must happen soon.
const SOON: Duration = Duration::from_mins(1);

fn config(act: &str) -> String {
    format!(r#"{{"do":"{act}"}}"#)
}

fn exec(command: &[&str]) -> String {
    format!(r#"{{"do":"exec","command":{command:?},"timeout":"1h"}}"#)
}

/// Appends a line, and gives up where that is refused.
fn stamp(path: &str) -> String {
    format!(r#"{{"do":"stamp","path":{path:?}}}"#)
}

/// Whether a process with exactly these arguments is there.
fn is_running(command: &[&str]) -> bool {
    let wanted: Vec<u8> = command.iter().flat_map(|argument| [argument.as_bytes(), b"\0"].concat()).collect();
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    processes
        .into_iter()
        .any(|process| std::fs::read(process.path().join("cmdline")).is_ok_and(|c| c == wanted))
}

async fn until(what: &str, condition: impl Fn() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < SOON, "waited in vain: {what}");
        sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn a_call_that_succeeds_gives_a_receipt_and_what_it_took() {
    let first = run(&config("ok"), patient()).await;
    assert_eq!(first.result.as_deref(), Ok("ok"));
    assert!(first.refusals.is_empty());
    assert!(first.peak_memory > 0 && first.peak_memory < 8 << 20, "{}", first.peak_memory);
    assert!(first.duration > Duration::ZERO);
    let second = run(&config("ok"), Limits { timeout: Duration::MAX, ..patient() }).await;
    assert_eq!(second.peak_memory, first.peak_memory, "an instance is fresh");
}

#[tokio::test]
async fn a_plugins_own_verdict_is_passed_on() {
    let verdict = async |act| run(&config(act), patient()).await.result.unwrap_err();
    assert_eq!(verdict("transient").await, Failure::Transient("not now".into()));
    assert_eq!(verdict("retry_after").await, Failure::RetryAfter("later".into(), Duration::from_secs(2)));
    assert_eq!(verdict("permanent").await, Failure::Permanent("never".into()));
}

#[tokio::test]
async fn a_call_over_its_time_is_stopped() {
    let check = async |act, limits, want: &str| {
        let ended = timeout(SOON, run(&config(act), limits)).await.expect("it ends");
        assert_eq!(ended.result, Err(Failure::Deadline(want.into())), "{act}");
    };
    let wall = Limits { timeout: Duration::from_millis(200), ..patient() };
    check("loop", wall.clone(), "the plugin was not done within 200ms").await;
    check("flood", wall, "the plugin was not done within 200ms").await;
}

#[tokio::test]
async fn waiting_costs_no_cpu_time() {
    let cpu = Limits { cpu: Duration::from_millis(400), ..patient() };
    let command = ["/bin/sleep", "1"];
    let report = misbehave().handle(call(&exec(&command), cpu, may_run(&command))).await;
    assert!(report.result.is_ok_and(|receipt| receipt.contains("Code(0)")));
}

#[tokio::test]
async fn a_call_that_eats_memory_is_told_from_a_crash() {
    let report = run(&config("eat"), Limits { memory: 16 << 20, ..patient() }).await;
    let want = "the plugin needed more memory than its 16 MiB";
    assert_eq!(report.result, Err(Failure::Memory(want.into())));
    assert!(report.peak_memory <= 16 << 20, "{}", report.peak_memory);
    let report = run(&config("ok"), Limits { memory: 64 << 10, ..patient() }).await;
    assert!(matches!(report.result, Err(Failure::Memory(_))), "not even its first page: {:?}", report.result);
}

#[tokio::test]
async fn a_program_has_lictors_own_priority_whatever_its_guest_did_before() {
    let command = ["/usr/bin/nice"];
    let call = |config: &str| {
        let call = call(config, patient(), may_run(&command));
        Call { delivery: common::delivery("nice"), ..call }
    };
    // Calls of this receiver have less of the machine from now on.
    misbehave().handle(call(&config("trap"))).await.result.unwrap_err();
    let own = std::process::Command::new(command[0]).output().unwrap().stdout;
    let ran = misbehave().handle(call(&exec(&command))).await.result.unwrap();
    assert!(ran.contains(&format!("stdout: {:?}", String::from_utf8(own).unwrap())), "{ran}");
}

#[tokio::test]
async fn dropping_the_future_ends_the_call() {
    let command = ["/bin/sleep", "86398"];
    let handle = misbehave().handle(call(&exec(&command), patient(), may_run(&command)));
    tokio::select! {
        report = handle => panic!("it ended by itself: {:?}", report.result),
        () = until("the program runs", || is_running(&command)) => {}
    }
    until("the program is gone", || !is_running(&command)).await;
}

#[tokio::test]
async fn a_host_is_closed_when_the_programs_of_its_calls_have_ended_or_were_killed() {
    let host =
        Host::new(HostSettings { cache_dir: Some(common::guest::compiled()), workers: 1, instances: 4 });
    let host = host.unwrap();
    let plugin = host.load(common::guest::guest()).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let note = |name: &str| dir.path().join(name);
    let script = |name: &str, at_term: &str| {
        let (up, at_term) =
            (note(name).display().to_string(), at_term.replace("DIR", dir.path().to_str().unwrap()));
        format!("trap '{at_term}' TERM; echo $$ >{up}.new; mv {up}.new {up}; while :; do sleep 0.02; done")
    };
    let tidy = script("tidy", "sleep 0.2; echo >DIR/cleaned; exit");
    let stubborn = script("stubborn", "");
    let handle = |script: &str| {
        let command = ["/bin/sh", "-c", script];
        plugin.handle(call(&exec(&command), patient(), may_run(&command)))
    };
    tokio::select! {
        report = handle(&tidy) => panic!("it ended by itself: {:?}", report.result),
        report = handle(&stubborn) => panic!("it ended by itself: {:?}", report.result),
        () = until("both run", || note("tidy").exists() && note("stubborn").exists()) => {}
    }
    let pids = ["tidy", "stubborn"].map(|name| std::fs::read_to_string(note(name)).unwrap());
    let begin = Instant::now();
    host.close().await;
    assert!(begin.elapsed() < Duration::from_secs(4), "{:?}", begin.elapsed());
    assert!(note("cleaned").exists());
    for pid in pids {
        assert!(!std::path::Path::new("/proc").join(pid.trim()).exists());
    }
}

#[tokio::test]
async fn a_refusal_is_an_answer_and_giving_up_after_it_is_no_failure() {
    let command = ["/bin/true"];
    let goes_on = format!(r#"{{"do":"sleep","command":{command:?}}}"#);
    let asked = misbehave().handle(call(&goes_on, patient(), may_run(&["/bin/false"]))).await;
    assert!(matches!(&asked.result, Ok(receipt) if receipt.contains("Refused")), "{:?}", asked.result);
    assert!(
        matches!(&asked.refusals[..], [refusal] if refusal.contains("/bin/true")),
        "{:?}",
        asked.refusals
    );

    let gave_up = misbehave().handle(call(&stamp("/nowhere"), patient(), may_run(&command))).await;
    assert!(matches!(gave_up.result, Err(Failure::Refused(_))), "{:?}", gave_up.result);
    assert!(
        matches!(&gave_up.refusals[..], [refusal] if refusal.contains("/nowhere")),
        "{:?}",
        gave_up.refusals
    );
}

#[tokio::test]
async fn a_granted_file_is_appended_to() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().canonicalize().unwrap().join("log");
    let path = file.to_str().unwrap();
    let grants = Grants { append: vec![AppendGrant::parse(path).unwrap()], ..Grants::default() };
    let report = misbehave().handle(call(&stamp(path), patient(), grants)).await;
    assert_eq!(report.result.as_deref(), Ok("stamped"));
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "d1\n");
}

#[tokio::test]
async fn a_call_that_finds_no_place_may_be_made_later() {
    let host =
        Host::new(HostSettings { cache_dir: Some(common::guest::compiled()), workers: 2, instances: 2 });
    let plugin = host.unwrap().load(common::guest::guest()).unwrap();
    let run = async |act| plugin.handle(call(&config(act), patient(), Grants::default())).await.result;
    let full = async {
        loop {
            match run("ok").await {
                // The other two have not begun, or an instance still waits for its call.
                Ok(_) => sleep(Duration::from_millis(10)).await,
                Err(failure) => return failure,
            }
        }
    };
    let no_place =
        |failure: &Failure| matches!(failure, Failure::Transient(text) if text.contains("no place"));
    let spin = async || {
        loop {
            match run("loop").await {
                // The others were there first.
                Err(failure) if no_place(&failure) => sleep(Duration::from_millis(1)).await,
                ended => panic!("it ended by itself: {ended:?}"),
            }
        }
    };
    let failure = tokio::select! {
        () = spin() => unreachable!("it has no end"),
        () = spin() => unreachable!("it has no end"),
        failure = timeout(SOON, full) => failure.unwrap(),
    };
    assert!(no_place(&failure), "{failure:?}");
    let again = async { while run("ok").await.is_err() {} };
    timeout(SOON, again).await.unwrap();
}

#[tokio::test]
async fn four_spinning_guests_stop_nobody_else() {
    let limits = Limits { timeout: Duration::from_secs(3), ..patient() };
    let spinning: Vec<_> = (0..4)
        .map(|_| {
            let limits = limits.clone();
            tokio::spawn(async move { run(&config("loop"), limits).await })
        })
        .collect();
    // Bounds are wide: a starved task would wait for the guests' whole three seconds.
    for _ in 0..20 {
        let start = Instant::now();
        sleep(Duration::from_millis(5)).await;
        assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
    }
    assert!(run(&config("ok"), patient()).await.result.is_ok());
    assert!(spinning.iter().all(|guest| !guest.is_finished()), "they span all the time");
    for guest in spinning {
        assert!(matches!(guest.await.unwrap().result, Err(Failure::Deadline(_))));
    }
    assert!(host().load(common::guest::guest()).is_ok());
}
