//! A child process with a log file, which ends with its handle.

use std::fs::File;
use std::io::Read;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use super::eventually;

/// A running program. Only this child is ever signalled; it is killed and reaped on drop.
pub(super) struct Process {
    name: &'static str,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts `command` with its standard output and error in the new file `log`.
    pub(super) fn start(name: &'static str, command: &mut Command, log: PathBuf) -> Self {
        let file = File::create(&log).unwrap();
        command.stdin(Stdio::null()).stdout(file.try_clone().unwrap()).stderr(file);
        let child = command.spawn().unwrap_or_else(|error| panic!("start {name}: {error}"));
        Self { name, child, log }
    }

    /// What the program wrote so far.
    pub(super) fn log(&self) -> String {
        let mut bytes = Vec::new();
        File::open(&self.log).unwrap().read_to_end(&mut bytes).unwrap();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// The most memory that the program ever had, in bytes.
    pub(super) fn peak_memory(&self) -> usize {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() << 10
    }

    /// Has the program ended?
    pub(super) fn exited(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }

    /// Waits until `probe` answers; panics with the log when the program ends first or time is over.
    pub(super) async fn until<T>(&mut self, what: &str, mut probe: impl AsyncFnMut(&Self) -> Option<T>) -> T {
        let answer = eventually(async || {
            let ended = self.exited();
            let answer = probe(self).await;
            if answer.is_none() && ended.is_some() { Some(None) } else { answer.map(Some) }
        });
        match answer.await.flatten() {
            Some(answer) => answer,
            None => self.give_up(what),
        }
    }

    /// Sends SIGTERM and waits for the end.
    pub(super) async fn terminate(&mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        match eventually(async || self.exited()).await {
            Some(status) => status,
            None => self.give_up("end after SIGTERM"),
        }
    }

    /// Sends a signal and does not wait.
    pub(super) fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).unwrap();
        kill_process(pid, signal).unwrap();
    }

    /// Sends SIGKILL and waits for the end, which the kernel makes at once.
    pub(super) fn kill(&mut self) {
        // It may have ended by itself: that is no fault here.
        self.child.kill().ok();
        self.child.wait().unwrap();
    }

    fn give_up(&mut self, what: &str) -> ! {
        let state = match self.exited() {
            Some(status) => format!("it ended with {status}"),
            None => "it is running".into(),
        };
        panic!("{} did not {what}; {state}; it wrote:\n{}", self.name, self.log());
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
