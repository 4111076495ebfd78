//! One kernel: parameters, shared and local memory, blocks, labels, and the walk over statements.

use std::collections::HashMap;

use super::line::Line;
use super::scope::{Binding, Files, Scope, Slot};
use super::types::register_type;
use super::variable::Layout;
use super::{Symbol, Unit, call, ops};
use crate::isa::{Guard, Instr, KernelCode, Op, Param, Space};
use crate::ptx::PtxError;
use crate::ptx::ast::{Function, Name, Stmt, Storage, Variable};
use crate::ptx::error::Span;

/// PTX ISA, "Kernel Function Parameters": 32,764 bytes from sm_70 on, PTX 8.1.
const MAX_PARAM_BYTES: u64 = 32_764;
/// CUDA C++ Programming Guide, "Technical Specifications": 512 KiB of local memory per thread.
const MAX_LOCAL_BYTES: u64 = 512 << 10;
/// 227 KiB is the most that any architecture gives.
const MAX_SHARED_BYTES: u64 = 227 << 10;

/// A kernel while it is lowered.
pub(super) struct Body<'u, 'a> {
    pub(super) unit: &'u mut Unit<'a>,
    pub(super) files: Files,
    pub(super) code: Vec<Instr>,
    scopes: Vec<Scope<'a>>,
    /// Scopes below this one belong to the callers.
    pub(super) floor: usize,
    /// Instruction index of each label; `None` until it is reached.
    labels: Vec<Option<u32>>,
    /// Functions that are being inlined, the kernel first.
    pub(super) stack: Vec<&'a str>,
    /// Where `ret` goes: `None` = the thread is done.
    pub(super) after: Option<usize>,
    shared: Vec<(String, u32, u32)>,
    shared_at: HashMap<u32, u64>,
    shared_bytes: u64,
    /// Offset of the dynamic part, and its alignment once it is named.
    dynamic_base: u64,
    dynamic_align: Option<u64>,
    local_bytes: u64,
}

fn align_up(value: u64, align: u64) -> u64 {
    value.next_multiple_of(align.max(1))
}

/// Lowers a function that has a body, as if it were an entry.
pub(super) fn lower<'a>(
    unit: &mut Unit<'a>,
    function: &'a Function<'a>,
) -> Result<KernelCode, PtxError> {
    // Static variables may follow the first use of dynamic ones, whose addresses come after
    // them: if so, go again with the right base.
    let mut base = 0;
    loop {
        let mut body = Body {
            unit,
            files: Files::default(),
            code: Vec::new(),
            scopes: Vec::new(),
            floor: 0,
            labels: Vec::new(),
            stack: vec![function.name.text],
            after: None,
            shared: Vec::new(),
            shared_at: HashMap::new(),
            shared_bytes: 0,
            dynamic_base: base,
            dynamic_align: None,
            local_bytes: 0,
        };
        let kernel = body.kernel(function)?;
        let end = u64::from(kernel.shared_bytes);
        if !kernel.dynamic_shared || end == base {
            return Ok(kernel);
        }
        base = end;
    }
}

