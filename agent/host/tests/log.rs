//! What a guest writes arrives in our log: marked, on one line each, and bounded.

mod common;

use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use common::{call, misbehave, patient};
use lictor_capability::Grants;
use lictor_host::{Limits, LogRate};
use tracing_subscriber::fmt::MakeWriter;

/// A log that the test can read.
#[derive(Clone, Default)]
struct Memory(Arc<Mutex<Vec<u8>>>);

impl Write for Memory {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Memory {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

/// Lines that one call wrote, each with its target and fields.
async fn lines(log: &Memory, act: &str, limits: Limits) -> Vec<String> {
    let mut call = call(&format!(r#"{{"do":"{act}"}}"#), limits, Grants::default());
    call.delivery.receiver = format!("receiver-{act}");
    let mark = format!("receiver=\"receiver-{act}\" delivery.id=\"d1\"");
    let result = misbehave().handle(call).await.result;
    assert!(act != "chatter" || result.is_ok(), "{result:?}");
    let bytes = log.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let written = String::from_utf8_lossy(&bytes);
    written.lines().filter(|line| line.contains(&mark)).map(str::to_owned).collect()
}

// One test, because a subscriber that hears the guests' threads is one for the process.
#[tokio::test]
async fn a_guest_writes_marked_lines_within_its_limit() {
    let log = Memory::default();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::DEBUG)
        .with_ansi(false)
        .without_time()
        .with_writer(log.clone());
    tracing::subscriber::set_global_default(subscriber.finish()).unwrap();

    let flood =
        lines(&log, "flood", Limits { timeout: Duration::from_millis(500), log: 1 << 10, ..patient() }).await;
    assert!(flood[0].starts_with(" INFO plugin: "), "{}", flood[0]);
    let written: usize = flood.iter().map(String::len).sum();
    assert!(flood.len() > 2 && written < 64 << 10, "{} lines, {written} bytes", flood.len());
    let left_out = "The plugin wrote more to the log than its limit; the rest is left out.";
    assert_eq!(flood.iter().filter(|line| line.starts_with(" WARN ") && line.contains(left_out)).count(), 1);
    assert!(flood[flood.len() - 1].contains(left_out));

    // As many bytes, at a rate: each line is passed on or counted.
    let slow =
        Limits { log: 1 << 10, log_rate: LogRate::new(3), timeout: Duration::from_millis(500), ..patient() };
    let slow = lines(&log, "flood", slow).await.split_off(flood.len());
    let passed = slow.iter().filter(|line| line.starts_with(" INFO ")).count();
    let left_out = slow.iter().filter_map(|line| line.split_once("`log_rate`, 3; ")?.1.split(' ').next());
    let left_out: usize = left_out.map(|count| count.parse::<usize>().unwrap()).sum();
    assert_eq!(passed + left_out, flood.len() - 1, "{slow:?}");
    assert!(passed >= 3 && left_out > 0, "{slow:?}");

    // Its 32 MiB are too much to be passed at once by default.
    let huge = Limits { transfer: 64 << 20, memory: 256 << 20, ..patient() };
    let huge = lines(&log, "huge_log", huge).await;
    assert_eq!(huge.len(), 1);
    assert!(huge[0].len() > 8 << 10 && huge[0].len() < 9 << 10, "{} bytes", huge[0].len());
    assert!(huge[0].contains(" […]"), "it is marked as cut");

    // That it prints more than is kept does it no harm.
    let chatter =
        lines(&log, "chatter", Limits { log: 1 << 20, log_rate: LogRate::new(1000), ..patient() }).await;
    for level in ["DEBUG", "ERROR"] {
        let told: Vec<_> =
            chatter.iter().filter(|line| line.starts_with(&format!("{level} plugin: "))).collect();
        assert!(told.len() > 150 && told.len() < 400, "{} lines", told.len());
        assert!(told[0].contains("bytes more, before these"), "{}", told[0]);
        assert!(told[told.len() - 1].contains("line 399 "), "{}", told[told.len() - 1]);
    }
    let trap = lines(&log, "trap", patient()).await;
    assert!(
        trap.iter().any(|line| line.starts_with("ERROR plugin: ") && line.contains("panicked at")),
        "{trap:?}"
    );
}
