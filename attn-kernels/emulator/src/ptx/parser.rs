//! Tokens → syntax tree: directives, declarations and functions (PTX ISA, "Directives").
//! Statements of bodies are in `body`.

use super::PtxError;
use super::ast::{Function, Init, Kind, Module, Name, Operand, Stmt, Storage, Variable};
use super::error::{Source, Span};
use super::lexer::{Tok, Token, lex};

/// Blocks in blocks, lists in lists: more is refused.
pub(super) const MAX_DEPTH: usize = 64;

pub(super) struct Parser<'a> {
    pub(super) source: Source<'a>,
    tokens: Vec<Token<'a>>,
    next: usize,
}

/// The whole text.
pub(super) fn parse_module<'a>(source: Source<'a>) -> Result<Module<'a>, PtxError> {
    Parser { source, tokens: lex(source)?, next: 0 }.module()
}

fn storage(word: &str) -> Option<Storage> {
    Some(match word {
        "reg" => Storage::Reg,
        "param" => Storage::Param,
        "local" => Storage::Local,
        "shared" | "shared::cta" => Storage::Shared,
        "global" => Storage::Global,
        "const" => Storage::Const,
        _ => return None,
    })
}

impl<'a> Parser<'a> {
    pub(super) fn peek(&self) -> Token<'a> {
        self.ahead(0)
    }

    pub(super) fn ahead(&self, n: usize) -> Token<'a> {
        self.tokens[(self.next + n).min(self.tokens.len() - 1)]
    }

    pub(super) fn bump(&mut self) -> Token<'a> {
        let token = self.peek();
        self.next = (self.next + 1).min(self.tokens.len() - 1);
        token
    }

    /// The span of what was taken last.
    pub(super) fn last(&self) -> Span {
        self.tokens[self.next.saturating_sub(1)].at
    }

    pub(super) fn eat(&mut self, sym: u8) -> bool {
        let found = self.peek().tok == Tok::Sym(sym);
        if found {
            self.bump();
        }
        found
    }

    pub(super) fn eat_dot(&mut self, word: &str) -> bool {
        let found = self.peek().tok == Tok::Dot(word);
        if found {
            self.bump();
        }
        found
    }

    pub(super) fn expected<T>(&self, what: &str) -> Result<T, PtxError> {
        let at = self.peek().at;
        let found = match self.peek().tok {
            Tok::End => "end of text".to_owned(),
            _ => format!("`{}`", self.source.slice(at)),
        };
        Err(self.source.syntax(at, format!("expected {what}, found {found}")))
    }

    pub(super) fn want(&mut self, sym: u8) -> Result<Span, PtxError> {
        if self.peek().tok == Tok::Sym(sym) {
            return Ok(self.bump().at);
        }
        self.expected(&format!("`{}`", sym as char))
    }

    pub(super) fn name(&mut self, what: &str) -> Result<Name<'a>, PtxError> {
        let Token { tok: Tok::Word(text), at } = self.peek() else { return self.expected(what) };
        self.bump();
        Ok(Name { text, at })
    }

    pub(super) fn int(&mut self, what: &str) -> Result<u64, PtxError> {
        let Tok::Int(value) = self.peek().tok else { return self.expected(what) };
        self.bump();
        Ok(value)
    }

    fn int32(&mut self, what: &str) -> Result<u32, PtxError> {
        let at = self.peek().at;
        let value = self.int(what)?;
        u32::try_from(value)
            .map_err(|_| self.source.invalid(at, format!("{what} {value} above 2^32 - 1")))
    }

    fn module(mut self) -> Result<Module<'a>, PtxError> {
        let start = self.peek().at;
        if !self.eat_dot("version") {
            return Err(self.source.syntax(start, "a module starts with `.version`"));
        }
        let version = self.version()?;
        let (sm, specific) = self.target()?;
        let mut module =
            Module { version, sm, specific, variables: Vec::new(), functions: Vec::new() };
        loop {
            let token = self.peek();
            let (mut external, start) = (false, token.at);
            match token.tok {
                Tok::End => return Ok(module),
                Tok::Dot("address_size") => {
                    self.bump();
                    let bits = self.int("an address size")?;
                    if bits != 64 {
                        let what = format!("`.address_size {bits}`: only 64");
                        return Err(self.source.unsupported(start.to(self.last()), what));
                    }
                    continue;
                }
                _ if self.debugging()? => continue,
                _ => {}
            }
            while let Tok::Dot(word @ ("extern" | "visible" | "weak" | "common")) = self.peek().tok
            {
                external |= word == "extern";
                self.bump();
            }
            match self.peek().tok {
                Tok::Dot("entry" | "func") => {
                    let function = self.function(start)?;
                    module.functions.push(function);
                }
                Tok::Dot(word) if storage(word).is_some_and(|s| s != Storage::Reg) => {
                    self.variables(external, &mut |v| module.variables.push(v))?;
                }
                Tok::Dot(word) => {
                    let what = format!("directive `.{word}`");
                    return Err(self.source.unsupported(self.peek().at, what));
                }
                _ => return self.expected("a directive"),
            }
        }
    }

    fn version(&mut self) -> Result<(u32, u32), PtxError> {
        let Token { tok: Tok::Real(text), at } = self.peek() else {
            return self.expected("a version like 8.0");
        };
        let version = text.split_once('.').and_then(|(major, minor)| {
            Some((major.parse().ok()?, minor.parse().ok().filter(|&m: &u32| m < 10)?))
        });
        let version =
            version.ok_or_else(|| self.source.syntax(at, format!("`{text}` is no PTX version")))?;
        if !(6..=8).contains(&version.0) {
            let what = format!("PTX {text}: versions 6.0 to 8.9 are");
            return Err(self.source.unsupported(at, what));
        }
        self.bump();
        Ok(version)
    }

    fn target(&mut self) -> Result<(u32, bool), PtxError> {
        if !self.eat_dot("target") {
            return self.expected("`.target`");
        }
        let name = self.name("a target like sm_80")?;
        let digits = name.text.strip_prefix("sm_").unwrap_or("");
        let number = digits.trim_end_matches(['a', 'f']);
        let sm = number.parse::<u32>().ok().filter(|_| digits.len() <= number.len() + 1);
        let sm = sm.filter(|sm| (50..=129).contains(sm)).ok_or_else(|| {
            self.source.unsupported(name.at, format!("target `{}`: sm_50 to sm_129 are", name.text))
        })?;
        while self.eat(b',') {
            let option = self.name("a target option")?;
            if !matches!(option.text, "debug" | "texmode_unified" | "texmode_independent") {
                let what = format!("target option `{}`", option.text);
                return Err(self.source.unsupported(option.at, what));
            }
        }
        Ok((sm, digits.len() > number.len()))
    }

    /// Takes a `.file`, `.loc`, `.section` or `.pragma`: data for debuggers and hints, no meaning.
    pub(super) fn debugging(&mut self) -> Result<bool, PtxError> {
        match self.peek().tok {
            Tok::Dot("file") => {
                self.bump();
                self.int("a file index")?;
                let Tok::Str(_) = self.bump().tok else { return self.expected("a file name") };
                while self.eat(b',') {
                    self.int("a time or a size")?;
                }
            }
            Tok::Dot("loc") => {
                self.bump();
                for what in ["a file index", "a line", "a column"] {
                    self.int(what)?;
                }
                while self.peek().tok == Tok::Sym(b',')
                    && let Tok::Word(word @ ("function_name" | "inlined_at")) = self.ahead(1).tok
                {
                    self.bump();
                    self.bump();
                    if word == "function_name" {
                        self.name("a label")?;
                        if self.eat(b'+') {
                            self.int("an offset")?;
                        }
                    } else {
                        for what in ["a file index", "a line", "a column"] {
                            self.int(what)?;
                        }
                    }
                }
            }
            Tok::Dot("pragma") => {
                self.bump();
                let Tok::Str(_) = self.bump().tok else { return self.expected("a string") };
                while self.eat(b',') {
                    let Tok::Str(_) = self.bump().tok else { return self.expected("a string") };
                }
                self.want(b';')?;
            }
            Tok::Dot("section") => {
                self.bump();
                let (Tok::Dot(_) | Tok::Word(_)) = self.bump().tok else {
                    return self.expected("a section name");
                };
                self.want(b'{')?;
                while !self.eat(b'}') {
                    if matches!(self.peek().tok, Tok::End | Tok::Sym(b'{')) {
                        return self.expected("`}` of the section");
                    }
                    self.bump();
                }
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// `.SPACE {.align n} .TYPE name{<n>}{[n]…}{ = init} {, name…} ;`
    pub(super) fn variables(
        &mut self,
        external: bool,
        out: &mut dyn FnMut(Variable<'a>),
    ) -> Result<(), PtxError> {
        let head = self.variable_head(external)?;
        loop {
            let mut variable = self.declarator(&head)?;
            if self.eat(b'=') {
                variable.init = Some(self.init(0)?);
            }
            variable.at = variable.at.to(self.last());
            out(variable);
            if !self.eat(b',') {
                return self.want(b';').map(|_| ());
            }
        }
    }

    /// The part before the first name.
    fn variable_head(&mut self, external: bool) -> Result<Variable<'a>, PtxError> {
        let at = self.peek().at;
        let place = match self.bump().tok {
            Tok::Dot(word) => storage(word),
            _ => None,
        };
        let Some(place) = place else {
            return Err(self.source.syntax(at, "expected a state space"));
        };
        let (mut align, mut ty) = (None, None);
        loop {
            let token = self.peek();
            let Tok::Dot(word) = token.tok else { break };
            self.bump();
            match word {
                "align" if align.is_none() => {
                    let value = self.int("an alignment")?;
                    if !value.is_power_of_two() || value > 1 << 16 {
                        let what = format!("alignment {value}: not a power of two up to 65536");
                        return Err(self.source.invalid(token.at.to(self.last()), what));
                    }
                    align = Some(value);
                }
                // A pointer parameter: what it points to is said, nothing is changed by it.
                "ptr" if place == Storage::Param => {
                    if let Tok::Dot("global" | "const" | "local" | "shared") = self.peek().tok {
                        self.bump();
                    }
                    if self.eat_dot("align") {
                        self.int("an alignment")?;
                    }
                }
                _ if ty.is_none() => ty = Some(word),
                _ => {
                    let what = format!("attribute `.{word}` of a variable");
                    return Err(self.source.unsupported(token.at, what));
                }
            }
        }
        let Some(ty) = ty else { return self.expected("a type") };
        let (name, dims) = (Name { text: "", at }, Vec::new());
        Ok(Variable {
            at,
            storage: place,
            external,
            align,
            ty,
            name,
            count: None,
            dims,
            init: None,
        })
    }

    fn declarator(&mut self, head: &Variable<'a>) -> Result<Variable<'a>, PtxError> {
        let name = self.name("a name")?;
        let (mut count, mut dims) = (None, Vec::new());
        if self.eat(b'<') {
            count = Some(self.int("a number of names")?);
            self.want(b'>')?;
        }
        while self.eat(b'[') {
            let known = !matches!(self.peek().tok, Tok::Sym(b']'));
            dims.push(if known { Some(self.int("a number of elements")?) } else { None });
            self.want(b']')?;
        }
        let at = head.at.to(self.last());
        let &Variable { storage, external, align, ty, .. } = head;
        Ok(Variable { at, storage, external, align, ty, name, count, dims, init: None })
    }

    fn init(&mut self, depth: usize) -> Result<Init<'a>, PtxError> {
        if depth > MAX_DEPTH {
            let what = format!("initialiser nested deeper than {MAX_DEPTH}");
            return Err(self.source.syntax(self.peek().at, what));
        }
        if !self.eat(b'{') {
            return Ok(Init::One(self.init_value()?));
        }
        let mut list = Vec::new();
        while !self.eat(b'}') {
            list.push(self.init(depth + 1)?);
            if !self.eat(b',') {
                self.want(b'}')?;
                break;
            }
        }
        Ok(Init::List(list))
    }

    fn init_value(&mut self) -> Result<Operand<'a>, PtxError> {
        if self.peek().tok != Tok::Word("generic") || self.ahead(1).tok != Tok::Sym(b'(') {
            return self.operand();
        }
        let at = self.bump().at;
        self.want(b'(')?;
        let name = self.name("a variable")?;
        self.want(b')')?;
        let offset = self.offset()?;
        Ok(Operand { at: at.to(self.last()), kind: Kind::Generic(name.text, offset) })
    }

    fn function(&mut self, start: Span) -> Result<Function<'a>, PtxError> {
        let entry = self.bump().tok == Tok::Dot("entry");
        let mut returns = Vec::new();
        if !entry && self.peek().tok == Tok::Sym(b'(') {
            returns = self.formals()?;
        }
        let name = self.name("a function name")?;
        let name = Name { at: start.to(name.at), ..name };
        let mut params = Vec::new();
        if self.peek().tok == Tok::Sym(b'(') {
            params = self.formals()?;
        }
        let (mut max_threads, mut required, mut min_ctas) = (None, None, None);
        let body = loop {
            let token = self.peek();
            match token.tok {
                Tok::Sym(b';') => {
                    self.bump();
                    break None;
                }
                Tok::Sym(b'{') => break Some(self.body()?),
                Tok::Dot("maxntid") => max_threads = Some(self.extent()?),
                Tok::Dot("reqntid") => required = Some(self.extent()?),
                Tok::Dot("minnctapersm") => {
                    self.bump();
                    min_ctas = Some(self.int32("a number of CTAs")?);
                }
                // Advice to the register allocator.
                Tok::Dot("maxnreg") => {
                    self.bump();
                    self.int32("a number of registers")?;
                }
                Tok::Dot("noreturn") => {
                    self.bump();
                }
                Tok::Dot(word) if word != "pragma" => {
                    let what = format!("directive `.{word}` of a function");
                    return Err(self.source.unsupported(token.at, what));
                }
                _ if self.debugging()? => {}
                _ => return self.expected("a body"),
            }
        };
        if entry && body.is_none() {
            return Err(self.source.unsupported(name.at, "an entry without a body"));
        }
        Ok(Function { name, entry, returns, params, max_threads, required, min_ctas, body })
    }

    fn body(&mut self) -> Result<Vec<Stmt<'a>>, PtxError> {
        self.want(b'{')?;
        self.block(0)
    }

    /// `.maxntid x{, y{, z}}`
    fn extent(&mut self) -> Result<[u32; 3], PtxError> {
        let at = self.bump().at;
        let mut extent = [1; 3];
        for (i, side) in extent.iter_mut().enumerate() {
            if i > 0 && !self.eat(b',') {
                break;
            }
            *side = self.int32("a number of threads")?;
        }
        let threads = extent.iter().map(|&n| u64::from(n)).product::<u64>();
        let small = extent.iter().all(|&n| n <= 1024);
        if !small || !(1..=1024).contains(&threads) {
            let what = format!("block of {extent:?} threads: 1 to 1024 are");
            return Err(self.source.invalid(at.to(self.last()), what));
        }
        Ok(extent)
    }

    fn formals(&mut self) -> Result<Vec<Variable<'a>>, PtxError> {
        self.want(b'(')?;
        let mut formals = Vec::new();
        while !self.eat(b')') {
            let head = self.variable_head(false)?;
            formals.push(self.declarator(&head)?);
            if !self.eat(b',') {
                self.want(b')')?;
                break;
            }
        }
        Ok(formals)
    }
}
