//! Syntax tree → `isa::Code`: names become indices, every modifier a field, and what is not
//! implemented a refusal. One file per family of instructions in `ops`.
//!
//! Device functions are inlined where they are called: the machine has no call stack. Their
//! `.param` variables lie in local memory.

mod call;
mod function;
mod line;
mod operand;
mod ops;
mod scope;
mod special;
mod types;
mod variable;

use std::collections::HashMap;

use super::PtxError;
use super::ast::{Function, Module, Storage, Variable};
use super::error::{Source, Span};
use crate::isa::{Code, Space};

/// Most instructions of one module, inlined ones counted each time.
const MAX_INSTRUCTIONS: usize = 4 << 20;

/// What module scope knows.
struct Unit<'a> {
    source: Source<'a>,
    version: (u32, u32),
    sm: u32,
    specific: bool,
    symbols: HashMap<&'a str, Symbol<'a>>,
    variables: Vec<crate::isa::Variable>,
    /// Of `.global` and `.const` variables declared in bodies, by the place of the declaration.
    statics: HashMap<u32, u32>,
    /// Instructions that may still be made.
    budget: usize,
}

#[derive(Clone, Copy)]
enum Symbol<'a> {
    Variable(u32, Space),
    Shared(&'a Variable<'a>),
    Function(&'a Function<'a>),
}

/// Checks and lowers a whole module.
pub(super) fn lower<'a>(source: Source<'a>, module: &'a Module<'a>) -> Result<Code, PtxError> {
    let mut unit = Unit {
        source,
        version: module.version,
        sm: module.sm,
        specific: module.specific,
        symbols: HashMap::new(),
        variables: Vec::new(),
        statics: HashMap::new(),
        budget: MAX_INSTRUCTIONS,
    };
    unit.check_target()?;
    for function in &module.functions {
        unit.add_function(function)?;
    }
    // All names first: an initialiser may name a later variable.
    let mut defined = Vec::new();
    for variable in &module.variables {
        if let Some(index) = unit.add_variable(variable)? {
            defined.push((variable, index));
        }
    }
    for (variable, index) in defined {
        unit.initialise(variable, index)?;
    }
    let mut kernels = Vec::new();
    for function in module.functions.iter().filter(|f| f.body.is_some()) {
        // A device function is lowered alone, too: what nobody calls is checked as well.
        let kernel = function::lower(&mut unit, function)?;
        if function.entry {
            kernels.push(kernel);
        }
    }
    let Unit { version, sm, specific, variables, .. } = unit;
    Ok(Code { version, sm, specific, variables, kernels })
}

impl<'a> Unit<'a> {
    /// The oldest PTX that knows the target (PTX ISA, ".target").
    fn check_target(&self) -> Result<(), PtxError> {
        let least = match self.sm {
            ..=79 => (6, 3),
            80..=85 => (7, 0),
            86 => (7, 1),
            87 => (7, 4),
            88..=89 => (7, 8),
            90 if !self.specific => (7, 8),
            90 => (8, 0),
            91..=101 => (8, 6),
            102..=119 => (8, 7),
            120 => (8, 7),
            _ => (8, 8),
        };
        if self.version < least {
            let at = Span { start: 0, end: 0, line: 1 };
            let suffix = if self.specific { "a" } else { "" };
            let what = format!("target sm_{}{suffix}", self.sm);
            let needs = format!("PTX {}.{}", least.0, least.1);
            let has = format!("PTX {}.{}", self.version.0, self.version.1);
            return Err(self.source.too_new(at, &what, needs, has));
        }
        Ok(())
    }

    fn add_function(&mut self, function: &'a Function<'a>) -> Result<(), PtxError> {
        let name = function.name;
        match self.symbols.get(name.text) {
            // A prototype before the body, or after it.
            Some(Symbol::Function(known)) if known.body.is_none() || function.body.is_none() => {
                let alike = known.returns.len() == function.returns.len()
                    && known.params.len() == function.params.len()
                    && known.entry == function.entry;
                if !alike {
                    let what = format!("`{}` differs from its prototype", name.text);
                    return Err(self.source.invalid(name.at, what));
                }
                if function.body.is_none() {
                    return Ok(());
                }
            }
            Some(_) => return Err(self.twice(name.text, name.at)),
            None => {}
        }
        self.symbols.insert(name.text, Symbol::Function(function));
        Ok(())
    }

    /// The index of a `.global` or `.const` variable.
    fn add_variable(&mut self, variable: &'a Variable<'a>) -> Result<Option<u32>, PtxError> {
        let name = variable.name.text;
        let space = match variable.storage {
            Storage::Shared => {
                self.shared_size(variable)?;
                if self.symbols.insert(name, Symbol::Shared(variable)).is_some() {
                    return Err(self.twice(name, variable.at));
                }
                return Ok(None);
            }
            Storage::Global => Space::Global,
            Storage::Const => Space::Const,
            _ => {
                let what = "only .global, .const and .shared variables stand outside functions";
                return Err(self.source.invalid(variable.at, what));
            }
        };
        if variable.external {
            let what = format!("external variable `{name}`: there is no linker");
            return Err(self.source.unsupported(variable.at, what));
        }
        let index = self.push_variable(variable, name.to_owned(), space)?;
        if self.symbols.insert(name, Symbol::Variable(index, space)).is_some() {
            return Err(self.twice(name, variable.at));
        }
        Ok(Some(index))
    }

    fn twice(&self, name: &str, at: Span) -> PtxError {
        self.source.invalid(at, format!("`{name}` is declared twice"))
    }
}
