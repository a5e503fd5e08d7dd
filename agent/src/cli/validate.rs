//! `lictor validate`: is the configuration right, and what may its plugins do?

use std::io::{self, Write};

use anyhow::Context;

use super::{ConfigArgs, counted, runtime, variable};
use crate::app::{self, AppError, Granted, Sources};
use crate::config::{Look, Watch};

pub(super) fn validate(args: &ConfigArgs, offline: bool) -> Result<(), AppError> {
    let look = if offline { Look::Inside } else { Look::Everywhere };
    let (config, granted) = runtime()?.block_on(async {
        let config = app::load(Sources { paths: &args.paths, env: &variable }, look).await?;
        let granted = app::check(&config, look).await?;
        Ok::<_, AppError>((config, granted))
    })?;
    let (rules, receivers) = (counted(config.rules.len(), "rule"), counted(granted.len(), "receiver"));
    let followed: String = config.watches.iter().map(followed).collect();
    let grants: String = granted.iter().map(in_words).collect();
    let text = format!("{followed}\n{grants}The configuration is right: {rules}, {receivers}.\n");
    Ok(io::stdout().write_all(text.as_bytes()).context("write to the standard output")?)
}

/// What is asked of Consul, and what that costs.
fn followed(watch: &Watch) -> String {
    let cost = if watch.what.is_wide() {
        " (each change sends all of them, to every Lictor that has this watch, and its rules fire beside each)"
    } else {
        ""
    };
    format!("follows {}{cost}\n", watch.what.in_words())
}

/// What a person reads before giving the grants.
fn in_words(granted: &Granted) -> String {
    let Granted { receiver, plugin, grants } = granted;
    let grants = if grants.is_empty() { "may do nothing".to_owned() } else { grants.join("\n    ") };
    format!("{receiver} (plugin {plugin})\n    {grants}\n\n")
}
