//! Codec throughput: f32 slices to FP8 and back, in the cache and in memory, beside a plain copy.

use std::time::Duration;

use fp8_format::{Code, F8E4M3, F8E5M2, Overflow, decode_slice, encode_slice};
use serde_json::{Value, json};

use crate::Options;
use crate::report::{Failure, Report, Table, gb, share};
use crate::timing::{Values, median};

/// A scale that is no power of two, so that a multiplication by its reciprocal would be seen.
const SCALE: f32 = 0.013;

pub(crate) fn run(options: &Options, report: &mut Report) -> Result<(), Failure> {
    let large = if options.quick { 16 << 20 } else { 64 << 20 };
    report.heading("Codecs (one thread, GB/s of f32)");
    let mut rows = Vec::new();
    for bytes in [256 << 10, large] {
        let source = Values::new(1).take(bytes / 4);
        let mut copy = vec![0f32; source.len()];
        let seconds = median(BUDGET, || copy.copy_from_slice(std::hint::black_box(&source)));
        let limit = bytes as f64 / seconds;
        let size = match bytes >> 20 {
            0 => format!("{} KiB", bytes >> 10),
            mib => format!("{mib} MiB"),
        };
        rows.push(Row { what: "copy f32 → f32", size: size.clone(), rate: limit, copy: limit });
        let mut push = |what, rate| {
            rows.push(Row { what, size: size.clone(), rate, copy: limit });
        };
        let (encode, decode) = codec::<F8E4M3>(&source)?;
        push("f32 → fp8_e4m3", encode);
        push("fp8_e4m3 → f32", decode);
        let (encode, decode) = codec::<F8E5M2>(&source)?;
        push("f32 → fp8_e5m2", encode);
        push("fp8_e5m2 → f32", decode);
        let (encode, decode) = codec::<i8>(&source)?;
        push("f32 → int8", encode);
        push("int8 → f32", decode);
    }
    let mut table = Table::new(&["", "bytes of f32", "GB/s", "of the copy"]);
    for row in &rows {
        let cells =
            [row.what.to_owned(), row.size.clone(), gb(row.rate), share(row.rate, row.copy)];
        table.row(cells);
    }
    report.table(&table);
    report.note("  every code and every value compared with the scalar definition");
    report.add("codec", Value::Array(rows.iter().map(Row::json).collect()));
    Ok(())
}

const BUDGET: Duration = Duration::from_millis(300);

struct Row {
    what: &'static str,
    size: String,
    rate: f64,
    copy: f64,
}

impl Row {
    fn json(&self) -> Value {
        json!({ "what": self.what, "size": self.size, "bytes_per_second": self.rate,
                "copy_bytes_per_second": self.copy })
    }
}

/// Bytes of f32 per second of encoding and of decoding, once both were seen to be right.
fn codec<C: Code + Default + PartialEq>(source: &[f32]) -> Result<(f64, f64), Failure> {
    let mut codes = vec![C::default(); source.len()];
    let mut back = vec![0f32; source.len()];
    encode_slice(source, SCALE, &mut codes);
    decode_slice(&codes, SCALE, &mut back);
    for (i, (&x, &code)) in source.iter().zip(&codes).enumerate() {
        let name = C::ELEMENT_TYPE.name();
        if code != C::encode(x / SCALE, Overflow::Saturate) {
            return Err(Failure::new(format!("{name}: element {i}, {x}, is encoded wrong")));
        }
        if back[i] != code.decode() * SCALE {
            return Err(Failure::new(format!("{name}: element {i}, {x}, is decoded wrong")));
        }
    }
    let bytes = size_of_val(source) as f64;
    let encode = median(BUDGET, || encode_slice(std::hint::black_box(source), SCALE, &mut codes));
    let decode = median(BUDGET, || decode_slice(std::hint::black_box(&codes), SCALE, &mut back));
    Ok((bytes / encode, bytes / decode))
}
