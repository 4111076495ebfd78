//! Text → tokens, with their places (PTX ISA, "Syntax"). Knows no grammar.

use super::PtxError;
use super::error::{Source, Span};

/// A token. Words are identifiers, register names (`%r1`) and `_`; a dotted word is one token
/// without its dot, with its `::` parts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Tok<'a> {
    Word(&'a str),
    Dot(&'a str),
    Int(u64),
    /// `0f3F800000`
    F32(u32),
    /// `0d3FF0000000000000`
    F64(u64),
    /// `8.8`, `1.0e3`
    Real(&'a str),
    Str(&'a str),
    Sym(u8),
    End,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Token<'a> {
    pub(super) tok: Tok<'a>,
    pub(super) at: Span,
}

/// All tokens of `source`, the last one `End`.
pub(super) fn lex<'a>(source: Source<'a>) -> Result<Vec<Token<'a>>, PtxError> {
    let text = source.text;
    if u32::try_from(text.len()).is_err() {
        let at = Span { start: 0, end: 0, line: 1 };
        return Err(source.syntax(at, format!("text of {} bytes, limit 4 GiB", text.len())));
    }
    let mut lexer = Lexer { source, bytes: text.as_bytes(), at: 0, line: 1 };
    let mut tokens = Vec::with_capacity(text.len() / 4);
    loop {
        lexer.skip_blanks()?;
        let (start, line) = (lexer.at, lexer.line);
        let tok = lexer.token()?;
        tokens.push(Token { tok, at: lexer.span(start, line) });
        if tok == Tok::End {
            return Ok(tokens);
        }
    }
}

struct Lexer<'a> {
    source: Source<'a>,
    bytes: &'a [u8],
    at: usize,
    line: u32,
}

fn follows(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'$'
}

impl<'a> Lexer<'a> {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "`lex` has checked that the text is shorter"
    )]
    fn span(&self, start: usize, line: u32) -> Span {
        Span { start: start as u32, end: self.at as u32, line }
    }

    fn peek(&self, ahead: usize) -> u8 {
        self.bytes.get(self.at + ahead).copied().unwrap_or(0)
    }

    fn fail(&self, start: usize, line: u32, what: impl Into<String>) -> PtxError {
        self.source.syntax(self.span(start, line), what)
    }

    fn skip_blanks(&mut self) -> Result<(), PtxError> {
        loop {
            match (self.peek(0), self.peek(1)) {
                (b'\n', _) => {
                    self.line += 1;
                    self.at += 1;
                }
                (b' ' | b'\t' | b'\r', _) => self.at += 1,
                (b'/', b'/') => {
                    while self.at < self.bytes.len() && self.peek(0) != b'\n' {
                        self.at += 1;
                    }
                }
                (b'/', b'*') => {
                    let (start, line) = (self.at, self.line);
                    self.at += 2;
                    while (self.peek(0), self.peek(1)) != (b'*', b'/') {
                        if self.at >= self.bytes.len() {
                            self.at = start + 2;
                            return Err(self.fail(start, line, "comment without end"));
                        }
                        self.line += u32::from(self.peek(0) == b'\n');
                        self.at += 1;
                    }
                    self.at += 2;
                }
                _ => return Ok(()),
            }
        }
    }

    fn run(&mut self, more: impl Fn(u8) -> bool) -> &'a str {
        let start = self.at;
        while self.at < self.bytes.len() && more(self.bytes[self.at]) {
            self.at += 1;
        }
        self.source.text.get(start..self.at).unwrap_or("")
    }

    fn token(&mut self) -> Result<Tok<'a>, PtxError> {
        let (start, line) = (self.at, self.line);
        let Some(&byte) = self.bytes.get(self.at) else { return Ok(Tok::End) };
        match byte {
            b'0'..=b'9' => self.number(),
            b'a'..=b'z' | b'A'..=b'Z' | b'_' | b'$' | b'%' => {
                self.at += 1;
                self.run(follows);
                Ok(Tok::Word(&self.source.text[start..self.at]))
            }
            b'.' if follows(self.peek(1)) => {
                self.at += 1;
                self.run(follows);
                while self.peek(0) == b':' && self.peek(1) == b':' && follows(self.peek(2)) {
                    self.at += 2;
                    self.run(follows);
                }
                Ok(Tok::Dot(&self.source.text[start + 1..self.at]))
            }
            b'"' => {
                self.at += 1;
                while self.peek(0) != b'"' {
                    if self.at >= self.bytes.len() || self.peek(0) == b'\n' {
                        return Err(self.fail(start, line, "string without end"));
                    }
                    self.at += 1 + usize::from(self.peek(0) == b'\\' && self.peek(1) != b'\n');
                }
                self.at += 1;
                Ok(Tok::Str(self.source.text.get(start + 1..self.at - 1).unwrap_or("")))
            }
            b'{' | b'}' | b'(' | b')' | b'[' | b']' | b'<' | b'>' | b',' | b';' | b':' | b'@'
            | b'!' | b'|' | b'+' | b'-' | b'=' | b'*' | b'/' | b'~' | b'&' | b'^' | b'?' | b'.' => {
                self.at += 1;
                Ok(Tok::Sym(byte))
            }
            _ => {
                let c = self.source.text.get(start..).and_then(|rest| rest.chars().next());
                let what = format!("unknown character {:?}", c.unwrap_or('\u{fffd}'));
                self.at += c.map_or(1, char::len_utf8);
                Err(self.fail(start, line, what))
            }
        }
    }

    /// PTX ISA, "Constants": decimal, `0x`, `0b`, octal, a `U` at the end; `0f`, `0d`; reals.
    fn number(&mut self) -> Result<Tok<'a>, PtxError> {
        let (start, line) = (self.at, self.line);
        let word = self.run(|b| b.is_ascii_alphanumeric());
        let real = self.peek(0) == b'.' && self.peek(1).is_ascii_digit();
        if word.bytes().all(|b| b.is_ascii_digit()) && real {
            self.at += 1;
            self.run(|b| b.is_ascii_alphanumeric());
            if matches!(self.bytes[self.at - 1], b'e' | b'E') && matches!(self.peek(0), b'+' | b'-')
            {
                self.at += 1;
                self.run(|b| b.is_ascii_digit());
            }
            return Ok(Tok::Real(&self.source.text[start..self.at]));
        }
        let digits = |radix, digits: &str| u64::from_str_radix(digits, radix).ok();
        let unsigned = |s: &'a str| s.strip_suffix('U').unwrap_or(s);
        let tok = match word.as_bytes() {
            [b'0', b'f' | b'F', hex @ ..] if hex.len() == 8 => {
                digits(16, &word[2..]).and_then(|v| u32::try_from(v).ok()).map(Tok::F32)
            }
            [b'0', b'd' | b'D', hex @ ..] if hex.len() == 16 => {
                digits(16, &word[2..]).map(Tok::F64)
            }
            [b'0', b'x' | b'X', ..] => digits(16, unsigned(&word[2..])).map(Tok::Int),
            [b'0', b'b' | b'B', ..] => digits(2, unsigned(&word[2..])).map(Tok::Int),
            [b'0', b'0'..=b'9', ..] => digits(8, unsigned(&word[1..])).map(Tok::Int),
            _ => digits(10, unsigned(word)).map(Tok::Int),
        };
        tok.ok_or_else(|| self.fail(start, line, format!("`{word}` is no number of 64 bits")))
    }
}
