//! A cache's K or V blocks in main memory, and which of them may hold a NaN.

use fp8_format::ElementType;

use crate::error::Error;
use crate::mem::Pool;
use crate::shape::CacheShape;

/// K or V blocks in main memory: aligned, on huge pages where the system grants them.
#[derive(Debug)]
pub struct CpuBuffer {
    pool: Pool,
    stored: ElementType,
    heads: usize,
    /// Per block and head: whether an FP8 NaN was ever stored there. Converting codes to numbers
    /// is faster where none was.
    suspect: Vec<bool>,
}

impl CpuBuffer {
    pub(crate) fn new(shape: &CacheShape, stored: ElementType) -> Result<Self, Error> {
        let pool = Pool::new(shape.num_blocks * shape.block_elements() * stored.size())?;
        let (heads, blocks) = (shape.num_kv_heads, shape.num_blocks);
        Ok(Self { pool, stored, heads, suspect: vec![false; blocks * heads] })
    }

    /// The stored codes, block after block.
    pub fn bytes(&self) -> &[u8] {
        self.pool.bytes()
    }

    /// The stored codes, to be filled from elsewhere. Afterwards every block counts as one that may
    /// hold a NaN, and is read a little more slowly.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        self.suspect.fill(true);
        self.pool.bytes_mut()
    }

    /// Whether the system accepted the request for huge pages.
    pub fn huge_pages(&self) -> bool {
        self.pool.huge_pages()
    }

    /// Of each head in the block.
    pub(crate) fn suspect(&self, block: usize) -> &[bool] {
        &self.suspect[block * self.heads..(block + 1) * self.heads]
    }

    /// The bytes at `at`, to store a head's codes of one token in `block`; then call
    /// [`note`](Self::note).
    pub(crate) fn row_mut(&mut self, at: std::ops::Range<usize>) -> &mut [u8] {
        &mut self.pool.bytes_mut()[at]
    }

    /// Notes whether the codes just stored at `at` hold a NaN that must be looked for.
    pub(crate) fn note(&mut self, block: usize, head: usize, at: std::ops::Range<usize>) {
        let codes = &self.pool.bytes()[at];
        let nan = match self.stored {
            ElementType::F8E4M3 => any(codes, |c| c & 0x7f == 0x7f),
            ElementType::F8E4M3Fnuz | ElementType::F8E5M2Fnuz => any(codes, |c| c == 0x80),
            // NaN needs no care in these: the hardware's conversions know it, or there is none.
            _ => false,
        };
        if nan {
            self.suspect[block * self.heads + head] = true;
        }
    }

    pub(crate) fn copy_block(&mut self, src: usize, dst: usize) {
        let size = self.pool.bytes().len() / (self.suspect.len() / self.heads);
        self.pool.bytes_mut().copy_within(src * size..(src + 1) * size, dst * size);
        let heads = self.heads;
        self.suspect.copy_within(src * heads..(src + 1) * heads, dst * heads);
    }
}

/// Without an early exit, so that it compiles to SIMD.
fn any(codes: &[u8], test: impl Fn(u8) -> bool) -> bool {
    codes.iter().fold(false, |found, &c| found | test(c))
}
