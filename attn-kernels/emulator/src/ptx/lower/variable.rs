//! Sizes, places and initial values of variables (PTX ISA, "Variables", "Initializers").

use super::operand::immediate;
use super::types::Ty;
use super::{Symbol, Unit};
use crate::isa::{Space, Variable};
use crate::ptx::PtxError;
use crate::ptx::ast::{self, Init, Kind};

/// More than any device has.
const MAX_BYTES: u64 = 1 << 36;
/// Initial values are held in memory.
const MAX_INIT_BYTES: u64 = 1 << 28;

/// What a declaration takes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Layout {
    pub(super) bytes: u64,
    pub(super) align: u64,
}

impl<'a> Unit<'a> {
    /// The element type of a variable in memory.
    fn element(&self, variable: &ast::Variable<'a>) -> Result<Ty, PtxError> {
        let ty = Ty::named(variable.ty)
            .filter(|ty| super::types::register_type(ty.name).is_some())
            .ok_or_else(|| {
                let what = format!("variable of type `.{}`", variable.ty);
                self.source.unsupported(variable.at, what)
            })?;
        if variable.count.is_some() {
            let what = "`<n>` names registers only";
            return Err(self.source.invalid(variable.at, what));
        }
        Ok(ty)
    }

    /// Size and alignment; a first dimension `[]` takes its size from the initialiser.
    pub(super) fn layout(&self, variable: &ast::Variable<'a>) -> Result<Layout, PtxError> {
        let ty = self.element(variable)?;
        let natural = u64::from(ty.bits() / 8);
        let mut bytes = natural;
        for (i, dim) in variable.dims.iter().enumerate() {
            let count = match (dim, &variable.init) {
                (Some(count), _) => *count,
                (None, Some(Init::List(list))) if i == 0 => list.len() as u64,
                _ => {
                    let what = format!("`{}` has no size", variable.name.text);
                    return Err(self.source.invalid(variable.at, what));
                }
            };
            bytes = bytes.checked_mul(count).filter(|&b| b <= MAX_BYTES).ok_or_else(|| {
                let what = format!("`{}` is larger than 2^36 bytes", variable.name.text);
                self.source.invalid(variable.at, what)
            })?;
        }
        let align = variable.align.unwrap_or(natural);
        if align < natural {
            let what = format!("alignment {align} below {natural} of `.{}`", ty.name);
            return Err(self.source.invalid(variable.at, what));
        }
        Ok(Layout { bytes, align })
    }

    /// As `layout`, but `None` bytes for `extern .shared x[]`.
    pub(super) fn shared_size(
        &self,
        variable: &ast::Variable<'a>,
    ) -> Result<(Option<u64>, u64), PtxError> {
        if variable.init.is_some() {
            return Err(self.source.invalid(variable.at, "shared variables have no initialiser"));
        }
        if variable.external && variable.dims.as_slice() == [None] {
            let natural = u64::from(self.element(variable)?.bits() / 8);
            return Ok((None, variable.align.unwrap_or(natural)));
        }
        if variable.external {
            let what = format!("external variable `{}`: there is no linker", variable.name.text);
            return Err(self.source.unsupported(variable.at, what));
        }
        let layout = self.layout(variable)?;
        Ok((Some(layout.bytes), layout.align))
    }

    /// Enters a `.global` or `.const` variable, without its value.
    pub(super) fn push_variable(
        &mut self,
        variable: &ast::Variable<'a>,
        name: String,
        space: Space,
    ) -> Result<u32, PtxError> {
        let layout = self.layout(variable)?;
        if space == Space::Const && layout.bytes > 64 << 10 {
            let what = format!("constant of {} bytes, limit 65536", layout.bytes);
            return Err(self.source.invalid(variable.at, what));
        }
        let index = u32::try_from(self.variables.len()).unwrap_or(u32::MAX);
        self.variables.push(Variable {
            name,
            space,
            size: usize::try_from(layout.bytes).unwrap_or(usize::MAX),
            align: usize::try_from(layout.align).unwrap_or(usize::MAX),
            init: None,
            pointers: Vec::new(),
        });
        Ok(index)
    }

