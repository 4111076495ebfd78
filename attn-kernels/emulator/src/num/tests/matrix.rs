//! `mma` against a product written over whole matrices, with asymmetric data in every element.

use super::super::format::{self, Format};
use super::super::fragment::{a_element, b_element, c_element};
use super::super::matrix::{MmaForm, elements_per_register, mma, mma_f64};
use super::super::real::Real;
use super::Bits;
use crate::isa::{MmaNum, MmaShape, Num, Round};

const M16: [(u8, u8, u8); 4] = [(16, 8, 4), (16, 8, 8), (16, 8, 16), (16, 8, 32)];

fn forms() -> Vec<MmaForm> {
    use MmaNum::{Bf16, E4m3, E5m2, F16, F64, S8, Tf32, U8};
    let mut all = Vec::new();
    for (m, n, k) in M16.into_iter().chain([(8, 8, 4), (8, 8, 16)]) {
        for a_num in [F16, Bf16, Tf32, E4m3, E5m2, S8, U8, F64] {
            for b_num in [F16, Bf16, Tf32, E4m3, E5m2, S8, U8, F64] {
                for acc in [Num::F16, Num::F32, Num::S32, Num::F64] {
                    for satfinite in [false, true] {
                        let shape = MmaShape { m, n, k };
                        let form = MmaForm { shape, a_num, b_num, acc, satfinite };
                        if form.registers().is_some() {
                            all.push(form);
                        }
                    }
                }
            }
        }
    }
    // f16: 2 shapes, 2 accumulators; bf16 2; tf32 2; f64 4; FP8 pairs 4 × shapes 2 × 2; bytes 4 × 3 × 2.
    assert_eq!(all.len(), 4 + 2 + 2 + 4 + 16 + 24);
    all
}

fn format_of(num: MmaNum) -> Option<&'static Format> {
    Some(match num {
        MmaNum::F16 => &format::F16,
        MmaNum::Bf16 => &format::BF16,
        MmaNum::Tf32 => &format::TF32,
        MmaNum::E4m3 => &format::E4M3,
        MmaNum::E5m2 => &format::E5M2,
        MmaNum::F64 => &format::F64,
        MmaNum::S8 | MmaNum::U8 => return None,
    })
}

/// A small whole number as an element: products and sums of them are exact in every accumulator.
fn encode(num: MmaNum, value: i32) -> u64 {
    match format_of(num) {
        None => value as u8 as u64,
        Some(f) => {
            let bits = Real::integer(value.into()).pack(f, Round::Rn, false);
            if num == MmaNum::Tf32 { bits << 13 | 0x1234 } else { bits }
        }
    }
}

fn accumulator(acc: Num, value: i32) -> u64 {
    match format::format(acc) {
        None => value as u32 as u64,
        Some(f) => Real::integer(value.into()).pack(f, Round::Rn, false),
    }
}

/// A fragment's registers, 64 bits each, from a matrix of element bits.
fn spread(registers: usize, per: usize, place: impl Fn(usize, usize) -> u64) -> Vec<[u64; 32]> {
    let width = 32 / per;
    (0..registers)
        .map(|r| {
            std::array::from_fn(|lane| {
                (0..per).fold(0, |all, part| all | place(lane, r * per + part) << (width * part))
            })
        })
        .collect()
}

fn cut(registers: &[[u64; 32]]) -> Vec<[u32; 32]> {
    registers.iter().map(|lanes| lanes.map(|x| x as u32)).collect()
}

