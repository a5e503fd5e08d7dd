//! Users and groups of this machine, as a grant names them.
//!
//! Boundary: reads `/etc/passwd` and `/etc/group` and asks no other name service. A number needs no entry there.
//!
//! Names are looked up at each use, so that a number that was given to somebody else meanwhile does not count.

use std::fmt;
use std::fs;

use rustix::process::{getegid, geteuid, getgroups};

use crate::refusal;

const USERS: &str = "/etc/passwd";
const GROUPS: &str = "/etc/group";

/// A user, a group, or both.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Account {
    user: Option<String>,
    group: Option<String>,
}

/// The numbers of an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ids {
    pub(crate) user: Option<u32>,
    pub(crate) group: Option<u32>,
    /// The user's own group, as far as it is known.
    pub(crate) primary: Option<u32>,
}

impl Account {
    /// None where neither is named. The error says what is wrong.
    pub(crate) fn parse(user: Option<String>, group: Option<String>) -> Result<Option<Self>, String> {
        for name in user.iter().chain(&group) {
            if name.is_empty() || name.contains([':', '/', '\0', '\n']) {
                return Err(format!("{} is no name of a user or group", refusal::quote(name)));
            }
        }
        Ok((user.is_some() || group.is_some()).then_some(Self { user, group }))
    }

    /// The numbers, as this machine has them now. The error says which name is not known.
    pub(crate) fn look_up(&self) -> Result<Ids, String> {
        let read = |path| fs::read_to_string(path).map_err(|error| format!("read {path}: {error}"));
        self.ids(&read(USERS)?, &read(GROUPS)?)
    }

    fn ids(&self, users: &str, groups: &str) -> Result<Ids, String> {
        let unknown = |kind: &str, name: &str, file: &str| {
            format!("there is no {kind} {}; name one of {file}, or write its number", refusal::quote(name))
        };
        let mut ids = Ids { user: None, group: None, primary: None };
        if let Some(name) = &self.user {
            let (user, primary) = find_user(users, name).ok_or_else(|| unknown("user", name, USERS))?;
            (ids.user, ids.primary) = (Some(user), primary);
        }
        if let Some(name) = &self.group {
            ids.group = Some(find_group(groups, name).ok_or_else(|| unknown("group", name, GROUPS))?);
        }
        Ok(ids)
    }
}

/// `user nobody and group adm`.
impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let user = self.user.iter().map(|name| format!("user {name}"));
        let group = self.group.iter().map(|name| format!("group {name}"));
        f.write_str(&user.chain(group).collect::<Vec<_>>().join(" and "))
    }
}

impl Ids {
    /// Whether a file of ours may be given to them.
    pub(crate) fn may_own(&self) -> bool {
        let has = |group| getegid().as_raw() == group || groups().contains(&group);
        is_root() || (self.user.is_none_or(is_us) && self.group.is_none_or(has))
    }

    /// Whether a program of ours may run as them.
    pub(crate) fn may_run(&self) -> bool {
        is_root() || self.are_ours()
    }

    /// It is who we are already, and we may not drop more of what we are: only root can leave a group.
    pub(crate) fn stay_ours(&self) -> bool {
        !is_root() && self.are_ours()
    }

    fn are_ours(&self) -> bool {
        let is_ours = |group| getegid().as_raw() == group;
        self.user.is_none_or(is_us) && self.group.or(self.primary).is_none_or(is_ours)
    }
}

/// What a person has to know who reads that something cannot be done.
pub(crate) fn us() -> String {
    format!("only root may, and Lictor runs as user {}", geteuid().as_raw())
}

fn is_root() -> bool {
    geteuid().is_root()
}

fn is_us(user: u32) -> bool {
    geteuid().as_raw() == user
}

fn groups() -> Vec<u32> {
    getgroups().unwrap_or_default().iter().map(|group| group.as_raw()).collect()
}

/// A user's number and that of its own group: `name:x:1000:1000:…`. A name that has an entry is a name, else a number.
fn find_user(users: &str, name: &str) -> Option<(u32, Option<u32>)> {
    let entry = |line: &str| {
        let mut fields = line.split(':');
        let name = fields.next()?.to_owned();
        let user: u32 = fields.nth(1)?.parse().ok()?;
        Some((name, user, fields.next()?.parse::<u32>().ok()?))
    };
    let entries = || users.lines().filter_map(entry);
    if let Some((_, user, group)) = entries().find(|(known, ..)| known == name) {
        return Some((user, Some(group)));
    }
    let number = number(name)?;
    Some((number, entries().find(|(_, user, _)| *user == number).map(|(.., group)| group)))
}

