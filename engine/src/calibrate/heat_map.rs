//! A report as a picture: layers × heads, one field each for Q, K and V, as SVG. The upper row is
//! the largest magnitude (a head out of line stands out), the lower the signal to noise ratio.

use super::report::{HeadReport, LayerReport, Report, TensorReport};
use std::fmt::Write;

const CELL: usize = 14;
const LEFT: usize = 46;
const GAP: usize = 36;
const TOP: usize = 64;

/// Dark to light, even in brightness: also of use without colours.
const COLOURS: [[f64; 3]; 5] = [
    [68.0, 1.0, 84.0],
    [59.0, 82.0, 139.0],
    [33.0, 145.0, 140.0],
    [94.0, 201.0, 98.0],
    [253.0, 231.0, 37.0],
];

/// One quantity that is shown.
struct Measure {
    title: &'static str,
    value: fn(&HeadReport) -> Option<f64>,
    show: fn(f64) -> String,
}

const MEASURES: [Measure; 2] = [
    Measure {
        title: "largest magnitude (log2)",
        value: |head| Some(f64::from(head.absmax().log2())).filter(|x| x.is_finite()),
        show: |x| format!("{:.3}", x.exp2()),
    },
    Measure {
        title: "signal to noise (dB)",
        value: |head| head.sqnr_db,
        show: |x| format!("{x:.1} dB"),
    },
];

/// The report as an SVG document. Each field has its own range of colours, written above it; a cell
/// says its values when it is pointed at.
#[must_use]
pub fn heat_map(report: &Report) -> String {
    let names: Vec<&'static str> = match report.layers.first() {
        Some(layer) => layer.tensors().map(|(name, _)| name).collect(),
        None => Vec::new(),
    };
    let fields: Vec<(&str, Vec<&TensorReport>)> = names
        .iter()
        .map(|name| {
            let of = report.layers.iter().flat_map(LayerReport::tensors);
            (*name, of.filter(|(n, _)| n == name).map(|(_, tensor)| tensor).collect())
        })
        .collect();
    let heads = |tensors: &[&TensorReport]| tensors.first().map_or(0, |t| t.heads.len());
    // A title over a field of few heads must fit.
    let width_of = |tensors: &[&TensorReport]| (heads(tensors) * CELL).max(96);
    let field_height = report.layers.len() * CELL + TOP;
    let width = LEFT + fields.iter().map(|f| width_of(&f.1) + GAP).sum::<usize>();
    let height = 40 + MEASURES.len() * field_height + 20;
    let mut svg = String::new();
    let mut line = |text: std::fmt::Arguments<'_>| {
        // Writing to a string cannot fail.
        let _ = svg.write_fmt(text);
        svg.push('\n');
    };
    line(format_args!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
         viewBox=\"0 0 {width} {height}\" font-family=\"sans-serif\" font-size=\"11\">"
    ));
    line(format_args!("<rect width=\"{width}\" height=\"{height}\" fill=\"white\"/>"));
    line(format_args!(
        "<text x=\"8\" y=\"20\" font-size=\"13\">{}, {}, {}: {} samples, {} tokens</text>",
        report.kv_cache_dtype, report.strategy, report.observers, report.samples, report.tokens
    ));
    for (row, measure) in MEASURES.iter().enumerate() {
        let top = 40 + row * field_height + TOP - 12;
        for (index, layer) in report.layers.iter().enumerate() {
            if index % 5 == 0 || index + 1 == report.layers.len() {
                let y = top + index * CELL + CELL - 3;
                let label = layer.layer;
                line(format_args!(
                    "<text x=\"{}\" y=\"{y}\" text-anchor=\"end\">{label}</text>",
                    LEFT - 6
                ));
            }
        }
        line(format_args!("<text x=\"8\" y=\"{}\">{}</text>", top - 30, measure.title));
        let mut left = LEFT;
        for (name, tensors) in &fields {
            let values = tensors.iter().flat_map(|t| t.heads.iter().filter_map(measure.value));
            let (low, high) =
                values.fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| (l.min(v), h.max(v)));
            let range = match low <= high {
                true => format!("{} … {}", (measure.show)(low), (measure.show)(high)),
                false => "-".to_owned(),
            };
            line(format_args!(
                "<text x=\"{left}\" y=\"{}\" font-weight=\"bold\">{}</text>\
                 <text x=\"{left}\" y=\"{}\" font-size=\"9\">{range}</text>",
                top - 16,
                name.to_uppercase(),
                top - 5
            ));
            for (index, tensor) in tensors.iter().enumerate() {
                let layer = report.layers[index].layer;
                for (head, seen) in tensor.heads.iter().enumerate() {
                    let colour = match (measure.value)(seen) {
                        Some(value) => colour((value - low) / (high - low)),
                        None => "#dddddd".to_owned(),
                    };
                    let scale = tensor.scale[head % tensor.scale.len()];
                    let sqnr = seen.sqnr_db.map_or("-".to_owned(), |db| format!("{db:.1} dB"));
                    line(format_args!(
                        "<rect x=\"{}\" y=\"{}\" width=\"{CELL}\" height=\"{CELL}\" \
                         fill=\"{colour}\" stroke=\"white\" stroke-width=\"0.5\"><title>layer {layer} \
                         {name} head {head}: {} to {}, scale {scale}, {sqnr}</title></rect>",
                        left + head * CELL,
                        top + index * CELL,
                        seen.min,
                        seen.max,
                    ));
                }
            }
            left += width_of(tensors) + GAP;
        }
    }
    line(format_args!("</svg>"));
    svg
}

