//! Memory mapping of weight files: the only `unsafe` of this crate outside `ops/simd`.
