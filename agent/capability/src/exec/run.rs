//! Runs a granted program: a clean environment, its own process group, its own user if that is granted, bounded
//! output, a deadline.
//!
//! Boundary: processes. Which command is granted was decided before.
//!
//! Invariants: a call whose time is over, or that is dropped, leaves no process behind that is of the program's group
//! or below one that is: they get TERM, and KILL after the grace, which for a call that was dropped is for
//! `exec/ending.rs` to see to. One that ended by itself does, so that a program may start a daemon. Only a daemon that
//! took off both of its marks is out of reach.

use std::{
    future::Future,
    io,
    os::fd::{BorrowedFd, RawFd},
    pin::Pin,
    process::Stdio,
    time::Duration,
};

use rustix::io::{FdFlags, fcntl_setfd};
use rustix::process::{Signal, geteuid, setsid};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _},
    process::{ChildStdin, Command as Process},
    time::{sleep, sleep_until, timeout},
};

use super::ending::{Program, Programs, Running};
use super::tree::{GRACE, GRACE_POLL, Mark, Tree};
use super::{Command, ExecGrant, ExecOutput, ExitStatus};
use crate::account::{self, Account};
use crate::{CallError, refusal};

/// The last of the descriptors that each program has, and gets anew from us.
const STANDARD: RawFd = 2;
/// Where a program finds others. Ours may be anything; a grant should mean the same on every node.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// The one locale that every Debian has, and UTF-8, which the output is read as.
const LANG: &str = "C.UTF-8";
/// How long output is still read after the program ended. It is in the pipe already; only a daemon that
/// the program left behind keeps the pipe open for longer.
const DRAIN: Duration = Duration::from_millis(200);
/// How often the time that it took to look for all processes of a program is waited after its deadline, so that a plugin which
/// has its programs run out of time again and again does not keep a core busy with that.
const REST: u32 = 9;
/// Read at once. Most programs say little, and each that runs has two of these.
const CHUNK: usize = 1024;
/// Bytes of output in the text of an error.
const MAX_QUOTED: usize = 1024;

/// Runs the command and keeps the last `keep` bytes of each of its outputs. Dropped, it leaves the program to `programs`.
pub(crate) async fn run(
    grant: &ExecGrant,
    command: Command,
    keep: usize,
    programs: &Programs,
) -> Result<ExecOutput, CallError> {
    let failed = |why: &str| CallError::Failed(format!("run {}: {why}", grant.program));
    let mut process = process(grant, &command);
    match &grant.account {
        Some(account) => run_as(account, &mut process).map_err(|why| failed(&why))?,
        None => drop(process.process_group(0)),
    }
    let mark = Mark::new();
    let mut child = mark.spawn(&mut process).map_err(|error| failed(&explain(grant, &error)))?;
    let input = child.stdin.take();
    let mut running = Running::new(child, mark, programs.clone());
    let Program { tree, output, errors } = &mut running.program;
    let (mut stdout, mut stderr) = (Tail::new(keep), Tail::new(keep));
    let ending = {
        let pipes = async {
            tokio::join!(
                feed(input, &command.stdin),
                stdout.fill(output.as_mut()),
                stderr.fill(errors.as_mut())
            );
        };
        tokio::pin!(pipes);
        supervise(tree, pipes, command.timeout).await
    };
    let (stdout, stderr) = (stdout.into_text(), stderr.into_text());
    match ending.map_err(|error| failed(&error.to_string()))? {
        Ending::Exited(status) => Ok(ExecOutput { status: exit_status(status), stdout, stderr }),
        Ending::TimedOut => {
            let end = if stderr.trim().is_empty() { &stdout } else { &stderr };
            Err(timed_out(grant, command.timeout, end.trim()))
        }
    }
}

