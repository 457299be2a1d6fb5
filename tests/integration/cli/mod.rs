//! The program as people run it: its own process, over the demo image, in directories of its own.

mod backup;
mod capture;
mod cards;
mod check;
mod desk;
mod determinism;
mod faults;
mod fetch;
mod help;
mod image;
mod init;
mod json;
mod killed;
mod observers;
mod packages;
mod refused_backups;
mod refused_images;
mod restore;
mod restore_node;
mod secrets;
mod status;
mod sudo;
mod terminal;
mod together;
mod verify;
