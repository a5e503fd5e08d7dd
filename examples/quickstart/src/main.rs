//! The demonstration that `make demo` runs: a real Consul, a check that fails, four plugins that act.
//!
//! Read `play.rs` for what happens, `stage.rs` for what is started, `sighting.rs` for what counts as
//! success. Exit 0: all four plugins acted on both changes. Exit 1: something was missing. Exit 130:
//! interrupted. All processes end with the demonstration.

mod consul;
mod files;
mod http;
mod play;
mod process;
mod sighting;
mod smtp;
mod stage;
mod transcript;

use std::io::{self, Write};
use std::process::ExitCode;

use anyhow::Context;
use tokio::signal::unix::{SignalKind, signal};

use crate::stage::{Paths, shown};
use crate::transcript::Transcript;

/// What a shell gives a program that a signal ended: 128 + SIGINT.
const INTERRUPTED: u8 = 130;

#[tokio::main]
async fn main() -> ExitCode {
    let mut told = Transcript::to_stdout();
    match run(&mut told).await {
        Ok(code) => code,
        Err(error) => {
            // Standard output may be what failed.
            told.note(&format!("\nThe demonstration failed: {error:#}")).ok();
            ExitCode::FAILURE
        }
    }
}

async fn run(told: &mut Transcript<io::Stdout>) -> anyhow::Result<ExitCode> {
    // reqwest is built without a choice of its own, as in Lictor. Only this program chooses, and once.
    rustls::crypto::ring::default_provider().install_default().ok();
    let mut interrupt = signal(SignalKind::interrupt()).context("listen for SIGINT")?;
    let mut terminate = signal(SignalKind::terminate()).context("listen for SIGTERM")?;
    let paths = Paths::prepare()?;
    // Whichever ends first, what the play has started is dropped with it.
    let outcome = tokio::select! {
        outcome = play::play(&paths, told) => outcome,
        _ = interrupt.recv() => return interrupted(told),
        _ = terminate.recv() => return interrupted(told),
    };
    let missing = outcome.unwrap_or_else(|error| vec![format!("{error:#}")]);
    if missing.is_empty() {
        paths.clean_up()?;
        praise(&paths, told)?;
        return Ok(ExitCode::SUCCESS);
    }
    blame(&paths, &missing, told)?;
    Ok(ExitCode::FAILURE)
}

fn interrupted(told: &mut Transcript<io::Stdout>) -> anyhow::Result<ExitCode> {
    told.note("\nInterrupted; everything that was started has been ended.")?;
    Ok(ExitCode::from(INTERRUPTED))
}

fn praise<W: Write>(paths: &Paths, told: &mut Transcript<W>) -> io::Result<()> {
    let lictor = shown(paths.lictor());
    told.title(&format!(
        "All four plugins acted on both changes, in {:.1} s. What to try next:",
        told.elapsed().as_secs_f64()
    ))?;
    for (what, how) in [
        ("read the events", format!("cat {}", shown(&paths.demo("events.jsonl")))),
        ("read the configuration", "less examples/quickstart/lictor.toml".into()),
        ("see what each may do", format!("{lictor} validate -c {}", shown(&paths.demo("lictor.toml")))),
        ("have your own checked", format!("{lictor} validate -c your.toml")),
        ("run it beside your agent", format!("{lictor} run -c your.toml")),
    ] {
        told.note(&format!("  {what:<26}{how}"))?;
    }
    told.note("")
}

fn blame<W: Write>(paths: &Paths, missing: &[String], told: &mut Transcript<W>) -> io::Result<()> {
    told.title("The demonstration failed:")?;
    for line in missing {
        told.note(&format!("  - {line}"))?;
    }
    told.note(&format!("\nThe last lines of {}:", shown(&paths.demo("lictor.log"))))?;
    for line in paths.lictors_last_words() {
        told.note(&format!("  {line}"))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    /// A client for the tests of the receivers.
    pub(crate) fn client() -> reqwest::Client {
        rustls::crypto::ring::default_provider().install_default().ok();
        reqwest::Client::builder().no_proxy().build().unwrap()
    }
}
