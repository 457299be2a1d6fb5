//! The program and the library from outside: one binary, a module a subject.

mod arriving;
mod arrows;
mod card_bed;
mod cli;
mod cluster_file;
mod debs;
mod device_policy;
mod fetch_network;
mod flash_lib;
#[cfg(unix)]
mod images_script;
mod invoker;
mod keys;
#[cfg(unix)]
mod live;
mod plan;
mod profiles;
mod root;
mod simulated_capture;
mod simulated_card;
mod sources;
mod state;
#[path = "../tier.rs"]
mod tier;
#[cfg(unix)]
mod used_images;
