//! The macro that writes one FP8 type: constants, bits, conversions and predicates.

macro_rules! float8 {
    ($(#[$doc:meta])* $name:ident, $format:ident) => {
        $(#[$doc])*
        ///
        /// Comparison follows IEEE 754: NaN is unequal to itself and unordered, the two zeros are
        /// equal. [`total_cmp`](Self::total_cmp) orders all codes.
        ///
        /// With feature `serde` it is serialized as its bits, a `u8`.
        #[derive(Clone, Copy, Default)]
        #[repr(transparent)]
        #[cfg_attr(
            feature = "serde",
            derive(serde::Serialize, serde::Deserialize),
            serde(transparent)
        )]
        pub struct $name(u8);

        impl $name {
            pub(crate) const FORMAT: $crate::format::Format = $format;

            /// The largest finite value.
            pub const MAX: f32 = Self::MAX_CODE.to_f32();
            /// The smallest finite value, `-MAX`.
            pub const MIN: f32 = Self::MIN_CODE.to_f32();
            /// The smallest positive normal value.
            pub const MIN_POSITIVE: f32 = Self(1 << $format.mantissa_bits).to_f32();
            /// The smallest positive value.
            pub const MIN_POSITIVE_SUBNORMAL: f32 = Self(1).to_f32();
            /// The step from 1 to the next larger value.
            pub const EPSILON: f32 = Self(Self::ONE.0 + 1).to_f32() - 1.0;
            /// Whether the format has infinities.
            pub const HAS_INFINITY: bool = $format.has_infinity();

            /// The base of the exponent.
            pub const RADIX: u32 = 2;
            /// Significant binary digits, the hidden one included.
            pub const MANTISSA_DIGITS: u32 = $format.mantissa_bits + 1;
            /// Decimal digits that survive a round trip through the type, as in `f32::DIGITS`: with
            /// so few mantissa bits, none.
            pub const DIGITS: u32 = ($format.mantissa_bits as f64 * core::f64::consts::LOG10_2) as u32;
            /// One more than the exponent of the largest finite values, as in `f32::MAX_EXP`.
            pub const MAX_EXP: i32 =
                ($format.max >> $format.mantissa_bits) as i32 - $format.bias + 1;
            /// One more than the exponent of the smallest normal values, as in `f32::MIN_EXP`.
            pub const MIN_EXP: i32 = $format.min_exponent() + 1;
            /// The largest power of ten within the range, `floor(log10(MAX))`.
            pub const MAX_10_EXP: i32 = {
                let (mut exponent, mut power) = (0, 10.0);
                while power <= Self::MAX {
                    (exponent, power) = (exponent + 1, power * 10.0);
                }
                exponent
            };
            /// The smallest power of ten that is normal, `ceil(log10(MIN_POSITIVE))`.
            pub const MIN_10_EXP: i32 = {
                let (mut exponent, mut power) = (0, 10.0);
                while power * Self::MIN_POSITIVE <= 1.0 {
                    (exponent, power) = (exponent - 1, power * 10.0);
                }
                exponent
            };

            /// Positive zero.
            pub const ZERO: Self = Self(0);
            /// One.
            pub const ONE: Self = Self(($format.bias as u8) << $format.mantissa_bits);
            /// A NaN; the only one in an FNUZ format.
            pub const NAN: Self = Self($format.nan);
            /// The code of the largest finite value.
            pub const MAX_CODE: Self = Self($format.max);
            /// The code of the smallest finite value.
            pub const MIN_CODE: Self = Self($format.max | 0x80);

            /// The value with these bits. Every bit pattern is one.
            #[inline]
            pub const fn from_bits(bits: u8) -> Self {
                Self(bits)
            }

            /// The bits of this value.
            #[inline]
            pub const fn to_bits(self) -> u8 {
                self.0
            }

            /// The nearest value, ties to even, rounded once. A NaN stays NaN and keeps its sign
            /// where the format has signed NaNs.
            #[inline]
            pub const fn from_f32(x: f32, overflow: Overflow) -> Self {
                Self::round(ieee::BINARY32.unpack(x.to_bits() as u64), overflow)
            }

            /// As [`from_f32`](Self::from_f32), straight from an `f64`: going through `f32` would
            /// round twice.
            #[inline]
            pub const fn from_f64(x: f64, overflow: Overflow) -> Self {
                Self::round(ieee::BINARY64.unpack(x.to_bits()), overflow)
            }

            /// As [`from_f32`](Self::from_f32), from a binary16.
            #[cfg(feature = "half")]
            #[inline]
            pub const fn from_f16(x: half::f16, overflow: Overflow) -> Self {
                Self::round(ieee::BINARY16.unpack(x.to_bits() as u64), overflow)
            }

            /// As [`from_f32`](Self::from_f32), from a bfloat16.
            #[cfg(feature = "half")]
            #[inline]
            pub const fn from_bf16(x: half::bf16, overflow: Overflow) -> Self {
                Self::round(ieee::BFLOAT16.unpack(x.to_bits() as u64), overflow)
            }

            #[inline]
            const fn round(number: ieee::Unpacked, overflow: Overflow) -> Self {
                Self(round(number, &$format, overflow))
            }

            /// The exact value. A NaN becomes the canonical quiet NaN of its sign bit.
            #[inline]
            pub const fn to_f32(self) -> f32 {
                const VALUES: [f32; 256] = {
                    let mut values = [0.0; 256];
                    let mut bits = 0;
                    while bits < 256 {
                        let number = $format.unpack(bits as u8);
                        values[bits] = f32::from_bits(ieee::BINARY32.pack_exact(number) as u32);
                        bits += 1;
                    }
                    values
                };
                VALUES[self.0 as usize]
            }

            /// The exact value, as [`to_f32`](Self::to_f32).
            #[inline]
            pub const fn to_f64(self) -> f64 {
                f64::from_bits(ieee::BINARY64.pack_exact($format.unpack(self.0)))
            }

            /// The exact value, as [`to_f32`](Self::to_f32): binary16 holds every FP8 value.
            #[cfg(feature = "half")]
            #[inline]
            pub const fn to_f16(self) -> half::f16 {
                half::f16::from_bits(ieee::BINARY16.pack_exact($format.unpack(self.0)) as u16)
            }

            /// The exact value, as [`to_f32`](Self::to_f32): bfloat16 holds every FP8 value.
            #[cfg(feature = "half")]
            #[inline]
            pub const fn to_bf16(self) -> half::bf16 {
                half::bf16::from_bits(ieee::BFLOAT16.pack_exact($format.unpack(self.0)) as u16)
            }

            /// True for a NaN.
            #[inline]
            pub const fn is_nan(self) -> bool {
                $format.is_nan(self.0)
            }

            /// True for an infinity, which only E5M2 has.
            #[inline]
            pub const fn is_infinite(self) -> bool {
                $format.is_infinite(self.0)
            }

            /// True for neither NaN nor infinity.
            #[inline]
            pub const fn is_finite(self) -> bool {
                !self.is_nan() && !self.is_infinite()
            }

            /// True for a value other than zero below [`MIN_POSITIVE`](Self::MIN_POSITIVE).
            #[inline]
            pub const fn is_subnormal(self) -> bool {
                $format.is_subnormal(self.0)
            }

            /// True for neither zero, subnormal, infinite nor NaN.
            #[inline]
            pub const fn is_normal(self) -> bool {
                self.is_finite() && self.0 & 0x7f >= 1 << $format.mantissa_bits
            }

            /// Which of the five classes of IEEE 754 the value is in.
            pub const fn classify(self) -> FpCategory {
                if self.is_nan() {
                    FpCategory::Nan
                } else if self.is_infinite() {
                    FpCategory::Infinite
                } else if self.0 & 0x7f == 0 {
                    FpCategory::Zero
                } else if self.is_subnormal() {
                    FpCategory::Subnormal
                } else {
                    FpCategory::Normal
                }
            }

            /// True if the sign bit is set: for the NaN of an FNUZ format too.
            #[inline]
            pub const fn is_sign_negative(self) -> bool {
                self.0 & 0x80 != 0
            }

            /// True if the sign bit is clear.
            #[inline]
            pub const fn is_sign_positive(self) -> bool {
                !self.is_sign_negative()
            }

            /// The value without its sign. The NaN of an FNUZ format has none to lose.
            #[inline]
            pub const fn abs(self) -> Self {
                if $format.fnuz && self.is_nan() { self } else { Self(self.0 & 0x7f) }
            }

            /// The value with the sign of another, as `f32::copysign`. The zero and the NaN of an
            /// FNUZ format have none to take.
            #[inline]
            pub const fn copysign(self, sign: Self) -> Self {
                if $format.fnuz && self.0 & 0x7f == 0 {
                    return self;
                }
                Self(self.0 & 0x7f | sign.0 & 0x80)
            }
        }

        impl Fp8 for $name {
            const MAX: f32 = Self::MAX;
            const MIN: f32 = Self::MIN;
            const MIN_POSITIVE: f32 = Self::MIN_POSITIVE;
            const MIN_POSITIVE_SUBNORMAL: f32 = Self::MIN_POSITIVE_SUBNORMAL;
            const EPSILON: f32 = Self::EPSILON;
            const HAS_INFINITY: bool = Self::HAS_INFINITY;
            const ZERO: Self = Self::ZERO;
            const ONE: Self = Self::ONE;
            const NAN: Self = Self::NAN;

            forward! {
                from_bits(bits: u8) -> Self;
                to_bits(self) -> u8;
                from_f32(x: f32, overflow: Overflow) -> Self;
                from_f64(x: f64, overflow: Overflow) -> Self;
                #[cfg(feature = "half")]
                from_f16(x: half::f16, overflow: Overflow) -> Self;
                #[cfg(feature = "half")]
                from_bf16(x: half::bf16, overflow: Overflow) -> Self;
                to_f32(self) -> f32;
                to_f64(self) -> f64;
                #[cfg(feature = "half")]
                to_f16(self) -> half::f16;
                #[cfg(feature = "half")]
                to_bf16(self) -> half::bf16;
                is_nan(self) -> bool;
                is_infinite(self) -> bool;
                is_finite(self) -> bool;
                is_subnormal(self) -> bool;
                is_normal(self) -> bool;
                classify(self) -> FpCategory;
                is_sign_negative(self) -> bool;
                is_sign_positive(self) -> bool;
                abs(self) -> Self;
                copysign(self, sign: Self) -> Self;
                max(self, other: Self) -> Self;
                min(self, other: Self) -> Self;
                clamp(self, min: Self, max: Self) -> Self;
                total_cmp(&self, other: &Self) -> Ordering;
            }
        }
    };
}

