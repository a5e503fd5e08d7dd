//! What Lictor can do for a plugin. Each capability is one module: parse a grant, decide (pure), act.
//!
//! Boundary: names nothing else of ours. The host calls in with what a guest asked for; whether that is
//! allowed is decided here, from the receiver's grants alone.
//!
//! Invariant: nothing is done before a grant was found that covers it, and a refusal says what would.

mod account;
mod append;
mod exec;
mod http;
mod kv;
mod kv_store;
mod lookup;
mod needs;
mod refusal;
pub mod regular;
mod script;
mod secret;
mod smtp;
mod trust;
mod watch;
mod wildcard;

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use account::{Account, Ids};
pub use append::{AppendGrant, AppendGrantSpec};
pub use exec::{Command, ExecGrant, ExecGrantSpec, ExecOutput, ExitStatus, Programs};
pub use http::{HttpClients, HttpGrant, HttpGrantSpec, HttpRequest, HttpResponse};
pub use kv::{Keys, KvAnswer, KvCall, KvGrant, KvReading, longer_than};
pub use kv_store::{KEYS as KV_STORE_KEYS, KvStore, KvStoreCall, KvStoreGrant, SIZE_MAX as KV_STORE_MAX};
pub use needs::allow_lines;
pub use refusal::is_plain;
pub use script::{Answers, Asked, Failed, Kept, Recorded, Script};
pub use smtp::{Mail, Relay, SmtpError, SmtpGrant, SmtpGrantSpec};
pub use trust::read_roots_anew;
pub use watch::{List, Lists, Reading};

/// All that one receiver may do. The default is nothing.
#[derive(Clone, Debug, Default)]
pub struct Grants {
    /// Programs that may be run.
    pub exec: Vec<ExecGrant>,
    /// Files and folders that may be appended to.
    pub append: Vec<AppendGrant>,
    /// URLs that may be asked.
    pub http: Vec<HttpGrant>,
    /// The relay and who may be written to.
    pub smtp: Option<SmtpGrant>,
    /// The list that the watch of a delivery's rule follows may be read.
    pub watch: bool,
    /// Keys of Consul that may be read.
    pub kv: Vec<KvGrant>,
    /// What may be kept between calls.
    pub kv_store: Option<KvStoreGrant>,
}

impl Grants {
    /// Whether a grant covers this request. The text of a refusal names what would, as a line of `allow`.
    ///
    /// # Errors
    /// Always `CallError::Refused`.
    pub fn covers(&self, request: &Request) -> Result<(), CallError> {
        match request {
            Request::Exec { command, .. } => exec::covers(&self.exec, command, &exec::real_path),
            Request::Append { path } => append::decide(&self.append, path).map(|_| ()),
            Request::Http { method, url } => http::covers(&self.http, method, url),
            Request::Smtp { from, to } => smtp::covers(self.smtp.as_ref(), from, to),
            Request::Watch => watch::covers(self.watch),
            Request::Kv { prefix } => kv::covers(&self.kv, prefix),
            Request::KvStore { size } => kv_store::covers(self.kv_store.as_ref(), *size),
        }
    }

    /// The users and groups that grants name and this machine does not have. Reads files.
    pub fn unknown_accounts(&self) -> Vec<GrantError> {
        self.accounts()
            .filter_map(|(words, account, runs)| {
                let why = match account.look_up() {
                    Err(why) => why,
                    Ok(ids) if runs && ids.group.or(ids.primary).is_none() => {
                        format!("{account} has no group; write a `group` too")
                    }
                    Ok(_) => return None,
                };
                Some(GrantError(format!("grant what {words}: {why}")))
            })
            .collect()
    }

    /// The users and groups that grants name and that whoever runs this may not become, or give a file to.
    pub fn forbidden_accounts(&self) -> Vec<GrantError> {
        self.accounts()
            .filter(|(_, account, runs)| {
                let is_allowed = if *runs { Ids::may_run } else { Ids::may_own };
                account.look_up().is_ok_and(|ids| !is_allowed(&ids))
            })
            .map(|(words, account, _)| {
                GrantError(format!("grant what {words}, for {account}: {}", account::us()))
            })
            .collect()
    }

