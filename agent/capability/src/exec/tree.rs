//! The processes of a program that runs: its group, and those below it that have left the group.
//!
//! Boundary: finds and signals them, by Linux's `/proc` and without a cgroup. When is for `exec/run.rs` to say.
//!
//! Who has left the group is found by its parents. A daemon, whose parent has ended, is found by two marks that the program
//! began with and that all below it have: a variable of its environment, which a daemon may clean or write over to show a
//! title, and a limit that means nothing, which anybody can read but a login (`su`) sets anew.
//!
//! Invariant: a process is signalled only while its number is certain to be its own: the group while its leader has not
//! been reaped, another one through a handle that was opened and then found to be of the process that was meant.

use std::collections::BTreeMap;
use std::hash::{BuildHasher as _, RandomState};
use std::os::fd::OwnedFd;
use std::process::ExitStatus;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use std::{fs, io, process};

use rustix::process::{
    Pid, PidfdFlags, Resource, Rlimit, Signal, WaitId, WaitIdOptions, getrlimit, kill_process_group,
    pidfd_open, pidfd_send_signal, setrlimit, waitid,
};
use tokio::process::{Child, Command};
use tokio::time::Instant;

/// Between TERM and KILL.
pub(super) const GRACE: Duration = Duration::from_secs(5);
/// How often processes that were told to end are looked at.
pub(super) const GRACE_POLL: Duration = Duration::from_millis(20);
/// How often processes are looked for that those made in between that are being killed.
const ROUNDS: usize = 8;

/// The variable that tells the processes of one run from all others; nobody needs to read it.
const VARIABLE: &str = "LICTOR_RUN";

/// How `/proc` names the limit. Linux has not enforced it since 2.4.25.
const LIMIT: &str = "Max file locks";

/// All of our limits are above it, and no other soft limit is likely to be.
const LIMITS: u64 = 1 << 62;

/// What tells the processes of one run from all others of this machine.
#[derive(Clone, Debug, Default)]
pub(super) struct Mark {
    /// `NAME=value`.
    variable: String,
    limit: u64,
}

impl Mark {
    /// One that no other run has.
    pub(super) fn new() -> Self {
        static RUNS: AtomicU64 = AtomicU64::new(0);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        let run = format!("{}-{now}-{}", process::id(), RUNS.fetch_add(1, Ordering::Relaxed));
        // The keys of the standard library's hash tables are chance enough.
        let limit = LIMITS | RandomState::new().hash_one(&run) >> 2;
        Self { variable: format!("{VARIABLE}={run}"), limit }
    }

    /// Starts a process that bears it.
    pub(super) fn spawn(&self, command: &mut Command) -> io::Result<Child> {
        static LIMITED: Mutex<()> = Mutex::new(());
        if let Some((name, value)) = self.variable.split_once('=') {
            command.env(name, value);
        }
        // A limit is the whole process's, and a child begins with it: none else may start one meanwhile.
        let _one = LIMITED.lock().unwrap_or_else(PoisonError::into_inner);
        let before = getrlimit(Resource::Locks);
        // Where somebody bounded it, the variable has to do.
        setrlimit(Resource::Locks, Rlimit { current: Some(self.limit), ..before }).ok();
        let child = command.spawn();
        setrlimit(Resource::Locks, before).ok();
        child
    }

    /// Whether a process bears it. The environment of another user's process is not to be seen, unless we are root.
    fn is_on(&self, id: u32) -> bool {
        let limits = fs::read_to_string(format!("/proc/{id}/limits")).unwrap_or_default();
        let limit = limits.lines().find_map(|line| line.strip_prefix(LIMIT));
        if limit.and_then(|limit| limit.split_whitespace().next()?.parse().ok()) == Some(self.limit) {
            return true;
        }
        let environment = fs::read(format!("/proc/{id}/environ")).unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|one| one == self.variable.as_bytes())
    }
}

/// A process as `/proc` tells of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Process {
    id: u32,
    parent: u32,
    group: u32,
    /// When it began, in ticks since the machine did: with its number, what tells it from any other.
    began: u64,
    /// It has ended, and nobody has asked how.
    is_dead: bool,
}

/// One that is below the leader and in another group.
#[derive(Debug)]
struct Stray {
    process: Process,
    handle: OwnedFd,
}

