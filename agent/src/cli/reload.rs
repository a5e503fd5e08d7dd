//! `lictor reload`: a Lictor that runs takes its configuration anew.

use std::io::{self, Write};
use std::process::ExitCode;

use super::records::{database, say};
use super::{ConfigArgs, EXIT_CONFIG, ended, runtime};
use crate::admin::{self, AskError, SOCKET};

pub(super) fn reload(args: &ConfigArgs) -> ExitCode {
    let asked = runtime().map(|runtime| {
        let socket = database(args).with_file_name(SOCKET);
        runtime.block_on(admin::reload(&socket))
    });
    match asked {
        Ok(Ok(said)) => ended(say(&said).map_err(Into::into)),
        Ok(Err(AskError::Refused(why))) => {
            let text =
                format!("{why}\nThe configuration is not taken; Lictor goes on with the one that it has.\n");
            // When the standard error is gone, the exit code is all that can be said.
            drop(io::stderr().write_all(text.as_bytes()));
            ExitCode::from(EXIT_CONFIG)
        }
        Ok(Err(error)) => ended(Err(anyhow::Error::new(error).into())),
        Err(error) => ended(Err(error.into())),
    }
}
