//! One instruction while it is lowered: its modifiers are taken one by one, and what is left over
//! is refused. PTX does not fix the order of modifiers that are not types; ptxas takes any.

use std::ops::RangeInclusive;

use super::function::Body;
use super::scope::Binding;
use super::types::Ty;
use crate::isa::{Guard, Op};
use crate::ptx::PtxError;
use crate::ptx::ast::{Inst, Name};

pub(super) struct Line<'b, 'u, 'a> {
    pub(super) body: &'b mut Body<'u, 'a>,
    pub(super) inst: &'a Inst<'a>,
    pub(super) guard: Option<Guard>,
    /// Not taken yet.
    mods: Vec<Name<'a>>,
}

impl<'b, 'u, 'a> Line<'b, 'u, 'a> {
    pub(super) fn new(body: &'b mut Body<'u, 'a>, inst: &'a Inst<'a>) -> Result<Self, PtxError> {
        let mut line = Self { body, inst, guard: None, mods: inst.mods.clone() };
        if let Some((name, negate)) = inst.guard {
            let Some(Binding::Pred(pred)) = line.body.find(name.text) else {
                return Err(line.invalid(format!("guard `{}` is no predicate", name.text)));
            };
            line.guard = Some(Guard { pred, negate });
        }
        Ok(line)
    }

    pub(super) fn opcode(&self) -> &'a str {
        self.inst.opcode.text
    }

    pub(super) fn invalid(&self, what: impl Into<String>) -> PtxError {
        let what = format!("{}: {}", self.opcode(), what.into());
        self.body.unit.source.invalid(self.inst.at, what)
    }

    pub(super) fn unsupported(&self, what: impl Into<String>) -> PtxError {
        self.body.unit.source.unsupported(self.inst.at, what)
    }

    /// Takes modifier `name`.
    pub(super) fn flag(&mut self, name: &str) -> bool {
        let found = self.mods.iter().position(|m| m.text == name);
        if let Some(index) = found {
            self.mods.remove(index);
        }
        found.is_some()
    }

    /// Takes the first modifier that the table has.
    pub(super) fn pick<T: Copy>(&mut self, table: &[(&str, T)]) -> Option<T> {
        let hit = self.mods.iter().enumerate().find_map(|(index, m)| {
            table.iter().find(|(name, _)| *name == m.text).map(|(_, value)| (index, *value))
        });
        hit.map(|(index, value)| {
            self.mods.remove(index);
            value
        })
    }

    /// As `pick`; one must be there.
    pub(super) fn need<T: Copy>(&mut self, table: &[(&str, T)]) -> Result<T, PtxError> {
        self.pick(table).ok_or_else(|| {
            let names: Vec<_> = table.iter().map(|(name, _)| format!(".{name}")).collect();
            self.invalid(format!("one of {} is missing", names.join(" ")))
        })
    }

    /// Takes the first modifier that is a type.
    pub(super) fn any_ty(&mut self) -> Option<Ty> {
        let (index, ty) = self
            .mods
            .iter()
            .enumerate()
            .find_map(|(index, m)| Ty::named(m.text).map(|ty| (index, ty)))?;
        self.mods.remove(index);
        Some(ty)
    }

    /// As `any_ty`; it must be one of `allowed`, names with blanks between.
    pub(super) fn ty(&mut self, allowed: &str) -> Result<Ty, PtxError> {
        let ty = self.any_ty().ok_or_else(|| self.invalid("a type is missing"))?;
        if allowed.split(' ').any(|name| name == ty.name) {
            Ok(ty)
        } else {
            Err(self.invalid(format!("type .{}, but it has {allowed}", ty.name)))
        }
    }

    /// Whether a modifier stands there, without taking it.
    pub(super) fn has(&self, name: &str) -> bool {
        self.inst.mods.iter().any(|m| m.text == name)
    }

    /// Where the order says what is meant, as source and destination: `names` must stand in it.
    pub(super) fn in_order(&self, names: &[&str]) -> Result<(), PtxError> {
        let mut mods = self.inst.mods.iter();
        if names.iter().all(|name| mods.any(|m| m.text == *name)) {
            return Ok(());
        }
        let names: String = names.iter().map(|name| format!(".{name}")).collect();
        Err(self.invalid(format!("modifiers other than {names}")))
    }

    /// All modifiers are taken, and the number of operands is right.
    pub(super) fn end(&self, operands: RangeInclusive<usize>) -> Result<(), PtxError> {
        if let Some(left) = self.mods.first() {
            let what = format!("modifier `.{}` of {}", left.text, self.opcode());
            return Err(self.unsupported(what));
        }
        for m in &self.inst.mods {
            let (sm, version) = match m.text {
                "param::entry" | "param::func" => (0, (8, 3)),
                text if text.ends_with("::cluster") => (90, (7, 8)),
                text if text.ends_with("::cta") => (0, (7, 8)),
                text if text.starts_with("L1::") || text.starts_with("L2::") => (70, (7, 4)),
                "cta" if self.opcode().starts_with("bar") => (0, (7, 8)),
                _ => continue,
            };
            self.since(&format!("modifier `.{}`", m.text), sm, version)?;
        }
        let found = self.inst.operands.len();
        if operands.contains(&found) {
            return Ok(());
        }
        let (least, most) = (operands.start(), operands.end());
        Err(self.invalid(if least == most {
            format!("{found} operands, not {least}")
        } else {
            format!("{found} operands, not {least} to {most}")
        }))
    }

    pub(super) fn operands(&self) -> usize {
        self.inst.operands.len()
    }

    /// Refuses if the module is for an older target or an older PTX.
    pub(super) fn since(&self, what: &str, sm: u32, version: (u32, u32)) -> Result<(), PtxError> {
        let unit = &self.body.unit;
        if unit.sm < sm {
            let (needs, has) = (format!("sm_{sm}"), format!("sm_{}", unit.sm));
            return Err(unit.source.too_new(self.inst.at, what, needs, has));
        }
        if unit.version < version {
            let needs = format!("PTX {}.{}", version.0, version.1);
            let has = format!("PTX {}.{}", unit.version.0, unit.version.1);
            return Err(unit.source.too_new(self.inst.at, what, needs, has));
        }
        Ok(())
    }

    /// Refuses if the target is not `sm_NNa`.
    pub(super) fn specific(&self, what: &str) -> Result<(), PtxError> {
        let unit = &self.body.unit;
        if unit.specific {
            return Ok(());
        }
        let (needs, has) = (format!("sm_{}a", unit.sm), format!("sm_{}", unit.sm));
        Err(unit.source.too_new(self.inst.at, what, needs, has))
    }

    /// Adds the instruction under its guard.
    pub(super) fn emit(&mut self, op: Op) -> Result<(), PtxError> {
        self.body.emit(self.guard, op, self.inst.at)
    }
}
