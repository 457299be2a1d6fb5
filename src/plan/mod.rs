//! What will change on a node's card, as a value: pure functions from what was found in the image and what
//! the cluster file asks for. Nothing here reads or writes anything.
//!
//! Most files come from overlays ([`overlay_names`] says which have to be loaded); what edits a text that
//! the image has is a module of its own, with a function from text to text at its heart.

mod accounts;
mod build;
pub mod change;
mod clock;
mod cmdline;
mod create;
mod dhcpcd;
mod digest;
mod docker;
mod draft;
mod error;
mod first_boot;
mod fstab;
mod hosts;
pub mod identity;
mod image;
mod images;
mod interfaces;
mod manifest;
mod network;
mod overlay;
mod packages;
mod pools;
mod render;
#[cfg(test)]
mod samples;
mod select;
pub mod show;
mod size;
mod ssh;
mod sshd;
mod stack_file;
mod stacks;
mod staged;
mod swarm;
mod system;
#[cfg(test)]
mod tests;
mod units;
mod wifi;

pub use build::{Inputs, build};
pub use create::Create;
pub use error::{PlanError, PlanErrors};
pub use images::{fitting, runs};
pub use packages::engine;
pub use select::{overlay_names, secret_params};
pub use staged::{StackFile, Staged};