/// 0 is the darkest, 1 the lightest; all equal (0/0) is the darkest.
fn colour(share: f64) -> String {
    let last = COLOURS.len() - 1;
    let at = if share.is_finite() { share.clamp(0.0, 1.0) * last as f64 } else { 0.0 };
    let below = (at as usize).min(last - 1);
    let mix = |i: usize| {
        let (a, b) = (COLOURS[below][i], COLOURS[below + 1][i]);
        (a + (at - below as f64) * (b - a)).round() as u8
    };
    format!("#{:02x}{:02x}{:02x}", mix(0), mix(1), mix(2))
}

#[cfg(test)]
mod tests {

    use super::*;

    #[test]
    fn every_head_has_its_cells_and_the_outlier_the_lightest() {
        let head = |max: f32| HeadReport {
            min: -max / 2.0,
            max,
            saturated: 0.0,
            underflowed: 0.0,
            sqnr_db: Some(30.0),
        };
        let tensor = |heads: &[f32]| TensorReport {
            observer: "absmax".into(),
            scale: vec![0.5],
            heads: heads.iter().map(|max| head(*max)).collect(),
        };
        let layer =
            |layer, k: &[f32]| LayerReport { layer, q: None, k: tensor(k), v: tensor(&[1.0, 1.0]) };
        let report = Report {
            kv_cache_dtype: "fp8_e4m3".into(),
            strategy: "tensor",
            observers: "absmax".into(),
            samples: 2,
            tokens: 10,
            layers: vec![layer(0, &[1.0, 2.0]), layer(1, &[64.0, 1.5])],
        };
        let svg = heat_map(&report);
        // The background, and two measures of two tensors of two heads in two layers.
        assert_eq!(svg.matches("<rect").count(), 1 + 2 * 2 * 2 * 2);
        assert_eq!(svg.matches("<svg").count(), svg.matches("</svg>").count());
        let outlier = svg.lines().find(|line| line.contains("layer 1 k head 0")).unwrap();
        assert!(outlier.contains("#fde725") && outlier.contains("scale 0.5"), "{outlier}");
        assert!(svg.contains("1.000 … 64.000"), "{svg}");
        assert_eq!(colour(f64::NAN), colour(0.0));
        assert_eq!(colour(1.0), "#fde725");
    }
}
