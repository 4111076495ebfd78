//! Text to token ids and back (`tokenizer.json`), whole and piece by piece.
//!
//! Special tokens around a prompt (BOS) are the business of the tokenizer's own post-processor, as
//! in transformers: `encode` adds what it says, `encode_plain` adds nothing.

use std::sync::Arc;

use kv_scales::Checkpoint;

use crate::Error;

const FILE: &str = "tokenizer.json";

/// A model's tokenizer. Cloning is cheap.
#[derive(Debug, Clone)]
pub struct Tokenizer {
    inner: Arc<tokenizers::Tokenizer>,
}

impl Tokenizer {
    /// The tokenizer of a checkpoint; `None` if it has no `tokenizer.json`.
    ///
    /// # Errors
    /// [`Error::Tokenizer`] if the file is not a tokenizer; [`Error::Scales`] if it cannot be read.
    pub fn from_checkpoint(checkpoint: &Checkpoint) -> Result<Option<Self>, Error> {
        checkpoint.file(FILE)?.map(|bytes| Self::from_bytes(&bytes)).transpose()
    }

    /// The tokenizer that a `tokenizer.json` describes.
    ///
    /// # Errors
    /// [`Error::Tokenizer`] if the bytes are not a tokenizer.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Error> {
        let broken = |e: tokenizers::Error| error(format!("{FILE}: {e}"));
        let mut inner = tokenizers::Tokenizer::from_bytes(bytes).map_err(broken)?;
        // Truncation and padding are settings of a training run that some files carry along: here
        // they would cut a long prompt in silence.
        inner.with_truncation(None).map_err(broken)?;
        inner.with_padding(None);
        Ok(Self { inner: Arc::new(inner) })
    }

    /// The ids of a text, with the special tokens the tokenizer puts around one (BOS, if any).
    ///
    /// # Errors
    /// [`Error::Tokenizer`] if the tokenizer cannot encode the text.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>, Error> {
        self.encode_with(text, true)
    }

    /// The ids of a text and nothing else: for text that already holds its special tokens (a
    /// rendered chat template) or shall have none (evaluation).
    ///
    /// # Errors
    /// [`Error::Tokenizer`] if the tokenizer cannot encode the text.
    pub fn encode_plain(&self, text: &str) -> Result<Vec<u32>, Error> {
        self.encode_with(text, false)
    }

    fn encode_with(&self, text: &str, special: bool) -> Result<Vec<u32>, Error> {
        let encoding = self.inner.encode_fast(text, special).map_err(|e| error(e.to_string()))?;
        Ok(encoding.get_ids().to_vec())
    }

    /// The text of the ids, without special tokens. Bytes that are not UTF-8 become U+FFFD.
    ///
    /// # Errors
    /// [`Error::Tokenizer`] if an id is not in the vocabulary or the decoder fails.
    pub fn decode(&self, ids: &[u32]) -> Result<String, Error> {
        // The library skips ids it does not know: text would be lost in silence.
        if let Some(id) = ids.iter().find(|id| self.inner.id_to_token(**id).is_none()) {
            return Err(error(format!("token id {id} is not in the vocabulary")));
        }
        self.inner.decode(ids, true).map_err(|e| error(e.to_string()))
    }

    /// The number of tokens, added ones included.
    #[must_use]
    pub fn vocab_size(&self) -> usize {
        self.inner.get_vocab_size(true)
    }

    /// The id of a token, by its exact text.
    #[must_use]
    pub fn token_to_id(&self, token: &str) -> Option<u32> {
        self.inner.token_to_id(token)
    }

    /// Decodes ids one by one.
    #[must_use]
    pub fn detokenizer(&self) -> Detokenizer {
        Detokenizer { tokenizer: self.clone(), ids: Vec::new(), context: 0, given: 0 }
    }
}

/// Gives out the text of a growing list of ids, never half a character.
///
/// A token's text can depend on the token before it (a leading space), and a character can be
/// spread over several tokens. So a window of ids is decoded twice: with the new id and without;
/// what the first adds is the new text, once it does not end inside a character.
#[derive(Debug, Clone)]
pub struct Detokenizer {
    tokenizer: Tokenizer,
    ids: Vec<u32>,
    /// The window begins here: the ids of the piece given out last.
    context: usize,
    /// Text up to here has been given out.
    given: usize,
}

impl Detokenizer {
    /// Takes the next id; returns the text that is now certain, which may be empty.
    ///
    /// # Errors
    /// [`Error::Tokenizer`], as [`Tokenizer::decode`]; the id is then not taken.
    pub fn push(&mut self, id: u32) -> Result<String, Error> {
        self.ids.push(id);
        let piece = self.pending();
        match &piece {
            Err(_) => _ = self.ids.pop(),
            Ok(piece) if piece.is_empty() || piece.ends_with(char::REPLACEMENT_CHARACTER) => {
                return Ok(String::new());
            }
            Ok(_) => {
                self.context = self.given;
                self.given = self.ids.len();
            }
        }
        piece
    }

    /// No id follows: gives out the rest, an unfinished character as U+FFFD.
    ///
    /// # Errors
    /// [`Error::Tokenizer`], as [`Tokenizer::decode`].
    pub fn finish(&mut self) -> Result<String, Error> {
        let rest = self.pending()?;
        self.context = self.ids.len();
        self.given = self.ids.len();
        Ok(rest)
    }

