//! One allocation: its words, which of its bytes were written, its name.
//!
//! All accesses are relaxed atomics of 32 bits, so kernels that race have no undefined behaviour on
//! the host; on x86 and Arm they are plain loads and stores. Narrower stores replace part of a word
//! atomically. Wider accesses are several words, and a racing reader may see some of them.

use super::words::{HostPages, Words};
use super::zeroed::zeroed_words;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

/// A range of device memory.
pub(crate) struct Allocation {
    /// Address of the first byte.
    pub(crate) base: u64,
    /// Bytes.
    pub(crate) size: u64,
    /// How messages call it.
    pub(crate) name: String,
    /// Kernels may not write it (`.const` variables).
    pub(crate) read_only: bool,
    /// The host can write it at any time, so that all of it counts as written; it is not of the device.
    pub(super) of_host: bool,
    words: Words,
    /// One bit per byte, so one word for 32 bytes.
    init: Box<[AtomicU32]>,
    /// Makes 64-bit read-modify-write operations indivisible.
    wide: Mutex<()>,
}

impl Allocation {
    /// An allocation of zeroed, unwritten bytes; `None` if the host is out of memory.
    pub(super) fn new(base: u64, size: usize, name: String, read_only: bool) -> Option<Self> {
        let words = Words::zeroed(size.div_ceil(4))?;
        let init = zeroed_words(size.div_ceil(32))?;
        let (wide, size) = (Mutex::new(()), size as u64);
        Some(Self { base, size, name, read_only, of_host: false, words, init, wide })
    }

    /// The first `size` bytes of `pages`, at the address that they have for the host.
    pub(super) fn of_host(pages: &Arc<HostPages>, size: usize, name: String) -> Option<Self> {
        let init = zeroed_words(size.div_ceil(32))?;
        let (base, words, wide) = (pages.address() as u64, Words::of(pages), Mutex::new(()));
        let size = size as u64;
        let made = Self { base, size, name, read_only: false, of_host: true, words, init, wide };
        made.mark_range(0, size);
        Some(made)
    }

    /// The word of a byte offset, which must be inside.
    #[inline]
    pub(crate) fn word(&self, offset: u64) -> u32 {
        self.words[(offset >> 2) as usize].load(Relaxed)
    }

    /// Replaces a whole word and marks it written.
    #[inline]
    pub(crate) fn set_word(&self, offset: u64, value: u32) {
        self.words[(offset >> 2) as usize].store(value, Relaxed);
        self.mark(offset, 4);
    }

    /// Replaces `bytes` (1 or 2, aligned) and marks them written.
    #[inline]
    pub(crate) fn set_part(&self, offset: u64, bytes: u32, value: u32) {
        let shift = (offset & 3) as u32 * 8;
        let field = ((1u32 << (bytes * 8)) - 1) << shift;
        let word = &self.words[(offset >> 2) as usize];
        let put = |old: u32| Some((old & !field) | ((value << shift) & field));
        // The closure always gives a value, so this cannot fail.
        let _ = word.fetch_update(Relaxed, Relaxed, put);
        self.mark(offset, bytes);
    }

    /// The word as an atomic, for read-modify-write operations.
    pub(crate) fn cell(&self, offset: u64) -> &AtomicU32 {
        &self.words[(offset >> 2) as usize]
    }

    /// Runs `update` on the 64 bits at an offset, alone among all such updates; gives the old bits.
    pub(crate) fn update64(&self, offset: u64, update: impl FnOnce(u64) -> u64) -> u64 {
        let _alone = self.wide.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let old = u64::from(self.word(offset)) | u64::from(self.word(offset + 4)) << 32;
        let new = update(old);
        self.set_word(offset, new as u32);
        self.set_word(offset + 4, (new >> 32) as u32);
        old
    }

    /// Whether `bytes` (1 to 32, aligned to themselves) were all written.
    #[inline]
    pub(crate) fn written(&self, offset: u64, bytes: u32) -> bool {
        let want = (u32::MAX >> (32 - bytes)) << (offset & 31);
        self.init[(offset >> 5) as usize].load(Relaxed) & want == want
    }

    /// Marks `bytes` (1 to 32, not crossing a 32-byte line) as written.
    #[inline]
    pub(crate) fn mark(&self, offset: u64, bytes: u32) {
        let bits = (u32::MAX >> (32 - bytes)) << (offset & 31);
        let line = &self.init[(offset >> 5) as usize];
        if line.load(Relaxed) & bits != bits {
            line.fetch_or(bits, Relaxed);
        }
    }

    /// Marks a whole range as written.
    fn mark_range(&self, offset: u64, bytes: u64) {
        let end = offset + bytes;
        let mut at = offset;
        while at < end {
            let step = (32 - (at & 31)).min(end - at);
            self.mark(at, step as u32);
            at += step;
        }
    }

