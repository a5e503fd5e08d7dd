//! Compiled components, kept on disk, so that a start takes milliseconds.
//!
//! A file's name is the digest of the wasm and that of what shapes its code (wasmtime's version, our settings), so
//! a stale file is never found; it is only left behind. What was compiled for another processor is refused by
//! wasmtime, and replaced. A file has its name only once all of it is on the disk, so that a power cut leaves none
//! that is damaged, and none has to be read as a whole: a start maps it, and reads what it runs.
//!
//! Boundary: no error leaves this module. A cache that cannot be used costs time, never a start.
//!
//! Invariant: code is loaded only from a folder that nobody else can write to. It is native code: whoever
//! can put a file there is inside Lictor, past the sandbox.

use std::fs::{self, DirBuilder, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use wasmtime::Engine;
use wasmtime::component::Component;

use crate::compiler::Code;

/// Permission bits that let others write.
const WRITABLE_BY_OTHERS: u32 = 0o022;

/// A folder of compiled components.
#[derive(Debug)]
pub(crate) struct Cache {
    dir: PathBuf,
}

impl Cache {
    /// Uses `dir`, made if it is missing. A folder that cannot be trusted is a warning and no cache.
    pub(crate) fn open(dir: PathBuf) -> Option<Self> {
        match prepare(&dir) {
            Ok(()) => Some(Self { dir }),
            Err(error) => {
                let dir = dir.display();
                tracing::warn!(%dir, %error, "Compiled plugins are not cached, so each start compiles them.");
                None
            }
        }
    }

    /// Takes the compiled form of the wasm with this digest, if it is there.
    pub(crate) fn load(&self, engine: &Engine, digest: &str) -> Option<Component> {
        let path = self.path(engine, digest);
        match read(engine, &path) {
            Ok(component) => component,
            Err(error) => {
                let path = path.display();
                tracing::warn!(%path, error, "A cached plugin cannot be used, so it is compiled anew.");
                None
            }
        }
    }

    /// Keeps a compiled component for the next start.
    pub(crate) fn store(&self, engine: &Engine, digest: &str, code: &Code) {
        let path = self.path(engine, digest);
        if let Err(error) = write(&path, code.bytes()) {
            let path = path.display();
            tracing::warn!(%path, %error, "A compiled plugin was not cached; the next start compiles it again.");
        }
    }

    fn path(&self, engine: &Engine, digest: &str) -> PathBuf {
        let mut hasher = DefaultHasher::new();
        engine.precompile_compatibility_hash().hash(&mut hasher);
        self.dir.join(format!("{digest}-{:016x}.cwasm", hasher.finish()))
    }
}

/// Makes the folder if need be, and checks that it is ours alone to write to.
fn prepare(dir: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    let metadata = fs::symlink_metadata(dir)?;
    let owned = metadata.uid() == rustix::process::geteuid().as_raw();
    if metadata.is_dir() && owned && metadata.mode() & WRITABLE_BY_OTHERS == 0 {
        return Ok(());
    }
    Err(io::Error::other("others could write to it: it must be a folder of Lictor's own user, mode 0700"))
}

/// Maps a file's code. `None` where there is no file.
fn read(engine: &Engine, path: &Path) -> Result<Option<Component>, String> {
    if !path.try_exists().map_err(|error| error.to_string())? {
        return Ok(None);
    }
    #[expect(
        unsafe_code,
        reason = "the file is one that `write` made: it is whole, and nobody else can write to its folder, \
                  which `prepare` checked"
    )]
    let component = unsafe { Component::deserialize_file(engine, path) };
    component.map(Some).map_err(|error| format!("{error:#}"))
}

/// Writes under a name of this process, and renames what is on the disk: a reader sees all of it or nothing, after
/// a power cut too.
fn write(path: &Path, code: &[u8]) -> io::Result<()> {
    let temporary = path.with_extension(format!("{}.tmp", std::process::id()));
    let mut file = File::create(&temporary)?;
    let written = file.write_all(code).and_then(|()| file.sync_data());
    let renamed = written.and_then(|()| fs::rename(&temporary, path));
    if renamed.is_err() {
        // The first error is the one to tell; a leftover file is never read.
        drop(fs::remove_file(&temporary));
    }
    renamed
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;
    use crate::compiler::{compile, settings};
    use crate::test_support::EMPTY;

    #[test]
    fn a_file_that_is_cut_off_or_empty_is_not_used() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::open(dir.path().join("cwasm")).unwrap();
        let engine = Engine::new(&settings()).unwrap();
        assert!(cache.load(&engine, "d").is_none(), "there is nothing yet");

        cache.store(&engine, "d", &compile(EMPTY).unwrap());
        let path = cache.path(&engine, "d");
        let whole = fs::read(&path).unwrap();
        assert!(cache.load(&engine, "d").is_some());
        assert!(cache.load(&engine, "e").is_none(), "another plugin");

        let cut = (0..whole.len()).step_by(997).chain([whole.len() - 1]).map(|at| whole[..at].to_vec());
        for bytes in cut.chain([vec![0; whole.len()]]) {
            fs::write(&path, &bytes).unwrap();
            assert!(cache.load(&engine, "d").is_none(), "{} of {} bytes", bytes.len(), whole.len());
        }
        fs::write(&path, &whole).unwrap();
        assert!(cache.load(&engine, "d").is_some());
        assert_eq!(fs::read_dir(&cache.dir).unwrap().count(), 1, "no temporary file is left");
    }

    #[test]
    fn what_is_no_code_is_not_used() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::open(dir.path().join("cwasm")).unwrap();
        let engine = Engine::new(&settings()).unwrap();
        write(&cache.path(&engine, "d"), EMPTY).unwrap();
        assert!(cache.load(&engine, "d").is_none());
    }

    #[test]
    fn a_folder_that_others_can_write_to_is_not_used() {
        let dir = tempfile::tempdir().unwrap();
        let cache = dir.path().join("cwasm");
        let mode = |mode| fs::set_permissions(&cache, fs::Permissions::from_mode(mode)).unwrap();
        assert!(Cache::open(cache.clone()).is_some());
        assert_eq!(fs::metadata(&cache).unwrap().mode() & 0o777, 0o700);
        mode(0o770);
        assert!(Cache::open(cache.clone()).is_none());
        mode(0o702);
        assert!(Cache::open(cache.clone()).is_none());
        mode(0o755);
        assert!(Cache::open(cache.clone()).is_some());

        let link = dir.path().join("link");
        symlink(&cache, &link).unwrap();
        assert!(Cache::open(link).is_none());
        let file = dir.path().join("file");
        fs::write(&file, "").unwrap();
        assert!(Cache::open(file).is_none());
    }
}
