//! Files that a person named: read only if they are files, and only as far as they may be long. A pipe would
//! have whoever reads it wait, and a device would have no end. Only a text may come out of a pipe, which a shell makes of
//! `<(…)`.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::OFlags;

/// What is in the file, but no more than one byte beyond `max`.
///
/// # Errors
/// It cannot be read, or is no file.
pub fn read(path: &Path, max: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open(path)?.take(max.saturating_add(1)).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// All that is in the file, unless it is more than `max` bytes.
///
/// # Errors
/// It cannot be read, is no file or is longer.
pub fn whole(path: &Path, max: u64) -> io::Result<Vec<u8>> {
    let bytes = read(path, max)?;
    if bytes.len() as u64 > max {
        let size = fs::metadata(path)?.len();
        return Err(io::Error::other(format!("it has {size} bytes, and {max} are the most")));
    }
    Ok(bytes)
}

/// Bytes of a file of certificates or keys, at most: all that systems trust is a quarter of a megabyte.
pub const PEM_MAX: u64 = 16 << 20;

/// Bytes of a text that a person wrote, at most.
const TEXT_MAX: u64 = 64 << 20;

/// The text of the file, or of a pipe.
///
/// # Errors
/// It cannot be read, is longer than 64 MiB, or is not UTF-8.
pub fn text(path: &Path) -> io::Result<String> {
    let mut bytes = Vec::new();
    File::open(path)?.take(TEXT_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > TEXT_MAX {
        return Err(io::Error::other(format!("it has more than {TEXT_MAX} bytes")));
    }
    String::from_utf8(bytes).map_err(|_| io::Error::other("it is not UTF-8 text"))
}

fn open(path: &Path) -> io::Result<File> {
    // A pipe is opened without waiting for who writes to it.
    let flags = OFlags::NONBLOCK.bits().cast_signed();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::Error::other("it is no regular file")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_file_is_read_and_only_so_far() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        fs::write(&file, "four").unwrap();
        assert_eq!(read(&file, 4).unwrap(), b"four");
        assert_eq!(read(&file, 2).unwrap(), b"fou");
        assert_eq!(whole(&file, 4).unwrap(), b"four");
        assert_eq!(whole(&file, 2).unwrap_err().to_string(), "it has 4 bytes, and 2 are the most");

        assert_eq!(text(&file).unwrap(), "four");
        assert!(text(Path::new("/dev/zero")).unwrap_err().to_string().contains("more than 67108864 bytes"));

        let pipe = dir.path().join("pipe");
        let mode = rustix::fs::Mode::from_raw_mode(0o600);
        rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, mode).unwrap();
        for other in [pipe.as_path(), dir.path(), Path::new("/dev/zero")] {
            assert_eq!(
                read(other, 4).unwrap_err().to_string(),
                "it is no regular file",
                "{}",
                other.display()
            );
        }
    }
}
