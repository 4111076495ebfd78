//! The order in which a chunk's tokens are read, and what is asked of memory meanwhile.

use std::ops::Range;

use super::{TILE_TOKENS, Walk};
use crate::cpu::buffer::CpuBuffer;
use crate::cpu::care::PIECE;
use crate::cpu::kernels::{Ahead, MAX_ROWS, Tokens};
use crate::shape::Side;

impl<'a> Walk<'a> {
    /// Calls `f(head, first token, tokens)` for pieces of the tokens `seen`, in order, and for all
    /// heads of each before the next: they lie together in memory. `head` counts from the task's
    /// first.
    pub(super) fn for_each_piece(
        &self,
        side: Side,
        seen: Range<usize>,
        mut f: impl FnMut(usize, usize, &Tokens<'_>),
    ) {
        let most = if self.rows <= MAX_ROWS { PIECE } else { TILE_TOKENS };
        let block_size = self.call.cache.shape.block_size;
        let kernels = &self.call.kernels;
        let conversion = if side == Side::K { &kernels.k } else { &kernels.v };
        let mut from = seen.start;
        while from < seen.end {
            let offset = from & (block_size - 1);
            // Codes are judged by pieces: a tile begins with one, too.
            let most = most - offset % PIECE.min(block_size);
            let count = (block_size - offset).min(most).min(seen.end - from);
            let end = from + count;
            let (next_side, next) = match side {
                _ if end < seen.end => (side, end),
                Side::K => (Side::V, seen.start),
                Side::V => (Side::K, end.min(self.span.1 - 1)),
            };
            let (here, ahead) = (self.place(side, from), self.place(next_side, next));
            let heads = self.task.heads.0..self.task.heads.1;
            let care = here.buffer.care(here.block, offset).skip(heads.start);
            let rest = here.buffer.care(here.block, offset + count - 1).skip(heads.start);
            for (head, care) in heads.zip(care.zip(rest).map(|(a, b)| a.max(b))) {
                let tokens = Tokens {
                    bytes: &here.bytes[head * here.head_stride..],
                    stride: here.token_stride,
                    count,
                    head_dim: self.d,
                    care: conversion.care(care),
                    ahead: self.ahead(&ahead, count, head),
                };
                f(head - self.task.heads.0, from, &tokens);
            }
            from = end;
        }
    }

    /// What is prefetched beside the work on `count` tokens of a head: its share of the `count`
    /// tokens at `next`, whose heads lie together, or its own tokens there.
    fn ahead(&self, next: &Place<'_>, count: usize, head: usize) -> Ahead {
        let (base, run) = (next.bytes.as_ptr(), count * next.row);
        if next.token_stride == next.row {
            let own = base.wrapping_add(head * next.head_stride);
            return Ahead { base: own, across: run / 4 };
        }
        // The streams are quarters of all heads' tokens; each head asks for a part of every one.
        let heads = self.task.heads.1 - self.task.heads.0;
        let part = (head - self.task.heads.0) * (run / 4);
        Ahead { base: base.wrapping_add(part), across: heads * run / 4 }
    }

    /// Where token `t` of the first head is.
    fn place(&self, side: Side, t: usize) -> Place<'a> {
        let (cache, shape) = (self.call.cache, &self.call.cache.shape);
        let map = shape.codes(side);
        let buffer = cache.buffer(side);
        // The block size is a power of two.
        let shift = shape.block_size.trailing_zeros();
        let block = self.table[t >> shift] as usize;
        let bytes = &buffer.bytes()[map.at(block, t & (shape.block_size - 1), 0).start..];
        Place { buffer, block, bytes, row: map.len, token_stride: map.token, head_stride: map.head }
    }
}

/// A token of the first head, and how to get from it to others in its block.
struct Place<'a> {
    buffer: &'a CpuBuffer,
    block: usize,
    bytes: &'a [u8],
    /// Bytes of one head.
    row: usize,
    /// Bytes from token to token and from head to head.
    token_stride: usize,
    head_stride: usize,
}
