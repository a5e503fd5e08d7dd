//! A world in which everything is answered and nothing is done, to try a plugin out in.
//!
//! Boundary: grants are decided on before, as ever; a script only takes the place of what would be done.
//!
//! Invariant: what was asked is recorded, whatever the answer.

use std::collections::VecDeque;
use std::mem;
use std::sync::{Mutex, PoisonError};

use crate::exec::end_of;
use crate::http::within;
use crate::kv_store::Values;
use crate::{
    CallError, Command, ExecOutput, ExitStatus, HttpRequest, HttpResponse, KvAnswer, KvCall, KvStoreCall,
    KvStoreGrant, List, Mail, OutputLimits, SmtpError, longer_than,
};

/// What a plugin asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asked {
    /// To run a program.
    Exec(Command),
    /// To append to a file.
    Append {
        /// Its path.
        path: String,
        /// What is appended.
        data: Vec<u8>,
    },
    /// To send an HTTP request.
    Http(HttpRequest),
    /// To send a mail.
    Smtp(Mail),
    /// To read the list of the rule's watch.
    Watch,
    /// To read keys of Consul.
    Kv(KvCall),
    /// To read or change what is kept between calls.
    KvStore(KvStoreCall),
}

/// A call of a plugin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// What it asked for.
    pub asked: Asked,
    /// Why it was not done: no grant covers it, or the script says so.
    pub failed: Option<Failed>,
}

/// Why a call was not done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failed {
    /// What the contract calls it: `refused`, `timed-out`, `failed`; for a mail `refused`, `transient`, `permanent`.
    pub kind: &'static str,
    /// What the plugin is told.
    pub why: String,
}

impl From<&CallError> for Failed {
    fn from(error: &CallError) -> Self {
        let (kind, why) = match error {
            CallError::Refused(why) => ("refused", why),
            CallError::TimedOut(why) => ("timed-out", why),
            CallError::Failed(why) => ("failed", why),
        };
        Self { kind, why: why.clone() }
    }
}

impl From<&SmtpError> for Failed {
    fn from(error: &SmtpError) -> Self {
        let (kind, why) = match error {
            SmtpError::Refused(why) => ("refused", why),
            SmtpError::Transient(why) => ("transient", why),
            SmtpError::Permanent(why) => ("permanent", why),
        };
        Self { kind, why: why.clone() }
    }
}

/// The answers to the calls of each kind, in order. Afterwards each call succeeds: a program exits with 0, a
/// request is answered with an empty 200, a mail is taken, a list is empty, there is no key, and what is kept can be read.
#[derive(Clone, Debug, Default)]
pub struct Answers {
    /// To programs.
    pub exec: VecDeque<Result<ExecOutput, CallError>>,
    /// To appends.
    pub append: VecDeque<Result<(), CallError>>,
    /// To HTTP requests.
    pub http: VecDeque<Result<HttpResponse, CallError>>,
    /// To mails.
    pub smtp: VecDeque<Result<String, SmtpError>>,
    /// To reading the list.
    pub watch: VecDeque<Result<List, CallError>>,
    /// To reading keys of Consul.
    pub kv: VecDeque<Result<KvAnswer, CallError>>,
    /// To what is kept between calls.
    pub kv_store: VecDeque<Result<Option<Vec<u8>>, CallError>>,
}

