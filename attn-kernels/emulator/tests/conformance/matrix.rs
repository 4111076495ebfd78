//! `mma.sync` of every shape and type, `ldmatrix`, `stmatrix` and `movmatrix`, on matrices in which no
//! two elements could be exchanged unnoticed (PTX ISA, "mma", "ldmatrix", "stmatrix", "movmatrix").

use fp8_format::{F8E4M3, F8E5M2, Overflow};
use half::{bf16, f16};

use super::fragments::*;
use crate::common::launch::device;
use crate::common::program::{Program, UNTOUCHED};
use crate::common::values::Random;

/// An element type: bits, the number as bits.
struct Element {
    name: &'static str,
    bits: u32,
    encode: fn(i32) -> u64,
}

const F16: Element =
    Element { name: "f16", bits: 16, encode: |x| f16::from_f32(x as f32).to_bits().into() };
const BF16: Element =
    Element { name: "bf16", bits: 16, encode: |x| bf16::from_f32(x as f32).to_bits().into() };
const TF32: Element = Element { name: "tf32", bits: 32, encode: |x| (x as f32).to_bits().into() };
const F32: Element = Element { name: "f32", bits: 32, encode: |x| (x as f32).to_bits().into() };
const F64: Element = Element { name: "f64", bits: 64, encode: |x| f64::from(x).to_bits() };
const S32: Element = Element { name: "s32", bits: 32, encode: |x| u64::from(x as u32) };
const S8: Element = Element { name: "s8", bits: 8, encode: |x| u64::from(x as i8 as u8) };
const U8: Element = Element { name: "u8", bits: 8, encode: |x| u64::from(x as u8) };
const E4M3: Element = Element {
    name: "e4m3",
    bits: 8,
    encode: |x| F8E4M3::from_f32(x as f32, Overflow::Saturate).to_bits().into(),
};
const E5M2: Element = Element {
    name: "e5m2",
    bits: 8,
    encode: |x| F8E5M2::from_f32(x as f32, Overflow::Saturate).to_bits().into(),
};

/// Small integers, exact in every type and in every sum of this test.
fn small(random: &mut Random, element: &Element) -> i32 {
    match element.name {
        "u8" => random.below(256) as i32,
        "s8" => random.below(256) as i32 - 128,
        // ±{0, 1, 2, 3, 4, 5, 6, 7, 8}: e5m2 holds neither 9 nor 7 and 5.
        "e5m2" => [0, 1, -1, 2, -2, 3, -3, 4, -4, 6, -6, 8][random.below(12) as usize],
        _ => random.below(17) as i32 - 8,
    }
}

/// The registers of one lane: elements from low to high bits, in words of 32 bits (64 for f64).
fn registers(elements: &[u64], bits: u32) -> Vec<u64> {
    let width = if bits == 64 { 64 } else { 32 };
    let per = (width / bits) as usize;
    let word = |part: &[u64]| part.iter().rev().fold(0, |word, &e| (word << (bits % 64)) | e);
    elements.chunks(per).map(word).collect()
}

fn names(prefix: &str, from: usize, count: usize) -> String {
    (from..from + count).map(|i| format!("{prefix}{i}")).collect::<Vec<_>>().join(", ")
}

