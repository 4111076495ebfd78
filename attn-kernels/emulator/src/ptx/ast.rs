//! The syntax tree: what stands in the text, with places. Knows no meaning: a name may be
//! undeclared, an opcode unknown.

use super::error::Span;

/// A name and where it stands.
#[derive(Debug, Clone, Copy)]
pub(super) struct Name<'a> {
    pub(super) text: &'a str,
    pub(super) at: Span,
}

#[derive(Debug)]
pub(super) struct Module<'a> {
    pub(super) version: (u32, u32),
    /// The number of `sm_NN`, and whether a letter follows it.
    pub(super) sm: u32,
    pub(super) specific: bool,
    pub(super) variables: Vec<Variable<'a>>,
    pub(super) functions: Vec<Function<'a>>,
}

/// `.entry` or `.func`; a prototype has no body.
#[derive(Debug)]
pub(super) struct Function<'a> {
    pub(super) name: Name<'a>,
    pub(super) entry: bool,
    pub(super) returns: Vec<Variable<'a>>,
    pub(super) params: Vec<Variable<'a>>,
    pub(super) max_threads: Option<[u32; 3]>,
    pub(super) required: Option<[u32; 3]>,
    pub(super) min_ctas: Option<u32>,
    pub(super) body: Option<Vec<Stmt<'a>>>,
}

/// Where a declared variable lies, or `.reg`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Storage {
    Reg,
    Param,
    Local,
    Shared,
    Global,
    Const,
}

/// One declared name (`.reg .b32 a, b` gives two of these).
#[derive(Debug)]
pub(super) struct Variable<'a> {
    pub(super) at: Span,
    pub(super) storage: Storage,
    pub(super) external: bool,
    pub(super) align: Option<u64>,
    /// The type without its dot.
    pub(super) ty: &'a str,
    pub(super) name: Name<'a>,
    /// `%r<12>`.
    pub(super) count: Option<u64>,
    /// `[4][33]`; `None` = `[]`.
    pub(super) dims: Vec<Option<u64>>,
    pub(super) init: Option<Init<'a>>,
}

#[derive(Debug)]
pub(super) enum Init<'a> {
    One(Operand<'a>),
    List(Vec<Init<'a>>),
}

#[derive(Debug)]
pub(super) enum Stmt<'a> {
    Block(Vec<Stmt<'a>>),
    Variable(Variable<'a>),
    Label(Name<'a>),
    /// `name: .branchtargets a, b;`
    Targets(Name<'a>, Vec<Name<'a>>),
    Inst(Inst<'a>),
}

#[derive(Debug)]
pub(super) struct Inst<'a> {
    /// From the guard to before the `;`.
    pub(super) at: Span,
    /// Predicate name, and whether negated.
    pub(super) guard: Option<(Name<'a>, bool)>,
    pub(super) opcode: Name<'a>,
    /// The modifiers without their dots.
    pub(super) mods: Vec<Name<'a>>,
    pub(super) operands: Vec<Operand<'a>>,
}

/// An operand and its place.
#[derive(Debug, Clone)]
pub(super) struct Operand<'a> {
    pub(super) at: Span,
    pub(super) kind: Kind<'a>,
}

#[derive(Debug, Clone)]
pub(super) enum Kind<'a> {
    /// Register, special register with its `.x`, variable, label, or `_`.
    Name(&'a str),
    /// A variable plus bytes.
    Offset(&'a str, i64),
    /// `generic(name) + n`, in initialisers.
    Generic(&'a str, i64),
    /// `!p`
    Not(&'a str),
    /// `a|b`
    Pair(&'a str, &'a str),
    Int {
        value: u64,
        negative: bool,
    },
    F32(u32),
    F64(u64),
    /// `[base + offset]`, or with a second operand `[base, {…}]` (refused later).
    Address {
        base: Base<'a>,
        offset: i64,
    },
    /// `{a, b}`
    Vector(Vec<Operand<'a>>),
    /// `(a, b)` of a call.
    Group(Vec<Operand<'a>>),
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Base<'a> {
    Name(&'a str),
    Absolute,
}
