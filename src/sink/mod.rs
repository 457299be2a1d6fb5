//! Where bytes go: image files that appear only whole, and cards that are proved before they can boot.
//!
//! Nothing here knows how an image was made, and a card is written only through a
//! [`ConfirmedTarget`](crate::device::policy::ConfirmedTarget), which only the device room's policy makes.

pub mod card;
pub mod edited;
pub mod error;
pub mod frames;
pub mod img;
pub(crate) mod in_order;
pub mod outfile;
pub mod receipt;
pub(crate) mod track;
pub mod zst;
