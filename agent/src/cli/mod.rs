//! The command line: one file per verb.
//!
//! Exit codes are those of `sysexits.h`, so that an init system can tell them apart.

mod run;
mod validate;

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::config::{Config, Faults};
use crate::logging::{LogFormat, LogLevels};

/// Something that Lictor needs is not there, or not to be used: the store, a signal handler.
const EXIT_UNAVAILABLE: u8 = 69;
/// The configuration is at fault.
const EXIT_CONFIG: u8 = 78;

/// Turns Consul's state into events and delivers each one to a sandboxed plugin.
#[derive(Parser)]
#[command(name = "lictor", version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,

    /// What to log: error, warn, info, debug, trace, or a list such as `info,lictor::source=debug`.
    #[arg(long, global = true, value_name = "LEVELS", env = "LICTOR_LOG", default_value = "info")]
    log_level: LogLevels,

    /// How to log: `human` for a person, `json` for a machine, one object per line.
    #[arg(long, global = true, value_name = "FORMAT", env = "LICTOR_LOG_FORMAT", default_value = "human")]
    log_format: LogFormat,
}

#[derive(Subcommand)]
enum Verb {
    /// Follow Consul and deliver events, until SIGTERM or SIGINT; a second one ends at once.
    Run(ConfigArgs),
    /// Check the configuration, and say what each receiver may do; exit 78 when it is at fault.
    Validate {
        #[command(flatten)]
        config: ConfigArgs,
        /// Leave the environment alone: do not look whether files and programs exist.
        #[arg(long)]
        offline: bool,
    },
}

/// Where the configuration is.
#[derive(Args)]
struct ConfigArgs {
    /// A TOML file, or a folder of them; may be repeated.
    /// Without it: /etc/lictor/lictor.toml, else ./lictor.toml.
    #[arg(short, long = "config", value_name = "PATH")]
    paths: Vec<PathBuf>,
}

/// Reads the command line and does what it says.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    crate::logging::init(&cli.log_level, cli.log_format);
    match cli.verb {
        Verb::Run(config) => run::run(&config),
        Verb::Validate { config, offline } => validate::validate(&config, offline),
    }
}

/// Prints every fault, and how many there are.
fn refuse(faults: &Faults) -> ExitCode {
    let mut stderr = anstream_like();
    let count = faults.len();
    let noun = if count == 1 { "fault" } else { "faults" };
    // Nothing is left to be told when the standard error is gone.
    let _ = writeln!(stderr, "{faults}\n{count} {noun}; nothing was started.");
    ExitCode::from(EXIT_CONFIG)
}
