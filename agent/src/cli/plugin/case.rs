//! What stands in a file of `tests/*.toml` of a plugin, and in one of `--responses`.
//!
//! ```toml
//! event  = "check.status"                 # a type, or a file beside this one; several make one delivery
//! data   = { service = "db" }             # put into the event's data
//! config = { url = "https://h/x" }
//!
//! [[responses]]                           # to the first HTTP request; others succeed
//! http = { status = 503, body = "busy" }
//!
//! [expect]
//! result = "transient"                    # else "delivered"
//! text   = "503"                          # a part of the receipt, or of the reason
//! needs  = ["may send POST to https://h/x"]
//!
//! [[expect.calls]]                        # all calls, in order; of each what is named here
//! http = { method = "POST", json = { text = "db is critical" } }
//! ```

use std::path::Path;

use anyhow::{Context, Result, anyhow, ensure};
use lictor_capability::{
    Answers, CallError, ExecOutput, ExitStatus, HttpResponse, KvAnswer, List, SmtpError,
};
use serde::de::{DeserializeOwned, Error};
use serde::{Deserialize, Deserializer};

use crate::regular;

/// A test of a plugin.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Case {
    pub(super) event: Events,
    #[serde(default)]
    pub(super) data: toml::Table,
    #[serde(default = "first")]
    pub(super) attempt: u32,
    #[serde(default)]
    pub(super) config: toml::Table,
    #[serde(default)]
    pub(super) responses: Vec<Response>,
    #[serde(default)]
    pub(super) expect: Expect,
}

/// The events of a delivery: types or files.
#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "a type of event or a file with one, or a list of these")]
pub(super) enum Events {
    One(String),
    Several(Vec<String>),
}

/// What a test wants to see.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Expect {
    /// How the attempt ends.
    pub(super) result: Option<Ending>,
    pub(super) text: Option<String>,
    pub(super) needs: Option<Vec<String>>,
    pub(super) calls: Option<Vec<toml::Table>>,
}

/// How an attempt ends: as the log and the store have it, and where the plugin refuses its configuration.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Ending {
    #[default]
    Delivered,
    Transient,
    RetryAfter,
    Permanent,
    Refused,
    Trapped,
    Deadline,
    Memory,
    Config,
}

/// The file of `--responses`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Responses {
    #[serde(default)]
    responses: Vec<Response>,
}

/// What the world answers to a call of this kind.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Response {
    Exec(Exec),
    Append(Append),
    Http(Http),
    Smtp(Smtp),
    Watch(Watch),
    Kv(Kv),
    KvStore(KvStore),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Exec {
    #[serde(default)]
    status: i32,
    signal: Option<i32>,
    #[serde(default)]
    stdout: String,
    #[serde(default)]
    stderr: String,
    error: Option<Trouble>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Append {
    error: Option<Trouble>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Http {
    #[serde(default = "ok", deserialize_with = "status")]
    status: u16,
    #[serde(default)]
    headers: std::collections::BTreeMap<String, String>,
    #[serde(default)]
    body: String,
    error: Option<Trouble>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Smtp {
    #[serde(default = "taken")]
    receipt: String,
    error: Option<MailTrouble>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Watch {
    #[serde(default = "index")]
    index: u64,
    #[serde(default = "empty")]
    body: String,
    error: Option<Trouble>,
}

/// A value of Consul's that is there, or none; or the keys that there are.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Kv {
    value: Option<String>,
    #[serde(default)]
    keys: Vec<String>,
    error: Option<Trouble>,
}

/// A value that is there, or none.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct KvStore {
    value: Option<String>,
    error: Option<Trouble>,
}

/// What a call that was not done says.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Trouble {
    Refused(String),
    TimedOut(String),
    Failed(String),
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum MailTrouble {
    Refused(String),
    Transient(String),
    Permanent(String),
}

fn first() -> u32 {
    1
}

fn ok() -> u16 {
    200
}

fn taken() -> String {
    "250 OK".into()
}

fn index() -> u64 {
    1
}

fn empty() -> String {
    "[]".into()
}

impl Case {
    pub(super) fn read(path: &Path) -> Result<Self> {
        let case: Self = read(path)?;
        let shown = path.display();
        ensure!(case.attempt > 0, "read {shown}: attempt is 0, and attempts are counted from 1");
        let is_empty = matches!(&case.event, Events::Several(events) if events.is_empty());
        ensure!(!is_empty, "read {shown}: event names none, and a delivery has at least one");
        Ok(case)
    }
}

impl Ending {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Transient => "transient",
            Self::RetryAfter => "retry-after",
            Self::Permanent => "permanent",
            Self::Refused => "refused",
            Self::Trapped => "trapped",
            Self::Deadline => "deadline",
            Self::Memory => "memory",
            Self::Config => "config",
        }
    }
}

