//! What instructions of each family become.

use super::{lowered, op};
use crate::isa::*;

const fn r(index: u32) -> Reg {
    Reg::R32(index)
}
const fn d(index: u32) -> Reg {
    Reg::R64(index)
}
const fn sr(index: u32) -> Src {
    Src::Reg(r(index))
}
const fn sd(index: u32) -> Src {
    Src::Reg(d(index))
}
const fn p(index: u32) -> PredSrc {
    PredSrc::Reg(Pred(index), false)
}

#[test]
fn moves() {
    // Registers get their index when they are first used.
    assert_eq!(op("mov.u32 %r7, -1;"), Op::Mov { dst: r(0), src: Src::Imm(0xFFFF_FFFF) });
    assert_eq!(op("mov.f32 %f1, 0f3F800000;"), Op::Mov { dst: r(0), src: Src::Imm(0x3F80_0000) });
    assert_eq!(op("mov.f32 %f1, 1.5;"), Op::Mov { dst: r(0), src: Src::Imm(0x3FC0_0000) });
    assert_eq!(
        op("mov.f64 %fd1, 0f3F800000;"),
        Op::Mov { dst: d(0), src: Src::Imm(0x3FF0_0000_0000_0000) }
    );
    assert_eq!(op("mov.u32 %r1, 017;"), Op::Mov { dst: r(0), src: Src::Imm(15) });
    assert_eq!(op("mov.u32 %r1, WARP_SZ;"), Op::Mov { dst: r(0), src: Src::Imm(32) });
    assert_eq!(op("mov.u64 %rd1, gv+8;"), Op::Mov { dst: d(0), src: Src::Variable(0, 8) });
    assert_eq!(op("mov.u64 %rd1, cv;"), Op::Mov { dst: d(0), src: Src::Variable(1, 0) });
    assert_eq!(op("mov.u32 %r1, sh+4;"), Op::Mov { dst: r(0), src: Src::Imm(4) });
    assert_eq!(op("mov.u64 %rd1, k1;"), Op::Mov { dst: d(0), src: Src::Imm(8) });
    assert_eq!(op("mov.u32 %r1, %ctaid.y;"), Op::Special { dst: r(0), reg: Special::Ctaid(1) });
    assert_eq!(
        op("mov.b64 %rd1, {%r1, 5};"),
        Op::Pack { dst: d(0), bits: 32, parts: [sr(0), Src::Imm(5)].into() }
    );
    assert_eq!(
        op("mov.b32 {_, %rs1}, %r1;"),
        Op::Unpack { dst: [None, Some(r(1))].into(), bits: 16, src: sr(0) }
    );
    assert_eq!(op("cvta.to.global.u64 %rd1, %rd2;"), Op::Mov { dst: d(0), src: sd(1) });
    assert_eq!(
        op("cvta.shared.u64 %rd1, sh;"),
        Op::Cvta { dst: d(0), src: Src::Imm(0), space: Space::Shared, to_generic: true }
    );
    assert_eq!(
        op("xor.pred %p3, %p2, !%p1;"),
        Op::PredLogic { op: BoolOp::Xor, dst: Pred(0), a: p(1), b: PredSrc::Reg(Pred(2), true) }
    );
}