    /// The first unwritten byte of a range, if any.
    pub(crate) fn first_unwritten(&self, offset: u64, bytes: u64) -> Option<u64> {
        (offset..offset + bytes).find(|&at| !self.written(at, 1))
    }

    /// Copies out. The range is inside.
    pub(crate) fn read(&self, offset: u64, out: &mut [u8]) {
        let head = (offset.wrapping_neg() & 3).min(out.len() as u64) as usize;
        let (first, rest) = out.split_at_mut(head);
        for (i, byte) in first.iter_mut().enumerate() {
            *byte = self.byte(offset + i as u64);
        }
        let start = offset + head as u64;
        let mut chunks = rest.chunks_exact_mut(4);
        let mut at = (start >> 2) as usize;
        for chunk in &mut chunks {
            chunk.copy_from_slice(&self.words[at].load(Relaxed).to_le_bytes());
            at += 1;
        }
        for (i, byte) in chunks.into_remainder().iter_mut().enumerate() {
            *byte = self.byte(at as u64 * 4 + i as u64);
        }
    }

    /// Copies in, and marks as written. The range is inside.
    pub(crate) fn write(&self, offset: u64, data: &[u8]) {
        let head = (offset.wrapping_neg() & 3).min(data.len() as u64) as usize;
        let (first, rest) = data.split_at(head);
        for (i, &byte) in first.iter().enumerate() {
            self.set_part(offset + i as u64, 1, u32::from(byte));
        }
        let start = offset + head as u64;
        let mut at = (start >> 2) as usize;
        let chunks = rest.chunks_exact(4);
        let tail = chunks.remainder();
        for chunk in chunks {
            let word = u32::from_le_bytes([chunk[0], chunk[1], chunk[2], chunk[3]]);
            self.words[at].store(word, Relaxed);
            at += 1;
        }
        self.mark_range(start, (rest.len() - tail.len()) as u64);
        for (i, &byte) in tail.iter().enumerate() {
            self.set_part(at as u64 * 4 + i as u64, 1, u32::from(byte));
        }
    }

    #[inline]
    fn byte(&self, offset: u64) -> u8 {
        (self.word(offset) >> ((offset & 3) * 8)) as u8
    }

    /// Copies `bytes` within or between allocations, written bits included, forwards.
    pub(crate) fn copy_from(&self, offset: u64, source: &Self, from: u64, bytes: u64) {
        let mut buffer = [0u8; 4096];
        let mut done = 0;
        while done < bytes {
            let step = (bytes - done).min(buffer.len() as u64);
            let part = &mut buffer[..step as usize];
            source.read(from + done, part);
            let whole = source.first_unwritten(from + done, step).is_none();
            if whole {
                self.write(offset + done, part);
            } else {
                for (i, &byte) in part.iter().enumerate() {
                    let at = i as u64 + done;
                    self.set_part(offset + at, 1, u32::from(byte));
                    if !source.written(from + at, 1) {
                        self.unmark(offset + at);
                    }
                }
            }
            done += step;
        }
    }

    fn unmark(&self, offset: u64) {
        self.init[(offset >> 5) as usize].fetch_and(!(1 << (offset & 31)), Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_back_from_any_offset_and_only_they_are_marked() {
        for offset in 0..9u64 {
            for len in 0..70usize {
                let a = Allocation::new(0, 128, "a".into(), false).unwrap();
                let data: Vec<u8> = (0..len as u8).map(|i| i.wrapping_mul(37) ^ 0x5a).collect();
                a.write(offset, &data);
                let mut back = vec![0; len];
                a.read(offset, &mut back);
                assert_eq!(back, data);
                for at in 0..128u64 {
                    let inside = (offset..offset + len as u64).contains(&at);
                    assert_eq!(a.written(at, 1), inside, "offset {offset} len {len} at {at}");
                }
            }
        }
    }

    #[test]
    fn copies_carry_the_written_bits() {
        let a = Allocation::new(0, 64, "a".into(), false).unwrap();
        let b = Allocation::new(0, 64, "b".into(), false).unwrap();
        a.write(3, &[1, 2, 3]);
        b.write(0, &[9; 64]);
        b.copy_from(10, &a, 2, 5);
        assert_eq!(b.first_unwritten(0, 64), Some(10));
        assert!(b.written(11, 1) && b.written(13, 1) && !b.written(14, 1) && b.written(15, 1));
        let mut out = [0; 3];
        b.read(11, &mut out);
        assert_eq!(out, [1, 2, 3]);
    }

    #[test]
    fn wide_updates_see_both_words() {
        let a = Allocation::new(0, 16, "a".into(), false).unwrap();
        a.write(8, &u64::to_le_bytes(0xffff_ffff));
        assert_eq!(a.update64(8, |x| x + 1), 0xffff_ffff);
        assert_eq!((a.word(8), a.word(12)), (0, 1));
    }
}
