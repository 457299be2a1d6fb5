//! Where the steps of writing a card begin, by the requests that the card sees.

use pibake::sink::card::{HEAD, TAIL};

use crate::card_bed::Request;

/// The numbers of the requests, from 1, where a full write of a card of `size` bytes passes from one step to the next.
pub(super) fn boundaries(requests: &[Request], size: u64) -> Vec<(&'static str, usize)> {
    let write_at = |wanted: u64| move |request: &Request| matches!(request, Request::Write { offset, .. } if *offset == wanted);
    let is_read = |request: &Request| matches!(request, Request::Read { .. });
    let first = |from: usize, what: &dyn Fn(&Request) -> bool| {
        from + requests[from..].iter().position(what).expect("a full write has every step")
    };
    let last = |until: usize, what: &dyn Fn(&Request) -> bool| {
        requests[..until].iter().rposition(what).expect("a full write has every step")
    };
    let is_flush = |request: &Request| *request == Request::Flush;
    let is_write = |request: &Request| matches!(request, Request::Write { .. });
    let tail = first(0, &write_at(size - TAIL));
    let tail_flush = first(tail, &is_flush);
    let probe = first(tail_flush, &is_write);
    let body = last(requests.len(), &write_at(HEAD));
    let head = last(requests.len(), &write_at(0));
    let body_end = last(head, &is_write);
    let verify = first(body_end, &is_read);
    let steps = [
        ("the first MiB is zeroed", 0),
        ("it is flushed", first(0, &is_flush)),
        ("it is read back", first(0, &is_read)),
        ("the last MiB is zeroed", tail),
        ("it is flushed", tail_flush),
        ("the capacity is tried", probe),
        ("what was tried is read", first(probe, &is_read)),
        ("the body is written", body),
        ("the body's last write", body_end),
        ("the body is flushed", first(body_end, &is_flush)),
        ("the body is read back", verify),
        ("the body's last read", last(head, &is_read)),
        ("the first MiB is written", head),
        ("it is flushed", first(head, &is_flush)),
        ("it is read back", first(head, &is_read)),
        ("the last request", requests.len() - 1),
    ];
    steps.into_iter().map(|(name, at)| (name, at + 1)).collect()
}
