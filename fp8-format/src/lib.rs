//! Bit-exact FP8 codecs: E4M3, E5M2 and the FNUZ variants, scalar and slices, no_std.
