//! Does what its configuration says, above all what no plugin should: each way in which a guest can harm its host
//! is one value of `do`.

use std::{
    hash::{BuildHasher as _, RandomState},
    hint::black_box,
    io::Read as _,
    net::{TcpStream, ToSocketAddrs as _, UdpSocket},
    time::{Duration, SystemTime},
};

use lictor_sdk::{
    Delivery, Description, Failure, Plugin, Request, append, duration, exec::Command, http, kv, kv_store,
    log, smtp, watch,
};
use serde::Deserialize;

const MIB: usize = 1 << 20;

/// Numbers that are added up: more than two milliseconds on any machine.
const COMPUTED: u32 = 5_000_000;

/// The plugin.
pub struct Misbehave;

/// What to do. With `request`, the plugin says beforehand what it will ask for; without, it only asks.
#[derive(Deserialize)]
#[serde(tag = "do", rename_all = "snake_case", deny_unknown_fields)]
pub enum Config {
    /// Answers with a receipt.
    Ok,
    /// Appends the delivery's id.
    Stamp {
        /// Where to.
        path: String,
        /// Whether to request it.
        #[serde(default)]
        request: bool,
    },
    /// Tells in its receipt what it finds of the machine that it runs on.
    Look,
    /// Logs a line as the first thing that it does.
    Note,
    /// Asks for eleven thousand grants.
    ManyRequests,
    /// Panics.
    Trap,
    /// Computes for some milliseconds, as a plugin may.
    Compute,
    /// Spins for ever.
    Loop,
    /// Takes memory until there is none.
    Eat,
    /// Calls itself until the stack ends.
    Recurse,
    /// Logs for ever.
    Flood,
    /// Logs one line of 32 MiB.
    HugeLog,
    /// Prints 40 KB to each standard stream, and is done.
    Chatter,
    /// Runs a command of a million empty arguments.
    ManyStrings,
    /// Asks for the time for ever.
    Calls,
    /// Asks for what is not granted, for ever.
    Refusals,
    /// Asks for what is not granted and has almost a megabyte of a name, for ever.
    LongRefusals,
    /// Sends a mail to as many as may be, for ever.
    Mails {
        /// From whom.
        from: String,
        /// To whom, each time.
        to: String,
    },
    /// Sleeps for an hour.
    Nap,
    /// Runs a command and reports what it got; gives up when it is refused or fails.
    Exec {
        /// What to run.
        command: Vec<String>,
        /// For how long.
        #[serde(default = "default_timeout", with = "duration")]
        timeout: Duration,
        /// Whether to request it.
        #[serde(default)]
        request: bool,
    },
    /// Appends a line, or gives up.
    Append {
        /// Where to.
        path: String,
        /// Whether to request it.
        #[serde(default)]
        request: bool,
    },
    /// Sends a request and reports what it got, or gives up.
    Http {
        /// Its method.
        method: String,
        /// Where to.
        url: String,
        /// Whether to request it.
        #[serde(default)]
        request: bool,
    },
    /// Sends a mail and reports what it got, or gives up.
    Smtp {
        /// From whom.
        from: String,
        /// To whom.
        to: Vec<String>,
        /// Whether to request it.
        #[serde(default)]
        request: bool,
    },
    /// Counts its calls, and reports how many there were, or gives up.
    Count {
        /// Bytes that it says it keeps.
        request: Option<u32>,
    },
    /// Reads a key of Consul, and which keys there are, and reports both, or gives up.
    Keys {
        /// The key.
        key: String,
        /// How the keys begin.
        prefix: String,
        /// Whether to request it.
        #[serde(default)]
        request: bool,
    },
    /// Reads what the rule's watch has, or gives up.
    Current,
    /// Fails for now.
    Transient,
    /// Fails for good.
    Permanent,
    /// Fails for two seconds.
    RetryAfter,
    /// Waits in the host for a command that takes its time, and reports whatever came of it.
    Sleep {
        /// What to run.
        command: Vec<String>,
        /// For how long.
        #[serde(default = "default_timeout", with = "duration")]
        timeout: Duration,
        /// Whether to request it.
        #[serde(default)]
        request: bool,
    },
    /// Has a command run out of time, again and again.
    Programs {
        /// What to run.
        command: Vec<String>,
    },
    /// Answers with 24 MiB.
    BigResult,
    /// Answers with a text that is not in its memory.
    WildResult,
    /// Answers with a text that is none.
    NotText,
    /// Ends its process.
    Exit,
}

