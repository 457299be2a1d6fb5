//! SIGINT and `kill -9` at every step of writing a card, one request before and after, and at random moments.

use std::time::Duration;

use nix::sys::signal::Signal;

use super::table::{Again, Ended, Held, Order, Table, When};
use crate::card_bed::card_tier;
use crate::root::asked_as_root;

const MIB: u64 = 1 << 20;
const SIGNALS: [Signal; 2] = [Signal::SIGINT, Signal::SIGKILL];

/// What all runs of a test came to.
#[derive(Default)]
struct Sum {
    runs: usize,
    before: usize,
    blank: usize,
    whole: usize,
    claimed: usize,
    again: Vec<Again>,
}

impl Sum {
    fn enter(&mut self, what: &str, held: Held, ended: &Ended, again: Again) {
        println!("{what}: {}, {held:?}; then {} of {} written", ended.status, again.written, again.used);
        self.runs += 1;
        self.claimed += usize::from(ended.status.success());
        match held {
            Held::Before => self.before += 1,
            Held::Blank => self.blank += 1,
            Held::Whole => self.whole += 1,
        }
        self.again.push(again);
    }

    fn tell(&self, what: &str) {
        println!(
            "{what}: stopped {} times; the card was as before {}, blank {}, whole {} ({} of them had ended by themselves)",
            self.runs, self.before, self.blank, self.whole, self.claimed
        );
        let mean = |number: fn(&Again) -> u64| {
            self.again.iter().map(number).sum::<u64>() as f64 / self.again.len().max(1) as f64 / MIB as f64
        };
        println!(
            "  the next run: every one done and verified; on average {:.1} MiB of {:.1} were there, written {:.1}, left {:.1}, of {:.1} in use",
            mean(|again| again.kept),
            mean(|again| again.telling),
            mean(|again| again.written),
            mean(|again| again.equal),
            mean(|again| again.used)
        );
    }
}

/// Stops an order at every `every`th step, and after it and one request on, by each signal, from a card that holds
/// something else.
fn at_steps(order: Order, every: usize) {
    let table = Table::new(order, &[]);
    let mut sum = Sum::default();
    for step in table.steps().iter().step_by(every) {
        for (hold, signal) in step.holds.iter().flat_map(|hold| SIGNALS.map(|signal| (*hold, signal))) {
            table.put_back();
            let before = table.content();
            let what = format!("{order:?}, {signal} before {} +{}", step.name, hold.after);
            let ended = table.stop(When::At(hold), signal);
            sum.enter(&what, table.judge(&ended, &before, signal, &what), &ended, table.again(&what));
        }
    }
    sum.tell(&format!("{order:?}, at the steps"));
}

#[test]
fn at_every_step_and_one_request_before_and_after() {
    if !asked_as_root("faults", "the program stopped at every step") {
        return;
    }
    for order in [Order::Flash, Order::Restore] {
        at_steps(order, 1);
    }
}

#[test]
fn at_fifty_random_moments() {
    if !asked_as_root("faults", "the program stopped at random moments") {
        return;
    }
    for order in [Order::Flash, Order::Restore] {
        let table = Table::new(order, &["write_mbps=40", "read_mbps=90"]);
        // The second time nothing has to be unpacked.
        table.takes();
        table.put_back();
        let takes = table.takes();
        let mut random = fastrand::Rng::with_seed(50);
        let mut sum = Sum::default();
        for round in 0..50 {
            // A card that holds something else, and one that holds most of it.
            if round % 4 < 2 {
                table.put_back()
            } else {
                table.spoil(60 * MIB, 6 * MIB)
            };
            let before = table.content();
            let (signal, most) = (SIGNALS[round % 2], u64::try_from(takes.as_micros()).unwrap());
            let moment = Duration::from_micros(random.u64(0..most));
            let what = format!("{order:?}, {signal} after {moment:?} of {takes:?}");
            let ended = table.stop(When::After(moment), signal);
            sum.enter(&what, table.judge(&ended, &before, signal, &what), &ended, table.again(&what));
        }
        sum.tell(&format!("{order:?}, at 50 random moments of {takes:?}"));
        assert!(sum.blank >= 10, "the moments were badly chosen");
    }
}

#[test]
fn at_some_steps() {
    if !card_tier() {
        return;
    }
    at_steps(Order::Flash, 4);
}
