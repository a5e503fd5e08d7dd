//! `lictor migrate`: what an operator has, as Lictor's configuration.

use std::env;
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Subcommand;

use super::{EXIT_CONFIG, EXIT_UNAVAILABLE, failure};
use crate::migrate::{self, MigrateError};
use crate::regular;

#[derive(Subcommand)]
pub(super) enum Verb {
    /// Print the configuration that runs the handlers of an agent's `watches` unchanged, with a deadline and retries,
    /// and only when something changed. Without `[consul]` and `[agent]`, which are yours.
    Watches {
        /// Files of an agent's configuration, JSON or HCL.
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
    },
}

pub(super) fn migrate(verb: &Verb) -> ExitCode {
    let Verb::Watches { files } = verb;
    let Err(error) = watches(files) else { return ExitCode::SUCCESS };
    drop(io::stderr().write_all(failure(&error).as_bytes()));
    ExitCode::from(if error.is::<MigrateError>() { EXIT_CONFIG } else { EXIT_UNAVAILABLE })
}

fn watches(files: &[PathBuf]) -> Result<()> {
    let read = |path: &PathBuf| {
        let text = regular::text(path).with_context(|| format!("read {}", path.display()))?;
        Ok((path.display().to_string(), text))
    };
    let files = files.iter().map(read).collect::<Result<Vec<_>>>()?;
    let text = migrate::migrate(&files, &find)?;
    io::stdout().write_all(text.as_bytes()).context("write to the standard output")
}

/// The program that a shell would run.
fn find(program: &str) -> Option<String> {
    let path = env::var_os("PATH")?;
    let runs = |file: &Path| {
        fs::metadata(file).is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
    };
    let found = env::split_paths(&path).map(|folder| folder.join(program)).find(|file| runs(file))?;
    found.is_absolute().then(|| found.display().to_string())
}
