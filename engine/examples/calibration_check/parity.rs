//! The same windows through llm-compressor's own observers, and through ours.

use crate::{Context, Failure, Report, WINDOW};
use engine::calibrate::Calibrator;
use kv_scales::observe::{Format, Observer};
use kv_scales::scheme::Strategy;
use kv_scales::{KvDtype, Slot};

const STRATEGIES: [(&str, Strategy); 2] =
    [("tensor", Strategy::Tensor), ("attn_head", Strategy::AttnHead)];

/// The rows of its calibration per head, in the order it took them. The reference says that these
/// are the first 64 of the 128 in their order; the scales say every other row, shuffled. A moving
/// average depends on the order, which was not noted, so it was recovered from the reference's own
/// scales: row 72 stands out as the first, with 53% of the weight, and exchanging rows as long as the
/// squared difference falls ends at this order. It is fitted, so the agreement is less of a proof
/// than that of the 8 windows; but 63 places in a row do not explain 180 numbers to 1.5e-6 by chance.
const HEAD_ORDER: [usize; 64] = [
    72, 110, 60, 46, 114, 82, 120, 104, 14, 52, 84, 38, 58, 98, 102, 54, 2, 22, 4, 118, 48, 80, 70,
    86, 56, 28, 26, 64, 92, 30, 96, 100, 94, 124, 44, 6, 16, 78, 76, 112, 36, 12, 32, 10, 90, 20,
    88, 66, 62, 40, 74, 8, 42, 24, 122, 116, 50, 127, 68, 18, 106, 34, 108, 0,
];

/// The calibration per tensor was another run, shuffled anew. Its first row is clear from the scales;
/// of the order of the others 60 scales leave too much open, so it is not known. They stand here as
/// in the file, and what that costs is in the differences.
const TENSOR_FIRST: usize = 74;

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

/// What a run of its calibration wrote, before the rounding to bf16.
fn sixty_four_samples(context: &Context, report: &mut Report) -> Result<(), Failure> {
    let mut rest = HEAD_ORDER;
    rest.sort_unstable();
    let rest = rest.into_iter().filter(|row| *row != TENSOR_FIRST);
    let tensor_order: Vec<usize> = std::iter::once(TENSOR_FIRST).chain(rest).collect();
    for (strategy_name, strategy) in STRATEGIES {
        let calibrator = match strategy {
            Strategy::Tensor => run(context, tensor_order.iter().copied())?,
            Strategy::AttnHead => run(context, HEAD_ORDER.into_iter())?,
        };
        let stored = context.reference.tensors(&format!("scales_f32_{strategy_name}"))?;
        for (slot_name, slot) in [("k", Slot::K), ("v", Slot::V)] {
            let mut want = Vec::new();
            for layer in 0..calibrator.config().num_layers {
                let name = format!("model.layers.{layer}.self_attn.{slot_name}_scale");
                want.extend(stored.f32(&name)?);
            }
            let got = scales(&calibrator, slot, Observer::MinMax, strategy)?;
            let what = format!("64 samples, minmax_{strategy_name}_{slot_name}");
            compare(&what, &got, &want, 1e-3, report);
        }
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
