//! From what an operator has to Lictor's configuration.
//!
//! Boundary: text in, text out. Files are read, and programs looked for, by whoever asks.

mod handler;
mod hcl;
mod options;
pub(crate) mod toml;
mod watches;

pub use watches::{MigrateError, migrate};
