//! Appends: open below the granted folder, lock, write all or nothing.
//!
//! Boundary: the file system. Which paths are granted was decided before.
//!
//! Invariants: nothing is begun for a call that is over: an append that waits for a lock is given up with it. No symlink
//! leads out of the granted folder, or from a file that is granted alone to another one of its folder, even when it is
//! swapped in between. After a failure the file is as long as before, unless someone else wrote to it without the lock.
//!
//! Only regular files are written. A pipe, a socket or a device cannot take a write back, so "whole or
//! not at all" could not be kept there.

use std::{
    fs::File,
    io::{self, Write as _},
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, Weak},
    thread,
    time::Duration,
};

use cap_std::{
    ambient_authority,
    fs::{Dir, MetadataExt as _, OpenOptions, OpenOptionsExt as _},
};
use rustix::fs::{FlockOperation, Mode, OFlags, fchown, flock, openat};
use rustix::process::{Gid, Uid};

use super::{How, Place};
use crate::{CallError, account, refusal};

/// Mode of a file that is made, before the umask: events may name what not everyone should read.
const NEW_FILE_MODE: u32 = 0o640;
/// The same where its grant says whose it is or who may read it: until that is so, nobody else opens it.
const OWN_FILE_MODE: u32 = 0o600;
/// How long another program may hold the lock. The writing thread is blocked meanwhile.
const LOCK_WAIT: Duration = Duration::from_secs(5);
/// How often the lock is tried.
const LOCK_RETRY: Duration = Duration::from_millis(20);
/// How often a file is opened that is another one each time, or a symlink to the next.
const OPEN_TRIES: usize = 8;

/// A file that is open and locked.
struct Opened {
    file: File,
    /// Where it is in the folder: the path that was asked for, or where symlinks lead that lead to nothing yet.
    name: PathBuf,
    /// It was made for this append.
    is_new: bool,
}

/// Appends the data, whole or not at all.
pub(crate) async fn append(place: Place, data: Vec<u8>) -> Result<(), CallError> {
    let path = place.folder.join(&place.name);
    let told = |why: &str| format!("append to {}: {why}", path.display());
    let call = Arc::new(());
    let wanted = Wanted(Arc::downgrade(&call));
    let done = tokio::task::spawn_blocking(move || append_blocking(&place, &data, &wanted)).await;
    // Until now: whoever drops this future drops it too.
    drop(call);
    match done.map_err(|error| CallError::Failed(told(&error.to_string())))? {
        Err(CallError::Refused(why)) => Err(CallError::Refused(told(&why))),
        Err(error) => Err(CallError::Failed(told(&error.to_string()))),
        Ok(()) => Ok(()),
    }
}

/// Whether the call that an append is made for is still there.
struct Wanted(Weak<()>);

impl Wanted {
    fn check(&self) -> Result<(), String> {
        if self.0.strong_count() > 0 { Ok(()) } else { Err("its call is over".to_owned()) }
    }
}

fn append_blocking(place: &Place, data: &[u8], wanted: &Wanted) -> Result<(), CallError> {
    wanted.check().map_err(CallError::Failed)?;
    let folder = Dir::open_ambient_dir(&place.folder, ambient_authority())
        .map_err(|error| CallError::Failed(format!("open the folder {}: {error}", place.folder.display())))?;
    let opened = open_and_lock(&folder, place, wanted)?;
    write(&folder, opened, &place.how, data).map_err(CallError::Failed)
}

fn write(
    folder: &Dir,
    Opened { mut file, name, is_new }: Opened,
    how: &How,
    data: &[u8],
) -> Result<(), String> {
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
    if how.sync {
        file.sync_data().map_err(|error| take_back(&file, before, written, &error))?;
    }
    if how.sync && is_new {
        // Else it might be on the disk without its name.
        sync_parent(folder, &name).map_err(|error| take_back(&file, before, written, &error))?;
    }
    Ok(())
}

/// Opens the file and takes its lock. One that was rotated while the lock was waited for is opened anew: it may be
/// deleted by now, or compressed.
fn open_and_lock(folder: &Dir, place: &Place, wanted: &Wanted) -> Result<Opened, CallError> {
    for _ in 0..OPEN_TRIES {
        let opened = open_made_over(folder, place)?;
        lock(&opened.file, wanted).map_err(CallError::Failed)?;
        if is_there(folder, &opened) {
            return Ok(opened);
        }
    }
    Err(CallError::Failed("another file takes its place again and again".to_owned()))
}

