//! What goes wrong while the program writes a simulated card: stopped and killed at every step and at any moment,
//! bad cards, full disks, sources that shrink. After each: what it said, what the card is, and the next run.
//!
//! The tier `faults` runs all moments, `card` some of them and everything else; both as for `simulated_card.rs`.

mod media;
mod room;
mod steps;
mod stopped;
mod table;
