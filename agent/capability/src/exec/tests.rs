//! Exec grants as tables; running real processes.

use std::{fs, io, os::unix::fs::PermissionsExt as _, path::Path, sync::Arc};

use proptest::prelude::*;
use tokio::time::{Instant, sleep, timeout};

use super::*;
use crate::account::tests::as_root_and_as_nobody;

fn strings(texts: &[&str]) -> Vec<String> {
    texts.iter().map(ToString::to_string).collect()
}

fn grant(command: &[&str]) -> ExecGrant {
    ExecGrant::parse(strings(command), None, Vec::new()).unwrap()
}

fn command(argv: &[&str]) -> Command {
    Command { argv: strings(argv), env: Vec::new(), stdin: Vec::new(), timeout: Duration::from_secs(10) }
}

/// On a machine without symlinks.
fn decide<'g>(grants: &'g [ExecGrant], command: &Command) -> Result<&'g ExecGrant, CallError> {
    super::decide(grants, command, &|path| Some(path.to_owned()))
}

fn covers(grants: &[ExecGrant], command: &[String]) -> Result<(), CallError> {
    super::covers(grants, command, &|_| None)
}

#[track_caller]
fn check(granted: &[&str], argv: &[&str], want: bool) {
    assert_eq!(decide(&[grant(granted)], &command(argv)).is_ok(), want, "{granted:?} for {argv:?}");
}

#[test]
fn the_program_the_arguments_and_their_number_must_agree() {
    check(&["/bin/x"], &["/bin/x"], true);
    check(&["/bin/x"], &["/bin/y"], false);
    check(&["/bin/x"], &["x"], false);
    check(&["/bin/x"], &["/bin/../bin/x"], false);
    check(&["/bin/x"], &[], false);
    check(&["/bin/x"], &["/bin/x", ""], false);
    check(&["/bin/x", "restart", "web"], &["/bin/x", "restart", "web"], true);
    check(&["/bin/x", "restart", "web"], &["/bin/x", "restart", "web", "db"], false);
    check(&["/bin/x", "restart", "web"], &["/bin/x", "web", "restart"], false);
    check(&["/bin/x", "--unit=*"], &["/bin/x", "--unit=a b"], true);
    check(&["/bin/x", "*"], &["/bin/x"], false);
    check(&["/bin/x", "*"], &["/bin/x", "**"], true);
    check(&["/bin/x", "a", "**"], &["/bin/x", "a"], true);
    check(&["/bin/x", "a", "**"], &["/bin/x", "a", "b", "c"], true);
    check(&["/bin/x", "a", "**"], &["/bin/x", "b"], false);
    check(&["/bin/x", "*"], &["/bin/x", "a\0b"], false);
}

#[track_caller]
fn check_request(granted: &[&str], asked: &[&str], want: bool) {
    assert_eq!(covers(&[grant(granted)], &strings(asked)).is_ok(), want, "{granted:?} for {asked:?}");
}

#[test]
fn a_request_with_patterns_needs_a_grant_that_is_as_wide() {
    check_request(&["/bin/x", "a*"], &["/bin/x", "ab"], true);
    check_request(&["/bin/x", "a*"], &["/bin/x", "ab*"], true);
    check_request(&["/bin/x", "a*"], &["/bin/x", "*"], false);
    check_request(&["/bin/x", "a"], &["/bin/x", "*"], false);
    check_request(&["/bin/x", "*"], &["/bin/x", "**"], false);
    check_request(&["/bin/x", "**"], &["/bin/x", "**"], true);
    check_request(&["/bin/x", "**"], &["/bin/x", "a", "**"], true);
    check_request(&["/bin/x", "a", "**"], &["/bin/x", "**"], false);
}

