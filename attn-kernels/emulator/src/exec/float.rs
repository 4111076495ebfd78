//! Floating-point instructions and conversions: loops over lanes around the functions of `num`. The
//! forms that kernels spend their time in have loops of their own.

use super::regs::{Regs, Unset};
use crate::isa::{Cvt, FloatBin, FloatMods, FloatTer, FloatUn, Num, Reg, Round, Src};
use crate::num;

/// Whether a form is the plain one (to nearest, possibly `.ftz`) that the fast loops do.
#[inline(always)]
fn plain(mods: FloatMods) -> bool {
    matches!(mods.round, Round::None | Round::Rn) && !mods.sat && !mods.relu && !mods.xorsign
}

pub(super) fn binary(
    regs: &mut Regs,
    mask: u32,
    (op, ty, mods): (FloatBin, Num, FloatMods),
    dst: Reg,
    (a, b): (Src, Src),
) -> Result<(), Unset> {
    macro_rules! f32 {
        ($f:ident) => {
            if mods.ftz {
                regs.map2(mask, dst, (a, b), |a, b| num::$f(a, b, true))
            } else {
                regs.map2(mask, dst, (a, b), |a, b| num::$f(a, b, false))
            }
        };
    }
    macro_rules! packed {
        ($f:ident, $h:ident) => {
            regs.map2(mask, dst, (a, b), |a, b| num::halves(a, b, num::$f::<num::$h>))
        };
    }
    if plain(mods) {
        match (op, ty) {
            (FloatBin::Add, Num::F32) => return f32!(f32_add),
            (FloatBin::Sub, Num::F32) => return f32!(f32_sub),
            (FloatBin::Mul, Num::F32) => return f32!(f32_mul),
            (FloatBin::Div, Num::F32) if !mods.approx => return f32!(f32_div),
            (FloatBin::Div, Num::F32) if !mods.ftz && !mods.full => {
                return regs.map2(mask, dst, (a, b), |a, b| num::f32_div_approx(a, b, false));
            }
            (FloatBin::Max, Num::F32) if !mods.nan && !mods.ftz => {
                return regs.map2(mask, dst, (a, b), |a, b| num::f32_max(a, b, false, false));
            }
            (FloatBin::Min, Num::F32) if !mods.nan && !mods.ftz => {
                return regs.map2(mask, dst, (a, b), |a, b| num::f32_min(a, b, false, false));
            }
            (FloatBin::Add, Num::F16x2) if !mods.ftz => return packed!(half_add, F16),
            (FloatBin::Sub, Num::F16x2) if !mods.ftz => return packed!(half_sub, F16),
            (FloatBin::Mul, Num::F16x2) if !mods.ftz => return packed!(half_mul, F16),
            (FloatBin::Add, Num::Bf16x2) => return packed!(half_add, Bf16),
            (FloatBin::Mul, Num::Bf16x2) => return packed!(half_mul, Bf16),
            _ => {}
        }
    }
    regs.wide2(mask, dst, (a, b), |a, b| num::float_bin(op, ty, mods, a, b))
}

pub(super) fn ternary(
    regs: &mut Regs,
    mask: u32,
    (op, ty, mods): (FloatTer, Num, FloatMods),
    dst: Reg,
    operands: (Src, Src, Src),
) -> Result<(), Unset> {
    if op == FloatTer::Fma && plain(mods) {
        match ty {
            Num::F32 if mods.ftz => {
                return regs.map3(mask, dst, operands, |a, b, c| num::f32_fma(a, b, c, true));
            }
            Num::F32 => {
                return regs.map3(mask, dst, operands, |a, b, c| num::f32_fma(a, b, c, false));
            }
            Num::F16x2 if !mods.ftz => {
                return regs.map3(mask, dst, operands, |a, b, c| {
                    num::halves3(a, b, c, num::half_fma::<num::F16>)
                });
            }
            Num::Bf16x2 => {
                return regs.map3(mask, dst, operands, |a, b, c| {
                    num::halves3(a, b, c, num::half_fma::<num::Bf16>)
                });
            }
            _ => {}
        }
    }
    regs.wide3(mask, dst, operands, |a, b, c| num::float_ter(op, ty, mods, a, b, c))
}

pub(super) fn unary(
    regs: &mut Regs,
    mask: u32,
    (op, ty, mods): (FloatUn, Num, FloatMods),
    dst: Reg,
    a: Src,
) -> Result<(), Unset> {
    if ty == Num::F32 && plain(mods) {
        match op {
            FloatUn::Ex2 if mods.ftz => return regs.map1(mask, dst, a, |a| num::f32_ex2(a, true)),
            FloatUn::Ex2 => return regs.map1(mask, dst, a, |a| num::f32_ex2(a, false)),
            FloatUn::Neg if !mods.ftz => {
                return regs.map1(mask, dst, a, |a| num::f32_neg(a, false));
            }
            FloatUn::Abs if !mods.ftz => {
                return regs.map1(mask, dst, a, |a| num::f32_abs(a, false));
            }
            FloatUn::Sqrt if !mods.ftz => {
                return regs.map1(mask, dst, a, |a| num::f32_sqrt(a, false));
            }
            FloatUn::Rsqrt if !mods.ftz => {
                return regs.map1(mask, dst, a, |a| num::f32_rsqrt(a, false));
            }
            FloatUn::Rcp if !mods.ftz => {
                return regs.map1(mask, dst, a, |a| num::f32_rcp(a, false));
            }
            _ => {}
        }
    }
    regs.wide1(mask, dst, a, |a| num::float_un(op, ty, mods, a))
}

