//! What a plugin more holds in memory that has nothing to do, in a bare wasmtime host and in Lictor's.
//!
//! Sixteen plugins, each with compiled code of its own, and each called once; then none is called. What they hold together
//! with the first one left out is what counts, so neither host's own memory does. Here a receiver is what calls a plugin: what
//! its queue holds is in `main_job/idle.rs`.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::sleep;

use lictor_host::{Host, digest};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio::time::Duration;
use wasmtime::component::Component;

use crate::call::{Able, Bare, Subject, cached, pooled, sandbox, subjects};
use crate::table::{Samples, Table};

/// Plugins beside the first one.
const MORE: u32 = 15;

const RUNS: usize = 3;

/// How long nothing was called when it is looked at: longer than Lictor waits until it gives back what many calls left.
const REST: Duration = Duration::from_secs(2);

/// What is to be reached, as a multiple of the bare host.
const OF_BARE: f64 = 1.3;

/// Measures each plugin.
pub(crate) fn measure(table: &mut Table) {
    for subject in subjects() {
        println!("Measuring idle plugins: {} …", subject.name);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (bare, lictors) = (BareFiles::new(&subject), LictorFiles::new(&subject));
        let [mut bares, mut ours] = [const { Samples::new("KiB") }; 2];
        for _ in 0..RUNS {
            bares.add(bare.each(&subject, &runtime));
            ours.add(lictors.each(&subject, &runtime));
        }
        let part = ours.median() / bares.median();
        table.row(&format!("{}: each of 15 more in a bare wasmtime host", subject.name), &bares);
        table.row("… in Lictor's", &ours);
        table.reach("… at most 1.3 × the bare one", &format!("{part:.2} ×"), part <= OF_BARE);
    }
}

/// The memory of each that is made after the first one, in KiB.
fn each<T>(mut make: impl FnMut(u32) -> T) -> f64 {
    let first = make(0);
    sleep(REST);
    let before = memory();
    let others: Vec<_> = (1..=MORE).map(make).collect();
    sleep(REST);
    let after = memory();
    drop((first, others));
    (f64::from(after) - f64::from(before)) / f64::from(MORE)
}

/// Of this process, in KiB; what two of its mappings share counts once.
fn memory() -> u32 {
    let rollup = fs::read_to_string("/proc/self/smaps_rollup").unwrap();
    let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// Compiled code for a bare host, once for each plugin.
struct BareFiles {
    folder: TempDir,
}

impl BareFiles {
    fn new(subject: &Subject) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let bare = Bare::new(pooled());
        let code = Component::from_binary(&bare.engine, &subject.wasm).unwrap().serialize().unwrap();
        for number in 0..=MORE {
            fs::write(folder.path().join(number.to_string()), &code).unwrap();
        }
        Self { folder }
    }

    fn each(&self, subject: &Subject, runtime: &Runtime) -> f64 {
        let bare = Bare::new(pooled());
        each(|number| {
            let component = cached(&bare.engine, &self.folder.path().join(number.to_string()));
            let ready = bare.ready(&component, subject);
            runtime.block_on(ready.call());
            ready
        })
    }
}

/// The same in the cache of Lictor's host, by digests that are made up: what is known is not read again.
struct LictorFiles {
    folder: TempDir,
}

impl LictorFiles {
    fn new(subject: &Subject) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let known = digest(&subject.wasm);
        drop(sandbox(folder.path()).load_known(&subject.wasm, &known).unwrap());
        let file = only_one(folder.path());
        let name = file.file_name().unwrap().to_str().unwrap().to_owned();
        for number in 0..=MORE {
            fs::copy(&file, folder.path().join(name.replace(&known, &made_up(number)))).unwrap();
        }
        Self { folder }
    }

    fn each(&self, subject: &Subject, runtime: &Runtime) -> f64 {
        let host: Host = sandbox(self.folder.path());
        each(|number| {
            let plugin = host.load_known(&subject.wasm, &made_up(number)).unwrap();
            let able = Arc::new(Able::new(runtime, plugin, subject.config));
            let call = Arc::clone(&able);
            host.runtime().block_on(host.runtime().spawn(async move { call.call().await })).unwrap();
            able
        })
    }
}

fn made_up(number: u32) -> String {
    format!("{number:064x}")
}

fn only_one(folder: &Path) -> PathBuf {
    let files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    let [file] = &files[..] else { panic!("there is not one file in the cache: {files:?}") };
    file.clone()
}
