//! From paths to texts: which files are read.
//!
//! Boundary: knows nothing of what is in them.

use std::collections::BTreeSet;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{fs, io};

use super::fault::Fault;
use super::words;

/// Where the configuration is looked for when no path is given; the first one that exists counts.
const DEFAULT_PATHS: [&str; 2] = ["/etc/lictor/lictor.toml", "lictor.toml"];

/// More than this in bytes is no configuration that a person wrote; the wrong file was named.
const FILE_SIZE_MAX: u64 = 8 << 20;

/// The files to read, in order; the same file is read once.
pub(super) fn find(paths: &[PathBuf], faults: &mut Vec<Fault>) -> Vec<PathBuf> {
    let defaults = || DEFAULT_PATHS.map(PathBuf::from).into_iter().find(|path| path.exists());
    let mut found = Vec::new();
    match (paths, defaults()) {
        ([], Some(path)) => found.push(path),
        ([], None) => {
            let fault = Fault::in_file(DEFAULT_PATHS[0], "there is no configuration");
            faults.push(fault.help("write this file or ./lictor.toml, or name another one with -c"));
        }
        (paths, _) => {
            for path in paths {
                match in_folder(path) {
                    Ok(files) => found.extend(files),
                    Err(fault) => faults.push(fault),
                }
            }
        }
    }
    let mut seen = BTreeSet::new();
    found.retain(|path| path.canonicalize().map_or(true, |path| seen.insert(path)));
    found
}

/// The files of a folder that end in `.toml`, by name; a path that is no folder is a file.
fn in_folder(path: &Path) -> Result<Vec<PathBuf>, Fault> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let unreadable = |error: io::Error| Fault::in_file(path, format!("failed to read this folder: {error}"));
    let mut files = Vec::new();
    for entry in fs::read_dir(path).map_err(unreadable)? {
        let file = entry.map_err(unreadable)?.path();
        if file.extension().is_some_and(|extension| extension == "toml") && file.is_file() {
            files.push(file);
        }
    }
    if files.is_empty() {
        let fault = Fault::in_file(path, "there is no file in this folder that ends in .toml");
        return Err(fault.help("add one, or name another folder or file with -c"));
    }
    files.sort();
    Ok(files)
}

pub(super) fn read(path: &Path) -> Result<Arc<str>, Fault> {
    let unreadable = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => {
            Fault::in_file(path, "there is no such file").help("write it, or name another one with -c")
        }
        _ => Fault::in_file(path, format!("failed to read this file: {error}")),
    };
    let mut bytes = Vec::new();
    let file = fs::File::open(path).map_err(unreadable)?;
    file.take(FILE_SIZE_MAX + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > FILE_SIZE_MAX {
        let limit = words::show_size(FILE_SIZE_MAX);
        return Err(
            Fault::in_file(path, format!("this file is larger than {limit}")).help("name a TOML file")
        );
    }
    String::from_utf8(bytes).map(Arc::from).map_err(|error| {
        let valid = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = valid.split(|byte| *byte == b'\n').count();
        Fault::in_file(path, format!("line {line} is not UTF-8 text")).help("save the file as UTF-8")
    })
}
