//! Parses the command line, runs the command, sets the exit status; nothing else.

use std::process::ExitCode;

fn main() -> ExitCode {
    pibake::cli::main()
}
