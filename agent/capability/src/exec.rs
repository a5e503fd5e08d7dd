//! Exec: grants of programs with their arguments.
//!
//! Boundary: parses and decides; `exec/run.rs` acts. No shell, no PATH search: the program is an absolute
//! path.
//!
//! What is run is the path that the grant names, and symlinks in it are the operator's. A guest may name that path or
//! the one that it leads to in the end; nothing that a guest names is looked up, so a symlink of its own leads nowhere.
//!
//! Invariants: the number of arguments agrees with the grant unless it ends in `**`; a variable reaches the
//! program only if its name is ours or listed in the grant, so no guest can set `LD_PRELOAD`.

mod ending;
mod run;
mod tree;

#[cfg(test)]
mod tests;

use std::{fmt, fs, path::PathBuf, time::Duration};

pub use ending::Programs;
pub(crate) use run::end_of;
pub(crate) use run::run;

use crate::{CallError, GrantError, account::Account, append::is_straight, refusal, wildcard::Pattern};

/// As the last argument of a grant: any further arguments, also none.
const REST: &str = "**";
/// Bytes of an argument that Linux takes at most (`MAX_ARG_STRLEN`, with the NUL at its end).
const ARG_MAX: usize = (128 << 10) - 1;
/// A guest may set variables whose names begin so: they mean nothing to a loader or a shell.
const OWN_PREFIX: &str = "LICTOR_";
/// So may this one be set: what Consul's own watches tell their handlers.
const OWN_INDEX: &str = "CONSUL_INDEX";

/// A program that may be run, and with which arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExecGrant {
    program: String,
    args: Vec<Pattern>,
    /// Further arguments are allowed.
    rest: bool,
    cwd: PathBuf,
    env: Vec<String>,
    account: Option<Account>,
}

/// A grant as the operator writes it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExecGrantSpec {
    /// The program's absolute path and its arguments, each exact or with `*` for any characters; a last `**` allows
    /// any further ones.
    pub command: Vec<String>,
    /// The folder that it runs in: absolute, by default `/`.
    pub cwd: Option<PathBuf>,
    /// The variables that a guest may set beside `LICTOR_*` and `CONSUL_INDEX`.
    pub env: Vec<String>,
    /// Whom it runs as, a name or a number; by default Lictor's user. For another one Lictor has to be root.
    pub user: Option<String>,
    /// Its group, a name or a number; by default the user's own. It is in no other.
    pub group: Option<String>,
}

/// Where a granted path leads to, if it leads anywhere.
pub(crate) type Real<'r> = &'r dyn Fn(&str) -> Option<String>;

/// A program to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    /// The program's absolute path, then its arguments.
    pub argv: Vec<String>,
    /// Added to the clean environment; the last of two with one name counts.
    pub env: Vec<(String, String)>,
    /// Written to its standard input, which is then closed.
    pub stdin: Vec<u8>,
    /// How long it may run before its process group is ended.
    pub timeout: Duration,
}

/// What a program left behind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExecOutput {
    /// How it ended.
    pub status: ExitStatus,
    /// The end of its standard output, as far as the limit goes.
    pub stdout: String,
    /// The end of its standard error, as far as the limit goes.
    pub stderr: String,
}

/// How a program ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExitStatus {
    /// By itself, with this exit code.
    Code(i32),
    /// By this signal.
    Signal(i32),
}

impl ExecGrant {
    /// Reads a grant that says nothing of a user or group.
    ///
    /// # Errors
    /// All that is wrong with it.
    pub fn parse(
        command: Vec<String>,
        cwd: Option<PathBuf>,
        env: Vec<String>,
    ) -> Result<Self, Vec<GrantError>> {
        Self::from_spec(ExecGrantSpec { command, cwd, env, ..ExecGrantSpec::default() })
    }