/// What a plugin keeps between its calls, in a world where nothing is done.
#[derive(Clone, Debug, Default)]
pub struct Kept(Values<'static>);

/// Answers calls, and remembers them.
#[derive(Debug, Default)]
pub struct Script {
    state: Mutex<State>,
    limits: OutputLimits,
}

#[derive(Debug, Default)]
struct State {
    answers: Answers,
    kept: Kept,
    recorded: Vec<Recorded>,
}

impl Script {
    /// Answers with these first, as far as `limits` let a plugin see them, where so much is kept.
    pub fn new(answers: Answers, kept: Kept, limits: OutputLimits) -> Self {
        Self { state: Mutex::new(State { answers, kept, ..State::default() }), limits }
    }

    /// What is kept now.
    pub fn kept(&self) -> Kept {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).kept.clone()
    }

    /// The calls since this was last asked, in order.
    pub fn recorded(&self) -> Vec<Recorded> {
        mem::take(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner).recorded)
    }

    /// What is written for answers that no call has taken so far.
    pub fn unused(&self) -> Vec<&'static str> {
        let answers = &self.state.lock().unwrap_or_else(PoisonError::into_inner).answers;
        let left = [
            ("exec", answers.exec.len()),
            ("append", answers.append.len()),
            ("http", answers.http.len()),
            ("smtp", answers.smtp.len()),
            ("watch", answers.watch.len()),
            ("kv", answers.kv.len()),
            ("kv_store", answers.kv_store.len()),
        ];
        left.into_iter().flat_map(|(kind, count)| std::iter::repeat_n(kind, count)).collect()
    }

    pub(crate) fn exec(
        &self,
        command: Command,
        granted: Result<(), CallError>,
    ) -> Result<ExecOutput, CallError> {
        self.answer(Asked::Exec(command), granted, |State { answers, .. }| {
            let done =
                ExecOutput { status: ExitStatus::Code(0), stdout: String::new(), stderr: String::new() };
            let ran = answers.exec.pop_front().unwrap_or(Ok(done));
            let end = |text: &str| end_of(text, self.limits.exec_output);
            ran.map(|ran| ExecOutput { stdout: end(&ran.stdout), stderr: end(&ran.stderr), ..ran })
        })
    }

    pub(crate) fn append(
        &self,
        path: &str,
        data: &[u8],
        granted: Result<(), CallError>,
    ) -> Result<(), CallError> {
        let asked = Asked::Append { path: path.to_owned(), data: data.to_vec() };
        self.answer(asked, granted, |State { answers, .. }| answers.append.pop_front().unwrap_or(Ok(())))
    }

    pub(crate) fn http(
        &self,
        request: HttpRequest,
        granted: Result<(), CallError>,
    ) -> Result<HttpResponse, CallError> {
        self.answer(Asked::Http(request), granted, |State { answers, .. }| {
            let done = HttpResponse { status: 200, headers: Vec::new(), body: Vec::new() };
            within(answers.http.pop_front().unwrap_or(Ok(done))?, self.limits.http_response)
        })
    }

    pub(crate) fn smtp(&self, mail: Mail, granted: Result<(), SmtpError>) -> Result<String, SmtpError> {
        self.answer(Asked::Smtp(mail), granted, |State { answers, .. }| {
            answers.smtp.pop_front().unwrap_or_else(|| Ok("250 OK".into()))
        })
    }

    pub(crate) fn watch(&self, granted: Result<(), CallError>) -> Result<List, CallError> {
        self.answer(Asked::Watch, granted, |State { answers, .. }| {
            answers.watch.pop_front().unwrap_or_else(|| Ok(List { index: 1, body: b"[]".to_vec() }))
        })
    }

    pub(crate) fn kv(&self, call: KvCall, granted: Result<(), CallError>) -> Result<KvAnswer, CallError> {
        self.answer(Asked::Kv(call), granted, |State { answers, .. }| {
            let answer = answers.kv.pop_front().unwrap_or_else(|| Ok(KvAnswer::default()))?;
            // About as in Consul's answer: a value in base64, keys between quotes.
            let value = answer.value.iter().map(|value| value.len().div_ceil(3) * 4);
            let size: usize = value.chain(answer.keys.iter().map(|key| key.len() + 3)).sum();
            let limit = self.limits.http_response;
            if size > limit { Err(longer_than(limit)) } else { Ok(answer) }
        })
    }

    /// What is written for an answer, else what a real store would say.
    pub(crate) fn kv_store(
        &self,
        call: KvStoreCall,
        granted: Result<KvStoreGrant, CallError>,
        used: &mut u64,
    ) -> Result<Option<Vec<u8>>, CallError> {
        let (grant, granted) = (granted.clone(), granted.map(drop));
        self.answer(Asked::KvStore(call.clone()), granted, |State { answers, kept, .. }| {
            if let Some(answer) = answers.kv_store.pop_front() {
                return answer;
            }
            call.apply(&mut kept.0, &grant?, used).map(|(found, _)| found)
        })
    }

    fn answer<T, E>(
        &self,
        asked: Asked,
        granted: Result<(), E>,
        next: impl FnOnce(&mut State) -> Result<T, E>,
    ) -> Result<T, E>
    where
        for<'e> Failed: From<&'e E>,
    {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        // A refused call takes no answer: it would not have been made.
        let answer = granted.and_then(|()| next(&mut state));
        let failed = answer.as_ref().err().map(Failed::from);
        state.recorded.push(Recorded { asked, failed });
        answer
    }
}