proptest! {
    #[test]
    fn a_covered_request_is_never_refused_later(
        granted in proptest::collection::vec("[ab*]{0,3}", 0..3),
        asked in proptest::collection::vec("[ab*]{0,3}", 0..3),
        args in proptest::collection::vec("[ab]{0,3}", 0..4),
    ) {
        let argv = |args: Vec<String>| std::iter::once("/x".to_owned()).chain(args).collect::<Vec<_>>();
        let parse = |args: Vec<String>| ExecGrant::parse(argv(args), None, Vec::new()).unwrap();
        let (outer, inner) = (parse(granted), parse(asked.clone()));
        let args = argv(args);
        let nowhere: Real<'_> = &|_| None;
        if outer.takes_all(&argv(asked), nowhere) && inner.takes(&args, nowhere) {
            prop_assert!(outer.takes(&args, nowhere));
        }
    }

    #[test]
    fn what_is_granted_has_the_program_the_arguments_and_the_variables_of_a_grant(
        granted in proptest::collection::vec(("/(a|b|c)", "[a*]{0,2}", "[AB]"), 0..3),
        leads in proptest::collection::vec(("/(a|b|c)", "/(a|b|c)"), 0..3),
        (program, arg, name) in ("/?(a|b|c)", "[ab]{0,2}", "[ABC]"),
    ) {
        let grants: Vec<_> = granted
            .iter()
            .map(|(program, arg, name)| {
                ExecGrant::parse(vec![program.clone(), arg.clone()], None, vec![name.clone()]).unwrap()
            })
            .collect();
        let real = |path: &str| leads.iter().find(|(from, _)| from == path).map(|(_, to)| to.clone());
        let mut asked = command(&[&program, &arg]);
        asked.env = vec![(name.clone(), String::new())];
        let fits = |(path, pattern, own): &(String, String, String)| {
            (*path == program || real(path).as_ref() == Some(&program))
                && (Pattern::new(pattern.clone()).matches(&arg) || pattern == "**")
                && *own == name
        };
        let decided = super::decide(&grants, &asked, &real);
        prop_assert_eq!(decided.is_ok(), granted.iter().any(fits), "{:?}", decided);
        if let Ok(grant) = decided {
            let runs = grant.program == program || real(&grant.program).as_ref() == Some(&program);
            prop_assert!(grants.contains(grant) && runs);
        }
    }
}

#[test]
fn a_program_is_named_by_the_granted_path_or_by_the_one_that_it_leads_to() {
    let real = |path: &str| match path {
        "/usr/bin/python3" => Some("/usr/bin/python3.11".to_owned()),
        "/tmp/link" => Some("/usr/bin/systemctl".to_owned()),
        _ => None,
    };
    for (granted, asked, want) in [
        ("/usr/bin/python3", "/usr/bin/python3", true),
        ("/usr/bin/python3", "/usr/bin/python3.11", true),
        // The grant of a real path is no wider for whatever leads there.
        ("/usr/bin/python3.11", "/usr/bin/python3", false),
        ("/usr/bin/systemctl", "/tmp/link", false),
        ("/usr/bin/python3", "/usr/bin/python3.12", false),
        ("/usr/bin/python3", "python3.11", false),
    ] {
        let grants = [grant(&[granted, "*"])];
        let decided = super::decide(&grants, &command(&[asked, "x"]), &real);
        assert_eq!(decided.is_ok(), want, "{granted} for {asked}");
        assert!(decided.is_err() || decided.unwrap().program == granted, "what is run is what was granted");
        assert_eq!(super::covers(&grants, &strings(&[asked, "*"]), &real).is_ok(), want);
    }
}

#[test]
fn a_refusal_says_what_would_cover_it() {
    let refused = |granted: &[ExecGrant], command: &Command| decide(granted, command).unwrap_err();
    assert_eq!(
        refused(&[], &command(&["/bin/x", "say \"a\""])),
        CallError::Refused(
            r#"run ["/bin/x", "say \"a\""] is not granted; it would be with: allow.exec = [{ command = ["/bin/x", "say \"a\""] }]"#.into()
        )
    );
    let mut sets = command(&["/bin/x"]);
    sets.env = ["LICTOR_A", "HOME", "TZ"].map(|name| (name.into(), String::new())).into();
    assert_eq!(
        refused(&[], &sets),
        CallError::Refused(
            r#"run ["/bin/x"] is not granted; it would be with: allow.exec = [{ command = ["/bin/x"], env = ["HOME", "TZ"] }]"#.into()
        )
    );
    let long = refused(&[grant(&["/bin/x", "*"])], &command(&["/bin/x", &"a".repeat(1 << 17)])).to_string();
    assert!(long.ends_with("has more than 131071 bytes, which Linux takes for no argument"), "{long}");
    let mut asked = command(&["/bin/x"]);
    asked.env = vec![("HOME".into(), "/".into())];
    assert_eq!(
        refused(&[grant(&["/bin/x", "a"]), grant(&["/bin/x", "**"])], &asked),
        CallError::Refused(
            r#"set ["HOME"] for "/bin/x" is not granted; it would be with: env = ["HOME"] in the grant of allow.exec with command = ["/bin/x", "**"]"#.into()
        )
    );
}

