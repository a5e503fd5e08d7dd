//! A Lictor that runs: one configuration after another on the same store.

use std::mem;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context;
use jiff::Timestamp;
use lictor_host::Host;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tracing::{error, info, warn};

use super::receivers::Ready;
use super::running::{Place, Running};
use super::status::Status;
use super::{AppError, Sources, compiled, host, load, tell_left, tell_warnings};
use crate::admin::Question;
use crate::config::{Config, Look};
use crate::consul::Client;
use crate::metrics::Metrics;
use crate::pipeline::History;
use crate::shutdown::Shutdown;
use crate::store::Store;

/// What there is from the start to the end.
pub(super) struct Life<'a> {
    pub(super) running: Running,
    /// Earlier configurations, whose calls come to their end.
    pub(super) retired: JoinSet<()>,
    pub(super) store: Store,
    pub(super) data_dir: PathBuf,
    pub(super) sources: Sources<'a>,
    pub(super) shutdown: &'a Shutdown,
    pub(super) metrics: Metrics,
    pub(super) started_at: Timestamp,
}

/// Who waits to hear how a reload went.
type Reply = Option<oneshot::Sender<Result<String, String>>>;

impl Life<'_> {
    /// Does what is asked. Breaks off where that broke Lictor.
    pub(super) async fn answer(&mut self, question: Question) -> ControlFlow<()> {
        match question {
            Question::Look => {
                self.running.inlets().wake_all();
                if let Err(error) = self.running.look_at_silences(&self.store).await {
                    warn!(error = in_words(error), "The silences stay as they were.");
                }
                ControlFlow::Continue(())
            }
            Question::Status(reply) => {
                let status = Status::of(&self.running.loaded, &self.metrics, self.started_at);
                // Whoever asked may be gone.
                drop(reply.send(status.to_json()));
                ControlFlow::Continue(())
            }
            Question::Reload(reply) => self.reload(Some(reply)).await,
        }
    }

    /// Takes the configuration anew, whole or not at all, and says how that went.
    pub(super) async fn reload(&mut self, reply: Reply) -> ControlFlow<()> {
        let (said, flow) = match self.take_anew().await {
            Ok(said) => (Ok(said), ControlFlow::Continue(())),
            Err(Refusal::Kept(reason)) => {
                error!(reason, "The configuration is not taken; Lictor goes on with the one that it has.");
                (Err(reason), ControlFlow::Continue(()))
            }
            Err(Refusal::Broke(reason)) => {
                error!(reason, "Lictor broke while it took a configuration.");
                (Err(reason), ControlFlow::Break(()))
            }
        };
        if let Some(reply) = reply {
            // Whoever asked may be gone.
            drop(reply.send(said));
        }
        flow
    }

    async fn take_anew(&mut self) -> Result<String, Refusal> {
        let kept = |error: AppError| Refusal::Kept(in_words(error));
        let config = load(self.sources, Look::Everywhere).await.map_err(kept)?;
        tell_warnings(&config);
        if config.agent.data_dir != self.data_dir {
            let data_dir = self.data_dir.display();
            return Err(Refusal::Kept(format!(
                "[agent] data_dir is {data_dir} as long as Lictor runs: restart it to change that\n"
            )));
        }
        let client =
            Client::new(&config.consul).context("reach Consul").map_err(|error| kept(error.into()))?;
        let host = host(&config.receivers, Some(compiled(&self.data_dir))).map_err(kept)?;
        let ready = super::ready_to_run(&config, &host);
        let Some(ready) = self.shutdown.drain.run_until_cancelled(ready).await else {
            return Err(Refusal::Kept("Lictor is ending\n".into()));
        };
        let ready = ready.map_err(|faults| kept(faults.into()))?;
        self.swap(&config, Arc::clone(&host), ready, &client)
            .await
            .map_err(|error| Refusal::Broke(in_words(error)))?;
        let (rules, receivers) = (config.rules.len(), config.receivers.len());
        info!(rules, receivers, "Lictor runs with the configuration as it is now.");
        lictor_host::give_back_code();
        Ok("Lictor runs with the configuration as it is now.\n".into())
    }

    /// Has the parts of `config` go on where those that run are.
    async fn swap(
        &mut self,
        config: &Config,
        host: Arc<Host>,
        ready: Vec<Ready<'_>>,
        client: &Client,
    ) -> Result<(), AppError> {
        self.running.stop().await;
        let earlier = self.running.inlets();
        let metrics = self.metrics.clone();
        let place = Place { store: &self.store, client, history: History::Live, earlier, metrics };
        let next = Running::start(config, host, ready, place, self.shutdown.part()).await?;
        let last = mem::replace(&mut self.running, next);
        self.retired.spawn(last.finish());
        tell_left(&self.store, config).await
    }

    /// Waits for the end of all parts, after the process was told to end.
    pub(super) async fn end(mut self) -> Result<(), AppError> {
        self.running.finish().await;
        while self.retired.join_next().await.is_some() {}
        Ok(self.store.close().await.context("close the store")?)
    }
}

/// Why a configuration is not taken.
enum Refusal {
    /// Nothing changed.
    Kept(String),
    /// The last one was stopped already.
    Broke(String),
}

fn in_words(error: AppError) -> String {
    match error {
        AppError::Config(faults) => faults.to_string(),
        AppError::Unavailable(error) => format!("failed to {error:#}\n"),
    }
}
