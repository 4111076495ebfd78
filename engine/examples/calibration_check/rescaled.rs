//! The same model with K times c and Q over c: its logits are the same to the last bit, but its keys
//! leave the range of E4M3. Where scales matter.

use crate::sets::{Bench, Place, calibrated, load};
use crate::{Context, Failure, Report, WINDOW};
use engine::calibrate::Calibrator;
use half::bf16;
use kv_scales::observe::{Format, Observer};
use kv_scales::scheme::Strategy;
use kv_scales::{Checkpoint, KvDtype, Slot};
use std::borrow::Cow;

/// A power of two: the weights are exact, and so is all that follows.
const C: f32 = 256.0;
const SAMPLES: usize = 16;

pub(crate) fn check(context: &Context, report: &mut Report) -> Result<(), Failure> {
    let weights = context.model.weights()?;
    let place = Place::new(&context.model)?;
    // As a directory: the writer shares its weights.
    let dir = place.0.join("rescaled");
    write_rescaled(context, &weights, &dir)?;
    let rescaled = Checkpoint::open(&dir)?;
    let run = |weights: &Checkpoint| -> Result<Calibrator, Failure> {
        let mut calibrator = Calibrator::new(weights, WINDOW, false, None)?;
        for row in context.rows.iter().take(SAMPLES) {
            calibrator.sample(row)?;
        }
        Ok(calibrator)
    };
    let (plain, scaled) = (run(&weights)?, run(&rescaled)?);
    let e4m3 = Format::new(KvDtype::Fp8E4M3)?;
    let (mut same, mut q_same) = (true, true);
    for layer in 0..plain.config().num_layers {
        for observer in [Observer::Absmax, Observer::Mse] {
            let of = |c: &Calibrator, slot| {
                let strategy = Strategy::AttnHead;
                Ok::<_, Failure>(c.exact_scales(layer, slot, observer, e4m3, strategy)?)
            };
            let ratio = |slot, factor: f32| -> Result<bool, Failure> {
                let (a, b) = (of(&plain, slot)?, of(&scaled, slot)?);
                Ok(a.values().iter().zip(b.values()).all(|(a, b)| a * factor == *b))
            };
            same &= ratio(Slot::K, C)? && ratio(Slot::V, 1.0)?;
            q_same &= ratio(Slot::Q, 1.0 / C)?;
        }
    }
    report.holds("calibrated K scales are exactly c times those of the model, V's the same", same);
    report.holds("and Q scales exactly 1/c times", q_same);

    let two = context.reference.passages()?.into_iter().map(|p| (p.name, p.ids)).collect();
    let bench = Bench::new(two, &weights)?;
    println!(
        "\n| K × {C}, Q / {C} | perplexity | mean &#124;Δ logprob&#124; from the unscaled model |\n|---|---|---|"
    );
    let measure = |name: &str, dtype: &str| -> Result<f64, Failure> {
        let mut llm = match name {
            "1.0" => load(&rescaled, &rescaled, dtype.parse()?)?,
            methods => calibrated(&scaled, &rescaled, dtype, Strategy::Tensor, methods, &place.0)?,
        };
        let metrics = bench.measure(&mut llm)?;
        let all = metrics.last().ok_or("nothing was measured")?;
        println!("| {dtype}, {name} | {:.4} | {:.4} |", all.perplexity, all.mean_abs_dlogp);
        Ok(all.mean_abs_dlogp)
    };
    let exact = measure("1.0", "f32")?;
    let one = measure("1.0", "fp8_e4m3")?;
    let mut calibrated = Vec::new();
    for methods in ["absmax", "mse"] {
        calibrated.push(measure(methods, "fp8_e4m3")?);
    }
    println!();
    report.at_most("f32: the logprobs of the unscaled model, off by", exact, 0.0);
    for (name, distance) in ["absmax", "mse"].into_iter().zip(calibrated) {
        report.at_most(&format!("E4M3: {name} / scale 1.0"), distance / one, 0.25);
    }
    Ok(())
}

/// The model's directory with the two projections of every layer changed.
fn write_rescaled(
    context: &Context,
    weights: &Checkpoint,
    dir: &std::path::Path,
) -> Result<(), Failure> {
    std::fs::create_dir(dir)?;
    for name in ["config.json", "tokenizer.json"] {
        std::fs::copy(context.model.dir().join(name), dir.join(name))?;
    }
    let (mut header, mut data) = (serde_json::Map::new(), Vec::new());
    for tensor in weights.tensors() {
        let bytes: Cow<'_, [u8]> = weights.read(tensor)?;
        let factor = match tensor.name.as_str() {
            name if name.ends_with(".k_proj.weight") => C,
            name if name.ends_with(".q_proj.weight") => 1.0 / C,
            _ => 1.0,
        };
        let start = data.len();
        if factor == 1.0 {
            data.extend_from_slice(&bytes);
        } else {
            for pair in bytes.chunks_exact(2) {
                let value = bf16::from_le_bytes([pair[0], pair[1]]).to_f32() * factor;
                data.extend_from_slice(&bf16::from_f32(value).to_le_bytes());
            }
        }
        let dtype = tensor.dtype.to_string();
        let entry = serde_json::json!(
            {"dtype": dtype, "shape": tensor.shape, "data_offsets": [start, data.len()]});
        header.insert(tensor.name.clone(), entry);
    }
    let header = serde_json::Value::Object(header).to_string().into_bytes();
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend(header);
    file.extend(data);
    Ok(std::fs::write(dir.join("model.safetensors"), file)?)
}
