//! OCP codes read as FNUZ codes and back, keeping the bits: what hardware with only the other kind
//! does.
//!
//! The FNUZ bias is one larger, so the same bits mean half as much: a scale that goes with the
//! codes is doubled, or halved on the way back. A few codes mean something else altogether and are
//! replaced.

use crate::format::{Format, Overflow};
use crate::ieee::Class;
use crate::round::round;
use crate::{F8E4M3, F8E4M3Fnuz, F8E5M2, F8E5M2Fnuz};

macro_rules! reinterpret {
    ($ocp:ident, $fnuz:ident) => {
        impl $ocp {
            /// The FNUZ number of half the value, which has the same bits.
            ///
            /// Except: -0, whose bits are the FNUZ NaN, becomes 0; NaN becomes NaN; an infinity
            /// goes by `overflow`.
            #[inline]
            pub const fn halve_to_fnuz(self, overflow: Overflow) -> $fnuz {
                $fnuz::from_bits(reinterpret(
                    self.to_bits(),
                    &Self::FORMAT,
                    &$fnuz::FORMAT,
                    overflow,
                ))
            }
        }

        impl $fnuz {
            /// The OCP number of twice the value, which has the same bits.
            ///
            /// Except: NaN becomes NaN, of negative sign as [`to_f32`](Self::to_f32) has it; a value
            /// whose double is out of range goes by `overflow`.
            #[inline]
            pub const fn double_to_ocp(self, overflow: Overflow) -> $ocp {
                $ocp::from_bits(reinterpret(self.to_bits(), &Self::FORMAT, &$ocp::FORMAT, overflow))
            }
        }
    };
}

reinterpret! { F8E4M3, F8E4M3Fnuz }
reinterpret! { F8E5M2, F8E5M2Fnuz }

const fn reinterpret(bits: u8, from: &Format, to: &Format, overflow: Overflow) -> u8 {
    let mut number = from.unpack(bits);
    if let Class::Finite { significand, exponent } = number.class {
        // Exact, and what the bits come to by themselves wherever both formats have them.
        number.class = Class::Finite { significand, exponent: exponent + from.bias - to.bias };
    }
    round(number, to, overflow)
}
