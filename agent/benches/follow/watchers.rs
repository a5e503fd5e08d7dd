//! The three programs that follow the same checks.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::flips::CHECK;
use crate::place::Place;
use crate::support::lictor;

/// Which checks are followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    /// Those of the agent's node.
    Node,
    /// All, by one query.
    Datacenter,
    /// All of the datacenter that rules name: those of one service.
    Service,
}

/// What a watcher is started for.
pub(crate) struct Job<'a> {
    pub(crate) place: &'a Place,
    pub(crate) scope: Scope,
    /// The host and port of the agent, or of what stands before it.
    pub(crate) agent: &'a str,
    /// Where it notes what it knows of.
    pub(crate) file: &'a Path,
}

/// A program that follows checks, in order of what each costs.
pub(crate) const WATCHERS: [fn(&Job<'_>) -> Command; 3] = [bare, noting_lictor, consul_watch];

/// Which of them is Lictor.
pub(crate) const LICTOR: usize = 1;

impl Scope {
    fn path(self, place: &Place) -> String {
        match self {
            Self::Node => format!("/v1/health/node/{}", place.node()),
            Self::Datacenter => "/v1/health/state/any".into(),
            Self::Service => "/v1/health/checks/web".into(),
        }
    }

    /// Lictor's watch; that of the node is its default.
    fn watch(self) -> &'static str {
        match self {
            Self::Node => "",
            Self::Datacenter | Self::Service => "[[watch]]\ntype = \"checks\"\nscope = \"datacenter\"",
        }
    }

    /// Lictor's rule: where it names no service, the datacenter is asked as a whole.
    fn matches(self) -> String {
        match self {
            Self::Node | Self::Datacenter => format!("match = {{ check_id = \"{CHECK}\" }}"),
            Self::Service => "match = { service = \"web\" }".into(),
        }
    }
}

fn bare(job: &Job<'_>) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["bare", job.agent, &job.scope.path(job.place), CHECK]).arg(job.file);
    command
}

/// The bare client that notes each transition.
pub(crate) fn counting_bare(job: &Job<'_>) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["count", job.agent, &job.scope.path(job.place)]).arg(job.file);
    command
}

/// It always follows all checks of the datacenter: it has no narrower watch of them but that of one service.
pub(crate) fn consul_watch(job: &Job<'_>) -> Command {
    Place::consul_watch(&format!("http://{}", job.agent), job.file)
}

/// Lictor with a plugin that logs a line when its `handle` begins.
fn noting_lictor(job: &Job<'_>) -> Command {
    let plugin = job.place.path("misbehave.wasm");
    let receiver = format!("plugin = \"{}\"\nconfig = {{ do = \"note\" }}", plugin.display());
    run(job, &job.scope.matches(), &receiver)
}

/// Lictor with a plugin that does nothing with each change of a status, as the handler of `consul watch` does nothing.
pub(crate) fn idle_lictor(job: &Job<'_>) -> Command {
    let plugin = job.place.path("misbehave.wasm");
    run(job, "", &format!("plugin = \"{}\"\nconfig = {{ do = \"ok\" }}", plugin.display()))
}

fn run(job: &Job<'_>, matches: &str, receiver: &str) -> Command {
    let data: PathBuf = job.place.path(&format!("{:?}", job.scope));
    let config = format!(
        r#"
        [agent]
        data_dir = "{}"
        [consul]
        address = "http://{}"
        {}
        # Each transition is to be delivered, however often a check goes to and fro.
        [inhibit]
        flapping = false
        [[rules]]
        name = "all"
        on = ["check.status"]
        {matches}
        receivers = ["note"]
        [receivers.note]
        {receiver}
        "#,
        data.display(),
        job.agent,
        job.scope.watch()
    );
    let file = data.with_extension("toml");
    fs::write(&file, config).unwrap();
    let mut command = lictor::command();
    command.args(["run", "--log-format", "json", "-c"]).arg(file);
    command
}