    /// Each account that a grant names, with the grant in words, and whether a program runs as it.
    fn accounts(&self) -> impl Iterator<Item = (String, &Account, bool)> {
        let exec = self.exec.iter().filter_map(|grant| Some((grant.in_words(), grant.account()?, true)));
        let append = self.append.iter().filter_map(|grant| Some((grant.in_words(), grant.account()?, false)));
        exec.chain(append)
    }

    /// Each grant in words, one line each: `may append to /var/log/web.log`.
    pub fn in_words(&self) -> Vec<String> {
        let exec = self.exec.iter().map(ExecGrant::in_words);
        let append = self.append.iter().map(AppendGrant::in_words);
        let http = self.http.iter().map(HttpGrant::in_words);
        let watch = self.watch.then(|| "may read the whole list that the rule's watch follows".to_owned());
        let kv = self.kv.iter().map(KvGrant::in_words);
        let kv_store = self.kv_store.iter().map(|grant| grant.in_words());
        let smtp = self.smtp.iter().map(SmtpGrant::in_words);
        let all = exec.chain(append).chain(http).chain(smtp).chain(watch).chain(kv).chain(kv_store);
        all.map(|words| refusal::plain(&words)).collect()
    }
}

/// What a plugin says, before it runs, that it will need.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// Run this program with these arguments.
    Exec {
        /// Absolute path, then arguments; an argument may be a pattern with `*`.
        command: Vec<String>,
        /// How long it may run.
        timeout: std::time::Duration,
    },
    /// Append to this file.
    Append {
        /// Absolute path.
        path: String,
    },
    /// Send this kind of HTTP request.
    Http {
        /// `GET`, `POST` and so on.
        method: String,
        /// Absolute URL.
        url: String,
    },
    /// Send mail.
    Smtp {
        /// The sender's address.
        from: String,
        /// The recipients' addresses.
        to: Vec<String>,
    },
    /// Read the list that the rule's watch follows.
    Watch,
    /// Read keys of Consul.
    Kv {
        /// How they all begin.
        prefix: String,
    },
    /// Keep values between calls.
    KvStore {
        /// Bytes of keys and values together, at most.
        size: u64,
    },
}

/// A grant that was written wrongly. The message fits after "failed to".
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct GrantError(pub String);

/// Why a capability did not do what was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// No grant covers it; the text says what would.
    #[error("{0}")]
    Refused(String),
    /// The time was over.
    #[error("{0}")]
    TimedOut(String),
    /// It was tried, and failed.
    #[error("{0}")]
    Failed(String),
}

/// How much of what comes back is kept, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutputLimits {
    /// The end of each of standard output and standard error.
    pub exec_output: usize,
    /// The beginning of the body of an HTTP response; an answer of Consul's keys that is longer fails.
    pub http_response: usize,
}

impl Default for OutputLimits {
    /// 4 KiB of a program's output, 64 KiB of an answer.
    fn default() -> Self {
        Self { exec_output: 4 << 10, http_response: 64 << 10 }
    }
}

/// A program that is to be run: to start one, and to find all that it started, holds a thread up for a hundred times as long
/// as most calls take.
pub type Run = Pin<Box<dyn Future<Output = Result<ExecOutput, CallError>> + Send>>;

/// All that the host needs to act for one receiver. Built once; share it behind an `Arc`.
pub struct Capabilities {
    grants: Grants,
    world: World,
}

/// Where what was granted is done.
enum World {
    /// On this machine and its network.
    Real(Real),
    /// Nowhere.
    Scripted(Arc<Script>),
}

struct Real {
    limits: OutputLimits,
    clients: http::Clients,
    sender: smtp::Sender,
    lists: Option<Arc<dyn Lists>>,
    keys: Option<Arc<dyn Keys>>,
    kv_store: Option<KvStore>,
}

impl fmt::Debug for Capabilities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Capabilities").field("grants", &self.grants).finish_non_exhaustive()
    }
}