#[test]
fn a_guest_sets_only_variables_that_are_its_own_or_granted() {
    let granted =
        [grant(&["/bin/x"]), ExecGrant::parse(strings(&["/bin/x"]), None, strings(&["HOME"])).unwrap()];
    for (name, value, want) in [
        ("LICTOR_EVENT", "a=b", true),
        ("CONSUL_HTTP_ADDR", "", false),
        ("HOME", "/", true),
        ("LD_PRELOAD", "/tmp/x.so", false),
        ("PATH", "/tmp", false),
        ("lictor_x", "", false),
        ("LICTOR_X=Y", "", false),
        ("LICTOR_X", "a\0b", false),
        ("LICTOR_\0", "", false),
        ("", "", false),
    ] {
        let mut asked = command(&["/bin/x"]);
        asked.env = vec![(name.into(), value.into())];
        assert_eq!(decide(&granted, &asked).is_ok(), want, "{name}={value}");
    }
}

#[test]
fn a_wrong_grant_says_what_would_be_right() {
    let parse = |command: &[&str], cwd: Option<&str>, env: &[&str]| {
        let faults = ExecGrant::parse(strings(command), cwd.map(PathBuf::from), strings(env)).unwrap_err();
        faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    };
    for (text, want) in [
        (parse(&[], None, &[]), "names no program"),
        (parse(&["x"], None, &[]), r#"the exec grant ["x"]: the program must be an absolute path"#),
        (parse(&["/bin/*"], None, &[]), "must be exact"),
        (parse(&["/bin/../bin/sh"], None, &[]), "without `.`, `..` and `//`"),
        (parse(&["/bin/./sh"], None, &[]), "without `.`, `..` and `//`"),
        (parse(&["//bin/sh"], None, &[]), "without `.`, `..` and `//`"),
        (parse(&["/bin/x", "\0"], None, &[]), "NUL"),
        (parse(&["/bin/x"], Some("var"), &[]), "`cwd` must be an absolute path"),
        (parse(&["/bin/x"], None, &["A=B"]), r#""A=B" in `env`"#),
    ] {
        assert!(text.contains(want) && text.lines().count() == 1, "{text}");
    }
    assert_eq!(parse(&["x", "\0"], Some("var"), &["A=B", "", "C"]).lines().count(), 5, "all at once");
}

#[test]
fn a_grant_is_told_in_words() {
    let words = |command: &[&str]| grant(command).in_words();
    assert_eq!(words(&["/x"]), "may run /x without arguments; with any input");
    assert_eq!(
        words(&["/x", "restart", "web"]),
        "may run /x with exactly these arguments: restart web; with any input"
    );
    assert_eq!(words(&["/x", "a b", "*"]), r#"may run /x with arguments like: "a b" *; with any input"#);
    assert_eq!(
        words(&["/x", "a", "**"]),
        "may run /x with these arguments and any further ones: a; with any input"
    );
    assert_eq!(words(&["/x", "**"]), "may run /x with any arguments; with any input");
    let wide = ExecGrant::parse(strings(&["/x"]), Some("/srv".into()), strings(&["HOME", "TZ"])).unwrap();
    assert_eq!(wide.in_words(), "may run /x without arguments; with any input; in /srv; may set HOME, TZ");
    assert_eq!(
        run_as(&["/x"], "nobody", Some("adm")).in_words(),
        "may run /x without arguments; with any input; as user nobody and group adm"
    );
}

fn run_as(command: &[&str], user: &str, group: Option<&str>) -> ExecGrant {
    let (user, group) = (Some(user.to_owned()), group.map(str::to_owned));
    ExecGrant::from_spec(ExecGrantSpec { command: strings(command), user, group, ..ExecGrantSpec::default() })
        .unwrap()
}

/// More than any of these scripts writes, unless it is to be cut.
const KEEP: usize = 4096;

/// Long enough for a script to have begun.
const LIMIT: Duration = Duration::from_millis(300);

/// For those who wait for the program's end.
async fn run(grant: &ExecGrant, command: Command, keep: usize) -> Result<ExecOutput, CallError> {
    super::run(grant, command, keep, &Programs::default()).await
}

async fn shell(script: &str, change: impl FnOnce(&mut Command)) -> Result<ExecOutput, CallError> {
    let mut asked = command(&["/bin/sh", "-c", script]);
    change(&mut asked);
    run(&grant(&["/bin/sh", "-c", "*"]), asked, KEEP).await
}

#[tokio::test]
async fn a_program_gets_its_input_and_gives_its_output_and_status() {
    let output = shell("cat; echo err >&2; exit 3", |asked| asked.stdin = b"in\n".to_vec()).await.unwrap();
    let want = ExecOutput { status: ExitStatus::Code(3), stdout: "in\n".into(), stderr: "err\n".into() };
    assert_eq!(output, want);
    let output = shell("kill -9 $$", |_| ()).await.unwrap();
    assert_eq!(output.status, ExitStatus::Signal(9));
}

#[tokio::test]
async fn the_environment_is_clean() {
    let set = |asked: &mut Command| asked.env = vec![("LICTOR_EVENT".into(), "e\n1".into())];
    let output = run(
        &grant(&["/usr/bin/env", "-0"]),
        {
            let mut asked = command(&["/usr/bin/env", "-0"]);
            set(&mut asked);
            asked
        },
        KEEP,
    )
    .await
    .unwrap();
    let mut variables: Vec<_> = output.stdout.trim_end_matches('\0').split('\0').collect();
    variables.sort_unstable();
    let mark = variables.remove(2);
    assert!(mark.starts_with("LICTOR_RUN="), "{mark}");
    let path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    assert_eq!(variables, ["LANG=C.UTF-8", "LICTOR_EVENT=e\n1", path]);
}

#[tokio::test]
async fn a_program_runs_in_its_own_group_and_in_the_granted_folder() {
    let output = shell("pwd; cut -d' ' -f5 /proc/$$/stat; echo $$", |_| ()).await.unwrap();
    let lines: Vec<_> = output.stdout.lines().collect();
    assert_eq!(lines[0], "/");
    assert_eq!(lines[1], lines[2], "it leads its group");
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().canonicalize().unwrap();
    let there = ExecGrant::parse(strings(&["/bin/pwd"]), Some(folder.clone()), Vec::new()).unwrap();
    let output = run(&there, command(&["/bin/pwd"]), KEEP).await.unwrap();
    assert_eq!(Path::new(output.stdout.trim()), folder);
}

#[tokio::test]
async fn a_program_runs_as_whom_its_grant_names_and_in_no_other_group() {
    let name = "exec::tests::a_program_runs_as_whom_its_grant_names_and_in_no_other_group";
    let script = ["/bin/sh", "-c", "id -u; id -g; id -G; grep Groups /proc/self/status"];
    let run = async |user, group| run(&run_as(&script, user, group), command(&script), KEEP).await;
    if !as_root_and_as_nobody(name) {
        let error = run("54321", Some("54322")).await.unwrap_err().to_string();
        assert!(error.contains("run it as user 54321 and group 54322: only root may"), "{error}");
        let us = rustix::process::geteuid().as_raw().to_string();
        let group = rustix::process::getegid().as_raw().to_string();
        let output = run(&us, Some(&group)).await.unwrap();
        assert!(
            output.stdout.starts_with(&format!("{us}\n{group}\n")),
            "who we are we may be: {}",
            output.stdout
        );
        return;
    }
    let output = run("54321", Some("54322")).await.unwrap();
    assert_eq!(output.stdout.trim_end(), "54321\n54322\n54322\nGroups:", "{}", output.stderr);
    // One that is not closed by itself, as wasmtime's is not in a child.
    let open = fs::File::open("/proc/self/pagemap").unwrap();
    rustix::io::fcntl_setfd(&open, rustix::io::FdFlags::empty()).unwrap();
    let list = ["/bin/sh", "-c", "ls -l /proc/self/fd"];
    let grant = run_as(&list, "54321", Some("54322"));
    let output = super::run(&grant, command(&list), KEEP, &Programs::default()).await.unwrap();
    assert!(
        output.stdout.contains(" 2 -> pipe:[") && !output.stdout.contains("pagemap"),
        "{}",
        output.stdout
    );
    drop(open);
    // A user's own group, and none of ours.
    let output = run("nobody", None).await.unwrap();
    assert!(output.stdout.starts_with("65534\n65534\n65534\n"), "{}", output.stdout);
    // Not in our session: its terminal takes what is written there for what is typed.
    let read = [
        "/bin/sh",
        "-c",
        "read -r id name state parent group session rest </proc/self/stat; echo $id $group $session",
    ];
    let output =
        super::run(&run_as(&read, "nobody", None), command(&read), KEEP, &Programs::default()).await.unwrap();
    let numbers: Vec<_> = output.stdout.split_whitespace().collect();
    assert!(numbers.len() == 3 && numbers.iter().all(|number| *number == numbers[0]), "{numbers:?}");
    // With a group alone it stays who we are, and is in no other group either.
    let spec =
        ExecGrantSpec { command: strings(&script), group: Some("54322".into()), ..ExecGrantSpec::default() };
    let grant = ExecGrant::from_spec(spec).unwrap();
    let output = super::run(&grant, command(&script), KEEP, &Programs::default()).await.unwrap();
    assert_eq!(output.stdout.trim_end(), "0\n54322\n54322\nGroups:", "{}", output.stderr);
    for (user, want) in [("54321", "write a `group` too"), ("nobody-of-that-name", "there is no user")] {
        let error = run(user, None).await.unwrap_err().to_string();
        assert!(error.contains(want), "{error}");
    }
    // What root may execute and nobody else.
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("program");
    fs::write(&program, "#!/bin/sh\n").unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o700)).unwrap();
    let program = program.to_str().unwrap();
    let grant = run_as(&[program], "nobody", None);
    let asked = command(&[program]);
    let error = super::run(&grant, asked, KEEP, &Programs::default()).await.unwrap_err().to_string();
    assert!(error.contains("user nobody may not execute it"), "{error}");
}

#[tokio::test]
async fn root_leaves_its_groups_and_its_session_also_as_root() {
    let name = "exec::tests::root_leaves_its_groups_and_its_session_also_as_root";
    if !as_root_and_as_nobody(name) {
        return;
    }
    let script = "id -u; id -G; grep Groups /proc/self/status; \
        read -r id name state parent group session rest </proc/self/stat; [ $id = $session ] && echo apart";
    let script = ["/bin/sh", "-c", script];
    let grant = run_as(&script, "root", Some("0"));
    let output = super::run(&grant, command(&script), KEEP, &Programs::default()).await.unwrap();
    let said: Vec<_> = output.stdout.split_whitespace().collect();
    assert_eq!(said, ["0", "0", "Groups:", "apart"], "{}", output.stderr);
}

#[tokio::test]
async fn a_link_in_a_granted_path_is_followed_when_the_program_is_run() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().canonicalize().unwrap().join(name);
    for name in ["one", "two"] {
        fs::write(path(name), format!("#!/bin/sh\necho {name} as ${{0##*/}}\n")).unwrap();
        fs::set_permissions(path(name), fs::Permissions::from_mode(0o755)).unwrap();
    }
    let text = |name: &str| path(name).to_str().unwrap().to_owned();
    let grants = [grant(&[&text("link")])];
    for name in ["one", "two"] {
        drop(fs::remove_file(path("link")));
        std::os::unix::fs::symlink(path(name), path("link")).unwrap();
        for asked in ["link", name] {
            let asked = command(&[&text(asked)]);
            let output = run(super::decide(&grants, &asked, &real_path).unwrap(), asked, KEEP).await.unwrap();
            assert_eq!(output.stdout, format!("{name} as link\n"));
        }
    }
    let stale = command(&[&text("one")]);
    assert!(super::decide(&grants, &stale, &real_path).is_err(), "it does not lead there any more");
}

