use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use proptest::prelude::*;

use super::file::{decode, encode};
use super::*;

const GRANT: KvStoreGrant = KvStoreGrant { size: 20, keys: 3 };

fn set(key: &str, value: &str) -> KvStoreCall {
    KvStoreCall::Set(key.into(), value.into())
}

fn get(key: &str) -> KvStoreCall {
    KvStoreCall::Get(key.into())
}

fn refused(result: Result<impl std::fmt::Debug, CallError>) -> String {
    match result {
        Err(CallError::Refused(text)) => text,
        other => panic!("{other:?} is no refusal"),
    }
}

#[test]
fn a_grant_bounds_bytes_and_keys_and_its_refusal_names_what_would_do() {
    let mut kept = Values::new();
    let mut apply = |call: KvStoreCall| call.apply(&mut kept, &GRANT, &mut 0);
    assert_eq!(apply(set("a", "123456789")), Ok((None, true)));
    assert_eq!(apply(set("b", "123456789")), Ok((None, true)), "exactly the limit");
    assert!(refused(apply(set("c", ""))).ends_with(r#"allow.kv_store = { size = "21B", keys = 3 }"#));
    assert_eq!(apply(set("a", "")), Ok((None, true)), "a smaller value in its place");
    assert_eq!(apply(set("a", "")), Ok((None, false)), "nothing new");
    assert_eq!(apply(set("c", "")), Ok((None, true)));
    assert!(refused(apply(set("d", ""))).ends_with(r#"allow.kv_store = { size = "20B", keys = 4 }"#));
    assert!(
        refused(apply(set("d", "123456789"))).ends_with(r#"allow.kv_store = { size = "22B", keys = 4 }"#)
    );
    assert_eq!(apply(KvStoreCall::Delete("c".into())), Ok((None, true)));
    assert_eq!(apply(KvStoreCall::Delete("c".into())), Ok((None, false)));
    assert_eq!(apply(set("d", "")), Ok((None, true)));
    assert_eq!(apply(get("b")), Ok((Some(b"123456789".to_vec()), false)));
    assert_eq!(apply(get("c")), Ok((None, false)));
}

#[test]
fn one_call_writes_no_more_than_a_few_times_what_is_granted() {
    // How many changes of a value of so many bytes one call gets.
    let changes = |grant: u64, size: usize| {
        let grant = KvStoreGrant { size: grant, keys: 10 };
        let (mut kept, mut written) = (Values::new(), 0);
        for change in 0.. {
            let mut value = vec![0; size];
            value[..4].copy_from_slice(&u32::to_le_bytes(change));
            match KvStoreCall::Set("k".into(), value).apply(&mut kept, &grant, &mut written) {
                Ok(done) => assert_eq!(done, (None, true)),
                Err(error) => {
                    let before = kept.clone();
                    let text = refused(Err::<(), _>(error));
                    assert!(text.contains("in one call"), "{text}");
                    // To look is free, and to forget is a change.
                    assert!(get("k").apply(&mut kept, &grant, &mut written).is_ok());
                    assert_eq!(kept, before);
                    assert!(set("k", "a call of its own").apply(&mut kept, &grant, &mut 0).is_ok());
                    return change;
                }
            }
        }
        unreachable!("it has no end")
    };
    assert_eq!(changes(64 << 20, (64 << 20) - 1), 4, "of a large grant");
    assert_eq!(changes(1 << 20, (1 << 20) - 1), 16, "what any call may write");
    assert_eq!(changes(1 << 20, 100), 4096, "each is a block at least");
    let grant = KvStoreGrant { size: 1 << 20, keys: 10 };
    let mut kept = Values::from([("a".into(), vec![0; 1 << 19].into())]);
    let mut full = LEAST;
    assert!(
        refused(KvStoreCall::Delete("a".into()).apply(&mut kept, &grant, &mut full))
            .contains("16 MiB in one call")
    );
    assert_eq!(KvStoreCall::Delete("b".into()).apply(&mut kept, &grant, &mut full), Ok((None, false)));
    assert_eq!(kept.len(), 1);
}

#[tokio::test]
async fn what_a_call_writes_is_counted_from_one_change_to_the_next() {
    let dir = tempfile::tempdir().unwrap();
    let store = KvStore::new(dir.path().to_owned());
    let mut used = LEAST - 3 * BLOCK;
    store.call(GRANT, set("a", "1"), &mut used).await.unwrap();
    store.call(GRANT, set("a", "1"), &mut used).await.unwrap();
    store.call(GRANT, set("a", "2"), &mut used).await.unwrap();
    assert!(refused(store.call(GRANT, set("a", "3"), &mut used).await).contains("16 MiB in one call"));
    assert_eq!(store.call(GRANT, get("a"), &mut used).await, Ok(Some(b"2".to_vec())));
}

#[tokio::test]
async fn a_call_cannot_read_without_end() {
    let dir = tempfile::tempdir().unwrap();
    let store = KvStore::new(dir.path().to_owned());
    let grant = KvStoreGrant { size: 8 << 20, keys: 1 };
    let mut used = 0;
    store.call(grant, KvStoreCall::Set("k".into(), vec![1; 7 << 20]), &mut used).await.unwrap();
    let mut reads = 0;
    let refusal = loop {
        match store.call(grant, get("k"), &mut used).await {
            Ok(_) => reads += 1,
            refusal => break refused(refusal),
        }
    };
    assert!(refusal.contains("more than 512 MiB in one call"), "{refusal}");
    assert!(refusal.ends_with("or grant a `size` of more than 8 MiB in allow.kv_store"), "{refusal}");
    let told = |size| KvStoreGrant { size, keys: 1 }.or_a_larger();
    assert!(told(1).contains("more than 4 MiB"), "less than that changes nothing");
    assert_eq!(told(SIZE_MAX), "", "there is no larger one");
    assert_eq!(reads, (32 - 7) * 16 / 7 + 1, "of four times the grant, what was written is taken off");
    assert!(store.call(grant, get("k"), &mut 0).await.is_ok(), "another call may");
}

#[test]
fn what_a_plugin_says_it_keeps_is_held_against_the_grant() {
    assert_eq!(covers(Some(&GRANT), 20), Ok(()));
    let many = KvStoreGrant { keys: 5000, ..GRANT };
    let line = r#"allow.kv_store = { size = "64KiB", keys = 5000 }"#;
    assert!(refused(covers(Some(&many), 65_536)).ends_with(line), "it takes no key away");
    assert!(
        refused(covers(Some(&GRANT), 65_536)).ends_with(r#"allow.kv_store = { size = "64KiB", keys = 3 }"#)
    );
    for size in [0, SIZE_MAX + 1] {
        for grant in [None, Some(&GRANT)] {
            assert!(
                refused(covers(grant, size)).ends_with("a grant is of 1 B to 64 MiB"),
                "no line would do"
            );
        }
    }
    assert!(refused(decide(None, &get("a"))).ends_with(r#"allow.kv_store = { size = "1MiB" }"#));
    let large = |size| KvStoreCall::Set("k".into(), vec![0; size]);
    assert!(refused(decide(None, &large((2 << 20) - 1))).ends_with(r#"allow.kv_store = { size = "2MiB" }"#));
    assert!(refused(decide(None, &large(64 << 20))).ends_with("a grant is of 1 B to 64 MiB"));
    assert_eq!(decide(Some(&GRANT), &get("a")), Ok(GRANT));
    for key in ["", &"x".repeat(KEY_MAX + 1)] {
        assert!(matches!(decide(Some(&GRANT), &get(key)), Err(CallError::Refused(_))));
    }
    assert_eq!(
        KvStoreGrant { size: 1 << 20, keys: KEYS }.in_words(),
        "may keep 1 MiB under 1000 keys between its calls"
    );
}

#[tokio::test]
async fn what_is_kept_is_there_for_whoever_opens_it_next() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("kv-store/ops");
    let store = || KvStore::new(folder.clone());
    assert_eq!(store().call(GRANT, get("a"), &mut 0).await, Ok(None));
    assert!(!folder.exists(), "to look makes nothing");
    store().call(GRANT, set("a", "1"), &mut 0).await.unwrap();
    assert_eq!(store().call(GRANT, get("a"), &mut 0).await, Ok(Some(b"1".to_vec())));
    assert_eq!(fs::metadata(folder.join("values")).unwrap().permissions().mode() & 0o777, 0o600);
    store().call(GRANT, KvStoreCall::Delete("a".into()), &mut 0).await.unwrap();
    assert_eq!(store().call(GRANT, get("a"), &mut 0).await, Ok(None));
}

#[tokio::test]
async fn a_crash_in_the_middle_leaves_what_was_there() {
    let dir = tempfile::tempdir().unwrap();
    let store = KvStore::new(dir.path().to_owned());
    store.call(GRANT, set("a", "old"), &mut 0).await.unwrap();
    // Killed while it wrote: the new file is there in part, and the old one is in its place.
    fs::write(dir.path().join("values.new"), "lictor kv-st").unwrap();
    assert_eq!(store.call(GRANT, get("a"), &mut 0).await, Ok(Some(b"old".to_vec())));
    store.call(GRANT, set("a", "new"), &mut 0).await.unwrap();
    assert_eq!(store.call(GRANT, get("a"), &mut 0).await, Ok(Some(b"new".to_vec())));
    assert!(!dir.path().join("values.new").exists());
}

#[tokio::test]
async fn a_file_that_somebody_else_wrote_is_said_to_be_damaged_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("values");
    fs::write(&path, "x").unwrap();
    let store = KvStore::new(dir.path().to_owned());
    for call in [get("a"), set("a", "1")] {
        let Err(CallError::Failed(text)) = store.call(GRANT, call, &mut 0).await else {
            panic!("it was read")
        };
        assert!(text.ends_with("is damaged; remove it, and it begins empty"), "{text}");
        assert!(!text.contains(dir.path().to_str().unwrap()), "{text}");
    }
    assert_eq!(fs::read(&path).unwrap(), b"x");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_at_once_do_not_undo_each_other() {
    let dir = tempfile::tempdir().unwrap();
    let grant = KvStoreGrant { size: 1000, keys: 100 };
    let calls = (0..40).map(|number| {
        let store = KvStore::new(dir.path().to_owned());
        tokio::spawn(async move { store.call(grant, set(&format!("k{number}"), "v"), &mut 0).await })
    });
    for call in calls.collect::<Vec<_>>() {
        call.await.unwrap().unwrap();
    }
    let bytes = fs::read(dir.path().join("values")).unwrap();
    assert_eq!(decode(&bytes).unwrap().len(), 40);
}

fn any_values() -> impl Strategy<Value = Values<'static>> {
    let value = prop::collection::vec(any::<u8>(), 0..20).prop_map(Cow::from);
    prop::collection::btree_map(any::<String>().prop_map(Cow::from), value, 0..5)
}

fn encoded(values: &Values<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode(values, &mut bytes).unwrap();
    bytes
}

fn any_call() -> impl Strategy<Value = KvStoreCall> {
    let key = || prop::sample::select(vec!["a", "bb", "ccc", "dddd"]).prop_map(String::from);
    prop_oneof![
        key().prop_map(KvStoreCall::Get),
        key().prop_map(KvStoreCall::Delete),
        (key(), prop::collection::vec(any::<u8>(), 0..12))
            .prop_map(|(key, value)| KvStoreCall::Set(key, value)),
    ]
}

proptest! {
    #[test]
    fn what_is_written_is_read(values in any_values()) {
        let bytes = encoded(&values);
        prop_assert_eq!(decode(&bytes), Some(values));
    }

    #[test]
    fn a_file_that_was_cut_off_is_not_taken_for_whole(values in any_values(), at in any::<prop::sample::Index>()) {
        let whole = encoded(&values);
        let cut = &whole[..at.index(whole.len())];
        // Between two keys a cut cannot be seen; `rename` sees to it that there is none.
        if let Some(found) = decode(cut) {
            prop_assert!(found.len() < values.len() && found.iter().all(|(key, value)| values.get(key) == Some(value)));
        }
    }

    #[test]
    fn never_is_more_kept_than_is_granted(calls in prop::collection::vec(any_call(), 0..40)) {
        let mut kept = Values::new();
        for call in calls {
            let before = kept.clone();
            let key = call.key().to_owned();
            let applied = call.clone().apply(&mut kept, &GRANT, &mut 0);
            if let Ok((found, _)) = applied {
                match call {
                    KvStoreCall::Get(_) => prop_assert_eq!(found, before.get(key.as_str()).map(|value| value.to_vec())),
                    KvStoreCall::Set(_, value) => prop_assert_eq!(kept.get(key.as_str()), Some(&Cow::from(value))),
                    KvStoreCall::Delete(_) => prop_assert!(!kept.contains_key(key.as_str())),
                }
            } else {
                prop_assert_eq!(&kept, &before);
            }
            let bytes: usize = kept.iter().map(|(key, value)| key.len() + value.len()).sum();
            prop_assert!(bytes <= 20 && kept.len() <= 3);
        }
    }
}
