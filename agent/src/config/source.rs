//! The text of one configuration file, and places in it.
//!
//! Boundary: knows text and byte ranges; what is drawn around them is the business of `fault`.
//!
//! Invariant: what looks like a secret is marked when the file is read, so that no quoted line shows it.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::fault::visible;
use super::words;

/// Words in the name of a key that holds a secret.
const SECRETS: [&str; 9] = [
    "token",
    "password",
    "passwd",
    "passphrase",
    "secret",
    "credential",
    "authorization",
    "cookie",
    "apikey",
];

/// Ends of the names of keys that only say where a secret lies.
const POINTERS: [&str; 4] = ["_file", "_files", "_env", "_path"];

/// One configuration file.
pub(super) struct Source {
    path: PathBuf,
    text: Arc<str>,
    /// Byte ranges that are never shown.
    secrets: Vec<Range<usize>>,
}

/// Where in the configuration something is written.
#[derive(Clone)]
pub struct Place {
    source: Arc<Source>,
    span: Range<usize>,
}

impl Source {
    /// Marks the secrets of `text`. When it is not `whole` (its syntax is faulty), the tree cannot be
    /// trusted to show where they are, and every line that has such a word is hidden from there on.
    pub(super) fn new(path: PathBuf, text: Arc<str>, tree: &DeTable<'_>, whole: bool) -> Self {
        let mut secrets = in_urls(&text);
        in_table(tree, false, &mut secrets);
        if !whole {
            in_lines(&text, &mut secrets);
        }
        Self { path, text, secrets }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// Is the byte at `offset` part of a secret?
    pub(super) fn hides(&self, offset: usize) -> bool {
        self.secrets.iter().any(|range| range.contains(&offset))
    }
}

impl Place {
    pub(super) fn new(source: Arc<Source>, span: Range<usize>) -> Self {
        // The end of the text is a place too: that is where a quote is missed.
        let length = source.text.len();
        let start = source.text.floor_char_boundary(span.start.min(length));
        let end = source.text.floor_char_boundary(span.end.clamp(start, length));
        Self { source, span: start..end }
    }

    pub(super) fn source(&self) -> &Source {
        &self.source
    }

    pub(super) fn span(&self) -> Range<usize> {
        self.span.clone()
    }

    /// Is it in this very file?
    pub(super) fn is_in(&self, source: &Arc<Source>) -> bool {
        Arc::ptr_eq(&self.source, source)
    }

    /// The file that it is in, as it was found.
    pub fn path(&self) -> &Path {
        &self.source.path
    }