    /// Works out the initial bytes of variable `index`.
    pub(super) fn initialise(
        &mut self,
        variable: &'a ast::Variable<'a>,
        index: u32,
    ) -> Result<(), PtxError> {
        let Some(init) = &variable.init else { return Ok(()) };
        let layout = self.layout(variable)?;
        if layout.bytes > MAX_INIT_BYTES {
            let what = format!("initial value of {} bytes, limit 2^28", layout.bytes);
            return Err(self.source.unsupported(variable.at, what));
        }
        let ty = self.element(variable)?;
        let mut fill = Fill {
            unit: self,
            variable,
            ty,
            bytes: vec![0; usize::try_from(layout.bytes).unwrap_or(0)],
            pointers: Vec::new(),
        };
        let dims: Vec<u64> = variable
            .dims
            .iter()
            .map(|dim| dim.unwrap_or(if let Init::List(l) = init { l.len() as u64 } else { 1 }))
            .collect();
        fill.put(init, 0, &dims)?;
        let (bytes, pointers) = (fill.bytes, fill.pointers);
        let target = &mut self.variables[index as usize];
        target.init = Some(bytes);
        target.pointers = pointers;
        Ok(())
    }
}

struct Fill<'u, 'a> {
    unit: &'u Unit<'a>,
    variable: &'a ast::Variable<'a>,
    ty: Ty,
    bytes: Vec<u8>,
    pointers: Vec<(usize, usize, i64)>,
}

impl<'a> Fill<'_, 'a> {
    /// Missing elements are zero; too many are an error.
    fn put(&mut self, init: &'a Init<'a>, at: usize, dims: &[u64]) -> Result<(), PtxError> {
        match (init, dims) {
            (Init::One(value), []) => self.element(value, at),
            (Init::List(list), [count, inner @ ..]) if list.len() as u64 <= *count => {
                let width = u64::from(self.ty.bits() / 8);
                let stride = inner.iter().fold(width, |bytes, &dim| bytes.saturating_mul(dim));
                let stride = usize::try_from(stride).unwrap_or(usize::MAX);
                for (i, item) in list.iter().enumerate() {
                    self.put(item, at.saturating_add(i.saturating_mul(stride)), inner)?;
                }
                Ok(())
            }
            (Init::List(list), [count, ..]) => {
                let what = format!("{} initial values for {count} elements", list.len());
                Err(self.unit.source.invalid(self.variable.at, what))
            }
            _ => {
                let what = "the initialiser has not the shape of the variable";
                Err(self.unit.source.invalid(self.variable.at, what))
            }
        }
    }

    fn element(&mut self, value: &ast::Operand<'a>, at: usize) -> Result<(), PtxError> {
        let (name, offset, generic) = match value.kind {
            Kind::Name(name) => (name, 0, false),
            Kind::Offset(name, offset) => (name, offset, false),
            Kind::Generic(name, offset) => (name, offset, true),
            _ => {
                let bits = immediate(self.unit.source, value, self.variable.at, self.ty)?;
                let width = (self.ty.bits() / 8) as usize;
                self.bytes[at..at + width].copy_from_slice(&bits.to_le_bytes()[..width]);
                return Ok(());
            }
        };
        match self.unit.symbols.get(name) {
            // Addresses of .const are offsets in its window unless generic() is around them.
            Some(&Symbol::Variable(index, space)) if generic || space == Space::Global => {
                if self.ty.bits() != 64 || self.ty.is_float() {
                    let what = format!("an address in an element of type `.{}`", self.ty.name);
                    return Err(self.unit.source.unsupported(value.at, what));
                }
                self.pointers.push((at, index as usize, offset));
                Ok(())
            }
            Some(Symbol::Function(_)) => {
                let what = format!("the address of function `{name}`");
                Err(self.unit.source.unsupported(value.at, what))
            }
            Some(_) => {
                let what = format!("the address of `{name}` in an initialiser");
                Err(self.unit.source.unsupported(value.at, what))
            }
            None => Err(self.unit.source.invalid(value.at, format!("unknown name `{name}`"))),
        }
    }
}