    /// The text of the ids not given out yet, read after those given out last.
    fn pending(&self) -> Result<String, Error> {
        let before = self.tokenizer.decode(&self.ids[self.context..self.given])?;
        let with = self.tokenizer.decode(&self.ids[self.context..])?;
        match with.strip_prefix(&before) {
            Some(piece) => Ok(piece.to_owned()),
            // A decoder that rewrites earlier text (clean-up of spaces): what is out stays out.
            None => Ok(with.chars().skip(before.chars().count()).collect()),
        }
    }
}

fn error(message: String) -> Error {
    Error::Tokenizer { message }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn tiny() -> Tokenizer {
        let checkpoint = Checkpoint::from_memory(crate::assets::files()).unwrap();
        Tokenizer::from_checkpoint(&checkpoint).unwrap().unwrap()
    }

    fn pieces(tokenizer: &Tokenizer, ids: &[u32]) -> Vec<String> {
        let mut detokenizer = tokenizer.detokenizer();
        let mut out: Vec<String> = ids.iter().map(|&id| detokenizer.push(id).unwrap()).collect();
        out.push(detokenizer.finish().unwrap());
        out
    }

    /// The ids of transformers' `tokenizers` 0.22 for the same file.
    #[test]
    fn encodes_as_the_reference() {
        let tokenizer = tiny();
        assert_eq!(tokenizer.encode("In the beginning").unwrap(), [990, 260, 1723, 1205]);
        assert_eq!(tokenizer.encode("Of man's first").unwrap(), [872, 409, 481, 756]);
        assert_eq!(tokenizer.decode(&[872, 409, 481, 756]).unwrap(), "Of man's first");
        assert_eq!(tokenizer.vocab_size(), 2048);
        assert_eq!(tokenizer.token_to_id("</s>"), Some(1));
    }

    #[test]
    fn special_tokens_are_left_out_of_the_text() {
        assert_eq!(tiny().decode(&[0, 872, 1]).unwrap(), "Of");
        assert_eq!(pieces(&tiny(), &[0, 872, 1]).concat(), "Of");
    }

    #[test]
    fn the_post_processor_decides_about_bos() {
        let file = crate::assets::files().into_iter().find(|f| f.0 == FILE).unwrap().1;
        let mut json: serde_json::Value = serde_json::from_slice(&file).unwrap();
        json["post_processor"] = serde_json::json!({
            "type": "TemplateProcessing",
            "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
            "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 0}}],
            "special_tokens": {"<s>": {"id": "<s>", "ids": [0], "tokens": ["<s>"]}},
        });
        // And a truncation left over from training does not cut the prompt.
        json["truncation"] = serde_json::json!(
            {"direction": "Right", "max_length": 2, "strategy": "LongestFirst", "stride": 0});
        let tokenizer = Tokenizer::from_bytes(json.to_string().as_bytes()).unwrap();
        assert_eq!(tokenizer.encode("In the beginning").unwrap(), [0, 990, 260, 1723, 1205]);
        assert_eq!(tokenizer.encode_plain("In the beginning").unwrap(), [990, 260, 1723, 1205]);
    }

    #[test]
    fn a_character_over_several_tokens_comes_out_whole() {
        let tokenizer = tiny();
        let text = "né 日本 🦀!";
        let ids = tokenizer.encode(text).unwrap();
        assert!(ids.len() > text.chars().count(), "the text must split inside characters");
        let pieces = pieces(&tokenizer, &ids);
        assert!(pieces.iter().all(|p| !p.contains(char::REPLACEMENT_CHARACTER)), "{pieces:?}");
        assert_eq!(pieces.concat(), text);
    }

    #[test]
    fn an_unfinished_character_shows_at_the_end() {
        let tokenizer = tiny();
        let mut ids = tokenizer.encode("a🦀").unwrap();
        ids.pop();
        assert_eq!(pieces(&tokenizer, &ids).concat(), "a\u{FFFD}");
    }

    #[test]
    fn unknown_ids_and_broken_files_are_errors() {
        let error = tiny().decode(&[5, 2048]).unwrap_err().to_string();
        assert!(error.contains("2048"), "{error}");
        let mut detokenizer = tiny().detokenizer();
        detokenizer.push(872).unwrap();
        detokenizer.push(99_999).unwrap_err();
        assert_eq!(detokenizer.push(409).unwrap(), " man");
        let error = Tokenizer::from_bytes(b"{\"version\": \"1.0\"}").unwrap_err().to_string();
        assert!(error.starts_with("tokenizer: tokenizer.json: "), "{error}");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]

        /// Any ids at all, broken UTF-8 included: the pieces join to the text of the whole.
        #[test]
        fn pieces_join_to_the_whole(ids in prop::collection::vec(0u32..2048, 0..40)) {
            let tokenizer = tiny_once();
            prop_assert_eq!(pieces(tokenizer, &ids).concat(), tokenizer.decode(&ids).unwrap());
        }

        /// Byte tokens alone (ids 2 to 257): mostly broken UTF-8.
        #[test]
        fn bytes_join_to_the_whole(ids in prop::collection::vec(2u32..258, 0..40)) {
            let tokenizer = tiny_once();
            prop_assert_eq!(pieces(tokenizer, &ids).concat(), tokenizer.decode(&ids).unwrap());
        }

        #[test]
        fn any_text_survives(text in "\\PC{0,40}") {
            let tokenizer = tiny_once();
            prop_assert_eq!(tokenizer.decode(&tokenizer.encode(&text).unwrap()).unwrap(), text);
        }
    }

    fn tiny_once() -> &'static Tokenizer {
        static ONCE: std::sync::OnceLock<Tokenizer> = std::sync::OnceLock::new();
        ONCE.get_or_init(tiny)
    }
}
