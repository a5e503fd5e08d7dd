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

use crate::{CallError, GrantError, account::Account, refusal};

/// A grant as the operator writes it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AppendGrantSpec {
    /// An absolute path. With a `/` at its end it grants the folder and what is below.
    pub path: String,
    /// The mode of a file that is made, in octal digits, whatever the umask; by default 0640 less the umask.
    pub mode: Option<String>,
    /// Whose a file is that is made, a name or a number; by default Lictor's. For another user Lictor has to be root.
    pub owner: Option<String>,
    /// Its group, a name or a number; by default Lictor's, or that of the folder.
    pub group: Option<String>,
    /// An append is done only when it is on the disk. By default the system writes it there in its own time.
    pub sync: bool,
}

/// A file, or a folder with all that is below it, that may be appended to. Symlinks on the way to the
/// folder are followed; one below it must not lead out of it, and a file that is granted alone must not be one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppendGrant {
    /// Ends in `/`. Opened first: symlinks in it are the operator's and are followed.
    folder: String,
    /// Its name in the folder; none grants all that is below.
    file: Option<String>,
    how: How,
}

/// How a granted file is made and written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct How {
    pub(crate) mode: Option<u32>,
    pub(crate) account: Option<Account>,
    pub(crate) sync: bool,
}

/// Where a granted path is opened: `name` is never looked up outside `folder`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) folder: PathBuf,
    pub(crate) name: PathBuf,
    /// The grant is of this file and no other of its folder, so that it may not be a symlink.
    pub(crate) is_alone: bool,
    pub(crate) how: How,
}

impl AppendGrant {
    /// Reads a grant that says a path and nothing else.
    pub fn parse(path: &str) -> Result<Self, GrantError> {
        let (folder, file) = place(path).map_err(|why| fault(path, why))?;
        Ok(Self { folder: folder.to_owned(), file: file.map(str::to_owned), how: How::default() })
    }

    /// Reads a grant. Nothing is opened yet, and no name is looked up.
    ///
    /// # Errors
    /// All that is wrong with it.
    pub fn from_spec(spec: AppendGrantSpec) -> Result<Self, Vec<GrantError>> {
        let AppendGrantSpec { path, mode, owner, group, sync } = spec;
        let mut faults = Vec::new();
        let mut wrong = |why: &str| faults.push(fault(&path, why));
        let parsed = place(&path).map_err(&mut wrong).ok();
        let mode = mode.and_then(|mode| self::mode(&mode).map_err(|why| wrong(&why)).ok());
        let account = Account::parse(owner, group).map_err(|why| wrong(&why)).ok().flatten();
        match parsed {
            Some((folder, file)) if faults.is_empty() => {
                let how = How { mode, account, sync };
                Ok(Self { folder: folder.to_owned(), file: file.map(str::to_owned), how })
            }
            _ => Err(faults),
        }
    }

    /// What it allows, in words.
    pub(crate) fn in_words(&self) -> String {
        let mut words = vec![match &self.file {
            Some(file) => format!("may append to {}{file}", self.folder),
            None => format!("may append to any file in {} and below", self.folder),
        }];
        words.extend(self.how.mode.map(|mode| format!("makes it with mode {mode:04o}")));
        words.extend(self.how.account.iter().map(|account| format!("makes it for {account}")));
        words.extend(self.how.sync.then(|| "each append is on the disk when it is done".to_owned()));
        words.join("; ")
    }

    /// Whom a file that is made belongs to, where that is said.
    pub(crate) fn account(&self) -> Option<&Account> {
        self.how.account.as_ref()
    }

    fn place(&self, path: &str) -> Option<Place> {
        let name = path.strip_prefix(&self.folder)?;
        let is_covered = self.file.as_ref().is_none_or(|file| file == name);
        is_covered.then(|| Place {
            folder: self.folder.clone().into(),
            name: name.into(),
            is_alone: self.file.is_some(),
            how: self.how.clone(),
        })
    }
}

fn fault(path: &str, why: &str) -> GrantError {
    GrantError(format!("read the append grant {}: {why}", refusal::quote(path)))
}

/// The folder and the file of a grant's path; no file for one that ends in `/`.
fn place(path: &str) -> Result<(&str, Option<&str>), &'static str> {
    if path.contains('*') {
        return Err("it takes no pattern; a folder is granted by a `/` at its end");
    }
    let Some(folder) = path.strip_suffix('/') else {
        let (folder, file) = split(path)?;
        return Ok((folder, Some(file)));
    };
    if !folder.is_empty() {
        split(folder)?;
    }
    Ok((path, None))
}

/// Without the bits that give a program another user's rights; and what is made has to be appended to again.
fn mode(text: &str) -> Result<u32, String> {
    let shown = refusal::quote(text);
    let is_octal = !text.is_empty() && text.bytes().all(|byte| (b'0'..=b'7').contains(&byte));
    match u32::from_str_radix(text, 8) {
        Ok(mode) if is_octal && mode > 0o777 => Err(format!("{shown} is more than a file's mode, 0777")),
        Ok(mode) if is_octal && mode & 0o200 == 0 => {
            Err(format!("with the mode {shown} its owner may not write to it"))
        }
        Ok(mode) if is_octal => Ok(mode),
        _ => Err(format!("{shown} is no mode; write octal digits, \"0640\" for example")),
    }
}

/// Where the path is opened, by the first grant that covers it.
pub(crate) fn decide(grants: &[AppendGrant], path: &str) -> Result<Place, CallError> {
    if let Err(why) = split(path) {
        let path = refusal::shorten(refusal::quote(path), 200);
        return Err(CallError::Refused(format!("append to {path} is never granted: {why}")));
    }
    grants.iter().find_map(|grant| grant.place(path)).ok_or_else(|| {
        if path.contains('*') {
            let path = refusal::shorten(refusal::quote(path), 200);
            return CallError::Refused(format!(
                "append to {path} is granted only with its folder: a grant holds no `*`"
            ));
        }
        let path = refusal::quote(path);
        let line = refusal::one_more("allow.append", grants, &path);
        refusal::refused(format_args!("append to {path}"), line)
    })
}

/// Whether a path below a folder goes to a file without a detour, so that whoever reads it knows where that is.
pub(crate) fn is_straight(below: &str) -> bool {
    !below.split('/').any(|part| matches!(part, "" | "." | ".."))
}

/// Cuts an absolute, plain path into its folder (with its `/`) and its name.
fn split(path: &str) -> Result<(&str, &str), &'static str> {
    let Some(below) = path.strip_prefix('/') else { return Err("the path is not absolute") };
    if path.contains('\0') {
        return Err("the path holds a NUL");
    }
    if !is_straight(below) {
        return Err("the path ends in `/` or has an empty part, `.` or `..`");
    }
    let name_at = path.rfind('/').map_or(0, |slash| slash + 1);
    Ok(path.split_at(name_at))
}
