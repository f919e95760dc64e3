//! The `menlou` program.

fn main() {}
