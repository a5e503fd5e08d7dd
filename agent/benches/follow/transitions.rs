//! Transitions, one line of a file for each: noted by a bare client, and counted.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;

use crate::bare::Check;
use crate::connection::Connection;

/// Follows the checks at `path`, and writes a line for each that has another status than in the answer before, until
/// it is killed.
pub(crate) fn follow(address: &str, path: &str, file: &Path) -> ! {
    let mut file = OpenOptions::new().append(true).open(file).unwrap();
    let mut connection = Connection::open(address);
    let (mut index, mut known) = (0, HashMap::new());
    loop {
        let answer = connection.request("GET", &format!("{path}?index={index}&wait=60s"), "");
        let checks: Vec<Check> = serde_json::from_slice(&answer.body).unwrap();
        let mut lines = String::new();
        for Check { check_id, status } in checks {
            match known.get_mut(&check_id) {
                Some(before) if *before != status => {
                    lines.push('\n');
                    *before = status;
                }
                Some(_) => {}
                None => drop(known.insert(check_id, status)),
            }
        }
        file.write_all(lines.as_bytes()).unwrap();
        index = answer.index;
    }
}

/// Counts the lines with a word that others write to a file, each read once.
pub(crate) struct Lines {
    file: BufReader<File>,
    word: &'static str,
    line: String,
    count: usize,
}

impl Lines {
    /// Of a file that is there; each line has the empty word.
    pub(crate) fn of(path: &Path, word: &'static str) -> Self {
        Self { file: BufReader::new(File::open(path).unwrap()), word, line: String::new(), count: 0 }
    }

    /// How many there are now.
    pub(crate) fn count(&mut self) -> usize {
        // A line that is not whole yet goes on with the next look.
        while self.file.read_line(&mut self.line).unwrap() > 0 && self.line.ends_with('\n') {
            self.count += usize::from(self.line.contains(self.word));
            self.line.clear();
        }
        self.count
    }
}
