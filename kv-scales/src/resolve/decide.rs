//! The decision table: from what was loaded for a layer to its four scales.
//!
//! Unset (`None`) → loaded ([`Loaded`]) → resolved ([`Scale`]) or pending, each a type of its own.

use fp8_format::ElementType;

use crate::model::LayerShape;
use crate::names::Slot;
use crate::scale::{LayerScales, Origin, Scale};
use crate::scheme::Strategy;
use crate::{Error, KvDtype, KvDtypes};

use super::assign::{LayerTensors, SlotTensors, filled};
use super::format::{codes, factor};
use super::loaded::{At, Loaded, LoadedValues, check_zero_point, decode};
use super::options::{QFallback, ResolveOptions};
use super::warning::{WarningCode, Warnings};

/// One layer's resolution.
pub(super) struct Decision<'a> {
    pub(super) layer: usize,
    pub(super) shape: LayerShape,
    /// What this layer stores: the model's dtype where it is exempt.
    pub(super) dtypes: KvDtypes,
    pub(super) tensors: &'a LayerTensors<'a>,
    /// What the checkpoint's scales were calibrated for.
    pub(super) calibrated: KvDtypes,
    /// The granularity the config tells.
    pub(super) strategy: Option<Strategy>,
    pub(super) options: &'a ResolveOptions,
    pub(super) warnings: &'a mut Warnings,
}

/// Whether a side has static scales, those this table is about.
fn is_static(dtype: KvDtype) -> bool {
    dtype.is_quantized() && !dtype.is_per_token_head()
}

