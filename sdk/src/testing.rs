//! A host for a plugin's own tests: it records what the plugin asks for, and answers as the test says.
//!
//! ```
//! use lictor_sdk::{exec, testing::{Call, Host}};
//!
//! let host = Host::start();
//! host.answer_exec(Ok(exec::Output {
//!     status: exec::Status::Code(1),
//!     stdout: String::new(),
//!     stderr: "no such unit".into(),
//! }));
//!
//! let command = exec::Command::new(["/usr/bin/systemctl", "restart", "web"]);
//! assert_eq!(command.run().unwrap().stderr, "no such unit");
//! assert_eq!(host.calls(), [Call::Exec(command)]);
//! ```
//!
//! It belongs to the test's thread, so tests do not see each other. It checks no grants: what the plugin asks for
//! is the test's to judge. Only what no grant could cover, such as a relative path or a URL without a host, is refused as
//! Lictor does, and so is it to keep more with [`kv_store`] than the plugin's own request says. What else the test gives no
//! answer for succeeds: a command exits with 0, a request is answered with an empty 200, a mail is taken, a watch has an
//! empty list, Consul has the keys of [`Host::set_key`]. What is kept can be read again, until the host ends.
//!
//! [`kv_store`]: crate::kv_store

mod form;
mod samples;
mod schema;

use std::{
    cell::RefCell,
    collections::{BTreeMap, VecDeque},
    marker::PhantomData,
};

pub use samples::{SAMPLES, delivery, delivery_of, event, sample};
pub use schema::check_schema;
use serde_json::Value;

use crate::{
    CallError, Delivery, Failure, Plugin, Request,
    exec::{Command, Output, Status},
    http,
    log::Level,
    plugin,
    smtp::{Message, SendError},
    watch::Answer,
};

/// What a plugin asked of the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Call {
    /// To run a program.
    Exec(Command),
    /// To append to a file: its path, and the data.
    Append(String, Vec<u8>),
    /// To send an HTTP request.
    Http(http::Request),
    /// To send a mail.
    Smtp(Message),
    /// To read the list of the rule's watch.
    Watch,
    /// For the value of this key of Consul.
    ReadKey(String),
    /// For the keys of Consul that begin so.
    ListKeys(String),
    /// For the value that is kept under this key.
    KvGet(String),
    /// To keep a value under this key.
    KvSet(String, Vec<u8>),
    /// To forget this key.
    KvDelete(String),
}

impl Call {
    /// That `data` was appended to the file at `path`.
    pub fn append(path: impl Into<String>, data: impl Into<Vec<u8>>) -> Self {
        Self::Append(path.into(), data.into())
    }
}

#[derive(Default)]
struct State {
    calls: Vec<Call>,
    logs: Vec<(Level, String)>,
    exec: VecDeque<Result<Output, CallError>>,
    append: VecDeque<Result<(), CallError>>,
    http: VecDeque<Result<http::Response, CallError>>,
    smtp: VecDeque<Result<String, SendError>>,
    watch: VecDeque<Result<Answer, CallError>>,
    kv: VecDeque<CallError>,
    keys: BTreeMap<String, Vec<u8>>,
    kv_store: VecDeque<CallError>,
    kept: BTreeMap<String, Vec<u8>>,
    /// Bytes that may be kept, as the plugin requests them. None: there was no such request.
    room: Option<u32>,
}

/// Bytes that any receiver may keep at most.
const ROOM_MAX: usize = 64 << 20;

thread_local! {
    static STATE: RefCell<State> = RefCell::default();
}

/// The host that this thread's plugins talk to, until it is dropped.
pub struct Host {
    /// It is this thread's: neither `Send` nor `Sync`.
    thread: PhantomData<*const ()>,
}

impl Host {
    /// Starts with no answers and no calls, whatever this thread did before.
    #[must_use = "the host ends when it is dropped"]
    pub fn start() -> Self {
        STATE.take();
        Self { thread: PhantomData }
    }

    /// Answers the next command that has no answer yet.
    pub fn answer_exec(&self, answer: Result<Output, CallError>) {
        STATE.with_borrow_mut(|state| state.exec.push_back(answer));
    }

    /// Answers the next append that has no answer yet.
    pub fn answer_append(&self, answer: Result<(), CallError>) {
        STATE.with_borrow_mut(|state| state.append.push_back(answer));
    }

