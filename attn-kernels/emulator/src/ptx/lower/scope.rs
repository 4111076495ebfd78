//! What names mean: registers, variables and labels of nested scopes (PTX ISA, "Variables").
//! Registers get an index when they are first used: a declaration costs nothing.

use std::collections::HashMap;

use super::types::RegTy;
use crate::isa::{Pred, Reg, Space};
use crate::ptx::ast::Name;

/// A place in a window of memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Slot {
    pub(super) space: Space,
    pub(super) offset: u64,
    /// A `.param` of a device function: it lies in local memory, and only `ld.param` and `st.param`
    /// reach it.
    pub(super) call: bool,
}

/// What a name stands for.
#[derive(Debug, Clone, Copy)]
pub(super) enum Binding<'a> {
    Reg(Reg, RegTy),
    Pred(Pred),
    Slot(Slot),
    /// A `.global` or `.const` variable, by its index.
    Module(u32, Space),
    /// A label, by its number.
    Label(usize),
    Targets(&'a [Name<'a>]),
}

/// The type of a register range: `None` is `.pred`.
#[derive(Debug, Clone, Copy)]
struct Range<'a> {
    prefix: &'a str,
    count: u64,
    ty: Option<RegTy>,
}

#[derive(Debug, Default)]
pub(super) struct Scope<'a> {
    names: HashMap<&'a str, Entry<'a>>,
    ranges: Vec<Range<'a>>,
}

#[derive(Debug, Clone, Copy)]
enum Entry<'a> {
    Bound(Binding<'a>),
    /// A register without an index yet.
    Unused(Option<RegTy>),
}

/// The register files of a kernel while it is lowered.
#[derive(Debug, Default)]
pub(super) struct Files {
    /// Names of the 32-bit registers, the 64-bit ones, the predicates.
    pub(super) names: [Vec<String>; 3],
}

impl Files {
    pub(super) fn reg(&mut self, name: &str, bits: u32) -> Reg {
        let file = &mut self.names[usize::from(bits == 64)];
        let index = u32::try_from(file.len()).unwrap_or(u32::MAX);
        file.push(name.to_owned());
        if bits == 64 { Reg::R64(index) } else { Reg::R32(index) }
    }

    pub(super) fn pred(&mut self, name: &str) -> Pred {
        let index = u32::try_from(self.names[2].len()).unwrap_or(u32::MAX);
        self.names[2].push(name.to_owned());
        Pred(index)
    }

    fn bind<'a>(&mut self, name: &str, ty: Option<RegTy>) -> Binding<'a> {
        match ty {
            Some(ty) => Binding::Reg(self.reg(name, ty.bits), ty),
            None => Binding::Pred(self.pred(name)),
        }
    }
}

impl<'a> Scope<'a> {
    /// Adds a name; `false` if it is there already.
    pub(super) fn add(&mut self, name: &'a str, binding: Binding<'a>) -> bool {
        !self.in_range(name) && self.names.insert(name, Entry::Bound(binding)).is_none()
    }

    /// Declares a register (`ty`: `None` is `.pred`); `false` if the name is there already.
    pub(super) fn add_register(&mut self, name: &'a str, ty: Option<RegTy>) -> bool {
        !self.in_range(name) && self.names.insert(name, Entry::Unused(ty)).is_none()
    }

    /// Declares `prefix<count>`; `false` if the prefix is there already.
    pub(super) fn add_range(&mut self, prefix: &'a str, count: u64, ty: Option<RegTy>) -> bool {
        let new = Range { prefix, count, ty };
        let taken = self.names.keys().any(|name| new.holds(name))
            || self.ranges.iter().any(|range| range.prefix == prefix);
        self.ranges.push(new);
        !taken
    }

    fn in_range(&self, name: &str) -> bool {
        self.ranges.iter().any(|range| range.holds(name))
    }

    pub(super) fn get(&mut self, name: &'a str, files: &mut Files) -> Option<Binding<'a>> {
        let ty = match self.names.get(name) {
            Some(Entry::Bound(binding)) => return Some(*binding),
            Some(Entry::Unused(ty)) => *ty,
            None => self.ranges.iter().find(|range| range.holds(name))?.ty,
        };
        let binding = files.bind(name, ty);
        self.names.insert(name, Entry::Bound(binding));
        Some(binding)
    }
}

impl Range<'_> {
    /// `%r7` is in `%r<8>`; `%r07` and `%r8` are not.
    fn holds(&self, name: &str) -> bool {
        name.strip_prefix(self.prefix).is_some_and(|digits| {
            let plain = digits == "0" || !digits.starts_with('0');
            let number = digits.bytes().all(|b| b.is_ascii_digit());
            plain && number && digits.parse::<u64>().is_ok_and(|n| n < self.count)
        })
    }
}