fn status<'d, D: Deserializer<'d>>(number: D) -> Result<u16, D::Error> {
    let status = u16::deserialize(number)?;
    if (100..600).contains(&status) {
        return Ok(status);
    }
    Err(D::Error::custom(format!("{status} is no status of HTTP, which are 100 to 599")))
}

/// The answers in the file of `--responses`.
pub(super) fn responses(path: &Path) -> Result<Answers> {
    Ok(answers(read::<Responses>(path)?.responses))
}

/// The answers to the calls of each kind.
pub(super) fn answers(responses: Vec<Response>) -> Answers {
    let mut answers = Answers::default();
    for response in responses {
        match response {
            Response::Exec(exec) => answers.exec.push_back(exec.answer()),
            Response::Append(Append { error }) => answers.append.push_back(done((), error)),
            Response::Http(Http { status, headers, body, error }) => {
                let headers = headers.into_iter().map(|(name, value)| (name.to_ascii_lowercase(), value));
                let response = HttpResponse { status, headers: headers.collect(), body: body.into_bytes() };
                answers.http.push_back(done(response, error));
            }
            Response::Smtp(Smtp { receipt, error }) => {
                answers.smtp.push_back(error.map_or(Ok(receipt), |error| Err(error.into())));
            }
            Response::Watch(Watch { index, body, error }) => {
                answers.watch.push_back(done(List { index, body: body.into_bytes() }, error));
            }
            Response::Kv(Kv { value, keys, error }) => {
                answers.kv.push_back(done(KvAnswer { value: value.map(String::into_bytes), keys }, error));
            }
            Response::KvStore(KvStore { value, error }) => {
                answers.kv_store.push_back(done(value.map(String::into_bytes), error));
            }
        }
    }
    answers
}

impl Exec {
    fn answer(self) -> Result<ExecOutput, CallError> {
        let Self { status, signal, stdout, stderr, error } = self;
        let status = signal.map_or(ExitStatus::Code(status), ExitStatus::Signal);
        done(ExecOutput { status, stdout, stderr }, error)
    }
}

fn done<T>(answer: T, error: Option<Trouble>) -> Result<T, CallError> {
    match error {
        None => Ok(answer),
        Some(Trouble::Refused(why)) => Err(CallError::Refused(why)),
        Some(Trouble::TimedOut(why)) => Err(CallError::TimedOut(why)),
        Some(Trouble::Failed(why)) => Err(CallError::Failed(why)),
    }
}

impl From<MailTrouble> for SmtpError {
    fn from(trouble: MailTrouble) -> Self {
        match trouble {
            MailTrouble::Refused(why) => Self::Refused(why),
            MailTrouble::Transient(why) => Self::Transient(why),
            MailTrouble::Permanent(why) => Self::Permanent(why),
        }
    }
}

