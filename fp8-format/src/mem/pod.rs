//! Feature `bytemuck`: the types are plain old data.

use bytemuck::{Pod, TransparentWrapper, Zeroable};

use crate::{F8E4M3, F8E4M3Fnuz, F8E5M2, F8E5M2Fnuz, F8E8M0};

macro_rules! pod {
    ($($name:ident)*) => {$(
        // SAFETY: one byte, and zero is a value.
        unsafe impl Zeroable for $name {}
        // SAFETY: one byte of which every pattern is a value: no padding, no interior mutability.
        unsafe impl Pod for $name {}
        // SAFETY: `repr(transparent)` around a `u8` without an invariant.
        unsafe impl TransparentWrapper<u8> for $name {}
    )*};
}

pod! { F8E4M3 F8E5M2 F8E4M3Fnuz F8E5M2Fnuz F8E8M0 }
