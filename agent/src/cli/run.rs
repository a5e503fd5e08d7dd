//! `lictor run`: the sidecar.

use anyhow::Context;

use super::{ConfigArgs, runtime, variable};
use crate::app::{self, AppError};
use crate::config::Look;
use crate::shutdown::Shutdown;

pub(super) fn run(args: &ConfigArgs) -> Result<(), AppError> {
    let runtime = runtime()?;
    let ended = runtime.block_on(async {
        let config = app::load(&args.paths, &variable, Look::Everywhere).await?;
        let shutdown = Shutdown::on_signals().context("follow signals")?;
        app::run(config, &shutdown).await
    });
    // A plugin that is still being compiled is not waited for.
    runtime.shutdown_background();
    ended
}
