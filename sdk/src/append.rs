//! Appends to a file.

use crate::{CallError, host};

/// Appends `data` to the file at this absolute path, whole or not at all. The file is opened anew each
/// time, so it may be rotated.
pub fn append(path: &str, data: impl AsRef<[u8]>) -> Result<(), CallError> {
    host::append(path, data.as_ref())
}
