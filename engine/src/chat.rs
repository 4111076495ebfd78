//! Chat templates: messages to the text a model was trained on.
//!
//! A template is Jinja as transformers runs it: blocks trimmed, Python's string methods and JSON,
//! `raise_exception`, `strftime_now`, `break` and `continue`, `{% generation %}` blocks, and the
//! tokenizer's special tokens by their names (`bos_token`, …).

mod jinja;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use kv_scales::Checkpoint;
use minijinja::Environment;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::Error;

/// One turn of a conversation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// Who speaks: `system`, `user`, `assistant`, or what else the template knows.
    pub role: String,
    /// What is said.
    pub content: String,
}

impl Message {
    /// What a user says.
    #[must_use]
    pub fn user(content: impl Into<String>) -> Self {
        Self { role: "user".to_owned(), content: content.into() }
    }
}

/// A model's chat template.
#[derive(Debug)]
pub struct ChatTemplate {
    environment: Environment<'static>,
    special_tokens: BTreeMap<String, String>,
}

impl ChatTemplate {
    /// The chat template of a checkpoint: `chat_template.jinja`, else `chat_template` in
    /// `tokenizer_config.json` (a string, or a list whose entry `default` is taken); `None` if
    /// there is neither.
    ///
    /// # Errors
    /// [`Error::ChatTemplate`] if there is one that is broken; [`Error::Scales`] if a file cannot
    /// be read.
    pub fn from_checkpoint(checkpoint: &Checkpoint) -> Result<Option<Self>, Error> {
        let config = checkpoint.json("tokenizer_config.json")?.unwrap_or(Value::Null);
        let source = match checkpoint.file("chat_template.jinja")? {
            Some(bytes) => Some(
                String::from_utf8(bytes.into_owned())
                    .map_err(|e| error(format!("chat_template.jinja: {e}")))?,
            ),
            None => template_of(&config)?,
        };
        source.map(|source| Self::new(&source, special_tokens(&config))).transpose()
    }

    /// A template from its source, and the special tokens it can name.
    ///
    /// # Errors
    /// [`Error::ChatTemplate`] if the source is not a template.
    pub fn new(source: &str, special_tokens: BTreeMap<String, String>) -> Result<Self, Error> {
        let environment = jinja::environment(source).map_err(|e| jinja_error(&e))?;
        Ok(Self { environment, special_tokens })
    }

    /// The text of a conversation. With `add_generation_prompt` it ends where the assistant is to
    /// begin. The text holds its special tokens: encode it with
    /// [`Tokenizer::encode_plain`](crate::tokenizer::Tokenizer::encode_plain).
    ///
    /// # Errors
    /// [`Error::ChatTemplate`] if the template refuses the messages or fails.
    pub fn render(
        &self,
        messages: &[Message],
        add_generation_prompt: bool,
    ) -> Result<String, Error> {
        #[derive(Serialize)]
        struct Context<'a> {
            messages: &'a [Message],
            tools: (),
            documents: (),
            add_generation_prompt: bool,
            #[serde(flatten)]
            special_tokens: &'a BTreeMap<String, String>,
        }
        let context = Context {
            messages,
            tools: (),
            documents: (),
            add_generation_prompt,
            special_tokens: &self.special_tokens,
        };
        self.environment
            .get_template(jinja::NAME)
            .and_then(|t| t.render(minijinja::value::Serde(&context)))
            .map_err(|e| jinja_error(&e))
    }
}

fn template_of(config: &Value) -> Result<Option<String>, Error> {
    let broken = |what: &str| error(format!("tokenizer_config.json: chat_template {what}"));
    match config.get("chat_template") {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(source)) => Ok(Some(source.clone())),
        Some(Value::Array(named)) => named
            .iter()
            .find(|entry| entry["name"] == "default")
            .ok_or_else(|| broken("is a list without an entry named \"default\""))?["template"]
            .as_str()
            .map(|source| Some(source.to_owned()))
            .ok_or_else(|| broken("has a default whose template is not a string")),
        Some(_) => Err(broken("is neither a string nor a list")),
    }
}

/// Every `…_token` of `tokenizer_config.json`: a string, or an object with the string in `content`.
fn special_tokens(config: &Value) -> BTreeMap<String, String> {
    let text = |value: &Value| value.as_str().or(value["content"].as_str()).map(str::to_owned);
    let entries = config.as_object().into_iter().flatten();
    entries
        .filter(|(name, _)| name.ends_with("_token"))
        .filter_map(|(name, value)| Some((name.clone(), text(value)?)))
        .collect()
}

fn jinja_error(error_: &minijinja::Error) -> Error {
    let detail = error_.detail().map_or_else(|| error_.kind().to_string(), str::to_owned);
    error(match error_.line() {
        Some(line) => format!("{detail} (line {line})"),
        None => detail,
    })
}

fn error(message: String) -> Error {
    Error::ChatTemplate { message }
}
