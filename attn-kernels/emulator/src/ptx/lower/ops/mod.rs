//! Instructions by families: which modifiers, types and operands each takes.

mod asynchronous;
mod atomics;
mod compare;
mod control;
mod cvt;
mod float;
mod integer;
mod logic;
mod matrix;
mod mbarrier;
mod memory;
mod moves;
mod warp;

use super::line::Line;
use crate::isa::Op;
use crate::ptx::PtxError;

type Lowered = Result<Op, PtxError>;

/// Lowers any instruction but `call` and `ret`.
pub(super) fn lower(mut line: Line<'_, '_, '_>) -> Result<(), PtxError> {
    let line = &mut line;
    match line.opcode() {
        "fence" | "match" | "nanosleep" => line.since(line.opcode(), 70, (6, 0))?,
        "dp4a" | "dp2a" => line.since(line.opcode(), 61, (6, 0))?,
        _ => {}
    }
    for packed in ["f32x2", "b128"] {
        if line.has(packed) {
            return Err(line.unsupported(format!("{} of .{packed}", line.opcode())));
        }
    }
    let op = match line.opcode() {
        "mov" => moves::mov(line),
        "cvta" => moves::cvta(line),
        "isspacep" => moves::isspacep(line),
        "createpolicy" => moves::createpolicy(line),

        "add" | "sub" | "mul" | "mad" | "div" | "min" | "max" | "abs" | "neg"
            if float::is_float(line) =>
        {
            float::arithmetic(line)
        }
        "fma" => float::arithmetic(line),
        "rcp" | "sqrt" | "rsqrt" | "sin" | "cos" | "lg2" | "ex2" | "tanh" => float::function(line),
        "copysign" => float::copysign(line),
        "testp" => float::testp(line),

        "add" | "sub" | "addc" | "subc" => integer::add(line),
        "mul" | "mul24" => integer::mul(line),
        "mad" | "mad24" | "madc" => integer::mad(line),
        "sad" => integer::sad(line),
        "div" | "rem" => integer::div(line),
        "min" | "max" => integer::min_max(line),
        "abs" | "neg" => integer::abs_neg(line),
        "popc" | "clz" | "bfind" | "brev" => integer::count(line),
        "fns" => integer::fns(line),
        "dp4a" | "dp2a" => integer::dot(line),

        "and" | "or" | "xor" | "not" | "cnot" => logic::logic(line),
        "shl" | "shr" => logic::shift(line),
        "shf" => logic::funnel(line),
        "bfe" | "bfi" => logic::field(line),
        "szext" | "bmsk" => logic::mask(line),
        "lop3" => logic::lop3(line),
        "prmt" => logic::prmt(line),

        "cvt" => cvt::cvt(line),
        "setp" => compare::setp(line),
        "set" => compare::set(line),
        "selp" => compare::selp(line),
        "slct" => compare::slct(line),

        "ld" | "ldu" => memory::ld(line),
        "st" => memory::st(line),
        "prefetch" | "prefetchu" | "applypriority" | "discard" => memory::prefetch(line),
        "membar" | "fence" => memory::fence(line),
        "atom" | "red" => atomics::atom(line),
        "cp" => asynchronous::cp(line),
        "mbarrier" => mbarrier::mbarrier(line),

        "shfl" => warp::shfl(line),
        "vote" => warp::vote(line),
        "match" => warp::match_sync(line),
        "redux" => warp::redux(line),
        "activemask" => warp::activemask(line),
        "elect" => warp::elect(line),

        "mma" => matrix::mma(line),
        "ldmatrix" => matrix::ldmatrix(line),
        "stmatrix" => matrix::stmatrix(line),
        "movmatrix" => matrix::movmatrix(line),

        "bra" | "brx" => control::branch(line),
        "bar" | "barrier" => control::barrier(line),
        "exit" | "trap" | "brkpt" | "nanosleep" | "pmevent" | "griddepcontrol" | "setmaxnreg" => {
            control::simple(line)
        }
        _ => {
            let mods: String = line.inst.mods.iter().map(|m| format!(".{}", m.text)).collect();
            Err(line.unsupported(format!("instruction {}{mods}", line.opcode())))
        }
    }?;
    line.emit(op)
}
