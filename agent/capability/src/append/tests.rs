//! Append grants as tables; appending on real files.

use std::{
    fs,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink},
    process,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use proptest::prelude::*;

use super::*;
use crate::account::tests::as_root_and_as_nobody;

fn grants(paths: &[&str]) -> Vec<AppendGrant> {
    paths.iter().map(|path| AppendGrant::parse(path).unwrap()).collect()
}

#[track_caller]
fn check(granted: &[&str], path: &str, want: Result<(&str, &str), &str>) {
    match (decide(&grants(granted), path), want) {
        (Ok(place), Ok((folder, name))) => {
            assert_eq!((place.folder.to_str().unwrap(), place.name.to_str().unwrap()), (folder, name));
        }
        (Err(CallError::Refused(text)), Err(want)) => assert!(text.contains(want), "{text}"),
        (got, want) => panic!("{path}: {got:?}, wanted {want:?}"),
    }
}

#[test]
fn a_file_grant_covers_that_file_only() {
    let granted = ["/var/log/web.log"];
    check(&granted, "/var/log/web.log", Ok(("/var/log/", "web.log")));
    check(
        &granted,
        "/var/log/x",
        Err(
            r#"append to "/var/log/x" is not granted; it would be with: "/var/log/x" as one more item of allow.append"#,
        ),
    );
    check(&granted, "/var/log/web.log.1", Err("not granted"));
    check(&granted, "/var/log/web.log/x", Err("not granted"));
    check(&["/web.log"], "/web.log", Ok(("/", "web.log")));
    check(&[], "/var/log/web.log", Err("not granted"));
}

#[test]
fn a_folder_grant_covers_what_is_below() {
    let granted = ["/var/log/lictor/"];
    check(&granted, "/var/log/lictor/a", Ok(("/var/log/lictor/", "a")));
    check(&granted, "/var/log/lictor/a/b", Ok(("/var/log/lictor/", "a/b")));
    check(&granted, "/var/log/lictor2", Err("not granted"));
    check(&granted, "/var/log/lictor", Err("not granted"));
    check(&granted, "/var/log/lictor/", Err("ends in `/`"));
    check(&["/"], "/etc/x", Ok(("/", "etc/x")));
}

#[test]
fn a_path_that_is_not_plain_is_never_granted() {
    for path in ["", "a", "./a", "/a/../b", "/a/..", "/a/./b", "/a//b", "//a", "/a\0b"] {
        check(&["/"], path, Err("is never granted"));
    }
}

#[test]
fn a_wrong_grant_says_what_would_be_right() {
    for (path, want) in [
        ("var/log/x", "not absolute"),
        ("", "not absolute"),
        ("/var/../etc/x", "`..`"),
        ("/var//", "empty part"),
        ("/var/log/*", "a folder is granted by a `/` at its end"),
    ] {
        let text = AppendGrant::parse(path).unwrap_err().to_string();
        assert!(text.contains(want), "{text}");
    }
}

fn spec(path: &str) -> AppendGrantSpec {
    AppendGrantSpec { path: path.into(), ..AppendGrantSpec::default() }
}

#[test]
fn a_grant_says_how_a_file_is_made() {
    let full = AppendGrantSpec {
        mode: Some("0604".into()),
        owner: Some("syslog".into()),
        group: Some("adm".into()),
        sync: true,
        ..spec("/var/log/lictor/")
    };
    let grant = AppendGrant::from_spec(full).unwrap();
    let how = decide(std::slice::from_ref(&grant), "/var/log/lictor/a").unwrap().how;
    assert_eq!((how.mode, how.sync, &how), (Some(0o604), true, &grant.how));
    assert_eq!(
        grant.in_words(),
        "may append to any file in /var/log/lictor/ and below; makes it with mode 0604; makes it for user syslog and \
         group adm; each append is on the disk when it is done"
    );
    assert_eq!(AppendGrant::from_spec(spec("/x")).unwrap(), AppendGrant::parse("/x").unwrap());
    for (mode, want) in [
        ("0640", Ok(0o640)),
        ("640", Ok(0o640)),
        ("0777", Ok(0o777)),
        ("", Err("is no mode")),
        ("rw-r-----", Err("is no mode")),
        ("0o640", Err("is no mode")),
        ("+640", Err("is no mode")),
        ("0648", Err("is no mode")),
        ("77777777777777", Err("is no mode")),
        ("4755", Err("more than a file's mode")),
        ("0444", Err("may not write")),
    ] {
        match (self::mode(mode), want) {
            (Ok(mode), Ok(want)) => assert_eq!(mode, want),
            (Err(text), Err(want)) => assert!(text.contains(want), "{text}"),
            (got, want) => panic!("{mode}: {got:?}, wanted {want:?}"),
        }
    }
    let wrong = AppendGrantSpec { mode: Some("x".into()), owner: Some("a:b".into()), ..spec("x") };
    assert_eq!(AppendGrant::from_spec(wrong).unwrap_err().len(), 3, "all at once");
}

