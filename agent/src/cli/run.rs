//! `lictor run`: the sidecar.

use anyhow::Context;

use super::{ConfigArgs, inherited, runtime, variable};
use crate::app::{self, AppError, Sources};
use crate::config::Look;
use crate::shutdown::Shutdown;

pub(super) fn run(args: &ConfigArgs) -> Result<(), AppError> {
    inherited::close_on_exec();
    let runtime = runtime()?;
    let ended = runtime.block_on(async {
        let sources = Sources { paths: &args.paths, env: &variable };
        let config = app::load(sources, Look::Everywhere).await?;
        let shutdown = Shutdown::on_signals().context("follow signals")?;
        app::run(config, sources, &shutdown).await
    });
    // A plugin that is still being compiled is not waited for.
    runtime.shutdown_background();
    ended
}
