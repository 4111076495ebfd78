//! `call` by inlining, and `ret` (PTX ISA, "Control Flow Instructions").

use super::Symbol;
use super::function::Body;
use super::line::Line;
use super::scope::{Binding, Slot};
use crate::isa::{Guard, Op};
use crate::ptx::PtxError;
use crate::ptx::ast::{Inst, Kind, Operand};

/// Functions that call functions that call…
const MAX_CALLS: usize = 64;

/// `ret`: leaves the inlined function, or ends the thread. `last` says that nothing follows.
pub(super) fn ret<'a>(
    body: &mut Body<'_, 'a>,
    inst: &'a Inst<'a>,
    last: bool,
) -> Result<(), PtxError> {
    let mut line = Line::new(body, inst)?;
    line.flag("uni");
    line.end(0..=0)?;
    let guard = line.guard;
    match body.after {
        None => body.emit(guard, Op::Exit, inst.at),
        Some(_) if last && guard.is_none() => Ok(()),
        Some(label) => {
            let target = u32::try_from(label).unwrap_or(u32::MAX);
            body.emit(guard, Op::Bra { target }, inst.at)
        }
    }
}

/// `call{.uni} {(ret),} name {, (params)}`.
pub(super) fn call<'a>(body: &mut Body<'_, 'a>, inst: &'a Inst<'a>) -> Result<(), PtxError> {
    let source = body.unit.source;
    let mut line = Line::new(body, inst)?;
    line.flag("uni");
    line.end(1..=4)?;
    let guard = line.guard;
    let group = |operand: &'a Operand<'a>| match &operand.kind {
        Kind::Group(list) => Some(list.as_slice()),
        _ => None,
    };
    let (returns, rest) = match inst.operands.split_first() {
        Some((first, rest)) if group(first).is_some() => (group(first).unwrap_or(&[]), rest),
        _ => (&[][..], inst.operands.as_slice()),
    };
    let (name, params) = match rest {
        [Operand { kind: Kind::Name(name), .. }] => (*name, &[][..]),
        [Operand { kind: Kind::Name(name), .. }, params] if group(params).is_some() => {
            (*name, group(params).unwrap_or(&[]))
        }
        _ => return Err(source.unsupported(inst.at, "indirect calls")),
    };
    let Some(&Symbol::Function(function)) = body.unit.symbols.get(name) else {
        let what = match body.find(name) {
            Some(_) => return Err(source.unsupported(inst.at, "indirect calls")),
            None => format!("unknown function `{name}`"),
        };
        return Err(source.invalid(inst.at, what));
    };
    let alike = returns.len() == function.returns.len() && params.len() == function.params.len();
    if !alike || function.entry {
        let what = format!(
            "`{name}` takes {} parameters and returns {}, the call has {} and {}",
            function.params.len(),
            function.returns.len(),
            params.len(),
            returns.len()
        );
        return Err(source.invalid(inst.at, what));
    }
    let mut bound = Vec::new();
    let formals = function.returns.iter().chain(&function.params);
    for (formal, actual) in formals.zip(returns.iter().chain(params)) {
        bound.push((formal, slot(body, actual)?));
    }
    let Some(stmts) = &function.body else {
        // What assert() in device code calls: the thread traps, its message is not printed.
        if name == "__assertfail" {
            return body.emit(guard, Op::Trap, inst.at);
        }
        let what = format!("call of the external function `{name}`");
        return Err(source.unsupported(inst.at, what));
    };
    if body.stack.contains(&name) {
        return Err(source.unsupported(inst.at, format!("recursion: `{name}` calls itself")));
    }
    if body.stack.len() > MAX_CALLS {
        let what = format!("calls nested deeper than {MAX_CALLS}");
        return Err(source.unsupported(inst.at, what));
    }
    let end = body.new_label();
    if let Some(Guard { pred, negate }) = guard {
        let skip = Op::Bra { target: u32::try_from(end).unwrap_or(u32::MAX) };
        body.emit(Some(Guard { pred, negate: !negate }), skip, inst.at)?;
    }
    let (floor, after) = (body.floor, body.after);
    body.floor = body.depth();
    body.after = Some(end);
    body.stack.push(name);
    body.enter(bound.into_iter().map(|(formal, slot)| (formal.name, slot)))?;
    body.block(stmts, false)?;
    body.leave();
    body.stack.pop();
    (body.floor, body.after) = (floor, after);
    body.place_label(end);
    Ok(())
}

/// An actual parameter: a `.param` variable of the caller. The formal one is the same memory.
fn slot<'a>(body: &mut Body<'_, 'a>, actual: &Operand<'a>) -> Result<Slot, PtxError> {
    if let Kind::Name(name) = actual.kind
        && let Some(Binding::Slot(slot)) = body.find(name)
        && slot.call
    {
        return Ok(slot);
    }
    let what = "parameters of calls that are not .param variables";
    Err(body.unit.source.unsupported(actual.at, what))
}