#[tokio::test]
async fn no_descriptor_that_we_opened_is_inherited() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let socket = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let fd = std::os::fd::AsRawFd::as_raw_fd(&socket);
    let socket_name = fs::read_link(format!("/proc/self/fd/{fd}")).unwrap();
    // Not a count: whoever started the tests may have left us descriptors that we did not open.
    let output = shell("ls -l /proc/self/fd", |_| ()).await.unwrap();
    assert!(output.stdout.contains(" 2 -> pipe:["), "{}", output.stdout);
    assert!(!output.stdout.contains(socket_name.to_str().unwrap()), "{}", output.stdout);
    assert!(!output.stdout.contains(file.path().to_str().unwrap()), "{}", output.stdout);
}

#[tokio::test]
async fn a_program_that_does_not_read_its_input_has_not_failed() {
    let output =
        shell("exec 0<&-; sleep 0.05; echo done", |asked| asked.stdin = vec![b'x'; 1 << 20]).await.unwrap();
    assert_eq!((output.status, output.stdout.as_str()), (ExitStatus::Code(0), "done\n"));
}

#[tokio::test]
async fn the_end_of_much_output_is_kept_and_the_rest_does_not_block() {
    let script = "head -c 1000000 /dev/zero | tr '\\0' x; printf '\\377end'; head -c 1000000 /dev/zero >&2";
    let output = shell(script, |_| ()).await.unwrap();
    assert_eq!(output.stdout, "x".repeat(KEEP - 4) + "\u{fffd}end");
    assert_eq!(output.stderr.len(), KEEP);
}

