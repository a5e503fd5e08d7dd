//! The command line, and configurations with faults: all are told at once, and nothing is started.
//! `tests/bad_input/` has one file for each way in which a fault could hide another one, or could make
//! something untrue be told, and beside it what the operator is told.

#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

mod support;

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::process::Output;

use serde_json::json;
use support::fake_consul::FakeConsul;
use support::home::Home;
use support::layout;

/// One fault of each kind. What is told of it is in `tests/bad_input/`.
const FAULTY: &str = r#"[agent]
data_dir = "DATA"
environmet = "production"
shutdown_grace = 10

[consul]
address = "CONSUL"

[[rules]]
name = "web-down"
on = ["check.state"]
match = { service = { regex = "web(" } }
receivers = ["restrat", "journal"]

[receivers.restart]
plugin = "slack"

[receivers.journal]
plugin = "file"
config = { path = "/tmp/journal" }

[receivers.mail]
plugin = "email"
config = { from = "lictor@example.com", to = ["ops@example.com"] }
allow.smtp = { relay = "smtps://localhost", username = "lictor", password_file = "/nowhere/password" }

[receivers.no-relay]
plugin = "email"
config = { from = "lictor@example.com", to = ["ops@example.com"] }

[receivers.no-program]
plugin = "shell"
config = { command = ["/nowhere/program"] }

[receivers.long]
plugin = "shell"
config = { command = ["/bin/true"], timeout = "90s" }

[receivers.refused]
plugin = "webhook"
config = { url = "chat.example.com", timout = "1s" }

[receivers.several]
plugin = "shell"
config = { command = ["relative"], timeot = "1s", timeout = 5 }

[receivers.template]
plugin = "file"
config = { path = "/tmp/journal", template = "{{ data. }}" }

[receivers.narrow]
plugin = "file"
config = { path = "/tmp/journal" }
allow.append = ["/var/log/"]

[receivers.ungranted]
plugin = "misbehave.wasm"
config = { do = "exec", command = ["/bin/true", "a"], request = true }

[receivers.other-hash]
plugin = "misbehave.wasm"
sha256 = "0000000000000000000000000000000000000000000000000000000000000000"
config = { do = "ok" }

[receivers.no-plugin]
plugin = "nowhere.wasm"

[receivers.no-component]
plugin = "letter.wasm"
"#;

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// A folder with the plugins that `FAULTY` names.
fn home(config: &str) -> Home {
    let home = Home::warm();
    home.misbehave();
    home.write("letter.wasm", "Dear friend");
    home.write("lictor.toml", config);
    layouts(&home);
    home
}

/// Folders with an OCI image layout, each with another fault.
fn layouts(home: &Home) {
    let folder = |name: &str| home.path(&format!("layouts/{name}"));
    let wasm = ("application/wasm", &b"\0asm\x0d\0\x01\0"[..]);
    for name in ["no-layout", "several", "changed"] {
        layout::make(&folder(name), layout::WASM_CONFIG, &[wasm]);
    }
    layout::make(&folder("image"), "application/vnd.oci.image.config.v1+json", &[]);
    layout::make(&folder("no-component"), layout::WASM_CONFIG, &[("text/plain", b"x")]);
    fs::remove_file(folder("no-layout").join("oci-layout")).unwrap();
    let mut manifests = layout::manifests(&folder("several"));
    for tag in ["1.0.0", "1.1.0"] {
        let mut other = manifests[0].clone();
        other["annotations"] = json!({ "org.opencontainers.image.ref.name": tag });
        other["digest"] = format!("sha256:{}", layout::sha256(tag.as_bytes())).into();
        manifests.push(other);
    }
    layout::index(&folder("several"), &manifests[1..]);
    let blob = folder("changed").join("blobs/sha256").join(layout::sha256(wasm.1));
    fs::write(blob, b"\0asm\x0d\0\x01\x01").unwrap();
}

/// Runs a verb that must find faults, and gives back what it told.
#[track_caller]
fn rejected(home: &Home, arguments: &[&str]) -> String {
    let output = home.run(arguments);
    let told = stderr(&output);
    assert_eq!(output.status.code(), Some(78), "{told}");
    assert_eq!(stdout(&output), "", "faults are told on the standard error");
    told
}

#[tokio::test]
async fn all_faults_are_told_at_once_and_nothing_is_started() {
    let consul = FakeConsul::start().await;
    let config = FAULTY.replace("DATA", "data").replace("CONSUL", consul.address());
    let home = home(&config);
    let told = rejected(&home, &["run", "-c", "lictor.toml"]);
    assert_eq!(told, rejected(&home, &["validate", "-c", "lictor.toml"]), "both verbs tell the same");

    assert_told(&home, "all-at-once", &told);
    let left: Vec<_> =
        fs::read_dir(home.path("data")).unwrap().map(|file| file.unwrap().file_name()).collect();
    assert_eq!(left, ["plugins"], "no store was made");
    assert_eq!(consul.queries(), 0);
}

