//! Type names, and which registers an instruction type takes (PTX ISA, "Operand Type Checking").

use crate::isa::Num;

/// What kind of value a type or a register holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    /// `.bN`
    Bits,
    /// `.uN`, `.sN`
    Int,
    /// `.fN`
    Float,
    /// `.f16x2`
    Pair,
    /// Types that live in `.bN` registers only: `.bf16`, `.tf32`, the packed ones.
    Packed,
}

/// A type of an instruction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ty {
    pub(super) name: &'static str,
    pub(super) num: Num,
    pub(super) class: Class,
}

/// Every type name but `.pred`.
const TYPES: [Ty; 33] = {
    use Class::{Bits, Float, Int, Packed, Pair};
    const fn ty(name: &'static str, num: Num, class: Class) -> Ty {
        Ty { name, num, class }
    }
    [
        ty("b8", Num::U8, Bits),
        ty("b16", Num::U16, Bits),
        ty("b32", Num::U32, Bits),
        ty("b64", Num::U64, Bits),
        ty("u8", Num::U8, Int),
        ty("u16", Num::U16, Int),
        ty("u32", Num::U32, Int),
        ty("u64", Num::U64, Int),
        ty("s8", Num::S8, Int),
        ty("s16", Num::S16, Int),
        ty("s32", Num::S32, Int),
        ty("s64", Num::S64, Int),
        ty("f16", Num::F16, Float),
        ty("bf16", Num::Bf16, Packed),
        ty("tf32", Num::Tf32, Packed),
        ty("f32", Num::F32, Float),
        ty("f64", Num::F64, Float),
        ty("f16x2", Num::F16x2, Pair),
        ty("bf16x2", Num::Bf16x2, Packed),
        ty("u16x2", Num::U16x2, Packed),
        ty("s16x2", Num::S16x2, Packed),
        ty("e4m3x2", Num::E4m3x2, Packed),
        ty("e5m2x2", Num::E5m2x2, Packed),
        ty("e2m3x2", Num::E2m3x2, Packed),
        ty("e3m2x2", Num::E3m2x2, Packed),
        ty("e2m1x2", Num::E2m1x2, Packed),
        ty("ue8m0x2", Num::Ue8m0x2, Packed),
        // Of matrix operands: the registers hold several.
        ty("e4m3", Num::U8, Packed),
        ty("e5m2", Num::U8, Packed),
        ty("s4", Num::S8, Packed),
        ty("u4", Num::U8, Packed),
        ty("b1", Num::U8, Packed),
        ty("b128", Num::U64, Packed),
    ]
};

impl Ty {
    pub(super) const U32: Self = Self { name: "u32", num: Num::U32, class: Class::Int };
    pub(super) const S32: Self = Self { name: "s32", num: Num::S32, class: Class::Int };
    pub(super) const B32: Self = Self { name: "b32", num: Num::U32, class: Class::Bits };
    /// A 32-bit register of a matrix fragment: `.b32` only.
    pub(super) const FRAGMENT: Self = Self { name: "b32", num: Num::U32, class: Class::Packed };
    pub(super) const B64: Self = Self { name: "b64", num: Num::U64, class: Class::Bits };
    pub(super) const U64: Self = Self { name: "u64", num: Num::U64, class: Class::Int };
    pub(super) const F32: Self = Self { name: "f32", num: Num::F32, class: Class::Float };
    pub(super) const F16X2: Self = Self { name: "f16x2", num: Num::F16x2, class: Class::Pair };
    pub(super) const F64: Self = Self { name: "f64", num: Num::F64, class: Class::Float };

    pub(super) fn named(name: &str) -> Option<Self> {
        TYPES.into_iter().find(|ty| ty.name == name)
    }

    pub(super) fn bits(self) -> u32 {
        self.num.bits()
    }

    /// Whether it is one of the packed pairs or f16, bf16: types that take no immediates.
    pub(super) fn is_half(self) -> bool {
        matches!(self.num, Num::F16 | Num::Bf16 | Num::F16x2 | Num::Bf16x2)
    }

    pub(super) fn is_float(self) -> bool {
        self.is_half() || matches!(self.num, Num::F32 | Num::F64)
    }

    /// The type of twice the width, of `mul.wide`.
    pub(super) fn wide(self) -> Option<Self> {
        let name = match self.name {
            "u16" => "u32",
            "s16" => "s32",
            "u32" => "u64",
            "s32" => "s64",
            _ => return None,
        };
        Self::named(name)
    }
}

/// A declared register that is no predicate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RegTy {
    pub(super) class: Class,
    pub(super) bits: u32,
}

impl RegTy {
    /// Whether an operand of this register fits an instruction of type `ty`, of the same size.
    pub(super) fn fits(self, ty: Ty) -> bool {
        self.bits == ty.bits() && self.same_class(ty)
    }

    fn same_class(self, ty: Ty) -> bool {
        match (self.class, ty.class) {
            (a, Class::Packed) => a == Class::Bits,
            (a, b) => a == b || a == Class::Bits || b == Class::Bits,
        }
    }

    /// The relaxed rule of `ld`, `st` and `cvt`: the register may be wider. A float register
    /// wider than a float type is refused (PTX ISA, "Operand Size Exceeding Instruction-Type
    /// Size").
    pub(super) fn fits_wide(self, ty: Ty) -> bool {
        let exact = self.class == Class::Float && ty.class == Class::Float;
        self.fits(ty) || (self.bits > ty.bits() && !exact && self.same_class(ty))
    }
}

/// The registers of a declared type; `None` for what no register has.
pub(super) fn register_type(name: &str) -> Option<RegTy> {
    let ty = Ty::named(name)?;
    let plain = matches!(
        ty.name,
        "b8" | "b16"
            | "b32"
            | "b64"
            | "u8"
            | "u16"
            | "u32"
            | "u64"
            | "s8"
            | "s16"
            | "s32"
            | "s64"
            | "f16"
            | "f16x2"
            | "f32"
            | "f64"
    );
    plain.then_some(RegTy { class: ty.class, bits: ty.bits() })
}