    /// Answers the next HTTP request that has no answer yet.
    pub fn answer_http(&self, answer: Result<http::Response, CallError>) {
        STATE.with_borrow_mut(|state| state.http.push_back(answer));
    }

    /// Answers the next mail that has no answer yet.
    pub fn answer_smtp(&self, answer: Result<String, SendError>) {
        STATE.with_borrow_mut(|state| state.smtp.push_back(answer));
    }

    /// Answers the next reading of the rule's watch that has no answer yet.
    pub fn answer_watch(&self, answer: Result<Answer, CallError>) {
        STATE.with_borrow_mut(|state| state.watch.push_back(answer));
    }

    /// Has the next reading of Consul's keys that has no answer yet fail.
    pub fn fail_kv(&self, error: CallError) {
        STATE.with_borrow_mut(|state| state.kv.push_back(error));
    }

    /// Gives Consul a key.
    pub fn set_key(&self, key: impl Into<String>, value: impl Into<Vec<u8>>) {
        STATE.with_borrow_mut(|state| state.keys.insert(key.into(), value.into()));
    }

    /// Has the next use of the kv-store that has no answer yet fail.
    pub fn fail_kv_store(&self, error: CallError) {
        STATE.with_borrow_mut(|state| state.kv_store.push_back(error));
    }

    /// Puts a value into the kv-store, as an earlier call would have.
    pub fn keep(&self, key: impl Into<String>, value: impl Into<Vec<u8>>) {
        STATE.with_borrow_mut(|state| state.kept.insert(key.into(), value.into()));
    }

    /// What is in the kv-store under this key.
    pub fn kept(&self, key: &str) -> Option<Vec<u8>> {
        STATE.with_borrow(|state| state.kept.get(key).cloned())
    }

    /// What was asked for so far, in order.
    pub fn calls(&self) -> Vec<Call> {
        STATE.with_borrow(|state| state.calls.clone())
    }

    /// What was logged so far, in order.
    pub fn logs(&self) -> Vec<(Level, String)> {
        STATE.with_borrow(|state| state.logs.clone())
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        STATE.take();
    }
}

pub(crate) fn exec(command: &Command) -> Result<Output, CallError> {
    STATE.with_borrow_mut(|state| {
        state.calls.push(Call::Exec(command.clone()));
        form::exec(command)?;
        let done = || Output { status: Status::Code(0), stdout: String::new(), stderr: String::new() };
        state.exec.pop_front().unwrap_or_else(|| Ok(done()))
    })
}

pub(crate) fn append(path: &str, data: &[u8]) -> Result<(), CallError> {
    STATE.with_borrow_mut(|state| {
        state.calls.push(Call::append(path, data));
        form::append(path)?;
        state.append.pop_front().unwrap_or(Ok(()))
    })
}

pub(crate) fn http(request: &http::Request) -> Result<http::Response, CallError> {
    STATE.with_borrow_mut(|state| {
        state.calls.push(Call::Http(request.clone()));
        form::http(request)?;
        let done = || http::Response { status: 200, headers: Vec::new(), body: Vec::new() };
        state.http.pop_front().unwrap_or_else(|| Ok(done()))
    })
}

pub(crate) fn smtp(message: &Message) -> Result<String, SendError> {
    STATE.with_borrow_mut(|state| {
        state.calls.push(Call::Smtp(message.clone()));
        form::smtp(message)?;
        state.smtp.pop_front().unwrap_or_else(|| Ok("250 OK".into()))
    })
}

pub(crate) fn watch() -> Result<Answer, CallError> {
    STATE.with_borrow_mut(|state| {
        state.calls.push(Call::Watch);
        state.watch.pop_front().unwrap_or_else(|| Ok(Answer { index: 1, body: b"[]".to_vec() }))
    })
}

/// Remembers the call, and looks unless it is to fail. `key` is what it names.
fn read<T>(
    call: Call,
    key: &str,
    look: impl FnOnce(&BTreeMap<String, Vec<u8>>) -> T,
) -> Result<T, CallError> {
    STATE.with_borrow_mut(|state| {
        state.calls.push(call);
        form::key(key)?;
        state.kv.pop_front().map_or_else(|| Ok(look(&state.keys)), Err)
    })
}

pub(crate) fn read_key(key: &str) -> Result<Option<Vec<u8>>, CallError> {
    read(Call::ReadKey(key.into()), key, |keys| keys.get(key).cloned())
}