#[tokio::test]
async fn a_daemon_that_keeps_the_output_open_neither_hangs_the_call_nor_is_ended() {
    let begin = Instant::now();
    let output = shell("sleep 30 & echo $!", |_| ()).await.unwrap();
    assert!(begin.elapsed() < Duration::from_secs(4), "{:?}", begin.elapsed());
    assert!(is_alive(output.stdout.trim()));
    kill(output.stdout.trim());
}

#[tokio::test]
async fn at_the_deadline_the_whole_group_is_told_to_end() {
    let begin = Instant::now();
    let error = shell("sleep 30 & echo $!; sleep 30", |asked| asked.timeout = LIMIT);
    let error = error.await.unwrap_err();
    assert!(begin.elapsed() < Duration::from_secs(4), "{:?}", begin.elapsed());
    let CallError::TimedOut(text) = error else { panic!("{error:?}") };
    assert!(text.starts_with("run /bin/sh: it was still running after 300ms and was ended"), "{text}");
    let (_, pid) = text.rsplit_once(": ").unwrap();
    gone(pid).await;
}

/// Each leaves its process group; the parents of the last three have ended, as a daemon's has. Of these, one has another
/// environment, and one another limit, as after a login.
const STRAYS: [&str; 6] = [
    "setsid sleep 30 & echo $!; sleep 30",
    "timeout 60 sleep 30 & echo $!; sleep 30",
    "setsid sh -c 'setsid sleep 30 & echo $!; sleep 30' & wait",
    "(setsid sleep 30 & echo $!); sleep 30",
    "(env -i setsid sleep 30 & echo $!); sleep 30",
    "(prlimit --locks=7 setsid sleep 30 & echo $!); sleep 30",
];

