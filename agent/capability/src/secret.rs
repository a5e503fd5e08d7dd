//! Secrets from files: a header's value, a relay's password.
//!
//! Boundary: reads and trims. Where a file lies is the operator's word, never a guest's.
//!
//! Invariant: no error text holds any part of a file's content.

use std::{borrow::Cow, path::Path};

use aho_corasick::{AhoCorasick, MatchKind};

use crate::regular;

/// What stands in an answer where it showed a secret.
const HIDDEN: &[u8] = b"[secret]";

/// Bytes that a secret, or a word of it, has at least to be hidden in an answer: what is shorter is in many texts by chance.
const HIDE_MIN: usize = 8;

/// Bytes that a secret may have. Tokens are shorter than a page; a log file named by mistake is not.
const MAX_SECRET: usize = 64 * 1024;

/// Reads the file anew, so that a rotated secret is used at once. One line end at the end is dropped.
/// The error names the file and fits after "failed to".
pub(crate) async fn read(path: &Path) -> Result<String, String> {
    let owned = path.to_owned();
    let bytes = tokio::task::spawn_blocking(move || {
        // A pipe that nobody writes to would have a thread wait for ever, and a plugin can have many wait.
        regular::read(&owned, MAX_SECRET as u64)
    })
    .await
    .map_err(|error| format!("read the secret {}: {error}", path.display()))?
    .map_err(|error| format!("read the secret {}: {error}", path.display()))?;
    if bytes.len() > MAX_SECRET {
        return Err(format!("read the secret {}: it is longer than {MAX_SECRET} bytes", path.display()));
    }
    let mut text = String::from_utf8(bytes)
        .map_err(|_| format!("read the secret {}: it is not UTF-8 text", path.display()))?;
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
    if text.is_empty() || text.contains(char::is_control) {
        return Err(format!("read the secret {}: it must be one line of text", path.display()));
    }
    Ok(text)
}

/// Secrets that were sent, so that no answer shows them: each of them, and each of its words, since of `Bearer …` a server
/// is likely to show the token alone, and of `session=…` the value. Only what is shown as it is: who encodes it can say
/// anything.
pub(crate) struct Sent {
    /// None: nothing is to be hidden.
    words: Option<AhoCorasick>,
    /// Bytes of the longest one.
    pub(crate) longest: usize,
}

impl Sent {
    pub(crate) fn of(secrets: &[String]) -> Result<Self, String> {
        let is_within = |c: char| c.is_alphanumeric() || "._~+/-".contains(c);
        let words = secrets.iter().flat_map(|secret| secret.split(move |c| !is_within(c)));
        let whole = secrets.iter().map(String::as_str);
        let words: Vec<_> = whole.chain(words).filter(|word| word.len() >= HIDE_MIN).collect();
        let longest = words.iter().map(|word| word.len()).max().unwrap_or_default();
        if words.is_empty() {
            return Ok(Self { words: None, longest });
        }
        let words = AhoCorasick::builder()
            .match_kind(MatchKind::LeftmostLongest)
            // The names of headers come in lower case.
            .ascii_case_insensitive(true)
            .build(words);
        let words = words.map_err(|error| format!("look for a secret: {error}"))?;
        Ok(Self { words: Some(words), longest })
    }

    /// The same bytes without them, in time that grows with their number alone.
    pub(crate) fn hide<'a>(&self, bytes: impl Into<Cow<'a, [u8]>>) -> Cow<'a, [u8]> {
        let bytes = bytes.into();
        let Some(words) = &self.words else { return bytes };
        let mut hidden = Vec::with_capacity(bytes.len());
        words.replace_all_with_bytes(&bytes, &mut hidden, |_, _, hidden| {
            hidden.extend_from_slice(HIDDEN);
            true
        });
        hidden.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn check(content: &[u8], want: Result<&str, &str>) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        std::fs::write(&path, content).unwrap();
        match (read(&path).await, want) {
            (Ok(text), Ok(want)) => assert_eq!(text, want),
            (Err(text), Err(want)) => {
                assert!(text.contains(want) && text.contains("/secret"), "{text:?}");
                assert!(!text.contains("token"), "{text:?} tells the secret");
            }
            (got, want) => panic!("{got:?}, wanted {want:?}"),
        }
    }

    #[test]
    fn an_answer_shows_no_secret_and_nothing_else_is_lost() {
        let hidden = |answer: &str, secrets: &[&str]| {
            let secrets: Vec<_> = secrets.iter().map(|secret| (*secret).to_owned()).collect();
            String::from_utf8(Sent::of(&secrets).unwrap().hide(answer.as_bytes()).into_owned()).unwrap()
        };
        let token = "Bearer 0123456789";
        assert_eq!(hidden("you sent Bearer 0123456789", &[token]), "you sent [secret]");
        assert_eq!(hidden("0123456789,0123456789", &[token]), "[secret],[secret]");
        assert_eq!(hidden("a Bearer 012345678", &[token]), "a Bearer 012345678");
        assert_eq!(hidden("00123456789", &[token, "abcdefgh"]), "0[secret]");
        assert_eq!(hidden("aabcdefghabcdefg", &[token, "abcdefgh"]), "a[secret]abcdefg");
        let cookie = "session=s3cr3t-value; csrf=\"0123456789\"";
        assert_eq!(hidden("s3cr3t-value, 0123456789", &[cookie]), "[secret], [secret]");
        assert_eq!(hidden(cookie, &[cookie]), "[secret]");
        assert_eq!(hidden("x-you-sent-abcdef12", &["ABCDEF12"]), "x-you-sent-[secret]");
        assert_eq!(hidden("true", &["true"]), "true", "what is short is no secret");
        assert_eq!(hidden("", &[token]), "");
    }

    #[tokio::test]
    async fn one_line_end_is_dropped_and_nothing_else() {
        check(b"token", Ok("token")).await;
        check(b"token\n", Ok("token")).await;
        check(b"token\r\n", Ok("token")).await;
        check(b" token \n", Ok(" token ")).await;
    }

    #[tokio::test]
    async fn an_error_names_the_file_and_not_its_content() {
        check(b"token\ntoken\n", Err("one line of text")).await;
        check(b"", Err("one line of text")).await;
        check(b"token\xff", Err("not UTF-8")).await;
        check(&vec![b'x'; MAX_SECRET + 1], Err("longer than 65536 bytes")).await;
        assert!(
            read(Path::new("/nowhere/secret")).await.unwrap_err().contains("/nowhere/secret: No such file")
        );
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, rustix::fs::Mode::from_raw_mode(0o600)).unwrap();
        assert!(read(&pipe).await.unwrap_err().contains("/pipe: it is no regular file"));
    }
}
