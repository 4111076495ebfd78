//! Calibration text as samples of token ids, read as they are needed: windows of a plain text, or
//! one conversation or text per line of JSON.

use crate::Error;
use crate::chat::{ChatTemplate, Message};
use crate::tokenizer::Tokenizer;
use serde::Deserialize;
use std::io::{BufRead, Read};

/// Text is tokenized in pieces of about this size, cut between lines, else between words.
const PIECE: usize = 1 << 16;
/// A line of JSON may have this many bytes.
const MAX_LINE: usize = 1 << 24;

fn refuse(message: String) -> Error {
    Error::Calibration { message }
}

/// Checks one sample before it is run.
///
/// # Errors
/// When it is empty or longer than `max_seq_len`, or a token is not in the vocabulary.
pub fn check_ids(
    sample: usize,
    ids: &[u32],
    max_seq_len: usize,
    vocab_size: usize,
) -> Result<(), Error> {
    if ids.is_empty() || ids.len() > max_seq_len {
        let len = ids.len();
        return Err(refuse(format!(
            "sample {sample} has {len} tokens, must be 1 to {max_seq_len}"
        )));
    }
    match ids.iter().find(|id| **id as usize >= vocab_size) {
        Some(&token) => Err(Error::TokenOutOfRange { token, vocab_size }),
        None => Ok(()),
    }
}

/// Full windows of a text, one after the other, without BOS. What is left over at the end is
/// dropped; a text of less than one window is an error.
pub struct TextSamples<R> {
    reader: R,
    tokenizer: Tokenizer,
    max_seq_len: usize,
    /// Bytes that are read at once.
    piece: usize,
    bytes: Vec<u8>,
    ids: Vec<u32>,
    given: usize,
    at_end: bool,
}

impl<R: Read> TextSamples<R> {
    /// The windows of `max_seq_len` tokens of what `reader` gives.
    pub fn new(reader: R, tokenizer: Tokenizer, max_seq_len: usize) -> Self {
        let (bytes, ids) = (Vec::new(), Vec::new());
        Self { reader, tokenizer, max_seq_len, piece: PIECE, bytes, ids, given: 0, at_end: false }
    }

    fn next_window(&mut self) -> Result<Option<Vec<u32>>, Error> {
        while self.ids.len() < self.max_seq_len && !self.at_end {
            self.read_piece()?;
        }
        if self.ids.len() >= self.max_seq_len {
            let rest = self.ids.split_off(self.max_seq_len);
            self.given += 1;
            return Ok(Some(std::mem::replace(&mut self.ids, rest)));
        }
        if self.given > 0 {
            return Ok(None);
        }
        let (len, window) = (self.ids.len(), self.max_seq_len);
        Err(refuse(match len {
            0 => "the text is empty".to_owned(),
            _ => format!("the text has {len} tokens, shorter than one window of {window}"),
        }))
    }

    /// Tokenizes the next piece of the text.
    fn read_piece(&mut self) -> Result<(), Error> {
        let broken = |e: std::io::Error| refuse(format!("cannot be read: {e}"));
        let piece = self.piece.max(self.bytes.len()) as u64;
        let got = self.reader.by_ref().take(piece).read_to_end(&mut self.bytes).map_err(broken)?;
        self.at_end = (got as u64) < piece;
        let cut = if self.at_end { self.bytes.len() } else { cut(&self.bytes) };
        let rest = self.bytes.split_off(cut);
        let text = String::from_utf8(std::mem::replace(&mut self.bytes, rest))
            .map_err(|e| refuse(e.to_string()))?;
        self.ids.extend(self.tokenizer.encode_plain(&text)?);
        Ok(())
    }
}

/// Where text can be cut so that tokens hardly differ: before the last line that begins with a word
/// or, in a text without lines, before the last space; else nowhere yet.
fn cut(bytes: &[u8]) -> usize {
    let line = |w: &[u8]| w[0] == b'\n' && !w[1].is_ascii_whitespace();
    let word = |w: &[u8]| !w[0].is_ascii_whitespace() && w[1] == b' ';
    let at = |wanted: &dyn Fn(&[u8]) -> bool| bytes.windows(2).rposition(wanted).map(|i| i + 1);
    at(&line).or_else(|| at(&word)).unwrap_or(0)
}

impl<R: Read> Iterator for TextSamples<R> {
    type Item = Result<Vec<u32>, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_window().transpose()
    }
}

/// One sample per line of JSON: `{"messages": [{"role", "content"}, …]}` through the chat template,
/// or `{"text": …}` with the tokenizer's special tokens. Longer ones are cut at `max_seq_len`.
pub struct ChatSamples<R> {
    reader: R,
    tokenizer: Tokenizer,
    template: Option<ChatTemplate>,
    max_seq_len: usize,
    line: usize,
    given: usize,
}

#[derive(Deserialize)]
struct Line {
    messages: Option<Vec<Message>>,
    text: Option<String>,
}

impl<R: BufRead> ChatSamples<R> {
    /// The samples of what `reader` gives. Without a template only `text` is taken.
    pub fn new(
        reader: R,
        tokenizer: Tokenizer,
        template: Option<ChatTemplate>,
        max_seq_len: usize,
    ) -> Self {
        Self { reader, tokenizer, template, max_seq_len, line: 0, given: 0 }
    }