#[tokio::test]
async fn at_the_deadline_those_that_left_the_group_are_told_to_end_too() {
    for script in STRAYS {
        let begin = Instant::now();
        let error = shell(script, |asked| asked.timeout = LIMIT).await.unwrap_err();
        assert!(begin.elapsed() < Duration::from_secs(4), "{:?}", begin.elapsed());
        let CallError::TimedOut(text) = error else { panic!("{error:?}") };
        gone(text.rsplit_once(": ").unwrap().1).await;
    }
}

#[tokio::test]
async fn who_left_the_group_and_ignores_term_is_killed_after_the_grace() {
    let begin = Instant::now();
    let script = "setsid sh -c 'trap \"\" TERM; echo $$; while :; do sleep 1; done' & wait";
    let error = shell(script, |asked| asked.timeout = LIMIT).await.unwrap_err();
    let CallError::TimedOut(text) = error else { panic!("{error:?}") };
    assert!((5..15).contains(&begin.elapsed().as_secs()), "{:?}", begin.elapsed());
    gone(text.rsplit_once(": ").unwrap().1).await;
}

#[tokio::test]
async fn endless_output_does_not_hide_the_deadline() {
    for script in ["yes", "yes >&2", "cat /dev/zero"] {
        let call = shell(script, |asked| asked.timeout = LIMIT);
        let error = timeout(Duration::from_secs(4), call).await.unwrap().unwrap_err();
        assert!(matches!(error, CallError::TimedOut(_)), "{error:?}");
    }
}

#[tokio::test]
async fn who_ignores_term_is_killed_after_the_grace() {
    let begin = Instant::now();
    let script = "trap '' TERM; sleep 30 & echo $!; sleep 30";
    let error = shell(script, |asked| asked.timeout = LIMIT).await.unwrap_err();
    let CallError::TimedOut(text) = error else { panic!("{error:?}") };
    assert!((5..15).contains(&begin.elapsed().as_secs()), "{:?}", begin.elapsed());
    gone(text.rsplit_once(": ").unwrap().1).await;
}

#[tokio::test]
async fn a_program_may_clean_up_within_the_grace() {
    let script = "trap 'echo cleaned >&2; exit 0' TERM; while :; do sleep 0.02; done";
    let error = shell(script, |asked| asked.timeout = LIMIT).await.unwrap_err();
    assert!(matches!(&error, CallError::TimedOut(text) if text.ends_with("cleaned")), "{error:?}");
}

#[tokio::test]
async fn the_grace_is_for_the_whole_group_not_for_its_leader_only() {
    let script = "(trap 'sleep 0.1; echo cleaned >&2; exit' TERM; while :; do sleep 0.02; done) & wait";
    let error = shell(script, |asked| asked.timeout = LIMIT).await.unwrap_err();
    assert!(matches!(&error, CallError::TimedOut(text) if text.ends_with("cleaned")), "{error:?}");
}