proptest! {
    #[test]
    fn what_a_folder_grant_covers_lies_in_the_folder(path in "(/|\\.|a|g){0,12}") {
        if let Ok(place) = decide(&grants(&["/g/"]), &path) {
            prop_assert_eq!(place.folder, PathBuf::from("/g/"));
            let plain = |part| matches!(part, std::path::Component::Normal(_));
            prop_assert!(place.name.components().all(plain));
            prop_assert!(path.starts_with("/g/"));
        }
    }
}

/// A folder to write in, granted as a whole.
struct Desk(tempfile::TempDir);

impl Desk {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).to_str().unwrap().to_owned()
    }

    async fn append(&self, name: &str, data: &str) -> Result<(), CallError> {
        let place = decide(&grants(&[&self.path("")]), &self.path(name)).unwrap();
        append(place, data.into()).await
    }

    /// As a grant of the folder says.
    async fn append_as(&self, name: &str, data: &str, spec: AppendGrantSpec) -> Result<(), CallError> {
        let grant = AppendGrant::from_spec(AppendGrantSpec { path: self.path(""), ..spec }).unwrap();
        append(decide(&[grant], &self.path(name)).unwrap(), data.into()).await
    }

    fn metadata(&self, name: &str) -> fs::Metadata {
        fs::metadata(self.path(name)).unwrap()
    }

    async fn fails(&self, name: &str, want: &str) {
        let error = self.append(name, "line\n").await.unwrap_err();
        assert!(error.to_string().contains(want), "{error:?}");
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }
}

#[tokio::test]
async fn lines_are_added_at_the_end_of_a_file_that_others_cannot_read() {
    let desk = Desk::new();
    desk.append("log", "one\n").await.unwrap();
    desk.append("log", "two\n").await.unwrap();
    assert_eq!(desk.read("log"), "one\ntwo\n");
    assert_eq!(fs::metadata(desk.path("log")).unwrap().permissions().mode() & 0o137, 0);
}

#[tokio::test]
async fn an_exact_grant_writes_its_file() {
    let desk = Desk::new();
    let path = desk.path("log");
    let place = decide(&grants(&[&path]), &path).unwrap();
    append(place, b"one\n".to_vec()).await.unwrap();
    assert_eq!(desk.read("log"), "one\n");
}

#[tokio::test]
async fn a_rotated_file_is_made_anew() {
    let desk = Desk::new();
    desk.append("log", "one\n").await.unwrap();
    fs::rename(desk.path("log"), desk.path("log.1")).unwrap();
    desk.append("log", "two\n").await.unwrap();
    assert_eq!((desk.read("log.1"), desk.read("log")), ("one\n".into(), "two\n".into()));
}

#[tokio::test]
async fn a_file_that_is_rotated_while_its_lock_is_waited_for_is_left_alone() {
    let desk = Desk::new();
    fs::write(desk.path("log"), "one\n").unwrap();
    let rotator = fs::File::open(desk.path("log")).unwrap();
    flock(&rotator);
    let rotate = async {
        tokio::time::sleep(Duration::from_millis(60)).await;
        fs::rename(desk.path("log"), desk.path("log.1")).unwrap();
        drop(rotator);
    };
    let (written, ()) = tokio::join!(desk.append("log", "two\n"), rotate);
    written.unwrap();
    assert_eq!((desk.read("log.1"), desk.read("log")), ("one\n".into(), "two\n".into()));
}

#[tokio::test]
async fn a_file_that_is_made_has_the_mode_of_its_grant_and_one_that_is_there_keeps_its_own() {
    let desk = Desk::new();
    fs::write(desk.path("there"), "").unwrap();
    fs::set_permissions(desk.path("there"), fs::Permissions::from_mode(0o600)).unwrap();
    // More than any umask leaves.
    let open = AppendGrantSpec { mode: Some("0666".into()), ..spec("") };
    for (name, want) in [("new", 0o666), ("there", 0o600)] {
        desk.append_as(name, "one\n", open.clone()).await.unwrap();
        assert_eq!(desk.metadata(name).permissions().mode() & 0o7777, want, "{name}");
        assert_eq!(desk.read(name), "one\n");
    }
}

#[tokio::test]
async fn an_append_that_is_to_be_on_the_disk_is_written_alike() {
    let desk = Desk::new();
    fs::create_dir(desk.path("below")).unwrap();
    let synced = AppendGrantSpec { sync: true, ..spec("") };
    for line in ["one\n", "two\n"] {
        desk.append_as("log", line, synced.clone()).await.unwrap();
        desk.append_as("below/log", line, synced.clone()).await.unwrap();
    }
    assert_eq!((desk.read("log"), desk.read("below/log")), ("one\ntwo\n".into(), "one\ntwo\n".into()));
}