    /// Reads a grant. No name is looked up yet.
    ///
    /// # Errors
    /// All that is wrong with it.
    pub fn from_spec(spec: ExecGrantSpec) -> Result<Self, Vec<GrantError>> {
        let ExecGrantSpec { command, cwd, env, user, group } = spec;
        let shown = refusal::quote_all(&command).to_string();
        let mut faults = Vec::new();
        let mut wrong = |why: &str| faults.push(GrantError(format!("read the exec grant {shown}: {why}")));
        if command.iter().any(|part| part.contains('\0')) {
            wrong("it holds a NUL");
        }
        match command.first() {
            None => wrong("it names no program"),
            Some(program) if !program.starts_with('/') || program.ends_with('/') => {
                wrong("the program must be an absolute path");
            }
            Some(program) if program.contains('*') => {
                wrong("the program must be exact; only arguments may be patterns");
            }
            Some(program) if !program.strip_prefix('/').is_some_and(is_straight) => {
                wrong("the program's path must be written without `.`, `..` and `//`");
            }
            Some(_) => {}
        }
        let cwd = cwd.unwrap_or_else(|| "/".into());
        if !cwd.is_absolute() {
            wrong("`cwd` must be an absolute path");
        }
        for name in env.iter().filter(|name| !is_name(name)) {
            wrong(&format!("{} in `env` is not a variable's name", refusal::quote(name)));
        }
        let account = Account::parse(user, group).map_err(|why| wrong(&why)).ok().flatten();
        let mut parts = command.into_iter();
        match parts.next() {
            Some(program) if faults.is_empty() => {
                let mut args: Vec<Pattern> = parts.map(Pattern::new).collect();
                let rest = args.pop_if(|last| last.as_str() == REST).is_some();
                Ok(Self { program, args, rest, cwd, env, account })
            }
            _ => Err(faults),
        }
    }

    /// What it allows, in words.
    pub(crate) fn in_words(&self) -> String {
        let exact = self.args.iter().all(Pattern::is_exact);
        let args: Vec<String> = self.args.iter().map(|arg| shown(arg.as_str())).collect();
        let args = args.join(" ");
        let args = match (args.is_empty(), exact, self.rest) {
            (true, _, false) => "without arguments".to_owned(),
            (true, _, true) => "with any arguments".to_owned(),
            (false, true, false) => format!("with exactly these arguments: {args}"),
            (false, false, false) => format!("with arguments like: {args}"),
            (false, _, true) => format!("with these arguments and any further ones: {args}"),
        };
        // An interpreter without arguments does what its input says.
        let mut words = vec![format!("may run {} {args}", self.program), "with any input".to_owned()];
        if self.cwd.as_os_str() != "/" {
            words.push(format!("in {}", self.cwd.display()));
        }
        if !self.env.is_empty() {
            words.push(format!("may set {}", self.env.join(", ")));
        }
        words.extend(self.account.iter().map(|account| format!("as {account}")));
        words.join("; ")
    }

    /// Whom it runs as, where that is said.
    pub(crate) fn account(&self) -> Option<&Account> {
        self.account.as_ref()
    }

    fn takes(&self, command: &[String], real: Real<'_>) -> bool {
        let Some((program, args)) = command.split_first() else { return false };
        let count_agrees =
            if self.rest { args.len() >= self.args.len() } else { args.len() == self.args.len() };
        count_agrees
            && self.args.iter().zip(args).all(|(pattern, arg)| pattern.matches(arg))
            && (*program == self.program || real(&self.program).as_ref() == Some(program))
    }

    /// Takes everything that a command pattern stands for.
    fn takes_all(&self, pattern: &[String], real: Real<'_>) -> bool {
        match pattern.split_last() {
            Some((last, fixed)) if last == REST => self.rest && self.takes(fixed, real),
            _ => self.takes(pattern, real),
        }
    }

    fn lets_set(&self, name: &str) -> bool {
        is_own(name) || self.env.iter().any(|own| own == name)
    }
}

/// Whether a grant covers all that the command stands for; its arguments may be patterns.
pub(crate) fn covers(grants: &[ExecGrant], command: &[String], real: Real<'_>) -> Result<(), CallError> {
    if grants.iter().any(|grant| grant.takes_all(command, real)) {
        Ok(())
    } else {
        Err(not_granted(grants, command, std::iter::empty()))
    }
}

