//! Kernel arguments: the parameter buffer, laid out as the CUDA ABI does.

use super::DevicePtr;

/// Builds the parameter buffer of a launch: each argument at its natural alignment, in order.
///
/// ```
/// use cuda_emulator::{DevicePtr, Params};
/// let buffer = Params::new().u8(1).ptr(DevicePtr(16)).f32(1.0).finish();
/// assert_eq!(buffer.len(), 20);
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Params {
    bytes: Vec<u8>,
}

impl Params {
    /// No arguments yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends an argument of these bytes at an alignment (a power of two): structs, vectors.
    #[must_use]
    pub fn bytes(mut self, data: &[u8], align: usize) -> Self {
        self.bytes.resize(self.bytes.len().next_multiple_of(align.max(1)), 0);
        self.bytes.extend_from_slice(data);
        self
    }

    /// A pointer.
    #[must_use]
    pub fn ptr(self, value: DevicePtr) -> Self {
        self.u64(value.0)
    }

    /// A `u8`.
    #[must_use]
    pub fn u8(self, value: u8) -> Self {
        self.bytes(&[value], 1)
    }

    /// A `u16`, or the bits of a half.
    #[must_use]
    pub fn u16(self, value: u16) -> Self {
        self.bytes(&value.to_le_bytes(), 2)
    }

    /// A `u32`.
    #[must_use]
    pub fn u32(self, value: u32) -> Self {
        self.bytes(&value.to_le_bytes(), 4)
    }

    /// An `i32`.
    #[must_use]
    pub fn i32(self, value: i32) -> Self {
        self.bytes(&value.to_le_bytes(), 4)
    }

    /// A `u64`.
    #[must_use]
    pub fn u64(self, value: u64) -> Self {
        self.bytes(&value.to_le_bytes(), 8)
    }

    /// An `i64`.
    #[must_use]
    pub fn i64(self, value: i64) -> Self {
        self.bytes(&value.to_le_bytes(), 8)
    }

    /// An `f32`.
    #[must_use]
    pub fn f32(self, value: f32) -> Self {
        self.bytes(&value.to_le_bytes(), 4)
    }

    /// An `f64`.
    #[must_use]
    pub fn f64(self, value: f64) -> Self {
        self.bytes(&value.to_le_bytes(), 8)
    }

    /// The buffer.
    #[must_use]
    pub fn finish(self) -> Vec<u8> {
        self.bytes
    }
}
