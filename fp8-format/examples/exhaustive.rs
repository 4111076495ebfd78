//! Every one of the 2^32 `f32`, into every format, under both policies: the scalar conversion and
//! the slice function, each against an exact rounding that shares no code with the crate.
//!
//! `cargo run --release -p fp8-format --example exhaustive`

use std::process::ExitCode;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Instant;

use fp8_format::simd::Isa;
use fp8_format::{
    F8E4M3, F8E4M3Fnuz, F8E5M2, F8E5M2Fnuz, Fp8, Overflow, codes_as_bytes, try_encode_slice_with,
};

/// Bit patterns handled at once. Their upper bits are common to all of them.
const CHUNK: u32 = 1 << 16;
const CHUNKS: u32 = 1 << 16;

/// An independent description of a format, straight from the OCP and FNUZ tables.
struct Model {
    name: &'static str,
    mantissa_bits: i32,
    bias: i32,
    max_code: u8,
    /// What overflow becomes without saturation, and NaN, both before the sign.
    overflow: u8,
    nan: u8,
    signed_zero: bool,
}

impl Model {
    /// The value of a magnitude as though it were no special one. Exact in an `f64`.
    fn value(&self, magnitude: u8) -> f64 {
        let one = f64::from(1 << self.mantissa_bits);
        let exponent = i32::from(magnitude) >> self.mantissa_bits;
        let fraction = f64::from(i32::from(magnitude) % (1 << self.mantissa_bits)) / one;
        match exponent {
            0 => fraction * 2_f64.powi(1 - self.bias),
            _ => (1.0 + fraction) * 2_f64.powi(exponent - self.bias),
        }
    }

    /// For each magnitude, the largest `f32` bits that round to it or to a smaller one.
    ///
    /// The midpoint of two neighbours has one significant bit more than they, so it is an `f32`;
    /// the bits of positive `f32` order as their values do.
    fn last_bits(&self) -> Vec<u32> {
        (0..=self.max_code)
            .map(|magnitude| {
                let midpoint = (self.value(magnitude) + self.value(magnitude + 1)) / 2.0;
                assert_eq!(f64::from(midpoint as f32), midpoint);
                // The tie belongs to the even one of the two.
                let own = magnitude % 2 == 0;
                (midpoint as f32).to_bits() - u32::from(!own)
            })
            .collect()
    }

    fn sign(&self, magnitude: u8, negative: bool) -> u8 {
        match magnitude {
            0 if !self.signed_zero => 0,
            _ => magnitude | u8::from(negative) << 7,
        }
    }

    /// The codes of `CHUNK` consecutive bit patterns from `first` on.
    fn expect(&self, last_bits: &[u32], first: u32, overflow: Overflow, codes: &mut [u8]) {
        let negative = first >> 31 == 1;
        let mut bits = first & 0x7fff_ffff;
        let mut magnitude = last_bits.partition_point(|&last| last < bits);
        for code in codes {
            while magnitude < last_bits.len() && last_bits[magnitude] < bits {
                magnitude += 1;
            }
            let expected = if bits > 0x7f80_0000 {
                self.nan
            } else if magnitude < last_bits.len() {
                magnitude as u8
            } else {
                match overflow {
                    Overflow::Saturate => self.max_code,
                    Overflow::NonSaturating => self.overflow,
                }
            };
            *code = self.sign(expected, negative);
            bits = bits.wrapping_add(1);
        }
    }
}

#[derive(Default)]
struct Differences {
    scalar: AtomicU64,
    slices: AtomicU64,
}

/// Checks chunks until none are left. Several threads run this at once.
fn check<F: Fp8>(model: &Model, next: &AtomicU32, differences: &Differences) {
    let last_bits = model.last_bits();
    let mut src = vec![0.0; CHUNK as usize];
    let mut expected = vec![0; CHUNK as usize];
    let mut codes = vec![F::ZERO; CHUNK as usize];
    loop {
        let chunk = next.fetch_add(1, Ordering::Relaxed);
        if chunk >= CHUNKS {
            break;
        }
        let first = chunk * CHUNK;
        for (offset, x) in (0..).zip(&mut src) {
            *x = f32::from_bits(first + offset);
        }
        for overflow in [Overflow::Saturate, Overflow::NonSaturating] {
            model.expect(&last_bits, first, overflow, &mut expected);
            let scalar = src
                .iter()
                .zip(&expected)
                .filter(|&(&x, &code)| F::from_f32(x, overflow).to_bits() != code);
            report(model, "scalar", overflow, scalar, &differences.scalar);
            try_encode_slice_with(&src, 1.0, overflow, &mut codes).expect("equal lengths");
            if codes_as_bytes(&codes) != expected {
                let pairs = src.iter().zip(&expected).zip(codes_as_bytes(&codes));
                let slices =
                    pairs.filter(|((_, code), got)| code != got).map(|(expected, _)| expected);
                report(model, "slice", overflow, slices, &differences.slices);
            }
        }
    }
}

fn report<'a>(
    model: &Model,
    what: &str,
    overflow: Overflow,
    wrong: impl Iterator<Item = (&'a f32, &'a u8)>,
    count: &AtomicU64,
) {
    for (x, code) in wrong {
        if count.fetch_add(1, Ordering::Relaxed) < 10 {
            let (name, bits) = (model.name, x.to_bits());
            eprintln!("{name} {overflow:?} {what}: {bits:#010x} ({x:e}) is not {code:#04x}");
        }
    }
}

/// Checks one format on all cores; the number of differences.
fn run<F: Fp8>(model: &Model) -> u64 {
    let start = Instant::now();
    let (next, differences) = (AtomicU32::new(0), Differences::default());
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| check::<F>(model, &next, &differences));
        }
    });
    let (scalar, slices) = (differences.scalar.into_inner(), differences.slices.into_inner());
    let seconds = start.elapsed().as_secs_f64();
    let name = model.name;
    println!("{name:12}  scalar: {scalar} differences  slices: {slices}  {seconds:.1} s");
    scalar + slices
}

fn main() -> ExitCode {
    let start = Instant::now();
    println!("2^32 inputs x 2 overflow modes, slices on {}", Isa::detected().name());
    let ocp = |name, mantissa_bits, bias, max_code, overflow, nan| Model {
        name,
        mantissa_bits,
        bias,
        max_code,
        overflow,
        nan,
        signed_zero: true,
    };
    let fnuz = |name, mantissa_bits, bias| Model {
        name,
        mantissa_bits,
        bias,
        max_code: 0x7f,
        overflow: 0x80,
        nan: 0x80,
        signed_zero: false,
    };
    let differences = run::<F8E4M3>(&ocp("fp8_e4m3", 3, 7, 0x7e, 0x7f, 0x7f))
        + run::<F8E5M2>(&ocp("fp8_e5m2", 2, 15, 0x7b, 0x7c, 0x7e))
        + run::<F8E4M3Fnuz>(&fnuz("fp8_e4m3fnuz", 3, 8))
        + run::<F8E5M2Fnuz>(&fnuz("fp8_e5m2fnuz", 2, 16));
    println!("{differences} differences in {:.1} s", start.elapsed().as_secs_f64());
    if differences == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
