//! Paged attention: packed rows × fixed chunks of keys. One CTA serves one KV head and up to
//! `TILES × 16` rows (query tokens × heads of the group), and walks chunks of 256 tokens.
//!
//! Per chunk: four warps share the keys for Q·Kᵀ (16 of every 64 tokens each) and leave the dot
//! products in shared memory; then they share the rows, a warp computing the softmax of a whole row,
//! and leave P where the row's dot products were; then they share the output's dimensions for P·V
//! (32 each). K and V pass through one ring of tiles filled by cp.async, codes as they are stored;
//! they become f16 (bf16 for bf16 storage) in registers, or stay codes where the tensor cores
//! multiply those (attention_fp8.cu).
//! A chunk's state depends on its keys and its row only, so results do not depend on the batch,
//! the splits, the block size, or on prefill against decode.
#pragma once
#include "convert.cuh"
#include "mma.cuh"
#include "pages.cuh"
#include "state.cuh"
#include "variant.cuh"

constexpr u32 WARPS = 4;
constexpr u32 THREADS = WARPS * WARP;
/// From one row of dot products to the next, in floats: four rows begin in different banks, and a
/// chunk's statistics of the row find a place.
constexpr u32 SCORE_STRIDE = CHUNK + 8;
/// Tiles in flight or in use.
constexpr u32 STAGES = 3;

/// One CTA's rows and chunks; or, for `merge`, the rows whose chunks are joined.
struct Task {
    /// The first query token's row in `q` and `out`, and how many tokens.
    u32 row, tokens;
    /// The first query token's position in its sequence; keys of the sequence.
    u32 position, kv_len;
    /// Where the block table begins.
    u32 table;
    /// Chunks `[from, to)`.
    u32 chunk_from, chunk_to;
    /// Where the states of the first chunk go, as an index of rows; −1: the rows are finished here.
    int partial;
};

/// A call, laid out as `src/cuda/backend` does.
struct Call {
    const float *q;
    float *out;
    /// Null where not asked for.
    float *lse;
    /// States of chunks: `[state][head_dim]` and `[state][2]`.
    float *part_out;
    float *part_stats;
    const u8 *k;
    const u8 *v;
    /// One scale per slot and head, where dynamic; else null.
    const float *k_dynamic;
    const float *v_dynamic;
    /// `[num_kv_heads]`.
    const float *k_scale;
    const float *v_scale;
    /// `[num_heads]`: Q is rounded to K's FP8 format first; null: it is not.
    const float *q_scale;
    /// `[num_heads]` or null.
    const float *slopes;
    const float *sinks;
    const u32 *tables;
    const Task *tasks;
    /// Bytes from block to block.
    u64 k_block, v_block;
    /// Bytes from token to token and head to head.
    u32 k_token, k_head, v_token, v_head;
    /// The same of dynamic scales, in floats.
    u32 scale_block, scale_token, scale_head;
    u32 block_shift;
    u32 num_heads, num_kv_heads, group, head_dim;
    float softmax_scale;
    /// 0: none.
    float soft_cap;
    u32 window;
    u32 causal;
    /// P is rounded to V's FP8 format, with this scale; 0: it is not.
    float prob_scale;
};

/// What is multiplied with what: numbers as f16 or bf16; Q's and K's codes; P's and V's codes too.
enum Math : u32 { NUMBERS = 0, CODES_QK = 1, CODES = 2 };

/// What follows from a specialisation.
template <u32 K_TYPE_, u32 V_TYPE_, u32 D_, u32 TILES_, u32 MATH_> struct Shape {
    static constexpr u32 K = K_TYPE_, V = V_TYPE_, D = D_, TILES = TILES_, MATH = MATH_;
    static constexpr u32 K_UNITS = D * size_of(K) / 16, V_UNITS = D * size_of(V) / 16;
    static constexpr u32 WIDEST = K_UNITS > V_UNITS ? K_UNITS : V_UNITS;
    /// Tokens of a tile: 8 KiB, or 16 where a token has 512 bytes.
    static constexpr u32 TOKENS = WIDEST <= 8 ? 64 : 32;
    /// Groups of 8 tokens that a warp has in a tile.
    static constexpr u32 HALVES = TOKENS / 32;
    static constexpr u32 ROWS = TILES * 16;
    /// Sixteens of dimensions: a lane has four of each.
    static constexpr u32 STEPS = D / 16;
    /// Codes that a thread reads of K at once, and steps they serve.
    static constexpr u32 K_WIDTH = D * size_of(K) % 64 == 0 ? 16 : 8;
    static constexpr u32 K_CODES = K_WIDTH / size_of(K), K_STEPS = K_CODES / 4;
    /// Slices of 32 dimensions, and how many a warp has.
    static constexpr u32 SLICES = D / 32, WARP_SLICES = (SLICES + WARPS - 1) / WARPS;
    static constexpr bool BF_K = K == BF16, BF_V = V == BF16;
    /// A bf16 has 8 bits, too few for Q and P: there they are the sum of two.
    static constexpr u32 Q_PARTS = BF_K ? 2 : 1, P_PARTS = BF_V ? 2 : 1;
    /// What the operands leave out of K's and V's numbers.
    static constexpr float K_FACTOR = MATH == NUMBERS ? decode_factor(K) : 1.0f;
    static constexpr float V_FACTOR = MATH != CODES ? decode_factor(V) : 1.0f;
    using KTile = Tile<TOKENS, K_UNITS>;
    using VTile = Tile<TOKENS, V_UNITS>;

    // Shared memory, in bytes from its start.
    static constexpr u32 STAGE = TOKENS * WIDEST * 16;
    static constexpr u32 Q = STAGES * STAGE;
    static constexpr u32 Q_BYTES = STEPS * TILES * (MATH == NUMBERS ? 512 : 256);
    static constexpr u32 SCORES = Q + Q_BYTES * Q_PARTS;
    static constexpr u32 IDS = SCORES + ROWS * SCORE_STRIDE * 4;
    static constexpr u32 BYTES = IDS + PAGE_SLOTS * MAX_PAGES * 4;
    /// Only where a side has dynamic scales: those of K and V of two chunks.
    static constexpr u32 SCALES = BYTES;
    static constexpr u32 DYNAMIC_BYTES = 2 * 2 * CHUNK * 4;

    /// Where unit `i` of 16 bytes of a row's P is, in bytes: in the place of its dot products. Odd rows
    /// are turned by two units, so that what eight lanes read together, four units each of two rows,
    /// meets no bank twice.
    DEVICE static u32 weight_unit(u32 r, u32 i) {
        u32 turned = i + (r & 1) * 2;
        // Only the sum of two bf16 takes all the place.
        return SCORES + r * (SCORE_STRIDE * 4) + (BF_V ? turned % (CHUNK / 4) : turned) * 16;
    }
    /// Where a row's `ChunkStats` are: behind its dot products, in other banks than its neighbours'.
    DEVICE static u32 stats(u32 r) { return SCORES + (r * SCORE_STRIDE + CHUNK + (r >> 2 & 1) * 4) * 4; }
};

/// Of a chunk's row: largest score, sum, and what P·V is to be multiplied with.
struct alignas(16) ChunkStats {
    float max, sum, range, unused;
};

/// Row `row` of a task: its query token and head.
struct Row {
    bool exists;
    u32 token, head;

    DEVICE Row(const Task &task, u32 group, u32 kv_head, u32 row) {
        token = row / group;
        head = kv_head * group + row % group;
        exists = token < task.tokens;
    }
};