impl Capabilities {
    /// Builds the clients that the grants need and the receivers before did not, which reads the trusted certificates.
    /// Blocks on files.
    ///
    /// # Errors
    /// A CA file, or the system's certificates where they are needed, cannot be read.
    pub fn new(grants: Grants, limits: OutputLimits, shared: &mut HttpClients) -> Result<Self, GrantError> {
        let clients = http::Clients::build(&grants.http, shared)?;
        let sender = smtp::Sender::build(grants.smtp.as_ref())?;
        let real = Real { limits, clients, sender, lists: None, keys: None, kv_store: None };
        Ok(Self { grants, world: World::Real(real) })
    }

    /// What is granted is answered by the script, and nothing is done.
    pub fn scripted(grants: Grants, script: Arc<Script>) -> Self {
        Self { grants, world: World::Scripted(script) }
    }

    /// Lets a grant of `watch` read these lists. Without them there is nothing to read.
    #[must_use]
    pub fn with_lists(mut self, lists: Arc<dyn Lists>) -> Self {
        if let World::Real(real) = &mut self.world {
            real.lists = Some(lists);
        }
        self
    }

    /// Lets grants of `kv` read these keys. Without them there is nothing to read.
    #[must_use]
    pub fn with_keys(mut self, keys: Arc<dyn Keys>) -> Self {
        if let World::Real(real) = &mut self.world {
            real.keys = Some(keys);
        }
        self
    }

    /// Lets a grant of `kv_store` keep values there. Without it there is nowhere to keep them.
    #[must_use]
    pub fn with_kv_store(mut self, kv_store: KvStore) -> Self {
        if let World::Real(real) = &mut self.world {
            real.kv_store = Some(kv_store);
        }
        self
    }

    /// What this receiver may do.
    pub fn grants(&self) -> &Grants {
        &self.grants
    }

    /// Runs a program to its end, if it may be run, where `apart` has it done. Dropping the future of that tells the program
    /// to end, with all that is below it, and leaves it to `programs` to see to that.
    pub async fn exec<F: Future<Output = Result<ExecOutput, CallError>>>(
        &self,
        command: Command,
        programs: &Programs,
        apart: impl FnOnce(Run) -> F,
    ) -> Result<ExecOutput, CallError> {
        let granted = exec::decide(&self.grants.exec, &command, &exec::real_path);
        match &self.world {
            World::Real(real) => {
                let (grant, programs, keep) = (granted?.clone(), programs.clone(), real.limits.exec_output);
                apart(Box::pin(async move { exec::run(&grant, command, keep, &programs).await })).await
            }
            World::Scripted(script) => {
                let granted = granted.map(drop);
                script.exec(command, granted)
            }
        }
    }

    /// Appends to a file, whole or not at all. When the future is dropped, an append that waits for the file is given up, and
    /// one that is being written goes on.
    pub async fn append(&self, path: &str, data: &[u8]) -> Result<(), CallError> {
        let place = append::decide(&self.grants.append, path);
        match &self.world {
            World::Real(_) => append::append(place?, data.to_vec()).await,
            World::Scripted(script) => script.append(path, data, place.map(drop)),
        }
    }

    /// Sends one HTTP request. Any answer of the server is an answer, whatever its status.
    pub async fn http(&self, request: HttpRequest) -> Result<HttpResponse, CallError> {
        match &self.world {
            World::Real(real) => {
                let granted = http::decide(&self.grants.http, request)?;
                real.clients.send(granted, real.limits.http_response).await
            }
            World::Scripted(script) => {
                let granted = http::decide(&self.grants.http, request.clone()).map(drop);
                script.http(request, granted)
            }
        }
    }

    /// Reads what the watch of this rule follows, now.
    pub async fn current(&self, rule: &str) -> Result<List, CallError> {
        let granted = watch::covers(self.grants.watch);
        match &self.world {
            World::Real(Real { lists: Some(lists), .. }) => {
                granted?;
                lists.current(rule).await
            }
            World::Real(_) => granted.and(Err(CallError::Failed("there is no watch here".to_owned()))),
            World::Scripted(script) => script.watch(granted),
        }
    }

    /// Reads a key of Consul, or which keys there are.
    pub async fn kv(&self, call: KvCall) -> Result<KvAnswer, CallError> {
        let granted = kv::decide(&self.grants.kv, &call);
        match &self.world {
            World::Real(Real { keys: Some(keys), limits, .. }) => {
                granted?;
                keys.read(&call, limits.http_response).await
            }
            World::Real(_) => granted.and(Err(CallError::Failed("there is no Consul here".to_owned()))),
            World::Scripted(script) => script.kv(call, granted),
        }
    }

