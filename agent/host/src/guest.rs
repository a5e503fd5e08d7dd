//! What one running guest can reach: the state of its store, and the host's side of its imports.
//!
//! Boundary: passes calls on to `lictor-capability` and changes only their shape. No host call fails in
//! wasmtime's sense: what goes wrong is a value that the guest gets, so a capability can never be mistaken
//! for a trap.
//!
//! Invariant: WASI's context is empty. There are no files, sockets, arguments or variables; standard input
//! is closed, and standard output and error end in our log.

use std::sync::Arc;
use std::time::Duration;

use lictor_capability::{self as capability, Capabilities};
use tracing::Level;
use wasmtime::component::ResourceTable;
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

use crate::bindings::lictor::plugin as contract;
use crate::host::Shared;
use crate::limits::{Limits, MemoryLimiter};
use crate::log::{GuestLog, LogRate};
use crate::printed::Printed;
use crate::text;
use crate::wasi::{Clock, Randomness};

/// Handles to WASI's resources (streams, pollables) that a guest may hold at once.
const RESOURCES: usize = 1024;

/// How long each message takes that a call writes after its log is full: what is copied for nobody would slow other guests.
const FLOOD: Duration = Duration::from_millis(1);

/// Refusals that a report holds, each once, and bytes of each.
const REFUSALS: usize = 16;
const REFUSAL: usize = 4 << 10;

/// On whose behalf a guest is called.
pub(crate) struct Caller {
    /// As the log names it.
    pub(crate) receiver: String,
    /// The delivery's id; empty where there is none.
    pub(crate) delivery: String,
    /// The rule that sent it; empty where there is none.
    pub(crate) rule: String,
    /// What the receiver's grants let the guest do.
    pub(crate) capabilities: Option<Arc<Capabilities>>,
}

/// The state of the store of one call.
pub(crate) struct Guest {
    wasi: WasiCtx,
    resources: ResourceTable,
    pub(crate) clock: Clock,
    stdout: Printed,
    stderr: Printed,
    pub(crate) log: GuestLog,
    capabilities: Option<Arc<Capabilities>>,
    shared: Arc<Shared>,
    rule: String,
    /// What the call has used of what it may read and write of what it keeps.
    kept: u64,
    pub(crate) randomness: Randomness,
    pub(crate) limiter: MemoryLimiter,
    pub(crate) refusals: Vec<String>,
    pub(crate) refused: u64,
}

impl Guest {
    /// The state of an instance that nobody has called yet: it may do nothing.
    pub(crate) fn idle(shared: Arc<Shared>) -> Self {
        let (stdout, stderr, clock) = (Printed::default(), Printed::default(), Clock::default());
        // Without TCP and UDP not even a socket is opened; by default one is, and only its use is refused.
        let wasi = WasiCtx::builder()
            .stdout(stdout.clone())
            .stderr(stderr.clone())
            .allow_tcp(false)
            .allow_udp(false)
            .wall_clock(clock.clone())
            .monotonic_clock(clock.clone())
            .build();
        let mut resources = ResourceTable::new();
        resources.set_max_capacity(RESOURCES);
        let log = GuestLog::new(String::new(), String::new(), 0, LogRate::new(0));
        let limiter = MemoryLimiter::new(0);
        Self {
            wasi,
            resources,
            clock,
            stdout,
            stderr,
            log,
            capabilities: None,
            shared,
            rule: String::new(),
            kept: 0,
            randomness: Randomness::of(""),
            limiter,
            refusals: Vec::new(),
            refused: 0,
        }
    }

    /// Makes it the state for one call. Without `capabilities` every use of one is refused.
    pub(crate) fn serve(&mut self, caller: Caller, limits: &Limits) {
        self.randomness = Randomness::of(&caller.delivery);
        self.log = GuestLog::new(caller.receiver, caller.delivery, limits.log, limits.log_rate.clone());
        self.capabilities = caller.capabilities;
        self.rule = caller.rule;
        self.limiter.set_limit(limits.memory);
    }

