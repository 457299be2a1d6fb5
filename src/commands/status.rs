//! Which exit status an error ends the run with.

use crate::backup::error::ArchiveError;
use crate::error::{Advice, ExitCode, advice_of};
use crate::fetch::error::FetchError;
use crate::fit::error::FitError;
use crate::interrupt::Interrupted;
use crate::prove::ProveError;
use crate::sink::error::SinkError;
use crate::source::error::SourceError;
use crate::state::StateError;

/// 130 when the run was asked to stop, else what the advice says, else 1.
pub(super) fn of(error: &anyhow::Error) -> ExitCode {
    if interrupted(error) {
        return ExitCode::Interrupted;
    }
    advice_of(error).map_or(ExitCode::Failed, |advice| advice.code)
}

fn interrupted(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause.is::<Interrupted>()
            || matches!(cause.downcast_ref(), Some(SourceError::Interrupted(_)))
            || matches!(cause.downcast_ref(), Some(FetchError::Interrupted(_)))
            || matches!(cause.downcast_ref(), Some(FitError::Interrupted(_)))
            || matches!(cause.downcast_ref(), Some(SinkError::Interrupted(_)))
            || matches!(cause.downcast_ref(), Some(ProveError::Interrupted(_)))
            || matches!(cause.downcast_ref(), Some(StateError::Interrupted(_)))
            || matches!(
                cause.downcast_ref(),
                Some(ArchiveError::Interrupted(_) | ArchiveError::Write(SinkError::Interrupted(_)))
            )
            || cause.downcast_ref::<Advice>().is_some_and(|advice| interrupted(advice.inner()))
    })
}

#[cfg(test)]
mod tests {
    use super::of;
    use crate::error::{Advise, ExitCode};
    use crate::interrupt::Interrupted;
    use crate::sink::error::SinkError;

    #[test]
    fn an_interrupt_is_found_through_advice() {
        let error: Result<(), _> = Err(SinkError::Interrupted(Interrupted));
        let advised = error.advise(ExitCode::Failed, "try again").unwrap_err().context("baking pi1");
        assert_eq!(of(&advised), ExitCode::Interrupted);
        assert_eq!(of(&anyhow::anyhow!("else")), ExitCode::Failed);
    }
}
