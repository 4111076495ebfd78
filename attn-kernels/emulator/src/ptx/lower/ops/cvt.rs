//! `cvt` (PTX ISA, "Data Movement and Conversion Instructions: cvt").

use super::super::line::Line;
use super::super::special::special;
use super::super::types::Ty;
use super::Lowered;
use super::float::ROUNDINGS;
use crate::isa::{Cvt, FloatMods, Num, Op, Round, Src};
use crate::ptx::PtxError;
use crate::ptx::ast::Kind;

const PLAIN: &str = "u8 u16 u32 u64 s8 s16 s32 s64 f16 bf16 f32 f64";
const INTEGRAL: &[(&str, Round)] =
    &[("rni", Round::Rni), ("rzi", Round::Rzi), ("rmi", Round::Rmi), ("rpi", Round::Rpi)];

pub(super) fn cvt(line: &mut Line<'_, '_, '_>) -> Lowered {
    if line.flag("pack") {
        return pack(line);
    }
    if line.flag("rs") {
        return stochastic(line);
    }
    let missing = "a type is missing";
    let to = line.any_ty().ok_or_else(|| line.invalid(missing))?;
    let from = line.any_ty().ok_or_else(|| line.invalid(missing))?;
    let plain = |ty: Ty| PLAIN.split(' ').any(|name| name == ty.name);
    if plain(to) && plain(from) { scalar(line, to, from) } else { packed(line, to, from) }
}

/// `cvt.pack.sat.TYPE.s32`, with a third operand of `.b32` that the narrow types are put below.
fn pack(line: &mut Line<'_, '_, '_>) -> Lowered {
    if !line.flag("sat") {
        return Err(line.invalid(".sat is missing"));
    }
    let (bits, signed) = line.need(&[
        ("u16", (16, false)),
        ("s16", (16, true)),
        ("u8", (8, false)),
        ("s8", (8, true)),
        ("u4", (4, false)),
        ("s4", (4, true)),
        ("u2", (2, false)),
        ("s2", (2, true)),
    ])?;
    line.ty("s32")?;
    let narrow = bits < 16;
    if narrow {
        line.ty("b32")?;
    }
    line.in_order(if narrow { &["s32", "b32"] } else { &["s32"] })?;
    let operands = 3 + usize::from(narrow);
    line.end(operands..=operands)?;
    line.since("cvt.pack", if bits < 8 { 75 } else { 72 }, (6, 5))?;
    let dst = line.dst(0, Ty::B32)?;
    let (a, b) = (line.src(1, Ty::S32)?, line.src(2, Ty::S32)?);
    let c = if narrow { Some(line.src(3, Ty::B32)?) } else { None };
    Ok(Op::CvtPack { bits, signed, dst, a, b, c })
}

/// `cvt.rs.bf16x2.f32`: stochastic rounding, with 16 random bits for the 16 that each value loses.
///
/// Of the other types the ISA says which of the bits belong to which value, but not where they stand
/// against the bits that go if those are more: those of an f16 subnormal, those of FP8, FP6 and FP4.
fn stochastic(line: &mut Line<'_, '_, '_>) -> Lowered {
    if !line.has("bf16x2") {
        let why =
            "cvt.rs to other types than bf16x2: where the random bits are added is not documented";
        return Err(line.unsupported(why));
    }
    let to = line.ty("bf16x2")?;
    let from = line.ty("f32")?;
    let mods = FloatMods { round: Round::Rz, relu: line.flag("relu"), ..FloatMods::NONE };
    let satfinite = line.flag("satfinite");
    line.end(4..=4)?;
    let name = "cvt.rs";
    line.since(name, 100, (8, 7))?;
    line.specific(name)?;
    // PTX ISA, "cvt", target notes: these two alone.
    let sm = line.body.unit.sm;
    if !matches!(sm, 100 | 103) {
        return Err(line.invalid(format!("no .rs on sm_{sm}a, only on sm_100a and sm_103a")));
    }
    let dst = line.dst(0, to)?;
    let (a, b) = (line.src(1, from)?, line.src(2, from)?);
    let random = line.src_reg_of(line.operand(3)?, Ty::FRAGMENT)?;
    let cvt = Cvt { from: from.num, to: to.num, mods, satfinite };
    Ok(Op::CvtStochastic { cvt, dst, a, b, random })
}

