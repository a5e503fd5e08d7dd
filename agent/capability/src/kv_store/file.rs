//! Where a receiver's values are kept: one file, written anew and put in the place of the old one.
//!
//! Boundary: the file system. How much may be kept was decided before.
//!
//! The file is `values` in a folder of the receiver's own: [`MAGIC`], then for each key the length of the key and of
//! the value (32 bits each, the lowest byte first), the key, and the value.
//!
//! Invariants: whoever opens the file sees all that one call made of it, or nothing of it, also after a power cut. Calls
//! that run at once take turns, those of an earlier configuration too, by the lock of the folder.

use std::fs::{self, DirBuilder, File};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

use super::{KvStoreCall, KvStoreGrant, Values};
use crate::{CallError, regular};

/// How the file begins: what it is, and the version of its form.
const MAGIC: &[u8] = b"lictor kv-store 1\n";

const DAMAGED: &str = "the receiver's file `values`, in its folder below `kv-store` in data_dir, is damaged; remove it, and \
                       it begins empty";

/// Where one receiver's values are. Nothing is made before something is kept.
#[derive(Clone, Debug)]
pub struct KvStore {
    folder: PathBuf,
}

impl KvStore {
    /// In this folder, which is the receiver's alone.
    pub fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// Does the call to its end, even when the future is dropped meanwhile, and adds to what was `used`.
    pub(crate) async fn call(
        &self,
        grant: KvStoreGrant,
        call: KvStoreCall,
        used: &mut u64,
    ) -> Result<Option<Vec<u8>>, CallError> {
        let (folder, mut count) = (self.folder.clone(), *used);
        let act = move || {
            let done = act(&folder, grant, call, &mut count);
            (done, count)
        };
        let (done, count) = tokio::task::spawn_blocking(act)
            .await
            .map_err(|error| CallError::Failed(format!("keep a value: {error}")))?;
        *used = count;
        done
    }
}

fn act(
    folder: &Path,
    grant: KvStoreGrant,
    call: KvStoreCall,
    used: &mut u64,
) -> Result<Option<Vec<u8>>, CallError> {
    // Without the folder's path: what the node's folders are called is not the plugin's to know.
    let failed = |error: io::Error| CallError::Failed(format!("keep values: {error}"));
    let path = folder.join("values");
    if !matches!(call, KvStoreCall::Set(..)) && !path.exists() {
        return Ok(None);
    }
    super::may_read(&grant, *used)?;
    DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(failed)?;
    // Given back when it is closed.
    let lock = File::open(folder).map_err(failed)?;
    flock(&lock, FlockOperation::LockExclusive).map_err(|error| failed(error.into()))?;
    // Neither the values nor what is written are copied: a grant may be large.
    let bytes = read(&path).map_err(failed)?;
    super::read(bytes.len() as u64, used);
    let damaged = || io::Error::other(DAMAGED);
    let mut kept = decode(&bytes).ok_or_else(damaged).map_err(failed)?;
    let (found, changed) = call.apply(&mut kept, &grant, used)?;
    if changed {
        write(&path, &kept).map_err(failed)?;
    }
    Ok(found)
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    match regular::read(path, u64::MAX) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(MAGIC.to_vec()),
        read => read,
    }
}

/// A crash in the middle leaves the old file. The new one is on the disk before it takes the place of the old one, since
/// a file system may otherwise have done the second and not the first when the power is cut.
fn write(path: &Path, values: &Values<'_>) -> io::Result<()> {
    let new = path.with_extension("new");
    let written = write_to(&new, values).and_then(|()| fs::rename(&new, path));
    if written.is_err() {
        // On a disk that is full it would take what is left. What is wrong was said by what failed.
        fs::remove_file(&new).ok();
    }
    written
}

fn write_to(new: &Path, values: &Values<'_>) -> io::Result<()> {
    let file = File::options().write(true).create(true).truncate(true).mode(0o600).open(new)?;
    let mut file = BufWriter::new(file);
    encode(values, &mut file)?;
    file.into_inner()?.sync_data()
}

pub(super) fn encode(values: &Values<'_>, out: &mut impl Write) -> io::Result<()> {
    out.write_all(MAGIC)?;
    for (key, value) in values {
        for part in [key.as_bytes(), value] {
            // A grant is far smaller than what 32 bits count.
            out.write_all(&u32::try_from(part.len()).unwrap_or(u32::MAX).to_le_bytes())?;
        }
        out.write_all(key.as_bytes())?;
        out.write_all(value)?;
    }
    Ok(())
}

/// None: it is not what `encode` makes.
pub(super) fn decode(bytes: &[u8]) -> Option<Values<'_>> {
    let mut rest = bytes.strip_prefix(MAGIC)?;
    let mut take = |count: usize| {
        let (taken, left) = rest.split_at_checked(count)?;
        rest = left;
        Some((taken, left.is_empty()))
    };
    let length = |bytes: &[u8]| Some(u32::from_le_bytes(bytes.try_into().ok()?) as usize);
    let mut values = Values::new();
    let mut done = bytes.len() == MAGIC.len();
    while !done {
        let (key, value) = (length(take(4)?.0)?, length(take(4)?.0)?);
        let key = std::str::from_utf8(take(key)?.0).ok()?;
        let (value, last) = take(value)?;
        values.insert(key.into(), value.into());
        done = last;
    }
    Some(values)
}
