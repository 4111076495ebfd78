//! Reading typed fields out of a JSON object, with errors that name the field.

use crate::Error;
use serde_json::{Map, Value};

/// No dimension of a real model comes near this; it keeps every product of three inside `u64`
/// and a lying config from asking for a huge allocation.
const MAX_DIMENSION: u64 = 1 << 24;

/// One JSON object and its path from the root (empty for the root itself).
#[derive(Clone, Copy)]
pub(super) struct Fields<'a> {
    object: &'a Map<String, Value>,
    path: &'a str,
}

impl<'a> Fields<'a> {
    pub(super) fn new(value: &'a Value, path: &'a str) -> Result<Self, Error> {
        match value.as_object() {
            Some(object) => Ok(Self { object, path }),
            None => Err(Error::Config {
                field: if path.is_empty() { "the file".into() } else { path.into() },
                message: format!("must be an object, is {}", kind(value)),
            }),
        }
    }

    /// The field, where it is present and not null: the two mean the same in Hugging Face configs.
    pub(super) fn get(&self, name: &str) -> Option<&'a Value> {
        self.object.get(name).filter(|value| !value.is_null())
    }

    /// Whether the field is written at all, even as null.
    pub(super) fn contains(&self, name: &str) -> bool {
        self.object.contains_key(name)
    }

    pub(super) fn name(&self, name: &str) -> String {
        if self.path.is_empty() { name.into() } else { format!("{}.{name}", self.path) }
    }

    pub(super) fn error(&self, name: &str, message: impl Into<String>) -> Error {
        Error::Config { field: self.name(name), message: message.into() }
    }

    pub(super) fn missing(&self, name: &str) -> Error {
        self.error(name, "missing")
    }

    fn wrong(&self, name: &str, want: &str, value: &Value) -> Error {
        self.error(name, format!("must be {want}, is {}", kind(value)))
    }

    /// A dimension: an integer between 1 and 2^24.
    pub(super) fn dimension(&self, name: &str) -> Result<Option<usize>, Error> {
        let Some(value) = self.get(name) else { return Ok(None) };
        match value.as_u64() {
            Some(n) if (1..=MAX_DIMENSION).contains(&n) => Ok(Some(n as usize)),
            _ => Err(self.wrong(name, "an integer from 1 to 16777216", value)),
        }
    }

    pub(super) fn required_dimension(&self, name: &str) -> Result<usize, Error> {
        self.dimension(name)?.ok_or_else(|| self.missing(name))
    }

    /// A finite number greater than zero.
    pub(super) fn positive(&self, name: &str) -> Result<Option<f64>, Error> {
        let Some(value) = self.get(name) else { return Ok(None) };
        match value.as_f64() {
            Some(x) if x.is_finite() && x > 0.0 => Ok(Some(x)),
            _ => Err(self.wrong(name, "a finite number above 0", value)),
        }
    }

    pub(super) fn required_positive(&self, name: &str) -> Result<f64, Error> {
        self.positive(name)?.ok_or_else(|| self.missing(name))
    }

    pub(super) fn flag(&self, name: &str, default: bool) -> Result<bool, Error> {
        match self.get(name) {
            None => Ok(default),
            Some(Value::Bool(b)) => Ok(*b),
            Some(value) => Err(self.wrong(name, "true or false", value)),
        }
    }

    pub(super) fn text(&self, name: &str) -> Result<Option<&'a str>, Error> {
        match self.get(name) {
            None => Ok(None),
            Some(Value::String(s)) => Ok(Some(s)),
            Some(value) => Err(self.wrong(name, "a string", value)),
        }
    }

    /// A token id, or a list of them; absent gives an empty list.
    pub(super) fn token_ids(&self, name: &str) -> Result<Vec<u32>, Error> {
        let want = "a token id or a list of token ids";
        let id = |value: &Value| {
            value
                .as_u64()
                .and_then(|n| u32::try_from(n).ok())
                .ok_or_else(|| self.wrong(name, want, value))
        };
        match self.get(name) {
            None => Ok(Vec::new()),
            Some(Value::Array(list)) => list.iter().map(id).collect(),
            Some(value) => Ok(vec![id(value)?]),
        }
    }
}

/// The value itself when it is short, else what kind of thing it is.
fn kind(value: &Value) -> String {
    match value {
        Value::Array(_) => "a list".into(),
        Value::Object(_) => "an object".into(),
        other => other.to_string().chars().take(60).collect(),
    }
}
