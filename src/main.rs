//! Runs the program and sets the exit status; nothing else.

use std::process::ExitCode;

fn main() -> ExitCode {
    pibake::commands::main()
}
