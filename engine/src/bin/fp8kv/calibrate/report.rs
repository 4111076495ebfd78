//! A calibration's report: a summary for the terminal, and files of three kinds.

use std::fs;
use std::path::{Path, PathBuf};

use engine::calibrate::{HeadReport, Report, TensorReport, heat_map};

use crate::failure::Failure;
use crate::table::{Align, Table};

#[derive(Clone, Copy)]
enum Kind {
    Text,
    Json,
    Svg,
}

/// A file that a report goes to, checked before there is one.
pub(super) struct ReportFile<'a> {
    path: &'a Path,
    kind: Kind,
}

impl<'a> ReportFile<'a> {
    pub(super) fn new(path: &'a Path) -> Result<Self, Failure> {
        let refuse = |limit| Failure::Report { path: path.into(), limit };
        let kind = match path.extension().and_then(|e| e.to_str()) {
            Some("txt") => Kind::Text,
            Some("json") => Kind::Json,
            Some("svg") => Kind::Svg,
            _ => return Err(refuse("its name must end in .txt, .json or .svg")),
        };
        let parent = path.parent().filter(|p| !p.as_os_str().is_empty());
        if !parent.unwrap_or(Path::new(".")).is_dir() {
            return Err(refuse("its directory does not exist"));
        }
        Ok(Self { path, kind })
    }

    /// Writes the file beside its place and moves it there, so that there is none or a whole one.
    pub(super) fn write(&self, report: &Report) -> Result<(), Failure> {
        let content = match self.kind {
            Kind::Text => full(report),
            Kind::Svg => heat_map(report),
            Kind::Json => {
                serde_json::to_string_pretty(report).map_err(|e| Failure::Output(e.into()))? + "\n"
            }
        };
        let mut name = std::ffi::OsString::from(".");
        name.push(self.path.file_name().unwrap_or_default());
        name.push(format!(".partial-{}", std::process::id()));
        let partial: PathBuf = self.path.with_file_name(name);
        fs::write(&partial, content).and_then(|()| fs::rename(&partial, self.path)).map_err(
            |source| {
                // Nothing more can be done about a failure here.
                let _ = fs::remove_file(&partial);
                Failure::File { path: self.path.into(), source }
            },
        )
    }
}

fn head(report: &Report) -> String {
    let Report { kv_cache_dtype, strategy, observers, samples, tokens, .. } = report;
    format!(
        "{kv_cache_dtype}, {strategy}, {observers}: {samples} samples, {tokens} tokens of \
         calibration\n\n"
    )
}

fn share(share: f64) -> String {
    format!("{:.4}%", 100.0 * share)
}

/// By layer: the range, the scales, and the worst head of each tensor.
pub(super) fn summary(report: &Report, out: &Path) -> String {
    let mut table = Table::new(&[
        ("layer", Align::Right),
        ("", Align::Left),
        ("largest", Align::Right),
        ("scale", Align::Right),
        ("to", Align::Right),
        ("saturated", Align::Right),
        ("to zero", Align::Right),
        ("worst SQNR", Align::Right),
    ]);
    for layer in &report.layers {
        for (i, (name, tensor)) in layer.tensors().enumerate() {
            table.row(
                [if i == 0 { layer.layer.to_string() } else { String::new() }, name.to_owned()]
                    .into_iter()
                    .chain(of_tensor(tensor)),
            );
        }
    }
    format!("{}{}\n{}\n", head(report), table.render(), out.display())
}

fn of_tensor(tensor: &TensorReport) -> [String; 6] {
    let heads = || tensor.heads.iter();
    let mean =
        |of: fn(&HeadReport) -> f64| heads().map(of).sum::<f64>() / tensor.heads.len() as f64;
    let low = tensor.scale.iter().copied().fold(f32::INFINITY, f32::min);
    let high = tensor.scale.iter().copied().fold(0.0, f32::max);
    let worst = heads().filter_map(|h| h.sqnr_db).fold(f64::INFINITY, f64::min);
    [
        format!("{:.4}", heads().map(HeadReport::absmax).fold(0.0, f32::max)),
        low.to_string(),
        if low < high { high.to_string() } else { String::new() },
        share(mean(|h| h.saturated)),
        share(mean(|h| h.underflowed)),
        if worst.is_finite() { format!("{worst:.1} dB") } else { "-".to_owned() },
    ]
}

/// By layer and head.
fn full(report: &Report) -> String {
    let mut table = Table::new(&[
        ("layer", Align::Right),
        ("", Align::Left),
        ("head", Align::Right),
        ("smallest", Align::Right),
        ("largest", Align::Right),
        ("scale", Align::Right),
        ("saturated", Align::Right),
        ("to zero", Align::Right),
        ("SQNR", Align::Right),
    ]);
    for layer in &report.layers {
        for (name, tensor) in layer.tensors() {
            for (index, head) in tensor.heads.iter().enumerate() {
                table.row([
                    layer.layer.to_string(),
                    name.to_owned(),
                    index.to_string(),
                    format!("{:.5}", head.min),
                    format!("{:.5}", head.max),
                    tensor.scale[index % tensor.scale.len()].to_string(),
                    share(head.saturated),
                    share(head.underflowed),
                    head.sqnr_db.map_or("-".to_owned(), |db| format!("{db:.2} dB")),
                ]);
            }
        }
    }
    head(report) + &table.render()
}
