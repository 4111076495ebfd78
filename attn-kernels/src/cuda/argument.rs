//! Kernel arguments as bytes, laid out as the structs of `cuda/*.cuh` are: each field at its natural
//! alignment, in order.

/// A kernel's argument under construction: a struct as C lays it out.
///
/// ```
/// use attn_kernels::cuda::Argument;
///
/// // struct { const float *from; u32 rows; float factor; }
/// let bytes = Argument::new().u64(0x7f00_0000).u32(3).f32(0.5).finish();
/// assert_eq!(bytes.len(), 16);
/// ```
///
/// # Panics
///
/// Beyond [`Argument::LIMIT`] bytes.
#[derive(Debug, Clone)]
pub struct Argument {
    bytes: [u8; Argument::LIMIT],
    len: usize,
}

impl Argument {
    /// The most bytes of a struct: it is on the stack, so that a launch allocates nothing.
    pub const LIMIT: usize = 512;

    /// An empty struct.
    pub fn new() -> Self {
        Self { bytes: [0; Self::LIMIT], len: 0 }
    }

    fn push(mut self, bytes: &[u8]) -> Self {
        let at = self.len.next_multiple_of(bytes.len());
        self.len = at + bytes.len();
        self.bytes[at..self.len].copy_from_slice(bytes);
        self
    }

    /// A 32-bit word.
    pub fn u32(self, value: u32) -> Self {
        self.push(&value.to_le_bytes())
    }

    /// A count or a stride; the shapes were checked, so what does not fit is a mistake of ours.
    pub(crate) fn count(self, value: usize) -> Self {
        self.u32(u32::try_from(value).expect("checked when the cache or the plan was made"))
    }

    /// A 64-bit word: a count, or an address ([`CudaBackend::address`](super::CudaBackend::address)).
    pub fn u64(self, value: u64) -> Self {
        self.push(&value.to_le_bytes())
    }

    /// A float.
    pub fn f32(self, value: f32) -> Self {
        self.push(&value.to_le_bytes())
    }

    /// Ends a struct whose largest field has 8 bytes: what a launch takes.
    pub fn finish(mut self) -> Self {
        self.len = self.len.next_multiple_of(8);
        self
    }
}

impl Default for Argument {
    fn default() -> Self {
        Self::new()
    }
}

impl std::ops::Deref for Argument {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_aligned_as_in_c() {
        let bytes = Argument::new().u32(1).u64(2).f32(1.0).finish();
        let mut expected = vec![1, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0];
        expected.extend([0, 0, 0x80, 0x3f, 0, 0, 0, 0]);
        assert_eq!(*bytes, expected);
    }
}
