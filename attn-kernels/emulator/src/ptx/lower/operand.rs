//! Operands of one instruction: registers of the right class, immediates in range, addresses.

use super::line::Line;
use super::scope::{Binding, Slot};
use super::special::special;
use super::types::{Class, RegTy, Ty};
use crate::isa::{Addr, Num, Op, Pred, PredSrc, Reg, Space, Src};
use crate::ptx::PtxError;
use crate::ptx::ast::{Base, Kind, Operand};
use crate::ptx::error::{Source, Span};

/// The bits of a literal of type `ty` (PTX ISA, "Constants"). `at` is the statement around it.
pub(super) fn immediate(
    source: Source<'_>,
    operand: &Operand<'_>,
    at: Span,
    ty: Ty,
) -> Result<u64, PtxError> {
    let wrong = || {
        let what = format!("`{}` is no value of type `.{}`", source.slice(operand.at), ty.name);
        Err(source.invalid(at, what))
    };
    let plain = matches!(
        ty.num,
        Num::U8 | Num::U16 | Num::U32 | Num::U64 | Num::S8 | Num::S16 | Num::S32 | Num::S64
    );
    match operand.kind {
        Kind::Int { value, negative } if plain => {
            // Both readings of the bits are right: -1 and 0xFFFFFFFF are the same .b32.
            let limit = if negative { 1 << (ty.bits() - 1) } else { u64::MAX >> (64 - ty.bits()) };
            if value > limit {
                let what = format!(
                    "`{}` does not fit the {} bits of `.{}`",
                    source.slice(operand.at),
                    ty.bits(),
                    ty.name
                );
                return Err(source.invalid(at, what));
            }
            let bits = if negative { value.wrapping_neg() } else { value };
            Ok(bits & (u64::MAX >> (64 - ty.bits())))
        }
        Kind::F32(bits) => match (ty.num, ty.class) {
            (Num::F32, _) | (Num::U32, Class::Bits) => Ok(u64::from(bits)),
            (Num::F64, _) => Ok(f64::from(f32::from_bits(bits)).to_bits()),
            _ => wrong(),
        },
        Kind::F64(bits) => match (ty.num, ty.class) {
            (Num::F64, _) | (Num::U64, Class::Bits) => Ok(bits),
            #[expect(clippy::cast_possible_truncation, reason = "PTX rounds the literal")]
            (Num::F32, _) => Ok(u64::from((f64::from_bits(bits) as f32).to_bits())),
            _ => wrong(),
        },
        _ => wrong(),
    }
}

impl<'a> Line<'_, '_, 'a> {
    pub(super) fn operand(&self, index: usize) -> Result<&'a Operand<'a>, PtxError> {
        let missing = || self.invalid(format!("operand {} is missing", index + 1));
        self.inst.operands.get(index).ok_or_else(missing)
    }

