//! `pibake verify`: does a card hold what it should. Reads the card and the state, and changes neither.

mod found;
mod fresh;
mod look;
mod receipt;
mod show;

use crate::cli::args::VerifyArgs;

use super::context::Context;

pub(super) fn run(context: &Context, args: &VerifyArgs) -> anyhow::Result<()> {
    let found = if args.fresh { fresh::compare(context, args)? } else { receipt::compare(context, args)? };
    show::tell(context, &found)?;
    found.verdict()
}
