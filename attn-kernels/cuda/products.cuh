//! Q·Kᵀ and P·V with operands of 16 bits: codes become f16 (bf16 for bf16 storage) in registers,
//! exactly. Q and P are f16 too; beside bf16 they are the sum of two bf16, which has 16 bits.
#pragma once
#include "attention.cuh"

/// A thread's place in its warp: rows (and columns) g, and the part c of every sum.
struct Lane {
    u32 lane, warp, g, c;

    DEVICE explicit Lane(u32 thread) : lane(thread % WARP), warp(thread / WARP), g(lane / 4), c(lane % 4) {}
};

/// The keys that a warp multiplies: its group of 16 tokens in a tile, and its half of it where it
/// has only one.
template <class S> struct Share {
    DEVICE static u32 group(u32 warp) { return S::HALVES == 2 ? warp : warp / 2; }
    DEVICE static u32 half(u32 warp, u32 half) { return S::HALVES == 2 ? half : warp % 2; }

    /// Which of a group's tokens is column `n` of half `h`. Columns 2c and 2c + 1 are tokens 8h + c
    /// and 8h + c + 4: what lane c of P's fragment takes together.
    DEVICE static u32 token(u32 h, u32 n) { return 8 * h + n / 2 + 4 * (n % 2); }
};

/// The codes that a lane reads of a key at once: `S::K_STEPS` words.
template <class S> DEVICE void load_keys(const u8 *row, u32 token, u32 group, u32 c, u32 (&codes)[4]) {
    if constexpr (S::K_WIDTH == 16) {
        uint4 x = *(const uint4 *)(row + S::KTile::k_unit(token, group * 4 + c) * 16);
        codes[0] = x.x, codes[1] = x.y, codes[2] = x.z, codes[3] = x.w;
    } else {
        uint2 x = *(const uint2 *)(row + group * 32 + c * 8);
        codes[0] = x.x, codes[1] = x.y;
    }
}

/// Takes out of two numbers what a pair of f16 (bf16) holds of them: the rest stays, and the sum of
/// what was taken is added to `sum`.
template <bool BF> DEVICE u32 take(float &low, float &high, float &sum) {
    u32 pair = pack<BF>(low, high);
    float taken[2];
    unpack<BF>(pair, taken[0], taken[1]);
    low -= taken[0];
    high -= taken[1];
    sum += taken[0] + taken[1];
    return pair;
}

/// Q in fragment order, `[part][step][tile][lane]`: rows g and g + 8 at the lane's four dimensions.
template <class S> struct NumberKeys {
    /// Puts four dimensions of rows g and g + 8 where `multiply` takes them. With `scales` they are
    /// the numbers that Q's codes stand for, without the scale.
    DEVICE static void put(u8 *memory, u32 step, u32 tile, u32 lane, float4 (&x)[2], const float *(&scales)[2]) {
        uint4 *to = (uint4 *)(memory + S::Q) + (step * S::TILES + tile) * WARP + lane;
        if constexpr (IS_FP8<S::K>) {
#pragma unroll
            for (u32 upper = 0; upper < 2; upper++) {
                if (scales[upper] != nullptr) decode4<S::K>(encode4<S::K>(x[upper], *scales[upper]), x[upper]);
            }
        }
#pragma unroll
        for (u32 part = 0; part < S::Q_PARTS; part++) {
            u32 pairs[2][2];
            float unused = 0.0f;
#pragma unroll
            for (u32 upper = 0; upper < 2; upper++) {
                pairs[upper][0] = take<S::BF_K>(x[upper].x, x[upper].y, unused);
                pairs[upper][1] = take<S::BF_K>(x[upper].z, x[upper].w, unused);
            }
            to[part * (S::Q_BYTES / 16)] = make_uint4(pairs[0][0], pairs[1][0], pairs[0][1], pairs[1][1]);
        }
    }

    /// Q·Kᵀ for this warp's tokens of one tile.
    DEVICE static void multiply(const u8 *memory, const u8 *tile, Lane at, float (&sums)[S::TILES][S::HALVES][4]) {
        const uint4 *queries = (const uint4 *)(memory + S::Q) + at.lane;
#pragma unroll
        for (u32 half = 0; half < S::HALVES; half++) {
            u32 token = Share<S>::group(at.warp) * 16 + Share<S>::token(Share<S>::half(at.warp, half), at.g);
            const u8 *row = tile + S::KTile::k_row(token) * S::K_UNITS * 16;
#pragma unroll
            for (u32 group = 0; group < S::STEPS / S::K_STEPS; group++) {
                u32 codes[4];
                load_keys<S>(row, token, group, at.c, codes);
#pragma unroll
                for (u32 s = 0; s < S::K_STEPS; s++) {
                    u32 b0, b1;
                    if constexpr (size_of(S::K) == 2) {
                        b0 = codes[2 * s], b1 = codes[2 * s + 1];
                    } else {
                        b0 = decode_pair<S::K, false>(codes[s]), b1 = decode_pair<S::K, true>(codes[s]);
                    }
#pragma unroll
                    for (u32 t = 0; t < S::TILES; t++) {
#pragma unroll
                        for (u32 part = 0; part < S::Q_PARTS; part++) {
                            u32 place = ((group * S::K_STEPS + s) * S::TILES + t) * WARP;
                            mma<S::BF_K>(sums[t][half], queries[part * (S::Q_BYTES / 16) + place], b0, b1);
                        }
                    }
                }
            }
        }
    }
};

