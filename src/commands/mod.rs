//! One orchestrator a command: the order of steps, and nothing of how a step is done.

mod bake;
mod card;
mod context;
mod demo;
mod devices;
mod fetch;
mod files;
mod flash;
mod generate;
mod init;
mod inspect;
mod oven;
mod plan;
mod prepare;
mod staged;
mod status;

use clap::Parser;

use crate::cli::args::{Cli, Command};
use crate::cli::{report, set_color};
use crate::error::ExitCode;

use context::Context;

/// Parses the command line, runs the command and turns its end into an exit status.
#[must_use]
pub fn main() -> std::process::ExitCode {
    let cli = Cli::parse();
    set_color(cli.common.color);
    match run(cli) {
        Ok(()) => ExitCode::Done.into(),
        Err(error) => {
            report(&error);
            status::of(&error).into()
        }
    }
}

fn run(cli: Cli) -> anyhow::Result<()> {
    let context = Context::new(cli.common)?;
    match cli.command {
        Command::Demo { dir } => demo::run(context, &dir),
        Command::Init { profile, dir } => init::run(&context, profile.as_deref(), &dir),
        Command::Plan { nodes, allow_two_managers } => plan::run(&context, &nodes, allow_two_managers),
        Command::Bake { nodes, output, format, allow_two_managers } => {
            bake::run(&context, &nodes, &output, format, allow_two_managers)
        }
        Command::Flash { node, device, unmount, allow_fixed, allow_two_managers } => {
            let wanted = card::Wanted { device, unmount, allow_fixed };
            flash::run(&context, &node, &wanted, allow_two_managers)
        }
        Command::Devices => devices::run(&context),
        Command::Inspect { target } => inspect::run(&context, &target),
        Command::Fetch(args) => fetch::run(&context, &args),
        Command::Completions { shell } => generate::completions(shell),
        Command::Man => generate::man(),
    }
}