    fn find(&mut self, name: &'a str) -> Result<Binding<'a>, PtxError> {
        let found = self.body.find(name);
        if found.is_none() && super::special::missing(name) && special(name).is_none() {
            return Err(self.unsupported(format!("special register `{name}`")));
        }
        found.ok_or_else(|| self.invalid(format!("unknown name `{name}`")))
    }

    fn register(
        &mut self,
        operand: &Operand<'a>,
        fits: impl Fn(RegTy) -> bool,
        ty: &str,
    ) -> Result<Reg, PtxError> {
        let Kind::Name(name) = operand.kind else {
            let text = self.body.unit.source.slice(operand.at);
            return Err(self.invalid(format!("`{text}` is no register")));
        };
        match self.find(name)? {
            Binding::Reg(reg, held) if fits(held) => Ok(reg),
            Binding::Reg(_, held) => {
                let class = match held.class {
                    Class::Bits | Class::Packed => 'b',
                    Class::Int => 'u',
                    Class::Float | Class::Pair => 'f',
                };
                let what =
                    format!("register `{name}` (.{class}{}) where .{ty} is wanted", held.bits);
                Err(self.invalid(what))
            }
            _ => Err(self.invalid(format!("`{name}` is no register of type .{ty}"))),
        }
    }

    /// A destination of exactly the size of `ty`.
    pub(super) fn dst(&mut self, index: usize, ty: Ty) -> Result<Reg, PtxError> {
        let operand = self.operand(index)?;
        self.register(operand, |held| held.fits(ty), ty.name)
    }

    /// A destination that may be wider than `ty` (`cvt`).
    pub(super) fn dst_wide(&mut self, index: usize, ty: Ty) -> Result<Reg, PtxError> {
        let operand = self.operand(index)?;
        self.dst_wide_of(operand, ty)
    }

    pub(super) fn dst_of(&mut self, operand: &'a Operand<'a>, ty: Ty) -> Result<Reg, PtxError> {
        self.register(operand, |held| held.fits(ty), ty.name)
    }

    pub(super) fn dst_wide_of(
        &mut self,
        operand: &'a Operand<'a>,
        ty: Ty,
    ) -> Result<Reg, PtxError> {
        self.register(operand, |held| held.fits_wide(ty), ty.name)
    }

    /// A destination that may be the sink `_`.
    pub(super) fn dst_or_sink(&mut self, index: usize, ty: Ty) -> Result<Option<Reg>, PtxError> {
        let operand = self.operand(index)?;
        if matches!(operand.kind, Kind::Name("_")) {
            return Ok(None);
        }
        self.dst_of(operand, ty).map(Some)
    }

    /// A source of exactly the size of `ty`.
    pub(super) fn src(&mut self, index: usize, ty: Ty) -> Result<Src, PtxError> {
        let operand = self.operand(index)?;
        self.src_of(operand, ty, |held| held.fits(ty))
    }

    /// A source that may be wider than `ty` (`st`, `cvt`).
    pub(super) fn src_wide(&mut self, index: usize, ty: Ty) -> Result<Src, PtxError> {
        let operand = self.operand(index)?;
        self.src_of(operand, ty, |held| held.fits_wide(ty))
    }

    pub(super) fn src_wide_of(
        &mut self,
        operand: &'a Operand<'a>,
        ty: Ty,
    ) -> Result<Src, PtxError> {
        self.src_of(operand, ty, |held| held.fits_wide(ty))
    }

    pub(super) fn src_exact_of(
        &mut self,
        operand: &'a Operand<'a>,
        ty: Ty,
    ) -> Result<Src, PtxError> {
        self.src_of(operand, ty, |held| held.fits(ty))
    }

    /// A source register of exactly the size of `ty`; no immediate.
    pub(super) fn src_reg_of(&mut self, operand: &'a Operand<'a>, ty: Ty) -> Result<Src, PtxError> {
        self.register(operand, |held| held.fits(ty), ty.name).map(Src::Reg)
    }

    fn src_of(
        &mut self,
        operand: &'a Operand<'a>,
        ty: Ty,
        fits: impl Fn(RegTy) -> bool,
    ) -> Result<Src, PtxError> {
        match operand.kind {
            Kind::Name("WARP_SZ") => Ok(Src::Imm(32)),
            Kind::Name(_) => self.register(operand, fits, ty.name).map(Src::Reg),
            Kind::Int { .. } | Kind::F32(_) | Kind::F64(_) => {
                immediate(self.body.unit.source, operand, self.inst.at, ty).map(Src::Imm)
            }
            _ => {
                let text = self.body.unit.source.slice(operand.at);
                Err(self.invalid(format!("`{text}` is no operand of type .{}", ty.name)))
            }
        }
    }

    /// An integer literal in `least..=most`.
    pub(super) fn literal(&mut self, index: usize, least: u64, most: u64) -> Result<u64, PtxError> {
        let operand = self.operand(index)?;
        match operand.kind {
            Kind::Int { value, negative: false } if (least..=most).contains(&value) => Ok(value),
            _ => {
                let text = self.body.unit.source.slice(operand.at);
                Err(self.invalid(format!("`{text}` is no literal of {least} to {most}")))
            }
        }
    }

    fn pred(&mut self, name: &'a str) -> Result<Pred, PtxError> {
        match self.find(name)? {
            Binding::Pred(pred) => Ok(pred),
            _ => Err(self.invalid(format!("`{name}` is no predicate"))),
        }
    }

    pub(super) fn pred_dst(&mut self, index: usize) -> Result<Pred, PtxError> {
        let operand = self.operand(index)?;
        match operand.kind {
            Kind::Name(name) => self.pred(name),
            _ => {
                let text = self.body.unit.source.slice(operand.at);
                Err(self.invalid(format!("`{text}` is no predicate")))
            }
        }
    }

    /// `p`, `p|q`, either may be `_`.
    pub(super) fn pred_pair(
        &mut self,
        index: usize,
    ) -> Result<(Option<Pred>, Option<Pred>), PtxError> {
        let operand = self.operand(index)?;
        let mut one = |name: &'a str| match name {
            "_" => Ok(None),
            _ => self.pred(name).map(Some),
        };
        match operand.kind {
            Kind::Name(name) => Ok((one(name)?, None)),
            Kind::Pair(first, second) => Ok((one(first)?, one(second)?)),
            _ => self.pred_dst(index).map(|p| (Some(p), None)),
        }
    }