/// A group's number: `name:x:1000:…`.
fn find_group(groups: &str, name: &str) -> Option<u32> {
    let entry = |line: &str| {
        let mut fields = line.split(':');
        (fields.next()? == name).then(|| fields.nth(1)?.parse().ok())?
    };
    groups.lines().find_map(entry).or_else(|| number(name))
}

/// The highest number means "leave it as it is" to the kernel.
fn number(text: &str) -> Option<u32> {
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|number| is_number && *number != u32::MAX)
}

#[cfg(test)]
pub(crate) mod tests {
    use std::os::unix::process::CommandExt as _;
    use std::process;

    use super::*;

    /// Whether we are root. If so the named test is first run as a user who is not, where the refusal is to be shown.
    #[expect(
        clippy::print_stderr,
        reason = "whoever reads what the tests say has to know what was not tried"
    )]
    pub(crate) fn as_root_and_as_nobody(name: &str) -> bool {
        if !is_root() {
            eprintln!("{name}: what only root may do was not tried, since this user is not root");
            return false;
        }
        let program = std::env::current_exe().unwrap();
        let run = process::Command::new(program).args(["--exact", name]).uid(65534).gid(65534).output();
        match run {
            Err(error) => {
                eprintln!("{name}: the refusal was not tried: nobody may not run the tests: {error}");
            }
            Ok(ran) => {
                let said = String::from_utf8_lossy(&ran.stdout);
                assert!(ran.status.success() && said.contains("1 passed"), "{said}");
            }
        }
        true
    }

    const PASSWD: &str =
        "root:x:0:0:root:/root:/bin/bash\nbroken\n# note\nweb:x:33:44::/:/x\n7:x:70:71::/:/x\n";
    const GROUP: &str = "root:x:0:\nadm:x:4:syslog,web\nweb:x:44:\n";

    #[track_caller]
    fn check(user: Option<&str>, group: Option<&str>, want: Result<(Option<u32>, Option<u32>), &str>) {
        let account = Account::parse(user.map(Into::into), group.map(Into::into)).unwrap().unwrap();
        match (account.ids(PASSWD, GROUP), want) {
            (Ok(ids), Ok(want)) => assert_eq!((ids.user, ids.group.or(ids.primary)), want),
            (Err(text), Err(want)) => assert!(text.contains(want), "{text}"),
            (got, want) => panic!("{account}: {got:?}, wanted {want:?}"),
        }
    }

    #[test]
    fn names_and_numbers_are_found() {
        check(Some("root"), None, Ok((Some(0), Some(0))));
        check(Some("web"), None, Ok((Some(33), Some(44))));
        check(Some("web"), Some("adm"), Ok((Some(33), Some(4))));
        check(None, Some("adm"), Ok((None, Some(4))));
        check(Some("33"), None, Ok((Some(33), Some(44))));
        check(Some("1234"), None, Ok((Some(1234), None)));
        check(Some("7"), None, Ok((Some(70), Some(71))));
        check(None, Some("99"), Ok((None, Some(99))));
        check(Some("nobody"), None, Err(r#"no user "nobody"; name one of /etc/passwd"#));
        check(Some("broken"), None, Err("no user"));
        check(Some("web"), Some("syslog"), Err(r#"no group "syslog"; name one of /etc/group"#));
        check(Some("4294967295"), None, Err("no user"));
        check(Some("+7"), None, Err("no user"));
        check(Some("-1"), None, Err("no user"));
    }

    #[test]
    fn what_is_no_name_is_told() {
        for name in ["", "a:b", "a\nb", "a/b", "a\0"] {
            let told = Account::parse(Some("web".into()), Some(name.into())).unwrap_err();
            assert!(told.contains("is no name"), "{told}");
        }
        assert_eq!(Account::parse(None, None), Ok(None));
    }

    #[test]
    fn this_machine_has_a_root_and_we_may_be_who_we_are() {
        let root = Account::parse(Some("root".into()), None).unwrap().unwrap();
        assert_eq!(root.look_up().unwrap().user, Some(0));
        let (user, group) = (Some(geteuid().as_raw()), Some(getegid().as_raw()));
        let ours = Ids { user, group, primary: None };
        assert!(ours.may_run() && ours.may_own() && ours.are_ours());
        let other = Ids { user: Some(54321), ..ours };
        assert_eq!((other.may_run(), other.may_own(), other.are_ours()), (is_root(), is_root(), false));
    }
}