/// One shape on random matrices: what every lane gets must be the elements of A·B + C.
fn check(shape: &Shape, a: &Element, b: &Element, c: &Element, d: &Element, suffix: &str) {
    let device = device();
    let mut random = Random(shape.k as u64 * 100 + u64::from(a.bits));
    let name = format!("m{}n{}k{}", shape.m, shape.n, shape.k);
    let op = format!(
        "mma.sync.aligned.{name}.row.col{suffix}.{}.{}.{}.{}",
        d.name, a.name, b.name, c.name
    );
    for _ in 0..4 {
        let mut matrix = |rows: usize, columns: usize, element: &Element| -> Vec<Vec<i32>> {
            (0..rows).map(|_| (0..columns).map(|_| small(&mut random, element)).collect()).collect()
        };
        let (ma, mb) = (matrix(shape.m, shape.k, a), matrix(shape.k, shape.n, b));
        let mc = matrix(shape.m, shape.n, c);
        let fragment =
            |lane: usize, (count, layout): (usize, Layout), m: &[Vec<i32>], e: &Element| {
                let at = |i| {
                    let (row, column) = layout(lane, i);
                    (e.encode)(m[row][column])
                };
                registers(&(0..count).map(at).collect::<Vec<_>>(), e.bits)
            };
        // Lane by lane: the words of A, B, C, each in a slot of 8 bytes.
        let mut input: Vec<u64> = Vec::new();
        let mut counts = [0; 3];
        for lane in 0..32 {
            let parts = [
                fragment(lane, shape.a, &ma, a),
                fragment(lane, shape.b, &mb, b),
                fragment(lane, shape.c, &mc, c),
            ];
            counts = [parts[0].len(), parts[1].len(), parts[2].len()];
            input.extend(parts.concat());
        }
        let results = fragment(0, shape.c, &mc, d).len();
        let program = program(&op, counts, results, a.bits, c.bits, d.bits);
        let words = if d.bits == 64 { 2 } else { 1 };
        let got = program.output(&device, &input, 32 * results * words);
        for lane in 0..32 {
            let want: Vec<u64> = registers(
                &(0..shape.c.0)
                    .map(|i| {
                        let (row, column) = shape.c.1(lane, i);
                        let sum: i32 = (0..shape.k).map(|k| ma[row][k] * mb[k][column]).sum();
                        (d.encode)(sum + mc[row][column])
                    })
                    .collect::<Vec<_>>(),
                d.bits,
            );
            let got: Vec<u64> = (0..results)
                .map(|i| {
                    let at = (lane * results + i) * words;
                    let high = if words == 2 { u64::from(got[at + 1]) } else { 0 };
                    high << 32 | u64::from(got[at])
                })
                .collect();
            assert_eq!(got, want, "{op}: lane {lane}");
        }
    }
}

/// Loads the lane's words, multiplies, stores.
fn program(op: &str, counts: [usize; 3], results: usize, ab: u32, c: u32, d: u32) -> Program {
    let total: usize = counts.iter().sum();
    let mut body = format!("mul.wide.u32 %l0, %me, {};\nadd.u64 %l0, %in, %l0;\n", total * 8);
    // Doubles from %l1 on, words from %r0 on; A, B, C follow one another.
    let mut at = 0;
    let mut operands = Vec::new();
    for (count, bits) in counts.iter().zip([ab, ab, c]) {
        let (prefix, from, ty) = if bits == 64 { ("%l", at + 1, "b64") } else { ("%r", at, "b32") };
        for i in 0..*count {
            body += &format!("ld.global.{ty} {prefix}{}, [%l0+{}];\n", from + i, (at + i) * 8);
        }
        operands.push(names(prefix, from, *count));
        at += count;
    }
    let (prefix, from, ty) = if d == 64 { ("%l", 26, "b64") } else { ("%r", 50, "b32") };
    body += &format!(
        "{op} {{{}}}, {{{}}}, {{{}}}, {{{}}};\n",
        names(prefix, from, results),
        operands[0],
        operands[1],
        operands[2]
    );
    let stride = if d == 64 { 8 } else { 4 };
    body += &format!("mul.wide.u32 %l25, %me, {};\nadd.u64 %l25, %out, %l25;\n", results * stride);
    for i in 0..results {
        body += &format!("st.global.{ty} [%l25+{}], {prefix}{};\n", i * stride, from + i);
    }
    Program::new(32, &body)
}

#[test]
fn mma_of_halves() {
    for shape in [M16N8K8_HALF, M16N8K16_HALF] {
        check(&shape, &F16, &F16, &F32, &F32, "");
        check(&shape, &F16, &F16, &F16, &F16, "");
        check(&shape, &BF16, &BF16, &F32, &F32, "");
    }
}

#[test]
fn mma_of_tf32() {
    for shape in [M16N8K4, M16N8K8_WORD] {
        check(&shape, &TF32, &TF32, &F32, &F32, "");
    }
}

#[test]
fn mma_of_doubles() {
    for shape in [M8N8K4_DOUBLE, M16N8K4, M16N8K8_WORD, M16N8K16_DOUBLE] {
        check(&shape, &F64, &F64, &F64, &F64, "");
    }
}

#[test]
fn mma_of_bytes() {
    for shape in [M8N8K16_BYTE, M16N8K16_BYTE, M16N8K32_BYTE] {
        for a in [&S8, &U8] {
            for b in [&S8, &U8] {
                check(&shape, a, b, &S32, &S32, "");
                check(&shape, a, b, &S32, &S32, ".satfinite");
            }
        }
    }
}

#[test]
fn mma_of_fp8() {
    for a in [&E4M3, &E5M2] {
        for b in [&E4M3, &E5M2] {
            check(&M16N8K32_BYTE, a, b, &F32, &F32, "");
            check(&M16N8K32_BYTE, a, b, &F16, &F16, "");
            check(&M16N8K16_BYTE, a, b, &F32, &F32, "");
            check(&M16N8K16_BYTE, a, b, &F16, &F16, "");
        }
    }
}

