//! Observers: from the activations of a model to the scale of each tensor. Pure: values come in as
//! slices and scales go out; where they come from and what becomes of them is the caller's matter.
//!
//! Everything is kept in a [`Histogram`] of magnitudes in log2 bins beside the exact extremes, so
//! memory does not depend on how much is observed, and every [`Observer`] can be asked of the same
//! pass: the extremes for `absmax`, the bins for `percentile` and `mse`, and a moving average of the
//! extremes of each batch for `minmax`. Errors are those of the codecs of `fp8-format` on points of
//! the bins, in the very format the cache will store.
//!
//! ```
//! use kv_scales::observe::{Format, Observer, TensorObserver};
//! use kv_scales::{KvDtype, ScaleValue, Slot, scheme::Strategy};
//!
//! let mut keys = TensorObserver::new(0, Slot::K, 2, 4); // layer 0, two heads of four
//! keys.observe(&[0.5, -1.0, 2.0, 0.1, 8.0, -4.0, 1.0, 3.0])?; // one token
//! keys.end_batch();
//! let int8 = Format::new(KvDtype::Int8)?;
//! let scales = keys.scales(Observer::Absmax, int8, Strategy::AttnHead)?;
//! assert_eq!(scales, ScaleValue::PerHead([2.0 / 127.0, 8.0 / 127.0].into()));
//! assert!(keys.fidelity(int8, &scales)?[0].sqnr_db > 40.0);
//! # Ok::<(), kv_scales::Error>(())
//! ```

mod format;
mod histogram;
mod range;
mod search;
mod tensor;

pub use format::Format;
pub use histogram::{BINS_PER_OCTAVE, Histogram};
pub use range::AVERAGING_CONSTANT;
pub use search::{Grid, least_error};
pub use tensor::{Fidelity, TensorObserver};

use std::fmt;
use std::str::FromStr;

use crate::Error;

/// How a scale is chosen from what was seen.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Observer {
    /// The largest magnitude uses the format's largest value: nothing saturates.
    /// llm-compressor's `static_minmax`.
    Absmax,
    /// The same of a moving average of each batch's extremes: llm-compressor's `minmax`. The first
    /// batch weighs most, and later ones can exceed the range.
    MinMax,
    /// That percentage of the magnitudes, in (0, 100], is inside the range.
    Percentile(f64),
    /// The least squared error of the values as they are stored. Of a head's scales within 5% of the
    /// least (0.2 dB) it is that nearest to what all heads together would have.
    Mse,
}

const PERCENTILE: f64 = 99.99;
const VALID: &str =
    "absmax, minmax, mse, percentile (= percentile:99.99), percentile:P with 0 < P <= 100";

impl FromStr for Observer {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        let unknown =
            || Error::UnknownOption { option: "observer", value: name.into(), valid: VALID };
        match name {
            "absmax" => Ok(Observer::Absmax),
            "minmax" => Ok(Observer::MinMax),
            "mse" => Ok(Observer::Mse),
            "percentile" => Ok(Observer::Percentile(PERCENTILE)),
            _ => {
                let number = name.strip_prefix("percentile:").ok_or_else(unknown)?;
                let number: f64 = number.parse().map_err(|_| unknown())?;
                if number > 0.0 && number <= 100.0 {
                    Ok(Observer::Percentile(number))
                } else {
                    Err(unknown())
                }
            }
        }
    }
}

impl fmt::Display for Observer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Observer::Absmax => f.pad("absmax"),
            Observer::MinMax => f.pad("minmax"),
            Observer::Mse => f.pad("mse"),
            Observer::Percentile(p) => f.pad(&format!("percentile:{p}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_back_and_others_are_refused() {
        for name in ["absmax", "minmax", "mse", "percentile:99.5"] {
            assert_eq!(name.parse::<Observer>().unwrap().to_string(), name);
        }
        assert_eq!("percentile".parse::<Observer>().unwrap(), Observer::Percentile(99.99));
        for bad in ["", "max", "percentile:", "percentile:0", "percentile:100.1", "percentile:NaN"]
        {
            let error = bad.parse::<Observer>().unwrap_err().to_string();
            assert!(error.contains("observer") && error.contains("absmax"), "{error}");
        }
    }
}