fn default_timeout() -> Duration {
    Duration::from_secs(30)
}

impl Plugin for Misbehave {
    type Config = Config;

    fn describe() -> Description {
        Description {
            name: "misbehave".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            summary: env!("CARGO_PKG_DESCRIPTION").into(),
            config_schema: r#"{ "type": "object", "required": ["do"] }"#.into(),
        }
    }

    fn requests(config: &Config) -> Result<Vec<Request>, String> {
        Ok(match config {
            Config::Exec { command, timeout, request: true }
            | Config::Sleep { command, timeout, request: true } => vec![Request::exec(command, *timeout)],
            Config::Append { path, request: true } | Config::Stamp { path, request: true } => {
                vec![Request::append(path)]
            }
            Config::Http { method, url, request: true } => vec![Request::http(method, url)],
            Config::Smtp { from, to, request: true } => vec![Request::smtp(from, to)],
            Config::Count { request: Some(size) } => vec![Request::kv_store(*size)],
            Config::Keys { prefix, request: true, .. } => vec![Request::kv(prefix)],
            Config::ManyRequests => (0..11_000).map(|number| Request::append(format!("/{number}"))).collect(),
            _ => vec![],
        })
    }

    fn handle(delivery: &Delivery, config: &Config) -> Result<String, Failure> {
        match config {
            Config::Ok => Ok("ok".into()),
            Config::Stamp { path, .. } => stamp(&delivery.id, path),
            Config::Look => Ok(look()),
            Config::Note => {
                log::info("in handle");
                Ok("noted".into())
            }
            Config::Trap | Config::ManyRequests => panic!("asked to"),
            Config::Compute => receipt(&(0..COMPUTED).fold(0_u32, |sum, number| black_box(sum ^ number))),
            Config::Loop => loop {
                black_box(());
            },
            Config::Eat => eat(),
            Config::Recurse => Ok(recurse().to_string()),
            Config::Flood => loop {
                log::info("a line of a flood");
            },
            Config::Chatter => Ok(chatter()),
            Config::HugeLog => {
                log::info("x".repeat(32 * MIB));
                Ok("logged".into())
            }
            Config::ManyStrings => receipt(&Command::new(vec![""; MIB]).run()),
            Config::Calls => loop {
                black_box(SystemTime::now());
            },
            Config::Refusals => loop {
                black_box(append::append("/forbidden", "")).ok();
            },
            Config::LongRefusals => long_refusals(),
            Config::Mails { from, to } => mails(&delivery.id, from, to),
            Config::Nap => receipt(&std::thread::sleep(Duration::from_hours(1))),
            Config::Exec { command, timeout, .. } => {
                receipt(&Command::new(command).stdin("standard input\n").timeout(*timeout).run()?)
            }
            Config::Append { path, .. } => receipt(&append::append(path, "a line\n")?),
            Config::Http { method, url, .. } => {
                receipt(&http::Request::new(method, url).body("a body").send()?)
            }
            Config::Smtp { from, to, .. } => receipt(
                &smtp::Message::new(&delivery.id, from, to).subject("a subject").body("a body").send()?,
            ),
            Config::Count { .. } => count(),
            Config::Keys { key, prefix, .. } => {
                let value = kv::get(key)?.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
                receipt(&(value, kv::keys(prefix)?))
            }
            Config::Current => receipt(&watch::current()?),
            Config::Transient => Err(Failure::transient("not now")),
            Config::Permanent => Err(Failure::permanent("never")),
            Config::RetryAfter => Err(Failure::retry_after("later", Duration::from_secs(2))),
            Config::Programs { command } => programs(command),
            Config::Sleep { command, timeout, .. } => receipt(&Command::new(command).timeout(*timeout).run()),
            Config::BigResult => Ok("x".repeat(24 * MIB)),
            Config::WildResult => Ok(wild()),
            Config::NotText => Ok(not_text()),
            Config::Exit => std::process::exit(3),
        }
    }
}

