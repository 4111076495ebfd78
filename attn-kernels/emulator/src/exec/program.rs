//! A kernel made ready to run: variables replaced by their addresses, and what the machine asks of
//! every instruction worked out once.

use super::operands::for_each_source;
use crate::count::Class;
use crate::isa::{AtomOp, FloatUn, KernelCode, Num, Op, Reg, Space, Src};
use std::collections::HashSet;
use std::sync::Arc;

/// A kernel ready to run.
pub(crate) struct Program {
    /// The code; no operand is a [`Src::Variable`].
    pub(crate) kernel: KernelCode,
    /// The name of the module.
    pub(crate) file: String,
    /// Its text, for messages.
    pub(crate) source: Arc<str>,
    /// The class of each instruction.
    pub(crate) classes: Vec<Class>,
    /// Some global atomic has a result that depends on the order of CTAs.
    pub(crate) ordered: bool,
    /// Bytes of shared memory that the race check tells apart: the narrowest access, 1 to 4.
    pub(crate) granule: u32,
}

impl Program {
    /// `address` gives the address of a module variable.
    pub(crate) fn new(
        mut kernel: KernelCode,
        file: &str,
        source: Arc<str>,
        address: impl Fn(u32) -> u64,
    ) -> Self {
        for instr in &mut kernel.code {
            for_each_source(&mut instr.op, &mut |src| {
                if let Src::Variable(index, offset) = *src {
                    *src = Src::Imm(address(index).wrapping_add_signed(offset));
                }
            });
        }
        let classes = kernel.code.iter().map(|i| class(&i.op)).collect();
        let ordered = ordered(&mut kernel);
        let granule = kernel.code.iter().map(|i| shared_width(&i.op)).min().unwrap_or(4);
        Self { kernel, file: file.to_owned(), source, classes, ordered, granule }
    }

    /// The text of a line, from 1.
    pub(crate) fn line(&self, line: u32) -> &str {
        self.source.lines().nth(line as usize - 1).unwrap_or("").trim()
    }

    /// Line, class and multiply-adds of each instruction.
    pub(crate) fn facts(&self) -> impl Iterator<Item = (u32, Class, u64)> {
        self.kernel.code.iter().zip(&self.classes).map(|(instr, &class)| {
            let macs = match &instr.op {
                Op::Mma(mma) => {
                    u64::from(mma.shape.m) * u64::from(mma.shape.n) * u64::from(mma.shape.k)
                }
                _ => 0,
            };
            (instr.line, class, macs)
        })
    }
}

/// Whether the results may depend on the order in which CTAs run: some atomic on global memory is
/// not commutative and associative, or its old value is used.
fn ordered(kernel: &mut KernelCode) -> bool {
    let mut used = HashSet::new();
    for instr in &mut kernel.code {
        for_each_source(&mut instr.op, &mut |src| {
            if let Src::Reg(reg) = *src {
                used.insert(reg);
            }
        });
    }
    kernel.code.iter().any(|instr| {
        let Op::Atom { op, ty, space, dst, .. } = &instr.op else {
            // Vectors are of floats.
            return matches!(instr.op, Op::AtomVec(_));
        };
        let float = !matches!(ty, Num::U32 | Num::S32 | Num::U64 | Num::S64);
        let result = dst.is_some_and(|dst: Reg| used.contains(&dst));
        let order = matches!(op, AtomOp::Inc | AtomOp::Dec | AtomOp::Exch | AtomOp::Cas);
        *space != Space::Shared && (float || result || order)
    })
}

/// The narrowest piece of shared memory that an instruction may touch, up to 4 bytes.
fn shared_width(op: &Op) -> u32 {
    let (space, ty) = match op {
        Op::Ld { access, .. } | Op::St { access, .. } => (access.space, access.ty),
        Op::Atom { space, ty, .. } => (*space, *ty),
        _ => return 4,
    };
    match space {
        Space::Shared | Space::Generic => (ty.bits() / 8).min(4),
        _ => 4,
    }
}

fn class(op: &Op) -> Class {
    match op {
        Op::Mov { .. }
        | Op::Special { .. }
        | Op::Pack { .. }
        | Op::Unpack { .. }
        | Op::Cvta { .. }
        | Op::Nop => Class::Move,
        Op::IntBin { .. }
        | Op::IntTer { .. }
        | Op::IntUn { .. }
        | Op::Carry { .. }
        | Op::Bfe { .. }
        | Op::Bfi { .. }
        | Op::Lop3 { .. }
        | Op::Shf { .. }
        | Op::Prmt { .. }
        | Op::Dot { .. } => Class::Integer,
        Op::FloatBin { op: crate::isa::FloatBin::Div, .. } => Class::Special,
        Op::FloatUn { op: FloatUn::Abs | FloatUn::Neg, ty, .. } => float(*ty),
        Op::FloatUn { .. } => Class::Special,
        Op::FloatBin { ty, .. } | Op::FloatTer { ty, .. } => float(*ty),
        Op::Cvt { .. } | Op::CvtPair { .. } | Op::CvtStochastic { .. } | Op::CvtPack { .. } => {
            Class::Convert
        }
        Op::Setp { .. }
        | Op::Set { .. }
        | Op::Selp { .. }
        | Op::Slct { .. }
        | Op::Testp { .. }
        | Op::IsSpace { .. }
        | Op::PredLogic { .. } => Class::Compare,
        Op::Ld { access, .. } => match access.space {
            Space::Generic | Space::Global => Class::GlobalLoad,
            Space::Shared => Class::SharedLoad,
            Space::Local => Class::Local,
            Space::Const | Space::Param => Class::Constant,
        },
        Op::St { access, .. } => match access.space {
            Space::Shared => Class::SharedStore,
            Space::Local => Class::Local,
            _ => Class::GlobalStore,
        },
        Op::Prefetch { .. } => Class::GlobalLoad,
        Op::Atom { .. } | Op::AtomVec(_) => Class::Atomic,
        Op::CpAsync { .. }
        | Op::CpAsyncCommit
        | Op::CpAsyncWait { .. }
        | Op::CpAsyncMbarrier { .. }
        | Op::Bulk { .. }
        | Op::BulkCommit
        | Op::BulkWait { .. } => Class::AsyncCopy,
        Op::LdMatrix { .. } => Class::SharedLoad,
        Op::StMatrix { .. } => Class::SharedStore,
        Op::Shfl { .. }
        | Op::Vote { .. }
        | Op::Match { .. }
        | Op::Redux { .. }
        | Op::ActiveMask { .. }
        | Op::Elect { .. }
        | Op::WarpSync { .. } => Class::Warp,
        Op::Mma(_) | Op::MovMatrix { .. } => Class::Matrix,
        Op::Barrier { .. } | Op::Mbarrier(_) | Op::Fence => Class::Barrier,
        Op::Bra { .. } | Op::BrxIdx { .. } | Op::Exit | Op::Trap => Class::Control,
    }
}

fn float(ty: Num) -> Class {
    match ty {
        Num::F64 => Class::Double,
        Num::F32 => Class::Float,
        _ => Class::Half,
    }
}