    /// Reads or changes what is kept between calls; the answer is the value of a `get`. What has begun goes on when the
    /// future is dropped. `used` counts what one call of the plugin reads and writes so: pass the same to all of its calls, first 0.
    pub async fn kv_store(&self, call: KvStoreCall, used: &mut u64) -> Result<Option<Vec<u8>>, CallError> {
        let granted = kv_store::decide(self.grants.kv_store.as_ref(), &call);
        match &self.world {
            World::Real(Real { kv_store: Some(store), .. }) => store.call(granted?, call, used).await,
            World::Real(_) => {
                granted.and(Err(CallError::Failed("there is nowhere to keep values".to_owned())))
            }
            World::Scripted(script) => script.kv_store(call, granted, used),
        }
    }

    /// Sends a mail to all its recipients or to none, and answers with the relay's own words.
    pub async fn smtp(&self, mail: Mail) -> Result<String, SmtpError> {
        let parties = smtp::Parties::parse(&mail.from, &mail.to).map_err(SmtpError::Permanent);
        match &self.world {
            World::Real(real) => {
                let parties = parties?;
                let grant = self.relay(&parties)?;
                real.sender.send(grant, parties, mail).await
            }
            World::Scripted(script) => {
                let granted = parties.and_then(|parties| self.relay(&parties).map(drop));
                script.smtp(mail, granted)
            }
        }
    }