    /// The line and the column, counted in characters; both begin at 1.
    pub fn line_and_column(&self) -> (usize, usize) {
        let before = &self.source.text[..self.span.start];
        let line = before.bytes().filter(|&byte| byte == b'\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        (line, column)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (line, column) = self.line_and_column();
        let path = self.path().to_string_lossy();
        let path: String = path.chars().map(visible).collect();
        write!(f, "{path}:{line}:{column}")
    }
}

/// As `Display`: the text of the file is never part of it.
impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Would the value of `key` be a secret? A misspelt name counts as the word that it is near to.
pub(super) fn is_secret(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    if is_pointer(&key) {
        return false;
    }
    let near = |word: &str| SECRETS.iter().any(|secret| words::near(word, secret));
    SECRETS.iter().any(|secret| key.contains(secret))
        || key.split(['_', '-', '.']).any(near)
        || ["api_key", "api-key", "private_key"].iter().any(|secret| key.contains(secret))
}

pub(super) fn is_pointer(key: &str) -> bool {
    POINTERS.iter().any(|end| key.to_ascii_lowercase().ends_with(end))
}

fn in_table(table: &DeTable<'_>, inherited: bool, found: &mut Vec<Range<usize>>) {
    for (key, value) in table {
        let key = key.get_ref();
        if !is_pointer(key) {
            in_value(value, inherited || is_secret(key), found);
        }
    }
}

fn in_value(value: &Spanned<DeValue<'_>>, secret: bool, found: &mut Vec<Range<usize>>) {
    match value.get_ref() {
        DeValue::Table(table) => in_table(table, secret, found),
        DeValue::Array(items) => items.iter().for_each(|item| in_value(item, secret, found)),
        _ if secret => found.push(value.span()),
        _ => {}
    }
}

/// The user and the password of `scheme://user:password@host`, and what its query says of keys that hold secrets, in
/// the order of the text.
pub(super) fn in_urls(text: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    for (at, mark) in text.match_indices("://") {
        let start = at + mark.len();
        let rest = &text[start..];
        let authority = rest.find(|c: char| c.is_whitespace() || "/\"'".contains(c)).unwrap_or(rest.len());
        if let Some(end) = rest[..authority].rfind('@') {
            found.push(start..start + end);
        }
        let url = &rest[..rest.find(|c: char| c.is_whitespace() || "\"'".contains(c)).unwrap_or(rest.len())];
        let query = url.find('?').map_or(url.len(), |question| question + 1);
        let mut at = start + query;
        for pair in url[query..].split_inclusive(['&', ';', '#']) {
            if let Some((key, value)) = pair.split_once('=')
                && is_secret(key)
            {
                let from = at + key.len() + 1;
                found.push(from..from + value.trim_end_matches(['&', ';', '#']).len());
            }
            at += pair.len();
        }
    }
    found
}

/// The rest of each line after a word that names a secret, or all of the long string that begins there.
fn in_lines(text: &str, found: &mut Vec<Range<usize>>) {
    let mut from = 0;
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    while let Some(start) = text[from..].find(is_word).map(|start| from + start) {
        let end = text[start..].find(|c| !is_word(c)).map_or(text.len(), |end| start + end);
        from = end;
        if is_secret(&text[start..end]) {
            let line_end = text[end..].find('\n').map_or(text.len(), |length| end + length);
            let opening = |quote| text[end..line_end].find(quote).map(|at| end + at + 3);
            let stop = [r#"""""#, "'''"].into_iter().find_map(|quote| {
                let inside = opening(quote)?;
                Some(text[inside..].find(quote).map_or(text.len(), |length| inside + length))
            });
            let value = text[end..line_end].find(|c| !" \t\"=:".contains(c)).map_or(line_end, |at| end + at);
            from = stop.unwrap_or(line_end);
            found.push(value..from);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `want` is the text with each hidden byte as `#`.
    #[track_caller]
    fn check(text: &str, want: &str) {
        let (tree, errors) = DeTable::parse_recoverable(text);
        let source = Source::new("x.toml".into(), text.into(), tree.get_ref(), errors.is_empty());
        let shown: String =
            text.char_indices().map(|(at, c)| if source.hides(at) && c != '\n' { '#' } else { c }).collect();
        assert_eq!(shown, want);
    }

    #[test]
    fn the_value_of_a_secret_is_hidden() {
        check(r#"token = "abc""#, "token = #####");
        check(r#"a = { password = "abc", user = "me" }"#, r#"a = { password = #####, user = "me" }"#);
        check("[token]\na = 'x'", "[token]\na = ###");
        check("secrets = ['a', 'b']", "secrets = [###, ###]");
        check("X-Api-Key = 'x'", "X-Api-Key = ###");
    }

    #[test]
    fn a_misspelt_secret_is_hidden_too() {
        check("tokn = 'x'", "tokn = ###");
        check("smtp_pasword = 'x'", "smtp_pasword = ###");
    }

    #[test]
    fn where_a_secret_lies_may_be_told() {
        check("token_file = '/x'", "token_file = '/x'");
        check("header_files = { Authorization = '/x' }", "header_files = { Authorization = '/x' }");
        check("client_key = '/x'", "client_key = '/x'");
    }

    #[test]
    fn the_user_part_of_a_url_is_hidden() {
        check("relay = 'smtps://me:pw@x'", "relay = 'smtps://#####@x'");
        check("a = 'http://x/y@z'", "a = 'http://x/y@z'");
        check(
            "a = ['http://u:p@x/?b=1&token=x&api_key=yz!c', 'https://x/?password=']",
            "a = ['http://###@x/?b=1&token=#&api_key=####', 'https://x/?password=']",
        );
    }

    #[test]
    fn a_faulty_file_hides_whole_lines() {
        check("token 'abc'\nb = 1\n", "token #####\nb = 1\n");
        check("token = 'abc\nb = 1\n", "token = ####\nb = 1\n");
        check("token: abc\nb = 1\n", "token: ###\nb = 1\n");
        check("a = { \"password\" = \"abc, b = 1", "a = { \"password\" = ###########");
        check("token = '''\nabc\nb = 1\n", "token = ###\n###\n#####\n");
    }
}
