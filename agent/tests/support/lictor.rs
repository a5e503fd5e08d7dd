//! The real binary `lictor`, run with a configuration of the test's.

use std::fs;
use std::path::Path;
use std::process::Command;

use rustix::process::Signal;
use serde_json::Value;

use super::eventually;
use super::process::Process;

/// A running `lictor run`; its log is JSON, one object per line.
pub struct Lictor {
    process: Process,
}

impl Lictor {
    /// Writes `config` to `dir/lictor.toml` and runs it. The log is `dir/lictor.log`, written anew.
    ///
    /// `dir` belongs to the test, so that a second run can find what the first one left in it.
    pub fn start(dir: &Path, config: &str) -> Self {
        Self::start_by(dir, config, command())
    }

    /// The same by a command that runs the binary with what is added to it.
    pub fn start_by(dir: &Path, config: &str, mut command: Command) -> Self {
        let file = dir.join("lictor.toml");
        fs::write(&file, config).unwrap();
        command.args(["run", "--log-format", "json", "-c"]).arg(file).current_dir(dir);
        Self { process: Process::start("lictor", &mut command, dir.join("lictor.log")) }
    }

    /// The log so far: each line that is a JSON object.
    pub fn log(&self) -> Vec<Value> {
        self.process.log().lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// Waits for the first log line that `wanted` accepts; panics with the whole log if none comes.
    pub async fn wait_for(&mut self, what: &str, wanted: impl Fn(&str) -> bool) -> String {
        let find =
            async |process: &Process| process.log().lines().find(|line| wanted(line)).map(String::from);
        self.process.until(&format!("log {what}"), find).await
    }

    /// Waits until `probe` answers; panics with `what` and the whole log if it never does.
    pub async fn until<T>(&mut self, what: &str, mut probe: impl AsyncFnMut() -> Option<T>) -> T {
        self.process.until(what, async |_| probe().await).await
    }

    /// The most memory that it ever had, in bytes.
    pub fn peak_memory(&self) -> usize {
        self.process.peak_memory()
    }

    /// Sends SIGTERM and does not wait.
    pub fn signal(&self) {
        self.send(Signal::TERM);
    }

    /// Sends a signal and does not wait.
    pub fn send(&self, signal: Signal) {
        self.process.signal(signal);
    }

    /// How many lines of the log have this message.
    pub fn count(&self, message: &str) -> usize {
        self.log().iter().filter(|line| line["message"] == message).count()
    }

    /// Waits until `count` lines of the log have this message.
    pub async fn told(&mut self, message: &str, count: usize) {
        let lines = |log: &str| {
            let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
            lines.filter(|line| line["message"] == message).count()
        };
        let what = format!("log {count} times: {message}");
        self.process.until(&what, async |process| (lines(&process.log()) >= count).then_some(())).await;
    }

    /// Sends SIGTERM, waits for the end, and gives back the exit code.
    pub async fn terminate(&mut self) -> i32 {
        let status = self.process.terminate().await;
        status.code().unwrap_or_else(|| panic!("lictor ended by a signal: {status}\n{}", self.process.log()))
    }

    /// Waits for an end that comes by itself, and gives back the exit code and all that was written.
    pub async fn ended(&mut self) -> (i32, String) {
        let status = eventually(async || self.process.exited()).await;
        let log = self.process.log();
        let code = status.and_then(|status| status.code());
        (code.unwrap_or_else(|| panic!("lictor did not exit: {status:?}\n{log}")), log)
    }

    /// Sends SIGKILL: the crash that the outbox is made for.
    pub fn kill(&mut self) {
        self.process.kill();
    }
}

/// The binary, with no `CONSUL_*` variable of the developer's own.
pub fn command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lictor"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("CONSUL_")) {
        command.env_remove(name);
    }
    command
}