/// The processes of a program.
#[derive(Debug, Default)]
pub(super) struct Tree {
    /// The leader, until it is reaped: then its number is no longer ours.
    child: Option<Child>,
    mark: Mark,
    strays: Vec<Stray>,
    /// Those of the group that were alive when it was looked last, for whether they still are: they are signalled as the
    /// group.
    members: Vec<Process>,
    /// When those that were told to end have to be gone.
    until: Option<Instant>,
    /// How long all processes were looked through.
    looked: Duration,
}

impl Tree {
    /// That of `child`, which bears this mark.
    pub(super) fn led_by(child: Child, mark: Mark) -> Self {
        Self { child: Some(child), mark, ..Self::default() }
    }

    /// Waits for the leader's end, and reaps it. May be dropped and begun anew.
    pub(super) async fn ended(&mut self) -> io::Result<ExitStatus> {
        let Some(child) = &mut self.child else { return Err(io::Error::other("it was reaped before")) };
        let status = child.wait().await;
        self.release();
        status
    }

    /// Reaps the leader if it is dead.
    pub(super) fn reap(&mut self) -> bool {
        if self.child.as_mut().is_some_and(|child| !matches!(child.try_wait(), Ok(None))) {
            self.release();
        }
        self.is_reaped()
    }

    pub(super) fn is_reaped(&self) -> bool {
        self.child.is_none()
    }

    fn release(&mut self) {
        self.child = None;
        self.strays.clear();
        self.members.clear();
    }

    fn leader(&self) -> Option<Pid> {
        Pid::from_raw(self.child.as_ref()?.id()?.cast_signed())
    }

    /// How long all processes of the machine were looked through until now.
    pub(super) fn looked(&self) -> Duration {
        self.looked
    }

    /// Sends TERM, once, and says when the grace is over.
    pub(super) fn tell_to_end(&mut self) -> Instant {
        if let Some(until) = self.until {
            return until;
        }
        self.signal(Signal::TERM);
        *self.until.insert(Instant::now() + GRACE)
    }

    /// Signals all that there are. What is being killed may make others meanwhile, so it is looked again then.
    pub(super) fn signal(&mut self, signal: Signal) {
        let Some(leader) = self.leader() else { return };
        let rounds = if signal == Signal::KILL { ROUNDS } else { 1 };
        for _ in 0..rounds {
            let start = Instant::now();
            let found_more = self.find_strays(leader);
            self.looked += start.elapsed();
            // Each fails only if what is signalled is gone, which is what was wanted, or belongs to another user, whom
            // we may not signal.
            kill_process_group(leader, signal).ok();
            for stray in &self.strays {
                pidfd_send_signal(&stray.handle, signal).ok();
            }
            if !found_more {
                return;
            }
        }
    }

    /// The leader, all others of its group and all strays are dead. Looks without reaping.
    ///
    /// All processes are looked through only when those are dead that are known.
    pub(super) fn is_over(&mut self) -> bool {
        let Some(leader) = self.leader() else { return true };
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        let is_alive = matches!(waitid(WaitId::Pid(leader), options), Ok(None));
        if is_alive || self.strays.iter().any(Stray::is_alive) || self.members.iter().any(Process::is_alive) {
            return false;
        }
        let group = leader.as_raw_nonzero().get().cast_unsigned();
        let start = Instant::now();
        self.members =
            processes().into_iter().filter(|process| process.group == group && !process.is_dead).collect();
        self.looked += start.elapsed();
        self.members.is_empty()
    }

    /// Adds those that have left the group since it was looked last, and says whether there are any. They are found below any
    /// of the group, since the leader may be dead.
    fn find_strays(&mut self, leader: Pid) -> bool {
        let leader = leader.as_raw_nonzero().get().cast_unsigned();
        let all = processes();
        let known = |process: &Process| {
            let is_same =
                |stray: &Stray| stray.process.id == process.id && stray.process.began == process.began;
            self.strays.iter().any(is_same)
        };
        let is_ours =
            |process: &&Process| process.group == leader || known(process) || self.mark.is_on(process.id);
        let ours: Vec<_> = all.iter().filter(is_ours).copied().collect();
        let below = below(&all, ours.iter().map(|process| process.id).collect());
        let outside = |process: &Process| process.group != leader && !process.is_dead && !known(process);
        let strays: BTreeMap<_, _> =
            ours.into_iter().chain(below).filter(outside).map(|process| (process.id, process)).collect();
        let found: Vec<_> = strays.into_values().filter_map(Stray::catch).collect();
        let found_more = !found.is_empty();
        self.strays.extend(found);
        found_more
    }
}

