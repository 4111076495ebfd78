//! The same windows through llm-compressor's own observers, and through ours.

use crate::reference::Tensors;
use crate::shuffle::shuffled;
use crate::{Context, Failure, Report, WINDOW};
use engine::calibrate::Calibrator;
use kv_scales::observe::{Format, Observer};
use kv_scales::scheme::Strategy;
use kv_scales::{KvDtype, Slot};

const STRATEGIES: [(&str, Strategy); 2] =
    [("tensor", Strategy::Tensor), ("attn_head", Strategy::AttnHead)];

/// A moving average depends on the order of the samples, and llm-compressor shuffles them by a torch
/// generator with a random seed, which the reference's two runs did not note. A torch generator has
/// only 2^32 states to begin with, so every one was tried: one of all gives the whole order that had
/// been fitted to the 180 scales per head, and of those that begin with the clear first row (74) of
/// the 60 per tensor, one gives these to 1.4e-6; the next best is off by 1.1e-3.
const SEEDS: [(&str, Strategy, u32); 2] =
    [("tensor", Strategy::Tensor, 3_089_570_221), ("attn_head", Strategy::AttnHead, 1_181_086_978)];

pub(crate) fn check(context: &Context, report: &mut Report) -> Result<(), Failure> {
    eight_windows(context, report)?;
    sixty_four_samples(context, report)
}

/// Both observers, both granularities, Q, K and V.
fn eight_windows(context: &Context, report: &mut Report) -> Result<(), Failure> {
    let stored = context.reference.tensors("calib_minmax")?;
    let windows = stored.ids("windows")?;
    let calibrator = run(context, windows.iter().map(|row| *row as usize))?;
    for (name, observer) in [("minmax", Observer::MinMax), ("static_minmax", Observer::Absmax)] {
        for (strategy_name, strategy) in STRATEGIES {
            for (slot_name, slot) in [("q", Slot::Q), ("k", Slot::K), ("v", Slot::V)] {
                let key = format!("{name}_{strategy_name}_{slot_name}");
                let want = stored.f32(&key)?;
                let got = scales(&calibrator, slot, observer, strategy)?;
                compare(&format!("8 windows, {key}"), &got, &want, 1e-4, report);
            }
        }
    }
    Ok(())
}

/// What runs of its calibration wrote, before the rounding to bf16: two in the order of the file,
/// and the two of the reference.
fn sixty_four_samples(context: &Context, report: &mut Report) -> Result<(), Failure> {
    for (name, strategy, seed) in SEEDS {
        let stored = context.reference.tensors(&format!("scales_f32_{name}_first64"))?;
        let order: Vec<usize> = stored.ids("order")?.into_iter().map(|row| row as usize).collect();
        report.holds("the rows are the first 64", (0..64).all(|row| order.contains(&row)));
        one_run(
            context,
            report,
            &stored,
            &format!("first 64 rows, minmax_{name}"),
            strategy,
            order,
        )?;
        // 64 of the 128 rows, evenly: what the reference's script selects.
        let rows = (0..64).map(|i| i * 127 / 63).collect();
        let stored = context.reference.tensors(&format!("scales_f32_{name}"))?;
        let what = format!("64 shuffled rows, minmax_{name}");
        one_run(context, report, &stored, &what, strategy, shuffled(rows, seed))?;
    }
    Ok(())
}

fn one_run(
    context: &Context,
    report: &mut Report,
    stored: &Tensors,
    what: &str,
    strategy: Strategy,
    order: Vec<usize>,
) -> Result<(), Failure> {
    let calibrator = run(context, order.into_iter())?;
    for (slot_name, slot) in [("k", Slot::K), ("v", Slot::V)] {
        let mut want = Vec::new();
        for layer in 0..calibrator.config().num_layers {
            let name = format!("model.layers.{layer}.self_attn.{slot_name}_scale");
            want.extend(stored.f32(&name)?);
        }
        let got = scales(&calibrator, slot, Observer::MinMax, strategy)?;
        compare(&format!("{what}_{slot_name}"), &got, &want, 1e-3, report);
    }
    Ok(())
}

fn run(context: &Context, rows: impl Iterator<Item = usize>) -> Result<Calibrator, Failure> {
    let mut calibrator = Calibrator::new(&context.model.weights()?, WINDOW, false, None)?;
    for row in rows {
        calibrator.sample(context.rows.get(row).ok_or("calib_ids has too few rows")?)?;
    }
    Ok(calibrator)
}

/// E4M3 scales of all layers, one behind the other.
fn scales(
    calibrator: &Calibrator,
    slot: Slot,
    observer: Observer,
    strategy: Strategy,
) -> Result<Vec<f32>, Failure> {
    let format = Format::new(KvDtype::Fp8E4M3)?;
    let mut all = Vec::new();
    for layer in 0..calibrator.config().num_layers {
        let scales = calibrator.exact_scales(layer, slot, observer, format, strategy)?;
        all.extend_from_slice(scales.values());
    }
    Ok(all)
}

/// The largest relative difference has a limit; the distribution is printed.
fn compare(what: &str, got: &[f32], want: &[f32], limit: f64, report: &mut Report) {
    let pairs = got.iter().zip(want);
    let mut off: Vec<f64> =
        pairs.map(|(got, want)| (f64::from(*got) / f64::from(*want) - 1.0).abs()).collect();
    off.sort_by(f64::total_cmp);
    let at = |share: f64| off[((off.len() - 1) as f64 * share) as usize];
    let what = format!(
        "{what}: {} scales, off by {:.1e} (median), {:.1e} (90%), at most",
        off.len(),
        at(0.5),
        at(0.9)
    );
    let complete = got.len() == want.len() && !want.is_empty();
    report.at_most(&what, if complete { at(1.0) } else { f64::NAN }, limit);
}
