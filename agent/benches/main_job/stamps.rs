//! Points in time, noted by one process and read by another: lines of a file, nanoseconds since 1970 first.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, SystemTime};

use jiff::Timestamp;

/// The file is not looked at before: whoever is measured has the machine for itself so long.
const SETTLE: Duration = Duration::from_millis(20);

/// How often it is looked at then, and how often at most: for one second.
const POLL: Duration = Duration::from_millis(10);
const POLLS: usize = 100;

/// The clock that all processes of this machine share.
pub(crate) fn now_ns() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    u64::try_from(since.as_nanos()).unwrap()
}

/// Notes a time at the end of `file`.
pub(crate) fn append(file: &Path, ns: u64) {
    let mut file = OpenOptions::new().append(true).open(file).unwrap();
    file.write_all(format!("{ns}\n").as_bytes()).unwrap();
}

/// Reads what others note in a file.
pub(crate) struct Stamps {
    file: PathBuf,
    read: usize,
}

/// The time that a line notes: one that [`append`] wrote, or one of Lictor's log that a plugin wrote.
fn noted(line: &str) -> Option<u64> {
    line.parse().ok().or_else(|| logged(line))
}

/// When a plugin called Lictor to log this. A plugin's own clock has whole milliseconds.
fn logged(line: &str) -> Option<u64> {
    let line: serde_json::Value = serde_json::from_str(line).ok()?;
    let time: Timestamp = line["timestamp"].as_str().filter(|_| line["target"] == "plugin")?.parse().ok()?;
    u64::try_from(time.as_nanosecond()).ok()
}

impl Stamps {
    /// Makes the file anew, and empty.
    pub(crate) fn new(file: PathBuf) -> Self {
        File::create(&file).unwrap();
        Self { file, read: 0 }
    }

    /// Waits for the first stamp after `since`; none when none comes within a second.
    pub(crate) fn after(&mut self, since: u64) -> Option<u64> {
        sleep(SETTLE);
        for _ in 0..POLLS {
            if let Some(stamp) = self.unread().into_iter().find(|stamp| *stamp > since) {
                return Some(stamp);
            }
            sleep(POLL);
        }
        None
    }

    /// The stamps of the whole lines that were not read before.
    fn unread(&mut self) -> Vec<u64> {
        let text = fs::read_to_string(&self.file).unwrap();
        let whole = text.rfind('\n').map_or(0, |end| end + 1);
        let new = &text[self.read..whole];
        self.read = whole;
        new.lines().filter_map(noted).collect()
    }
}