#[tokio::test]
async fn a_file_that_is_made_belongs_to_whom_its_grant_names() {
    let name = "append::tests::a_file_that_is_made_belongs_to_whom_its_grant_names";
    let desk = Desk::new();
    fs::write(desk.path("there"), "").unwrap();
    let given = AppendGrantSpec { owner: Some("54321".into()), group: Some("54322".into()), ..spec("") };
    if !as_root_and_as_nobody(name) {
        let error = desk.append_as("new", "one\n", given.clone()).await.unwrap_err().to_string();
        assert!(error.contains("give it to user 54321 and group 54322: only root may"), "{error}");
        assert!(!fs::exists(desk.path("new")).unwrap(), "it is not left there as it was made");
        desk.append_as("there", "one\n", given).await.unwrap();
        return;
    }
    desk.append_as("new", "one\n", given.clone()).await.unwrap();
    desk.append_as("there", "one\n", given).await.unwrap();
    let owner = |name: &str| (desk.metadata(name).uid(), desk.metadata(name).gid());
    assert_eq!((owner("new"), owner("there").0), ((54321, 54322), 0));
    let unknown = AppendGrantSpec { owner: Some("nobody-of-that-name".into()), ..spec("") };
    let error = desk.append_as("other", "one\n", unknown).await.unwrap_err().to_string();
    assert!(error.contains("there is no user") && !fs::exists(desk.path("other")).unwrap(), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_appended_to_a_file_that_another_call_makes_and_cannot_give_away() {
    let desk = std::sync::Arc::new(Desk::new());
    for _ in 0..50 {
        let mut calls = tokio::task::JoinSet::new();
        for _ in 0..8 {
            let desk = std::sync::Arc::clone(&desk);
            calls.spawn(async move {
                let owner = Some("nobody-of-that-name".into());
                desk.append_as("log", "x", AppendGrantSpec { owner, ..spec("") }).await
            });
        }
        let ended = calls.join_all().await;
        assert!(ended.iter().all(Result::is_err) && !fs::exists(desk.path("log")).unwrap());
    }
}

#[tokio::test]
async fn a_symlink_does_not_lead_out_of_the_folder() {
    let (desk, outside) = (Desk::new(), Desk::new());
    fs::write(outside.path("log"), "").unwrap();
    symlink(outside.path("log"), desk.path("file")).unwrap();
    symlink(outside.path(""), desk.path("folder")).unwrap();
    symlink(outside.path("new"), desk.path("dangling")).unwrap();
    symlink("../..", desk.path("up")).unwrap();
    for name in ["file", "folder/log", "dangling", "up/x"] {
        desk.fails(name, "leads out of the granted folder").await;
    }
    assert_eq!(outside.read("log"), "");
    assert!(!fs::exists(outside.path("new")).unwrap());
}

#[tokio::test]
async fn a_file_that_is_granted_alone_is_no_symlink_to_another_one_of_its_folder() {
    let desk = Desk::new();
    fs::write(desk.path("other"), "").unwrap();
    symlink("other", desk.path("link")).unwrap();
    symlink("new", desk.path("dangling")).unwrap();
    for name in ["link", "dangling"] {
        let path = desk.path(name);
        let error = append(decide(&grants(&[&path]), &path).unwrap(), b"x".to_vec()).await.unwrap_err();
        let line = format!("{:?} instead of {path:?} in allow.append", desk.path(""));
        assert!(
            matches!(&error, CallError::Refused(text) if text.ends_with(&line)),
            "{error:?}, wanted {line}"
        );
    }
    assert!(desk.read("other").is_empty() && !fs::exists(desk.path("new")).unwrap());
    // A grant of the folder is for the other file too, so that it may be reached through a symlink.
    desk.append("link", "one\n").await.unwrap();
    desk.append("dangling", "two\n").await.unwrap();
    assert_eq!((desk.read("other"), desk.read("new")), ("one\n".into(), "two\n".into()));
}

#[tokio::test]
async fn a_symlink_that_is_swapped_in_meanwhile_does_not_lead_out_either() {
    let (desk, outside) = (Desk::new(), Desk::new());
    let (place, spare, link) = (desk.path("at"), desk.path("spare"), desk.path("link"));
    fs::create_dir(&place).unwrap();
    symlink(outside.path(""), &link).unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let swaps = {
        let stop = Arc::clone(&stop);
        thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                fs::rename(&place, &spare).unwrap();
                fs::rename(&link, &place).unwrap();
                fs::rename(&place, &link).unwrap();
                fs::rename(&spare, &place).unwrap();
            }
        })
    };
    let (mut written, mut led_out) = (0, 0);
    // Until each was met often enough; bounded, should one of them never be.
    for _ in 0..100_000 {
        match desk.append("at/log", "a line\n").await {
            Ok(()) => written += 1,
            Err(error) => led_out += usize::from(error.to_string().contains("leads out")),
        }
        if written >= 100 && led_out >= 20 {
            break;
        }
    }
    stop.store(true, Ordering::Relaxed);
    swaps.join().unwrap();
    assert!(written >= 100 && led_out >= 20, "{written} were written, {led_out} would have been led out");
    assert!(!fs::exists(outside.path("log")).unwrap(), "it was led out");
}

