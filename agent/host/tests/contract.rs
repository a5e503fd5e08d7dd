//! Plugins that were built for a released contract run as they did. `agent/tests/contract` says how they were made.

#![expect(clippy::unwrap_used, reason = "a test that cannot look has to fail")]

mod common;

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use common::{call, guest::repository, host, patient};
use lictor_capability::{
    Answers, Asked, CallError, Capabilities, Grants, Kept, KvAnswer, OutputLimits, Recorded, Script,
};
use lictor_host::{Call, Failure, Plugin, inspect};

/// Bytes of a binary that is kept for ever.
const SMALL: u64 = 64 << 10;

/// The version and the file of each.
fn released() -> Vec<(String, PathBuf)> {
    let entries = fs::read_dir(repository().join("agent/tests/contract")).unwrap();
    let folders = entries.map(|entry| entry.unwrap().path()).filter(|path| path.is_dir());
    let released: Vec<_> = folders
        .map(|folder| (folder.file_name().unwrap().to_str().unwrap().to_owned(), folder.join("plugin.wasm")))
        .collect();
    assert!(!released.is_empty(), "the released contracts were not found");
    released
}

/// A call in which all that the plugin needs is granted, and answered by a script.
async fn scripted(plugin: &Plugin, act: &str, answers: Answers) -> (Call, Arc<Script>) {
    let config = format!(r#"{{"do":"{act}"}}"#);
    let requests = plugin.requests(&config, &patient()).await.unwrap();
    let script = Arc::new(Script::new(answers, Kept::default(), OutputLimits::default()));
    let grants = Grants::for_requests(&requests).unwrap();
    let capabilities = Arc::new(Capabilities::scripted(grants, Arc::clone(&script)));
    (Call { capabilities, ..call(&config, patient(), Grants::default()) }, script)
}

#[tokio::test]
async fn a_plugin_of_each_released_contract_can_do_what_it_could() {
    for (version, file) in released() {
        let wasm = fs::read(&file).unwrap();
        assert!(fs::metadata(&file).unwrap().len() < SMALL, "{version} is too large to be kept");
        assert_eq!(inspect(&wasm).unwrap().contract, version);
        let plugin = host().load(&wasm).unwrap();
        assert_eq!(
            plugin.imports(),
            ["exec", "append", "http", "smtp", "watch", "kv", "kv-store", "log"],
            "{version}"
        );
        assert_eq!(plugin.describe(&patient()).await.unwrap().name, "everything");
        let refused = plugin.requests("{}", &patient()).await.unwrap_err();
        assert_eq!(refused.to_string(), "do is missing");

        let failed = Answers {
            append: [Err(CallError::Failed("full".into()))].into(),
            http: [Err(CallError::TimedOut("slow".into()))].into(),
            kv: [
                Ok(KvAnswer { value: Some(b"ann".to_vec()), ..KvAnswer::default() }),
                Ok(KvAnswer { keys: vec!["app/a".into()], ..KvAnswer::default() }),
            ]
            .into(),
            ..Answers::default()
        };
        let (call, script) = scripted(&plugin, "all", failed).await;
        let receipt = plugin.handle(call).await.result.unwrap();
        let want = "d1 1 web-down misbehave test web1 e1 consul://dc1 lictor.check.status web1/service:web \
                    2026-01-01T00:00:00Z {\"service\":\"web\",\"to\":\"critical\"} | ok code 0   | failed full \
                    | timed out slow | ok 250 OK | ok 1 [] | ok ann | ok app/a | ok set | ok v | ok deleted";
        assert_eq!(receipt, want, "{version}");
        let asked: Vec<_> = script.recorded().iter().map(word).collect();
        let kept = ["kv", "kv", "kv-store", "kv-store", "kv-store"];
        assert_eq!(asked, [&["exec", "append", "http", "smtp", "watch"][..], &kept].concat(), "{version}");
    }
}

fn word(recorded: &Recorded) -> &'static str {
    match recorded.asked {
        Asked::Exec(_) => "exec",
        Asked::Append { .. } => "append",
        Asked::Http(_) => "http",
        Asked::Smtp(_) => "smtp",
        Asked::Watch => "watch",
        Asked::Kv(_) => "kv",
        Asked::KvStore(_) => "kv-store",
    }
}

#[tokio::test]
async fn its_refusals_and_failures_are_what_they_were() {
    for (version, file) in released() {
        let plugin = host().load(&fs::read(&file).unwrap()).unwrap();
        let end = async |act| {
            let (call, _) = scripted(&plugin, act, Answers::default()).await;
            plugin.handle(call).await.result.unwrap_err()
        };
        assert_eq!(end("transient").await, Failure::Transient("not now".into()), "{version}");
        let later = Failure::RetryAfter("later".into(), Duration::from_secs(2));
        assert_eq!(end("retry_after").await, later, "{version}");
        assert_eq!(end("permanent").await, Failure::Permanent("never".into()), "{version}");

        let refused = plugin.handle(call(r#"{"do":"all"}"#, patient(), Grants::default())).await;
        assert_eq!(refused.refused, 10, "{version}: {:?}", refused.refusals);
        assert_eq!(refused.result.unwrap().matches("| refused ").count(), 10, "{version}");
    }
}