#[tokio::test]
async fn the_grace_of_others_is_not_over_when_their_leader_is_dead() {
    let desk = Desk::new();
    // Nobody holds the output any more when the leader, which does not catch TERM, is dead.
    let script = format!("sh -c '{}' >/dev/null 2>&1 & wait", desk.cleaning("sleep 0.5"));
    let begin = Instant::now();
    let error = shell(&script, |asked| asked.timeout = LIMIT).await.unwrap_err();
    assert!(matches!(error, CallError::TimedOut(_)), "{error:?}");
    assert!(desk.has("cleaned"));
    assert!(begin.elapsed() < Duration::from_secs(4), "no longer than it took: {:?}", begin.elapsed());
}

/// Where scripts leave notes.
struct Desk(tempfile::TempDir);

impl Desk {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.0.path().join(name)
    }

    fn has(&self, name: &str) -> bool {
        self.path(name).exists()
    }

    /// A script that is `up`, and when it gets TERM does this and has then `cleaned` up.
    fn cleaning(&self, work: &str) -> String {
        let folder = self.0.path().display();
        format!(
            "trap \"{work}; echo >{folder}/cleaned; exit\" TERM; {}; while :; do sleep 0.02; done",
            self.up("$$")
        )
    }

    /// Writes down who is up.
    fn up(&self, pids: &str) -> String {
        format!("echo {pids} >{0}.new; mv {0}.new {0}", self.path("up").display())
    }

    async fn wait_for(&self, name: &str) {
        let written = async {
            while !self.has(name) {
                sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(Duration::from_secs(10), written).await.unwrap();
    }

    /// Runs a script until it is up, drops the call, and tells who was up.
    async fn dropped(&self, script: &str, programs: &Programs) -> Vec<String> {
        let grant = grant(&["/bin/sh", "-c", "*"]);
        tokio::select! {
            output = super::run(&grant, command(&["/bin/sh", "-c", script]), KEEP, programs) => panic!("{output:?}"),
            () = self.wait_for("up") => {}
        }
        fs::read_to_string(self.path("up")).unwrap().split_whitespace().map(str::to_owned).collect()
    }
}

/// They take no notice of TERM, and one of them has left the group.
fn stubborn(desk: &Desk) -> String {
    format!("trap '' TERM; sleep 30 & a=$!; setsid sleep 30 & {}; wait", desk.up("$a $! $$"))
}

#[tokio::test]
async fn a_call_that_is_dropped_tells_its_program_to_end_and_lets_it_clean_up() {
    let (desk, programs) = (Desk::new(), Programs::default());
    // More than a pipe holds, and nobody waits for it any more.
    let script = desk.cleaning("head -c 300000 /dev/zero; head -c 300000 /dev/zero >&2; sleep 0.3");
    let begin = Instant::now();
    let pids = desk.dropped(&script, &programs).await;
    desk.wait_for("cleaned").await;
    assert!(begin.elapsed() < Duration::from_secs(4), "told at once: {:?}", begin.elapsed());
    reaped(&pids[0]).await;
    assert!(programs.end(Duration::ZERO).await);
}

#[tokio::test]
async fn who_takes_no_notice_when_its_call_is_dropped_is_killed_after_the_grace() {
    let (desk, programs) = (Desk::new(), Programs::default());
    let begin = Instant::now();
    let pids = desk.dropped(&stubborn(&desk), &programs).await;
    sleep(Duration::from_secs(3)).await;
    assert!(pids.iter().all(|pid| is_alive(pid)));
    while pids.iter().any(|pid| is_alive(pid)) {
        assert!(begin.elapsed() < Duration::from_secs(15));
        sleep(Duration::from_millis(20)).await;
    }
    assert!(begin.elapsed() >= Duration::from_secs(5), "{:?}", begin.elapsed());
    reaped(&pids[2]).await;
}

#[tokio::test]
async fn at_the_end_of_all_the_grace_is_what_is_left_and_then_nothing_is() {
    let programs = Programs::default();
    assert!(programs.end(Duration::from_mins(1)).await, "there is nothing to wait for");
    let (desk, other) = (Desk::new(), Desk::new());
    let programs = Programs::default();
    let mut pids = desk.dropped(&stubborn(&desk), &programs).await;
    pids.extend(other.dropped(&other.cleaning("sleep 0.2"), &programs).await);
    let begin = Instant::now();
    assert!(programs.end(Duration::from_millis(800)).await);
    let took = begin.elapsed();
    assert!((Duration::from_millis(800)..Duration::from_secs(3)).contains(&took), "{took:?}");
    assert!(other.has("cleaned"));
    // A machine that has other things to do carries out a moment later that they were killed.
    for pid in &pids {
        gone(pid).await;
    }
    for leader in [&pids[2], &pids[3]] {
        reaped(leader).await;
    }
    // Whoever comes later has no grace left.
    let late = Desk::new();
    let pids = late.dropped(&stubborn(&late), &programs).await;
    assert!(programs.end(Duration::ZERO).await);
    for pid in &pids {
        gone(pid).await;
    }
}

#[test]
fn a_call_ends_with_its_runtime_and_its_program_is_told_so() {
    for at_once in [false, true] {
        let (desk, programs) = (Arc::new(Desk::new()), Programs::default());
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let script = desk.cleaning("echo bye >&2; sleep 0.2");
        let asked = command(&["/bin/sh", "-c", &script]);
        let left_to = programs.clone();
        runtime
            .spawn(async move { super::run(&grant(&["/bin/sh", "-c", "*"]), asked, KEEP, &left_to).await });
        runtime.block_on(desk.wait_for("up"));
        let pid = fs::read_to_string(desk.path("up")).unwrap();
        if at_once {
            runtime.shutdown_background();
        } else {
            drop(runtime);
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            desk.wait_for("cleaned").await;
            reaped(pid.trim()).await;
        });
    }
}

