//! Linear layers, `y[rows][out] = x[rows][in] · W[out][in]ᵀ (+ bias)`, on bf16 tensor cores at the
//! accuracy of f32: operands are sums of bf16 parts (`parts.cuh`), and every product of parts is
//! computed whose size exceeds 2⁻²⁴ of the whole. Up to three layers that read one input are one
//! launch.
//!
//! A CTA has a tile of outputs and of rows. Its four warps share the depth, 32 inputs in turn, and are
//! added in one order at the end. So an output's order of summation depends on the depth alone: a
//! row's results have the same bits alone and in any batch. Weights are the A operand, since they have
//! many outputs even where there is one row; each is read once per tile of rows, 16 bytes at a time,
//! and the order of inputs inside a product is chosen so that those are the fragment (`mma.cuh`).
#include "mma.cuh"
#include "parts.cuh"

/// One layer, laid out as `src/cuda/ops.rs` does.
struct Product {
    /// `[out][depth]`.
    const void *weight;
    /// `[out]`, or null.
    const float *bias;
    /// `[rows][stride]`.
    float *y;
    u32 out, stride;
    /// Add to what is in `y`.
    u32 accumulate;
    /// Its first tile of outputs, in x of the grid.
    u32 first;
};

struct Linear {
    Product products[3];
    Planes x;
    u32 count;
    u32 rows;
    /// A multiple of 32; what a layer lacks is zero in `x` and in the weight.
    u32 depth;
};

constexpr u32 WARPS = 4;
/// Inputs that a warp takes at a time: two products deep.
constexpr u32 STEP = 32;

/// Eight weights of one output as `PARTS_OF` parts of four pairs.
template <u32 ELEMENT> struct Weights {
    static constexpr u32 PARTS_OF = ELEMENT == BF16 ? 1 : ELEMENT == F16 ? 2 : 3;
    u32 pair[PARTS_OF][4];

    DEVICE void load(const u8 *from) {
        if constexpr (ELEMENT == BF16) {
            uint4 x = *(const uint4 *)from;
            pair[0][0] = x.x, pair[0][1] = x.y, pair[0][2] = x.z, pair[0][3] = x.w;
        } else {
            float x[8];
            if constexpr (ELEMENT == F16) {
                uint4 words = *(const uint4 *)from;
                u32 w[4] = {words.x, words.y, words.z, words.w};
#pragma unroll
                for (u32 i = 0; i < 4; i++) {
                    asm("{.reg .b16 a, b; mov.b32 {a, b}, %2; cvt.f32.f16 %0, a; cvt.f32.f16 %1, b;}"
                        : "=f"(x[2 * i]), "=f"(x[2 * i + 1])
                        : "r"(w[i]));
                }
            } else {
                float4 a = *(const float4 *)from, b = *(const float4 *)(from + 16);
                x[0] = a.x, x[1] = a.y, x[2] = a.z, x[3] = a.w;
                x[4] = b.x, x[5] = b.y, x[6] = b.z, x[7] = b.w;
            }
#pragma unroll
            for (u32 i = 0; i < 4; i++)
#pragma unroll
                for (u32 part = 0; part < PARTS_OF; part++) pair[part][i] = take_part(x[2 * i], x[2 * i + 1]);
        }
    }
};

/// `y += W · x` for 16 outputs, 8 rows and 32 inputs: small products first.
template <u32 ELEMENT>
DEVICE void multiply(float (&y)[4], const Weights<ELEMENT> (&w)[2], const uint4 (&x)[PARTS]) {
    constexpr u32 OF = Weights<ELEMENT>::PARTS_OF;
#pragma unroll
    for (int order = PARTS - 1; order >= 0; order--) {
#pragma unroll
        for (int part = OF - 1; part >= 0; part--) {
            if (part > order) continue;
            const uint4 &b = x[order - part];
            const u32(&low)[4] = w[0].pair[part], (&high)[4] = w[1].pair[part];
            mma<true>(y, make_uint4(low[0], high[0], low[1], high[1]), b.x, b.y);
            mma<true>(y, make_uint4(low[2], high[2], low[3], high[3]), b.z, b.w);
        }
    }
}

