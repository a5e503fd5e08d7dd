//! `lictor run`: the sidecar.

use anyhow::Context;

use super::{ConfigArgs, runtime, variable};
use crate::app::{self, AppError};
use crate::config::{Config, Look};
use crate::shutdown::Shutdown;

pub(super) fn run(args: &ConfigArgs) -> Result<(), AppError> {
    let config = Config::load(&args.paths, &variable, Look::Everywhere)?;
    runtime()?.block_on(async {
        let shutdown = Shutdown::on_signals().context("follow signals")?;
        app::run(config, &shutdown).await
    })
}