fn scalar(line: &mut Line<'_, '_, '_>, to: Ty, from: Ty) -> Lowered {
    let (to_float, from_float) = (to.is_float(), from.is_float());
    let brain = to.num == Num::Bf16 || from.num == Num::Bf16;
    let mut mods = FloatMods::NONE;
    let narrows = to_float && (!from_float || to.bits() < from.bits());
    let same = to_float && to.num == from.num;
    if (from_float && !to_float) || same {
        mods.round = line.pick(INTEGRAL).unwrap_or(Round::None);
        if !same && mods.round == Round::None {
            return Err(line.invalid("one of .rni .rzi .rmi .rpi is missing"));
        }
    } else if narrows {
        mods.round = line.need(ROUNDINGS)?;
    } else if from_float && to.bits() == from.bits() {
        // f16 and bf16: the ISA asks for a rounding only of a smaller destination. `ptxas` makes the
        // same instruction of none as of `.rn`.
        mods.round = line.pick(ROUNDINGS).unwrap_or(Round::Rn);
    } else if from.num == Num::Bf16 && to_float {
        // `ptxas` takes a rounding here, though there is nothing to round.
        line.pick(ROUNDINGS);
    }
    // What flushes is f32, on either side.
    let f32_there = to.num == Num::F32 || from.num == Num::F32;
    mods.ftz = f32_there && line.flag("ftz");
    let clips = !to_float && !from_float && !holds(to, from);
    if !brain && (clips || from_float || to_float) {
        mods.sat = line.flag("sat");
    }
    let from_f32 = from.num == Num::F32 && matches!(to.num, Num::F16 | Num::Bf16);
    let mut satfinite = false;
    if from_f32 && matches!(mods.round, Round::Rn | Round::Rz) && !mods.sat && !mods.ftz {
        mods.relu = line.flag("relu");
        satfinite = line.flag("satfinite");
    }
    line.end(2..=2)?;
    if brain {
        let (sm, version) = match (to.num, from.num) {
            (Num::Bf16, Num::F32) => (80, (7, 0)),
            (Num::F32, Num::Bf16) if !mods.ftz => (80, (7, 1)),
            _ => (90, (7, 8)),
        };
        line.since(&format!("cvt.{}.{}", to.name, from.name), sm, version)?;
    }
    if mods.relu {
        line.since("cvt.relu", 80, (7, 0))?;
    }
    if satfinite {
        line.since("cvt.satfinite to f16 and bf16", 80, (8, 1))?;
    }
    // No register beside a bf16 may be wider than its type (PTX ISA, "cvt", notes; `ptxas` asks it of
    // both sides), and none may be special.
    let dst = if brain { line.dst(0, to)? } else { line.dst_wide(0, to)? };
    let a = source(line, from, brain)?;
    Ok(Op::Cvt { cvt: Cvt { from: from.num, to: to.num, mods, satfinite }, dst, a })
}

/// Whether every value of `from` is one of `to`.
fn holds(to: Ty, from: Ty) -> bool {
    match (to.num.signed(), from.num.signed()) {
        (true, false) => to.bits() > from.bits(),
        (false, true) => false,
        _ => to.bits() >= from.bits(),
    }
}

/// The operand; a special register is read into a register of its own first. `exact`: no wider
/// register and no special one.
fn source(line: &mut Line<'_, '_, '_>, from: Ty, exact: bool) -> Result<Src, PtxError> {
    if let Kind::Name(name) = line.operand(1)?.kind
        && let Some((_, bits, _)) = special(name)
        && !from.is_float()
    {
        if exact {
            return Err(line.invalid(format!("the special register {name} beside bf16")));
        }
        let reg = line.body.files.reg(name, bits);
        if let Some((op, _)) = line.special(1, reg)? {
            if from.bits() > bits {
                let what = format!("type .{}, the special register has {bits} bits", from.name);
                return Err(line.invalid(what));
            }
            line.emit(op)?;
            return Ok(Src::Reg(reg));
        }
    }
    if from.is_half() && matches!(line.operand(1)?.kind, Kind::Int { .. }) {
        return Err(line.invalid(format!("an integer where .{} is wanted", from.name)));
    }
    if exact { line.src(1, from) } else { line.src_wide(1, from) }
}

/// What the forms with packed types share.
struct Form {
    /// Roundings that it has.
    rounds: &'static [(&'static str, Round)],
    relu: bool,
    /// `.satfinite`: never, maybe, always.
    satfinite: Option<bool>,
    sm: u32,
    version: (u32, u32),
    /// Whether only `sm_NNa` has it.
    specific: bool,
}