pub(super) fn convert(regs: &mut Regs, mask: u32, how: Cvt, dst: Reg, a: Src) -> Result<(), Unset> {
    let bare = plain(how.mods) && !how.mods.ftz && !how.satfinite;
    match (how.from, how.to) {
        (Num::F32, Num::F32) if how.mods == (FloatMods { sat: true, ..FloatMods::NONE }) => {
            regs.map1(mask, dst, a, num::f32_saturate)
        }
        (Num::F16, Num::F32) if bare => regs.map1(mask, dst, a, |a| num::f16_to_f32(a as u16)),
        (Num::Bf16, Num::F32) if bare => regs.map1(mask, dst, a, |a| num::bf16_to_f32(a as u16)),
        (Num::F32, Num::F16) if bare => regs.map1(mask, dst, a, |a| num::f32_to_f16(a).into()),
        (Num::F32, Num::Bf16) if bare => regs.map1(mask, dst, a, |a| num::f32_to_bf16(a).into()),
        (Num::E4m3x2, Num::F16x2) if bare => regs.map1(mask, dst, a, |a| {
            u32::from(num::e4m3_to_f16(a as u8)) | u32::from(num::e4m3_to_f16((a >> 8) as u8)) << 16
        }),
        (Num::E5m2x2, Num::F16x2) if bare => regs.map1(mask, dst, a, |a| {
            u32::from(num::e5m2_to_f16(a as u8)) | u32::from(num::e5m2_to_f16((a >> 8) as u8)) << 16
        }),
        (Num::U16, Num::U32 | Num::S32) if bare => regs.map1(mask, dst, a, |a| a & 0xffff),
        (Num::U32, Num::U16) if bare => regs.map1(mask, dst, a, |a| a & 0xffff),
        (Num::U32, Num::U64 | Num::S64) if bare => regs.wide1(mask, dst, a, |a| a & 0xffff_ffff),
        (Num::S32, Num::S64 | Num::U64) if bare => {
            regs.wide1(mask, dst, a, |a| i64::from(a as i32) as u64)
        }
        (Num::U64 | Num::S64, Num::U32 | Num::S32) if bare => regs.map1(mask, dst, a, |a| a),
        _ => regs.wide1(mask, dst, a, |a| num::cvt(a, how)),
    }
}

pub(super) fn convert_pair(
    regs: &mut Regs,
    mask: u32,
    how: Cvt,
    dst: Reg,
    operands: (Src, Src),
) -> Result<(), Unset> {
    let plain = plain(how.mods) && !how.mods.ftz;
    match how.to {
        Num::F16x2 if plain && !how.satfinite => regs.map2(mask, dst, operands, |a, b| {
            u32::from(num::f32_to_f16(a)) << 16 | u32::from(num::f32_to_f16(b))
        }),
        Num::Bf16x2 if plain && !how.satfinite => regs.map2(mask, dst, operands, |a, b| {
            u32::from(num::f32_to_bf16(a)) << 16 | u32::from(num::f32_to_bf16(b))
        }),
        Num::E4m3x2 if plain && how.satfinite => regs.map2(mask, dst, operands, |a, b| {
            u32::from(num::f32_to_e4m3(a)) << 8 | u32::from(num::f32_to_e4m3(b))
        }),
        Num::E5m2x2 if plain && how.satfinite => regs.map2(mask, dst, operands, |a, b| {
            u32::from(num::f32_to_e5m2(a)) << 8 | u32::from(num::f32_to_e5m2(b))
        }),
        _ => regs.wide2(mask, dst, operands, |a, b| num::cvt_pair(a, b, how)),
    }
}

/// `cvt.rs.bf16x2.f32`: the upper random bits are those of the upper half, that is of `a`.
pub(super) fn convert_stochastic(
    regs: &mut Regs,
    mask: u32,
    how: Cvt,
    dst: Reg,
    operands: (Src, Src, Src),
) -> Result<(), Unset> {
    regs.map3(mask, dst, operands, |a, b, random| {
        num::cvt_stochastic(a, random >> 16, how) << 16
            | num::cvt_stochastic(b, random & 0xffff, how)
    })
}

/// `cvt.pack` (PTX ISA, "cvt.pack").
pub(super) fn cvt_pack(
    regs: &mut Regs,
    mask: u32,
    (bits, signed): (u32, bool),
    dst: Reg,
    (a, b, c): (Src, Src, Option<Src>),
) -> Result<(), Unset> {
    let (a, b) = (regs.copy32(a, mask)?, regs.copy32(b, mask)?);
    let c = match c {
        Some(c) => regs.copy32(c, mask)?,
        None => [0; 32],
    };
    let (least, most) =
        if signed { (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) } else { (0, (1 << bits) - 1) };
    let clipped = |x: u32| (x as i32).clamp(least, most) as u32 & ((1 << bits) - 1);
    let packed = std::array::from_fn(|lane| {
        // Two of 16 bits leave no room for `c`, which is not there then.
        let above = u64::from(c[lane]) << (2 * bits);
        above as u32 | clipped(a[lane]) << bits | clipped(b[lane])
    });
    regs.put32(dst, mask, &packed);
    Ok(())
}
