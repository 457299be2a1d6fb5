//! Many threads making pieces, one taking them in order, with little in between.

use std::num::NonZero;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

/// Finished pieces a thread may have waiting to be taken: what bounds the memory.
pub(super) const WAITING: usize = 2;

/// As many threads as there are cores to run them.
pub(crate) fn cores() -> NonZero<usize> {
    thread::available_parallelism().unwrap_or(NonZero::<usize>::MIN)
}

/// Calls `make` for every number below `count` on `threads` threads, each with a context of its own, and
/// `take` with the results in rising order on this thread. The first error in that order ends it.
pub(crate) fn in_order<C, T: Send, E: Send>(
    count: usize,
    threads: NonZero<usize>,
    context: impl Fn() -> Result<C, E> + Sync,
    make: impl Fn(&mut C, usize) -> Result<T, E> + Sync,
    mut take: impl FnMut(T) -> Result<(), E>,
) -> Result<(), E> {
    let threads = threads.get().min(count.max(1));
    thread::scope(|scope| {
        // Thread `t` makes pieces t, t + threads, …: whose turn it is follows from the piece's number.
        let (context, make) = (&context, &make);
        let queues: Vec<Receiver<Result<T, E>>> = (0..threads)
            .map(|first| {
                let (sender, receiver) = sync_channel(WAITING);
                scope.spawn(move || work(&sender, (first..count).step_by(threads), context, make));
                receiver
            })
            .collect();
        for piece in 0..count {
            // A thread hangs up early only when it panicked, which the scope passes on.
            let Ok(made) = queues[piece % threads].recv() else { break };
            take(made?)?;
        }
        Ok(())
    })
}

/// Makes pieces until there are no more, one fails, or nobody takes them any more.
fn work<C, T, E>(
    sender: &SyncSender<Result<T, E>>,
    pieces: impl Iterator<Item = usize>,
    context: impl Fn() -> Result<C, E>,
    make: impl Fn(&mut C, usize) -> Result<T, E>,
) {
    let mut context = match context() {
        Ok(context) => context,
        Err(error) => {
            let _ = sender.send(Err(error));
            return;
        }
    };
    for piece in pieces {
        let made = make(&mut context, piece);
        let failed = made.is_err();
        if sender.send(made).is_err() || failed {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZero;

    use super::in_order;
    use crate::interrupt::Interrupted;
    use crate::sink::error::SinkError;

    #[test]
    fn whatever_the_number_of_threads_the_order_is_the_same() {
        for threads in [1, 2, 3, 7, 64] {
            for count in [0, 1, 2, 3, 50] {
                let mut taken = Vec::new();
                in_order(
                    count,
                    NonZero::new(threads).unwrap(),
                    || Ok(()),
                    |(), piece| Ok(piece * 10),
                    |made| {
                        taken.push(made);
                        Ok::<(), Interrupted>(())
                    },
                )
                .unwrap();
                assert_eq!(taken, (0..count).map(|piece| piece * 10).collect::<Vec<_>>());
            }
        }
    }

    #[test]
    fn the_first_error_in_order_ends_it() {
        let mut taken = 0;
        let error = in_order(
            100,
            NonZero::new(3).unwrap(),
            || Ok(()),
            |(), piece| {
                if piece >= 40 { Err(SinkError::TooSmall { needs: piece as u64, has: 0 }) } else { Ok(()) }
            },
            |()| {
                taken += 1;
                Ok(())
            },
        )
        .unwrap_err();
        assert!(matches!(error, SinkError::TooSmall { needs: 40, .. }), "{error}");
        assert_eq!(taken, 40);
    }

    #[test]
    fn an_error_while_taking_stops_the_makers() {
        let error = in_order(
            1_000_000,
            NonZero::new(2).unwrap(),
            || Ok(()),
            |(), piece| Ok(piece),
            |piece| if piece == 5 { Err(Interrupted) } else { Ok(()) },
        )
        .unwrap_err();
        assert_eq!(error, Interrupted);
    }
}
