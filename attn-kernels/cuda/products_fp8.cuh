//! Q·Kᵀ and P·V on codes, `mma.sync` m16n8k32: nothing is converted. The products are those of
//! products.cuh for rounded Q and P, exactly; only the order of their sums differs.
#pragma once
#include "products.cuh"

/// Q's codes in fragment order, `[product][tile][lane]`: rows g and g + 8 at the lane's eight
/// dimensions, two words of K.
template <class S> struct CodeKeys {
    static_assert(IS_FP8<S::K>, "tensor cores multiply FP8 codes");

    /// As `NumberKeys::put`; there are always scales.
    DEVICE static void put(u8 *memory, u32 step, u32 tile, u32 lane, float4 (&x)[2], const float *(&scales)[2]) {
        u32 part[2];
#pragma unroll
        for (u32 upper = 0; upper < 2; upper++) {
            part[upper] = scales[upper] != nullptr ? encode4<S::K>(x[upper], *scales[upper]) : 0;
        }
        u32 place = (step / 2 * S::TILES + tile) * WARP + lane;
        ((uint2 *)(memory + S::Q))[place * 2 + step % 2] = make_uint2(part[0], part[1]);
    }

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
                for (u32 s = 0; s < S::K_STEPS / 2; s++) {
#pragma unroll
                    for (u32 t = 0; t < S::TILES; t++) {
                        uint4 a = queries[((group * S::K_STEPS / 2 + s) * S::TILES + t) * WARP];
                        mma_codes<S::K>(sums[t][half], a, codes[2 * s], codes[2 * s + 1]);
                    }
                }
            }
        }
    }
};

/// P's codes of a row: of every 64 tokens, lane c's sixteen are together, c, c + 4, c + 8 …
template <class S> struct CodeProbs {
    static_assert(IS_FP8<S::V>, "tensor cores multiply FP8 codes");
    static constexpr u32 ROW_BYTES = CHUNK;

    DEVICE static void round(float &, float &, float) {}

    /// As `NumberProbs::put`, rounded with the scale.
    DEVICE static float put(u8 *memory, u32 r, u32 place, float low, float high, float scale) {
        u32 codes = encode_pair<S::V>(divide(low, scale), divide(high, scale));
        u32 unit = place / 32 * 4 + place % 4;
        ((u16 *)(memory + S::weight_unit(r, unit)))[place / 4 % 8] = (u16)codes;
        unpack<false>(decode_pair<S::V, false>(codes), low, high);
        return low * decode_factor(S::V) + high * decode_factor(S::V);
    }

    DEVICE static void multiply(const u8 *memory, const u8 *tile, u32 first, Lane at,
                                float (&out)[S::TILES][S::WARP_SLICES][4][4]) {
        uint4 p[S::TILES][2];
#pragma unroll
        for (u32 t = 0; t < S::TILES; t++) {
#pragma unroll
            for (u32 upper = 0; upper < 2; upper++) {
                u32 r = t * 16 + upper * 8 + at.g;
                uint4 x = *(const uint4 *)(memory + S::weight_unit(r, first / 64 * 4 + at.c));
                // A tile of 32 tokens takes the first or the second half.
                if (S::TOKENS == 32 && first % 64 != 0) x = make_uint4(x.z, x.w, 0, 0);
                p[t][upper] = x;
            }
        }
#pragma unroll
        for (u32 part = 0; part < S::TOKENS / 32; part++) {
#pragma unroll
            for (u32 i = 0; i < S::WARP_SLICES; i++) {
                u32 slice = at.warp + i * WARPS;
                if (S::SLICES % WARPS != 0 && slice >= S::SLICES) break;
                u32 b[2][4];
                load_values(tile, part * 32, slice, at, b[0]);
                load_values(tile, part * 32 + 16, slice, at, b[1]);
#pragma unroll
                for (u32 t = 0; t < S::TILES; t++) {
                    uint4 lower = p[t][0], upper = p[t][1];
                    uint4 a = part == 0 ? make_uint4(lower.x, upper.x, lower.y, upper.y)
                                        : make_uint4(lower.z, upper.z, lower.w, upper.w);
#pragma unroll
                    for (u32 j = 0; j < 4; j++) mma_codes<S::V>(out[t][i][j], a, b[0][j], b[1][j]);
                }
            }
        }
    }

    /// Dimensions 4g .. 4g + 3 of a slice, each with its codes of tokens c, c + 4, c + 8, c + 12.
    DEVICE static void load_values(const u8 *tile, u32 first, u32 slice, Lane lane, u32 (&b)[4]) {
        u32 at = slice * 32 + lane.g * 4, word[4];
#pragma unroll
        for (u32 i = 0; i < 4; i++) {
            u32 token = first + i * 4 + lane.c;
            word[i] = *(const u32 *)(tile + (token * S::V_UNITS + S::VTile::v_unit(token, at / 16)) * 16 + at % 16);
        }
        u32 low[2] = {bytes<0x5140>(word[0], word[1]), bytes<0x5140>(word[2], word[3])};
        u32 high[2] = {bytes<0x7362>(word[0], word[1]), bytes<0x7362>(word[2], word[3])};
        b[0] = bytes<0x5410>(low[0], low[1]), b[1] = bytes<0x7632>(low[0], low[1]);
        b[2] = bytes<0x5410>(high[0], high[1]), b[3] = bytes<0x7632>(high[0], high[1]);
    }
};
