//! What every test of the emulator shares: a device, the templates around an instruction, and the
//! comparison with an expectation. Knows no instruction and nothing of the emulator's inside.
#![allow(dead_code, reason = "each test binary uses a part")]

pub(crate) mod check;
pub(crate) mod exact;
pub(crate) mod launch;
pub(crate) mod program;
pub(crate) mod values;
