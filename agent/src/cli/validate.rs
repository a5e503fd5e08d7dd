//! `lictor validate`: is the configuration right, and what may its plugins do?

use std::io::{self, Write};

use anyhow::Context;

use super::{ConfigArgs, counted, number_of, runtime, shown, variable};
use crate::app::{self, AppError, Granted, Plan, Sources};
use crate::config::{Config, Look, Watch};

pub(super) fn validate(args: &ConfigArgs, offline: bool, deny_warnings: bool) -> Result<(), AppError> {
    let look = if offline { Look::Inside } else { Look::Everywhere };
    let (config, granted) = runtime()?.block_on(async {
        let config = app::load(Sources { paths: &args.paths, env: &variable }, look).await?;
        let granted = app::check(&config, look).await?;
        Ok::<_, AppError>((config, granted))
    })?;
    let (rules, receivers) = (counted(config.rules.len(), "rule"), counted(granted.len(), "receiver"));
    let followed: String = config.watches.iter().map(|watch| followed(&config, watch)).collect();
    let grants: String = granted.iter().map(in_words).collect();
    let text = format!("{followed}\n{grants}The configuration is right: {rules}, {receivers}.\n");
    if deny_warnings && !config.warnings.is_empty() {
        return Err(config.warnings.into());
    }
    io::stdout().write_all(text.as_bytes()).context("write to the standard output")?;
    if config.warnings.is_empty() {
        return Ok(());
    }
    let text = format!("\n{}\n{}.\n", shown(&config.warnings), number_of(&config.warnings));
    Ok(io::stderr().write_all(text.as_bytes()).context("write to the standard error")?)
}

/// What is asked of Consul, and what that costs.
fn followed(config: &Config, watch: &Watch) -> String {
    let cost = |sent: &str| {
        format!(
            "(each change sends {sent}, to every Lictor that has this watch, and its rules fire beside each)"
        )
    };
    let what = watch.what.in_words();
    match Plan::of(watch, &config.rules) {
        Plan::Services(services) => {
            let names = services.into_iter().collect::<Vec<_>>().join(", ");
            let cost = cost("the checks of one service");
            format!("follows {what} of these services, by a query for each of them: {names} {cost}\n")
        }
        Plan::Wide(because) => {
            format!("follows {what} by one query, since {because} {}\n", cost("all of them"))
        }
        Plan::AsItIs if watch.what.is_wide() => format!("follows {what} {}\n", cost("all of them")),
        Plan::AsItIs => format!("follows {what}\n"),
    }
}

/// What a person reads before giving the grants.
fn in_words(granted: &Granted) -> String {
    let Granted { receiver, plugin, grants } = granted;
    let grants = if grants.is_empty() { "may do nothing".to_owned() } else { grants.join("\n    ") };
    format!("{receiver} (plugin {plugin})\n    {grants}\n\n")
}