    fn next_line(&mut self) -> Result<Option<Vec<u32>>, Error> {
        let mut bytes = Vec::new();
        loop {
            self.line += 1;
            let number = self.line;
            let at = |message: String| refuse(format!("line {number}: {message}"));
            bytes.clear();
            let mut limited = self.reader.by_ref().take(MAX_LINE as u64 + 1);
            limited.read_until(b'\n', &mut bytes).map_err(|e| at(e.to_string()))?;
            if bytes.is_empty() {
                return match self.given {
                    0 => Err(refuse("there are no samples".to_owned())),
                    _ => Ok(None),
                };
            }
            if bytes.len() > MAX_LINE {
                return Err(at(format!("more than {MAX_LINE} bytes")));
            }
            if bytes.trim_ascii().is_empty() {
                continue;
            }
            let line: Line = serde_json::from_slice(&bytes).map_err(|e| at(e.to_string()))?;
            let mut ids = match (&line.messages, &line.text, &self.template) {
                (Some(messages), None, Some(template)) => {
                    let text = template.render(messages, false).map_err(|e| at(e.to_string()))?;
                    self.tokenizer.encode_plain(&text)?
                }
                (Some(_), None, None) => return Err(at("the model has no chat template".into())),
                (None, Some(text), _) => self.tokenizer.encode(text)?,
                _ => return Err(at("neither `messages` nor `text`, or both".into())),
            };
            ids.truncate(self.max_seq_len);
            if ids.is_empty() {
                return Err(at("the sample is empty".into()));
            }
            self.given += 1;
            return Ok(Some(ids));
        }
    }
}

impl<R: BufRead> Iterator for ChatSamples<R> {
    type Item = Result<Vec<u32>, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_line().transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tiny() -> Tokenizer {
        let checkpoint = kv_scales::Checkpoint::from_memory(crate::assets::files()).unwrap();
        Tokenizer::from_checkpoint(&checkpoint).unwrap().unwrap()
    }

    const TEXT: &str = include_str!("../../assets/held-out.txt");

    #[test]
    fn windows_of_a_text_are_those_of_the_whole() {
        let whole = tiny().encode_plain(TEXT).unwrap();
        for (text, piece) in
            [(TEXT.to_owned(), PIECE), (TEXT.to_owned(), 3000), (TEXT.repeat(3), PIECE)]
        {
            let whole = tiny().encode_plain(&text).unwrap();
            let mut samples = TextSamples::new(text.as_bytes(), tiny(), 100);
            samples.piece = piece;
            let samples: Vec<Vec<u32>> = samples.map(Result::unwrap).collect();
            assert_eq!(samples.concat(), whole[..whole.len() / 100 * 100]);
        }
        let first = TextSamples::new(TEXT.as_bytes(), tiny(), whole.len()).next().unwrap();
        assert_eq!(first.unwrap(), whole);
    }

    #[test]
    fn a_text_that_is_too_short_empty_or_no_text_is_refused() {
        let error = |bytes: &[u8]| {
            let mut samples = TextSamples::new(bytes, tiny(), 100);
            samples.next().unwrap().unwrap_err().to_string()
        };
        assert_eq!(error(b""), "the text is empty");
        let short = error(b"In the beginning");
        assert_eq!(short, "the text has 4 tokens, shorter than one window of 100");
        assert!(error(b"caf\xe9").contains("utf-8"));
    }

    #[test]
    fn text_is_cut_between_lines_or_words() {
        assert_eq!(cut(b"one\ntwo\n\n three\nfour five"), 16);
        assert_eq!(cut(b"one two  three"), 7);
        assert_eq!(cut(b"onetwo"), 0);
    }

    #[test]
    fn what_cannot_be_cut_is_read_to_its_end() {
        for text in ["x".repeat(1000) + " y", "In the beginning ".repeat(200)] {
            let whole = tiny().encode_plain(&text).unwrap();
            let mut samples = TextSamples::new(text.as_bytes(), tiny(), 10);
            samples.piece = 64;
            let ids = samples.collect::<Result<Vec<_>, _>>().unwrap().concat();
            assert_eq!(ids, whole[..whole.len() / 10 * 10]);
        }
    }

    #[test]
    fn lines_are_rendered_and_broken_ones_named() {
        let template =
            "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}".to_owned();
        let samples = |text: &str, with: bool| {
            let template = with.then(|| ChatTemplate::new(&template, Default::default()).unwrap());
            ChatSamples::new(text.as_bytes(), tiny(), template, 8)
                .collect::<Result<Vec<_>, _>>()
                .map_err(|e| e.to_string())
        };
        let chat = r#"{"messages": [{"role": "user", "content": "In the beginning"}], "id": 3}"#;
        let text = "{\"text\": \"In the beginning\"}";
        let both = samples(&format!("{chat}\n\n{text}\n"), true).unwrap();
        assert_eq!(both[1], [990, 260, 1723, 1205]);
        let rendered = tiny().encode_plain("<user>In the beginning").unwrap();
        assert_eq!(both[0], rendered[..rendered.len().min(8)]);
        for (lines, with, says) in [
            ("", true, "no samples"),
            (chat, false, "line 1: the model has no chat template"),
            ("{}", true, "line 1: neither"),
            (&format!("{text}\n{{"), true, "line 2"),
            ("{\"text\": \"\"}", true, "line 1: the sample is empty"),
        ] {
            let error = samples(lines, with).unwrap_err();
            assert!(error.contains(says), "{lines}: {error}");
        }
    }

    #[test]
    fn ids_are_checked() {
        check_ids(0, &[1, 2], 2, 3).unwrap();
        for (ids, says) in [(&[][..], "0 tokens"), (&[1, 1, 1], "1 to 2"), (&[3], "token id 3")] {
            let error = check_ids(7, ids, 2, 3).unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
    }
}
