//! What the plugins `file` and `shell` leave behind: lines in files.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::sleep;

use crate::http::change;
use crate::sighting::{Place, Plugin, Sighting};

/// A file on a local disk costs nothing to look at.
const POLL: Duration = Duration::from_millis(10);

/// Tells each new line of `path` that `read` understands, until nobody listens.
pub(crate) async fn follow(path: PathBuf, read: fn(&str) -> Option<Sighting>, news: mpsc::Sender<Sighting>) {
    let mut told = 0;
    while !news.is_closed() {
        // No file yet: nothing was written yet.
        let text = fs::read_to_string(&path).unwrap_or_default();
        let complete = text.rfind('\n').map_or(0, |end| end + 1);
        for sighting in text.get(told..complete).unwrap_or_default().lines().filter_map(read) {
            news.send(sighting).await.ok();
        }
        told = complete;
        sleep(POLL).await;
    }
}

/// A line of the plugin `file`: a `CloudEvent`.
pub(crate) fn event(line: &str) -> Option<Sighting> {
    let (status, change) = change(line)?;
    let detail = format!("+1 line in events.jsonl: {change}");
    Some(Sighting { place: Place::Plugin(Plugin::File), status, detail })
}

/// A line of `on-change.sh`: `web on demo: passing -> critical (attempt 1)`.
pub(crate) fn command(line: &str) -> Option<Sighting> {
    let (_, after) = line.split_once(" -> ")?;
    let status = after.split_whitespace().next()?.to_owned();
    Some(Sighting {
        place: Place::Plugin(Plugin::Shell),
        status,
        detail: format!("ran on-change.sh: {line}"),
    })
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[track_caller]
    fn check(read: fn(&str) -> Option<Sighting>, line: &str, want: Option<(Plugin, &str)>) {
        let seen = read(line).map(|seen| (seen.place, seen.status));
        assert_eq!(seen, want.map(|(plugin, status)| (Place::Plugin(plugin), status.to_owned())), "{line}");
    }

    #[test]
    fn a_line_tells_the_new_state() {
        let line = "web on demo: passing -> critical (attempt 1)";
        check(command, line, Some((Plugin::Shell, "critical")));
        check(command, "hello", None);

        let line =
            r#"{"type":"lictor.check.status","data":{"service":"web","from":"critical","to":"passing"}}"#;
        check(event, line, Some((Plugin::File, "passing")));
        check(event, "{}", None);
    }

    #[tokio::test]
    async fn each_line_is_told_once_and_only_when_it_is_complete() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("commands.log");
        let (news, mut seen) = mpsc::channel(8);
        let follower = tokio::spawn(follow(path.clone(), command, news));

        let mut file = fs::File::create(path).unwrap();
        file.write_all(b"web on demo: passing -> critical (1)\nweb on demo: critical -> pa").unwrap();
        assert_eq!(seen.recv().await.unwrap().status, "critical");
        sleep(POLL * 3).await;
        assert!(seen.is_empty());
        file.write_all(b"ssing (1)\n").unwrap();
        assert_eq!(seen.recv().await.unwrap().status, "passing");
        follower.abort();
    }
}
