//! The order in which a CTA's tiles pass through the ring.
#pragma once
#include "pages.cuh"

/// Positions in the walk over tiles: K of a chunk, V of it, K of the next.
struct Cursor {
    u32 chunk, tile;
    bool values;

    /// The tiles of a chunk that overlap the span.
    template <u32 TOKENS> DEVICE static u32 first_tile(u32 chunk, Span span) {
        u32 base = chunk * CHUNK;
        return span.from > base ? (span.from - base) / TOKENS : 0;
    }
    template <u32 TOKENS> DEVICE static u32 end_tile(u32 chunk, Span span) {
        u32 left = span.to - chunk * CHUNK;
        return left >= CHUNK ? CHUNK / TOKENS : (left + TOKENS - 1) / TOKENS;
    }

    template <u32 TOKENS> DEVICE static Cursor begin(u32 chunk, u32 end, Span span) {
        return {chunk, chunk < end ? first_tile<TOKENS>(chunk, span) : 0, false};
    }

    template <u32 TOKENS> DEVICE void advance(u32 end, Span span) {
        if (++tile < end_tile<TOKENS>(chunk, span)) return;
        if (values) {
            chunk++;
            if (chunk >= end) return;
        }
        values = !values;
        tile = first_tile<TOKENS>(chunk, span);
    }
};
