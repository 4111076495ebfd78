//! Which tensor names are KV-cache scales, and which slot of which layer each fills.
//!
//! [`FORMS`] is the whole knowledge: every spelling that exporters have used. A name that looks
//! like a KV scale and matches none of them is reported, never dropped.

/// The four scales of an attention layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Slot {
    /// The query scale.
    Q,
    /// The key scale.
    K,
    /// The value scale.
    V,
    /// The scale of the softmax probabilities.
    Prob,
}

impl Slot {
    /// All slots, in the order of a layer's fields.
    pub const ALL: [Slot; 4] = [Slot::Q, Slot::K, Slot::V, Slot::Prob];

    /// `q`, `k`, `v` or `prob`.
    pub fn name(self) -> &'static str {
        ["q", "k", "v", "prob"][self as usize]
    }
}

impl std::fmt::Display for Slot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// The spellings after `layers.N.`, best first: of two names for one slot, the earlier row is the
/// one that counts. Braces stand for one of the letters, the same one throughout a name.
const FORMS: [(&str, Fills); 27] = [
    // Direct.
    ("self_attn.{q,k,v}_scale", Fills::Letter),
    ("self_attn.attn.{q,k,v}_scale", Fills::Letter),
    ("attn.{q,k,v}_scale", Fills::Letter),
    ("self_attn.prob_scale", Fills::Prob),
    ("self_attn.attn.prob_scale", Fills::Prob),
    ("attn.prob_scale", Fills::Prob),
    ("prob_scale", Fills::Prob),
    ("self_attn.prob_output_scale", Fills::Prob),
    // Multi-head latent attention.
    ("self_attn.mla_attn.{q,k,v}_scale", Fills::Letter),
    ("self_attn.mla_attn.prob_scale", Fills::Prob),
    // ModelOpt and others: on the projection, plain or fused, one of them misspelt.
    ("self_attn.{k,v}_proj.{k,v}_scale", Fills::Letter),
    ("self_attn.qkv_proj.{k,v}_scale", Fills::Letter),
    ("self_attn.qkqkv_proj.{k,v}_scale", Fills::Letter),
    ("mixer.{k,v}_proj.{k,v}_scale", Fills::Letter),
    // FP8 and Quark: the output of the projection is what is cached.
    ("self_attn.{q,k,v}_proj.output_scale", Fills::Letter),
    ("attn.{q,k,v}_proj.output_scale", Fills::Letter),
    ("mixer.{q,k,v}_proj.output_scale", Fills::Letter),
    // As modules of their own.
    ("self_attn.q.scale", Fills::Q),
    ("self_attn.{k,v}_cache.scale", Fills::Letter),
    // One for both, deprecated.
    ("self_attn.kv_scale", Fills::BothAsK),
    ("self_attn.attn.kv_scale", Fills::BothAsK),
    ("self_attn.mla_attn.kv_scale", Fills::BothAsK),
    ("self_attn.qkv_proj.kv_scale", Fills::BothAsK),
    ("self_attn.kv_cache.scale", Fills::BothAsK),
    ("attn.kv_scale", Fills::BothAsK),
    ("mixer.kv_scale", Fills::BothAsK),
    ("kv_scale", Fills::BothAsK),
];

/// What a row of [`FORMS`] fills.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fills {
    /// The slot of the letter in braces.
    Letter,
    Q,
    Prob,
    /// K, and V by duplication: the old single scale.
    BothAsK,
}

/// Parts of models that have attention of their own, outside the language model and its cache.
const OTHER_TOWERS: [&str; 10] = [
    "vision_tower",
    "vision_model",
    "vision_encoder",
    "visual",
    "vit",
    "audio_tower",
    "audio_model",
    "audio_encoder",
    "multi_modal_projector",
    "mm_projector",
];

/// What a tensor's name says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// Nothing of ours.
    NotAScale,
    /// A KV scale, or its zero point, in a known spelling.
    Scale(ScaleName),
    /// A scale in a vision or audio tower: no KV cache of ours.
    OtherTower,
    /// Looks like a KV scale, in no known spelling.
    Unknown,
}

impl Meaning {
    /// A scale of the language model's cache, in whatever spelling.
    pub(crate) fn is_ours(self) -> bool {
        matches!(self, Meaning::Scale(_) | Meaning::Unknown)
    }
}

/// A known spelling, read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ScaleName {
    pub(crate) layer: usize,
    pub(crate) slot: Slot,
    /// The row of [`FORMS`]: the smaller counts.
    pub(crate) rank: usize,
    pub(crate) zero_point: bool,
    /// The single `kv_scale`.
    pub(crate) deprecated: bool,
}

