//! A child process with a log file, which never outlives the demonstration.

use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};
use rustix::process::{Pid, Signal, kill_process};
use tokio::time::{Instant, sleep};

/// How long a process may take to end when it is asked to.
const END_PATIENCE: Duration = Duration::from_secs(15);
const POLL: Duration = Duration::from_millis(20);

/// A running program; it is killed and reaped on drop.
pub(crate) struct Process {
    name: &'static str,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts `command` with all that it writes in the new file `log`, and in a process group of its
    /// own: a Ctrl-C at the terminal is for the demonstration, which then ends its children in order.
    pub(crate) fn start(name: &'static str, command: &mut Command, log: PathBuf) -> anyhow::Result<Self> {
        let file = File::create(&log).with_context(|| format!("create {}", log.display()))?;
        let out = file.try_clone().context("share a log file")?;
        command.stdin(Stdio::null()).stdout(out).stderr(file).process_group(0);
        let program = command.get_program().display().to_string();
        let child = command.spawn().with_context(|| format!("start {program}"))?;
        Ok(Self { name, child, log })
    }

    /// Fails when the program has ended by itself.
    pub(crate) fn check_running(&mut self) -> anyhow::Result<()> {
        match self.child.try_wait().with_context(|| format!("look after {}", self.name))? {
            Some(status) => bail!("{} ended by itself ({status})", self.name),
            None => Ok(()),
        }
    }

    /// Has the program written this?
    pub(crate) fn wrote(&self, text: &str) -> bool {
        read(&self.log).contains(text)
    }

    /// Asks the program to end (SIGTERM) and waits for it, so far as patience goes.
    pub(crate) async fn terminate(&mut self) -> anyhow::Result<ExitStatus> {
        let name = self.name;
        self.check_running()?;
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).context("read a process id")?;
        kill_process(pid, Signal::TERM).with_context(|| format!("signal {name}"))?;
        let deadline = Instant::now() + END_PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().with_context(|| format!("wait for {name}"))? {
                return Ok(status);
            }
            if Instant::now() > deadline {
                bail!("{name} did not end within {} s of SIGTERM", END_PATIENCE.as_secs());
            }
            sleep(POLL).await;
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already; and there is nobody left to tell.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// The last lines of a log.
pub(crate) fn tail(log: &Path, lines: usize) -> Vec<String> {
    let text = read(log);
    let all: Vec<_> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].iter().map(|line| (*line).to_owned()).collect()
}

fn read(log: &Path) -> String {
    fs::read(log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
}
