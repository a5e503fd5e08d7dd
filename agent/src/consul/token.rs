//! The ACL token of a query, as the header that carries it.
//!
//! Boundary: reads the token file and nothing else. The file is small and local, so it is read
//! in place: one `stat` per query costs microseconds.
//!
//! Invariant: a token leaves this file only inside a header that is marked as sensitive.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use reqwest::header::HeaderValue;

use super::{Secret, Token};
use crate::regular;

/// Bytes of a token's file, at most. A token has 36.
const TOKEN_MAX: u64 = 64 << 10;

/// Who we are for Consul.
#[derive(Debug)]
pub(super) enum TokenSource {
    Anonymous,
    Fixed(HeaderValue),
    File(TokenFile),
}

/// A token file, and what it held when it was last read.
#[derive(Debug)]
pub(super) struct TokenFile {
    path: PathBuf,
    last: Mutex<Option<(SystemTime, HeaderValue)>>,
}

/// There is no usable token. The token itself is never shown.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The file cannot be read.
    #[error("read token file {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The file holds nothing, or something that no header can carry.
    #[error("read token file {path}: it holds no token")]
    NoToken {
        /// The file.
        path: PathBuf,
    },
    /// The configured token cannot be carried by a header.
    #[error("use the configured token: it holds a character that no token has")]
    Malformed,
}

impl TokenSource {
    pub(super) fn new(token: Option<&Token>) -> Result<Self, TokenError> {
        match token {
            None => Ok(Self::Anonymous),
            Some(Token::Value(secret)) => header(secret).map(Self::Fixed).ok_or(TokenError::Malformed),
            Some(Token::File(path)) => {
                Ok(Self::File(TokenFile { path: path.clone(), last: Mutex::new(None) }))
            }
        }
    }

    /// The token to send now.
    pub(super) fn header(&self) -> Result<Option<HeaderValue>, TokenError> {
        match self {
            Self::Anonymous => Ok(None),
            Self::Fixed(value) => Ok(Some(value.clone())),
            Self::File(file) => file.header().map(Some),
        }
    }

    /// Consul refused `used`: another token, if the file holds one by now.
    ///
    /// Its time stamp may lie (two writes within its grain), so the file is read whatever it says.
    pub(super) fn renewed(&self, used: Option<&HeaderValue>) -> Result<Option<HeaderValue>, TokenError> {
        let Self::File(file) = self else { return Ok(None) };
        *file.last.lock().unwrap_or_else(PoisonError::into_inner) = None;
        let value = file.header()?;
        Ok((Some(&value) != used).then_some(value))
    }
}

impl TokenFile {
    fn header(&self) -> Result<HeaderValue, TokenError> {
        let unreadable = |source| TokenError::Read { path: self.path.clone(), source };
        let written = fs::metadata(&self.path).and_then(|meta| meta.modified()).map_err(unreadable)?;
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((seen, value)) = &*last
            && *seen == written
        {
            return Ok(value.clone());
        }
        let value = read(&self.path).map_err(unreadable)?;
        let value = header(&value).ok_or_else(|| TokenError::NoToken { path: self.path.clone() })?;
        *last = Some((written, value.clone()));
        Ok(value)
    }
}

fn read(path: &Path) -> io::Result<Secret> {
    let bytes = regular::whole(path, TOKEN_MAX)?;
    let text = str::from_utf8(&bytes).map_err(|_| io::Error::other("it is not UTF-8 text"))?;
    Ok(Secret::new(text.trim()))
}

fn header(token: &Secret) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(token.expose()).ok().filter(|value| !value.is_empty())?;
    value.set_sensitive(true);
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(path: &Path) -> TokenSource {
        TokenSource::new(Some(&Token::File(path.into()))).unwrap()
    }

    #[test]
    fn a_token_file_is_read_again_when_its_time_stamp_changes() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), "one\n").unwrap();
        let source = source(file.path());
        assert_eq!(source.header().unwrap().unwrap(), "one");

        fs::write(file.path(), "two\n").unwrap();
        file.as_file().set_modified(SystemTime::UNIX_EPOCH).unwrap();
        assert_eq!(source.header().unwrap().unwrap(), "two");
    }

    #[test]
    fn a_refused_token_is_renewed_even_if_the_time_stamp_is_the_same() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), "one").unwrap();
        file.as_file().set_modified(SystemTime::UNIX_EPOCH).unwrap();
        let source = source(file.path());
        let used = source.header().unwrap();
        assert_eq!(source.renewed(used.as_ref()).unwrap(), None);

        fs::write(file.path(), "two").unwrap();
        file.as_file().set_modified(SystemTime::UNIX_EPOCH).unwrap();
        assert_eq!(source.header().unwrap().unwrap(), "one");
        assert_eq!(source.renewed(used.as_ref()).unwrap().unwrap(), "two");
    }

    #[test]
    fn a_missing_or_empty_token_file_is_an_error_that_names_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        let missing = source(&path).header().unwrap_err();
        assert_eq!(missing.to_string(), format!("read token file {}", path.display()));
        for text in ["", " \n", "one\ntwo"] {
            fs::write(&path, text).unwrap();
            let error = source(&path).header().unwrap_err();
            assert_eq!(error.to_string(), format!("read token file {}: it holds no token", path.display()));
        }
    }

    #[test]
    fn a_token_file_that_is_none_is_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        let mode = rustix::fs::Mode::from_raw_mode(0o600);
        rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, mode).unwrap();
        for (path, want) in [
            (&*pipe, "no regular file"),
            (folder.path(), "no regular file"),
            (Path::new("/dev/zero"), "no regular file"),
        ] {
            let TokenError::Read { source, .. } = source(path).header().unwrap_err() else {
                panic!("it was read")
            };
            assert!(source.to_string().contains(want), "{source}");
        }
        fs::write(folder.path().join("log"), vec![b'x'; 1 << 20]).unwrap();
        assert!(source(&folder.path().join("log")).header().is_err());
    }

    #[test]
    fn no_token_is_shown() {
        let fixed = TokenSource::new(Some(&Token::Value(Secret::new("hunter2")))).unwrap();
        assert!(!format!("{fixed:?}").contains("hunter2"));
        let error = TokenSource::new(Some(&Token::Value(Secret::new("hunter2\n")))).unwrap_err();
        assert!(!format!("{error:?} {error}").contains("hunter2"));
    }
}