#[test]
fn a_fault_hides_no_other_and_makes_nothing_untrue_be_told() {
    let home = home("");
    let mut fixtures: Vec<_> = fs::read_dir("tests/bad_input")
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "toml"))
        .collect();
    fixtures.sort();
    assert!(fixtures.len() >= 6, "the fixtures were not found");
    for fixture in fixtures {
        let name = fixture.file_name().unwrap().to_str().unwrap();
        home.write(name, fs::read(&fixture).unwrap());
        let told = rejected(&home, &["validate", "-c", name]);
        assert_told(&home, name.trim_end_matches(".toml"), &told);
    }
}

/// Compares what was told with the snapshot of that name.
#[track_caller]
fn assert_told(home: &Home, name: &str, told: &str) {
    let misbehave = layout::sha256(&fs::read(home.path("misbehave.wasm")).unwrap());
    let folder = home.path("");
    let shown = told.replace(&misbehave, "<its hash>").replace(folder.to_str().unwrap(), "<folder>/");
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("bad_input");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!(name, shown));
}

#[tokio::test]
async fn a_folder_is_made_once_everything_is_right() {
    let home = Home::new();
    let config = |program: &str| {
        format!(
            "consul.address = '127.0.0.1:9'\n[receivers.x]\nplugin = 'shell'\nconfig = {{ command = ['{program}'] }}\n"
        )
    };
    home.write("lictor.toml", format!("agent.data_dir = 'data'\n{}", config("true")));
    let told = rejected(&home, &["run", "-c", "lictor.toml"]);
    assert!(told.contains("lictor.toml:5:12") && told.contains("1 fault; nothing was started."), "{told}");
    assert!(!home.path("data").exists());

    let mut lictor = home.start(&config("/bin/true"));
    lictor.told("Lictor runs.", 1).await;
    lictor.told("The configuration has warnings, which `lictor validate` tells.", 1).await;
    for folder in ["data", "data/plugins"] {
        assert_eq!(fs::metadata(home.path(folder)).unwrap().mode() & 0o777, 0o700, "{folder}");
    }
    assert_eq!(fs::read_dir(home.path("data/plugins")).unwrap().count(), 1, "the compiled plugin is kept");
    assert_eq!(lictor.terminate().await, 0);
}

#[test]
fn a_data_dir_that_cannot_be_trusted_is_looked_at_but_not_run_in() {
    let home = Home::new();
    home.write("lictor.toml", "agent.data_dir = 'data'\nconsul.address = '127.0.0.1:9'\n");
    fs::create_dir(home.path("data")).unwrap();
    fs::set_permissions(home.path("data"), fs::Permissions::from_mode(0o777)).unwrap();
    assert_eq!(home.run(&["validate"]).status.code(), Some(0));
    let refused = home.run(&["run"]);
    assert_eq!(refused.status.code(), Some(69));
    assert!(stderr(&refused).contains("nobody else may write to it (chmod go-w)"), "{}", stderr(&refused));
    assert_eq!(fs::read_dir(home.path("data")).unwrap().count(), 0, "nothing was made");

    fs::remove_dir(home.path("data")).unwrap();
    home.write("data", "a file");
    for verb in ["validate", "run"] {
        let refused = home.run(&[verb]);
        assert_eq!(refused.status.code(), Some(69), "{verb}");
        assert!(stderr(&refused).contains("it is no folder"), "{verb}: {}", stderr(&refused));
    }

    let faulty = "agent.data_dir = 'data'\nconsul.address = '127.0.0.1:9'\n[receivers.x]\nplugin = 'shell'\n";
    home.write("lictor.toml", faulty);
    for verb in ["validate", "run"] {
        let told = rejected(&home, &[verb]);
        assert!(told.contains("missing field `command`"), "{verb}: {told}");
    }
}

#[test]
fn a_right_configuration_says_what_each_receiver_may_do() {
    let home = home(
        "agent.data_dir = 'data'
        [receivers.act]
        plugin = 'shell'
        config = { command = ['/bin/true', 'a'] }
        [receivers.own]
        plugin = 'misbehave.wasm'
        config = { do = 'ok' }
        [[watch]]
        type = 'checks'
        [[watch]]
        type = 'checks'
        scope = 'datacenter'
        ",
    );
    let output = home.run(&["validate"]);
    let told = stdout(&output);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    for part in [
        "follows the checks of this node\nfollows all checks of the datacenter by one query, since no rule is about them (each change sends all",
        "act (plugin shell)\n    may run /bin/true with exactly these arguments: a; with any input\n",
        "may do nothing\n",
        "The configuration is right: 0 rules, 2 receivers.\n",
    ] {
        assert!(told.contains(part), "{part:?} is not in:\n{told}");
    }
}