const RN: &[(&str, Round)] = &[("rn", Round::Rn)];
const RN_RZ: &[(&str, Round)] = &[("rn", Round::Rn), ("rz", Round::Rz)];
const RZ_RP: &[(&str, Round)] = &[("rz", Round::Rz), ("rp", Round::Rp)];
const RNA_RN_RZ: &[(&str, Round)] = &[("rna", Round::Rna), ("rn", Round::Rn), ("rz", Round::Rz)];

fn form(to: Num, from: Num) -> Option<Form> {
    use Num::{Bf16x2, E2m1x2, E2m3x2, E3m2x2, E4m3x2, E5m2x2, F16x2, F32, Tf32, Ue8m0x2};
    let form = |rounds, relu, satfinite, sm, version| Form {
        rounds,
        relu,
        satfinite,
        sm,
        version,
        specific: sm == 100,
    };
    Some(match (to, from) {
        (F16x2 | Bf16x2, F32) => form(RN_RZ, true, Some(false), 80, (7, 0)),
        (Tf32, F32) => form(RNA_RN_RZ, true, Some(false), 80, (7, 0)),
        (E4m3x2 | E5m2x2, F32 | F16x2) => form(RN, true, Some(true), 89, (7, 8)),
        (F16x2, E4m3x2 | E5m2x2) => form(RN, true, None, 89, (7, 8)),
        (E2m3x2 | E3m2x2 | E2m1x2, F32) => form(RN, true, Some(true), 100, (8, 6)),
        (F16x2, E2m3x2 | E3m2x2 | E2m1x2) => form(RN, true, None, 100, (8, 6)),
        (Ue8m0x2, F32 | Bf16x2) => form(RZ_RP, false, Some(false), 100, (8, 6)),
        (Bf16x2, Ue8m0x2) => form(RN, false, None, 100, (8, 6)),
        _ => return None,
    })
}

fn packed(line: &mut Line<'_, '_, '_>, to: Ty, from: Ty) -> Lowered {
    let name = format!("cvt.{}.{}", to.name, from.name);
    let Some(form) = form(to.num, from.num) else {
        return Err(line.unsupported(format!("conversion {name}")));
    };
    let mut mods = FloatMods::NONE;
    mods.round = line.need(form.rounds)?;
    mods.relu = form.relu && mods.round != Round::Rna && line.flag("relu");
    let satfinite = form.satfinite.is_some() && line.flag("satfinite");
    if form.satfinite == Some(true) && !satfinite {
        return Err(line.invalid(format!("{name} without .satfinite")));
    }
    let pair = from.num == Num::F32 && to.num != Num::Tf32;
    let operands = if pair { 3 } else { 2 };
    line.end(operands..=operands)?;
    // PTX ISA, "cvt", notes: e4m3x2 and e5m2x2 came to sm_90 with PTX 7.8, to sm_89 with 8.1.
    let old = form.sm == 89 && line.body.unit.sm < 90;
    line.since(&name, form.sm, if old { (8, 1) } else { form.version })?;
    if form.specific {
        line.specific(&name)?;
    }
    if to.num == Num::Tf32 && mods.round != Round::Rna {
        line.since(&format!("{name} with .rn or .rz"), 90, (7, 8))?;
        if satfinite {
            line.since(&format!("{name} with .rn.satfinite"), 100, (8, 6))?;
        }
    }
    if satfinite && form.satfinite == Some(false) && form.sm == 80 {
        line.since(&format!("{name} with .satfinite"), 80, (8, 1))?;
    }
    let cvt = Cvt { from: from.num, to: to.num, mods, satfinite };
    // Of the packed types `ptxas` lets f16x2 of two f32 alone be in wider registers.
    let wide = pair && to.num == Num::F16x2;
    let dst = if wide { line.dst_wide(0, to)? } else { line.dst(0, to)? };
    if pair {
        let (a, b) = if wide {
            (line.src_wide(1, from)?, line.src_wide(2, from)?)
        } else {
            (line.src(1, from)?, line.src(2, from)?)
        };
        return Ok(Op::CvtPair { cvt, dst, a, b });
    }
    let a = line.src(1, from)?;
    Ok(Op::Cvt { cvt, dst, a })
}