/// Where the s32 sum leaves the range it wraps, and with `.satfinite` it stays at the limit.
#[test]
fn mma_of_bytes_overflows() {
    let device = device();
    for (suffix, want) in
        [("", 0x7fff_fff0u32.wrapping_add(32 * 127 * 127)), (".satfinite", 0x7fff_ffff)]
    {
        let op = format!("mma.sync.aligned.m16n8k32.row.col{suffix}.s32.s8.s8.s32");
        let program = program(&op, [4, 2, 4], 4, 8, 32, 32);
        let lane: Vec<u64> = [[0x7f7f_7f7f; 6].to_vec(), [0x7fff_fff0; 4].to_vec()].concat();
        let input: Vec<u64> = lane.iter().copied().cycle().take(32 * 10).collect();
        assert_eq!(program.output(&device, &input, 128), [want; 128]);
    }
}

/// Infinity and NaN go through; a sum beyond f16 becomes infinite.
#[test]
fn mma_specials() {
    let device = device();
    let op = "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32";
    let wide = program(op, [4, 2, 4], 4, 16, 32, 32);
    // A has one infinity in row 0, column 0 (lane 0, element 0); B is all ones; C zero.
    let mut input: Vec<u64> = Vec::new();
    for lane in 0..32 {
        let a0 = if lane == 0 { 0x3c00_7c00 } else { 0x3c00_3c00 };
        input.extend([
            a0,
            0x3c00_3c00,
            0x3c00_3c00,
            0x3c00_3c00,
            0x3c00_3c00,
            0x3c00_3c00,
            0,
            0,
            0,
            0,
        ]);
    }
    let got = wide.output(&device, &input, 128);
    for lane in 0..32 {
        for i in 0..4 {
            let (row, _) = M16N8K16_HALF.c.1(lane, i);
            let value = f32::from_bits(got[lane * 4 + i]);
            assert_eq!(value, if row == 0 { f32::INFINITY } else { 16.0 });
        }
    }
    let narrow =
        program("mma.sync.aligned.m16n8k16.row.col.f16.f16.f16.f16", [4, 2, 2], 2, 16, 16, 16);
    // 256 · 256 · 16 = 2^20.
    let lane = [[0x5c00_5c00u64; 6].to_vec(), vec![0; 2]].concat();
    let input: Vec<u64> = lane.iter().copied().cycle().take(32 * 8).collect();
    assert_eq!(narrow.output(&device, &input, 64), [0x7c00_7c00; 64]);
}

/// Rows lie anywhere: each lane's address is its row's, in an order of its own.
fn row_address(matrix: usize, row: usize) -> usize {
    ((matrix * 8 + row) * 5 + 3) % 32 * 16
}

#[test]
fn ldmatrix() {
    let device = device();
    for (x, count) in [("x1", 1), ("x2", 2), ("x4", 4)] {
        for trans in ["", ".trans"] {
            for space in [".shared", ".shared::cta"] {
                // 32 rows of eight 16-bit elements, element = 256 · place of its row + column.
                let element = |place: usize, column: usize| (place << 8 | column) as u32;
                let data: Vec<u32> = (0..128)
                    .map(|w| {
                        let (place, pair) = (w / 4, w % 4);
                        element(place, pair * 2) | element(place, pair * 2 + 1) << 16
                    })
                    .collect();
                let offsets: Vec<u32> = (0..32)
                    // Lanes beyond the last matrix give no address that counts.
                    .map(|lane| {
                        if lane < count * 8 {
                            row_address(lane / 8, lane % 8) as u32
                        } else {
                            0xfff0
                        }
                    })
                    .collect();
                let list = names("%r", 10, count);
                let mut body = format!(
                    ".shared .align 16 .b8 rows[512];\nmov.u32 %r0, rows;\nmad.lo.u32 %r1, %me, 16, %r0;\n\
                     mul.wide.u32 %l2, %me, 16;\nadd.u64 %l2, %in, %l2;\n\
                     ld.global.v4.u32 {{%r20, %r21, %r22, %r23}}, [%l2];\n\
                     st.shared.v4.u32 [%r1], {{%r20, %r21, %r22, %r23}};\nbar.sync 0;\n\
                     ld.global.u32 %r3, [%src+512];\nadd.u32 %r4, %r0, %r3;\n\
                     ldmatrix.sync.aligned.m8n8.{x}{trans}{space}.b16 {{{list}}}, [%r4];\n\
                     mul.wide.u32 %l3, %me, {};\nadd.u64 %l3, %out, %l3;\n",
                    count * 4
                );
                for i in 0..count {
                    body += &format!("st.global.u32 [%l3+{}], %r{};\n", i * 4, 10 + i);
                }
                let mut input = data;
                input.extend(offsets);
                let got = Program::new(32, &body).output(&device, &input, 32 * count);
                for lane in 0..32 {
                    for matrix in 0..count {
                        let at = |i: usize| {
                            let (row, column) = eight_by_eight(lane, i);
                            // Transposed, a lane gets the element of the mirrored place.
                            let (row, column) =
                                if trans.is_empty() { (row, column) } else { (column, row) };
                            element(row_address(matrix, row) / 16, column)
                        };
                        let context = format!("{x}{trans}{space}: lane {lane}, matrix {matrix}");
                        assert_eq!(got[lane * count + matrix], at(0) | at(1) << 16, "{context}");
                    }
                }
            }
        }
    }
}

