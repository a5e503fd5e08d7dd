//! Programs whose calls were dropped: each is told to end at once, and killed when its grace is over.
//!
//! Boundary: one thread, and the time. Which processes a program has is for `exec/tree.rs` to know.
//!
//! It is no task of a runtime, since a call is also dropped when the runtime that it was on ends.
//!
//! Invariants: all of them share one thread, and there is none while there are none. None is forgotten before it is
//! reaped, or KILL has done nothing for as long as the grace is.

use std::mem;
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use rustix::process::Signal;
use tokio::process::{Child, ChildStderr, ChildStdout};
use tokio::time::{Instant, sleep, timeout};

use super::tree::{GRACE, GRACE_POLL, Mark, Tree};

/// How long the end of those that were killed is waited for. They are gone at once, unless the kernel holds them.
const KILLED: Duration = Duration::from_secs(1);
/// Bytes that are read at once of what nobody wants, and how often until others have their turn.
const CHUNK: usize = 4096;
const CHUNKS: usize = 64;

/// The programs that dropped calls have left behind. Clones share everything.
#[derive(Clone, Debug, Default)]
pub struct Programs(Arc<Mutex<Left>>);

#[derive(Debug, Default)]
struct Left {
    /// Those that the thread does not know yet.
    new: Vec<Dropped>,
    /// All that have not ended.
    count: usize,
    has_thread: bool,
    /// When the grace of all is over.
    cut: Option<Instant>,
}

/// The processes of a program, and what they write.
#[derive(Debug, Default)]
pub(super) struct Program {
    pub(super) tree: Tree,
    pub(super) output: Option<ChildStdout>,
    pub(super) errors: Option<ChildStderr>,
}

/// A program whose call waits for it. Dropped before it was reaped, it is left to [`Programs`].
pub(super) struct Running {
    pub(super) program: Program,
    programs: Programs,
}

#[derive(Debug)]
struct Dropped {
    program: Program,
    /// When its grace is over.
    until: Instant,
    killed: Option<Instant>,
}

impl Running {
    pub(super) fn new(mut child: Child, mark: Mark, programs: Programs) -> Self {
        let (output, errors) = (child.stdout.take(), child.stderr.take());
        Self { program: Program { tree: Tree::led_by(child, mark), output, errors }, programs }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.program.tree.is_reaped() {
            self.programs.take(mem::take(&mut self.program));
        }
    }
}

impl Programs {
    /// Has those that there are end within `grace`, and waits for that. False: one is still there, although it was killed.
    pub async fn end(&self, grace: Duration) -> bool {
        self.lock().cut = Some(Instant::now() + grace);
        let all_ended = async {
            while self.lock().count > 0 {
                sleep(GRACE_POLL).await;
            }
        };
        timeout(grace + KILLED, all_ended).await.is_ok()
    }

    fn take(&self, mut program: Program) {
        // Before the lock is taken, since it looks through all processes.
        let until = program.tree.tell_to_end();
        let mut left = self.lock();
        left.new.push(Dropped { program, until, killed: None });
        left.count += 1;
        if left.has_thread {
            return;
        }
        let programs = self.clone();
        let thread = thread::Builder::new().name("exec-end".into()).spawn(move || programs.see_to_it());
        left.has_thread = thread.is_ok();
        if !left.has_thread {
            // Nobody would be there when its grace is over.
            left.new.drain(..).for_each(|mut dropped| dropped.program.tree.signal(Signal::KILL));
            left.count = 0;
        }
    }

    /// Ends when the last of them has.
    fn see_to_it(&self) {
        let (mut programs, mut ended) = (Vec::new(), 0);
        loop {
            let cut = {
                let mut left = self.lock();
                left.count -= ended;
                programs.append(&mut left.new);
                if programs.is_empty() {
                    left.has_thread = false;
                    return;
                }
                left.cut
            };
            let before = programs.len();
            programs.retain_mut(|dropped: &mut Dropped| !dropped.has_ended(cut));
            ended = before - programs.len();
            if ended == 0 {
                thread::sleep(GRACE_POLL);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Left> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Dropped {
    /// Kills it when it is time, and reaps it.
    fn has_ended(&mut self, cut: Option<Instant>) -> bool {
        let Program { tree, output, errors } = &mut self.program;
        drain(output.as_ref());
        drain(errors.as_ref());
        let now = Instant::now();
        let until = cut.map_or(self.until, |cut| cut.min(self.until));
        if self.killed.is_none() {
            if now < until && !tree.is_over() {
                return false;
            }
            tree.signal(Signal::KILL);
        }
        let killed = *self.killed.get_or_insert(now);
        tree.reap() || now >= killed + GRACE
    }
}

/// Whoever cleans up may write: a full pipe would block it, and one that nobody reads would end it. The pipe's reading end
/// never blocks.
fn drain(pipe: Option<&impl AsFd>) {
    let Some(pipe) = pipe else { return };
    let mut chunk = [0; CHUNK];
    for _ in 0..CHUNKS {
        if !matches!(rustix::io::read(pipe, &mut chunk), Ok(1..)) {
            return;
        }
    }
}
