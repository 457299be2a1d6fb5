//! The forms of single values. Each function takes a text and gives the value, or the end of the sentence
//! "`key` in [section]: …".

pub(super) mod address;
pub(super) mod name;
pub(super) mod system;
