//! What a process uses: CPU time, of the user and of the kernel together, and memory, as Linux tells it under `/proc`.

use std::fs;
use std::path::Path;
use std::thread::yield_now;

/// Linux counts in hundredths of a second towards programs, whatever it does itself.
const MS_PER_TICK: u64 = 10;

/// What this thread has used, in ms.
pub(crate) fn cpu_of_this_thread() -> f64 {
    // The kernel adds up what a thread used when it stops running, or a tick later.
    yield_now();
    in_ms(used("/proc/thread-self/schedstat".as_ref()).unwrap())
}

/// What a process has used, in ms, without its children.
///
/// To the nanosecond for the threads that it has. Those that ended are only in the sum of whole ticks, which
/// counts where it is more.
pub(crate) fn cpu(process: u32) -> f64 {
    let tasks = fs::read_dir(format!("/proc/{process}/task")).unwrap();
    // A thread may end between the list and the look.
    let threads = tasks.filter_map(|task| used(&task.unwrap().path().join("schedstat")));
    let [user, system, ..] = ticks(process);
    in_ms(threads.sum::<u64>().max((user + system) * MS_PER_TICK * 1_000_000))
}

/// What the children of a process used that it waited for, in ms.
pub(crate) fn cpu_of_children(process: u32) -> f64 {
    let [.., user, system] = ticks(process);
    in_ms((user + system) * MS_PER_TICK * 1_000_000)
}

/// The most memory that a process ever had resident, in kB.
pub(crate) fn peak_kb(process: u32) -> u32 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// Nanoseconds on a core.
fn used(schedstat: &Path) -> Option<u64> {
    fs::read_to_string(schedstat).ok()?.split(' ').next()?.parse().ok()
}

/// `utime`, `stime`, `cutime` and `cstime`.
fn ticks(process: u32) -> [u64; 4] {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    // The name in brackets may hold anything; the state after it is the third field, and `utime` the fourteenth.
    let (_, fields) = stat.rsplit_once(") ").unwrap();
    let mut fields = fields.split(' ').skip(11).map(|field| field.parse().unwrap());
    std::array::from_fn(|_| fields.next().unwrap())
}

#[expect(clippy::cast_precision_loss, reason = "times far below the 104 days that fit exactly")]
fn in_ms(ns: u64) -> f64 {
    ns as f64 / 1e6
}
