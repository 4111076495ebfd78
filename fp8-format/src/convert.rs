//! Exact widening by `From`. Narrowing needs an [`Overflow`](crate::Overflow) and so a named call.

use crate::{F8E4M3, F8E4M3Fnuz, F8E5M2, F8E5M2Fnuz};

macro_rules! widen {
    ($($name:ident)*) => {$(
        impl From<$name> for f32 {
            #[inline]
            fn from(x: $name) -> Self {
                x.to_f32()
            }
        }

        impl From<$name> for f64 {
            #[inline]
            fn from(x: $name) -> Self {
                x.to_f64()
            }
        }

        #[cfg(feature = "half")]
        impl From<$name> for half::f16 {
            #[inline]
            fn from(x: $name) -> Self {
                x.to_f16()
            }
        }

        #[cfg(feature = "half")]
        impl From<$name> for half::bf16 {
            #[inline]
            fn from(x: $name) -> Self {
                x.to_bf16()
            }
        }
    )*};
}

widen! { F8E4M3 F8E5M2 F8E4M3Fnuz F8E5M2Fnuz }