/// P of a row as f16 (bf16), `[part][token]`: of every 32 tokens, lane c's eight are together, c, c + 4,
/// c + 8 …
template <class S> struct NumberProbs {
    static constexpr u32 ROW_BYTES = CHUNK * 2 * S::P_PARTS;

    /// With a scale (not 0) P becomes what its codes stand for, without the scale.
    DEVICE static void round(float &low, float &high, float scale) {
        if constexpr (IS_FP8<S::V>) {
            if (scale == 0.0f) return;
            u32 codes = encode_pair<S::V>(divide(low, scale), divide(high, scale));
            unpack<false>(decode_pair<S::V, false>(codes), low, high);
            low *= decode_factor(S::V);
            high *= decode_factor(S::V);
        }
    }

    /// Puts P of tokens 8h + c and 8h + c + 4 of a group of 16 down; `place` is 8 × group + 4h + c.
    /// Returns the sum of what was put.
    DEVICE static float put(u8 *memory, u32 r, u32 place, float low, float high, float) {
        float sum = 0.0f;
#pragma unroll
        for (u32 part = 0; part < S::P_PARTS; part++) {
            u32 unit = part * (CHUNK / 8) + place / 16 * 4 + place % 4;
            ((u32 *)(memory + S::weight_unit(r, unit)))[place / 4 % 4] = take<S::BF_V>(low, high, sum);
        }
        return sum;
    }

    /// P·V for the tokens of one tile, `first` of the chunk, and this warp's slices of dimensions.
    DEVICE static void multiply(const u8 *memory, const u8 *tile, u32 first, Lane at,
                                float (&out)[S::TILES][S::WARP_SLICES][4][4]) {
#pragma unroll
        for (u32 step = 0; step < S::TOKENS / 32; step++) {
            uint4 p[S::P_PARTS][S::TILES][2];
#pragma unroll
            for (u32 i = 0; i < S::P_PARTS * S::TILES * 2; i++) {
                u32 part = i / 2 / S::TILES, t = i / 2 % S::TILES, r = t * 16 + i % 2 * 8 + at.g;
                u32 unit = part * (CHUNK / 8) + (first + step * 32) / 8 + at.c;
                p[part][t][i % 2] = *(const uint4 *)(memory + S::weight_unit(r, unit));
            }
#pragma unroll
            for (u32 group = 0; group < 2; group++) {
#pragma unroll
                for (u32 i = 0; i < S::WARP_SLICES; i++) {
                    u32 slice = at.warp + i * WARPS;
                    if (S::SLICES % WARPS != 0 && slice >= S::SLICES) break;
                    u32 b[4][2];
                    load_values(tile, step * 32 + group * 16, slice, at, b);
#pragma unroll
                    for (u32 pt = 0; pt < S::P_PARTS * S::TILES; pt++) {
                        u32 part = pt / S::TILES, t = pt % S::TILES;
                        uint4 lower = p[part][t][0], upper = p[part][t][1];
                        uint4 a = group == 0 ? make_uint4(lower.x, upper.x, lower.y, upper.y)
                                             : make_uint4(lower.z, upper.z, lower.w, upper.w);
#pragma unroll
                        for (u32 j = 0; j < 4; j++) mma<S::BF_V>(out[t][i][j], a, b[j][0], b[j][1]);
                    }
                }
            }
        }
    }

    /// Dimensions 4g .. 4g + 3 of a slice, of tokens c, c + 4, c + 8, c + 12, as four fragments.
    DEVICE static void load_values(const u8 *tile, u32 first, u32 slice, Lane lane, u32 (&b)[4][2]) {
        constexpr u32 SIZE = size_of(S::V);
        u32 at = slice * 32 * SIZE + lane.g * 4 * SIZE;
#pragma unroll
        for (u32 pair = 0; pair < 2; pair++) {
            u32 word[2][SIZE];
#pragma unroll
            for (u32 i = 0; i < 2; i++) {
                u32 token = first + (2 * pair + i) * 4 + lane.c;
                u32 unit = S::VTile::v_unit(token, at / 16);
                const u8 *from = tile + (token * S::V_UNITS + unit) * 16 + at % 16;
                if constexpr (SIZE == 1) {
                    word[i][0] = *(const u32 *)from;
                } else {
                    uint2 x = *(const uint2 *)from;
                    word[i][0] = x.x, word[i][1] = x.y;
                }
            }
            if constexpr (SIZE == 1) {
                u32 low = bytes<0x5140>(word[0][0], word[1][0]);
                u32 high = bytes<0x7362>(word[0][0], word[1][0]);
                b[0][pair] = decode_pair<S::V, false>(low), b[1][pair] = decode_pair<S::V, true>(low);
                b[2][pair] = decode_pair<S::V, false>(high), b[3][pair] = decode_pair<S::V, true>(high);
            } else {
#pragma unroll
                for (u32 i = 0; i < 2; i++) {
                    b[2 * i][pair] = bytes<0x5410>(word[0][i], word[1][i]);
                    b[2 * i + 1][pair] = bytes<0x7632>(word[0][i], word[1][i]);
                }
            }
        }
    }
};
