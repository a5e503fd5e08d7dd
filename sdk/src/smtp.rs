//! Sends mail through the receiver's relay, which the plugin neither names nor sees.

use std::{error, fmt, time::Duration};

use crate::{Failure, host};

/// A mail of plain text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// The sender's address.
    pub from: String,
    /// The recipients' addresses.
    pub to: Vec<String>,
    /// One line.
    pub subject: String,
    /// Plain text.
    pub body: String,
    /// The left side of the Message-ID: the delivery's id, so that a repeated attempt can be told from a
    /// second mail.
    pub id: String,
    /// For the whole exchange. Default: 30 s.
    pub timeout: Duration,
}

impl Message {
    /// A mail with no subject and no text. `id` is the left side of the Message-ID.
    pub fn new<S: Into<String>>(
        id: impl Into<String>,
        from: impl Into<String>,
        to: impl IntoIterator<Item = S>,
    ) -> Self {
        Self {
            from: from.into(),
            to: to.into_iter().map(Into::into).collect(),
            subject: String::new(),
            body: String::new(),
            id: id.into(),
            timeout: Duration::from_secs(30),
        }
    }

    /// The subject. Each run of white space and control characters becomes one space, so that no text can add a
    /// header.
    #[must_use]
    pub fn subject(mut self, subject: &str) -> Self {
        let words =
            subject.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty());
        self.subject = words.collect::<Vec<_>>().join(" ");
        self
    }

    /// The text.
    #[must_use]
    pub fn body(mut self, body: impl Into<String>) -> Self {
        self.body = body.into();
        self
    }

    /// How long the whole exchange may take.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Sends it, and answers with the relay's own words.
    pub fn send(&self) -> Result<String, SendError> {
        host::smtp(self)
    }
}

/// Why a mail was not sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SendError {
    /// The receiver's grants do not cover it; the text says what would.
    Refused(String),
    /// No connection, no answer, or a 4xx answer of the relay.
    Transient(String),
    /// A 5xx answer of the relay, or a message that cannot be sent.
    Permanent(String),
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(message) => write!(f, "refused: {message}"),
            Self::Transient(message) | Self::Permanent(message) => f.write_str(message),
        }
    }
}

impl error::Error for SendError {}

impl From<SendError> for Failure {
    fn from(error: SendError) -> Self {
        match error {
            SendError::Transient(_) => Self::transient(error),
            SendError::Refused(_) | SendError::Permanent(_) => Self::permanent(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(subject: &str, want: &str) {
        assert_eq!(Message::new("d1", "a@example.com", ["b@example.com"]).subject(subject).subject, want);
    }

    #[test]
    fn a_subject_is_one_line_whatever_it_is_made_of() {
        check("web is critical", "web is critical");
        check("web\r\nBcc: x@example.com\n", "web Bcc: x@example.com");
        check("a\0b\u{85}c\u{2028}d\te", "a b c d e");
    }

    #[test]
    fn only_what_may_pass_is_tried_again() {
        assert_eq!(Failure::from(SendError::Refused("x".into())), Failure::permanent("refused: x"));
        assert_eq!(Failure::from(SendError::Transient("451".into())), Failure::transient("451"));
        assert_eq!(Failure::from(SendError::Permanent("550".into())), Failure::permanent("550"));
    }
}
