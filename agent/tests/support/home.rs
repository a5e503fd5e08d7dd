//! A folder for one Lictor of a test: its configuration, its data, its log, and what its plugins write.

use std::fs::{self, DirBuilder, File};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

use rusqlite::{Connection, OpenFlags, Row};
use serde_json::Value;
use tempfile::TempDir;

use super::eventually;
use super::guest::guest;
use super::lictor::{Lictor, command};
use super::small_disk::SmallDisk;

/// Loads every plugin that a test may use, so that its compiled code is there afterwards.
const WARM_UP: &str = r#"
agent.data_dir = "."
receivers.shell = { plugin = "shell", config = { command = ["/bin/true"] } }
receivers.file = { plugin = "file", config = { path = "/tmp/x" } }
receivers.webhook = { plugin = "webhook", config = { url = "http://127.0.0.1:9/x" } }
receivers.email = { plugin = "email", config = { from = "a@example.com", to = ["a@example.com"] }, allow.smtp = { relay = "smtp://127.0.0.1:9" } }
receivers.misbehave = { plugin = "misbehave.wasm", config = { do = "ok" } }
"#;

/// A folder of a test's own, deleted on drop. It survives the Lictors that run in it.
pub struct Home {
    dir: TempDir,
}

/// A delivery as the store has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// The idempotency key.
    pub id: String,
    /// The rule that wanted it.
    pub rule: String,
    /// Who gets it.
    pub receiver: String,
    /// What it is about: `<node>/<check>`.
    pub subject: String,
    /// `pending`, `running`, `delivered` or `dead`.
    pub state: String,
    /// How many were begun.
    pub attempts: u32,
    /// A word for how the last attempt ended; empty before.
    pub outcome: String,
    /// The receipt, or why it failed; empty before.
    pub detail: String,
    /// Milliseconds from its commit to its end; none while it is open.
    pub took: Option<i64>,
    /// The event's short type, such as `check.status`.
    pub kind: String,
    /// The event's data.
    pub data: Value,
}

impl Delivery {
    /// A text attribute of the event; null is empty.
    pub fn word(&self, name: &str) -> &str {
        self.data[name].as_str().unwrap_or_default()
    }
}

impl Home {
    /// An empty folder. Its path has no symbolic links, as grants want it.
    pub fn new() -> Self {
        // Beside the shared compiled code, so that it can be linked instead of copied.
        let parent = Path::new(env!("CARGO_TARGET_TMPDIR")).canonicalize().unwrap();
        Self { dir: TempDir::new_in(parent).unwrap() }
    }

    /// A folder whose `data` holds the plugins' compiled code, so that a start takes no seconds.
    pub fn warm() -> Self {
        let home = Self::new();
        let plugins = home.path("data/plugins");
        DirBuilder::new().recursive(true).mode(0o700).create(&plugins).unwrap();
        for file in fs::read_dir(compiled()).unwrap() {
            let file = file.unwrap();
            fs::hard_link(file.path(), plugins.join(file.file_name())).unwrap();
        }
        home
    }

    /// Like [`warm`](Self::warm), with its data on a disk of their own.
    pub fn warm_on_small_disk() -> (Self, SmallDisk) {
        let home = Self::new();
        let disk = SmallDisk::mount(&home.path("data"));
        let plugins = home.path("data/plugins");
        DirBuilder::new().mode(0o700).create(&plugins).unwrap();
        for file in fs::read_dir(compiled()).unwrap() {
            let file = file.unwrap();
            fs::copy(file.path(), plugins.join(file.file_name())).unwrap();
        }
        (home, disk)
    }

