//! The tasks of this repository: `cargo xtask <task>`.

fn main() {}