impl Decision<'_> {
    /// An exempt layer, or one without attention: nothing is scaled.
    pub(super) fn skipped(mut self) -> LayerScales {
        self.ignore(WarningCode::IgnoredSkipped, Slot::ALL);
        let one = || Scale::one(Origin::Skipped);
        self.finish(one(), one(), one(), one())
    }

    pub(super) fn resolve(mut self) -> Result<LayerScales, Error> {
        let KvDtypes { k, v } = self.dtypes;
        if !k.is_quantized() && !v.is_quantized() {
            self.ignore(WarningCode::IgnoredUnquantized, Slot::ALL);
            let [q, k, v, prob] = Slot::ALL.map(|slot| self.ignored(slot));
            return Ok(self.finish(q, k, v, prob));
        }
        let q = self.load_scaled(Slot::Q)?;
        let prob = match self.load_scaled(Slot::Prob)? {
            Some(scale) => scale,
            None => Scale::one(Origin::Default),
        };
        let any_static = is_static(k) || is_static(v);
        let calculate = self.options.calculate_kv_scales && any_static;
        if calculate && q.is_some() {
            self.warn(WarningCode::CalculateDisabledByQ, String::new());
        }
        let (k, v) = match calculate && q.is_none() {
            true => (self.pending(Slot::K), self.pending(Slot::V)),
            false => self.table()?,
        };
        let q = match q {
            Some(scale) => scale,
            None if calculate => Scale::pending(),
            None => self.q_fallback(&k),
        };
        let layer = self.finish_warned(q, k, v, prob);
        Ok(layer)
    }

    /// k and v, by what is loaded for the sides that have static scales.
    fn table(&mut self) -> Result<(Scale, Scale), Error> {
        let (k_static, v_static) = (is_static(self.dtypes.k), is_static(self.dtypes.v));
        let k = if k_static { self.load(Slot::K)? } else { None };
        let v = if v_static { self.load(Slot::V)? } else { None };
        // Two static sides stand for each other; a side alone does not hear of the other.
        let (k, v) = match (k_static && v_static, k, v) {
            (true, Some(k), None) => {
                if !k.deprecated {
                    self.warn(WarningCode::VDuplicatedFromK, k.tensor.clone());
                }
                let v = self.scaled(Slot::V, &k)?.map(duplicated);
                (self.scaled(Slot::K, &k)?, v)
            }
            (true, None, Some(v)) => {
                if self.options.strict {
                    return Err(Error::MissingKScale { layer: self.layer, tensor: v.tensor });
                }
                self.warn(WarningCode::MissingKScale, v.tensor.clone());
                (Some(Scale::one(Origin::Default)), self.scaled(Slot::V, &v)?)
            }
            (_, k, v) => {
                let k = k.map(|k| self.scaled(Slot::K, &k)).transpose()?.flatten();
                (k, v.map(|v| self.scaled(Slot::V, &v)).transpose()?.flatten())
            }
        };
        Ok((self.or_default(Slot::K, k), self.or_default(Slot::V, v)))
    }

    fn or_default(&mut self, slot: Slot, scale: Option<Scale>) -> Scale {
        let dtype = self.dtype(slot);
        if !is_static(dtype) {
            return self.without_static(slot);
        }
        scale.unwrap_or_else(|| {
            let int8 = dtype.is_int8();
            let code = if int8 { WarningCode::Int8DefaultScale } else { WarningCode::DefaultScale };
            self.warn(code, String::new());
            Scale::one(Origin::Default)
        })
    }

    /// A side that is calculated from the first batch, or has nothing to calculate.
    fn pending(&mut self, slot: Slot) -> Scale {
        if !is_static(self.dtype(slot)) {
            return self.without_static(slot);
        }
        self.ignore(WarningCode::LoadedIgnoredOnTheFly, [slot]);
        Scale::pending()
    }

    /// A side that is unquantized or dynamic, beside one that may not be.
    fn without_static(&mut self, slot: Slot) -> Scale {
        if self.dtype(slot).is_per_token_head() {
            self.ignore(WarningCode::IgnoredDynamic, [slot]);
            return Scale::dynamic();
        }
        self.ignore(WarningCode::IgnoredUnquantized, [slot]);
        self.ignored(slot)
    }

    fn q_fallback(&mut self, k: &Scale) -> Scale {
        let from_k = self.options.q_fallback == QFallback::KScale && is_static(self.dtypes.k);
        if !from_k {
            self.warn(WarningCode::QFallback, "set to 1.0".into());
            return Scale::one(Origin::Default);
        }
        self.warn(WarningCode::QFallback, "set to the k scale".into());
        let value = match &k.value {
            // One per query head, each that of its KV head.
            crate::ScaleValue::PerHead(values) if !values.is_empty() => {
                let group = (self.shape.num_heads / values.len()).max(1);
                let heads = 0..self.shape.num_heads;
                let of = |head: usize| values[(head / group).min(values.len() - 1)];
                crate::ScaleValue::PerHead(heads.map(of).collect())
            }
            other => other.clone(),
        };
        Scale { value, origin: Origin::FallbackKScale }
    }

    /// The loaded scale of q or prob, ready for use.
    fn load_scaled(&mut self, slot: Slot) -> Result<Option<Scale>, Error> {
        match self.load(slot)? {
            Some(loaded) => self.scaled(slot, &loaded),
            None => Ok(None),
        }
    }

    /// What the checkpoint holds for a slot: every name for it read, checked and agreeing.
    fn load(&mut self, slot: Slot) -> Result<Option<Loaded>, Error> {
        let SlotTensors { scales, zero_points } = &self.tensors[slot as usize];
        let heads = match slot {
            Slot::Q => Some(self.shape.num_heads),
            Slot::K | Slot::V => Some(self.shape.num_kv_heads),
            Slot::Prob => None,
        };
        for raw in zero_points {
            let at = At { tensor: &raw.name, layer: self.layer, slot };
            if let Err(error) = check_zero_point(raw, &at) {
                self.strict_or_warn(WarningCode::InvalidScale, error)?;
                return Ok(None);
            }
        }
        let mut found: Option<Loaded> = None;
        for candidate in scales {
            let raw = candidate.raw;
            let at = At { tensor: &raw.name, layer: self.layer, slot };
            let values = match decode(raw, heads, &at) {
                Ok(values) => values,
                Err(error) => {
                    self.strict_or_warn(WarningCode::InvalidScale, error)?;
                    continue;
                }
            };
            if candidate.deprecated {
                self.warn(WarningCode::DeprecatedKvScale, raw.name.clone());
            }
            match &found {
                None => {
                    let deprecated = candidate.deprecated;
                    found = Some(Loaded { tensor: raw.name.clone(), values, deprecated });
                }
                Some(first) if first.values == values => {
                    let both = format!("`{}` is used, `{}` is not", first.tensor, raw.name);
                    self.warn(WarningCode::DuplicateName, both);
                }
                Some(first) => {
                    return Err(Error::ConflictingScales {
                        layer: self.layer,
                        slot,
                        first: first.tensor.clone(),
                        second: raw.name.clone(),
                    });
                }
            }
        }
        if let Some(loaded) = &found {
            self.check_plausible(loaded, slot);
        }
        Ok(found)
    }

    /// A loaded scale in the format it is used in. `None`: lenient, and it cannot be used.
    fn scaled(&mut self, slot: Slot, loaded: &Loaded) -> Result<Option<Scale>, Error> {
        let (used, calibrated) = (self.dtype(slot), self.calibrated_for(slot));
        let at = At { tensor: &loaded.tensor, layer: self.layer, slot };
        let element = |dtype| codes(dtype, self.options.platform).unwrap_or(ElementType::F8E4M3);
        // What a checkpoint holds is in OCP form whatever the platform is.
        let from = codes(calibrated, super::Platform::Ocp).unwrap_or(ElementType::F8E4M3);
        let Some(factor) = factor(from, element(used), self.options.rescale) else {
            let error = Error::ScaleDtypeMismatch {
                tensor: loaded.tensor.clone(),
                layer: self.layer,
                slot,
                calibrated,
                used,
            };
            self.strict_or_warn(WarningCode::ScaleDtypeMismatch, error)?;
            return Ok(None);
        };
        let value = match loaded.values.scaled(factor, &at) {
            Ok(value) => value,
            Err(error) => {
                self.strict_or_warn(WarningCode::InvalidScale, error)?;
                return Ok(None);
            }
        };
        if factor != 1.0 && factor != 2.0 {
            self.warn(WarningCode::Rescaled, format!("{calibrated} to {used}, × {factor:.6}"));
        }
        let tensor = loaded.tensor.as_str().into();
        Ok(Some(Scale { value, origin: Origin::Checkpoint { tensor, factor } }))
    }

    /// The side whose format a slot's scale belongs to: Q is multiplied with K, P with V, where
    /// those are quantized.
    fn side(&self, slot: Slot) -> Slot {
        match slot {
            Slot::Q if !self.dtypes.k.is_quantized() => Slot::V,
            Slot::Prob if !self.dtypes.v.is_quantized() => Slot::K,
            Slot::K | Slot::Q => Slot::K,
            Slot::V | Slot::Prob => Slot::V,
        }
    }

    /// The dtype whose codes a slot's scale belongs to.
    fn dtype(&self, slot: Slot) -> KvDtype {
        if self.side(slot) == Slot::K { self.dtypes.k } else { self.dtypes.v }
    }

    /// The dtype that a slot's scale was calibrated for.
    fn calibrated_for(&self, slot: Slot) -> KvDtype {
        if self.side(slot) == Slot::K { self.calibrated.k } else { self.calibrated.v }
    }

    fn check_plausible(&mut self, loaded: &Loaded, slot: Slot) {
        // 2^-40 to 2^20: far outside any absmax / MAX of real activations.
        const PLAUSIBLE: std::ops::RangeInclusive<f32> = 9.0e-13..=1.1e6;
        let values = match &loaded.values {
            LoadedValues::PerTensor(value) => std::slice::from_ref(value),
            LoadedValues::PerHead(values) => values,
        };
        let per_head = matches!(loaded.values, LoadedValues::PerHead(_));
        let told = self.strategy.map(|s| s == Strategy::AttnHead);
        if let Some(value) = values.iter().find(|v| !PLAUSIBLE.contains(v)) {
            self.warn(WarningCode::ImplausibleScale, format!("`{}` has {value:?}", loaded.tensor));
        }
        // With one head both are the same.
        let distinct = match slot {
            Slot::Q => self.shape.num_heads > 1,
            Slot::K | Slot::V => self.shape.num_kv_heads > 1,
            Slot::Prob => false,
        };
        if distinct && told.is_some_and(|told| told != per_head) {
            let found = if per_head { "per head" } else { "per tensor" };
            self.warn(WarningCode::StrategyMismatch, format!("`{}` is {found}", loaded.tensor));
        }
    }

    fn strict_or_warn(&mut self, code: WarningCode, error: Error) -> Result<(), Error> {
        if self.options.strict {
            return Err(error);
        }
        self.warn(code, error.to_string());
        Ok(())
    }

    fn warn(&mut self, code: WarningCode, detail: String) {
        self.warnings.add(code, self.layer, detail);
    }

    /// Reports that what these slots hold is not used.
    fn ignore(&mut self, code: WarningCode, slots: impl IntoIterator<Item = Slot>) {
        if let Some(name) = filled(self.tensors, slots).into_iter().next() {
            self.warn(code, format!("`{name}`"));
        }
    }

    fn ignored(&self, slot: Slot) -> Scale {
        Scale::one(Origin::Ignored { tensor: self.tensors[slot as usize].best_name() })
    }

    /// The layer, and the warnings that its resolved values call for.
    fn finish_warned(mut self, q: Scale, k: Scale, v: Scale, prob: Scale) -> LayerScales {
        let sides = [(self.dtypes.k, &k), (self.dtypes.v, &v)];
        let ones = |wanted: fn(KvDtype) -> bool| -> Vec<bool> {
            let of_kind = sides.iter().filter(|(dtype, _)| wanted(*dtype));
            of_kind.map(|(_, scale)| scale.value.is_one()).collect()
        };
        let int8_one = ones(|d| d == KvDtype::Int8).contains(&true);
        let e4m3 = ones(|d| matches!(d, KvDtype::Fp8E4M3 | KvDtype::Fp8E4M3Fnuz));
        let fp8_one = !e4m3.is_empty() && !e4m3.contains(&false);
        let uses = self.options.math_uses;
        let uncalibrated = uses.q && q.value.is_one() || uses.prob && prob.value.is_one();
        let loaded = |scale: &Scale| matches!(scale.origin, Origin::Checkpoint { .. });
        let unused: Vec<String> = [(uses.q, &q), (uses.prob, &prob)]
            .into_iter()
            .filter(|(used, scale)| !used && loaded(scale))
            .filter_map(|(_, scale)| Some(format!("`{}`", scale.origin.tensor()?)))
            .collect();
        // Formats that no checkpoint's tensor was calibrated for as it is.
        let e5m2 = |d| matches!(d, KvDtype::Fp8E5M2 | KvDtype::Fp8E5M2Fnuz);
        let on_calibrated = [Slot::K, Slot::V].into_iter().any(|slot| {
            let calibrated = self.calibrated_for(slot);
            let has_scales = !self.tensors[Slot::K as usize].scales.is_empty()
                || !self.tensors[slot as usize].scales.is_empty();
            e5m2(self.dtype(slot)) && calibrated.is_fp8() && !e5m2(calibrated) && has_scales
        });
        for (holds, code) in [
            (int8_one, WarningCode::Int8ScaleOne),
            (fp8_one, WarningCode::Fp8ScaleOne),
            (uncalibrated, WarningCode::UncalibratedQOrProb),
            (on_calibrated, WarningCode::E5m2OnCalibrated),
        ] {
            if holds {
                self.warn(code, String::new());
            }
        }
        for name in unused {
            self.warn(WarningCode::UnusedByMath, name);
        }
        self.finish(q, k, v, prob)
    }

    fn finish(self, q: Scale, k: Scale, v: Scale, prob: Scale) -> LayerScales {
        let (layer, shape, dtypes) = (self.layer, self.shape, self.dtypes);
        LayerScales { layer, shape, dtypes, q, k, v, prob }
    }
}

/// The same scale, said to come from K.
fn duplicated(scale: Scale) -> Scale {
    match scale.origin {
        Origin::Checkpoint { tensor, factor } => {
            Scale { origin: Origin::Duplicated { tensor, factor }, ..scale }
        }
        _ => scale,
    }
}
