//! The slice kernels: whole vectors first, then what is left through a buffer of one vector.

use core::arch::x86_64::*;

use super::decode::{load_codes_x32, raw_f32x32, raw_factor};
use super::encode::{encode as encode_lanes, store_codes, stream_codes};
use super::halves::{self, Divisor};
use super::halves_decode::{self, Table};
use super::streams::{part_len, prefetch, split, split_mut};
use super::wide::{load32, store_decoded, store_halves};
use crate::code::Code;
use crate::format::Overflow;
use crate::mem::bytes_as_codes;
use crate::scalar;
use crate::source::Source;

/// Encodes `src / scale`. The slices are of one length; the scale is finite and above zero.
#[target_feature(enable = "avx2,f16c")]
pub(in crate::simd) fn encode<S: Source, C: Code>(
    src: &[S],
    scale: f32,
    overflow: Overflow,
    dst: &mut [C],
) {
    match overflow {
        Overflow::Saturate => encode_to::<S, C, true>(src, scale, dst),
        Overflow::NonSaturating => encode_to::<S, C, false>(src, scale, dst),
    }
}

/// How a block is encoded. Dividing by 1 changes no code.
const UNSCALED: u8 = 0;
const SCALED: u8 = 1;
/// As the two above, by the short cuts of [`halves::encode`].
const HALVES: u8 = 2;
const SCALED_HALVES: u8 = 3;

#[target_feature(enable = "avx2,f16c")]
fn encode_to<S: Source, C: Code, const SATURATE: bool>(src: &[S], scale: f32, dst: &mut [C]) {
    let plain = Divisor::plain(scale);
    match (Divisor::new::<S, C, SATURATE>(scale), scale == 1.0) {
        (Some(divisor), true) => encode_as::<S, C, SATURATE, HALVES>(src, divisor, dst),
        (Some(divisor), false) => encode_as::<S, C, SATURATE, SCALED_HALVES>(src, divisor, dst),
        (None, true) => encode_as::<S, C, SATURATE, UNSCALED>(src, plain, dst),
        (None, false) => encode_as::<S, C, SATURATE, SCALED>(src, plain, dst),
    }
}

#[target_feature(enable = "avx2,f16c")]
fn encode_as<S: Source, C: Code, const SATURATE: bool, const HOW: u8>(
    src: &[S],
    scale: Divisor,
    dst: &mut [C],
) {
    if size_of_val(src) < STREAM_FROM {
        return encode_near::<S, C, SATURATE, HOW>(src, scale, dst);
    }
    // Up to a cache line's boundary, then whole lines past the cache.
    let head = dst.as_ptr().align_offset(64).min(dst.len());
    let (src_head, src) = src.split_at(head);
    let (dst_head, dst) = dst.split_at_mut(head);
    encode_near::<S, C, SATURATE, HOW>(src_head, scale, dst_head);
    let (runs, rest) = src.as_chunks::<RUN>();
    let (coded, coded_rest) = dst.as_chunks_mut::<RUN>();
    let part = part_len(runs);
    let (parts, runs) = split(runs, part);
    let (mut coded_parts, coded) = split_mut(coded, part);
    for i in 0..part {
        for (runs, coded) in parts.iter().zip(&mut coded_parts) {
            encode_run::<S, C, SATURATE, HOW>(&runs[i], scale, &mut coded[i]);
        }
    }
    for (run, codes) in runs.iter().zip(coded) {
        encode_run::<S, C, SATURATE, HOW>(run, scale, codes);
    }
    encode_near::<S, C, SATURATE, HOW>(rest, scale, coded_rest);
    _mm_sfence();
}

/// Elements taken from one stream before the next has its turn: four lines of codes, so that few
/// lines are open for writing at any time.
const RUN: usize = 256;

/// Whole cache lines of codes, written past the caches.
#[inline]
#[target_feature(enable = "avx2,f16c")]
fn encode_run<S: Source, C: Code, const SATURATE: bool, const HOW: u8>(
    src: &[S; RUN],
    scale: Divisor,
    dst: &mut [C; RUN],
) {
    let (blocks, _) = src.as_chunks::<32>();
    let (lines, _) = dst.as_chunks_mut::<64>();
    for (pair, line) in blocks.chunks_exact(2).zip(lines) {
        prefetch(&pair[0]);
        prefetch(&pair[1]);
        let low = encode_block::<S, C, SATURATE, HOW>(&pair[0], scale);
        let high = encode_block::<S, C, SATURATE, HOW>(&pair[1], scale);
        stream_codes(low, high, line);
    }
}

#[target_feature(enable = "avx2,f16c")]
fn encode_near<S: Source, C: Code, const SATURATE: bool, const HOW: u8>(
    src: &[S],
    scale: Divisor,
    dst: &mut [C],
) {
    let (blocks, rest) = src.as_chunks::<32>();
    let (coded, coded_rest) = dst.as_chunks_mut::<32>();
    for (block, codes) in blocks.iter().zip(coded) {
        store_codes(encode_block::<S, C, SATURATE, HOW>(block, scale), codes);
    }
    if !rest.is_empty() {
        let mut block = [S::from_f32(0.0); 32];
        let mut codes = [C::encode(0.0, Overflow::Saturate); 32];
        block[..rest.len()].copy_from_slice(rest);
        store_codes(encode_block::<S, C, SATURATE, HOW>(&block, scale), &mut codes);
        coded_rest.copy_from_slice(&codes[..rest.len()]);
    }
}