fn read<T: DeserializeOwned>(path: &Path) -> Result<T> {
    let shown = path.display();
    let text = regular::text(path).with_context(|| format!("read {shown}"))?;
    // The reader's own message does not say which kinds of answers there are.
    let more = "`lictor plugin test --help` shows what can stand in it";
    toml::from_str(&text)
        .map_err(|error| anyhow!("{}\n{more}", error.to_string().trim_end()))
        .with_context(|| format!("read {shown}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_at_the_head_of_this_file_is_one() {
        let head = include_str!("case.rs").lines().map_while(|line| line.strip_prefix("//!"));
        let example: Vec<_> = head
            .skip_while(|line| *line != " ```toml")
            .skip(1)
            .take_while(|line| *line != " ```")
            .map(str::trim_start)
            .collect();
        let case: Case = toml::from_str(&example.join("\n")).unwrap();
        assert_eq!(case.expect.result, Some(Ending::Transient));
        let answers = answers(case.responses);
        assert_eq!(answers.http[0].as_ref().unwrap().status, 503);
        assert_eq!(case.expect.calls.unwrap().len(), 1);
    }

    #[test]
    fn the_answers_that_the_help_shows_can_be_written() {
        let help = super::super::test::RESPONSES;
        let (from, to) = (help.find("  responses = [").unwrap(), help.find("  ]").unwrap() + 3);
        let shown = &help[from..to];
        let kinds = ["exec", "append", "http", "smtp", "watch", "kv", "kv_store"];
        assert!(kinds.iter().all(|kind| shown.contains(&format!("{{ {kind} = "))), "{shown}");
        assert_eq!(toml::from_str::<Responses>(shown).unwrap().responses.len(), kinds.len() + 4);
        assert!(help.lines().all(|line| line.len() < 80), "a terminal would tear it");
    }

    #[test]
    fn each_answer_and_each_trouble_can_be_written() {
        let text = r#"
            responses = [
                { exec = { status = 3, stderr = "no" } },
                { exec = { signal = 9 } },
                { exec = { error = { timed-out = "30s" } } },
                { append = { error = { failed = "full" } } },
                { append = {} },
                { http = { headers = { Retry-After = "7" } } },
                { http = { error = { refused = "never" } } },
                { smtp = {} },
                { smtp = { error = { transient = "450" } } },
                { watch = { index = 7, body = "{}" } },
                { kv = { value = "ann" } },
                { kv = { keys = ["a", "b"] } },
                { kv_store = { value = "3" } },
                { kv_store = {} },
                { kv_store = { error = { failed = "full" } } },
            ]"#;
        let answers = answers(toml::from_str::<Responses>(text).unwrap().responses);
        let statuses: Vec<_> = answers.exec.iter().flatten().map(|output| output.status).collect();
        assert_eq!(statuses, [ExitStatus::Code(3), ExitStatus::Signal(9)]);
        assert_eq!(answers.exec[2], Err(CallError::TimedOut("30s".into())));
        assert_eq!(answers.append, [Err(CallError::Failed("full".into())), Ok(())]);
        assert_eq!(answers.http[0].as_ref().unwrap().headers, [("retry-after".to_owned(), "7".to_owned())]);
        assert_eq!(answers.http[1], Err(CallError::Refused("never".into())));
        assert_eq!(answers.smtp, [Ok("250 OK".into()), Err(SmtpError::Transient("450".into()))]);
        assert_eq!(answers.watch[0].as_ref().unwrap().index, 7);
        let (person, keys) = (answers.kv[0].as_ref().unwrap(), answers.kv[1].as_ref().unwrap());
        assert_eq!(
            (person.value.as_deref(), &keys.keys[..]),
            (Some(&b"ann"[..]), &["a".into(), "b".into()][..])
        );
        let full = Err(CallError::Failed("full".into()));
        assert_eq!(answers.kv_store, [Ok(Some(b"3".to_vec())), Ok(None), full]);
    }

    #[test]
    fn a_slip_of_the_pen_is_told() {
        for text in [
            "event = 'check.status'\nexpct = {}",
            "event = 'check.status'\nexpect = { result = 'fine' }",
            "event = 'check.status'\nresponses = [{ http = { stats = 1 } }]",
            "event = 'check.status'\nresponses = [{ dns = {} }]",
            "config = {}",
        ] {
            assert!(toml::from_str::<Case>(text).is_err(), "{text}");
        }
    }
}
