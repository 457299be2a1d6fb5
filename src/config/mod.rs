//! The cluster file, profiles, overlays and secret sources: what the user asked for, checked as far as it
//! can be without looking into an image.

pub mod overlay;
mod overlay_manifest;
mod overlay_tree;
mod overlay_when;
pub mod types;