    /// Whether it asked for something that depends on who calls it and when, or that is counted for whoever does.
    pub(crate) fn has_asked(&self) -> bool {
        let is_told = self.clock.is_used() || self.randomness.is_used();
        // What it holds may be a timer that it looks at later.
        is_told || self.refused > 0 || self.log.is_used() || !self.resources.is_empty()
    }

    /// Forwards what the guest wrote to its standard streams, and answers what it wrote to its standard
    /// error: where a runtime says why it crashed.
    pub(crate) fn close_streams(&mut self) -> String {
        let (stdout, left_out) = self.stdout.take();
        self.log.write_printed(Level::DEBUG, &stdout, left_out);
        let (stderr, left_out) = self.stderr.take();
        self.log.write_printed(Level::ERROR, &stderr, left_out);
        self.log.close();
        String::from_utf8_lossy(&stderr).into_owned()
    }

    /// The receiver's capabilities, or the words of a refusal.
    fn capabilities(&self) -> Result<Arc<Capabilities>, String> {
        self.capabilities.clone().ok_or_else(|| "only `handle` may use capabilities".into())
    }

    /// Remembers a refusal for the report, and gives its words back for the guest.
    fn refuse(&mut self, reason: String) -> String {
        self.refused += 1;
        if self.refusals.len() < REFUSALS {
            let shown = text::one_line(&reason, REFUSAL);
            if !self.refusals.contains(&shown) {
                self.refusals.push(shown);
            }
        }
        reason
    }

    fn call_error(&mut self, error: capability::CallError) -> contract::types::CallError {
        match error {
            capability::CallError::Refused(reason) => {
                contract::types::CallError::Refused(self.refuse(reason))
            }
            capability::CallError::TimedOut(reason) => contract::types::CallError::TimedOut(reason),
            capability::CallError::Failed(reason) => contract::types::CallError::Failed(reason),
        }
    }
}

impl WasiView for Guest {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.resources }
    }
}

impl contract::types::Host for Guest {}

impl contract::exec::Host for Guest {
    async fn run(
        &mut self,
        command: contract::exec::Command,
    ) -> Result<contract::exec::Output, contract::types::CallError> {
        let contract::exec::Command { argv, env, stdin, timeout_ms } = command;
        let command = capability::Command { argv, env, stdin, timeout: millis(timeout_ms) };
        let ran = match self.capabilities() {
            Ok(capabilities) => {
                let apart = |run| start(&self.shared, run);
                capabilities.exec(command, &self.shared.programs, apart).await
            }
            Err(reason) => Err(capability::CallError::Refused(reason)),
        };
        let output = ran.map_err(|error| self.call_error(error))?;
        let status = match output.status {
            capability::ExitStatus::Code(code) => contract::exec::ExitStatus::Code(code),
            capability::ExitStatus::Signal(signal) => contract::exec::ExitStatus::Signal(signal),
        };
        Ok(contract::exec::Output { status, stdout: output.stdout, stderr: output.stderr })
    }
}

/// Runs a program from a thread that is no guest's.
async fn start(
    shared: &Arc<Shared>,
    run: capability::Run,
) -> Result<capability::ExecOutput, capability::CallError> {
    shared.on_exec(run).await.unwrap_or_else(|error| {
        Err(capability::CallError::Failed(format!("Lictor's own part of it broke: {error}")))
    })
}

impl contract::append::Host for Guest {
    async fn append(&mut self, path: String, data: Vec<u8>) -> Result<(), contract::types::CallError> {
        let appended = match self.capabilities() {
            Ok(capabilities) => capabilities.append(&path, &data).await,
            Err(reason) => Err(capability::CallError::Refused(reason)),
        };
        appended.map_err(|error| self.call_error(error))
    }
}

impl contract::http::Host for Guest {
    async fn send(
        &mut self,
        request: contract::http::Request,
    ) -> Result<contract::http::Response, contract::types::CallError> {
        let contract::http::Request { method, url, headers, body, timeout_ms } = request;
        let request = capability::HttpRequest { method, url, headers, body, timeout: millis(timeout_ms) };
        let answered = match self.capabilities() {
            Ok(capabilities) => capabilities.http(request).await,
            Err(reason) => Err(capability::CallError::Refused(reason)),
        };
        let capability::HttpResponse { status, headers, body } =
            answered.map_err(|error| self.call_error(error))?;
        Ok(contract::http::Response { status, headers, body })
    }
}