impl<'a> Body<'_, 'a> {
    fn kernel(&mut self, function: &'a Function<'a>) -> Result<KernelCode, PtxError> {
        self.scopes.push(Scope::default());
        let (params, param_bytes) = if function.entry {
            self.params(function)?
        } else {
            for formal in function.returns.iter().chain(&function.params) {
                let slot = self.call_slot(formal)?;
                self.add(formal.name, Binding::Slot(slot))?;
            }
            (Vec::new(), 0)
        };
        self.block(function.body.as_deref().unwrap_or(&[]), false)?;
        self.link(function.name.at)?;
        if self.dynamic_align.is_some() {
            self.shared_bytes = align_up(self.shared_bytes, self.dynamic_align.unwrap_or(1));
        }
        if self.shared_bytes > MAX_SHARED_BYTES {
            let what =
                format!("{} bytes of shared memory, limit {MAX_SHARED_BYTES}", self.shared_bytes);
            return Err(self.unit.source.invalid(function.name.at, what));
        }
        let required = function.required;
        let product = |extent: [u32; 3]| extent.iter().product();
        let reg_names = std::mem::take(&mut self.files.names);
        Ok(KernelCode {
            name: function.name.text.to_owned(),
            line: function.name.at.line,
            params,
            param_bytes,
            code: std::mem::take(&mut self.code),
            regs32: reg_names[0].len(),
            regs64: reg_names[1].len(),
            preds: reg_names[2].len(),
            reg_names,
            shared: std::mem::take(&mut self.shared),
            shared_bytes: u32::try_from(self.shared_bytes).unwrap_or(u32::MAX),
            dynamic_shared: self.dynamic_align.is_some(),
            local_bytes: u32::try_from(self.local_bytes).unwrap_or(u32::MAX),
            max_threads: function.max_threads.or(required).map(product),
            required_block: required,
            min_ctas: function.min_ctas,
        })
    }

    fn params(&mut self, function: &'a Function<'a>) -> Result<(Vec<Param>, usize), PtxError> {
        if let Some(formal) = function.returns.first() {
            return Err(self.unit.source.invalid(formal.at, "an entry returns nothing"));
        }
        let (mut params, mut end) = (Vec::new(), 0_u64);
        for formal in &function.params {
            let Layout { bytes, align } = self.formal(formal)?;
            let offset = align_up(end, align);
            end = offset + bytes;
            if end > MAX_PARAM_BYTES {
                let what = format!("parameters of {end} bytes, limit {MAX_PARAM_BYTES}");
                return Err(self.unit.source.invalid(formal.at, what));
            }
            let slot = Slot { space: Space::Param, offset, call: false };
            self.add(formal.name, Binding::Slot(slot))?;
            let index = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
            let name = formal.name.text.to_owned();
            params.push(Param { name, offset: index(offset), size: index(bytes) });
        }
        Ok((params, usize::try_from(end).unwrap_or(usize::MAX)))
    }

    fn formal(&self, formal: &Variable<'a>) -> Result<Layout, PtxError> {
        if formal.storage != Storage::Param {
            let what = "parameters that are not .param variables";
            return Err(self.unit.source.unsupported(formal.at, what));
        }
        self.unit.layout(formal)
    }

    /// Local memory for a `.param` variable of a call.
    pub(super) fn call_slot(&mut self, formal: &Variable<'a>) -> Result<Slot, PtxError> {
        let layout = self.formal(formal)?;
        let offset = self.local(formal.at, layout)?;
        Ok(Slot { space: Space::Local, offset, call: true })
    }

    fn local(&mut self, at: Span, layout: Layout) -> Result<u64, PtxError> {
        let offset = align_up(self.local_bytes, layout.align);
        self.local_bytes = offset + layout.bytes;
        if self.local_bytes > MAX_LOCAL_BYTES {
            let what =
                format!("{} bytes of local memory, limit {MAX_LOCAL_BYTES}", self.local_bytes);
            return Err(self.unit.source.invalid(at, what));
        }
        Ok(offset)
    }

    /// The place of a `.shared` variable: one for the whole kernel, however often it is inlined.
    fn shared_slot(&mut self, variable: &Variable<'a>) -> Result<Slot, PtxError> {
        let slot = |offset| Slot { space: Space::Shared, offset, call: false };
        let (bytes, align) = self.unit.shared_size(variable)?;
        let Some(bytes) = bytes else {
            self.dynamic_align = Some(self.dynamic_align.unwrap_or(1).max(align));
            return Ok(slot(self.dynamic_base));
        };
        if let Some(&offset) = self.shared_at.get(&variable.name.at.start) {
            return Ok(slot(offset));
        }
        let offset = align_up(self.shared_bytes, align);
        self.shared_bytes = offset + bytes;
        if self.shared_bytes > MAX_SHARED_BYTES {
            let what =
                format!("{} bytes of shared memory, limit {MAX_SHARED_BYTES}", self.shared_bytes);
            return Err(self.unit.source.invalid(variable.at, what));
        }
        self.shared_at.insert(variable.name.at.start, offset);
        let narrow = |n: u64| u32::try_from(n).unwrap_or(u32::MAX);
        self.shared.push((variable.name.text.to_owned(), narrow(offset), narrow(bytes)));
        Ok(slot(offset))
    }

    /// Statements in a scope of their own, or in the one that holds the parameters.
    pub(super) fn block(&mut self, stmts: &'a [Stmt<'a>], scope: bool) -> Result<(), PtxError> {
        if scope {
            self.scopes.push(Scope::default());
        }
        // Labels and branch tables are known before they stand.
        for stmt in stmts {
            match stmt {
                Stmt::Label(name) => {
                    let label = self.new_label();
                    self.add(*name, Binding::Label(label))?;
                }
                Stmt::Targets(name, targets) => self.add(*name, Binding::Targets(targets))?,
                _ => {}
            }
        }
        for (i, stmt) in stmts.iter().enumerate() {
            match stmt {
                Stmt::Block(inner) => self.block(inner, true)?,
                Stmt::Variable(variable) => self.declare(variable)?,
                Stmt::Label(name) => {
                    if let Some(Binding::Label(label)) = self.find(name.text) {
                        self.place_label(label);
                    }
                }
                Stmt::Targets(..) => {}
                Stmt::Inst(inst) => {
                    let last = self.scopes.len() == self.floor + 1 && i + 1 == stmts.len();
                    match inst.opcode.text {
                        "call" => call::call(self, inst)?,
                        "ret" => call::ret(self, inst, last)?,
                        _ => ops::lower(Line::new(self, inst)?)?,
                    }
                }
            }
        }
        if scope {
            self.scopes.pop();
        }
        Ok(())
    }

    fn declare(&mut self, variable: &'a Variable<'a>) -> Result<(), PtxError> {
        let slot = match variable.storage {
            Storage::Reg => return self.registers(variable),
            Storage::Global | Storage::Const => return self.declare_static(variable),
            Storage::Param => self.call_slot(variable)?,
            Storage::Shared => self.shared_slot(variable)?,
            Storage::Local => {
                if variable.init.is_some() {
                    let what = "local variables have no initialiser";
                    return Err(self.unit.source.invalid(variable.at, what));
                }
                let layout = self.unit.layout(variable)?;
                let offset = self.local(variable.at, layout)?;
                Slot { space: Space::Local, offset, call: false }
            }
        };
        self.add(variable.name, Binding::Slot(slot))
    }

    fn declare_static(&mut self, variable: &'a Variable<'a>) -> Result<(), PtxError> {
        let global = variable.storage == Storage::Global;
        let space = if global { Space::Global } else { Space::Const };
        let key = variable.name.at.start;
        let index = if let Some(&index) = self.unit.statics.get(&key) {
            index
        } else {
            let owner = self.stack.last().copied().unwrap_or_default();
            let name = format!("{owner}.{}", variable.name.text);
            let index = self.unit.push_variable(variable, name, space)?;
            self.unit.initialise(variable, index)?;
            self.unit.statics.insert(key, index);
            index
        };
        self.add(variable.name, Binding::Module(index, space))
    }

    fn registers(&mut self, variable: &Variable<'a>) -> Result<(), PtxError> {
        let ty = match variable.ty {
            "pred" => None,
            name => Some(register_type(name).ok_or_else(|| {
                let what = format!("register of type `.{name}`");
                self.unit.source.unsupported(variable.at, what)
            })?),
        };
        if !variable.dims.is_empty() || variable.init.is_some() || variable.align.is_some() {
            let what = "registers have no dimension, no alignment and no initial value";
            return Err(self.unit.source.invalid(variable.at, what));
        }
        let name = variable.name;
        let Some(scope) = self.scopes.last_mut() else { return Ok(()) };
        let new = match variable.count {
            Some(count) => scope.add_range(name.text, count, ty),
            None => scope.add_register(name.text, ty),
        };
        if new { Ok(()) } else { Err(self.unit.twice(name.text, name.at)) }
    }

    fn add(&mut self, name: Name<'a>, binding: Binding<'a>) -> Result<(), PtxError> {
        let new = self.scopes.last_mut().is_none_or(|scope| scope.add(name.text, binding));
        if new { Ok(()) } else { Err(self.unit.twice(name.text, name.at)) }
    }

    /// Opens the scope of an inlined function, with its parameters.
    pub(super) fn enter(
        &mut self,
        params: impl Iterator<Item = (Name<'a>, Slot)>,
    ) -> Result<(), PtxError> {
        self.scopes.push(Scope::default());
        for (name, slot) in params {
            self.add(name, Binding::Slot(slot))?;
        }
        Ok(())
    }

    pub(super) fn leave(&mut self) {
        self.scopes.pop();
    }

    pub(super) fn depth(&self) -> usize {
        self.scopes.len()
    }

    /// What a name stands for: the innermost scope of this function first, the module last.
    pub(super) fn find(&mut self, name: &'a str) -> Option<Binding<'a>> {
        for scope in self.scopes[self.floor..].iter_mut().rev() {
            if let Some(binding) = scope.get(name, &mut self.files) {
                return Some(binding);
            }
        }
        match *self.unit.symbols.get(name)? {
            Symbol::Variable(index, space) => Some(Binding::Module(index, space)),
            // Its size was checked when the module scope was read.
            Symbol::Shared(variable) => self.shared_slot(variable).ok().map(Binding::Slot),
            Symbol::Function(_) => None,
        }
    }

    pub(super) fn new_label(&mut self) -> usize {
        self.labels.push(None);
        self.labels.len() - 1
    }

    pub(super) fn place_label(&mut self, label: usize) {
        self.labels[label] = u32::try_from(self.code.len()).ok();
    }

    /// Branches hold label numbers until `link`.
    pub(super) fn emit(&mut self, guard: Option<Guard>, op: Op, at: Span) -> Result<(), PtxError> {
        let Some(left) = self.unit.budget.checked_sub(1) else {
            let what = format!("more than {} instructions", super::MAX_INSTRUCTIONS);
            return Err(self.unit.source.unsupported(at, what));
        };
        self.unit.budget = left;
        self.code.push(Instr { guard, op, line: at.line });
        Ok(())
    }

    /// Puts instruction indices in the place of label numbers.
    fn link(&mut self, at: Span) -> Result<(), PtxError> {
        let labels = &self.labels;
        let mut whole = true;
        let mut resolve = |target: &mut u32| match labels.get(*target as usize) {
            Some(Some(index)) => *target = *index,
            _ => whole = false,
        };
        for instr in &mut self.code {
            match &mut instr.op {
                Op::Bra { target } => resolve(target),
                Op::BrxIdx { targets, .. } => targets.iter_mut().for_each(&mut resolve),
                _ => {}
            }
        }
        if whole {
            Ok(())
        } else {
            Err(self.unit.source.invalid(at, "a label that stands nowhere"))
        }
    }
}
