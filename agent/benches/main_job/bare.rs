//! The bare client: the least that a program can do to know of a change. It keeps nothing and calls nobody.

use std::path::Path;

use serde::Deserialize;

use crate::connection::Connection;
use crate::stamps;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Check {
    #[serde(rename = "CheckID")]
    pub(crate) check_id: String,
    pub(crate) status: String,
}

/// Follows the checks at `path`, and notes when it has read that `check` changed, until it is killed.
pub(crate) fn follow(address: &str, path: &str, check: &str, file: &Path) -> ! {
    let mut connection = Connection::open(address);
    let (mut index, mut status) = (0, None);
    loop {
        let question = format!("{path}?index={index}&wait=60s");
        let answer = connection.request("GET", &question, "");
        let checks: Vec<Check> = serde_json::from_slice(&answer.body).unwrap();
        let now = checks.into_iter().find(|found| found.check_id == check).map(|found| found.status);
        if now != status {
            stamps::append(file, stamps::now_ns());
            status = now;
        }
        index = answer.index;
    }
}