/// `TILES` × 16 outputs and `COLUMNS` × 8 rows.
template <u32 ELEMENT, u32 TILES, u32 COLUMNS> DEVICE void linear(const Linear &call) {
    constexpr u32 OUT = 16 * TILES, ROWS = 8 * COLUMNS, SIZE = ELEMENT == F32 ? 4 : 2;
    // Padded so that a warp's stores meet no bank twice.
    __shared__ float sums[WARPS][ROWS][OUT + 4];
    u32 which = 0;
    if (call.count > 1 && blockIdx.x >= call.products[1].first) which = 1;
    if (call.count > 2 && blockIdx.x >= call.products[2].first) which = 2;
    const Product product = which == 0 ? call.products[0] : which == 1 ? call.products[1] : call.products[2];
    u32 out = (blockIdx.x - product.first) * OUT, row = blockIdx.y * ROWS;
    u32 warp = threadIdx.x / WARP, lane = threadIdx.x % WARP, g = lane / 4, c = lane % 4;

    // Beyond the last output and row the last one is read again, and nothing is stored.
    const u8 *weights[TILES][2];
#pragma unroll
    for (u32 t = 0; t < TILES; t++)
#pragma unroll
        for (u32 half = 0; half < 2; half++) {
            u64 at = min(out + t * 16 + half * 8 + g, product.out - 1);
            weights[t][half] = (const u8 *)product.weight + (at * call.depth + c * 8) * SIZE;
        }
    const u16 *inputs[COLUMNS];
#pragma unroll
    for (u32 n = 0; n < COLUMNS; n++) {
        u64 at = min(row + n * 8 + g, call.rows - 1);
        inputs[n] = call.x.at + at * call.depth + c * 8;
    }

    float y[TILES][COLUMNS][4] = {};
#pragma unroll 1
    for (u32 k = warp * STEP; k < call.depth; k += WARPS * STEP) {
        Weights<ELEMENT> w[TILES][2];
#pragma unroll
        for (u32 t = 0; t < TILES; t++)
#pragma unroll
            for (u32 half = 0; half < 2; half++) w[t][half].load(weights[t][half] + (u64)k * SIZE);
#pragma unroll
        for (u32 n = 0; n < COLUMNS; n++) {
            uint4 x[PARTS];
#pragma unroll
            for (u32 part = 0; part < PARTS; part++) {
                x[part] = *(const uint4 *)(inputs[n] + part * call.x.plane + k);
            }
#pragma unroll
            for (u32 t = 0; t < TILES; t++) multiply<ELEMENT>(y[t][n], w[t], x);
        }
    }

#pragma unroll
    for (u32 t = 0; t < TILES; t++)
#pragma unroll
        for (u32 n = 0; n < COLUMNS; n++)
#pragma unroll
            for (u32 i = 0; i < 4; i++) sums[warp][n * 8 + c * 2 + i % 2][t * 16 + g + i / 2 * 8] = y[t][n][i];
    __syncthreads();
#pragma unroll 1
    for (u32 i = threadIdx.x; i < OUT * ROWS; i += WARPS * WARP) {
        u32 o = i % OUT, r = i / OUT;
        if (out + o >= product.out || row + r >= call.rows) continue;
        float sum = (sums[0][r][o] + sums[1][r][o]) + (sums[2][r][o] + sums[3][r][o]);
        if (product.bias != nullptr) sum += product.bias[out + o];
        float *place = product.y + (u64)(row + r) * product.stride + out + o;
        *place = product.accumulate ? *place + sum : sum;
    }
}

/// For few rows and for many: whatever a tile has, an output's bits are the same.
#define KERNELS(NAME, ELEMENT, TILES, COLUMNS)                                                              \
    extern "C" __global__ void __launch_bounds__(128)                                                       \
    linear_##NAME##_few(const __grid_constant__ Linear call) {                                              \
        linear<ELEMENT, 1, 1>(call);                                                                        \
    }                                                                                                       \
    extern "C" __global__ void __launch_bounds__(128)                                                       \
    linear_##NAME##_many(const __grid_constant__ Linear call) {                                             \
        linear<ELEMENT, TILES, COLUMNS>(call);                                                              \
    }

KERNELS(bf16, BF16, 2, 4)
KERNELS(f16, F16, 1, 2)
KERNELS(f32, F32, 1, 2)
