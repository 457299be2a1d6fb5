//! The program and the library from outside: one binary, a module a subject.

mod arrows;
mod cli;
mod cluster_file;
mod debs;
mod device_policy;
mod fetch_network;
mod flash_lib;
mod invoker;
mod plan;
mod sources;
mod state;