impl Process {
    fn is_alive(&self) -> bool {
        look(self.id).is_some_and(|now| now.began == self.began && !now.is_dead)
    }
}

impl Stray {
    /// None: it is gone already, and its number may be another's.
    fn catch(process: Process) -> Option<Self> {
        let handle = pidfd_open(Pid::from_raw(process.id.cast_signed())?, PidfdFlags::empty()).ok()?;
        look(process.id).filter(|now| now.began == process.began).map(|_| Self { process, handle })
    }

    fn is_alive(&self) -> bool {
        self.process.is_alive()
    }
}

/// All processes below those of `roots`, without these.
fn below(all: &[Process], roots: Vec<u32>) -> Vec<Process> {
    let mut children: BTreeMap<u32, Vec<Process>> = BTreeMap::new();
    for process in all {
        children.entry(process.parent).or_default().push(*process);
    }
    let mut found = Vec::new();
    let mut parents = roots;
    while let Some(parent) = parents.pop() {
        // Taken out, so that each is met once whatever `/proc` says.
        for child in children.remove(&parent).unwrap_or_default() {
            parents.push(child.id);
            found.push(child);
        }
    }
    found
}

/// All that can be seen. Without `/proc` there is nothing to see, and the group alone is signalled.
fn processes() -> Vec<Process> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| look(entry.file_name().to_str()?.parse().ok()?)).collect()
}

fn look(id: u32) -> Option<Process> {
    parse(&fs::read_to_string(format!("/proc/{id}/stat")).ok()?)
}

/// `1234 (name) S 1 1234 …`; the name may hold anything.
fn parse(stat: &str) -> Option<Process> {
    let id = stat.split(' ').next()?.parse().ok()?;
    let mut rest = stat.rsplit_once(") ")?.1.split(' ');
    let state = rest.next()?;
    let (parent, group) = (rest.next()?.parse().ok()?, rest.next()?.parse().ok()?);
    // A process whose first thread has ended looks dead while others run.
    let threads: u32 = rest.nth(14)?.parse().ok()?;
    let is_dead = state == "X" || state == "Z" && threads <= 1;
    Some(Process { id, parent, group, began: rest.nth(1)?.parse().ok()?, is_dead })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn process(id: u32, parent: u32) -> Process {
        Process { id, parent, group: 1, began: 1, is_dead: false }
    }

    #[test]
    fn a_process_is_read_whatever_its_name_is() {
        let rest = "5 6 7 0 -1 4194304 1 0 0 0 0 0 0 0 20 0 1 0 98765 1 2 3";
        for name in ["sh", "a b", ") S 1 (", "x)"] {
            let want = Process { id: 4, parent: 5, group: 6, began: 98765, is_dead: false };
            assert_eq!(parse(&format!("4 ({name}) S {rest}")), Some(want), "{name}");
        }
        assert!(parse(&format!("4 (sh) Z {rest}")).unwrap().is_dead);
        let threads = rest.replace(" 20 0 1 0 ", " 20 0 2 0 ");
        assert!(
            !parse(&format!("4 (sh) Z {threads}")).unwrap().is_dead,
            "its first thread is, and another runs"
        );
        for damaged in ["", "4", "4 (sh) S 5", "x (sh) S 5 6"] {
            assert_eq!(parse(damaged), None, "{damaged:?}");
        }
        let us = look(std::process::id()).unwrap();
        assert_eq!((us.id, us.parent), (std::process::id(), std::os::unix::process::parent_id()));
    }

    proptest! {
        #[test]
        fn what_is_below_is_what_parents_lead_to(parents in proptest::collection::vec(0_u32..12, 1..12)) {
            let all: Vec<_> = (1..).zip(&parents).map(|(id, parent)| process(id, *parent)).collect();
            let mut found: Vec<_> = below(&all, vec![1]).iter().map(|one| one.id).collect();
            found.sort_unstable();
            let is_below = |process: &&Process| {
                let mut at = process.parent;
                // Longer than any way without a circle.
                (0..=all.len()).any(|_| {
                    let met = at == 1;
                    at = all.iter().find(|one| one.id == at).map_or(0, |one| one.parent);
                    met
                })
            };
            let want: Vec<_> = all.iter().filter(is_below).map(|one| one.id).collect();
            prop_assert_eq!(found, want);
        }
    }
}