/// Opens the file; a new one is made over before its lock is waited for, since whoever holds that must not keep it as it was
/// made. Of those that are made over one is opened at a time: none that another call has made is appended to before.
fn open_made_over(folder: &Dir, place: &Place) -> Result<Opened, CallError> {
    static ONE: Mutex<()> = Mutex::new(());
    let is_own = made_with(&place.how) == OWN_FILE_MODE;
    let _one = is_own.then(|| ONE.lock().unwrap_or_else(PoisonError::into_inner));
    let opened = open(folder, place)?;
    if opened.is_new
        && let Err(why) = make_over(&opened.file, &place.how)
    {
        return Err(CallError::Failed(take_away(folder, &opened, why)));
    }
    Ok(opened)
}

fn open(folder: &Dir, place: &Place) -> Result<Opened, CallError> {
    let failed = |why: &str| CallError::Failed(why.to_owned());
    let mut name = place.name.clone();
    // Without NONBLOCK, opening a pipe that nobody reads would wait for ever.
    let flags = (OFlags::NONBLOCK | OFlags::NOCTTY).bits().cast_signed();
    let mut known = OpenOptions::new();
    known.append(true).custom_flags(flags);
    let mut new = known.clone();
    new.create_new(true).mode(made_with(&place.how));
    for _ in 0..OPEN_TRIES {
        let is_missing = |error: &io::Error| error.kind() == io::ErrorKind::NotFound;
        let is_made = |error: &io::Error| error.kind() == io::ErrorKind::AlreadyExists;
        // Opened by the kernel alone and not step by step: a name that is one part cannot lead anywhere else.
        let open = |options: &OpenOptions, flags| {
            if place.is_alone {
                open_itself(folder, &name, flags, made_with(&place.how))
            } else {
                folder.open_with(&name, options).map(cap_std::fs::File::into_std)
            }
        };
        let (file, is_new) = match open(&known, OFlags::empty()) {
            Err(error) if is_missing(&error) => match open(&new, OFlags::CREATE | OFlags::EXCL) {
                Err(error) if is_made(&error) => {
                    // Somebody has made it in between, or it is a symlink to what is not there yet.
                    if let (false, Ok(target)) = (place.is_alone, folder.read_link(&name)) {
                        name = name.parent().unwrap_or(Path::new("")).join(target);
                    }
                    continue;
                }
                made => (made, true),
            },
            found => (found, false),
        };
        let file = file.map_err(|error| explain(&error, place))?;
        let kind = file.metadata().map_err(|error| failed(&error.to_string()))?.file_type();
        let opened = Opened { file, name, is_new };
        return if kind.is_file() { Ok(opened) } else { Err(failed("it is not a regular file")) };
    }
    Err(failed("it is a symlink that leads to others again and again"))
}

/// The mode that a file is made with, before the umask.
fn made_with(how: &How) -> u32 {
    if how.mode.is_some() || how.account.is_some() { OWN_FILE_MODE } else { NEW_FILE_MODE }
}

/// Opens a file of the folder unless it is a symlink.
fn open_itself(folder: &Dir, name: &Path, flags: OFlags, mode: u32) -> io::Result<File> {
    let flags = flags | OFlags::WRONLY | OFlags::APPEND | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let permissions = Mode::from_raw_mode(mode);
    Ok(openat(folder, name, flags | OFlags::NOFOLLOW | OFlags::NOCTTY, permissions)?.into())
}

/// Is the file that is open still the one that the name leads to?
fn is_there(folder: &Dir, opened: &Opened) -> bool {
    let Ok(open) = opened.file.metadata() else { return false };
    folder.metadata(&opened.name).is_ok_and(|found| (found.dev(), found.ino()) == (open.dev(), open.ino()))
}

/// Gives a file that was made to whom it is for, then its mode.
fn make_over(file: &File, how: &How) -> Result<(), String> {
    if let Some(account) = &how.account {
        let ids = account.look_up()?;
        let denied = |error: &dyn std::fmt::Display| format!("give it to {account}: {error}");
        if !ids.may_own() {
            return Err(denied(&account::us()));
        }
        fchown(file, ids.user.map(Uid::from_raw), ids.group.map(Gid::from_raw))
            .map_err(|error| denied(&error))?;
    }
    // Not when it is made: the umask would take something from it.
    let mode = match (how.mode, &how.account) {
        (Some(mode), _) => mode,
        (None, Some(_)) => NEW_FILE_MODE & !umask(),
        (None, None) => return Ok(()),
    };
    file.set_permissions(std::fs::Permissions::from_mode(mode))
        .map_err(|error| format!("give it the mode {mode:04o}: {error}"))
}

