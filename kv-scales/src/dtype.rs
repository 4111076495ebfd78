//! The names of the KV cache dtypes, for both sides or for each.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::Error;

/// What one side (K or V) of the cache is stored as.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum KvDtype {
    /// The model's dtype, or what the checkpoint's config asks for.
    #[default]
    Auto,
    /// IEEE single precision.
    F32,
    /// IEEE half precision.
    F16,
    /// bfloat16.
    Bf16,
    /// OCP FP8 E4M3, ±448.
    Fp8E4M3,
    /// OCP FP8 E5M2, ±57344.
    Fp8E5M2,
    /// FP8 E4M3 of AMD's first generation, ±240.
    Fp8E4M3Fnuz,
    /// FP8 E5M2 of AMD's first generation, ±57344.
    Fp8E5M2Fnuz,
    /// Two's complement, ±127, symmetric.
    Int8,
    /// E4M3 with one scale per token and head, written when the token is.
    Fp8PerTokenHead,
    /// INT8 with one scale per token and head, written when the token is.
    Int8PerTokenHead,
}

/// Every dtype: the canonical name, then the other names it goes by.
const NAMES: [(KvDtype, &[&str]); 11] = [
    (KvDtype::Auto, &["auto"]),
    (KvDtype::F32, &["f32", "float32"]),
    (KvDtype::F16, &["f16", "float16"]),
    (KvDtype::Bf16, &["bf16", "bfloat16"]),
    (KvDtype::Fp8E4M3, &["fp8_e4m3", "fp8"]),
    (KvDtype::Fp8E5M2, &["fp8_e5m2"]),
    (KvDtype::Fp8E4M3Fnuz, &["fp8_e4m3fnuz"]),
    (KvDtype::Fp8E5M2Fnuz, &["fp8_e5m2fnuz"]),
    (KvDtype::Int8, &["int8"]),
    (KvDtype::Fp8PerTokenHead, &["fp8_per_token_head"]),
    (KvDtype::Int8PerTokenHead, &["int8_per_token_head"]),
];

impl KvDtype {
    /// All dtypes, `Auto` first.
    pub const ALL: [KvDtype; 11] = {
        let mut all = [KvDtype::Auto; 11];
        let mut i = 0;
        while i < all.len() {
            all[i] = NAMES[i].0;
            i += 1;
        }
        all
    };

    /// The canonical name.
    pub fn name(self) -> &'static str {
        NAMES[self as usize].1[0]
    }

    /// Whether codes are stored, so that a scale means something. `Auto` is not known yet and
    /// counts as unquantized.
    pub fn is_quantized(self) -> bool {
        !matches!(self, KvDtype::Auto | KvDtype::F32 | KvDtype::F16 | KvDtype::Bf16)
    }

    /// Whether the codes are FP8 of any format.
    pub fn is_fp8(self) -> bool {
        self.is_quantized() && !self.is_int8()
    }

    /// Whether the codes are INT8.
    pub fn is_int8(self) -> bool {
        matches!(self, KvDtype::Int8 | KvDtype::Int8PerTokenHead)
    }

    /// Whether each token and head gets its scale when it is written.
    pub fn is_per_token_head(self) -> bool {
        matches!(self, KvDtype::Fp8PerTokenHead | KvDtype::Int8PerTokenHead)
    }
}

impl fmt::Display for KvDtype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for KvDtype {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        NAMES
            .iter()
            .find(|row| row.1.contains(&name))
            .map(|row| row.0)
            .ok_or_else(|| Error::UnknownKvDtype { name: name.into(), valid: valid_names() })
    }
}

fn valid_names() -> String {
    let names: Vec<String> = NAMES
        .iter()
        .map(|(_, names)| match names {
            [one] => (*one).into(),
            many => format!("{} (= {})", many[0], many[1..].join(", ")),
        })
        .collect();
    names.join(", ")
}

/// What K and V are stored as; written `fp8`, or `k=auto,v=fp8` when they differ.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct KvDtypes {
    /// The K side.
    pub k: KvDtype,
    /// The V side.
    pub v: KvDtype,
}

impl From<KvDtype> for KvDtypes {
    fn from(both: KvDtype) -> Self {
        KvDtypes { k: both, v: both }
    }
}

impl fmt::Display for KvDtypes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.k == self.v { self.k.fmt(f) } else { f.pad(&format!("k={},v={}", self.k, self.v)) }
    }
}

impl FromStr for KvDtypes {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let unknown = || Error::UnknownKvDtype {
            name: text.into(),
            valid: format!("one name, or `k=NAME,v=NAME`, of {}", valid_names()),
        };
        let Some((a, b)) = text.split_once(',') else {
            // `k=fp8` alone would leave V to a guess.
            return if text.contains('=') {
                Err(unknown())
            } else {
                Ok(text.parse::<KvDtype>()?.into())
            };
        };
        let (a, b) = (a.trim(), b.trim());
        let (k, v) = match (a.strip_prefix("k="), b.strip_prefix("v=")) {
            (Some(k), Some(v)) => (k, v),
            _ => match (b.strip_prefix("k="), a.strip_prefix("v=")) {
                (Some(k), Some(v)) => (k, v),
                _ => return Err(unknown()),
            },
        };
        Ok(KvDtypes { k: k.parse()?, v: v.parse()? })
    }
}

macro_rules! serde_by_name {
    ($($ty:ty),*) => {$(
        impl Serialize for $ty {
            fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.collect_str(self)
            }
        }
        impl<'de> Deserialize<'de> for $ty {
            fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                String::deserialize(d)?.parse().map_err(serde::de::Error::custom)
            }
        }
    )*};
}
serde_by_name!(KvDtype, KvDtypes);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_reads_back_to_its_dtype() {
        for (i, (dtype, names)) in NAMES.iter().enumerate() {
            assert_eq!((*dtype as usize, KvDtype::ALL[i]), (i, *dtype));
            for name in *names {
                assert_eq!(name.parse::<KvDtype>().unwrap(), *dtype);
            }
            assert_eq!(dtype.to_string(), names[0]);
            assert_eq!(serde_json::to_string(dtype).unwrap(), format!("\"{}\"", names[0]));
        }
    }

    #[test]
    fn an_unknown_name_lists_the_valid_ones() {
        let message = "fp4".parse::<KvDtypes>().unwrap_err().to_string();
        assert!(message.contains("`fp4`") && message.contains("fp8_e4m3 (= fp8)"), "{message}");
        for (_, names) in NAMES {
            assert!(names.iter().all(|name| message.contains(name)), "{message}");
        }
    }

    #[test]
    fn sides_are_read_in_either_order_and_both_are_needed() {
        let mixed = KvDtypes { k: KvDtype::Auto, v: KvDtype::Fp8E4M3 };
        assert_eq!("k=auto,v=fp8".parse::<KvDtypes>().unwrap(), mixed);
        assert_eq!("v=fp8, k=auto".parse::<KvDtypes>().unwrap(), mixed);
        assert_eq!(mixed.to_string(), "k=auto,v=fp8_e4m3");
        assert_eq!("int8".parse::<KvDtypes>().unwrap(), KvDtype::Int8.into());
        assert_eq!(KvDtypes::from(KvDtype::Int8).to_string(), "int8");
        for bad in ["k=fp8", "k=fp8,k=fp8", "k=fp8,v=", "", "fp8,fp8", "k=fp8,v=fp8,v=fp8"] {
            assert!(bad.parse::<KvDtypes>().is_err(), "{bad}");
        }
    }
}