pub(crate) fn list_keys(prefix: &str) -> Result<Vec<String>, CallError> {
    let begins = |key: &&String| key.starts_with(prefix);
    read(Call::ListKeys(prefix.into()), prefix, |keys| keys.keys().filter(begins).cloned().collect())
}

/// Remembers the call, and does it unless it is to fail. `key` is what it names.
fn kept<T>(
    call: Call,
    key: &str,
    act: impl FnOnce(&mut State) -> Result<T, CallError>,
) -> Result<T, CallError> {
    STATE.with_borrow_mut(|state| {
        state.calls.push(call);
        form::kept(key)?;
        match state.kv_store.pop_front() {
            Some(error) => Err(error),
            None => act(state),
        }
    })
}

pub(crate) fn kv_get(key: &str) -> Result<Option<Vec<u8>>, CallError> {
    kept(Call::KvGet(key.into()), key, |state| Ok(state.kept.get(key).cloned()))
}

pub(crate) fn kv_set(key: &str, value: &[u8]) -> Result<(), CallError> {
    kept(Call::KvSet(key.into(), value.into()), key, |state| {
        let others = state.kept.iter().filter(|(other, _)| *other != key);
        let size =
            others.map(|(key, value)| key.len() + value.len()).sum::<usize>() + key.len() + value.len();
        if size > ROOM_MAX {
            let why = format!(
                "keep {size} bytes between calls is never granted: a receiver keeps {ROOM_MAX} at most"
            );
            return Err(CallError::Refused(why));
        }
        if state.room.is_some_and(|room| size > room as usize) {
            return Err(CallError::Refused(format!(
                "keep {size} bytes between calls is not granted; it would be with: allow.kv_store = {{ size = \"{size}B\" }}"
            )));
        }
        state.kept.insert(key.into(), value.into());
        Ok(())
    })
}

pub(crate) fn kv_delete(key: &str) -> Result<(), CallError> {
    kept(Call::KvDelete(key.into()), key, |state| {
        state.kept.remove(key);
        Ok(())
    })
}

pub(crate) fn log(level: Level, message: &str) {
    STATE.with_borrow_mut(|state| state.logs.push((level, message.into())));
}

/// Asks a plugin which grants this configuration needs, as the host does.
pub fn requests<P: Plugin>(config: &Value) -> Result<Vec<Request>, String> {
    P::requests(&plugin::parse(&config.to_string())?)
}

/// Has a plugin handle a delivery, as the host does.
pub fn handle<P: Plugin>(delivery: &Delivery, config: &Value) -> Result<String, Failure> {
    let sizes = requests::<P>(config).unwrap_or_default().into_iter().filter_map(|request| match request {
        Request::KvStore(kept) => Some(kept.size),
        _ => None,
    });
    let room = sizes.max();
    STATE.with_borrow_mut(|state| state.room = room);
    plugin::handle::<P>(delivery, &config.to_string())
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde_json::json;

    use super::*;
    use crate::{Description, kv_store};

    /// Keeps as many bytes as it has been told, and has asked for ten.
    struct Keeper;

    #[derive(Deserialize)]
    struct Config {
        bytes: usize,
    }

    impl Plugin for Keeper {
        type Config = Config;

        fn describe() -> Description {
            unreachable!("nobody asks")
        }

        fn requests(_: &Config) -> Result<Vec<Request>, String> {
            Ok(vec![Request::kv_store(10)])
        }

        fn handle(_: &Delivery, config: &Config) -> Result<String, Failure> {
            kv_store::set("ab", vec![0; config.bytes])?;
            Ok("kept".into())
        }
    }

    #[test]
    fn no_more_is_kept_than_the_plugin_requests() {
        let host = Host::start();
        let keep = |bytes: usize| handle::<Keeper>(&delivery([json!({})]), &json!({ "bytes": bytes }));
        assert_eq!(keep(8), Ok("kept".into()));
        assert_eq!(keep(8), Ok("kept".into()), "it is put in the place of what was there");
        let text = "refused: keep 11 bytes between calls is not granted; it would be with: allow.kv_store = { size = \"11B\" }";
        assert_eq!(keep(9), Err(Failure::permanent(text)));
        host.keep("c", [0; 7]);
        assert_eq!(keep(0), Ok("kept".into()));
        assert!(keep(1).is_err());
        assert_eq!(host.kept("ab"), Some(Vec::new()));
    }
}