/// Trait methods that call the inherent ones of the same name.
macro_rules! forward {
    ($($(#[$m:meta])* $name:ident ( $($arg:tt)* ) -> $ret:ty;)*) => {
        $(forward!(@one $(#[$m])* $name ( $($arg)* ) -> $ret);)*
    };
    (@one $(#[$m:meta])* $name:ident ( self ) -> $ret:ty) => {
        $(#[$m])*
        #[inline]
        fn $name(self) -> $ret {
            <Self>::$name(self)
        }
    };
    (@one $(#[$m:meta])* $name:ident ( self, $($x:ident : $t:ty),+ ) -> $ret:ty) => {
        $(#[$m])*
        #[inline]
        fn $name(self, $($x: $t),+) -> $ret {
            <Self>::$name(self, $($x),+)
        }
    };
    (@one $(#[$m:meta])* $name:ident ( &self, $x:ident : $t:ty ) -> $ret:ty) => {
        $(#[$m])*
        #[inline]
        fn $name(&self, $x: $t) -> $ret {
            <Self>::$name(self, $x)
        }
    };
    (@one $(#[$m:meta])* $name:ident ( $($x:ident : $t:ty),* ) -> $ret:ty) => {
        $(#[$m])*
        #[inline]
        fn $name($($x: $t),*) -> $ret {
            <Self>::$name($($x),*)
        }
    };
}

pub(crate) use {float8, forward};