#[inline]
#[target_feature(enable = "avx2,f16c")]
fn encode_block<S: Source, C: Code, const SATURATE: bool, const HOW: u8>(
    src: &[S; 32],
    scale: Divisor,
) -> __m256i {
    let halves = match HOW {
        HALVES => halves::encode::<S, C, SATURATE, false>(src, scale),
        SCALED_HALVES => halves::encode::<S, C, SATURATE, true>(src, scale),
        _ => None,
    };
    if let Some(codes) = halves {
        return codes;
    }
    let (mut x, signs) = load32(src);
    if matches!(HOW, SCALED | SCALED_HALVES) {
        for x in &mut x {
            *x = _mm256_div_ps(*x, scale.scale);
        }
    }
    encode_lanes::<S, C, SATURATE>(x, signs)
}

/// Decodes `src × scale`. The slices are of one length; the scale is finite and above zero.
#[target_feature(enable = "avx2,f16c")]
pub(in crate::simd) fn decode<C: Code, D: Source>(src: &[C], scale: f32, dst: &mut [D]) {
    // Both factors in one multiplication: the one of `raw_f32x32` is a power of two, so the
    // product with the scale is exact and the bits are the same, unless it overflows.
    let factor = scale * const { raw_factor::<C>() };
    if factor.is_infinite() {
        return scalar::decode(src, scale, dst);
    }
    let factor = Factor { lanes: _mm256_set1_ps(factor), table: Table::NONE };
    if size_of::<D>() == 2 && dst.len() >= halves_decode::WORTH_IT {
        let mut products = [D::from_f32(0.0); 32];
        decode_block::<C, D, false, false>(first_codes(), factor, &mut products);
        let (smallest, _) = products.as_chunks::<16>();
        if let Some(table) = Table::new::<C, D>(&smallest[0], scale) {
            return decode_to::<C, D, true>(src, Factor { table, ..factor }, dst);
        }
    }
    decode_to::<C, D, false>(src, factor, dst);
}

/// What codes are multiplied with, and the products by table where there are.
#[derive(Clone, Copy)]
struct Factor {
    lanes: __m256,
    table: Table,
}

#[target_feature(enable = "avx2,f16c")]
fn decode_to<C: Code, D: Source, const BY_TABLE: bool>(src: &[C], factor: Factor, dst: &mut [D]) {
    if size_of_val(dst) < STREAM_FROM {
        return decode_as::<C, D, BY_TABLE, false>(src, factor, dst);
    }
    // Up to a cache line's boundary, then whole lines past the cache.
    let head = dst.as_ptr().align_offset(64).min(dst.len());
    let (src_head, src) = src.split_at(head);
    let (dst_head, dst) = dst.split_at_mut(head);
    decode_as::<C, D, BY_TABLE, false>(src_head, factor, dst_head);
    decode_as::<C, D, BY_TABLE, true>(src, factor, dst);
    _mm_sfence();
}

/// The first 32 codes.
fn first_codes<C: Code>() -> &'static [C; 32] {
    static BYTES: [u8; 32] = {
        let mut bytes = [0; 32];
        let mut i = 0;
        while i < 32 {
            bytes[i] = i as u8;
            i += 1;
        }
        bytes
    };
    let (blocks, _) = bytes_as_codes(&BYTES).as_chunks::<32>();
    &blocks[0]
}

/// From this many bytes of floats on, the other side is written past the caches, and codes are
/// encoded in several places at once: nothing would stay in the caches, and an ordinary store reads
/// each line first.
const STREAM_FROM: usize = 32 << 20;

#[target_feature(enable = "avx2,f16c")]
fn decode_as<C: Code, D: Source, const BY_TABLE: bool, const STREAM: bool>(
    src: &[C],
    factor: Factor,
    dst: &mut [D],
) {
    let (blocks, rest) = src.as_chunks::<32>();
    let (decoded, decoded_rest) = dst.as_chunks_mut::<32>();
    for (block, x) in blocks.iter().zip(decoded) {
        if STREAM {
            prefetch(block);
        }
        decode_block::<C, D, BY_TABLE, STREAM>(block, factor, x);
    }
    if !rest.is_empty() {
        let mut block = [C::encode(0.0, Overflow::Saturate); 32];
        let mut x = [D::from_f32(0.0); 32];
        block[..rest.len()].copy_from_slice(rest);
        decode_block::<C, D, BY_TABLE, false>(&block, factor, &mut x);
        decoded_rest.copy_from_slice(&x[..rest.len()]);
    }
}

#[inline]
#[target_feature(enable = "avx2,f16c")]
fn decode_block<C: Code, D: Source, const BY_TABLE: bool, const STREAM: bool>(
    src: &[C; 32],
    factor: Factor,
    dst: &mut [D; 32],
) {
    let codes = load_codes_x32(src);
    let (vectors, _) = dst.as_chunks_mut::<16>();
    let [first, second] = vectors else { unreachable!("32 elements are twice 16") };
    if BY_TABLE && let Some([low, high]) = halves_decode::decode::<C, D>(codes, factor.table) {
        store_halves::<D, STREAM>(low, first);
        return store_halves::<D, STREAM>(high, second);
    }
    let factor = factor.lanes;
    let [a, b, c, d] = raw_f32x32::<C>(codes);
    store_decoded::<D, STREAM>(_mm256_mul_ps(a, factor), _mm256_mul_ps(b, factor), first);
    store_decoded::<D, STREAM>(_mm256_mul_ps(c, factor), _mm256_mul_ps(d, factor), second);
}
