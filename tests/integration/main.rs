//! The program and the library from outside: one binary, a module a subject.

mod arrows;
