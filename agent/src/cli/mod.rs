//! The command line: one file per verb.
//!
//! Exit codes are those of `sysexits.h`, so that an init system can tell them apart.

mod config;
mod deliveries;
mod events;
mod explain;
mod inherited;
mod migrate;
mod plugin;
mod records;
mod reload;
mod run;
mod silence;
mod state;
mod status;
mod test;
mod validate;

use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::{Args, Parser, Subcommand};
use tokio::runtime::Runtime;

use crate::app::AppError;
use crate::config::{Fault, Faults, visible};
use crate::logging::{LogFormat, LogLevels};
use crate::store::RecordsError;

/// Something that Lictor needs is not there, or not to be used: the store, a signal handler.
const EXIT_UNAVAILABLE: u8 = 69;
/// What was asked for is not there, not to be done, or not whole.
const EXIT_NOT_THERE: u8 = 1;
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
        /// Take warnings for faults: exit 78 where there are some.
        #[arg(long)]
        deny_warnings: bool,
    },
    /// Say how it stands: what runs, what its calls came to, what waits, what cannot be followed; exit 69 where none runs.
    Status {
        #[command(flatten)]
        config: ConfigArgs,
        /// One JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Have a Lictor that runs take its configuration anew; one with faults changes nothing, exit 78.
    Reload(ConfigArgs),
    /// Look at deliveries, send them again, give them up; also while Lictor runs.
    #[command(subcommand)]
    Deliveries(deliveries::Verb),
    /// Show what was seen; also while Lictor does not run.
    #[command(subcommand)]
    Events(events::Verb),
    /// Play rule tests on a simulated clock, exit 1 when one fails; or what was recorded, by the rules as they are.
    Test(test::TestArgs),
    /// Send nothing of something for a while; also while Lictor runs.
    #[command(subcommand)]
    Silence(silence::Verb),
    /// Take over what Lictor replaces: print its configuration.
    #[command(subcommand)]
    Migrate(migrate::Verb),
    /// Show the configuration that counts, and which keys there are.
    #[command(subcommand)]
    Config(config::Verb),
    /// Make plugins, try them out, look at them.
    #[command(subcommand)]
    Plugin(plugin::Verb),
    /// Check and repair the store.
    #[command(subcommand)]
    State(state::Verb),
    /// Say what each rule made of an event, and what became of its deliveries; also while Lictor runs.
    Explain {
        #[command(flatten)]
        config: ConfigArgs,
        /// The event's id, or the beginning of it.
        event: String,
        /// One JSON object per line.
        #[arg(long)]
        json: bool,
    },
}

/// Where the configuration is.
#[derive(Args)]
struct ConfigArgs {
    /// A TOML file, or a folder of them; may be repeated.
    /// Without it: /etc/lictor/lictor.toml, else ./lictor.toml.
    #[arg(short = 'c', long = "config", value_name = "PATH")]
    paths: Vec<PathBuf>,
}

/// Reads the command line and does what it says.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    crate::logging::init(&cli.log_level, cli.log_format);
    match cli.verb {
        Verb::Run(config) => ended(run::run(&config)),
        Verb::Validate { config, offline, deny_warnings } => {
            ended(validate::validate(&config, offline, deny_warnings))
        }
        Verb::Reload(config) => reload::reload(&config),
        Verb::Status { config, json } => match status::status(&config, json) {
            Ok(false) => ExitCode::from(EXIT_UNAVAILABLE),
            done => looked(done.map(drop)),
        },
        Verb::State(verb) => match state::state(&verb) {
            Ok(false) => ExitCode::from(EXIT_NOT_THERE),
            done => looked(done.map(drop)),
        },
        Verb::Config(verb) => ended(config::config(&verb)),
        Verb::Migrate(verb) => migrate::migrate(&verb),
        Verb::Plugin(verb) => plugin::plugin(&verb),
        Verb::Deliveries(verb) => looked(deliveries::deliveries(&verb)),
        Verb::Test(args) => match test::test(&args) {
            Ok(false) => ExitCode::from(EXIT_NOT_THERE),
            done => tested(done.map(drop)),
        },
        Verb::Silence(verb) => looked(silence::silence(&verb)),
        Verb::Events(verb) => looked(events::events(&verb)),
        Verb::Explain { config, event, json } => looked(explain::explain(&config, &event, json)),
    }
}

/// A variable of the environment, if it is set and text.
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// Enough for all but the guests, which have threads of their own: the way of an event is short, and on one
/// thread it wakes nobody.
fn runtime() -> anyhow::Result<Runtime> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.context("start the runtime")
}

/// Says how it went, and what that means for who asked.
fn ended(result: Result<(), AppError>) -> ExitCode {
    let (text, code) = match result {
        Ok(()) => return ExitCode::SUCCESS,
        Err(AppError::Config(faults)) => (refusal(&faults), EXIT_CONFIG),
        Err(AppError::Unavailable(error)) => (failure(&error), EXIT_UNAVAILABLE),
    };
    // When the standard error is gone, the exit code is all that can be said.
    drop(io::stderr().write_all(text.as_bytes()));
    ExitCode::from(code)
}

/// The same for those who look into the store: what they ask for may not be there.
fn looked(result: anyhow::Result<()>) -> ExitCode {
    let Err(error) = result else { return ExitCode::SUCCESS };
    drop(io::stderr().write_all(failure(&error).as_bytes()));
    let asked =
        error.downcast_ref::<RecordsError>().is_some_and(|error| !matches!(error, RecordsError::Store(_)));
    ExitCode::from(if asked { EXIT_NOT_THERE } else { EXIT_UNAVAILABLE })
}

/// A test that cannot be read is one at fault.
fn tested(result: anyhow::Result<()>) -> ExitCode {
    let Err(error) = result else { return ExitCode::SUCCESS };
    drop(io::stderr().write_all(failure(&error).as_bytes()));
    ExitCode::from(EXIT_CONFIG)
}

/// What failed, without what a terminal would obey: a part of a file may be quoted in it, and a name of one. Some errors have
/// several lines.
fn failure(error: &anyhow::Error) -> String {
    let shown = |c: char| if c == '\n' { c } else { visible(c) };
    format!("lictor: failed to {}\n", format!("{error:#}").chars().map(shown).collect::<String>())
}

/// Every fault, and how many there are.
fn refusal(faults: &Faults) -> String {
    format!("{}\n{}; nothing was started.\n", shown(faults), number_of(faults))
}

/// With colours for a person at a terminal.
fn shown(faults: &Faults) -> String {
    if io::stderr().is_terminal() { faults.coloured() } else { faults.to_string() }
}

/// How many faults, or warnings.
fn number_of(faults: &Faults) -> String {
    let noun = if faults.iter().all(Fault::is_warning) { "warning" } else { "fault" };
    counted(faults.iter().len(), noun)
}

/// `1 fault`, `2 faults`.
fn counted(count: usize, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_failed_moves_no_cursor() {
        let error = anyhow::anyhow!("a\u{1b}[2J\n\u{202e}b").context("read it");
        assert_eq!(failure(&error), "lictor: failed to read it: a\u{fffd}[2J\n\u{fffd}b\n");
    }
}
