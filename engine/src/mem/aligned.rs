//! A growable `[f32]` that starts on a cache line, so that no vector load straddles two lines.

use std::ops::{Deref, DerefMut};

#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Line([f32; 16]);

/// Scratch that is reused from step to step: it grows and never shrinks.
#[derive(Default)]
pub(crate) struct Aligned {
    lines: Vec<Line>,
    len: usize,
}

impl Aligned {
    pub(crate) const fn new() -> Self {
        Self { lines: Vec::new(), len: 0 }
    }

    /// Makes the slice exactly `len` long. What it holds afterwards is unspecified (never
    /// uninitialised): the caller writes before it reads.
    pub(crate) fn resize(&mut self, len: usize) -> &mut [f32] {
        let lines = len.div_ceil(16);
        if lines > self.lines.len() {
            self.lines.resize(lines, Line([0.0; 16]));
        }
        self.len = len;
        self
    }
}

impl Deref for Aligned {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        // SAFETY: `lines` holds at least `len.div_ceil(16)` lines of 16 initialised f32 with no
        // padding between them (size 64, alignment 64), and `resize` is the only writer of `len`.
        unsafe { std::slice::from_raw_parts(self.lines.as_ptr().cast(), self.len) }
    }
}

impl DerefMut for Aligned {
    fn deref_mut(&mut self) -> &mut [f32] {
        // SAFETY: as in `deref`; the borrow of `self` is exclusive.
        unsafe { std::slice::from_raw_parts_mut(self.lines.as_mut_ptr().cast(), self.len) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn starts_on_a_line_and_keeps_its_length() {
        let mut buffer = Aligned::new();
        assert!(buffer.is_empty());
        for len in [1, 15, 16, 17, 1000, 3] {
            buffer.resize(len).fill(len as f32);
            assert_eq!(buffer.len(), len);
            assert_eq!(buffer.as_ptr() as usize % 64, 0);
            assert!(buffer.iter().all(|x| *x == len as f32));
        }
    }
}
