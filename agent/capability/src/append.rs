//! Append: grants of files and folders.
//!
//! Boundary: parses and decides, by the path's text alone; `append/write.rs` acts. What the path leads
//! to (a symlink, a pipe) is judged there, on the opened file.
//!
//! Invariant: a path that was granted has no `.` and no `..`, so its text says where it is.

mod write;

#[cfg(test)]
mod tests;

use std::path::PathBuf;

pub(crate) use write::append;

use crate::{CallError, GrantError, refusal};

/// A file, or a folder with all that is below it, that may be appended to. Symlinks on the way to the
/// folder are followed; one below it, or the file itself, must not lead out of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppendGrant {
    /// Ends in `/`. Opened first: symlinks in it are the operator's and are followed.
    folder: String,
    /// Its name in the folder; none grants all that is below.
    file: Option<String>,
}

/// Where a granted path is opened: `name` is never looked up outside `folder`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) folder: PathBuf,
    pub(crate) name: PathBuf,
}

impl AppendGrant {
    /// Reads a grant: an absolute path. With a `/` at its end it grants the folder and what is below.
    pub fn parse(path: &str) -> Result<Self, GrantError> {
        let fault = |why: &str| GrantError(format!("read the append grant {}: {why}", refusal::quote(path)));
        if path.contains('*') {
            return Err(fault("it takes no pattern; a folder is granted by a `/` at its end"));
        }
        if let Some(folder) = path.strip_suffix('/') {
            if !folder.is_empty() {
                split(folder).map_err(&fault)?;
            }
            return Ok(Self { folder: path.to_owned(), file: None });
        }
        let (folder, file) = split(path).map_err(fault)?;
        Ok(Self { folder: folder.to_owned(), file: Some(file.to_owned()) })
    }

    /// What it allows, in words.
    pub(crate) fn in_words(&self) -> String {
        match &self.file {
            Some(file) => format!("may append to {}{file}", self.folder),
            None => format!("may append to any file in {} and below", self.folder),
        }
    }

    fn place(&self, path: &str) -> Option<Place> {
        let name = path.strip_prefix(&self.folder)?;
        let is_covered = self.file.as_ref().is_none_or(|file| file == name);
        is_covered.then(|| Place { folder: self.folder.clone().into(), name: name.into() })
    }
}

/// Where the path is opened, by the first grant that covers it.
pub(crate) fn decide(grants: &[AppendGrant], path: &str) -> Result<Place, CallError> {
    if let Err(why) = split(path) {
        let path = refusal::shorten(&refusal::quote(path), 200);
        return Err(CallError::Refused(format!("append to {path} is never granted: {why}")));
    }
    grants.iter().find_map(|grant| grant.place(path)).ok_or_else(|| {
        let path = refusal::quote(path);
        refusal::refused(format_args!("append to {path}"), format_args!("allow.append = [{path}]"))
    })
}

/// Cuts an absolute, plain path into its folder (with its `/`) and its name.
fn split(path: &str) -> Result<(&str, &str), &'static str> {
    let Some(below) = path.strip_prefix('/') else { return Err("the path is not absolute") };
    if path.contains('\0') {
        return Err("the path holds a NUL");
    }
    if below.split('/').any(|part| matches!(part, "" | "." | "..")) {
        return Err("the path ends in `/` or has an empty part, `.` or `..`");
    }
    let name_at = path.rfind('/').map_or(0, |slash| slash + 1);
    Ok(path.split_at(name_at))
}