/// What this process takes from the modes of files that it makes. To ask the kernel by `umask` would change it meanwhile.
/// Where `/proc` does not tell, nothing is left to others.
fn umask() -> u32 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let umask = status.lines().find_map(|line| line.strip_prefix("Umask:"));
    umask.and_then(|umask| u32::from_str_radix(umask.trim(), 8).ok()).unwrap_or(0o077)
}

/// Takes a file away again that was not made over: left there, it would be appended to as it is. Not where somebody has its
/// lock or has written to it meanwhile.
fn take_away(folder: &Dir, opened: &Opened, why: String) -> String {
    let is_empty = || opened.file.metadata().is_ok_and(|metadata| metadata.len() == 0);
    let is_locked = flock(&opened.file, FlockOperation::NonBlockingLockExclusive).is_ok();
    if !is_locked || !is_empty() || !is_there(folder, opened) {
        return why;
    }
    match folder.remove_file(&opened.name) {
        Ok(()) => why,
        // It was moved just now, empty, and nobody else's.
        Err(error) if error.kind() == io::ErrorKind::NotFound => why,
        Err(error) => format!("{why}; remove it again: {error}"),
    }
}

fn sync_parent(folder: &Dir, name: &Path) -> io::Result<()> {
    let parent = name.parent().filter(|parent| !parent.as_os_str().is_empty());
    // Not `open_dir`, whose handle is a path and no open folder.
    folder.open(parent.unwrap_or(Path::new(".")))?.sync_all()
}

fn explain(error: &io::Error, place: &Place) -> CallError {
    let errno = rustix::io::Errno::from_io_error(error);
    if errno == Some(rustix::io::Errno::LOOP) && place.is_alone {
        let quote = |path: &Path| refusal::quote(&path.to_string_lossy()).to_string();
        let (file, folder) = (quote(&place.folder.join(&place.name)), quote(&place.folder));
        return CallError::Refused(format!(
            "it is a symlink, and it is granted alone; as far as it is a relative one and stays in its folder it would be with: {folder} instead of \
             {file} in allow.append"
        ));
    }
    if errno == Some(rustix::io::Errno::NXIO) {
        return CallError::Failed("it is not a regular file".to_owned());
    }
    // How cap-std reports a path that leaves its folder.
    if error.kind() == io::ErrorKind::PermissionDenied && errno.is_none() {
        let why = "it is never granted by this name, since a symlink leads out of the granted folder, or is an absolute path: the plugin has to name \
                   the file where it is, and that can be granted";
        return CallError::Refused(why.to_owned());
    }
    CallError::Failed(error.to_string())
}

/// Takes the lock that keeps other writers' lines apart. It is given back when the file is closed.
fn lock(file: &File, wanted: &Wanted) -> Result<(), String> {
    let tries = LOCK_WAIT.as_millis() / LOCK_RETRY.as_millis();
    for _ in 0..tries {
        wanted.check()?;
        match flock(file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return wanted.check(),
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
    fn a_new_file_has_its_mode_before_its_lock_is_waited_for_and_none_for_others_before_that() {
        let dir = tempfile::tempdir().unwrap();
        let place = |name: &str, is_alone| Place {
            folder: dir.path().into(),
            name: name.into(),
            is_alone,
            how: How { mode: Some(0o644), ..How::default() },
        };
        let mode = |name| std::fs::metadata(dir.path().join(name)).unwrap().permissions().mode() & 0o7777;
        let folder = Dir::open_ambient_dir(dir.path(), ambient_authority()).unwrap();
        for (name, is_alone) in [("one", false), ("other", true)] {
            open(&folder, &place(name, is_alone)).unwrap();
            assert_eq!(mode(name) & 0o077, 0);
        }
        let nobody = Wanted(Weak::new());
        assert!(open_and_lock(&folder, &place("late", false), &nobody).is_err());
        assert_eq!(mode("late"), 0o644);
    }

    #[test]
    fn what_was_written_is_taken_back_unless_someone_wrote_after_it() {
        check("old,new", (4, 3), ("old,", "no storage space"));
        check("old,", (4, 0), ("old,", "no storage space"));
        let why = "no storage space; the 3 bytes that were written could not be taken back";
        check("old,new,theirs", (4, 3), ("old,new,theirs", why));
    }
}