#[test]
fn warnings_are_told_and_are_faults_for_those_who_want_them_to_be() {
    let config =
        "agent.data_dir = 'data'\n[receivers.act]\nplugin = 'shell'\nconfig = { command = ['/bin/true'] }\n";
    let home = home(config);
    let output = home.run(&["validate"]);
    let told = stderr(&output);
    assert_eq!(output.status.code(), Some(0), "{told}");
    let warning = "warning: nothing is sent to the receiver `act`\n";
    assert!(told.contains(warning) && told.ends_with("\n1 warning.\n"), "{told}");
    assert!(stdout(&output).ends_with("The configuration is right: 0 rules, 1 receiver.\n"));

    let told = rejected(&home, &["validate", "--deny-warnings"]);
    assert!(told.contains(warning) && told.ends_with("1 warning; nothing was started.\n"), "{told}");

    let rule = "[[rules]]\nname = 'a'\non = ['check.status']\nreceivers = ['act']\n";
    home.write("sound.toml", format!("{config}{rule}"));
    let output = home.run(&["validate", "--deny-warnings", "-c", "sound.toml"]);
    assert_eq!((output.status.code(), stderr(&output)), (Some(0), String::new()));
}

#[test]
fn what_another_machine_has_is_not_looked_for_offline() {
    let home = home(
        "agent.data_dir = 'data'
        [consul]
        token_file = '/nowhere/token'
        [receivers.act]
        plugin = 'shell'
        config = { command = ['/nowhere/program'] }
        [receivers.note]
        plugin = 'file'
        config = { path = '/nowhere/journal' }
        ",
    );
    let told = rejected(&home, &["validate"]);
    for path in ["/nowhere/token", "/nowhere/program", "/nowhere"] {
        assert!(told.contains(path), "{path} is not in:\n{told}");
    }
    let output = home.run(&["validate", "--offline"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
}

#[test]
fn what_only_root_may_grant_is_told_to_others_before_anything_is_started() {
    let home = Home::new();
    fs::set_permissions(home.path(""), fs::Permissions::from_mode(0o755)).unwrap();
    let journal = home.path("journal");
    let config = format!(
        "agent.data_dir = 'data'
        [receivers.act]
        plugin = 'shell'
        config = {{ command = ['/bin/true'] }}
        allow.exec = [{{ command = ['/bin/true'], user = '54321', group = '54322' }}]
        [receivers.note]
        plugin = 'file'
        config = {{ path = {journal:?} }}
        allow.append = [{{ path = {journal:?}, owner = '54321' }}]
        "
    );
    home.write("lictor.toml", config);
    let mut command = support::lictor::command();
    command.current_dir(home.path("")).args(["run", "-c", "lictor.toml"]);
    if fs::metadata("/proc/self").unwrap().uid() == 0 {
        command.uid(65534).gid(65534);
    }
    let output = command.output().unwrap();
    let told = stderr(&output);
    assert_eq!(output.status.code(), Some(78), "{told}");
    for part in [
        "for user 54321 and group 54322: only root may, and Lictor runs as user ",
        "for user 54321: only root",
    ] {
        assert!(told.contains(part), "{part:?} is not in:\n{told}");
    }
    assert!(!home.path("data").exists() && !journal.exists());
    // Whoever only looks may be another user than the one that Lictor runs as.
    let output = home.run(&["validate", "-c", "lictor.toml"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(stdout(&output).contains("as user 54321 and group 54322\n"), "{}", stdout(&output));
}

#[test]
fn a_configuration_that_is_not_there_is_told() {
    let home = Home::new();
    for verb in ["run", "validate"] {
        let told = rejected(&home, &[verb, "-c", "nowhere.toml"]);
        assert!(told.contains("there is no such file") && told.contains("nowhere.toml"), "{told}");
        let told = rejected(&home, &[verb]);
        assert!(told.contains("there is no configuration") && told.contains("./lictor.toml"), "{told}");
    }
}

#[test]
fn the_command_line_explains_itself() {
    let home = Home::new();
    let check = |arguments: &[&str], code: i32, parts: &[&str]| {
        let output = home.run(arguments);
        let told = stdout(&output) + &stderr(&output);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {told}");
        for part in parts {
            assert!(told.contains(part), "{part:?} is not told by {arguments:?}:\n{told}");
        }
    };
    check(&["--version"], 0, &[concat!("lictor ", env!("CARGO_PKG_VERSION"), "\n")]);
    check(&["--help"], 0, &["run", "validate", "--log-format", "LICTOR_LOG"]);
    check(&["run", "--help"], 0, &["-c, --config <PATH>", "/etc/lictor/lictor.toml"]);
    check(&["validate", "--help"], 0, &["--offline", "78"]);
    check(&[], 2, &["Usage:"]);
    check(&["walk"], 2, &["walk", "--help"]);
    check(&["run", "--log-format", "xml"], 2, &["xml", "human, json"]);
    check(&["run", "--log-level", "inof"], 2, &["inof", "error, warn, info, debug, trace or off"]);
    check(&["run", "--log-level", "warn,lictor::source=lots"], 2, &["lots"]);
}