#[test]
fn integers() {
    let bin = |op, ty, dst, a, b| Op::IntBin { op, ty, dst, a, b };
    assert_eq!(
        op("add.s32 %r1, %r2, -1;"),
        bin(IntBin::Add, Num::S32, r(0), sr(1), Src::Imm(0xFFFF_FFFF))
    );
    assert_eq!(op("sub.sat.s32 %r1, %r2, %r3;"), bin(IntBin::SubSat, Num::S32, r(0), sr(1), sr(2)));
    assert_eq!(
        op("mul.wide.s32 %rd1, %r1, %r2;"),
        bin(IntBin::MulWide, Num::S32, d(0), sr(0), sr(1))
    );
    assert_eq!(op("shr.s16 %rs1, %rs2, %r1;"), bin(IntBin::Shr, Num::S16, r(0), sr(1), sr(2)));
    assert_eq!(
        op("min.relu.s16x2 %r1, %r2, %r3;"),
        bin(IntBin::MinRelu, Num::S16x2, r(0), sr(1), sr(2))
    );
    assert_eq!(
        op("mad.wide.u16 %r1, %rs1, %rs2, %r2;"),
        Op::IntTer { op: IntTer::MadWide, ty: Num::U16, dst: r(0), a: sr(1), b: sr(2), c: sr(3) }
    );
    assert_eq!(
        op("madc.hi.cc.u32 %r1, %r2, %r3, %r4;"),
        Op::Carry {
            op: CarryOp::MadHi,
            ty: Num::U32,
            dst: r(0),
            a: sr(1),
            b: sr(2),
            c: sr(3),
            reads: true,
            writes: true
        }
    );
    assert_eq!(
        op("popc.b64 %r1, %rd1;"),
        Op::IntUn { op: IntUn::Popc, ty: Num::U64, dst: r(0), a: sd(0) }
    );
    assert_eq!(
        op("bfe.s64 %rd1, %rd2, %r1, 8;"),
        Op::Bfe { ty: Num::S64, dst: d(0), a: sd(1), pos: sr(0), len: Src::Imm(8) }
    );
    assert_eq!(
        op("lop3.b32 %r1, %r2, %r3, %r4, 0xE8;"),
        Op::Lop3 { dst: r(0), a: sr(1), b: sr(2), c: sr(3), lut: 0xE8 }
    );
    assert_eq!(
        op("prmt.b32.rc8 %r1, %r2, %r3, 1;"),
        Op::Prmt { mode: PrmtMode::Rc8, dst: r(0), a: sr(1), b: sr(2), sel: Src::Imm(1) }
    );
    assert_eq!(
        op("dp2a.hi.s32.u32 %r1, %r2, %r3, %r4;"),
        Op::Dot {
            a_signed: true,
            b_signed: false,
            half: Some(true),
            dst: r(0),
            a: sr(1),
            b: sr(2),
            c: sr(3)
        }
    );
}

#[test]
fn floats() {
    let rn = FloatMods { round: Round::Rn, ..FloatMods::NONE };
    assert_eq!(
        op("add.f32 %f1, %f2, %f3;"),
        Op::FloatBin { op: FloatBin::Add, ty: Num::F32, mods: rn, dst: r(0), a: sr(1), b: sr(2) }
    );
    assert_eq!(
        op("fma.rz.ftz.sat.f32 %f1, %f2, %f3, %f4;"),
        Op::FloatTer {
            op: FloatTer::Fma,
            ty: Num::F32,
            mods: FloatMods { round: Round::Rz, ftz: true, sat: true, ..FloatMods::NONE },
            dst: r(0),
            a: sr(1),
            b: sr(2),
            c: sr(3)
        }
    );
    assert_eq!(
        op("div.full.f32 %f1, %f2, %f3;"),
        Op::FloatBin {
            op: FloatBin::Div,
            ty: Num::F32,
            mods: FloatMods { approx: true, full: true, ..FloatMods::NONE },
            dst: r(0),
            a: sr(1),
            b: sr(2)
        }
    );
    assert_eq!(
        op("ex2.approx.ftz.f32 %f1, %f2;"),
        Op::FloatUn {
            op: FloatUn::Ex2,
            ty: Num::F32,
            mods: FloatMods { approx: true, ftz: true, ..FloatMods::NONE },
            dst: r(0),
            a: sr(1)
        }
    );
    assert_eq!(
        op("max.NaN.xorsign.abs.bf16x2 %r1, %r2, %r3;"),
        Op::FloatBin {
            op: FloatBin::Max,
            ty: Num::Bf16x2,
            mods: FloatMods { nan: true, xorsign: true, ..FloatMods::NONE },
            dst: r(0),
            a: sr(1),
            b: sr(2)
        }
    );
    assert_eq!(
        op("testp.subnormal.f64 %p1, %fd1;"),
        Op::Testp { class: 32, ty: Num::F64, dst: Pred(0), a: sd(0) }
    );
}

