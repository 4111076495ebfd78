//! Why a PTX text was refused, and where.

use std::fmt;

/// A place in a PTX text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The name the text was given when it was loaded.
    pub file: String,
    /// From 1.
    pub line: u32,
    /// From 1, in bytes.
    pub column: u32,
    /// The statement that stands there, blanks folded, cut after 160 characters.
    pub text: String,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

/// Why a module was refused. Messages start with `FILE:LINE: `.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PtxError {
    /// The text is not PTX.
    #[error("{at}: {what}, in `{}`", at.text)]
    Syntax {
        /// Where.
        at: Box<Place>,
        /// What was found, and what was expected.
        what: String,
    },
    /// PTX that this device does not run.
    #[error("{at}: not implemented: {what}, in `{}`", at.text)]
    Unsupported {
        /// Where.
        at: Box<Place>,
        /// The instruction, directive or modifier.
        what: String,
    },
    /// A combination of modifiers, types and operands that PTX does not have.
    #[error("{at}: {what}, in `{}`", at.text)]
    Invalid {
        /// Where.
        at: Box<Place>,
        /// The thing, its value and the limit.
        what: String,
    },
    /// An instruction newer than the `.version` or the `.target` of the module.
    #[error("{at}: {what} needs {needs}, the module has {has}, in `{}`", at.text)]
    TooNew {
        /// Where.
        at: Box<Place>,
        /// The instruction or its form.
        what: String,
        /// `sm_89`, `PTX 8.1`.
        needs: String,
        /// What the module declares.
        has: String,
    },
}

impl PtxError {
    /// Where the refused statement stands.
    #[must_use]
    pub fn place(&self) -> &Place {
        match self {
            Self::Syntax { at, .. }
            | Self::Unsupported { at, .. }
            | Self::Invalid { at, .. }
            | Self::TooNew { at, .. } => at,
        }
    }
}

/// A stretch of the text: byte offsets and the line of its start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) start: u32,
    pub(super) end: u32,
    pub(super) line: u32,
}

impl Span {
    /// From the start of this to the end of `other`.
    pub(super) fn to(self, other: Self) -> Self {
        Self { end: other.end.max(self.start), ..self }
    }
}

/// A text and its name: makes places of spans.
#[derive(Debug, Clone, Copy)]
pub(super) struct Source<'a> {
    pub(super) name: &'a str,
    pub(super) text: &'a str,
}

impl<'a> Source<'a> {
    pub(super) fn slice(&self, span: Span) -> &'a str {
        self.text.get(span.start as usize..span.end as usize).unwrap_or("")
    }

    fn place(&self, span: Span) -> Box<Place> {
        let before = self.text.as_bytes().get(..span.start as usize).unwrap_or(&[]);
        let column = before.iter().rev().take_while(|&&b| b != b'\n').count();
        let mut text = String::new();
        for word in self.slice(span).split_whitespace() {
            if text.len() + word.len() > 160 {
                text.push('…');
                break;
            }
            if !text.is_empty() {
                text.push(' ');
            }
            text.push_str(word);
        }
        let column = u32::try_from(column + 1).unwrap_or(u32::MAX);
        Box::new(Place { file: self.name.to_owned(), line: span.line, column, text })
    }

    /// Shows the rest of the line, from `span` on.
    pub(super) fn syntax(&self, span: Span, what: impl Into<String>) -> PtxError {
        let rest = self.text.get(span.start as usize..).unwrap_or("");
        let end = span.start + u32::try_from(rest.find('\n').unwrap_or(rest.len())).unwrap_or(0);
        PtxError::Syntax { at: self.place(Span { end, ..span }), what: what.into() }
    }

    pub(super) fn unsupported(&self, span: Span, what: impl Into<String>) -> PtxError {
        PtxError::Unsupported { at: self.place(span), what: what.into() }
    }

    pub(super) fn invalid(&self, span: Span, what: impl Into<String>) -> PtxError {
        PtxError::Invalid { at: self.place(span), what: what.into() }
    }

    pub(super) fn too_new(&self, span: Span, what: &str, needs: String, has: String) -> PtxError {
        PtxError::TooNew { at: self.place(span), what: what.to_owned(), needs, has }
    }
}