/// Reads a tensor's name.
pub(crate) fn read(name: &str) -> Meaning {
    // Nearly every tensor of a checkpoint leaves here.
    if !name.contains("scal") && !name.ends_with("zero_point") && !name.ends_with("_amax") {
        return Meaning::NotAScale;
    }
    let known = split_at_layer(name).and_then(|(layer, rest)| match_forms(layer, rest));
    if known.is_none() && !looks_like_kv_scale(name) {
        return Meaning::NotAScale;
    }
    if in_other_tower(name) {
        return Meaning::OtherTower;
    }
    known.map_or(Meaning::Unknown, Meaning::Scale)
}

/// Whether a tensor belongs to a vision or audio tower.
pub(crate) fn in_other_tower(name: &str) -> bool {
    name.split('.').any(|segment| OTHER_TOWERS.contains(&segment))
}

/// `prefix.layers.N.rest` → (N, rest); the last `layers.N` counts.
fn split_at_layer(name: &str) -> Option<(usize, &str)> {
    let mut at = name.len();
    while let Some(found) = name[..at].rfind("layers.") {
        at = found;
        // A prefix may end in anything that is not part of a word: `.`, or `:` of a side file.
        let whole = name[..at].chars().next_back().is_none_or(|c| !c.is_alphanumeric() && c != '_');
        let (number, rest) = name[at + "layers.".len()..].split_once('.').unwrap_or_default();
        // One spelling per layer: `layers.07` is nobody's.
        let canonical = !number.is_empty()
            && number.len() <= 9
            && number.bytes().all(|b| b.is_ascii_digit())
            && (number == "0" || !number.starts_with('0'));
        if whole && canonical {
            return Some((number.parse().ok()?, rest));
        }
    }
    None
}

fn match_forms(layer: usize, rest: &str) -> Option<ScaleName> {
    let stem = rest.strip_suffix("zero_point");
    let zero_point = stem.is_some();
    let stem = stem.or_else(|| rest.strip_suffix("scale"))?;
    FORMS.iter().enumerate().find_map(|(rank, &(form, fills))| {
        let form = form.strip_suffix("scale")?;
        let slot = match fills {
            Fills::Letter => {
                [('q', Slot::Q), ('k', Slot::K), ('v', Slot::V)]
                    .into_iter()
                    .find(|(letter, _)| matches(form, stem, *letter))?
                    .1
            }
            Fills::Q | Fills::Prob | Fills::BothAsK if form != stem => return None,
            Fills::Q => Slot::Q,
            Fills::Prob => Slot::Prob,
            Fills::BothAsK => Slot::K,
        };
        let deprecated = fills == Fills::BothAsK;
        Some(ScaleName { layer, slot, rank, zero_point, deprecated })
    })
}

/// Whether `text` is `form` with every `{a,b}` replaced by `letter`, which each must list.
fn matches(form: &str, text: &str, letter: char) -> bool {
    let mut text = text;
    for (i, part) in form.split('{').enumerate() {
        let plain = if i == 0 {
            part
        } else {
            let (letters, plain) = part.split_once('}').unwrap_or_default();
            let Some(after) = text.strip_prefix(letter).filter(|_| letters.contains(letter)) else {
                return false;
            };
            text = after;
            plain
        };
        let Some(after) = text.strip_prefix(plain) else { return false };
        text = after;
    }
    text.is_empty()
}

/// Whether a name, in whatever spelling, speaks of the scale of q, k, v, their cache or the
/// probabilities. The scales of linear layers (`weight_scale`, `input_scale`, …) and learnt
/// parameters (`logit_scale`, `q_norm.scale`, …) do not.
fn looks_like_kv_scale(name: &str) -> bool {
    const WHOSE: [&str; 14] = [
        "q", "k", "v", "kv", "qkv", "p", "prob", "probs", "softmax", "query", "key", "value",
        "keys", "values",
    ];
    const WHAT: [&str; 9] = [
        "scale",
        "scales",
        "scale_inv",
        "scaling_factor",
        "zero_point",
        "output_scale",
        "output_zero_point",
        "amax",
        "_amax",
    ];
    // Words that may stand between, as in `k_cache_scale`, `kv_cache_rcp_scaling_factor`.
    const BETWEEN: [&str; 8] =
        ["cache", "proj", "output", "rcp", "bmm", "quantizer", "descale", "static"];
    let (parent, last) = name.rsplit_once('.').unwrap_or(("", name));
    let parent = parent.rsplit('.').next().unwrap_or("");
    let words_of_ours = |text: &str| {
        let mut words = text.split('_');
        words.next().is_some_and(|first| WHOSE.contains(&first))
            && words.all(|word| BETWEEN.contains(&word))
    };
    // `k_proj.scale` is the weight's scale of an FP8 linear layer, `k_proj.output_scale` is ours.
    let own = WHAT.contains(&last)
        && words_of_ours(parent)
        && (last.starts_with("output") || !parent.ends_with("proj"));
    own || WHAT.iter().any(|what| {
        last.strip_suffix(what).and_then(|stem| stem.strip_suffix('_')).is_some_and(words_of_ours)
    })
}

#[cfg(test)]
#[path = "names_tests.rs"]
mod tests;