    /// `r` or `r|p` (`shfl`, `match`, `elect`).
    pub(super) fn dst_and_pred(
        &mut self,
        index: usize,
        ty: Ty,
    ) -> Result<(Option<Reg>, Option<Pred>), PtxError> {
        let operand = self.operand(index)?;
        let Kind::Pair(first, second) = operand.kind else {
            return Ok((self.dst_or_sink(index, ty)?, None));
        };
        let reg = if first == "_" {
            None
        } else {
            let named = Operand { at: operand.at, kind: Kind::Name(first) };
            Some(self.register(&named, |held| held.fits(ty), ty.name)?)
        };
        let pred = if second == "_" { None } else { Some(self.pred(second)?) };
        Ok((reg, pred))
    }

    pub(super) fn pred_src(&mut self, index: usize) -> Result<PredSrc, PtxError> {
        let operand = self.operand(index)?;
        match operand.kind {
            Kind::Name(name) => Ok(PredSrc::Reg(self.pred(name)?, false)),
            Kind::Not(name) => Ok(PredSrc::Reg(self.pred(name)?, true)),
            Kind::Int { value, .. } => Ok(PredSrc::Const(value != 0)),
            _ => {
                let text = self.body.unit.source.slice(operand.at);
                Err(self.invalid(format!("`{text}` is no predicate")))
            }
        }
    }

