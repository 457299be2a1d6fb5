//! What the tests stand on: images, the shadow model, outside programs.

pub(crate) mod check;
pub(crate) mod content;
pub(crate) mod disk;
pub(crate) mod kernel;
pub(crate) mod matrix;
pub(crate) mod op;
pub(crate) mod picker;
pub(crate) mod reader;
pub(crate) mod tier;
pub(crate) mod tools;
pub(crate) mod tree;
