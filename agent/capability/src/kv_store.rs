//! Kv-store: a few values that a receiver's plugin keeps from one call to the next.
//!
//! Boundary: parses and decides; `kv_store/file.rs` keeps what was granted.
//!
//! Invariants: what is kept is never more than the grant, however often and by however many calls at once it is
//! written. No call of a plugin writes more than [`TIMES`] the grant, or [`LEAST`], to the disk, or reads much more than
//! [`READS`] times as much: each change writes all that is kept, and each look reads it, which no limit of the guest's own
//! CPU time counts.

mod file;

#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::collections::BTreeMap;

pub use file::KvStore;

use crate::{CallError, refusal};

/// Keys, unless a grant says otherwise.
pub const KEYS: u32 = 1000;

/// Bytes that can be granted: each change writes all that is kept.
pub const SIZE_MAX: u64 = 64 << 20;

/// What a plugin without a grant is told to get, unless it wants to keep more at once.
const USUAL: u64 = 1 << 20;

/// Bytes of a key.
const KEY_MAX: usize = 512;

/// How often one call may write as much as is granted.
const TIMES: u64 = 4;

/// Bytes that any call may write, so that one that keeps little may change it often.
const LEAST: u64 = 16 << 20;

/// As much as is read counts like one written.
const READS: u64 = 16;

/// What a change costs at least: a file is written in blocks, and waited for.
const BLOCK: u64 = 4 << 10;

/// How much a plugin may keep for its receiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KvStoreGrant {
    /// Bytes of all keys and values together.
    pub size: u64,
    /// How many keys.
    pub keys: u32,
}

/// What is kept; of a file that was read it is borrowed, since there may be much of it.
pub(crate) type Values<'v> = BTreeMap<Cow<'v, str>, Cow<'v, [u8]>>;

/// What is asked of what is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KvStoreCall {
    /// The value of a key.
    Get(String),
    /// To keep a value under a key.
    Set(String, Vec<u8>),
    /// To forget a key.
    Delete(String),
}

impl KvStoreGrant {
    /// What would help, if it can be granted.
    fn or_a_larger(&self) -> String {
        let more = self.size.max(LEAST / TIMES);
        let told = || format!(", or grant a `size` of more than {} in allow.kv_store", bytes(more));
        if more < SIZE_MAX { told() } else { String::new() }
    }

    /// Bytes that one call of a plugin may write.
    fn most(&self) -> u64 {
        self.size.saturating_mul(TIMES).max(LEAST)
    }

    /// What it allows, in words.
    pub(crate) fn in_words(self) -> String {
        let keys = if self.keys == 1 { "1 key".to_owned() } else { format!("{} keys", self.keys) };
        format!("may keep {} under {keys} between its calls", bytes(self.size))
    }
}

/// Whether a plugin that keeps up to `size` bytes may.
pub(crate) fn covers(grant: Option<&KvStoreGrant>, size: u64) -> Result<(), CallError> {
    can_be(size)?;
    match grant {
        Some(grant) if grant.size >= size => Ok(()),
        _ => {
            let keys = grant.map_or(KEYS, |grant| grant.keys);
            Err(refusal::refused(format_args!("keep {} between calls", bytes(size)), whole_line(size, keys)))
        }
    }
}

/// Whether a grant can be of so many bytes.
pub(crate) fn can_be(size: u64) -> Result<(), CallError> {
    if (1..=SIZE_MAX).contains(&size) { Ok(()) } else { Err(never(size)) }
}

/// No grant is as large, or as small.
fn never(size: u64) -> CallError {
    let (size, most) = (bytes(size), bytes(SIZE_MAX));
    CallError::Refused(format!("to keep {size} between calls is never granted: a grant is of 1 B to {most}"))
}

/// Whether the call is one that could be done.
pub(crate) fn decide(grant: Option<&KvStoreGrant>, call: &KvStoreCall) -> Result<KvStoreGrant, CallError> {
    let Some(grant) = grant else {
        let wanted = match call {
            KvStoreCall::Set(key, value) => size(key, value),
            KvStoreCall::Get(_) | KvStoreCall::Delete(_) => 0,
        };
        return Err(match wanted {
            0..=SIZE_MAX => refusal::refused("keep values between calls", line(wanted.max(USUAL))),
            _ => never(wanted),
        });
    };
    let key = call.key();
    if key.is_empty() || key.len() > KEY_MAX {
        return Err(CallError::Refused(format!(
            "a key has 1 to {KEY_MAX} bytes, and this one has {}",
            key.len()
        )));
    }
    Ok(*grant)
}

