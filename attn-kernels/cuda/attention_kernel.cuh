//! The body of the attention kernel; see attention.cuh for its plan and its types.
#pragma once
#include "attention.cuh"

template <u32 K, u32 V, u32 D, u32 TILES> struct Attention {
    using S = Shape<K, V, D, TILES>;

    const Call &call;
    Task task;
    u8 *memory;
    u32 shared, thread, lane, warp, g, c, kv_head, rows;
    Span span;
    Pages pages;
    Side k, v;
    Cursor ahead;
    u32 step;

    // A thread's share of the output: rows g and g + 8 of every tile of rows.
    float fresh[TILES][S::WARP_SLICES][4][4];
    float running[TILES][S::WARP_SLICES][4][4];
    Stats stats[TILES][2];

    DEVICE Attention(const Call &call, u8 *memory) : call(call), memory(memory) {
        shared = shared_address(memory);
        thread = threadIdx.x;
        lane = thread % WARP;
        warp = thread / WARP;
        g = lane / 4;
        c = lane % 4;
        kv_head = blockIdx.y;
        task = call.tasks[blockIdx.x];
        rows = task.tokens * call.group;
        Visible first = visible(task.kv_len, task.position, call.causal, call.window);
        Visible last = visible(task.kv_len, task.position + task.tokens - 1, call.causal, call.window);
        span = {first.from, last.to};
        pages = {call.tables + task.table, (u32 *)(memory + S::IDS), call.block_shift};
        k = {call.k + kv_head * (u64)call.k_head, call.k_block, call.k_token};
        v = {call.v + kv_head * (u64)call.v_head, call.v_block, call.v_token};
        step = 0;
    }

    DEVICE Row row(u32 tile, u32 upper) const {
        return Row(task, call.group, kv_head, tile * 16 + upper * 8 + g);
    }

    /// Q in fragment order: `[step][tile][lane]`, rows g and g + 8 at this lane's dimensions.
    DEVICE void load_queries() {
        uint4 *fragments = (uint4 *)(memory + S::Q);
        for (u32 index = thread; index < S::STEPS * TILES * WARP; index += THREADS) {
            // Neighbouring threads take neighbouring products: together they read whole sectors.
            u32 at = index / (2 * WARP), tile = at % TILES, product = at / TILES * 2 + index % 2;
            u32 place = (product * TILES + tile) * WARP + index / 2 % WARP;
            u32 g = index / 2 % WARP / 4, c = index / 2 % 4;
            // The dimensions that lane c reads of K for this product.
            u32 dim = product / S::K_STEPS * (4 * S::K_CODES) + c * S::K_CODES + product % S::K_STEPS * 4;
            u32 part[2][2];
#pragma unroll
            for (u32 upper = 0; upper < 2; upper++) {
                Row r = Row(task, call.group, kv_head, tile * 16 + upper * 8 + g);
                float4 x = make_float4(0, 0, 0, 0);
                if (r.exists) {
                    u64 from = ((u64)(task.row + r.token) * call.num_heads + r.head) * D + dim;
                    x = *(const float4 *)(call.q + from);
                }
                if constexpr (IS_FP8<K>) {
                    if (call.q_scale != nullptr && r.exists) round_query(x, call.q_scale[r.head]);
                }
                part[upper][0] = pack<S::BF_K>(x.x, x.y);
                part[upper][1] = pack<S::BF_K>(x.z, x.w);
            }
            fragments[place] = make_uint4(part[0][0], part[1][0], part[0][1], part[1][1]);
        }
    }

    /// The numbers that Q's codes stand for, without the scale.
    DEVICE static void round_query(float4 &x, float scale) {
        u32 codes = encode_pair<K>(divide(x.x, scale), divide(x.y, scale)) |
                    encode_pair<K>(divide(x.z, scale), divide(x.w, scale)) << 16;
        decode4<K>(codes, x);
    }

    /// Starts the next copy and ends its group.
    DEVICE void fetch_next() {
        if (ahead.chunk < task.chunk_to) {
            u32 first = ahead.chunk * CHUNK + ahead.tile * S::TOKENS;
            u32 stage = shared + step % STAGES * S::STAGE;
            if (ahead.values) {
                S::VTile::template fetch<false, THREADS>(stage, v, pages, first, span, thread);
            } else {
                S::KTile::template fetch<true, THREADS>(stage, k, pages, first, span, thread);
                fetch_scales(first);
            }
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
            u64 at = 0;
            if (valid) {
                at = pages.id(position) * (u64)call.scale_block +
                     pages.offset(position) * call.scale_token + kv_head * call.scale_head;
            }
            u32 to = shared + S::SCALES + (position / CHUNK % 2 * 2 * CHUNK + position % CHUNK) * 4;
            if (call.k_dynamic != nullptr) copy4(to, call.k_dynamic + at, valid);
            if (call.v_dynamic != nullptr) copy4(to + CHUNK * 4, call.v_dynamic + at, valid);
        }
    }

    /// Waits for the next tile of the walk and returns where it is.
    DEVICE const u8 *next_tile() {
        wait<STAGES - 2>();
        __syncthreads();
        // Everyone has left the tile before this one: its place is free.
        u32 here = step - (STAGES - 1);
        fetch_next();
        return memory + here % STAGES * S::STAGE;
    }

    /// This warp's group of 16 tokens in a tile, and its half of it, where it has only one.
    DEVICE u32 group_of() const { return S::HALVES == 2 ? warp : warp / 2; }
    DEVICE u32 half_of(u32 half) const { return S::HALVES == 2 ? half : warp % 2; }

    /// Which of a group's tokens is column `n` of half `h`. Columns 2c and 2c + 1 are tokens 8h + c and
    /// 8h + c + 4: what lane c of P's fragment takes together.
    DEVICE static u32 token_of(u32 h, u32 n) { return 8 * h + n / 2 + 4 * (n % 2); }

    /// Q·Kᵀ for this warp's tokens of one tile.
    DEVICE void multiply_keys(const u8 *tile, float (&sums)[TILES][S::HALVES][4]) const {
        const uint4 *queries = (const uint4 *)(memory + S::Q) + lane;
#pragma unroll
        for (u32 half = 0; half < S::HALVES; half++) {
            u32 token = group_of() * 16 + token_of(half_of(half), g);
            const u8 *from = tile + token * S::K_UNITS * 16;
#pragma unroll
            for (u32 group = 0; group < S::STEPS / S::K_STEPS; group++) {
                u32 codes[4];
                if constexpr (S::K_WIDTH == 16) {
                    u32 unit = S::KTile::k_unit(token, group * 4 + c);
                    uint4 x = *(const uint4 *)(from + unit * 16);
                    codes[0] = x.x, codes[1] = x.y, codes[2] = x.z, codes[3] = x.w;
                } else {
                    uint2 x = *(const uint2 *)(from + group * 32 + c * 8);
                    codes[0] = x.x, codes[1] = x.y;
                }
#pragma unroll
                for (u32 s = 0; s < S::K_STEPS; s++) {
                    u32 b0, b1;
                    if constexpr (size_of(K) == 2) {
                        b0 = codes[2 * s], b1 = codes[2 * s + 1];
                    } else {
                        b0 = decode_pair<K, false>(codes[s]), b1 = decode_pair<K, true>(codes[s]);
                    }
#pragma unroll
                    for (u32 t = 0; t < TILES; t++) {
                        uint4 a = queries[((group * S::K_STEPS + s) * TILES + t) * WARP];
                        mma<S::BF_K>(sums[t][half], a, b0, b1);
                    }
                }
            }
        }
    }

    /// P·V for the tokens of one tile and this warp's slices of dimensions.
    DEVICE void multiply_values(const u8 *tile, u32 first_group) {
        const uint4 *weights = (const uint4 *)(memory + S::P);
#pragma unroll
        for (u32 group = 0; group < S::TOKENS / 16; group++) {
            uint4 a[TILES];
#pragma unroll
            for (u32 t = 0; t < TILES; t++) {
                uint4 x = weights[weight_slot(first_group + group, t, lane)];
                a[t] = group % 2 == 0 ? x : make_uint4(x.y, x.x, x.w, x.z);
            }
#pragma unroll
            for (u32 i = 0; i < S::WARP_SLICES; i++) {
                u32 slice = warp + i * WARPS;
                if (S::SLICES % WARPS != 0 && slice >= S::SLICES) break;
                u32 b[4][2];
                load_values(tile, group * 16, slice, b);
#pragma unroll
                for (u32 j = 0; j < 4; j++) {
#pragma unroll
                    for (u32 t = 0; t < TILES; t++) mma<S::BF_V>(fresh[t][i][j], a[t], b[j][0], b[j][1]);
                }
            }
        }
    }

    /// Dimensions 4g .. 4g + 3 of a slice, of tokens c, c + 4, c + 8, c + 12, as four fragments.
    DEVICE void load_values(const u8 *tile, u32 first, u32 slice, u32 (&b)[4][2]) {
        constexpr u32 SIZE = size_of(V);
        u32 at = slice * 32 * SIZE + g * 4 * SIZE;
#pragma unroll
        for (u32 pair = 0; pair < 2; pair++) {
            u32 word[2][SIZE];
#pragma unroll
            for (u32 i = 0; i < 2; i++) {
                u32 token = first + (2 * pair + i) * 4 + c;
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
                b[0][pair] = decode_pair<V, false>(low), b[1][pair] = decode_pair<V, true>(low);
                b[2][pair] = decode_pair<V, false>(high), b[3][pair] = decode_pair<V, true>(high);
            } else {
#pragma unroll
                for (u32 i = 0; i < 2; i++) {
                    b[2 * i][pair] = bytes<0x5410>(word[0][i], word[1][i]);
                    b[2 * i + 1][pair] = bytes<0x7632>(word[0][i], word[1][i]);
                }
            }
        }
    }

    /// Where a fragment of P is, in units of 16 bytes. Groups change the slot (and odd ones swap
    /// neighbouring words): what a warp writes of one row then meets all banks.
    DEVICE static u32 weight_slot(u32 group, u32 t, u32 lane) {
        return (group * TILES + t) * WARP + (lane ^ (group & 2) << 1);
    }

    /// Q·Kᵀ of a chunk: every tile of it that the span meets.
    DEVICE void score(u32 chunk) {
        u32 end = Cursor::end_tile<S::TOKENS>(chunk, span);
#pragma unroll 1
        for (u32 tile = Cursor::first_tile<S::TOKENS>(chunk, span); tile < end; tile++) {
            const u8 *keys = next_tile();
            float sums[TILES][S::HALVES][4] = {};
            multiply_keys(keys, sums);
            u32 group = tile * (S::TOKENS / 16) + group_of();
#pragma unroll
            for (u32 t = 0; t < TILES; t++) {
#pragma unroll
                for (u32 upper = 0; upper < 2; upper++) {
                    u32 r = t * 16 + upper * 8 + g;
                    if (r >= rows) continue;
#pragma unroll
                    for (u32 half = 0; half < S::HALVES; half++) {
                        scores()[r * SCORE_STRIDE / 2 + group * 8 + half_of(half) * 4 + c] =
                            make_float2(sums[t][half][2 * upper], sums[t][half][2 * upper + 1]);
                    }
                }
            }
        }
    }

    /// Dot products of tokens 8h + c and 8h + c + 4 of a group: `[row][group][h][c]`.
    DEVICE float2 *scores() const { return (float2 *)(memory + S::SCORES); }
    /// Of a chunk's rows: largest score, sum, and the power of two that P·V is to be multiplied with.
    DEVICE float *maxima() const { return (float *)(memory + S::STATS); }
    DEVICE float *sums() const { return maxima() + S::ROWS; }
    DEVICE float *ranges() const { return maxima() + 2 * S::ROWS; }

    /// From dot products to P = exp(score − largest), rounded to V's operand type; sums are of the
    /// rounded numbers. Where V has dynamic scales, P takes them on, relative to a power of two near
    /// the largest that the row sees (so that none is too small for f16), and sums are of P without.
    DEVICE void softmax(u32 base) {
        const float *dynamic = (const float *)(memory + S::SCALES) + base / CHUNK % 2 * 2 * CHUNK;
        float factor = call.softmax_scale * call.k_scale[kv_head] * decode_factor(K);
        float inverse_cap = divide(1.0f, call.soft_cap);
#pragma unroll 1
        for (u32 r = warp; r < rows; r += WARPS) {
            Row who(task, call.group, kv_head, r);
            u32 position = task.position + who.token;
            Visible seen = visible(task.kv_len, position, call.causal, call.window);
            float own = factor, slope = 0.0f;
            if (call.q_scale != nullptr) own *= call.q_scale[who.head];
            if (call.slopes != nullptr) slope = call.slopes[who.head];

            float x[8], v_scale[8];
            float most = negative_infinity(), widest = 0.0f;
#pragma unroll
            for (u32 i = 0; i < 4; i++) {
                u32 place = lane + i * WARP, token = place / 4 * 8 + c;
                bool sees[2] = {seen.sees(base + token), seen.sees(base + token + 4)};
                float2 dots = make_float2(0, 0);
                if (sees[0] || sees[1]) dots = scores()[r * SCORE_STRIDE / 2 + place];
#pragma unroll
                for (u32 e = 0; e < 2; e++) {
                    u32 at = token + 4 * e;
                    float s = (e == 0 ? dots.x : dots.y) * own;
                    if (call.k_dynamic != nullptr && sees[e]) s *= dynamic[at];
                    if (call.soft_cap != 0.0f) s = soft_capped(s, call.soft_cap, inverse_cap);
                    if (call.slopes != nullptr) s = fmaf(slope, (float)((int)(base + at) - (int)position), s);
                    x[2 * i + e] = sees[e] ? s : negative_infinity();
                    most = fmaxf(most, x[2 * i + e]);
                    v_scale[2 * i + e] = 0.0f;
                    if (call.v_dynamic != nullptr && sees[e]) v_scale[2 * i + e] = dynamic[CHUNK + at];
                    widest = fmaxf(widest, v_scale[2 * i + e]);
                }
            }
            most = warp_max(most);
            float least = base_of(most), sum = 0.0f, range = 1.0f, inverse = 1.0f;
            if (call.v_dynamic != nullptr) {
                widest = warp_max(widest);
                u32 exponent = __float_as_uint(widest == 0.0f ? 1.0f : widest) & 0x7f800000u;
                range = __uint_as_float(exponent);
                inverse = __uint_as_float((254u << 23) - exponent);
            }
#pragma unroll
            for (u32 i = 0; i < 4; i++) {
                float low = exp_down(x[2 * i] - least), high = exp_down(x[2 * i + 1] - least);
                if constexpr (IS_FP8<V>) {
                    if (call.prob_scale != 0.0f) round_weights(low, high);
                }
                if (call.v_dynamic != nullptr) {
                    sum += low + high;
                    low *= v_scale[2 * i] * inverse;
                    high *= v_scale[2 * i + 1] * inverse;
                }
                u32 pair = pack<S::BF_V>(low, high);
                store_weights(r, lane + i * WARP, pair);
                if (call.v_dynamic == nullptr) {
                    unpack<S::BF_V>(pair, low, high);
                    sum += low + high;
                }
            }
            sum = warp_sum(sum);
            if (lane == 0) {
                // Undone on the sum and on P·V: the scale of P's codes.
                float scale = call.prob_scale != 0.0f ? call.prob_scale : 1.0f;
                maxima()[r] = most;
                sums()[r] = sum * scale;
                ranges()[r] = range * scale;
            }
        }
    }

    /// The numbers that P's codes stand for, without the scale.
    DEVICE void round_weights(float &low, float &high) const {
        u32 codes = encode_pair<V>(divide(low, call.prob_scale), divide(high, call.prob_scale));
        unpack<false>(decode_pair<V, false>(codes), low, high);
        low *= decode_factor(V);
        high *= decode_factor(V);
    }

    /// Puts P of two tokens into the fragments, `place` as in `scores`.
    DEVICE void store_weights(u32 r, u32 place, u32 pair) const {
        u32 group = place / 8, h = place / 4 % 2;
        u32 slot = weight_slot(group, r / 16, r % 8 * 4 + place % 4);
        u32 word = (r / 8 % 2 + 2 * h) ^ (group & 1);
        ((u32 *)(memory + S::P))[slot * 4 + word] = pair;
    }

    /// Rows that do not exist have weight 0 and are never written again.
    DEVICE void clear_weights() const {
        uint4 *weights = (uint4 *)(memory + S::P);
        for (u32 i = thread; i < CHUNK / 16 * TILES * WARP; i += THREADS) weights[i] = make_uint4(0, 0, 0, 0);
    }

    /// The largest and the sum over a warp: the same bits in every lane.
    DEVICE static float warp_max(float x) {
#pragma unroll
        for (u32 distance = WARP / 2; distance > 0; distance /= 2) x = fmaxf(x, __shfl_xor_sync(~0u, x, distance));
        return x;
    }
    DEVICE static float warp_sum(float x) {
#pragma unroll
        for (u32 distance = WARP / 2; distance > 0; distance /= 2) x += __shfl_xor_sync(~0u, x, distance);
        return x;
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
            const u8 *values = next_tile();
            multiply_values(values, tile * (S::TOKENS / 16));
        }
    }

    /// Puts a chunk's state aside, or merges it into the running one.
    DEVICE void keep(u32 chunk) {
        u32 first = (chunk - task.chunk_from) * call.num_kv_heads + kv_head;
#pragma unroll
        for (u32 t = 0; t < TILES; t++) {
#pragma unroll
            for (u32 upper = 0; upper < 2; upper++) {
                u32 r = t * 16 + upper * 8 + g;
                if (r >= rows) continue;
                Stats chunk_stats = {maxima()[r], sums()[r]};
                float range = ranges()[r] * decode_factor(V);
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
                    if (warp == 0 && c == 0) {
                        call.part_stats[state * 2] = chunk_stats.max;
                        call.part_stats[state * 2 + 1] = chunk_stats.sum;
                    }
                }
            }
        }
    }

    /// One row's share of this lane: 8 neighbouring dimensions of each of its slices.
    DEVICE void store(float *to, u32 t, u32 upper, const float (&from)[TILES][S::WARP_SLICES][4][4], float factor) const {
#pragma unroll
        for (u32 i = 0; i < S::WARP_SLICES; i++) {
            u32 slice = warp + i * WARPS;
            if (S::SLICES % WARPS != 0 && slice >= S::SLICES) break;
#pragma unroll
            for (u32 e = 0; e < 2; e++) {
                float4 x = make_float4(from[t][i][0][2 * upper + e] * factor, from[t][i][1][2 * upper + e] * factor,
                                       from[t][i][2][2 * upper + e] * factor, from[t][i][3][2 * upper + e] * factor);
                *(float4 *)(to + slice * 32 + c * 8 + e * 4) = x;
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
                u64 at = (u64)(task.row + r.token) * call.num_heads + r.head;
                store(call.out + at * D, t, upper, running, factor);
                if (call.lse != nullptr && warp == 0 && c == 0) call.lse[at] = log_sum(s);
            }
        }
    }

    DEVICE void run() {
        if (warp == 0) {
            pages.fetch(task.chunk_from, span, lane);
            pages.fetch(task.chunk_from + 1, span, lane);
        }
        commit();
        load_queries();
        clear_weights();
        wait<0>();
        __syncthreads();
        ahead = Cursor::begin<S::TOKENS>(task.chunk_from, task.chunk_to, span);
#pragma unroll 1
        for (u32 i = 0; i < STAGES - 1; i++) fetch_next();
        each_output([&](u32 t, u32 i, u32 j, u32 e) { running[t][i][j][e] = 0.0f; });
#pragma unroll
        for (u32 t = 0; t < TILES; t++) stats[t][0] = stats[t][1] = Stats::empty();
#pragma unroll 1
        for (u32 chunk = task.chunk_from; chunk < task.chunk_to; chunk++) {
            // The group of the next copy; read when that copy has long been waited for.
            if (warp == 0 && chunk + 2 < task.chunk_to) pages.fetch(chunk + 2, span, lane);
            score(chunk);
            __syncthreads();
            softmax(chunk * CHUNK);
            combine(chunk);
            keep(chunk);
        }
        if (task.partial < 0) finish();
        wait<0>();
    }
};