    fn relay(&self, parties: &smtp::Parties) -> Result<&SmtpGrant, SmtpError> {
        smtp::decide(self.grants.smtp.as_ref(), parties)
            .map_err(|refusal| SmtpError::Refused(refusal.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn strings(texts: &[&str]) -> Vec<String> {
        texts.iter().map(ToString::to_string).collect()
    }

    fn grants() -> Grants {
        let url = "http://127.0.0.1:9/hook".to_owned();
        let mail = SmtpGrantSpec {
            relay: "smtp://127.0.0.1:9".into(),
            to: strings(&["*@b.c"]),
            ..Default::default()
        };
        Grants {
            exec: vec![ExecGrant::parse(strings(&["/bin/echo", "*"]), None, Vec::new()).unwrap()],
            append: vec![AppendGrant::parse("/var/log/x").unwrap()],
            http: vec![HttpGrant::parse(HttpGrantSpec { url, ..Default::default() }).unwrap()],
            smtp: Some(SmtpGrant::parse(mail).unwrap()),
            watch: true,
            kv: vec![KvGrant::parse("app/").unwrap()],
            kv_store: Some(KvStoreGrant { size: 100, keys: 2 }),
        }
    }

    #[track_caller]
    fn check(request: &Request, line: &str) {
        grants().covers(request).unwrap();
        let Err(CallError::Refused(text)) = Grants::default().covers(request) else { panic!("{request:?}") };
        assert!(text.contains(line), "{text}");
    }

    #[test]
    fn the_default_is_nothing_and_each_refusal_names_its_grant() {
        let command = strings(&["/bin/echo", "a"]);
        check(&Request::Exec { command, timeout: Duration::from_secs(1) }, "allow.exec = [{ command = [");
        check(&Request::Append { path: "/var/log/x".into() }, r#"allow.append = ["/var/log/x"]"#);
        let url = "http://127.0.0.1:9/hook".to_owned();
        check(&Request::Http { method: "POST".into(), url }, "allow.http = [{ url = ");
        check(&Request::Smtp { from: "a@b.c".into(), to: strings(&["a@b.c"]) }, "allow.smtp = { relay = ");
        check(&Request::Watch, "allow.watch = true");
        check(&Request::Kv { prefix: "app/web".into() }, r#"allow.kv = ["app/web"]"#);
        check(&Request::KvStore { size: 100 }, "allow.kv_store = { size = \"100B\" }");
        assert!(Grants::default().in_words().is_empty());
    }

    #[test]
    fn all_grants_are_told_in_one_order() {
        let words = grants().in_words();
        let begin: Vec<&str> = words.iter().map(|line| &line[..8]).collect();
        assert_eq!(
            begin,
            ["may run ", "may appe", "may send", "may send", "may read", "may read", "may keep"]
        );
    }

    /// Knows the list of one rule.
    struct One;

    impl Lists for One {
        fn current<'a>(&'a self, rule: &'a str) -> Reading<'a> {
            Box::pin(async move { Ok(List { index: 7, body: rule.into() }) })
        }
    }

    #[tokio::test]
    async fn a_list_is_read_where_that_is_granted_and_there_is_one() {
        let limits = OutputLimits { exec_output: 100, http_response: 100 };
        let able = |watch| {
            Capabilities::new(Grants { watch, ..Grants::default() }, limits, &mut HttpClients::default())
                .unwrap()
        };
        let refused = able(false).with_lists(Arc::new(One)).current("web").await;
        assert!(matches!(refused, Err(CallError::Refused(_))), "{refused:?}");
        assert!(matches!(able(true).current("web").await, Err(CallError::Failed(_))));
        let read = able(true).with_lists(Arc::new(One)).current("web").await;
        assert_eq!(read, Ok(List { index: 7, body: b"web".to_vec() }));
    }

    /// Has one key, and says what it may not exceed.
    struct OneKey;

    impl Keys for OneKey {
        fn read<'a>(&'a self, call: &'a KvCall, limit: usize) -> KvReading<'a> {
            let has = matches!(call, KvCall::Get(key) if key == "app/a");
            Box::pin(async move {
                Ok(KvAnswer { value: has.then(|| limit.to_string().into()), keys: vec!["app/a".into()] })
            })
        }
    }

    #[tokio::test]
    async fn keys_are_read_where_that_is_granted_and_there_is_a_consul() {
        let limits = OutputLimits { exec_output: 100, http_response: 77 };
        let able = || Capabilities::new(grants(), limits, &mut HttpClients::default()).unwrap();
        let get = |key: &str| KvCall::Get(key.into());
        assert!(matches!(able().kv(get("app/a")).await, Err(CallError::Failed(_))));
        let able = able().with_keys(Arc::new(OneKey));
        assert!(matches!(able.kv(get("other")).await, Err(CallError::Refused(_))));
        assert!(matches!(able.kv(KvCall::Keys("ap".into())).await, Err(CallError::Refused(_))));
        assert_eq!(able.kv(get("app/a")).await.unwrap().value, Some(b"77".to_vec()));
        assert_eq!(able.kv(get("app/b")).await.unwrap().value, None);
        assert_eq!(able.kv(KvCall::Keys("app/".into())).await.unwrap().keys, ["app/a"]);
    }

    #[tokio::test]
    async fn a_call_is_decided_before_anything_is_done() {
        let limits = OutputLimits { exec_output: 100, http_response: 100 };
        let able = Arc::new(Capabilities::new(grants(), limits, &mut HttpClients::default()).unwrap());
        let timeout = Duration::from_secs(10);
        let run = |argv: &[&str]| {
            let (able, argv) = (Arc::clone(&able), strings(argv));
            // Spawned: the host needs futures that can move between threads.
            tokio::spawn(async move {
                let command = Command { argv, env: Vec::new(), stdin: Vec::new(), timeout };
                able.exec(command, &Programs::default(), |run| run).await
            })
        };
        assert_eq!(run(&["/bin/echo", "hi"]).await.unwrap().unwrap().stdout, "hi\n");
        assert!(matches!(run(&["/bin/true"]).await.unwrap(), Err(CallError::Refused(_))));
        assert!(matches!(able.append("/var/log/y", b"").await, Err(CallError::Refused(_))));
        assert!(matches!(able.http(request("GET")).await, Err(CallError::Refused(_))));
        let mail = |to: &str| Mail {
            from: "a@b.c".into(),
            to: strings(&[to]),
            subject: String::new(),
            body: String::new(),
            id: "1".into(),
            timeout,
        };
        assert!(matches!(able.smtp(mail("x@evil.org")).await, Err(SmtpError::Refused(_))));
        assert!(matches!(able.smtp(mail("nobody")).await, Err(SmtpError::Permanent(_))));
    }

    fn request(method: &str) -> HttpRequest {
        HttpRequest {
            method: method.into(),
            url: "http://127.0.0.1:9/hook".into(),
            headers: Vec::new(),
            body: Vec::new(),
            timeout: Duration::from_secs(1),
        }
    }

    #[tokio::test]
    async fn in_a_script_a_plugin_sees_no_more_than_in_a_receiver() {
        let ran =
            ExecOutput { status: ExitStatus::Code(0), stdout: "output".into(), stderr: "errors".into() };
        let answered = |header: String| HttpResponse {
            status: 200,
            headers: vec![("x".into(), header)],
            body: b"a body".to_vec(),
        };
        let told = Answers {
            exec: [Ok(ran)].into(),
            http: [Ok(answered("y".into())), Ok(answered("y".repeat(9 << 10)))].into(),
            kv: [Ok(KvAnswer { value: Some(b"value".to_vec()), keys: Vec::new() })].into(),
            ..Answers::default()
        };
        let limits = OutputLimits { exec_output: 3, http_response: 4 };
        let script = Arc::new(Script::new(told, Kept::default(), limits));
        let able = Capabilities::scripted(grants(), script);
        let command = Command {
            argv: strings(&["/bin/echo", "hi"]),
            env: Vec::new(),
            stdin: Vec::new(),
            timeout: Duration::from_secs(1),
        };
        let output = able.exec(command, &Programs::default(), |run| run).await.unwrap();
        assert_eq!((output.stdout.as_str(), output.stderr.as_str()), ("put", "ors"), "the end of it");
        assert_eq!(able.http(request("POST")).await.unwrap().body, b"a bo", "the beginning");
        for told in [
            able.http(request("POST")).await.unwrap_err().to_string(),
            able.kv(KvCall::Get("app/a".into())).await.unwrap_err().to_string(),
        ] {
            assert!(told.contains("`limits.response` is the most"), "{told}");
        }
    }

    #[tokio::test]
    async fn in_a_script_grants_count_and_nothing_is_done() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x").display().to_string();
        let grants = Grants { append: vec![AppendGrant::parse(&path).unwrap()], ..grants() };
        let told = Answers { append: [Err(CallError::Failed("full".into()))].into(), ..Answers::default() };
        let script = Arc::new(Script::new(told, Kept::default(), OutputLimits::default()));
        let able = Capabilities::scripted(grants, Arc::clone(&script));
        assert_eq!(
            able.append("/var/log/y", b"").await.unwrap_err().to_string().find("is not granted"),
            Some(23)
        );
        assert_eq!(able.append(&path, b"a").await, Err(CallError::Failed("full".into())));
        assert_eq!(able.append(&path, b"b").await, Ok(()));
        assert!(!dir.path().join("x").exists());
        let command = Command {
            argv: strings(&["/bin/echo", "hi"]),
            env: Vec::new(),
            stdin: Vec::new(),
            timeout: Duration::from_secs(1),
        };
        let output = able.exec(command.clone(), &Programs::default(), |run| run).await.unwrap();
        assert_eq!((output.status, output.stdout.as_str()), (ExitStatus::Code(0), ""));
        assert_eq!(able.current("web").await.unwrap().body, b"[]");
        assert_eq!(able.kv(KvCall::Get("app/a".into())).await, Ok(KvAnswer::default()));
        assert!(matches!(able.kv(KvCall::Get("b".into())).await, Err(CallError::Refused(_))));
        let set = |value: &[u8]| KvStoreCall::Set("k".into(), value.into());
        assert_eq!(able.kv_store(set(b"v"), &mut 0).await, Ok(None));
        assert!(matches!(able.kv_store(set(&[0; 100]), &mut 0).await, Err(CallError::Refused(_))));
        assert_eq!(able.kv_store(KvStoreCall::Get("k".into()), &mut 0).await, Ok(Some(b"v".to_vec())));
        let recorded = script.recorded();
        let failed: Vec<_> = recorded.iter().map(|call| call.failed.is_some()).collect();
        assert_eq!(failed, [true, true, false, false, false, false, true, false, true, false]);
        assert_eq!(recorded[2].asked, Asked::Append { path, data: b"b".to_vec() });
        assert_eq!(recorded[3].asked, Asked::Exec(command));
    }
}