impl KvStoreCall {
    fn key(&self) -> &str {
        match self {
            Self::Get(key) | Self::Set(key, _) | Self::Delete(key) => key,
        }
    }

    /// Does it with the values in `kept`, unless more would be kept then than is granted, or more would be `used` by the
    /// plugin's call than one may. Answers what a `get` asks for, and whether something changed.
    pub(crate) fn apply(
        self,
        kept: &mut Values<'_>,
        grant: &KvStoreGrant,
        used: &mut u64,
    ) -> Result<(Option<Vec<u8>>, bool), CallError> {
        let others = |key: &str| {
            let others = kept.iter().filter(|(other, _)| *other != key);
            others.map(|(key, value)| size(key, value)).sum::<u64>()
        };
        match self {
            Self::Get(key) => Ok((kept.get(key.as_str()).map(|value| value.to_vec()), false)),
            Self::Delete(key) if !kept.contains_key(key.as_str()) => Ok((None, false)),
            Self::Delete(key) => {
                write(others(&key), grant, used)?;
                kept.remove(key.as_str());
                Ok((None, true))
            }
            Self::Set(key, value) => {
                let before = kept.get(key.as_str());
                if before.is_some_and(|before| **before == *value) {
                    return Ok((None, false));
                }
                let size = others(&key) + size(&key, &value);
                let keys = kept.len() + usize::from(before.is_none());
                if size > SIZE_MAX {
                    return Err(never(size));
                }
                let keys = u32::try_from(keys).unwrap_or(u32::MAX);
                if size > grant.size || keys > grant.keys {
                    return Err(refusal::refused(
                        format_args!("keep {size} bytes under {keys} keys between calls"),
                        whole_line(size.max(grant.size), keys.max(grant.keys)),
                    ));
                }
                write(size, grant, used)?;
                kept.insert(key.into(), value.into());
                Ok((None, true))
            }
        }
    }
}

/// Counts a change that makes what is kept so large, unless its call has written enough.
fn write(size: u64, grant: &KvStoreGrant, used: &mut u64) -> Result<(), CallError> {
    let after = used.saturating_add(size.max(BLOCK));
    if after > grant.most() {
        return Err(CallError::Refused(format!(
            "keep a value: all that is kept is written at each change, and that would be more than {} in one call; set \
             what belongs together under one key{}",
            bytes(grant.most()),
            grant.or_a_larger()
        )));
    }
    *used = after;
    Ok(())
}

/// Counts that so much was read.
fn read(size: u64, used: &mut u64) {
    *used = used.saturating_add(size.max(BLOCK) / READS);
}

/// Whether a plugin's call that has `used` so much may read what is kept once more.
fn may_read(grant: &KvStoreGrant, used: u64) -> Result<(), CallError> {
    if used < grant.most() {
        return Ok(());
    }
    Err(CallError::Refused(format!(
        "look at what is kept: all of it is read each time, and that would be more than {} in one call; read what belongs \
         together once{}",
        bytes(grant.most().saturating_mul(READS)),
        grant.or_a_larger()
    )))
}

/// What a value takes of what is granted.
fn size(key: &str, value: &[u8]) -> u64 {
    (key.len() + value.len()) as u64
}

/// What grants at least `size` bytes.
pub(crate) fn line(size: u64) -> String {
    whole_line(size, KEYS)
}

fn whole_line(size: u64, keys: u32) -> String {
    let keys = if keys == KEYS { String::new() } else { format!(", keys = {keys}") };
    format!("allow.kv_store = {{ size = \"{}\"{keys} }}", bytes(size).replace(' ', ""))
}

/// At least so many bytes, in a unit of configuration files.
fn bytes(size: u64) -> String {
    const UNITS: [(u64, &str); 2] = [(1 << 20, "MiB"), (1 << 10, "KiB")];
    let exact = UNITS.into_iter().find(|(unit, _)| size > 0 && size.is_multiple_of(*unit));
    let (unit, name) = exact.unwrap_or((1, "B"));
    format!("{} {name}", size / unit)
}
