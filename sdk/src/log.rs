//! Writes to Lictor's log. The host adds the receiver's name and the delivery's id.

use std::fmt::Display;

use crate::host;

/// How much a line matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// For the plugin's author.
    Debug,
    /// Worth a line in the normal case; rare, since the host writes one per delivery itself.
    Info,
    /// Something to look at.
    Warn,
    /// Something is wrong.
    Error,
}

/// Writes a line at debug level.
pub fn debug(message: impl Display) {
    host::log(Level::Debug, &message.to_string());
}

/// Writes a line at info level.
pub fn info(message: impl Display) {
    host::log(Level::Info, &message.to_string());
}

/// Writes a line at warn level.
pub fn warn(message: impl Display) {
    host::log(Level::Warn, &message.to_string());
}

/// Writes a line at error level.
pub fn error(message: impl Display) {
    host::log(Level::Error, &message.to_string());
}
