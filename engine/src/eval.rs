//! Perplexity of a KV dtype, and its distance from an f32 cache, through the real paged cache.
//!
//! A text is cut into windows of [`WINDOW`] tokens, each its own sequence without BOS; a last
//! window that is not full is dropped. Every position but the first of a sequence is scored.

use crate::Error;
use crate::llm::Scored;
use crate::tokenizer::Tokenizer;

/// Tokens per window of a text.
pub const WINDOW: usize = 512;

/// How well a cache of one dtype predicts, and how far it is from an f32 cache.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Metrics {
    /// exp(nll).
    pub perplexity: f64,
    /// Mean negative log probability of the scored tokens, natural log.
    pub nll: f64,
    /// Mean |log probability − that with an f32 cache|, over the scored tokens.
    pub mean_abs_dlogp: f64,
    /// The fraction of all positions, the last of each sequence included, where the likeliest next
    /// token is that of an f32 cache.
    pub argmax_agreement: f64,
}

/// The windows of a text.
///
/// # Errors
/// [`Error::Eval`] if the text is shorter than one window; [`Error::Tokenizer`].
pub fn windows(tokenizer: &Tokenizer, text: &str) -> Result<Vec<Vec<u32>>, Error> {
    let ids = tokenizer.encode_plain(text)?;
    if ids.len() < WINDOW {
        let message =
            format!("the text has {} tokens, shorter than one window of {WINDOW}", ids.len());
        return Err(Error::Eval { message });
    }
    Ok(ids.chunks_exact(WINDOW).map(<[u32]>::to_vec).collect())
}

/// Sequences of token ids, from a JSON array of arrays.
///
/// # Errors
/// [`Error::Eval`] if it is not one, or an array is too short to score a position.
pub fn sequences(json: &[u8]) -> Result<Vec<Vec<u32>>, Error> {
    let refuse = |message: String| Error::Eval { message };
    let sequences: Vec<Vec<u32>> = serde_json::from_slice(json)
        .map_err(|e| refuse(format!("not a JSON array of arrays of token ids: {e}")))?;
    if sequences.is_empty() {
        return Err(refuse("there are no sequences".to_owned()));
    }
    if let Some((i, short)) = sequences.iter().enumerate().find(|(_, ids)| ids.len() < 2) {
        let message = format!(
            "sequence {i} has {} token ids, at least 2 are needed to score one",
            short.len()
        );
        return Err(refuse(message));
    }
    Ok(sequences)
}

/// The metrics of scored sequences against the same sequences scored with an f32 cache.
///
/// # Errors
/// [`Error::Eval`] if the two are not of the same sequences, hold no scored position, or a log
/// probability is not finite.
pub fn compare(scored: &[Scored], baseline: &[Scored]) -> Result<Metrics, Error> {
    let refuse = |message: String| Err(Error::Eval { message });
    let (mut nll, mut distance, mut positions) = (0.0, 0.0, 0usize);
    let (mut agreeing, mut all) = (0usize, 0usize);
    if scored.len() != baseline.len() {
        return refuse(format!("{} sequences against {}", scored.len(), baseline.len()));
    }
    for (i, (a, b)) in scored.iter().zip(baseline).enumerate() {
        if a.logprobs.len() != b.logprobs.len() || a.argmax.len() != b.argmax.len() {
            return refuse(format!("sequence {i} is not the same in both"));
        }
        for (position, (&x, &y)) in a.logprobs.iter().zip(&b.logprobs).enumerate() {
            if !(x.is_finite() && y.is_finite()) {
                let at = position + 1;
                return refuse(format!("sequence {i}: the log probability of token {at} is {x}"));
            }
            nll -= x;
            distance += (x - y).abs();
        }
        positions += a.logprobs.len();
        agreeing += a.argmax.iter().zip(&b.argmax).filter(|(x, y)| x == y).count();
        all += a.argmax.len();
    }
    if positions == 0 {
        return refuse("nothing was scored".to_owned());
    }
    let nll = nll / positions as f64;
    Ok(Metrics {
        perplexity: nll.exp(),
        nll,
        mean_abs_dlogp: distance / positions as f64,
        argmax_agreement: agreeing as f64 / all as f64,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scored(logprobs: &[f64], argmax: &[u32]) -> Scored {
        Scored { logprobs: logprobs.to_vec(), argmax: argmax.to_vec() }
    }

    #[test]
    fn metrics_by_hand() {
        let base = [scored(&[-1.0, -2.0], &[1, 2, 3]), scored(&[-4.0], &[5, 6])];
        let other = [scored(&[-1.5, -1.0], &[1, 9, 3]), scored(&[-4.0], &[5, 7])];
        let metrics = compare(&other, &base).unwrap();
        assert_eq!(metrics.nll, 6.5 / 3.0);
        assert_eq!(metrics.perplexity, (6.5f64 / 3.0).exp());
        assert_eq!(metrics.mean_abs_dlogp, 1.5 / 3.0);
        assert_eq!(metrics.argmax_agreement, 3.0 / 5.0);
        let same = compare(&base, &base).unwrap();
        assert_eq!((same.mean_abs_dlogp, same.argmax_agreement), (0.0, 1.0));
    }

    #[test]
    fn what_cannot_be_compared_is_an_error() {
        let base = [scored(&[-1.0], &[1, 2])];
        compare(&[], &base).unwrap_err();
        compare(&[], &[]).unwrap_err();
        compare(&[scored(&[-1.0, -1.0], &[1, 2])], &base).unwrap_err();
        let error = compare(&[scored(&[f64::NAN], &[1, 2])], &base).unwrap_err().to_string();
        assert!(error.contains("token 1 is NaN"), "{error}");
    }

    #[test]
    fn ids_are_read_and_refused() {
        assert_eq!(sequences(b"[[1,2],[3,4,5]]").unwrap(), [vec![1, 2], vec![3, 4, 5]]);
        for (bad, says) in [
            ("[]", "no sequences"),
            ("[[1,2],[3]]", "sequence 1 has 1"),
            ("[1,2]", "array of arrays"),
            ("[[1,-2]]", "array of arrays"),
            ("[[1,2.5]]", "array of arrays"),
            ("[[1,4294967296]]", "array of arrays"),
            ("[[1,2]", "array of arrays"),
        ] {
            let error = sequences(bad.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(says), "{bad}: {error}");
        }
    }

    #[test]
    fn a_text_is_cut_into_full_windows() {
        let files = crate::assets::files();
        let checkpoint = kv_scales::Checkpoint::from_memory(files).unwrap();
        let tokenizer = Tokenizer::from_checkpoint(&checkpoint).unwrap().unwrap();
        let text = include_str!("../assets/held-out.txt");
        let windows = windows(&tokenizer, text).unwrap();
        // The numbers and first ids of transformers' tokenizer for this text.
        assert_eq!((windows.len(), windows[0].len()), (21, WINDOW));
        assert_eq!(windows[0][..8], [696, 395, 487, 429, 270, 260, 783, 1718]);
        let error = super::windows(&tokenizer, "In the beginning").unwrap_err().to_string();
        assert!(error.contains("4 tokens"), "{error}");
    }
}