/// Where a path leads to on this machine.
pub(crate) fn real_path(path: &str) -> Option<String> {
    fs::canonicalize(path).ok()?.into_os_string().into_string().ok()
}

/// The first grant that covers the command and its variables.
pub(crate) fn decide<'g>(
    grants: &'g [ExecGrant],
    command: &Command,
    real: Real<'_>,
) -> Result<&'g ExecGrant, CallError> {
    let strings = command.argv.iter().chain(command.env.iter().map(|(_, value)| value));
    if let Some(long) = command.argv.iter().find(|text| text.len() > ARG_MAX) {
        let long = refusal::shorten(refusal::quote(long), 40);
        return Err(CallError::Refused(format!(
            "{long} has more than {ARG_MAX} bytes, which Linux takes for no argument"
        )));
    }
    if strings.into_iter().any(|text| text.contains('\0')) {
        return Err(CallError::Refused("a NUL in an argument or a variable is never granted".to_owned()));
    }
    if let Some((name, _)) = command.env.iter().find(|(name, _)| !is_name(name)) {
        let name = refusal::shorten(refusal::quote(name), 200);
        return Err(CallError::Refused(format!("{name} is not a variable's name")));
    }
    let takers = || grants.iter().filter(|grant| grant.takes(&command.argv, real));
    let names = command.env.iter().map(|(name, _)| name);
    let Some(first) = takers().next() else { return Err(not_granted(grants, &command.argv, names)) };
    let lets = |grant: &&ExecGrant| command.env.iter().all(|(name, _)| grant.lets_set(name));
    takers().find(lets).ok_or_else(|| not_settable(first, command))
}

/// `names` are those of the variables that are to be set.
fn not_granted<'a>(
    grants: &[ExecGrant],
    argv: &[String],
    names: impl Iterator<Item = &'a String> + Clone,
) -> CallError {
    let program = argv.first().map(String::as_str).unwrap_or_default();
    if program.contains('*') || !program.strip_prefix('/').is_some_and(is_straight) {
        let program = refusal::shorten(refusal::quote(program), 200);
        let why = "a program is named by its absolute path, without `*`, `.`, `..` and `//`";
        return CallError::Refused(format!("to run {program} is never granted: {why}"));
    }
    let widely = refusal::widely(argv);
    let argv = refusal::quote_all(argv);
    let names = names.filter(|name| !is_own(name));
    let env = fmt::from_fn(|f| match names.clone().next() {
        Some(_) => write!(f, ", env = {}", refusal::quote_all(names.clone())),
        None => Ok(()),
    });
    refusal::refused(
        format_args!("run{widely} {argv}"),
        refusal::one_more("allow.exec", grants, format_args!("{{ command = {argv}{env} }}")),
    )
}

fn not_settable(grant: &ExecGrant, command: &Command) -> CallError {
    let missing: Vec<&String> =
        command.env.iter().map(|(name, _)| name).filter(|name| !grant.lets_set(name)).collect();
    let env = refusal::quote_all(grant.env.iter().chain(missing.iter().copied()));
    // Not a grant of its own, which would lack what this one says of the user and the folder.
    let rest = grant.rest.then_some(REST);
    let args = grant.args.iter().map(Pattern::as_str).chain(rest);
    let command = refusal::quote_all([&grant.program[..]].into_iter().chain(args));
    refusal::refused(
        format_args!("set {} for {}", refusal::quote_all(&missing), refusal::quote(&grant.program)),
        format_args!("env = {env} in the grant of allow.exec with command = {command}"),
    )
}

/// Whether a guest may set it without a grant of it.
fn is_own(name: &str) -> bool {
    name.starts_with(OWN_PREFIX) || name == OWN_INDEX
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && !name.contains(['=', '\0'])
}

/// An argument as a person would tell it from its neighbours.
fn shown(arg: &str) -> String {
    if arg.is_empty() || arg.contains(|c: char| c.is_whitespace() || c.is_control() || c == '"') {
        return refusal::quote(arg).to_string();
    }
    arg.to_owned()
}
