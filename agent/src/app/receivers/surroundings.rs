//! Does this machine have what a receiver's configuration names?

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use lictor_capability::Request;

use crate::config::{Fault, Receiver};

/// The programs and folders that `requests` name and that are not there.
pub(super) fn missing(receiver: &Receiver, requests: &[Request]) -> Vec<Fault> {
    requests
        .iter()
        .filter_map(|request| match request {
            Request::Exec { command, .. } => program(command.first()?),
            Request::Append { path } => folder(path),
            Request::Http { .. }
            | Request::Smtp { .. }
            | Request::Watch
            | Request::Kv { .. }
            | Request::KvStore { .. } => None,
        })
        .map(|(problem, help)| Fault::at(receiver.places.config.clone(), problem).help(help))
        .collect()
}

/// What is wrong, and what would be right.
type Problem = (String, &'static str);

fn program(path: &str) -> Option<Problem> {
    const INSTALL: &str = "install it, or name another program";
    match fs::metadata(path) {
        Err(error) => Some((format!("there is no program {path}: {error}"), INSTALL)),
        Ok(found) if !found.is_file() => Some((format!("{path} is no program"), INSTALL)),
        Ok(found) if found.permissions().mode() & 0o111 == 0 => {
            Some((format!("{path} is not executable"), "run chmod +x on it, or name another program"))
        }
        Ok(_) => None,
    }
}

fn folder(path: &str) -> Option<Problem> {
    let folder = Path::new(path).parent()?;
    let missing = || format!("there is no folder {} for the file", folder.display());
    (!folder.is_dir()).then(|| (missing(), "make it, or name another file"))
}