#[tokio::test]
async fn a_call_that_is_dropped_within_the_grace_of_its_deadline_gets_no_other_one() {
    let (desk, programs) = (Desk::new(), Programs::default());
    let script = format!(
        "trap 'echo term >>{}' TERM; {}; while :; do sleep 0.02; done",
        desk.path("term").display(),
        desk.up("$$")
    );
    let mut asked = command(&["/bin/sh", "-c", &script]);
    asked.timeout = LIMIT;
    let grant = grant(&["/bin/sh", "-c", "*"]);
    let begin = Instant::now();
    let call = super::run(&grant, asked, KEEP, &programs);
    assert!(timeout(Duration::from_secs(3), call).await.is_err());
    reaped_within(fs::read_to_string(desk.path("up")).unwrap().trim(), Duration::from_secs(5)).await;
    assert!(begin.elapsed() < Duration::from_secs(7), "{:?}", begin.elapsed());
    assert_eq!(fs::read_to_string(desk.path("term")).unwrap(), "term\n");
}

#[tokio::test]
async fn what_cannot_be_started_is_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let plain = folder.path().join("plain");
    fs::write(&plain, "").unwrap();
    fs::set_permissions(&plain, fs::Permissions::from_mode(0o644)).unwrap();
    for (program, cwd, want) in [
        ("/nowhere/x", None, "run /nowhere/x: there is no such program"),
        (plain.to_str().unwrap(), None, "this user may not execute it"),
        ("/bin/true", Some("/nowhere".into()), "its folder /nowhere cannot be entered"),
    ] {
        let grant = ExecGrant::parse(strings(&[program]), cwd, Vec::new()).unwrap();
        let error = run(&grant, command(&[program]), KEEP).await.unwrap_err();
        assert!(matches!(&error, CallError::Failed(text) if text.contains(want)), "{error:?}");
    }
}

/// Alive and not only waiting to be reaped by init.
fn is_alive(pid: &str) -> bool {
    match fs::read_to_string(format!("/proc/{pid}/stat")) {
        Ok(stat) => !stat.rsplit_once(") ").unwrap().1.starts_with(['Z', 'X']),
        Err(error) => {
            assert!(
                matches!(error.kind(), io::ErrorKind::NotFound) || error.raw_os_error() == Some(3),
                "{error}"
            );
            false
        }
    }
}

/// Nobody has to ask any more how it ended.
async fn reaped(pid: &str) {
    reaped_within(pid, Duration::from_secs(2)).await;
}

async fn reaped_within(pid: &str, limit: Duration) {
    let begin = Instant::now();
    while Path::new("/proc").join(pid).exists() {
        assert!(begin.elapsed() < limit, "process {pid} is still there");
        sleep(Duration::from_millis(10)).await;
    }
}

async fn gone(pid: &str) {
    assert!(pid.parse::<u32>().is_ok(), "{pid:?} is not a process");
    for _ in 0..200 {
        if !is_alive(pid) {
            return;
        }
        sleep(Duration::from_millis(10)).await;
    }
    panic!("process {pid} is still there");
}

fn kill(pid: &str) {
    let pid = rustix::process::Pid::from_raw(pid.parse().unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
}
