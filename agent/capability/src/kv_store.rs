//! Kv-store: a few values that a receiver's plugin keeps from one call to the next.
//!
//! Boundary: parses and decides; `kv_store/file.rs` keeps what was granted.
//!
//! Invariant: what is kept is never more than the grant, however often and by however many calls at once it is
//! written.

mod file;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

pub use file::KvStore;

use crate::{CallError, refusal};

/// Keys, unless a grant says otherwise.
pub const KEYS: u32 = 1000;

/// Bytes of a key.
const KEY_MAX: usize = 512;

/// How much a plugin may keep for its receiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KvStoreGrant {
    /// Bytes of all keys and values together.
    pub size: u64,
    /// How many keys.
    pub keys: u32,
}

/// What is kept.
pub(crate) type Values = BTreeMap<String, Vec<u8>>;

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
    /// What it allows, in words.
    pub(crate) fn in_words(self) -> String {
        format!("may keep {} under {} keys between its calls", bytes(self.size), self.keys)
    }
}

/// Whether a plugin that keeps up to `size` bytes may.
pub(crate) fn covers(grant: Option<&KvStoreGrant>, size: u64) -> Result<(), CallError> {
    match grant {
        Some(grant) if grant.size >= size => Ok(()),
        _ => Err(refusal::refused(format_args!("keep {} between calls", bytes(size)), line(size))),
    }
}

/// Whether the call is one that could be done.
pub(crate) fn decide(grant: Option<&KvStoreGrant>, call: &KvStoreCall) -> Result<KvStoreGrant, CallError> {
    let Some(grant) = grant else {
        return Err(refusal::refused("keep values between calls", line(1 << 20)));
    };
    let key = call.key();
    if key.is_empty() || key.len() > KEY_MAX {
        return Err(CallError::Failed(format!(
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

    /// Does it with the values in `kept`, unless more would be kept then than is granted. Answers what a `get` asks
    /// for, and whether something changed.
    pub(crate) fn apply(
        self,
        kept: &mut Values,
        grant: &KvStoreGrant,
    ) -> Result<(Option<Vec<u8>>, bool), CallError> {
        match self {
            Self::Get(key) => Ok((kept.get(&key).cloned(), false)),
            Self::Delete(key) => Ok((None, kept.remove(&key).is_some())),
            Self::Set(key, value) => {
                if kept.get(&key) == Some(&value) {
                    return Ok((None, false));
                }
                let before = kept.iter().filter(|(other, _)| **other != key);
                let size = before.map(|(key, value)| size(key, value)).sum::<u64>() + size(&key, &value);
                let keys = kept.len() + usize::from(!kept.contains_key(&key));
                if size > grant.size {
                    return Err(refusal::refused(
                        format_args!("keep {size} bytes between calls"),
                        whole_line(size, grant.keys),
                    ));
                }
                if keys > grant.keys as usize {
                    let keys = u32::try_from(keys).unwrap_or(u32::MAX);
                    let line = whole_line(grant.size, keys);
                    return Err(refusal::refused(format_args!("keep {keys} keys between calls"), line));
                }
                kept.insert(key, value);
                Ok((None, true))
            }
        }
    }
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
