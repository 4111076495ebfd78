//! What a slice is encoded from and decoded to: `f32`, and `f16` and `bf16` with feature `half`.

use crate::element_type::ElementType;
use crate::sealed::Sealed;

/// A float type on the wide side of a slice codec: `f32`, `half::f16` or `half::bf16`. Sealed.
pub trait Source: Copy + Send + Sync + 'static + Sealed {
    /// The type as a run-time value: `F32`, `F16` or `Bf16`.
    const ELEMENT_TYPE: ElementType;

    /// The exact value.
    fn to_f32(self) -> f32;

    /// The nearest value, ties to even.
    fn from_f32(x: f32) -> Self;
}

impl Sealed for f32 {}

impl Source for f32 {
    const ELEMENT_TYPE: ElementType = ElementType::F32;

    #[inline]
    fn to_f32(self) -> f32 {
        self
    }

    #[inline]
    fn from_f32(x: f32) -> Self {
        x
    }
}

#[cfg(feature = "half")]
macro_rules! half_source {
    ($($name:ident $element:ident),*) => {$(
        impl Sealed for half::$name {}

        impl Source for half::$name {
            const ELEMENT_TYPE: ElementType = ElementType::$element;

            #[inline]
            fn to_f32(self) -> f32 {
                half::$name::to_f32(self)
            }

            #[inline]
            fn from_f32(x: f32) -> Self {
                half::$name::from_f32(x)
            }
        }
    )*};
}

#[cfg(feature = "half")]
half_source! { f16 F16, bf16 Bf16 }