#[test]
fn stmatrix() {
    let device = device();
    for (x, count) in [("x1", 1), ("x2", 2), ("x4", 4)] {
        for trans in ["", ".trans"] {
            let list = names("%r", 10, count);
            let mut body = String::from(
                ".shared .align 16 .b8 rows[512];\nmov.u32 %r0, rows;\nmad.lo.u32 %r1, %me, 16, %r0;\n\
                 mov.u32 %r20, 0xdeadbeef;\nst.shared.v4.u32 [%r1], {%r20, %r20, %r20, %r20};\n\
                 bar.sync 0;\nld.global.u32 %r3, [%src];\nadd.u32 %r4, %r0, %r3;\n",
            );
            // Register m of lane l holds elements 1000·m + 10·l and one more.
            for i in 0..count {
                body += &format!(
                    "mad.lo.u32 %r{0}, %me, 10, {1};\nadd.u32 %r21, %r{0}, 1;\nshl.b32 %r21, %r21, 16;\n\
                     or.b32 %r{0}, %r{0}, %r21;\n",
                    10 + i,
                    1000 * i
                );
            }
            body += &format!(
                "stmatrix.sync.aligned.m8n8.{x}{trans}.shared.b16 [%r4], {{{list}}};\nbar.sync 0;\n\
                 ld.shared.v4.u32 {{%r20, %r21, %r22, %r23}}, [%r1];\nmul.wide.u32 %l0, %me, 16;\n\
                 add.u64 %l0, %out, %l0;\nst.global.v4.u32 [%l0], {{%r20, %r21, %r22, %r23}};"
            );
            let offsets: Vec<u32> =
                (0..32)
                    .map(|lane| {
                        if lane < count * 8 {
                            row_address(lane / 8, lane % 8) as u32
                        } else {
                            0xfff0
                        }
                    })
                    .collect();
            let got = Program::new(32, &body).output(&device, &offsets, 128);
            let mut want = [UNTOUCHED; 128];
            for lane in 0..32 {
                for matrix in 0..count {
                    for i in 0..2 {
                        let (row, column) = eight_by_eight(lane, i);
                        let (row, column) =
                            if trans.is_empty() { (row, column) } else { (column, row) };
                        let value = (1000 * matrix + 10 * lane + i) as u32;
                        let word = &mut want[row_address(matrix, row) / 4 + column / 2];
                        let shift = 16 * (column % 2);
                        *word = *word & !(0xffff << shift) | value << shift;
                    }
                }
            }
            assert_eq!(got, want, "{x}{trans}");
        }
    }
}

#[test]
fn movmatrix() {
    let device = device();
    let body = "ld.global.u32 %r0, [%src];\nmovmatrix.sync.aligned.m8n8.trans.b16 %r1, %r0;\n\
                st.global.u32 [%dst], %r1;";
    let element = |row: usize, column: usize| (row * 100 + column) as u32;
    let input: Vec<u32> = (0..32)
        .map(|lane| {
            let [(r, c), (_, d)] = [eight_by_eight(lane, 0), eight_by_eight(lane, 1)];
            element(r, c) | element(r, d) << 16
        })
        .collect();
    let got = Program::new(32, body).output(&device, &input, 32);
    for (lane, got) in got.iter().enumerate() {
        let [(r, c), (_, d)] = [eight_by_eight(lane, 0), eight_by_eight(lane, 1)];
        assert_eq!(*got, element(c, r) | element(d, r) << 16, "lane {lane}");
    }
}
