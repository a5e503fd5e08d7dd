//! Appends: open below the granted folder, lock, write all or nothing.
//!
//! Boundary: the file system. Which paths are granted was decided before.
//!
//! Invariants: no symlink leads out of the granted folder, even when it is swapped in between. After a
//! failure the file is as long as before, unless someone else wrote to it without the lock.
//!
//! Only regular files are written. A pipe, a socket or a device cannot take a write back, so "whole or
//! not at all" could not be kept there.

use std::{
    fs::File,
    io::{self, Write as _},
    thread,
    time::Duration,
};

use cap_std::{
    ambient_authority,
    fs::{Dir, OpenOptions, OpenOptionsExt as _},
};
use rustix::fs::{FlockOperation, OFlags, flock};

use super::Place;
use crate::CallError;

/// Mode of a file that is made, before the umask: events may name what not everyone should read.
const NEW_FILE_MODE: u32 = 0o640;
/// How long another program may hold the lock. The writing thread is blocked meanwhile.
const LOCK_WAIT: Duration = Duration::from_secs(5);
/// How often the lock is tried.
const LOCK_RETRY: Duration = Duration::from_millis(20);

/// Appends the data, whole or not at all.
pub(crate) async fn append(place: Place, data: Vec<u8>) -> Result<(), CallError> {
    let path = place.folder.join(&place.name);
    let failed = |why: &str| CallError::Failed(format!("append to {}: {why}", path.display()));
    tokio::task::spawn_blocking(move || append_blocking(&place, &data))
        .await
        .map_err(|error| failed(&error.to_string()))?
        .map_err(|why| failed(&why))
}

fn append_blocking(place: &Place, data: &[u8]) -> Result<(), String> {
    let mut file = open(place)?;
    lock(&file)?;
    let before = file.metadata().map_err(|error| error.to_string())?.len();
    // Not `write_all`: how much was written must be known to take it back.
    let mut written = 0;
    while written < data.len() {
        match file.write(&data[written..]) {
            Ok(0) => return Err(take_back(&file, before, written, &io::ErrorKind::WriteZero.into())),
            Ok(count) => written += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(take_back(&file, before, written, &error)),
        }
    }
    Ok(())
}

fn open(place: &Place) -> Result<File, String> {
    let folder = Dir::open_ambient_dir(&place.folder, ambient_authority())
        .map_err(|error| format!("open the folder {}: {error}", place.folder.display()))?;
    let mut options = OpenOptions::new();
    // Without NONBLOCK, opening a pipe that nobody reads would wait for ever.
    let flags = (OFlags::NONBLOCK | OFlags::NOCTTY).bits().cast_signed();
    options.append(true).create(true).mode(NEW_FILE_MODE).custom_flags(flags);
    let file = folder.open_with(&place.name, &options).map_err(|error| explain(&error))?.into_std();
    let kind = file.metadata().map_err(|error| error.to_string())?.file_type();
    if kind.is_file() { Ok(file) } else { Err("it is not a regular file".to_owned()) }
}

fn explain(error: &io::Error) -> String {
    let errno = rustix::io::Errno::from_io_error(error);
    if errno == Some(rustix::io::Errno::NXIO) {
        return "it is not a regular file".to_owned();
    }
    // How cap-std reports a path that leaves its folder.
    if error.kind() == io::ErrorKind::PermissionDenied && errno.is_none() {
        return "a symlink leads out of the granted folder".to_owned();
    }
    error.to_string()
}

/// Takes the lock that keeps other writers' lines apart. It is given back when the file is closed.
fn lock(file: &File) -> Result<(), String> {
    let tries = LOCK_WAIT.as_millis() / LOCK_RETRY.as_millis();
    for _ in 0..tries {
        match flock(file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(()),
            Err(rustix::io::Errno::WOULDBLOCK) => thread::sleep(LOCK_RETRY),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(format!("lock it: {error}")),
        }
    }
    Err(format!("another program has held its lock for {} s", LOCK_WAIT.as_secs()))
}

/// Cuts off what was written of a record that failed, and says what happened.
fn take_back(file: &File, before: u64, written: usize, cause: &io::Error) -> String {
    if written == 0 {
        return cause.to_string();
    }
    let ours = before + written as u64;
    // Cutting off a line that someone else wrote meanwhile, without the lock, would be worse.
    let alone = file.metadata().is_ok_and(|metadata| metadata.len() == ours);
    if alone && file.set_len(before).is_ok() {
        return cause.to_string();
    }
    format!("{cause}; the {written} bytes that were written could not be taken back")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(content: &str, (before, written): (u64, usize), want: (&str, &str)) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        std::fs::write(&path, content).unwrap();
        let file = File::options().append(true).open(&path).unwrap();
        let text = take_back(&file, before, written, &io::ErrorKind::StorageFull.into());
        assert_eq!((std::fs::read_to_string(&path).unwrap().as_str(), text.as_str()), want);
    }

    #[test]
    fn what_was_written_is_taken_back_unless_someone_wrote_after_it() {
        check("old,new", (4, 3), ("old,", "no storage space"));
        check("old,", (4, 0), ("old,", "no storage space"));
        let why = "no storage space; the 3 bytes that were written could not be taken back";
        check("old,new,theirs", (4, 3), ("old,new,theirs", why));
    }
}