#[test]
fn conversions() {
    let rn = FloatMods { round: Round::Rn, ..FloatMods::NONE };
    let cvt = |from, to, mods, satfinite| Cvt { from, to, mods, satfinite };
    assert_eq!(
        op("cvt.rn.satfinite.relu.e4m3x2.f32 %rs1, %f1, %f2;"),
        Op::CvtPair {
            cvt: cvt(Num::F32, Num::E4m3x2, FloatMods { relu: true, ..rn }, true),
            dst: r(0),
            a: sr(1),
            b: sr(2)
        }
    );
    assert_eq!(
        op("cvt.rn.f16x2.e5m2x2 %r1, %rs1;"),
        Op::Cvt { cvt: cvt(Num::E5m2x2, Num::F16x2, rn, false), dst: r(0), a: sr(1) }
    );
    let rzi = FloatMods { round: Round::Rzi, ftz: true, sat: true, ..FloatMods::NONE };
    assert_eq!(
        op("cvt.rzi.ftz.sat.s64.f32 %rd1, %f1;"),
        Op::Cvt { cvt: cvt(Num::F32, Num::S64, rzi, false), dst: d(0), a: sr(0) }
    );
    // The operand may be wider than its type.
    assert_eq!(
        op("cvt.s32.s8 %rd1, %rd2;"),
        Op::Cvt { cvt: cvt(Num::S8, Num::S32, FloatMods::NONE, false), dst: d(0), a: sd(1) }
    );
    // A special register is read first.
    let ops: Vec<Op> = lowered("cvt.u64.u32 %rd1, %tid.x;").into_iter().map(|i| i.op).collect();
    let none = FloatMods::NONE;
    assert_eq!(
        ops,
        [
            Op::Special { dst: r(0), reg: Special::Tid(0) },
            Op::Cvt { cvt: cvt(Num::U32, Num::U64, none, false), dst: d(0), a: sr(0) }
        ]
    );
}

#[test]
fn comparisons() {
    assert_eq!(
        op("setp.lt.and.f32 %p1|%p2, %f1, %f2, !%p3;"),
        Op::Setp {
            cmp: Cmp::Lt,
            ty: Num::F32,
            ftz: false,
            dst: Some(Pred(1)),
            other: Some(Pred(2)),
            a: sr(0),
            b: sr(1),
            with: Some((BoolOp::And, PredSrc::Reg(Pred(0), true)))
        }
    );
    assert_eq!(
        op("setp.hs.u64 _|%p1, %rd1, 3;"),
        Op::Setp {
            cmp: Cmp::Ge,
            ty: Num::U64,
            ftz: false,
            dst: None,
            other: Some(Pred(0)),
            a: sd(0),
            b: Src::Imm(3),
            with: None
        }
    );
    assert_eq!(
        op("set.ltu.f32.s32 %f1, %r1, %r2;".replace("ltu", "lt").as_str()),
        Op::Set {
            cmp: Cmp::Lt,
            ty: Num::S32,
            to: Num::F32,
            ftz: false,
            dst: r(0),
            a: sr(1),
            b: sr(2),
            with: None
        }
    );
    assert_eq!(
        op("selp.b64 %rd1, %rd2, 0, %p1;"),
        Op::Selp { dst: d(0), a: sd(1), b: Src::Imm(0), p: p(0) }
    );
    assert_eq!(
        op("slct.ftz.u64.f32 %rd1, %rd2, %rd3, %f1;"),
        Op::Slct { dst: d(0), a: sd(1), b: sd(2), c: sr(0), by: Num::F32, ftz: true }
    );
}

