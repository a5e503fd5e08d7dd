//! Runs a program: no shell, a clean environment, its own process group.

use std::{fmt, time::Duration};

use crate::{CallError, host};

/// A program to run, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    /// The program's absolute path, then its arguments.
    pub argv: Vec<String>,
    /// Names begin with `LICTOR_`, are `CONSUL_INDEX`, or the grant's `env` lists them. The host adds `PATH`, `LANG` and
    /// `LICTOR_RUN`, which is its own.
    pub env: Vec<(String, String)>,
    /// Written to its standard input, which is then closed. Default: nothing.
    pub stdin: Vec<u8>,
    /// Afterwards it is ended with all that it started: TERM, then KILL. Default: 30 s.
    pub timeout: Duration,
}

impl Command {
    /// A command with nothing in its environment and on its standard input.
    pub fn new<S: Into<String>>(argv: impl IntoIterator<Item = S>) -> Self {
        Self {
            argv: argv.into_iter().map(Into::into).collect(),
            env: Vec::new(),
            stdin: Vec::new(),
            timeout: Duration::from_secs(30),
        }
    }

    /// Adds a variable to its environment.
    #[must_use]
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }

    /// What to write to its standard input.
    #[must_use]
    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdin = bytes.into();
        self
    }

    /// How long it may run.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Runs it to its end.
    pub fn run(&self) -> Result<Output, CallError> {
        host::exec(self)
    }
}

/// What came of a program that ran.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// How it ended.
    pub status: Status,
    /// The end of what it wrote to its standard output, as far as the receiver's limit goes.
    pub stdout: String,
    /// The same of its standard error.
    pub stderr: String,
}

/// How a program ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It exited with this code; 0 is success.
    Code(i32),
    /// A signal ended it.
    Signal(i32),
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exit {code}"),
            Self::Signal(signal) => write!(f, "signal {signal}"),
        }
    }
}
