//! The host's functions, in the SDK's types. Elsewhere than on wasm, `testing` takes this module's place.

use crate::{
    CallError,
    bindings::lictor::plugin::{
        append as append_api, exec as exec_api, http as http_api, kv as kv_api, kv_store as kv_store_api,
        log as log_api, smtp as smtp_api, types, watch as watch_api,
    },
    duration::as_millis,
    exec::{Command, Output, Status},
    http::{Request, Response},
    log::Level,
    smtp::{Message, SendError},
    watch::Answer,
};

pub(crate) fn exec(command: &Command) -> Result<Output, CallError> {
    let output = exec_api::run(&exec_api::Command {
        argv: command.argv.clone(),
        env: command.env.clone(),
        stdin: command.stdin.clone(),
        timeout_ms: as_millis(command.timeout),
    })?;
    let status = match output.status {
        exec_api::ExitStatus::Code(code) => Status::Code(code),
        exec_api::ExitStatus::Signal(signal) => Status::Signal(signal),
    };
    Ok(Output { status, stdout: output.stdout, stderr: output.stderr })
}

pub(crate) fn append(path: &str, data: &[u8]) -> Result<(), CallError> {
    Ok(append_api::append(path, data)?)
}

pub(crate) fn http(request: &Request) -> Result<Response, CallError> {
    let response = http_api::send(&http_api::Request {
        method: request.method.clone(),
        url: request.url.clone(),
        headers: request.headers.clone(),
        body: request.body.clone(),
        timeout_ms: as_millis(request.timeout),
    })?;
    Ok(Response { status: response.status, headers: response.headers, body: response.body })
}

pub(crate) fn smtp(message: &Message) -> Result<String, SendError> {
    let sent = smtp_api::send(&smtp_api::Message {
        from: message.from.clone(),
        to: message.to.clone(),
        subject: message.subject.clone(),
        body: message.body.clone(),
        id: message.id.clone(),
        timeout_ms: as_millis(message.timeout),
    });
    sent.map_err(|error| match error {
        smtp_api::SmtpError::Refused(message) => SendError::Refused(message),
        smtp_api::SmtpError::Transient(message) => SendError::Transient(message),
        smtp_api::SmtpError::Permanent(message) => SendError::Permanent(message),
    })
}

pub(crate) fn watch() -> Result<Answer, CallError> {
    let answer = watch_api::current()?;
    Ok(Answer { index: answer.index, body: answer.body })
}

pub(crate) fn read_key(key: &str) -> Result<Option<Vec<u8>>, CallError> {
    Ok(kv_api::get(key)?)
}

pub(crate) fn list_keys(prefix: &str) -> Result<Vec<String>, CallError> {
    Ok(kv_api::keys(prefix)?)
}

pub(crate) fn kv_get(key: &str) -> Result<Option<Vec<u8>>, CallError> {
    Ok(kv_store_api::get(key)?)
}

pub(crate) fn kv_set(key: &str, value: &[u8]) -> Result<(), CallError> {
    Ok(kv_store_api::set(key, value)?)
}

pub(crate) fn kv_delete(key: &str) -> Result<(), CallError> {
    Ok(kv_store_api::delete(key)?)
}

pub(crate) fn log(level: Level, message: &str) {
    let level = match level {
        Level::Debug => log_api::Level::Debug,
        Level::Info => log_api::Level::Info,
        Level::Warn => log_api::Level::Warn,
        Level::Error => log_api::Level::Error,
    };
    log_api::log(level, message);
}

impl From<types::CallError> for CallError {
    fn from(error: types::CallError) -> Self {
        match error {
            types::CallError::Refused(message) => Self::Refused(message),
            types::CallError::TimedOut(message) => Self::TimedOut(message),
            types::CallError::Failed(message) => Self::Failed(message),
        }
    }
}
