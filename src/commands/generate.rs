//! Completions and the manual page, made from the command line's own definition.

use std::io::Write;

use clap::CommandFactory;

use crate::cli::args::Cli;
use crate::cli::print;

/// Prints the completions for a shell.
pub(super) fn completions(shell: clap_complete::Shell) -> anyhow::Result<()> {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "pibake", &mut text);
    print(String::from_utf8_lossy(&text))
}

/// Prints the manual page: the program's, then one section for each command.
pub(super) fn man() -> anyhow::Result<()> {
    let mut program = Cli::command();
    program.build();
    let mut text = Vec::new();
    clap_mangen::Man::new(program.clone()).render(&mut text)?;
    for command in program.get_subcommands().filter(|command| !command.is_hide_set()) {
        let page = clap_mangen::Man::new(command.clone());
        writeln!(text, ".SH \"{}\"", command.get_bin_name().unwrap_or(command.get_name()).to_uppercase())?;
        page.render_description_section(&mut text)?;
        page.render_options_section(&mut text)?;
    }
    print(String::from_utf8_lossy(&text))
}