#[tokio::test]
async fn a_symlink_within_the_folder_is_followed() {
    let desk = Desk::new();
    symlink("log.today", desk.path("log")).unwrap();
    desk.append("log", "one\n").await.unwrap();
    assert_eq!(desk.read("log.today"), "one\n");
    // Also over several, into a folder and back.
    fs::create_dir(desk.path("old")).unwrap();
    symlink("old/log", desk.path("first")).unwrap();
    symlink("../second", desk.path("old/log")).unwrap();
    desk.append("first", "one\n").await.unwrap();
    assert_eq!(desk.read("second"), "one\n");
    symlink("b", desk.path("a")).unwrap();
    symlink("a", desk.path("b")).unwrap();
    desk.fails("a", "symbolic links").await;
}

#[tokio::test]
async fn only_regular_files_are_written() {
    let desk = Desk::new();
    rustix::fs::mknodat(rustix::fs::CWD, desk.path("pipe"), rustix::fs::FileType::Fifo, 0o600.into(), 0)
        .unwrap();
    fs::create_dir(desk.path("folder")).unwrap();
    desk.fails("pipe", "not a regular file").await;
    desk.fails("folder", "Is a directory").await;
    desk.fails("missing/log", "No such file").await;
    // Also with a reader, so that it can be opened.
    let _reader = fs::File::options().read(true).write(true).open(desk.path("pipe")).unwrap();
    desk.fails("pipe", "not a regular file").await;
}

#[tokio::test]
async fn writers_wait_for_each_other() {
    let desk = Desk::new();
    fs::write(desk.path("log"), "").unwrap();
    let other = fs::File::open(desk.path("log")).unwrap();
    flock(&other);
    let release = async {
        tokio::time::sleep(Duration::from_millis(60)).await;
        assert_eq!(desk.read("log"), "");
        drop(other);
    };
    let (written, ()) = tokio::join!(desk.append("log", "one\n"), release);
    written.unwrap();
    assert_eq!(desk.read("log"), "one\n");
}

#[tokio::test]
async fn an_append_that_waits_for_a_lock_is_given_up_with_its_call() {
    let desk = Desk::new();
    fs::write(desk.path("log"), "").unwrap();
    let other = fs::File::open(desk.path("log")).unwrap();
    flock(&other);
    let waits = tokio::time::timeout(Duration::from_millis(60), desk.append("log", "late\n"));
    assert!(waits.await.is_err(), "it waits for the lock");
    drop(other);
    // What comes after it is written after it.
    tokio::time::sleep(Duration::from_millis(100)).await;
    desk.append("log", "next\n").await.unwrap();
    assert_eq!(desk.read("log"), "next\n");
}

fn flock(file: &fs::File) {
    rustix::fs::flock(file, rustix::fs::FlockOperation::LockExclusive).unwrap();
}

/// Set for the process in which files must not grow; names the folder.
const SMALL_FILES: &str = "LICTOR_TEST_SMALL_FILES";

/// Runs itself again under a limit on the size of files, which stops a write half way as a full disk does.
#[tokio::test]
async fn a_write_that_is_cut_short_is_taken_back() {
    if let Ok(folder) = std::env::var(SMALL_FILES) {
        let path = format!("{folder}/log");
        let place = decide(&grants(&[&path]), &path).unwrap();
        let error = append(place, vec![b'x'; 4096]).await.unwrap_err();
        assert!(matches!(&error, CallError::Failed(text) if text.contains("File too large")), "{error:?}");
        return;
    }
    let desk = Desk::new();
    fs::write(desk.path("log"), "before\n").unwrap();
    let name = "append::tests::a_write_that_is_cut_short_is_taken_back";
    let status = process::Command::new("/bin/sh")
        .args(["-c", "trap '' XFSZ; ulimit -f 1; exec \"$0\" --exact \"$1\""])
        .arg(std::env::current_exe().unwrap())
        .arg(name)
        .env(SMALL_FILES, desk.0.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&status.stdout);
    assert!(status.status.success() && said.contains("1 passed"), "{said}");
    assert_eq!(desk.read("log"), "before\n");
}
