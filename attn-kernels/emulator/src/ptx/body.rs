//! Tokens → syntax tree: the statements of a function and their operands (PTX ISA, "Instruction
//! Statements").

use super::PtxError;
use super::ast::{Base, Inst, Kind, Name, Operand, Stmt};
use super::lexer::{Tok, Token};
use super::parser::{MAX_DEPTH, Parser};

impl<'a> Parser<'a> {
    /// After `{`, up to and with the `}`.
    pub(super) fn block(&mut self, depth: usize) -> Result<Vec<Stmt<'a>>, PtxError> {
        if depth > MAX_DEPTH {
            let what = format!("blocks nested deeper than {MAX_DEPTH}");
            return Err(self.source.syntax(self.peek().at, what));
        }
        let mut stmts = Vec::new();
        loop {
            match self.peek().tok {
                Tok::Sym(b'}') => {
                    self.bump();
                    return Ok(stmts);
                }
                Tok::Sym(b'{') => {
                    self.bump();
                    stmts.push(Stmt::Block(self.block(depth + 1)?));
                }
                Tok::Sym(b';') => {
                    self.bump();
                }
                Tok::Word(text) if self.ahead(1).tok == Tok::Sym(b':') => {
                    let name = Name { text, at: self.bump().at };
                    self.bump();
                    stmts.push(self.labelled(name)?);
                }
                Tok::Word(_) | Tok::Sym(b'@') => stmts.push(Stmt::Inst(self.inst()?)),
                Tok::Dot("reg" | "param" | "local" | "shared" | "global" | "const") => {
                    self.variables(false, &mut |v| stmts.push(Stmt::Variable(v)))?;
                }
                _ if self.debugging()? => {}
                Tok::Dot(word) => {
                    let what = format!("directive `.{word}` in a body");
                    return Err(self.source.unsupported(self.peek().at, what));
                }
                _ => return self.expected("a statement"),
            }
        }
    }

    fn labelled(&mut self, name: Name<'a>) -> Result<Stmt<'a>, PtxError> {
        match self.peek().tok {
            Tok::Dot("branchtargets") => {
                self.bump();
                let mut targets = vec![self.name("a label")?];
                while self.eat(b',') {
                    targets.push(self.name("a label")?);
                }
                self.want(b';')?;
                Ok(Stmt::Targets(name, targets))
            }
            Tok::Dot(word @ ("callprototype" | "calltargets")) => {
                let what = format!("indirect calls (`.{word}`)");
                Err(self.source.unsupported(name.at.to(self.peek().at), what))
            }
            _ => Ok(Stmt::Label(name)),
        }
    }

    fn inst(&mut self) -> Result<Inst<'a>, PtxError> {
        let start = self.peek().at;
        let mut guard = None;
        if self.eat(b'@') {
            let negate = self.eat(b'!');
            guard = Some((self.name("a predicate")?, negate));
        }
        let opcode = self.name("an instruction")?;
        let mut mods = Vec::new();
        while let Token { tok: Tok::Dot(text), at } = self.peek() {
            self.bump();
            mods.push(Name { text, at });
        }
        let mut operands = Vec::new();
        if self.peek().tok != Tok::Sym(b';') {
            operands.push(self.operand()?);
            while self.eat(b',') {
                operands.push(self.operand()?);
            }
        }
        let at = start.to(self.last());
        if self.peek().tok != Tok::Sym(b';') {
            return self.expected("`,` or `;`");
        }
        self.bump();
        Ok(Inst { at, guard, opcode, mods, operands })
    }

    pub(super) fn operand(&mut self) -> Result<Operand<'a>, PtxError> {
        let at = self.peek().at;
        let kind = match self.peek().tok {
            Tok::Sym(b'{') => {
                self.bump();
                Kind::Vector(self.list(b'}')?)
            }
            Tok::Sym(b'(') => {
                self.bump();
                Kind::Group(self.list(b')')?)
            }
            Tok::Sym(b'[') => {
                self.bump();
                self.address()?
            }
            Tok::Sym(b'!') => {
                self.bump();
                Kind::Not(self.name("a predicate")?.text)
            }
            _ => self.simple()?,
        };
        Ok(Operand { at: at.to(self.last()), kind })
    }

    /// Items of `{…}` or `(…)`: they hold no lists themselves.
    fn list(&mut self, close: u8) -> Result<Vec<Operand<'a>>, PtxError> {
        let mut list = Vec::new();
        while !self.eat(close) {
            let at = self.peek().at;
            let kind = self.simple()?;
            list.push(Operand { at: at.to(self.last()), kind });
            if !self.eat(b',') {
                self.want(close)?;
                break;
            }
        }
        Ok(list)
    }

    fn address(&mut self) -> Result<Kind<'a>, PtxError> {
        let base = match self.peek().tok {
            Tok::Word(text) => {
                self.bump();
                Base::Name(text)
            }
            Tok::Int(_) => Base::Absolute,
            _ => return self.expected("an address"),
        };
        let offset = match base {
            Base::Name(_) => self.offset()?,
            Base::Absolute => {
                let at = self.peek().at;
                let value = self.int("an address")?;
                i64::try_from(value)
                    .map_err(|_| self.source.invalid(at, format!("address {value} above 2^63")))?
            }
        };
        self.want(b']')?;
        Ok(Kind::Address { base, offset })
    }

    /// `+ n`, `+ -n`, repeated; `- n` is no PTX.
    pub(super) fn offset(&mut self) -> Result<i64, PtxError> {
        let mut sum = 0_i64;
        while self.eat(b'+') {
            let at = self.peek().at;
            let negative = self.eat(b'-');
            let value = self.int("an offset in bytes")?;
            let value = i64::try_from(value).ok().map(|v| if negative { -v } else { v });
            sum = value
                .and_then(|v| sum.checked_add(v))
                .ok_or_else(|| self.source.invalid(at, "offset beyond 64 bits"))?;
        }
        Ok(sum)
    }

    fn simple(&mut self) -> Result<Kind<'a>, PtxError> {
        let start = self.peek();
        if start.tok == Tok::End {
            return self.expected("an operand");
        }
        self.bump();
        Ok(match start.tok {
            Tok::Word(text) => match self.peek() {
                Token { tok: Tok::Dot(_), at } if at.start == start.at.end => {
                    self.bump();
                    Kind::Name(self.source.slice(start.at.to(at)))
                }
                Token { tok: Tok::Sym(b'|'), .. } => {
                    self.bump();
                    Kind::Pair(text, self.name("a predicate")?.text)
                }
                Token { tok: Tok::Sym(b'+'), .. } => Kind::Offset(text, self.offset()?),
                _ => Kind::Name(text),
            },
            Tok::Int(value) => Kind::Int { value, negative: false },
            Tok::F32(bits) => Kind::F32(bits),
            Tok::F64(bits) => Kind::F64(bits),
            Tok::Real(text) => Kind::F64(self.real(text, start)?.to_bits()),
            Tok::Sym(b'-') => match self.bump().tok {
                Tok::Int(value) => Kind::Int { value, negative: value != 0 },
                Tok::Real(text) => Kind::F64((-self.real(text, start)?).to_bits()),
                _ => return Err(self.source.syntax(start.at, "expected a number after `-`")),
            },
            _ => {
                let what = format!("expected an operand, found `{}`", self.source.slice(start.at));
                return Err(self.source.syntax(start.at, what));
            }
        })
    }

    fn real(&self, text: &str, token: Token<'a>) -> Result<f64, PtxError> {
        text.parse::<f64>()
            .map_err(|_| self.source.syntax(token.at, format!("`{text}` is no number")))
    }
}
