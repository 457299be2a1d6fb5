//! Which exit status an error ends the run with.

use std::io;

use crate::backup::error::ArchiveError;
use crate::error::{Advice, ExitCode, advice_of};
use crate::fetch::error::FetchError;
use crate::fit::error::FitError;
use crate::interrupt::Interrupted;
use crate::live::error::LiveError;
use crate::node::link::LinkError;
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
            // Of a question: a read or a write that a signal interrupts is done again.
            || cause.downcast_ref().is_some_and(|error: &io::Error| error.kind() == io::ErrorKind::Interrupted)
            || matches!(cause.downcast_ref(), Some(SourceError::Interrupted(_)))
            || matches!(cause.downcast_ref(), Some(LiveError::Link(LinkError::Interrupted(_))))
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
    use crate::live::error::LiveError;
    use crate::node::link::LinkError;
    use crate::sink::error::SinkError;

    #[test]
    fn an_interrupt_is_found_through_advice() {
        let error: Result<(), _> = Err(SinkError::Interrupted(Interrupted));
        let advised = error.advise(ExitCode::Failed, "try again").unwrap_err().context("baking pi1");
        assert_eq!(of(&advised), ExitCode::Interrupted);
        let unanswered = std::io::Error::from(std::io::ErrorKind::Interrupted);
        assert_eq!(of(&anyhow::Error::from(unanswered).context("asking")), ExitCode::Interrupted);
        let live: Result<(), _> = Err(LiveError::Link(LinkError::Interrupted(Interrupted)));
        assert_eq!(of(&live.advise(ExitCode::Failed, "try again").unwrap_err()), ExitCode::Interrupted);
        assert_eq!(of(&anyhow::anyhow!("else")), ExitCode::Failed);
    }
}
