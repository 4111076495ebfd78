//! Calibration: the scales of a KV cache from text, through the real forward pass.
//!
//! A [`Calibrator`] runs samples through the decoder with an f32 cache and looks at Q and K after
//! the rotation and at V, layer by layer, where they are about to be stored (a
//! [`Tap`](crate::model::Tap); a step that nobody watches copies nothing). What it keeps is
//! histograms, so memory does not grow with the samples, and any number of targets (dtypes,
//! observers, granularities) can be asked of one pass.
//!
//! [`Method::Attention`] looks further than the values themselves: it takes the scale with which the
//! layer's attention output, computed by the backend that will serve it, is nearest to that of the
//! unquantized cache, on a few samples of bounded length that are kept whole.

mod attention;
mod heat_map;
mod observed;
mod report;
mod run;
mod samples;

pub use heat_map::heat_map;
pub use report::{HeadReport, LayerReport, Report, TensorReport};
pub use run::{Calibration, Calibrator, Target};
pub use samples::{ChatSamples, TextSamples, check_ids};

use crate::Error;
use kv_scales::observe::Observer;
use std::fmt;
use std::str::FromStr;

/// How the scale of a tensor is chosen.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Method {
    /// By the values alone.
    Values(Observer),
    /// By the error of the layer's attention output.
    Attention,
}

impl FromStr for Method {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        match name {
            "attention" => Ok(Self::Attention),
            _ => name.parse().map(Self::Values).map_err(|e: kv_scales::Error| Error::Calibration {
                message: format!("{e}, attention"),
            }),
        }
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Values(observer) => observer.fmt(f),
            Self::Attention => f.pad("attention"),
        }
    }
}

/// The method of each tensor; written `mse`, or `k=attention,v=mse`, where Q's is K's unless it is
/// said too.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Methods {
    /// For Q.
    pub q: Method,
    /// For K.
    pub k: Method,
    /// For V.
    pub v: Method,
}

impl Methods {
    /// Whether any tensor needs whole samples.
    #[must_use]
    pub fn use_attention(&self) -> bool {
        [self.q, self.k, self.v].contains(&Method::Attention)
    }
}

impl From<Method> for Methods {
    fn from(all: Method) -> Self {
        Self { q: all, k: all, v: all }
    }
}

impl FromStr for Methods {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        if !text.contains('=') {
            return Ok(text.parse::<Method>()?.into());
        }
        let wrong = || Error::Calibration {
            message: format!("observers {text:?}: write NAME, or k=NAME,v=NAME and q=NAME"),
        };
        let (mut q, mut k, mut v) = (None, None, None);
        for part in text.split(',') {
            let (tensor, name) = part.trim().split_once('=').ok_or_else(wrong)?;
            let place = match tensor {
                "q" => &mut q,
                "k" => &mut k,
                "v" => &mut v,
                _ => return Err(wrong()),
            };
            if place.replace(name.parse::<Method>()?).is_some() {
                return Err(wrong());
            }
        }
        let (k, v) = (k.ok_or_else(wrong)?, v.ok_or_else(wrong)?);
        Ok(Self { q: q.unwrap_or(k), k, v })
    }
}

impl fmt::Display for Methods {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { q, k, v } = self;
        if q == k && k == v { k.fmt(f) } else { f.pad(&format!("q={q},k={k},v={v}")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_are_read_and_written() {
        for text in ["mse", "attention", "percentile:99.9", "q=absmax,k=attention,v=mse"] {
            assert_eq!(text.parse::<Methods>().unwrap().to_string(), text);
        }
        let methods: Methods = "v=mse, k=absmax".parse().unwrap();
        assert_eq!((methods.q, methods.use_attention()), (methods.k, false));
        for bad in ["", "max", "k=mse", "k=mse,v=mse,k=mse", "x=mse,k=mse,v=mse", "k=mse,v=", "k=v"]
        {
            bad.parse::<Methods>().unwrap_err();
        }
        let error = "best".parse::<Methods>().unwrap_err().to_string();
        assert!(error.contains("`best`") && error.ends_with("attention"), "{error}");
    }
}
