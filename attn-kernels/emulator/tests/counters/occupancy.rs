//! Occupancy against published figures: NVIDIA's tuning guides and the CUDA occupancy calculator's
//! rules (registers per warp in units of 256, shared memory with 1 KB of the system's per CTA).

use cuda_emulator::{Limiter, Profile, occupancy};

/// (registers, shared bytes, threads) → (CTAs per SM, warps per SM, what limits).
type Case = ((u32, u32, u32), (u32, u32, Limiter));

fn check(profile: &Profile, cases: &[Case]) {
    for &((registers, shared, threads), (blocks, warps, limiter)) in cases {
        let got = occupancy(profile, registers, shared, threads);
        let name = profile.name;
        let context = format!("{name}: {registers} registers, {shared} bytes, {threads} threads");
        assert_eq!((got.blocks_per_sm, got.warps_per_sm), (blocks, warps), "{context}");
        if blocks > 0 {
            assert_eq!(got.limiter, limiter, "{context}");
        }
    }
}

/// A100 and H100: 2048 threads, 32 CTAs, 65,536 registers; 164 and 228 KB of shared memory, of which a
/// CTA takes 163 and 227 (Ampere and Hopper tuning guides, "Occupancy", "Unified Shared Memory").
#[test]
fn data_center_parts() {
    use Limiter::{Blocks, Registers, Shared, Threads};
    let cases = [
        // 32 registers · 2048 threads = all registers: full occupancy.
        ((32, 0, 1024), (2, 64, Threads)),
        ((32, 0, 256), (8, 64, Threads)),
        // 40 registers: 1280 per warp, 12 of them per partition of 16,384: 48 warps, six CTAs of eight.
        ((40, 0, 256), (6, 48, Registers)),
        ((64, 0, 256), (4, 32, Registers)),
        ((128, 0, 256), (2, 16, Registers)),
        ((255, 0, 256), (1, 8, Registers)),
        // One warp per CTA: 32 CTAs are the limit.
        ((32, 0, 32), (32, 32, Blocks)),
        ((32, 0, 64), (32, 64, Blocks)),
    ];
    check(&Profile::sm_80(), &cases[..7]);
    check(&Profile::sm_90(), &cases[..7]);
    // 48 KB and the system's 1 KB: three in 164 KB, four in 228 KB.
    check(&Profile::sm_80(), &[((32, 48 << 10, 128), (3, 12, Shared))]);
    check(&Profile::sm_90(), &[((32, 48 << 10, 128), (4, 16, Shared))]);
    check(&Profile::sm_80(), &[((32, 163 << 10, 128), (1, 4, Shared))]);
    check(&Profile::sm_90(), &[((32, 227 << 10, 128), (1, 4, Shared))]);
    check(&Profile::sm_80(), &[((32, (163 << 10) + 1, 128), (0, 0, Shared))]);
    assert!((occupancy(&Profile::sm_80(), 64, 0, 256).fraction() - 0.5).abs() < 1e-12);
}

/// Ada and the consumer Blackwell hold 1536 threads and 24 CTAs (Ada tuning guide, "Occupancy").
#[test]
fn consumer_parts() {
    use Limiter::{Blocks, Registers, Shared, Threads};
    let ada = Profile::sm_89();
    check(
        &ada,
        &[
            ((40, 0, 256), (6, 48, Threads)),
            ((32, 0, 1024), (1, 32, Threads)),
            ((32, 0, 512), (3, 48, Threads)),
            ((64, 0, 256), (4, 32, Registers)),
            ((32, 0, 32), (24, 24, Blocks)),
            ((32, 48 << 10, 64), (2, 4, Shared)),
            ((32, 99 << 10, 64), (1, 2, Shared)),
            ((32, (99 << 10) + 4, 64), (0, 0, Shared)),
        ],
    );
}
