//! The ext4 editor's test driver.

fn main() {}