    /// The absolute path of `name`, which is relative to the folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Writes a file, and gives its path as a text for a configuration.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        let path = self.path(name);
        fs::write(&path, content).unwrap();
        path.into_os_string().into_string().unwrap()
    }

    /// Writes a program of `/bin/sh`, and gives its path. It runs with this folder as `$home`.
    pub fn script(&self, name: &str, body: &str) -> String {
        let home = self.dir.path().display();
        let path = self.write(name, format!("#!/bin/sh\nhome={home}\n{body}\n"));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    /// Writes the guest that misbehaves, as the operator's own plugin, and gives its path.
    pub fn misbehave(&self) -> String {
        self.write("misbehave.wasm", guest())
    }

    /// The lines of a file; none while it is not there.
    pub fn lines(&self, name: &str) -> Vec<String> {
        fs::read_to_string(self.path(name)).unwrap_or_default().lines().map(String::from).collect()
    }

    /// Waits until a file has `count` lines, and gives back all that it has.
    pub async fn wait_for_lines(&self, name: &str, count: usize) -> Vec<String> {
        let lines = eventually(async || Some(self.lines(name)).filter(|lines| lines.len() >= count)).await;
        lines.unwrap_or_else(|| panic!("{name} has fewer than {count} lines: {:?}", self.lines(name)))
    }

    /// Runs Lictor with `config`, whose paths are relative to this folder and whose data are in `data`.
    pub fn start(&self, config: &str) -> Lictor {
        Lictor::start(self.dir.path(), &Self::whole(config))
    }

    fn whole(config: &str) -> String {
        format!("agent.data_dir = \"data\"\nagent.environment = \"test\"\n{config}")
    }

    /// Runs Lictor for the first time, and waits until it has taken in what Consul has: what comes later is
    /// news.
    pub async fn follow(&self, config: &str) -> Lictor {
        self.followed(self.start(config), config).await
    }

    /// The same by a command that runs the binary with what is added to it.
    pub async fn follow_by(&self, config: &str, command: Command) -> Lictor {
        self.followed(Lictor::start_by(self.dir.path(), &Self::whole(config), command), config).await
    }

    async fn followed(&self, mut lictor: Lictor, config: &str) -> Lictor {
        let watches = config.matches("[[watch]]").count().max(1);
        lictor.until("commit a first answer of each watch", async || self.committed(watches)).await;
        lictor
    }

    /// Runs a verb of Lictor in this folder to its end.
    pub fn run(&self, arguments: &[&str]) -> Output {
        command().args(arguments).current_dir(self.dir.path()).output().unwrap()
    }

    /// All deliveries, in the order in which they were committed; none while there is no store.
    pub fn deliveries(&self) -> Vec<Delivery> {
        const QUERY: &str = "SELECT delivery.id, rule, receiver, delivery.subject, state, attempts,
            coalesce(outcome, ''), coalesce(detail, ''), settled_at - created_at, kind, data
            FROM delivery JOIN event ON event.seq = delivery.event ORDER BY delivery.seq";
        self.query(QUERY, |row| {
            Ok(Delivery {
                id: row.get(0)?,
                rule: row.get(1)?,
                receiver: row.get(2)?,
                subject: row.get(3)?,
                state: row.get(4)?,
                attempts: row.get(5)?,
                outcome: row.get(6)?,
                detail: row.get(7)?,
                took: row.get(8)?,
                kind: row.get::<_, String>(9)?.trim_start_matches("lictor.").to_owned(),
                data: serde_json::from_str(&row.get::<_, String>(10)?).unwrap(),
            })
        })
    }

    /// The outcomes of all attempts of a delivery, in their order.
    pub fn attempts(&self, id: &str) -> Vec<String> {
        let query = "SELECT attempt.outcome FROM attempt JOIN delivery ON delivery.seq = attempt.delivery
            WHERE delivery.id = ?1 ORDER BY attempt.number";
        let connection = self.database().expect("there is a delivery, so there is a store");
        let mut statement = connection.prepare(query).unwrap();
        statement.query_map([id], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
    }

    /// How many attempts were cut off by the end of a Lictor.
    pub fn interrupted(&self) -> usize {
        self.query("SELECT 1 FROM attempt WHERE outcome = 'interrupted'", |_| Ok(())).len()
    }

    /// Waits until `count` deliveries are settled and none is open, and gives back all.
    pub async fn settled(&self, lictor: &mut Lictor, count: usize) -> Vec<Delivery> {
        let is_settled = |delivery: &Delivery| ["delivered", "dead"].contains(&delivery.state.as_str());
        let what = format!("settle {count} deliveries");
        let settled = lictor.until(&what, async || {
            let deliveries = self.deliveries();
            (deliveries.len() >= count && deliveries.iter().all(is_settled)).then_some(deliveries)
        });
        settled.await
    }

    /// The last committed states of all checks.
    pub fn snapshot(&self) -> Vec<Value> {
        self.query("SELECT state FROM snapshot ORDER BY key", |row| {
            Ok(serde_json::from_str(&row.get::<_, String>(0)?).unwrap())
        })
    }

    fn committed(&self, watches: usize) -> Option<()> {
        let rows = self.query("SELECT 1 FROM watch", |row| row.get::<_, i64>(0));
        (rows.len() >= watches).then_some(())
    }

    /// What a query gives; nothing while Lictor is about to make the store.
    pub fn query<T>(&self, query: &str, read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>) -> Vec<T> {
        let rows = self.database().and_then(|connection| {
            let mut statement = connection.prepare(query).ok()?;
            statement.query_map((), read).ok()?.collect::<Result<_, _>>().ok()
        });
        rows.unwrap_or_default()
    }

    fn database(&self) -> Option<Connection> {
        let path = self.path("data/lictor.db");
        Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY).ok()
    }
}

/// The folder of compiled code that all tests of all processes share. The first one fills it while the
/// others wait, since a debug build of the compiler takes seconds for each plugin.
fn compiled() -> &'static Path {
    static COMPILED: OnceLock<PathBuf> = OnceLock::new();
    COMPILED.get_or_init(|| {
        let shared = Path::new(env!("CARGO_TARGET_TMPDIR")).join("lictor");
        // A look at the configuration uses a folder of compiled code, but makes none.
        DirBuilder::new().recursive(true).mode(0o700).create(shared.join("plugins")).unwrap();
        let lock = File::create(shared.join("lock")).unwrap();
        lock.lock().unwrap();
        fs::write(shared.join("misbehave.wasm"), guest()).unwrap();
        fs::write(shared.join("lictor.toml"), WARM_UP).unwrap();
        let warmed = command().args(["validate", "-c"]).arg(shared.join("lictor.toml")).output().unwrap();
        assert!(warmed.status.success(), "{}", String::from_utf8_lossy(&warmed.stderr));
        shared.join("plugins")
    })
}
