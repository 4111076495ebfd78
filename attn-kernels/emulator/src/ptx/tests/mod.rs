//! The front end on small texts: what it accepts, what it makes of it, what it refuses and where.

mod golden;
mod module;
mod mutation;
mod tables;

use super::{PtxError, parse};
use crate::isa::{Code, Instr, Op};

/// A module of sm_90a with the registers, variables and parameters that the tables use, and
/// `lines` as the body of its only kernel.
fn with_body(lines: &str) -> String {
    with_target("8.8", "sm_90a", lines)
}

fn with_target(version: &str, target: &str, lines: &str) -> String {
    format!(
        ".version {version}\n.target {target}\n.address_size 64\n.global .align 16 .b8 gv[64];\n\
         .const .align 16 .b8 cv[64];\n.visible .entry k(.param .u64 k0, .param .u32 k1) {{\n\
         .reg .pred %p<9>; .reg .b8 %rb<9>; .reg .b16 %rs<9>; .reg .u16 %ru<9>; .reg .f16 %h<9>;\n\
         .reg .f16x2 %hh<9>; .reg .f32 %f<9>; .reg .b32 %r<20>; .reg .u32 %u<9>; .reg .s32 %s<9>;\n\
         .reg .b64 %rd<20>; .reg .u64 %ud<9>; .reg .f64 %fd<9>;\n\
         .shared .align 16 .b8 sh[4096]; .local .align 16 .b8 lo[64];\n{lines}\nret; }}\n"
    )
}

/// The line of the first line of `lines`.
const FIRST: u32 = 11;

fn load(text: &str) -> Result<Code, PtxError> {
    parse("kernel.ptx", text)
}

/// The instructions of the only kernel, without the final `ret`.
fn lowered(lines: &str) -> Vec<Instr> {
    let code = load(&with_body(lines)).unwrap_or_else(|error| panic!("{error}"));
    let mut code = code.kernels.into_iter().next().expect("a kernel").code;
    assert_eq!(code.pop().map(|last| last.op), Some(Op::Exit));
    code
}

/// The only instruction.
fn op(line: &str) -> Op {
    let mut code = lowered(line);
    assert_eq!(code.len(), 1, "{line}");
    code.remove(0).op
}