/// Every form multiplies right: each element of A, B and C is another small integer, negative ones too
/// where the type has them.
#[test]
fn products_of_small_integers() {
    let mut bits = Bits(1);
    for form in forms() {
        let MmaShape { m, n, k } = form.shape;
        let (m, n, k) = (usize::from(m), usize::from(n), usize::from(k));
        let signed = |num| if num == MmaNum::U8 { 0 } else { 4 };
        let a: Vec<i32> =
            (0..m * k).map(|_| (bits.next() % 8) as i32 - signed(form.a_num)).collect();
        let b: Vec<i32> =
            (0..k * n).map(|_| (bits.next() % 8) as i32 - signed(form.b_num)).collect();
        let c: Vec<i32> = (0..m * n).map(|_| (bits.next() % 64) as i32 - 32).collect();
        let counts = form.registers().unwrap();
        let (per_a, per_b) = (elements_per_register(form.a_num), elements_per_register(form.b_num));
        let per_c = if form.acc == Num::F16 { 2 } else { 1 };
        let at = |(row, col): (usize, usize), cols| row * cols + col;
        let left = spread(counts.0, per_a, |lane, i| {
            encode(form.a_num, a[at(a_element(m, per_a, lane, i), k)])
        });
        let right = spread(counts.1, per_b, |lane, i| {
            encode(form.b_num, b[at(b_element(per_b, lane, i), n)])
        });
        let start =
            spread(counts.2, per_c, |lane, i| accumulator(form.acc, c[at(c_element(lane, i), n)]));
        let expected = spread(counts.2, per_c, |lane, i| {
            let (row, col) = c_element(lane, i);
            let product: i32 = (0..k).map(|j| a[row * k + j] * b[j * n + col]).sum();
            accumulator(form.acc, product + c[row * n + col])
        });
        if form.acc == Num::F64 {
            let mut d = vec![[0; 32]; counts.2];
            mma_f64(form, &left, &right, &start, &mut d);
            assert_eq!(d, expected, "{form:?}");
        } else {
            let mut d = vec![[0; 32]; counts.2];
            mma(form, &cut(&left), &cut(&right), &cut(&start), &mut d);
            assert_eq!(d, cut(&expected), "{form:?}");
        }
    }
}

fn s8(satfinite: bool, c: i32) -> u32 {
    let shape = MmaShape { m: 16, n: 8, k: 32 };
    let form = MmaForm { shape, a_num: MmaNum::S8, b_num: MmaNum::S8, acc: Num::S32, satfinite };
    let mut d = [[0; 32]; 4];
    let ones = [[0x0101_0101; 32]; 4];
    mma(form, &ones, &ones[..2], &[[c as u32; 32]; 4], &mut d);
    d[3][31]
}

#[test]
fn integer_sums_wrap_or_clamp() {
    assert_eq!(s8(false, i32::MAX) as i32, i32::MAX.wrapping_add(32));
    assert_eq!(s8(true, i32::MAX) as i32, i32::MAX);
    assert_eq!(s8(true, i32::MIN) as i32, i32::MIN + 32);
    assert_eq!(s8(false, -1), 31);
}

fn half(acc: Num, a: u32, b: u32, c: u32) -> u32 {
    let shape = MmaShape { m: 16, n: 8, k: 16 };
    let form = MmaForm { shape, a_num: MmaNum::F16, b_num: MmaNum::F16, acc, satfinite: false };
    let registers = form.registers().unwrap();
    let mut d = vec![[0; 32]; registers.2];
    mma(form, &[[a; 32]; 4], &[[b; 32]; 2], &vec![[c; 32]; registers.2], &mut d);
    d[0][0]
}

/// One rounding at the end: terms below half an ulp of C still count together, and the largest f16
/// squared does not overflow f32; NaN and infinity spread.
#[test]
fn sums_round_once() {
    // 16 products of 2^-28 make half an ulp of 1: a tie, to even; one by one all would be lost.
    let tiny = 0x0400_0400;
    assert_eq!(half(Num::F32, tiny, tiny, 0x3f80_0000), 0x3f80_0000);
    assert_eq!(half(Num::F32, tiny, tiny, 0x3f80_0001), 0x3f80_0002);
    let small = 0x1000_1000; // 2^-11: products 2^-22, sum 2^-18.
    assert_eq!(f32::from_bits(half(Num::F32, small, small, 0x3f80_0000)), 1.0 + 2f32.powi(-18));
    assert_eq!(
        f32::from_bits(half(Num::F32, 0x7bff_7bff, 0x7bff_7bff, 0)),
        16.0 * 65504.0 * 65504.0
    );
    assert_eq!(half(Num::F32, 0x7c00_7c00, 0, 0), 0x7fff_ffff);
    assert_eq!(half(Num::F32, 0x7c00_7c00, 0x3c00_3c00, 0), 0x7f80_0000);
    assert_eq!(half(Num::F16, 0x7bff_7bff, 0x3c00_3c00, 0), 0x7c00_7c00);
    assert_eq!(half(Num::F16, 0x7e00_7e00, 0x3c00_3c00, 0), 0x7fff_7fff);
}
