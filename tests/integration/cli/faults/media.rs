//! Cards that fail, lie and drop off, through the program: what it ends with, what it says, what the card is.

use super::table::{Held, Order, SIZE, Table};
use crate::card_bed::card_tier;

/// In the node's noise, a file in the root partition.
const AT: u64 = 60 << 20;

#[test]
fn bad_cards_are_told_with_what_to_do_and_do_not_boot() {
    if !card_tier() {
        return;
    }
    let replace = "try again; a card or a reader that fails twice is to be replaced";
    let real = 100 << 20;
    for (fault, status, says) in [
        (format!("fail_write_at={AT}"), 1, ["writing the card at offset", "/opt/ballast", replace]),
        (format!("fail_read_at={AT}"), 1, ["reading back the card at offset", "/opt/ballast", replace]),
        ("die_after=20000000".to_owned(), 1, ["the card at offset", "Input/output error", replace]),
        (format!("flip_at={AT}"), 4, [&format!("at offset {AT}") as &str, "/opt/ballast", replace]),
        (
            format!("real_size={real}"),
            4,
            ["counterfeit", &format!("claims {SIZE} bytes and holds {real}"), "do not use this card"],
        ),
    ] {
        for order in [Order::Flash, Order::Restore] {
            let mut table = Table::new(order, &[&fault]);
            let what = format!("{order:?}, {fault}");
            let before = table.content();
            let ended = table.ended(table.start());
            assert_eq!(ended.status.code(), Some(status), "{what}: {}", ended.err);
            assert!(ended.out.is_empty(), "{what}: {}", ended.out);
            for text in says {
                assert!(ended.err.contains(text), "{what}: {text:?} is missing from {}", ended.err);
            }
            assert!(ended.err.contains("no partition table and does not boot"), "{what}: {}", ended.err);
            table.card.pull_out();
            table.card.plug_in("128M", &[]);
            let held = table.held(&before, &what);
            assert_eq!(held, Held::Blank, "{what}");
            table.judge_receipts(&ended, held, &what);
            table.judge_looks(held, &what);
            table.again(&what);
        }
    }
}
