//! The program and the library from outside: one binary, a module a subject.

mod device_policy;
mod flash_lib;