impl contract::smtp::Host for Guest {
    async fn send(&mut self, message: contract::smtp::Message) -> Result<String, contract::smtp::SmtpError> {
        let contract::smtp::Message { from, to, subject, body, id, timeout_ms } = message;
        let mail = capability::Mail { from, to, subject, body, id, timeout: millis(timeout_ms) };
        let sent = match self.capabilities() {
            Ok(capabilities) => capabilities.smtp(mail).await,
            Err(reason) => Err(capability::SmtpError::Refused(reason)),
        };
        sent.map_err(|error| match error {
            capability::SmtpError::Refused(reason) => contract::smtp::SmtpError::Refused(self.refuse(reason)),
            capability::SmtpError::Transient(reason) => contract::smtp::SmtpError::Transient(reason),
            capability::SmtpError::Permanent(reason) => contract::smtp::SmtpError::Permanent(reason),
        })
    }
}

impl contract::watch::Host for Guest {
    async fn current(&mut self) -> Result<contract::watch::Answer, contract::types::CallError> {
        let read = match self.capabilities() {
            Ok(capabilities) => capabilities.current(&self.rule).await,
            Err(reason) => Err(capability::CallError::Refused(reason)),
        };
        let capability::List { index, body } = read.map_err(|error| self.call_error(error))?;
        Ok(contract::watch::Answer { index, body })
    }
}

impl Guest {
    async fn read(
        &mut self,
        call: capability::KvCall,
    ) -> Result<capability::KvAnswer, contract::types::CallError> {
        let read = match self.capabilities() {
            Ok(capabilities) => capabilities.kv(call).await,
            Err(reason) => Err(capability::CallError::Refused(reason)),
        };
        read.map_err(|error| self.call_error(error))
    }
}

impl contract::kv::Host for Guest {
    async fn get(&mut self, key: String) -> Result<Option<Vec<u8>>, contract::types::CallError> {
        Ok(self.read(capability::KvCall::Get(key)).await?.value)
    }

    async fn keys(&mut self, prefix: String) -> Result<Vec<String>, contract::types::CallError> {
        Ok(self.read(capability::KvCall::Keys(prefix)).await?.keys)
    }
}

impl Guest {
    async fn keep(
        &mut self,
        call: capability::KvStoreCall,
    ) -> Result<Option<Vec<u8>>, contract::types::CallError> {
        let kept = match self.capabilities() {
            Ok(capabilities) => capabilities.kv_store(call, &mut self.kept).await,
            Err(reason) => Err(capability::CallError::Refused(reason)),
        };
        if let Err(capability::CallError::Failed(reason)) = &kept {
            // What is wrong with our own file is the operator's to mend, whatever the plugin makes of it.
            self.log.write(Level::WARN, reason);
        }
        kept.map_err(|error| self.call_error(error))
    }
}

impl contract::kv_store::Host for Guest {
    async fn get(&mut self, key: String) -> Result<Option<Vec<u8>>, contract::types::CallError> {
        self.keep(capability::KvStoreCall::Get(key)).await
    }

    async fn set(&mut self, key: String, value: Vec<u8>) -> Result<(), contract::types::CallError> {
        self.keep(capability::KvStoreCall::Set(key, value)).await.map(drop)
    }

    async fn delete(&mut self, key: String) -> Result<(), contract::types::CallError> {
        self.keep(capability::KvStoreCall::Delete(key)).await.map(drop)
    }
}

impl contract::log::Host for Guest {
    async fn log(&mut self, level: contract::log::Level, message: String) {
        let level = match level {
            contract::log::Level::Debug => Level::DEBUG,
            contract::log::Level::Info => Level::INFO,
            contract::log::Level::Warn => Level::WARN,
            contract::log::Level::Error => Level::ERROR,
        };
        if !self.log.write(level, &message) {
            tokio::time::sleep(FLOOD).await;
        }
    }
}

fn millis(timeout_ms: u32) -> Duration {
    Duration::from_millis(timeout_ms.into())
}
