//! The Jinja of transformers: what its templates may use beyond minijinja's own.

use std::borrow::Cow;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Kwargs, ValueKind};
use minijinja::{Environment, Error, ErrorKind, Value};
use serde::Serialize;
use serde_json::ser::{CompactFormatter, Formatter, PrettyFormatter, Serializer};

/// The name a template has inside its environment.
pub(super) const NAME: &str = "chat template";

/// An environment that holds one template, under [`NAME`].
pub(super) fn environment(source: &str) -> Result<Environment<'static>, Error> {
    let mut environment = Environment::new();
    let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build()?;
    environment.set_syntax(syntax);
    environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
    environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
    environment.add_function("raise_exception", raise_exception);
    environment.add_function("strftime_now", strftime_now);
    environment.add_filter("tojson", to_json);
    environment.set_formatter(|out, state, value| match python_name(value) {
        Some(name) => out.write_str(name).map_err(Error::from),
        None => minijinja::escape_formatter(out, state, value),
    });
    environment.add_template_owned(NAME, without_generation_blocks(source).into_owned())?;
    Ok(environment)
}

/// What Python prints by another name than Jinja reads it.
fn python_name(value: &Value) -> Option<&'static str> {
    match value.kind() {
        ValueKind::Bool => Some(if value.is_true() { "True" } else { "False" }),
        ValueKind::None => Some("None"),
        _ => None,
    }
}

fn raise_exception(message: String) -> Result<Value, Error> {
    Err(Error::new(ErrorKind::InvalidOperation, message))
}

/// The local time in Python's `strftime` notation.
fn strftime_now(format: &str) -> Result<String, Error> {
    jiff::fmt::strtime::format(format, &jiff::Zoned::now())
        .map_err(|e| Error::new(ErrorKind::InvalidOperation, format!("strftime_now: {e}")))
}

/// Python's `json.dumps(value, ensure_ascii=False, indent=…)`: spaces after `,` and `:`, and no
/// HTML escapes.
#[expect(clippy::needless_pass_by_value, reason = "minijinja hands the keyword arguments over")]
fn to_json(value: &Value, indent: Option<usize>, options: Kwargs) -> Result<Value, Error> {
    let indent = indent.or(options.get("indent")?);
    if options.get::<Option<bool>>("ensure_ascii")? == Some(true) {
        return Err(Error::new(
            ErrorKind::InvalidOperation,
            "tojson: ensure_ascii is not supported",
        ));
    }
    options.assert_all_used()?;
    let text = match indent {
        Some(indent) => write(value, PrettyFormatter::with_indent(" ".repeat(indent).as_bytes())),
        None => write(value, Spaced(CompactFormatter)),
    };
    text.map(Value::from)
        .map_err(|e| Error::new(ErrorKind::InvalidOperation, format!("tojson: {e}")))
}

fn write(value: &Value, formatter: impl Formatter) -> Result<String, serde_json::Error> {
    let mut out = Vec::new();
    value.serialize(&mut Serializer::with_formatter(&mut out, formatter))?;
    Ok(String::from_utf8_lossy(&out).into_owned())
}

/// One line, with a space after each separator.
struct Spaced(CompactFormatter);

impl Formatter for Spaced {
    fn begin_array_value<W>(&mut self, writer: &mut W, first: bool) -> std::io::Result<()>
    where
        W: ?Sized + std::io::Write,
    {
        if first { Ok(()) } else { writer.write_all(b", ") }
    }

    fn begin_object_key<W>(&mut self, writer: &mut W, first: bool) -> std::io::Result<()>
    where
        W: ?Sized + std::io::Write,
    {
        if first { Ok(()) } else { writer.write_all(b", ") }
    }

    fn begin_object_value<W>(&mut self, writer: &mut W) -> std::io::Result<()>
    where
        W: ?Sized + std::io::Write,
    {
        self.0.begin_object_value(writer)?;
        writer.write_all(b" ")
    }
}

/// `{% generation %}` marks the assistant's text for training and renders its content: here it
/// becomes a block that is always taken, so that trimming around it stays the same.
fn without_generation_blocks(source: &str) -> Cow<'_, str> {
    if !source.contains("generation") {
        return Cow::Borrowed(source);
    }
    let mut out = String::with_capacity(source.len());
    let mut rest = source;
    while let Some((before, after)) = rest.split_once("{%") {
        let Some((tag, tail)) = after.split_once("%}") else { break };
        let is_mark = |c: char| c == '-' || c == '+' || c.is_whitespace();
        let tag = match tag.trim_matches(is_mark) {
            "generation" => tag.replace("generation", "if true"),
            "endgeneration" => tag.replace("endgeneration", "endif"),
            _ => tag.to_owned(),
        };
        out.push_str(&format!("{before}{{%{tag}%}}"));
        rest = tail;
    }
    out.push_str(rest);
    Cow::Owned(out)
}
