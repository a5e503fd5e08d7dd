//! Why a call ended without an answer, in words.

use wasmtime::{PoolConcurrencyLimitError, Trap};
use wasmtime_wasi::I32Exit;

use crate::guest::Guest;
use crate::limits::{Denied, Limits, TABLE_ELEMENTS};
use crate::meter::OverTime;
use crate::outcome::CallFailure;
use crate::text::{self, WORDS};

/// Says why a call ended without an answer.
pub(crate) fn classify(error: &wasmtime::Error, guest: &Guest, stderr: &str, limits: &Limits) -> CallFailure {
    match error.downcast_ref::<OverTime>() {
        Some(OverTime::Wall) => {
            return CallFailure::Deadline(format!("the plugin was not done within {:?}", limits.timeout));
        }
        Some(OverTime::Cpu) => {
            return CallFailure::Deadline(format!("the plugin used more than {:?} of CPU time", limits.cpu));
        }
        None => {}
    }
    match guest.limiter.denied() {
        Some(Denied::Memory) => {
            let limit = bytes(limits.memory);
            return CallFailure::Memory(format!("the plugin needed more memory than its {limit}"));
        }
        Some(Denied::Table) => {
            let text = format!("the plugin needed more than {TABLE_ELEMENTS} elements of its tables");
            return CallFailure::Memory(text);
        }
        None => {}
    }
    if let Some(full) = error.downcast_ref::<PoolConcurrencyLimitError>() {
        return CallFailure::Full(format!("there is no place for another call: {full}"));
    }
    // Its status is only whether it was 0, whatever the plugin said.
    if error.downcast_ref::<I32Exit>().is_some() {
        return CallFailure::Trapped("the plugin exited and gave no answer".into());
    }
    // wasmtime has no type for it.
    let cause = error.root_cause().to_string();
    if cause.contains("fuel allocated for hostcalls") {
        let limit = bytes(limits.transfer);
        return CallFailure::Trapped(format!(
            "too much data: the plugin and Lictor pass each other at most {limit} at once (`transfer`)"
        ));
    }
    let last_words = last_words(stderr);
    let trap = error.downcast_ref::<Trap>();
    CallFailure::Trapped(match (trap, last_words) {
        (Some(Trap::StackOverflow), _) => "the plugin's stack overflowed".into(),
        (_, Some(words)) => format!("the plugin crashed: {words}"),
        (Some(trap), None) => format!("the plugin crashed: {trap}"),
        (None, None) => {
            format!("the plugin crashed: {}", text::one_line(&cause, WORDS))
        }
    })
}

/// A limit in the largest unit that tells it exactly.
fn bytes(count: usize) -> String {
    const UNITS: [(usize, &str); 2] = [(1 << 20, "MiB"), (1 << 10, "KiB")];
    let exact = UNITS.into_iter().find(|(unit, _)| count.is_multiple_of(*unit));
    let (unit, name) = exact.unwrap_or((1, "bytes"));
    format!("{} {name}", count / unit)
}

/// Bytes of the line before a panic that are told.
const BEFORE: usize = 400;

/// What a runtime wrote when it gave up: a Rust panic with its place, else the last line. What was written before a panic
/// is told with it, since the runtimes of other languages are made in Rust, too: Python's tells the exception, and panics.
fn last_words(stderr: &str) -> Option<String> {
    let last_line = |text: &str| {
        let line = text.lines().rfind(|line| !line.trim().is_empty())?;
        Some(line.trim().to_owned())
    };
    let Some(start) = stderr.rfind("panicked at ") else {
        return last_line(stderr).map(|line| text::one_line(&line, WORDS));
    };
    let panic = text::one_line(stderr[start..].split("\nnote: ").next()?, WORDS);
    // Without the beginning of the panic's own line, which names the thread.
    let before = stderr[..start].rsplit_once('\n').and_then(|(before, _)| last_line(before));
    Some(match before {
        Some(before) => format!("{panic}; before that: {}", text::one_line(&before, BEFORE)),
        None => panic,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(stderr: &str, want: Option<&str>) {
        assert_eq!(last_words(stderr).as_deref(), want);
    }

    #[test]
    fn a_crash_is_told_in_the_guests_last_words() {
        check("", None);
        check("\n \n", None);
        check("memory allocation of 9 bytes failed\n", Some("memory allocation of 9 bytes failed"));
        check(
            "\nthread 'main' (1) panicked at src/lib.rs:7:9:\nno: \"x\"\nnote: run with `RUST_BACKTRACE=1`",
            Some("panicked at src/lib.rs:7:9: no: \"x\""),
        );
        check(
            "asked 3\n\nthread 'main' (1) panicked at src/lib.rs:7:9:\nno\nnote: run with `RUST_BACKTRACE=1`",
            Some("panicked at src/lib.rs:7:9: no; before that: asked 3"),
        );
        check(
            "Traceback (most recent call last):\n  File \"/0/plugin.py\", line 54, in handle\n    data[\"the reason\"]\n    \
             ~~~~^^^^^^^^^^^^^^\nKeyError: 'the reason'\n\nthread '<unnamed>' (1) panicked at \
             runtime/src/lib.rs:1293:29:\nPython function threw an unexpected exception\nnote: run with \
             `RUST_BACKTRACE=1` environment variable to display a backtrace\n",
            Some(
                "panicked at runtime/src/lib.rs:1293:29: Python function threw an unexpected exception; before that: \
                 KeyError: 'the reason'",
            ),
        );
        let long = format!("{}\nthread 'main' panicked at a.rs:1:1:\nno", "x".repeat(BEFORE + 1));
        let told = format!("panicked at a.rs:1:1: no; before that: {} […]", "x".repeat(BEFORE));
        check(&long, Some(&told));
    }

    #[test]
    fn a_limit_is_told_exactly() {
        assert_eq!([64 << 20, 1536 << 10, 1000].map(bytes), ["64 MiB", "1536 KiB", "1000 bytes"]);
    }
}
