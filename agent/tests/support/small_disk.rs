//! A small file system that can really be full.

use std::fs::{self, File, Permissions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Bytes of it: enough for the compiled code of all plugins, also of earlier builds, which their folder keeps.
const SIZE: &str = "size=256m,mode=0700";

/// A tmpfs, which is unmounted on drop.
pub struct SmallDisk {
    path: PathBuf,
}

impl SmallDisk {
    /// Mounts one at `path`, which is made.
    pub fn mount(path: &Path) -> Self {
        fs::create_dir(path).unwrap();
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", SIZE, "tmpfs"]).arg(path).status();
        assert!(
            mounted.is_ok_and(|status| status.success()),
            "a full disk is tried on a small tmpfs, which may not be mounted here: run the tests as root, or \
             within `unshare --map-root-user --mount`"
        );
        fs::set_permissions(path, Permissions::from_mode(0o700)).unwrap();
        Self { path: path.to_owned() }
    }

    /// Takes all the room that is left.
    pub fn fill(&self) {
        let mut ballast = File::options().append(true).create(true).open(self.ballast()).unwrap();
        while ballast.write_all(&[0; 4096]).is_ok() {}
    }

    /// Gives it back.
    pub fn make_room(&self) {
        fs::remove_file(self.ballast()).unwrap();
    }

    fn ballast(&self) -> PathBuf {
        self.path.join("ballast")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: a Lictor that is about to end may still have files open.
        drop(Command::new("umount").arg("--lazy").arg(&self.path).status());
    }
}
