//! Prints a format: its parameters, and the value of each of its 256 codes.
//!
//! `cargo run -p fp8-format --example format_table -- fp8_e4m3`

use std::process::ExitCode;

use fp8_format::{ElementType, F8E4M3, F8E4M3Fnuz, F8E5M2, F8E5M2Fnuz, Fp8};

fn print<F: Fp8>() {
    println!("{}", F::ELEMENT_TYPE);
    println!("  largest             {}", F::MAX);
    println!("  smallest normal     {:e}", F::MIN_POSITIVE);
    println!("  smallest subnormal  {:e}", F::MIN_POSITIVE_SUBNORMAL);
    println!("  step at 1           {}", F::EPSILON);
    println!("  infinity            {}", if F::HAS_INFINITY { "yes" } else { "no" });
    for row in 0..32 {
        print!("{:02x}", row * 8);
        for bits in row * 8..=row * 8 + 7 {
            let code = F::from_bits(bits);
            let plain = code.to_string();
            let text = if plain.len() > 13 { format!("{code:e}") } else { plain };
            print!(" {text:>13}");
        }
        println!();
    }
}

fn main() -> ExitCode {
    let fp8 = || ElementType::ALL.into_iter().filter(|element| element.is_fp8());
    let name = std::env::args().nth(1).unwrap_or_else(|| ElementType::F8E4M3.to_string());
    match fp8().find(|element| element.name() == name) {
        Some(ElementType::F8E4M3) => print::<F8E4M3>(),
        Some(ElementType::F8E5M2) => print::<F8E5M2>(),
        Some(ElementType::F8E4M3Fnuz) => print::<F8E4M3Fnuz>(),
        Some(ElementType::F8E5M2Fnuz) => print::<F8E5M2Fnuz>(),
        _ => {
            let names: Vec<_> = fp8().map(ElementType::name).collect();
            eprintln!("error: no FP8 format '{name}'; there are {}", names.join(", "));
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}
