//! One orchestrator a command: the order of steps, and nothing of how a step is done.

mod bake;
mod capture;
mod card;
mod check;
mod context;
mod create;
mod demo;
mod devices;
mod fetch;
mod files;
mod flash;
mod generate;
mod init;
mod inspect;
mod keys;
mod oven;
mod plan;
mod prepare;
mod restore;
mod staged;
mod staged_images;
mod status;
mod verify;
mod writing;

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
        Command::Plan { nodes, swarm } => plan::run(&context, &nodes, &swarm),
        Command::Bake { nodes, output, format, swarm } => {
            bake::run(&context, &nodes, &output, format, &swarm)
        }
        Command::Flash(args) => flash::run(&context, &args),
        Command::Restore(args) => restore::run(&context, &args),
        Command::Verify(args) => verify::run(&context, &args),
        Command::Capture(args) => capture::run(&context, &args),
        Command::Devices => devices::run(&context),
        Command::Keys { action } => keys::run(&context, &action),
        Command::Inspect { target } => inspect::run(&context, &target),
        Command::Fetch(args) => fetch::run(&context, &args),
        Command::Check { nodes, ssh_config } => check::run(&context, &nodes, ssh_config.as_deref()),
        Command::Completions { shell } => generate::completions(shell),
        Command::Man => generate::man(),
    }
}
