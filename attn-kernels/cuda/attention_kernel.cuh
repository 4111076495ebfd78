//! The body of the attention kernel; see attention.cuh for its plan and its types.
#pragma once
#include "attention.cuh"
#include "products.cuh"
#include "softmax.cuh"
#include "walk.cuh"

/// `Keys` and `Probs` say what is multiplied: see products.cuh and products_fp8.cuh.
template <class S, class Keys, class Probs> struct Attention {
    static constexpr u32 D = S::D, TILES = S::TILES;

    const Call &call;
    Task task;
    u8 *memory;
    Lane at;
    u32 shared, thread, kv_head, rows;
    Span span;
    Pages pages;
    Side k, v;
    Cursor ahead;
    u32 step;

    // A thread's share of the output: rows g and g + 8 of every tile of rows.
    float fresh[TILES][S::WARP_SLICES][4][4];
    float running[TILES][S::WARP_SLICES][4][4];
    Stats stats[TILES][2];

    DEVICE Attention(const Call &call, u8 *memory) : call(call), memory(memory), at(threadIdx.x) {
        shared = shared_address(memory);
        thread = threadIdx.x;
        kv_head = blockIdx.y;
        task = call.tasks[blockIdx.x];
        rows = task.tokens * call.group;
        Visible first = visible(task.kv_len, task.position, call.causal, call.window);
        Visible last = visible(task.kv_len, task.position + task.tokens - 1, call.causal, call.window);
        span = {first.from, last.to};
        pages = {call.tables + task.table, (u32 *)(memory + S::IDS), call.block_shift};
        k = {call.k + kv_head * (u64)call.k_head, (u32)call.k_block, call.k_token};
        v = {call.v + kv_head * (u64)call.v_head, (u32)call.v_block, call.v_token};
        step = 0;
    }

    DEVICE Row row(u32 tile, u32 upper) const {
        return Row(task, call.group, kv_head, tile * 16 + upper * 8 + at.g);
    }

    /// Puts Q where the products take it.
    DEVICE void load_queries() {
        for (u32 index = thread; index < S::STEPS * TILES * WARP; index += THREADS) {
            // Neighbouring threads take neighbouring steps: together they read whole sectors.
            u32 rest = index / (2 * WARP), tile = rest % TILES, step = rest / TILES * 2 + index % 2;
            u32 lane = index / 2 % WARP, g = lane / 4, c = lane % 4;
            // The dimensions that lane c reads of K for this step.
            u32 dim = step / S::K_STEPS * (4 * S::K_CODES) + c * S::K_CODES + step % S::K_STEPS * 4;
            float4 x[2];
            const float *scales[2];
#pragma unroll
            for (u32 upper = 0; upper < 2; upper++) {
                Row r = Row(task, call.group, kv_head, tile * 16 + upper * 8 + g);
                u64 from = ((u64)(task.row + r.token) * call.num_heads + r.head) * D + dim;
                x[upper] = r.exists ? *(const float4 *)(call.q + from) : make_float4(0, 0, 0, 0);
                scales[upper] = r.exists && call.q_scale != nullptr ? call.q_scale + r.head : nullptr;
            }
            Keys::put(memory, step, tile, lane, x, scales);
        }
    }

    /// Starts the next copy and ends its group.
    DEVICE void fetch_next() {
        if (ahead.chunk < task.chunk_to) {
            u32 first = ahead.chunk * CHUNK + ahead.tile * S::TOKENS;
            u32 stage = shared + step % STAGES * S::STAGE;
            if constexpr (S::K_UNITS == S::V_UNITS) {
                Side side = {ahead.values ? v.base : k.base, ahead.values ? v.block_stride : k.block_stride,
                             ahead.values ? v.token_stride : k.token_stride};
                S::KTile::template fetch<THREADS>(stage, side, pages, first, span, thread, ahead.values);
            } else if (ahead.values) {
                S::VTile::template fetch<THREADS>(stage, v, pages, first, span, thread, true);
            } else {
                S::KTile::template fetch<THREADS>(stage, k, pages, first, span, thread, false);
            }
            if (!ahead.values) fetch_scales(first);
            ahead.advance<S::TOKENS>(task.chunk_to, span);
        }
        step++;
        commit();
    }

    /// The dynamic scales of a tile's tokens, of both sides: V's are needed before V is.
    DEVICE void fetch_scales(u32 first) {
        if (call.k_dynamic == nullptr && call.v_dynamic == nullptr) return;
        if (thread < S::TOKENS) {
            u32 position = first + thread;
            bool valid = position >= span.from && position < span.to;
            u64 from = 0;
            if (valid) {
                from = pages.id(position) * (u64)call.scale_block +
                     pages.offset(position) * call.scale_token + kv_head * call.scale_head;
            }
            u32 to = shared + S::SCALES + (position / CHUNK % 2 * 2 * CHUNK + position % CHUNK) * 4;
            if (call.k_dynamic != nullptr) copy4(to, call.k_dynamic + from, valid);
            if (call.v_dynamic != nullptr) copy4(to + CHUNK * 4, call.v_dynamic + from, valid);
        }
    }

    /// Waits for the next tile of the walk.
    DEVICE void await_tile() const {
        wait<STAGES - 2>();
        // After this everyone has left the tile before: its place is free.
        __syncthreads();
    }

    /// Where the tile is that was waited for, once the next copy has been started.
    DEVICE const u8 *tile_here() const { return memory + (step - STAGES) % STAGES * S::STAGE; }

    /// Q·Kᵀ of a chunk: every tile of it that the span meets. First `lead` copies are started.
    DEVICE void score(u32 chunk, u32 lead) {
        u32 end = Cursor::end_tile<S::TOKENS>(chunk, span);
        u32 tile = Cursor::first_tile<S::TOKENS>(chunk, span);
#pragma unroll 1
        while (tile < end) {
            if (lead == 0) await_tile();
            fetch_next();
            if (lead != 0) {
                lead--;
                continue;
            }
            float sums[TILES][S::HALVES][4] = {};
            Keys::multiply(memory, tile_here(), at, sums);
            float2 *scores = (float2 *)(memory + S::SCORES);
            u32 group = tile * (S::TOKENS / 16) + Share<S>::group(at.warp);
#pragma unroll
            for (u32 t = 0; t < TILES; t++) {
#pragma unroll
                for (u32 upper = 0; upper < 2; upper++) {
                    u32 r = t * 16 + upper * 8 + at.g;
                    if (r >= rows) continue;
#pragma unroll
                    for (u32 half = 0; half < S::HALVES; half++) {
                        u32 place = group * 8 + Share<S>::half(at.warp, half) * 4 + at.c;
                        scores[r * SCORE_STRIDE / 2 + place] =
                            make_float2(sums[t][half][2 * upper], sums[t][half][2 * upper + 1]);
                    }
                }
            }
            tile++;
        }
    }

    /// P of the chunk at `base`, and its statistics: a warp takes a row at a time.
    DEVICE void weigh(u32 base) {
        const float *dynamic = (const float *)(memory + S::SCALES) + base / CHUNK % 2 * 2 * CHUNK;
        float factor = call.softmax_scale * call.k_scale[kv_head] * S::K_FACTOR;
#pragma unroll 1
        for (u32 r = at.warp; r < rows; r += WARPS) {
            Row who(task, call.group, kv_head, r);
            u32 position = task.position + who.token;
            Visible seen = visible(task.kv_len, position, call.causal, call.window);
            float own = factor;
            if (call.q_scale != nullptr) own *= call.q_scale[who.head];
            Softmax<S, Probs>{call, memory, r, position, base, at.lane, seen, dynamic}.run(own, who.head);
        }
    }

    /// Rows that do not exist have weight 0 and are never written again.
    DEVICE void clear_weights() const {
        constexpr u32 UNITS = Probs::ROW_BYTES / 16;
        for (u32 i = rows * UNITS + thread; i < S::ROWS * UNITS; i += THREADS) {
            *(uint4 *)(memory + S::weight_unit(i / UNITS, i % UNITS)) = make_uint4(0, 0, 0, 0);
        }
    }

    /// Calls `f(element, row tile, upper)` for every element of this lane's output.
    template <class F> DEVICE static void each_output(F f) {
#pragma unroll
        for (u32 t = 0; t < TILES; t++) {
#pragma unroll
            for (u32 i = 0; i < S::WARP_SLICES * 16; i++) f(t, i / 16, i / 4 % 4, i % 4);
        }
    }

    /// P·V of a chunk.
    DEVICE void combine(u32 chunk) {
        each_output([&](u32 t, u32 i, u32 j, u32 e) { fresh[t][i][j][e] = 0.0f; });
        u32 end = Cursor::end_tile<S::TOKENS>(chunk, span);
#pragma unroll 1
        for (u32 tile = Cursor::first_tile<S::TOKENS>(chunk, span); tile < end; tile++) {
            await_tile();
            fetch_next();
            Probs::multiply(memory, tile_here(), tile * S::TOKENS, at, fresh);
        }
    }

    /// Puts a chunk's state aside, or merges it into the running one.
    DEVICE void keep(u32 chunk) {
        u32 first = (chunk - task.chunk_from) * call.num_kv_heads + kv_head;
#pragma unroll
        for (u32 t = 0; t < TILES; t++) {
#pragma unroll
            for (u32 upper = 0; upper < 2; upper++) {
                u32 r = t * 16 + upper * 8 + at.g;
                if (r >= rows) continue;
                ChunkStats found = *(const ChunkStats *)(memory + S::stats(r));
                Stats chunk_stats = {found.max, found.sum};
                float range = found.range * S::V_FACTOR;
                if (task.partial < 0) {
                    if (chunk_stats.is_empty()) continue;
                    Weights w = merge(stats[t][upper], chunk_stats);
#pragma unroll
                    for (u32 i = 0; i < S::WARP_SLICES * 8; i++) {
                        float &x = running[t][i / 8][i / 2 % 4][2 * upper + i % 2];
                        x = merge_output(x, fresh[t][i / 8][i / 2 % 4][2 * upper + i % 2] * range, w);
                    }
                } else {
                    u64 state = task.partial + (u64)first * rows + r;
                    store(call.part_out + state * D, t, upper, fresh, range);
                    if (at.warp == 0 && at.c == 0) {
                        call.part_stats[state * 2] = chunk_stats.max;
                        call.part_stats[state * 2 + 1] = chunk_stats.sum;
                    }
                }
            }
        }
    }

    /// One row's share of this lane: 8 neighbouring dimensions of each of its slices.
    DEVICE void store(float *to, u32 t, u32 upper, const float (&from)[TILES][S::WARP_SLICES][4][4],
                      float factor) const {
#pragma unroll
        for (u32 i = 0; i < S::WARP_SLICES; i++) {
            u32 slice = at.warp + i * WARPS;
            if (S::SLICES % WARPS != 0 && slice >= S::SLICES) break;
#pragma unroll
            for (u32 e = 0; e < 2; e++) {
                float4 x = make_float4(from[t][i][0][2 * upper + e] * factor, from[t][i][1][2 * upper + e] * factor,
                                       from[t][i][2][2 * upper + e] * factor, from[t][i][3][2 * upper + e] * factor);
                *(float4 *)(to + slice * 32 + at.c * 8 + e * 4) = x;
            }
        }
    }

    /// Divides by the sum and writes the rows.
    DEVICE void finish() {
#pragma unroll
        for (u32 t = 0; t < TILES; t++) {
#pragma unroll
            for (u32 upper = 0; upper < 2; upper++) {
                Row r = row(t, upper);
                if (!r.exists) continue;
                Stats s = stats[t][upper];
                float factor = final_factor(s, call.sinks, r.head, call.v_scale[kv_head]);
                u64 to = (u64)(task.row + r.token) * call.num_heads + r.head;
                store(call.out + to * D, t, upper, running, factor);
                if (call.lse != nullptr && at.warp == 0 && at.c == 0) call.lse[to] = log_sum(s);
            }
        }
    }

    DEVICE void run() {
        if (at.warp == 0) {
            pages.fetch(task.chunk_from, span, at.lane);
            pages.fetch(task.chunk_from + 1, span, at.lane);
        }
        commit();
        load_queries();
        clear_weights();
        wait<0>();
        __syncthreads();
        ahead = Cursor::begin<S::TOKENS>(task.chunk_from, task.chunk_to, span);
        each_output([&](u32 t, u32 i, u32 j, u32 e) { running[t][i][j][e] = 0.0f; });
#pragma unroll
        for (u32 t = 0; t < TILES; t++) stats[t][0] = stats[t][1] = Stats::empty();
#pragma unroll 1
        for (u32 chunk = task.chunk_from; chunk < task.chunk_to; chunk++) {
            // The group of the next copy; read when that copy has long been waited for.
            if (at.warp == 0 && chunk + 2 < task.chunk_to) pages.fetch(chunk + 2, span, at.lane);
            score(chunk, chunk == task.chunk_from ? STAGES - 1 : 0);
            __syncthreads();
            weigh(chunk * CHUNK);
            combine(chunk);
            keep(chunk);
        }
        if (task.partial < 0) finish();
        wait<0>();
    }
};