#[test]
fn memory() {
    let weak = |space, ty| Access { space, ty, nc: false, order: Ordering::Weak };
    let at = |base, offset| Addr { base, offset, generic: false };
    assert_eq!(
        op("ld.global.nc.v2.u8 {%rs1, _}, [%rd1+-8];"),
        Op::Ld {
            access: Access { nc: true, ..weak(Space::Global, Num::U8) },
            dst: [Some(r(0)), None].into(),
            addr: at(sd(0), -8)
        }
    );
    // A named variable tells its space; parameters have offsets.
    assert_eq!(
        op("ld.u32 %r1, [sh+16];"),
        Op::Ld {
            access: weak(Space::Shared, Num::U32),
            dst: [Some(r(0))].into(),
            addr: at(Src::Imm(0), 16)
        }
    );
    assert_eq!(
        op("ld.param.u32 %r1, [k1];"),
        Op::Ld {
            access: weak(Space::Param, Num::U32),
            dst: [Some(r(0))].into(),
            addr: at(Src::Imm(8), 0)
        }
    );
    assert_eq!(
        op("st.release.gpu.global.v2.f32 [gv], {%f1, 0f00000000};"),
        Op::St {
            access: Access { order: Ordering::Release, ..weak(Space::Global, Num::F32) },
            src: [sr(0), Src::Imm(0)].into(),
            addr: at(Src::Variable(0, 0), 0)
        }
    );
    assert_eq!(
        op("atom.acq_rel.gpu.shared.cas.b64 %rd1, [%r1], %rd2, %rd3;"),
        Op::Atom {
            op: AtomOp::Cas,
            ty: Num::U64,
            space: Space::Shared,
            order: Ordering::AcqRel,
            noftz: false,
            dst: Some(d(0)),
            addr: at(sr(0), 0),
            b: sd(1),
            c: Some(sd(2))
        }
    );
    assert_eq!(
        op("cp.async.cg.shared.global.L2::128B [%r1], [%rd1], 16, %r2;"),
        Op::CpAsync {
            bytes: 16,
            dst: at(sr(0), 0),
            src: at(sd(0), 0),
            src_bytes: Some(sr(1)),
            ignore: None,
            cg: true
        }
    );
    assert_eq!(
        op("mbarrier.arrive.expect_tx.shared.b64 _, [sh], %r1;"),
        Op::Mbarrier(Mbarrier::Arrive {
            dst: None,
            bar: at(Src::Imm(0), 0),
            count: None,
            tx: Some(sr(0)),
            drop: false,
            no_complete: false
        })
    );
    assert_eq!(
        op("cp.async.bulk.global.shared::cta.bulk_group [%rd1], [%r1], 64;"),
        Op::Bulk {
            to_shared: false,
            dst: at(sd(0), 0),
            src: at(sr(0), 0),
            bytes: Src::Imm(64),
            bar: None
        }
    );
}

#[test]
fn warps_matrices_barriers() {
    assert_eq!(
        op("shfl.sync.down.b32 %f1|%p1, %f2, 4, 0x1f, -1;"),
        Op::Shfl {
            mode: ShflMode::Down,
            dst: Some(r(0)),
            pred: Some(Pred(0)),
            a: sr(1),
            b: Src::Imm(4),
            c: Src::Imm(31),
            mask: Src::Imm(0xFFFF_FFFF)
        }
    );
    assert_eq!(
        op("vote.sync.ballot.b32 %r1, !%p1, %r2;"),
        Op::Vote {
            kind: VoteKind::Ballot,
            dst: Some(r(0)),
            pred: None,
            a: PredSrc::Reg(Pred(0), true),
            mask: sr(1)
        }
    );
    assert_eq!(
        op("ldmatrix.sync.aligned.m8n8.x2.trans.shared.b16 {%r1,%r2}, [sh+32];"),
        Op::LdMatrix {
            form: MatrixForm { elements: Elements::B16, trans: true, tall: false },
            dst: [r(0), r(1)].into(),
            addr: Addr { base: Src::Imm(0), offset: 32, generic: false }
        }
    );
    assert_eq!(
        op("ldmatrix.sync.aligned.m8n8.x1.b16 {%r2}, [%rd1];"),
        Op::LdMatrix {
            form: MatrixForm { elements: Elements::B16, trans: false, tall: false },
            dst: [r(0)].into(),
            addr: Addr { base: Src::Reg(Reg::R64(0)), offset: 0, generic: true }
        }
    );
    assert_eq!(
        op("bar.red.popc.u32 %r1, 2, 64, !%p1;"),
        Op::Barrier {
            kind: BarrierKind::RedPopc,
            aligned: true,
            id: Src::Imm(2),
            threads: Some(Src::Imm(64)),
            dst: Some(r(0)),
            pdst: None,
            p: Some(PredSrc::Reg(Pred(0), true))
        }
    );
    let Op::Mma(mma) =
        op("mma.sync.aligned.m16n8k32.row.col.f32.e4m3.e5m2.f32 {%f1,%f2,%f3,%f4}, \
                           {%r1,%r2,%r3,%r4}, {%r5,%r6}, {%f5,%f6,%f7,%f8};")
    else {
        panic!("no mma")
    };
    assert_eq!(
        *mma,
        Mma {
            shape: MmaShape { m: 16, n: 8, k: 32 },
            a_num: MmaNum::E4m3,
            b_num: MmaNum::E5m2,
            acc: Num::F32,
            satfinite: false,
            d: [r(0), r(1), r(2), r(3)].into(),
            a: [sr(4), sr(5), sr(6), sr(7)].into(),
            b: [sr(8), sr(9)].into(),
            c: [sr(10), sr(11), sr(12), sr(13)].into()
        }
    );
}