fn process(grant: &ExecGrant, command: &Command) -> Process {
    let mut process = Process::new(&grant.program);
    process
        .args(command.argv.iter().skip(1))
        .env_clear()
        .env("PATH", PATH)
        .env("LANG", LANG)
        .envs(command.env.iter().map(|(name, value)| (name, value)))
        .current_dir(&grant.cwd)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    process
}

/// Has it run as somebody else, in no group but that one: the groups that Lictor has beside its own are dropped with
/// its user.
fn run_as(account: &Account, process: &mut Process) -> Result<(), String> {
    let ids = account.look_up()?;
    if ids.stay_ours() {
        process.process_group(0);
        return Ok(());
    }
    if !ids.may_run() {
        return Err(format!("run it as {account}: {}", account::us()));
    }
    let group =
        ids.group.or(ids.primary).ok_or_else(|| format!("{account} has no group; write a `group` too"))?;
    process.uid(ids.user.unwrap_or_else(|| geteuid().as_raw())).gid(group);
    part_from_us(process);
    Ok(())
}

/// Has the program get a session of its own, and with that a group, and none of our descriptors. In our session it could
/// write into the terminal that we were started from, as if whoever sits there typed it. Our descriptors are opened so that
/// no program gets them, but for another user or group it is forked, and what is called in the child then may open one of
/// them anew, as wasmtime does with `/proc/self/pagemap`.
fn part_from_us(process: &mut Process) {
    let entries = std::fs::read_dir("/proc/self/fd").into_iter().flatten().flatten();
    let listed = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<RawFd>().ok());
    let open: Vec<_> = listed.filter(|number| *number > STANDARD).collect();
    let part = move || {
        setsid()?;
        for number in &open {
            #[expect(
                unsafe_code,
                reason = "the child has one thread, and a number that is no descriptor is refused"
            )]
            let descriptor = unsafe { BorrowedFd::borrow_raw(*number) };
            fcntl_setfd(descriptor, FdFlags::CLOEXEC).ok();
        }
        Ok(())
    };
    #[expect(unsafe_code, reason = "between fork and exec it does nothing but system calls")]
    unsafe {
        process.pre_exec(part);
    }
}

/// The system reports a missing folder and a missing program alike.
fn explain(grant: &ExecGrant, error: &io::Error) -> String {
    let user = grant.account.as_ref().map_or_else(|| "this user".to_owned(), ToString::to_string);
    match error.kind() {
        _ if !grant.cwd.is_dir() => format!("its folder {} cannot be entered", grant.cwd.display()),
        io::ErrorKind::NotFound => "there is no such program (or its interpreter is missing)".to_owned(),
        io::ErrorKind::PermissionDenied => format!("{user} may not execute it"),
        _ => error.to_string(),
    }
}

enum Ending {
    Exited(std::process::ExitStatus),
    TimedOut,
}

/// Waits for the program's end, by itself or by us, while `pipes` moves its input and output.
async fn supervise(
    tree: &mut Tree,
    mut pipes: Pin<&mut impl Future<Output = ()>>,
    limit: Duration,
) -> io::Result<Ending> {
    let mut open = true;
    let deadline = sleep(limit);
    tokio::pin!(deadline);
    // The pipes come last: a program that writes without end uses up a task's turn, and a timer that is
    // asked after that might not fire.
    loop {
        tokio::select! {
            biased;
            status = tree.ended() => {
                if open {
                    drop(timeout(DRAIN, pipes).await);
                }
                return Ok(Ending::Exited(status?));
            }
            () = &mut deadline => break,
            () = &mut pipes, if open => open = false,
        }
    }
    let grace = sleep_until(tree.tell_to_end());
    tokio::pin!(grace);
    // They are gone when all are dead and nobody holds their output any more.
    while open || !tree.is_over() {
        tokio::select! {
            biased;
            () = &mut grace => break,
            () = sleep(GRACE_POLL) => {}
            () = &mut pipes, if open => open = false,
        }
    }
    tree.signal(Signal::KILL);
    // Bounded, since a process that hangs in the kernel does not even obey KILL.
    drop(timeout(GRACE, tree.ended()).await);
    if open {
        drop(timeout(DRAIN, pipes).await);
    }
    sleep(tree.looked() * REST).await;
    Ok(Ending::TimedOut)
}

