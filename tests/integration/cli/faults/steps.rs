//! Where the steps of writing a card begin, by the requests that the card sees.

use pibake::sink::card::{HEAD, TAIL};

use crate::card_bed::{Hold, Request};

/// Where a full write of a card passes from one step to the next.
pub(super) struct Step {
    pub(super) name: &'static str,
    /// The request that does it, and one of each that follows it.
    pub(super) holds: [Hold; 3],
}

/// The steps of a full write of a card of `size` bytes that made these requests. A card at a held request has done what
/// comes before, and not the request: so each step is met before, after it, and one request on.
pub(super) fn steps(requests: &[Request], size: u64) -> Vec<Step> {
    let write_at = |wanted: u64| move |request: &Request| matches!(request, Request::Write { offset, .. } if *offset == wanted);
    let first = |from: usize, what: &dyn Fn(&Request) -> bool| {
        from + requests[from..].iter().position(what).expect("a full write has every step")
    };
    let last = |until: usize, what: &dyn Fn(&Request) -> bool| {
        requests[..until].iter().rposition(what).expect("a full write has every step")
    };
    let is_flush = |request: &Request| *request == Request::Flush;
    // What the kernel made two requests of begins there only once.
    let is_piece = |request: &Request| matches!(request, Request::Write { offset, .. } if offset % HEAD == 0);
    let tail = first(0, &write_at(size - TAIL));
    let tail_flush = first(tail, &is_flush);
    let probe = first(tail_flush, &is_piece);
    let body = last(requests.len(), &write_at(HEAD));
    let head = last(requests.len(), &write_at(0));
    let steps = [
        // Not simply the first request: the kernel may have cut it in two, and sent the second half first.
        ("the first MiB is zeroed", first(0, &write_at(0))),
        ("the first MiB is flushed", first(0, &is_flush)),
        ("the last MiB is zeroed", tail),
        ("the last MiB is flushed", tail_flush),
        ("the capacity is tried", probe),
        ("what tries it is flushed", first(probe, &is_flush)),
        ("the body is written", body),
        ("the body's last MiB is written", last(head, &is_piece)),
        ("the body is flushed, then read back", last(head, &is_flush)),
        ("the first MiB is written", head),
        ("the first MiB is flushed, then read back", first(head, &is_flush)),
    ];
    let step = |(name, at): (_, usize)| {
        let write_at = match requests[at] {
            Request::Write { offset, .. } => Some(offset),
            _ => None,
        };
        let is_like = |request: &&Request| match (write_at, request) {
            (Some(wanted), Request::Write { offset, .. }) => wanted == *offset,
            (None, request) => is_flush(request),
            _ => false,
        };
        let nth = requests[..=at].iter().filter(is_like).count();
        Step { name, holds: [0, 1, 2].map(|after| Hold { after, nth, write_at }) }
    };
    steps.into_iter().map(step).collect()
}
