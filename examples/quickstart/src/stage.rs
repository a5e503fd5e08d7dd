//! The stage: a folder, a configuration with real ports, and everything that runs.
//!
//! Invariant: what it starts ends with it.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};
use tokio::sync::mpsc;

use crate::consul::{self, Api, Consul};
use crate::process::{self, Process};
use crate::sighting::Sighting;
use crate::{files, http, smtp};

/// Each event is told by five, and there are a few.
const NEWS_MAX: usize = 64;
/// Lictor's folder, and in it the one that the next run profits from: compiling takes most of a first run.
const DATA: &str = "data";
const COMPILED: &str = "plugins";

/// The files of one run, all below `target/`.
pub(crate) struct Paths {
    target: PathBuf,
    lictor: PathBuf,
    demo: PathBuf,
}

/// The receivers' addresses, and what they and the files tell.
pub(crate) struct Receivers {
    mails: SocketAddr,
    webhooks: SocketAddr,
    /// Every sighting, as it is made.
    pub(crate) seen: mpsc::Receiver<Sighting>,
    news: mpsc::Sender<Sighting>,
}

impl Paths {
    /// Finds `target/` and the binary `lictor` beside this program, and empties `target/demo/` but for the
    /// compiled plugins of the last run.
    pub(crate) fn prepare() -> anyhow::Result<Self> {
        let this = std::env::current_exe().context("find this program")?;
        let profile = this.parent().context("find the folder of this program")?;
        let target = profile.parent().context("find target/")?.to_owned();
        let (lictor, demo) = (profile.join("lictor"), target.join("demo"));
        ensure!(lictor.is_file(), "{} is missing; run make demo", shown(&lictor));
        fs::create_dir_all(demo.join(DATA)).with_context(|| format!("create {}", shown(&demo)))?;
        empty(&demo, DATA)?;
        empty(&demo.join(DATA), COMPILED)?;
        let (script, copy) = (example("on-change.sh"), demo.join("on-change.sh"));
        fs::copy(&script, copy).with_context(|| format!("copy {}", shown(&script)))?;
        Ok(Self { target, lictor, demo })
    }

    /// A file of the run.
    pub(crate) fn demo(&self, file: &str) -> PathBuf {
        self.demo.join(file)
    }

    /// The program `lictor`.
    pub(crate) fn lictor(&self) -> &Path {
        &self.lictor
    }

    /// Starts Consul.
    pub(crate) fn start_consul(&self) -> anyhow::Result<Consul> {
        Consul::start(&consul::binary(&self.target)?, self.demo("consul.log"))
    }

    /// Starts `lictor run` with the configuration that [`Receivers::configure`] wrote.
    pub(crate) fn start_lictor(&self) -> anyhow::Result<Process> {
        let mut command = Command::new(&self.lictor);
        command.args(["run", "--log-format", "json", "-c"]).arg(self.demo("lictor.toml"));
        consul::without_consul_variables(&mut command);
        Process::start("lictor", &mut command, self.demo("lictor.log"))
    }

    /// The last lines of Lictor's log.
    pub(crate) fn lictors_last_words(&self) -> Vec<String> {
        process::tail(&self.demo("lictor.log"), 15)
    }

    /// Removes what nobody will want to read.
    pub(crate) fn clean_up(&self) -> anyhow::Result<()> {
        fs::remove_file(self.demo("consul.log")).context("remove Consul's log")?;
        empty(&self.demo(DATA), COMPILED)
    }
}

impl Receivers {
    /// Starts the receivers, and begins to follow the plugins' files.
    pub(crate) async fn start(paths: &Paths) -> anyhow::Result<Self> {
        let (news, seen) = mpsc::channel(NEWS_MAX);
        let mails = smtp::receive_mails(news.clone()).await?;
        let webhooks = http::receive_webhooks(news.clone()).await?;
        tokio::spawn(files::follow(paths.demo("events.jsonl"), files::event, news.clone()));
        tokio::spawn(files::follow(paths.demo("commands.log"), files::command, news.clone()));
        Ok(Self { mails, webhooks, seen, news })
    }

    /// Begins to follow Consul's own view of `web`.
    pub(crate) fn follow_consul(&self, api: &Api) {
        tokio::spawn(api.clone().follow_web(self.news.clone()));
    }

    /// Writes the example's configuration with this run's addresses and folder.
    pub(crate) fn configure(&self, paths: &Paths, api: &Api) -> anyhow::Result<()> {
        let template = example("lictor.toml");
        let text = fs::read_to_string(&template).with_context(|| format!("read {}", shown(&template)))?;
        let demo = paths.demo.to_str().context("read the path of target/demo as UTF-8")?;
        let text = fill_in(
            &text,
            &[
                ("127.0.0.1:8500", api.address()),
                ("127.0.0.1:8025", &self.mails.to_string()),
                ("127.0.0.1:8080", &self.webhooks.to_string()),
                ("/srv/lictor", demo),
            ],
        )?;
        fs::write(paths.demo("lictor.toml"), text).context("write target/demo/lictor.toml")
    }
}

/// Puts this run's values in place of the example's, in all but the head comment, which explains them.
fn fill_in(text: &str, values: &[(&str, &str)]) -> anyhow::Result<String> {
    let (head, body) = text.split_at(text.find("\n[").context("find the end of the head comment")?);
    let mut body = body.to_owned();
    for (example, value) in values {
        ensure!(body.contains(example), "{example} is no longer in examples/quickstart/lictor.toml");
        body = body.replace(example, value);
    }
    Ok(format!("{head}{body}"))
}

/// Removes all that is in a folder but the entry `keep`.
fn empty(folder: &Path, keep: &str) -> anyhow::Result<()> {
    let fault = || format!("empty {}", shown(folder));
    for entry in fs::read_dir(folder).with_context(fault)? {
        let path = entry.with_context(fault)?.path();
        if path.file_name().is_some_and(|name| name == keep) {
            continue;
        }
        if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) }.with_context(fault)?;
    }
    Ok(())
}

/// A file of this example.
fn example(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(file)
}

/// A path as a person would type it here.
pub(crate) fn shown(path: &Path) -> String {
    let here = std::env::current_dir().unwrap_or_default();
    path.strip_prefix(here).unwrap_or(path).display().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_runs_values_take_the_place_of_the_examples() {
        let text = "# about 127.0.0.1:1\n\n[a]\nb = \"127.0.0.1:1\"\n";
        let filled = fill_in(text, &[("127.0.0.1:1", "127.0.0.1:2")]).unwrap();
        assert_eq!(filled, "# about 127.0.0.1:1\n\n[a]\nb = \"127.0.0.1:2\"\n");
    }

    #[test]
    fn a_folder_is_emptied_but_for_one_entry() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("keep/me")).unwrap();
        fs::create_dir(dir.path().join("folder")).unwrap();
        fs::write(dir.path().join("folder/file"), "").unwrap();
        empty(dir.path(), "keep").unwrap();
        let left: Vec<_> =
            fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, ["keep"]);
        assert!(dir.path().join("keep/me").is_dir());
    }

    #[test]
    fn a_value_that_the_example_lost_is_an_error() {
        let error = fill_in("# head\n[a]\n", &[("127.0.0.1:1", "x")]).unwrap_err();
        assert!(error.to_string().contains("127.0.0.1:1"), "{error}");
    }
}