    /// The items of `{a, b}`.
    pub(super) fn vector(&self, index: usize) -> Result<&'a [Operand<'a>], PtxError> {
        match &self.operand(index)?.kind {
            Kind::Vector(items) => Ok(items),
            _ => Err(self.invalid(format!("operand {} is no vector", index + 1))),
        }
    }

    /// The address of a variable, as `mov` and `cvta` take it; `None` if the operand is none.
    pub(super) fn variable(&mut self, index: usize) -> Result<Option<(Src, Space)>, PtxError> {
        let operand = self.operand(index)?;
        let (name, offset) = match operand.kind {
            Kind::Name(name) => (name, 0),
            Kind::Offset(name, offset) => (name, offset),
            _ => return Ok(None),
        };
        if name == "WARP_SZ" || special(name).is_some() {
            return Ok(None);
        }
        match self.find(name)? {
            Binding::Slot(slot) if slot.call => {
                let what = format!("the address of `{name}`, a parameter of a call");
                Err(self.unsupported(what))
            }
            Binding::Slot(Slot { space, offset: base, .. }) => {
                let address = i64::try_from(base).unwrap_or(i64::MAX).wrapping_add(offset);
                Ok(Some((Src::Imm(address.cast_unsigned()), space)))
            }
            Binding::Module(variable, space) => Ok(Some((Src::Variable(variable, offset), space))),
            Binding::Label(_) | Binding::Targets(_) => {
                Err(self.unsupported(format!("the address of label `{name}`")))
            }
            Binding::Reg(..) | Binding::Pred(_) => Ok(None),
        }
    }

    /// `[…]` of an instruction that is for shared memory, which it says (`explicit`), or takes a generic
    /// address of.
    pub(super) fn shared_addr(&mut self, index: usize, explicit: bool) -> Result<Addr, PtxError> {
        if explicit {
            return Ok(self.addr(index, Space::Shared)?.0);
        }
        match self.addr(index, Space::Generic)? {
            (addr, Space::Shared) => Ok(addr),
            (addr, Space::Generic) => Ok(Addr { generic: true, ..addr }),
            _ => Err(self.invalid(format!("operand {} does not lie in .shared", index + 1))),
        }
    }

    /// `[…]` in `space`. Returns where it really is: generic addresses of named variables become
    /// accesses of their space, and `.param` of device functions is local memory.
    pub(super) fn addr(&mut self, index: usize, space: Space) -> Result<(Addr, Space), PtxError> {
        let operand = self.operand(index)?;
        let Kind::Address { base, offset } = operand.kind else {
            return Err(self.invalid(format!("operand {} is no address", index + 1)));
        };
        let name = match base {
            Base::Name(name) => name,
            Base::Absolute => {
                let what = "absolute addresses".to_owned();
                return Err(self.unsupported(what));
            }
        };
        // A named variable is a generic address too, but not one of .param.
        let wrong =
            |found: Space| found != space && (space != Space::Generic || found == Space::Param);
        match self.find(name)? {
            Binding::Reg(reg, ty) => {
                let windowed = !matches!(space, Space::Generic | Space::Global);
                let wide = ty.bits == 64 || (ty.bits == 32 && windowed);
                if !wide || !matches!(ty.class, Class::Bits | Class::Int) {
                    let what = format!(
                        "address in `{name}` of {} bits: integer registers of {} are",
                        ty.bits,
                        if windowed { "32 or 64" } else { "64" }
                    );
                    return Err(self.invalid(what));
                }
                Ok((Addr { base: Src::Reg(reg), offset, generic: false }, space))
            }
            Binding::Slot(slot) if slot.call => {
                if space != Space::Param {
                    let what = format!("`{name}` is in .param");
                    return Err(self.invalid(what));
                }
                Ok((Addr { base: Src::Imm(slot.offset), offset, generic: false }, slot.space))
            }
            Binding::Slot(slot) if !wrong(slot.space) => {
                Ok((Addr { base: Src::Imm(slot.offset), offset, generic: false }, slot.space))
            }
            Binding::Module(variable, found) if !wrong(found) => {
                Ok((Addr { base: Src::Variable(variable, 0), offset, generic: false }, found))
            }
            Binding::Slot(_) | Binding::Module(..) => {
                let what = format!("`{name}` lies in another state space");
                Err(self.invalid(what))
            }
            _ => Err(self.invalid(format!("`{name}` is no address"))),
        }
    }

    /// The read of a special register, if the operand is one, and its width.
    pub(super) fn special(
        &mut self,
        index: usize,
        dst: Reg,
    ) -> Result<Option<(Op, u32)>, PtxError> {
        let operand = self.operand(index)?;
        let Kind::Name(name) = operand.kind else { return Ok(None) };
        let Some((reg, bits, sm)) = special(name) else { return Ok(None) };
        // A declared register of that name hides it.
        if self.body.find(name).is_some() {
            return Ok(None);
        }
        self.since(name, sm, (0, 0))?;
        Ok(Some((Op::Special { dst, reg }, bits)))
    }
}
