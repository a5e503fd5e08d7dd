//! The binary `lictor`: reads the command line and hands over to `cli`.

use std::process::ExitCode;

fn main() -> ExitCode {
    lictor::cli::main()
}
