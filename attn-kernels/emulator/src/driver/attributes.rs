//! Device attributes: the numbers of `CUdevice_attribute` and what a profile says to each.

use super::abi::Reply;
use super::code::Code;
use super::machine::Profile;

/// The value of an attribute. Features that the emulator lacks are 0, so that a program that asks
/// first goes another way; an attribute that is not known is `CUDA_ERROR_INVALID_VALUE`.
pub(super) fn value(profile: &Profile, attribute: u32) -> Reply<i32> {
    let value = match attribute {
        1..=12 | 39 | 81 | 82 | 97 | 106 | 111 => limit(profile, attribute),
        13 => profile.clock_khz,
        16 => profile.sm_count,
        36 => profile.memory_clock_khz,
        37 => profile.bus_width_bits,
        38 => profile.l2_bytes,
        75 => profile.compute_capability.0,
        76 => profile.compute_capability.1,
        14..=150 => feature(attribute),
        _ => return Err(Code::INVALID_VALUE),
    };
    Ok(i32::try_from(value).unwrap_or(i32::MAX))
}

fn limit(profile: &Profile, attribute: u32) -> u32 {
    match attribute {
        1 => profile.max_threads_per_block,
        2..=4 => profile.max_block[attribute as usize - 2],
        5..=7 => profile.max_grid[attribute as usize - 5],
        8 => profile.shared_per_block,
        9 => profile.constant_bytes,
        10 => 32,
        11 => i32::MAX.unsigned_abs(), // the widest pitch
        12 => profile.registers_per_block,
        39 => profile.max_threads_per_sm,
        81 => profile.shared_per_sm,
        82 => profile.registers_per_sm,
        97 => profile.shared_per_block_optin,
        106 => profile.max_blocks_per_sm,
        _ => profile.shared_reserved,
    }
}

/// What is there beside computing: copies and kernels beside kernels, unified addresses, stream
/// priorities, L1 caches, memory pools, host memory that is registered or mapped, managed memory that
/// both sides use at once. Everything else (textures, cooperative launches, clusters, virtual memory,
/// peers, ECC) is not.
fn feature(attribute: u32) -> u32 {
    match attribute {
        14 | 30 => 512, // alignment of textures and surfaces
        51 => 32,       // of their pitch
        15 | 19 | 31 | 40 | 41 | 78 | 79 | 80 | 83 | 89 | 99 | 115 => 1,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_profile_answers_and_what_is_missing_is_zero() {
        let h100 = Profile::sm_90();
        assert_eq!((value(&h100, 75), value(&h100, 76)), (Ok(9), Ok(0)));
        assert_eq!((value(&h100, 1), value(&h100, 10)), (Ok(1024), Ok(32)));
        assert_eq!((value(&h100, 16), value(&h100, 97)), (Ok(132), Ok(227 << 10)));
        assert_eq!((value(&h100, 115), value(&h100, 83), value(&h100, 95)), (Ok(1), Ok(1), Ok(0)));
        assert_eq!(value(&h100, 0), Err(Code::INVALID_VALUE));
        assert_eq!(value(&h100, 9999), Err(Code::INVALID_VALUE));
        assert!((1..=150).all(|attribute| value(&h100, attribute).is_ok()));
    }
}