fn exit_status(status: std::process::ExitStatus) -> ExitStatus {
    use std::os::unix::process::ExitStatusExt as _;
    // A process that was waited for has either a code or a signal.
    status.code().map_or_else(|| ExitStatus::Signal(status.signal().unwrap_or_default()), ExitStatus::Code)
}

fn timed_out(grant: &ExecGrant, limit: Duration, end: &str) -> CallError {
    let mut text = format!("run {}: it was still running after {limit:?} and was ended", grant.program);
    if !end.is_empty() {
        let from = end.ceil_char_boundary(end.len().saturating_sub(MAX_QUOTED));
        text.push_str("; the end of its output: ");
        text.push_str(&end[from..]);
    }
    CallError::TimedOut(refusal::shorten(&text, 2 * MAX_QUOTED))
}

async fn feed(pipe: Option<ChildStdin>, data: &[u8]) {
    if let Some(mut pipe) = pipe {
        // A program need not read its input, so a broken pipe is no failure.
        drop(pipe.write_all(data).await);
    }
}

/// The end of a stream of bytes.
struct Tail {
    bytes: Vec<u8>,
    keep: usize,
    was_cut: bool,
}

impl Tail {
    fn new(keep: usize) -> Self {
        Self { bytes: Vec::new(), keep, was_cut: false }
    }

    /// Reads to the end of the stream; an error ends it too.
    async fn fill(&mut self, pipe: Option<impl AsyncRead + Unpin>) {
        let Some(mut pipe) = pipe else { return };
        let mut chunk = vec![0; CHUNK];
        while let Ok(count @ 1..) = pipe.read(&mut chunk).await {
            self.push(&chunk[..count]);
        }
    }

    fn push(&mut self, chunk: &[u8]) {
        self.bytes.extend_from_slice(chunk);
        // Cut seldom, so that each byte is moved once on average.
        if self.bytes.len() > self.keep.saturating_mul(2).saturating_add(CHUNK) {
            self.cut();
        }
    }

    fn cut(&mut self) {
        let excess = self.bytes.len().saturating_sub(self.keep);
        self.was_cut |= excess > 0;
        self.bytes.drain(..excess);
    }

    /// Bytes that are not UTF-8 are replaced; the rest of a character that was cut off is dropped.
    fn into_text(mut self) -> String {
        self.cut();
        let is_rest = |byte: &&u8| self.was_cut && **byte & 0b1100_0000 == 0b1000_0000;
        let rest = self.bytes.iter().take(3).take_while(is_rest).count();
        String::from_utf8_lossy(&self.bytes[rest..]).into_owned()
    }
}

/// The end of a text that a program is said to have written.
pub(crate) fn end_of(text: &str, keep: usize) -> String {
    let mut tail = Tail::new(keep);
    tail.push(text.as_bytes());
    tail.into_text()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(keep: usize, chunks: &[&[u8]], want: &str) {
        let mut tail = Tail::new(keep);
        for chunk in chunks {
            tail.push(chunk);
        }
        assert_eq!(tail.into_text(), want);
    }

    #[test]
    fn the_end_of_the_output_is_kept() {
        check(4, &[], "");
        check(4, &[b"abcd"], "abcd");
        check(4, &[b"abcd", b"e"], "bcde");
        check(0, &[b"abcd"], "");
        check(3, &[&vec![b'x'; 3 * CHUNK], b"end"], "end");
        check(3, &["aüb".as_bytes()], "üb");
        check(2, &["aüb".as_bytes()], "b");
        check(9, &[b"a\xffb"], "a\u{fffd}b");
    }
}