lictor_sdk::export!(Misbehave);

/// The delivery was made, and the receipt tells what of it.
#[expect(clippy::unnecessary_wraps, reason = "it is what each arm of `handle` ends with")]
fn receipt(result: &impl std::fmt::Debug) -> Result<String, Failure> {
    Ok(format!("{result:?}"))
}

fn count() -> Result<String, Failure> {
    let count = kv_store::get("calls")?.map_or(0, |bytes| bytes[0]) + 1;
    kv_store::set("calls", [count])?;
    receipt(&count)
}

fn stamp(id: &str, path: &str) -> Result<String, Failure> {
    append::append(path, format!("{id}\n"))?;
    Ok("stamped".into())
}

/// What a program could know a machine by.
#[expect(clippy::disallowed_types, reason = "a guest has no other clock")]
fn look() -> String {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let start = std::time::Instant::now();
    let mut elapsed = start.elapsed();
    while elapsed.is_zero() {
        elapsed = start.elapsed();
    }
    let mut input = Vec::new();
    let found = [
        format!("variables {}", std::env::vars_os().count()),
        format!("arguments {}", std::env::args_os().count()),
        format!("folder {}", std::env::current_dir().is_ok_and(|folder| folder.read_dir().is_ok())),
        format!("root {}", std::fs::read_dir("/").is_ok()),
        format!("host name {}", std::fs::read_to_string("/etc/hostname").is_ok()),
        format!("file {}", std::fs::write("/tmp/misbehave", "here").is_ok()),
        format!("input {:?}", std::io::stdin().read_to_end(&mut input).ok()),
        format!(
            "tcp {}",
            TcpStream::connect("127.0.0.1:80")
                .map_or_else(|error| error.kind().to_string(), |_| "yes".into())
        ),
        format!(
            "udp {}",
            UdpSocket::bind("127.0.0.1:0").map_or_else(|error| error.kind().to_string(), |_| "yes".into())
        ),
        format!("name {}", ("localhost", 80).to_socket_addrs().is_ok()),
        format!("clocks {} {}", since.subsec_nanos() % 1_000_000, elapsed.subsec_nanos() % 1_000_000),
        format!("random {:x}", RandomState::new().hash_one(0)),
    ];
    found.join(", ")
}

/// A text at the end of the address space, where no memory is.
#[expect(clippy::same_length_and_capacity, reason = "so that nobody tries to shrink it")]
fn wild() -> String {
    const AT: usize = 0xffff_ff00;
    // SAFETY: there is none. The host has to find out before it reads a byte.
    unsafe { String::from_raw_parts(std::ptr::without_provenance_mut(AT), 0x80, 0x80) }
}

fn not_text() -> String {
    // SAFETY: there is none. The host has to find out that these bytes are no UTF-8.
    unsafe { String::from_utf8_unchecked(vec![0xff; 8]) }
}

fn eat() -> ! {
    let mut eaten = Vec::new();
    loop {
        eaten.push(black_box(vec![1_u8; MIB]));
    }
}

fn chatter() -> String {
    for number in 0..400 {
        println!("line {number} {}", "-".repeat(90));
        eprintln!("line {number} {}", "-".repeat(90));
    }
    "said".into()
}

/// Has the command run out of time, for ever.
fn programs(command: &[String]) -> ! {
    loop {
        black_box(Command::new(command).timeout(Duration::from_millis(1)).run()).ok();
    }
}

fn long_refusals() -> ! {
    let path = format!("/{}", "x".repeat(MIB - 100));
    loop {
        black_box(append::append(&path, "")).ok();
    }
}

fn mails(id: &str, from: &str, to: &str) -> ! {
    let to = vec![to.to_owned(); 500];
    loop {
        black_box(smtp::Message::new(id, from, &to).subject("a subject").body("a body").send()).ok();
    }
}

#[expect(unconditional_recursion, reason = "what it is for")]
fn recurse() -> u64 {
    // The black box keeps the compiler from making a loop of it.
    black_box(recurse()) + 1
}
