//! From a position in a sequence to bytes in its blocks: page ids read ahead, tiles of tokens
//! copied to shared memory.
#pragma once
#include "async.cuh"

/// Smallest block: a chunk spans at most this many pages.
constexpr u32 MAX_PAGES = CHUNK / 8;
/// Chunks whose page ids are held: the one in use, two ahead, and one that may still be in use.
constexpr u32 PAGE_SLOTS = 4;

/// One side (K or V) of one head, in bytes. A block has less than 2^32: the host sees to it.
struct Side {
    const u8 *base;
    u32 block_stride, token_stride;
};

/// The positions of a sequence that a CTA reads: `[from, to)`; nothing outside is touched.
struct Span {
    u32 from, to;
};

/// Page ids in shared memory, `PAGE_SLOTS` chunks of them.
struct Pages {
    const u32 *table;
    u32 *ids;
    u32 block_shift;

    /// Starts copying a chunk's ids. A warp's work; part of the thread's current group.
    DEVICE void fetch(u32 chunk, Span span, u32 lane) const {
        u32 count = CHUNK >> block_shift;
        if (lane < count) {
            u32 page = chunk * count + lane;
            bool needed = (page << block_shift) < span.to;
            u32 *to = ids + (chunk % PAGE_SLOTS) * MAX_PAGES + lane;
            copy4(shared_address(to), table + (needed ? page : 0), needed);
        }
    }

    /// The ids of a chunk; of pages that are not needed they are 0.
    DEVICE const u32 *of_chunk(u32 chunk) const { return ids + chunk % PAGE_SLOTS * MAX_PAGES; }

    DEVICE u32 id(u32 position) const { return of_chunk(position / CHUNK)[position % CHUNK >> block_shift]; }

    DEVICE u32 offset(u32 position) const { return position & ((1u << block_shift) - 1); }
};

/// How a tile of `TOKENS` rows of `UNITS` × 16 bytes lies in shared memory. A unit's place within its
/// row, and a row's among eight, are changed so that the loads below meet no bank twice.
template <u32 TOKENS, u32 UNITS> struct Tile {
    static constexpr u32 BYTES = TOKENS * UNITS * 16;

    /// K: eight lanes read 4 units each of tokens t and t + 4 (or, where rows are no multiple of 64
    /// bytes, sixteen read 2 each of t, t + 4, t + 1 and t + 5). Where a change within rows does not
    /// part them, other rows do.
    DEVICE static u32 k_row(u32 token) {
        if constexpr (UNITS % 8 == 4) return token ^ (token >> 2 & 1);
        if constexpr (UNITS % 4 == 2) return token ^ (token >> 1 & 2);
        return token;
    }
    DEVICE static u32 k_unit(u32 token, u32 unit) {
        return UNITS % 8 == 0 ? unit ^ ((token >> 2 & 1) << 2) : unit;
    }

    /// V: lanes read up to 32 bytes each of tokens t, t + 1, t + 2, t + 3.
    DEVICE static u32 v_unit(u32 token, u32 unit) {
        if constexpr (UNITS % 8 == 0) return unit ^ ((token & 3) << 1);
        if constexpr (UNITS % 4 == 0) return unit ^ ((token >> 1 & 1) << 1);
        return unit;
    }

    /// Starts copying the tokens at `first`, all of one chunk, of K or of V; zeros for those outside
    /// the span, of which no address is used.
    template <u32 THREADS>
    DEVICE static void fetch(u32 shared, const Side &side, const Pages &pages, u32 first, Span span,
                             u32 thread, bool values) {
        // A thread has one unit of every `STEP`th token, where that comes out even. The place within a
        // row repeats every eight tokens.
        constexpr u32 ALL = TOKENS * UNITS, STEP = THREADS % UNITS == 0 ? THREADS / UNITS : 0;
        u32 ids = shared_address(pages.of_chunk(first / CHUNK));
        u32 thread_token = thread / UNITS, thread_first = first + thread_token;
#pragma unroll
        for (u32 i = 0; i < (ALL + THREADS - 1) / THREADS; i++) {
            u32 index = thread + i * THREADS;
            if (ALL % THREADS != 0 && index >= ALL) break;
            u32 token = STEP != 0 ? thread_token + i * STEP : index / UNITS;
            u32 unit = STEP != 0 ? thread % UNITS : index % UNITS;
            u32 position = STEP != 0 ? thread_first + i * STEP : first + token;
            u32 row = STEP != 0 && STEP % 8 == 0 ? thread_token : token;
            u32 place = values ? row * UNITS + v_unit(row, unit) : k_row(row) * UNITS + k_unit(row, unit);
            u32 block = load_shared(ids + (position % CHUNK >> pages.block_shift) * 4);
            u64 from = multiply_add(block, side.block_stride, (u64)side.base + unit * 16);
            from = multiply_add(pages.offset(position), side.token_stride, from);
            u32 to = shared + place * 16 + (token - row) * UNITS * 16;
            copy16(to, (const void *)from, position - span.from < span.to - span.from);
        }
    }
};
