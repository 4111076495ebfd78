//! Instructions across a warp: shuffles in every mode with clamps and segments, votes, matches,
//! reductions; divergence and reconvergence; special registers (PTX ISA, "shfl.sync", "vote.sync",
//! "match.sync", "redux.sync", "activemask", "elect.sync", "Special Registers").

use crate::common::launch::{device, device_with};
use crate::common::program::Program;
use crate::common::values::{Random, ints};

/// The lane that a lane reads, and whether it is in range: the pseudo-code of "shfl.sync".
fn source(mode: &str, lane: u32, b: u32, c: u32) -> (u32, bool) {
    let (b, clamp, segment) = (b & 31, c & 31, c >> 8 & 31);
    let max_lane = lane & segment | clamp & !segment & 31;
    let min_lane = lane & segment;
    let (j, ok) = match mode {
        "up" => (lane as i32 - b as i32, lane as i32 - b as i32 >= max_lane as i32),
        "down" => ((lane + b) as i32, lane + b <= max_lane),
        "bfly" => ((lane ^ b) as i32, lane ^ b <= max_lane),
        _ => {
            let j = min_lane | b & !segment & 31;
            (j as i32, j <= max_lane)
        }
    };
    if ok { (j as u32, true) } else { (lane, false) }
}

#[test]
fn shuffles() {
    let device = device();
    let mut random = Random(1);
    for mode in ["up", "down", "bfly", "idx"] {
        let body = format!(
            "ld.global.u32 %r0, [%src];\nld.global.u32 %r1, [%src+128];\nld.global.u32 %r2, [%src+256];\n\
             shfl.sync.{mode}.b32 %r3|%p0, %r0, %r1, %r2, 0xffffffff;\nselp.u32 %r4, 1, 0, %p0;\n\
             st.global.u32 [%dst], %r3;\nst.global.u32 [%dst+128], %r4;"
        );
        let program = Program::new(32, &body);
        let clamps =
            [0x1f, 0, 7, 15, 0x181f, 0x1c1f, 0x1e1f, 0x1f1f, 0x1800, 0x1c00, 0x100f, 0x0303];
        for c in clamps {
            for round in 0..6 {
                let values: Vec<u32> = (0..32).map(|_| random.next() as u32).collect();
                // The same distance for all, then one per lane, beyond 31 too.
                let distance = |lane: u32| match round {
                    0 => 1,
                    1 => 5,
                    2 => 16,
                    3 => 0,
                    4 => lane * 7 + 3,
                    _ => lane.wrapping_mul(0x9e37_79b9) >> 20,
                };
                let mut input = values.clone();
                input.extend((0..32).map(distance));
                input.extend([c; 32]);
                let got = program.output(&device, &input, 64);
                for lane in 0..32 {
                    let (from, ok) = source(mode, lane, distance(lane), c);
                    let (value, flag) = (got[lane as usize], got[32 + lane as usize]);
                    let context = format!("{mode} lane {lane} b {} c {c:#x}", distance(lane));
                    assert_eq!(value, values[from as usize], "{context}");
                    assert_eq!(flag, u32::from(ok), "{context}");
                }
            }
        }
    }
}

/// Two halves of a warp shuffle on their own, each in its own branch.
#[test]
fn shuffle_of_a_part() {
    let device = device();
    let body = "setp.lt.u32 %p0, %me, 12;\nmov.u32 %r9, 0;\n@%p0 bra LOW;\n\
                shfl.sync.idx.b32 %r9, %me, 13, 0x1f, 0xfffff000;\nbra JOIN;\n\
                LOW:\nshfl.sync.bfly.b32 %r9, %me, 1, 0x1f, 0x00000fff;\nJOIN:\n\
                bar.warp.sync 0xffffffff;\nshfl.sync.down.b32 %r8, %r9, 1, 0x1f, 0xffffffff;\n\
                mad.lo.u32 %r9, %r8, 100, %r9;\nst.global.u32 [%dst], %r9;";
    let got = Program::new(32, body).output(&device, &[0u32], 32);
    let part = |lane: u32| if lane < 12 { lane ^ 1 } else { 13 };
    for lane in 0..32u32 {
        let next = if lane == 31 { 31 } else { lane + 1 };
        assert_eq!(got[lane as usize], part(lane) + 100 * part(next), "lane {lane}");
    }
}

#[test]
fn votes() {
    let device = device();
    let body = "ld.global.u32 %r0, [%src];\nsetp.ne.u32 %p0, %r0, 0;\n\
                vote.sync.all.pred %p1, %p0, 0xffffffff;\nvote.sync.any.pred %p2, %p0, 0xffffffff;\n\
                vote.sync.uni.pred %p3, %p0, 0xffffffff;\nvote.sync.ballot.b32 %r1, %p0, 0xffffffff;\n\
                vote.sync.ballot.b32 %r2, !%p0, 0xffffffff;\nvote.sync.all.pred %p4, !%p0, 0xffffffff;\n\
                selp.u32 %r3, 1, 0, %p1;\nselp.u32 %r4, 2, 0, %p2;\nselp.u32 %r5, 4, 0, %p3;\n\
                selp.u32 %r6, 8, 0, %p4;\nor.b32 %r3, %r3, %r4;\nor.b32 %r3, %r3, %r5;\n\
                or.b32 %r3, %r3, %r6;\nst.global.u32 [%dst], %r3;\nst.global.u32 [%dst+128], %r1;\n\
                st.global.u32 [%dst+256], %r2;";
    for mask in [0u32, 1, 0x8000_0000, 0xffff_ffff, 0x7fff_ffff, 0x1234_5678] {
        let input: Vec<u32> = (0..32).map(|i| mask >> i & 1).collect();
        let got = Program::new(32, body).output(&device, &input, 96);
        let (all, any, none) = (mask == u32::MAX, mask != 0, mask == 0);
        let flags =
            u32::from(all) + 2 * u32::from(any) + 4 * u32::from(all || none) + 8 * u32::from(none);
        for lane in 0..32 {
            assert_eq!(
                [got[lane], got[32 + lane], got[64 + lane]],
                [flags, mask, !mask],
                "{mask:#x}"
            );
        }
    }
    // Only the members count, and the last warp may be short.
    let body = "mov.u32 %r1, 0;\nand.b32 %r0, %me, 1;\nsetp.eq.u32 %p0, %r0, 0;\n\
                setp.gt.u32 %p1, %me, 3;\n\
                @%p0 vote.sync.ballot.b32 %r1, %p1, 0x00055555;\nst.global.u32 [%dst], %r1;";
    let got = Program::new(20, body).output(&device, &[0u32], 20);
    for (lane, got) in got.iter().enumerate() {
        assert_eq!(*got, if lane % 2 == 0 { 0x0005_5550 } else { 0 }, "lane {lane}");
    }
}

#[test]
fn matches() {
    let device = device();
    let body = "ld.global.u32 %r0, [%src];\nmatch.any.sync.b32 %r1, %r0, 0xffffffff;\n\
                match.all.sync.b32 %r2|%p0, %r0, 0xffffffff;\ncvt.u64.u32 %l0, %r0;\n\
                shl.b64 %l0, %l0, 32;\nmatch.any.sync.b64 %r3, %l0, 0xffffffff;\n\
                match.all.sync.b64 %r4|%p1, %l0, 0xffffffff;\nselp.u32 %r5, 1, 0, %p0;\n\
                selp.u32 %r6, 2, 0, %p1;\nor.b32 %r5, %r5, %r6;\n\
                st.global.u32 [%dst], %r1;\nst.global.u32 [%dst+128], %r2;\n\
                st.global.u32 [%dst+256], %r3;\nst.global.u32 [%dst+384], %r4;\n\
                st.global.u32 [%dst+512], %r5;";
    for groups in [1, 2, 5, 32] {
        let input: Vec<u32> = (0..32u32).map(|i| i * 13 % groups).collect();
        let got = Program::new(32, body).output(&device, &input, 160);
        let all = groups == 1;
        for lane in 0..32 {
            let any = (0..32).filter(|&i| input[i] == input[lane]).fold(0, |m, i| m | 1 << i);
            let whole = if all { u32::MAX } else { 0 };
            let at: Vec<u32> = (0..5).map(|i| got[32 * i + lane]).collect();
            assert_eq!(at, [any, whole, any, whole, 3 * u32::from(all)], "{groups} lane {lane}");
        }
    }
}

#[test]
fn reductions() {
    let device = device();
    let mut random = Random(3);
    let signed = |x: &u32| *x as i32;
    type Reduce<'a> = &'a dyn Fn(&[u32]) -> u32;
    let ops: [(&str, Reduce<'_>); 9] = [
        ("add.u32", &|x| x.iter().fold(0, |a, &b| a.wrapping_add(b))),
        ("add.s32", &|x| x.iter().fold(0, |a, &b| a.wrapping_add(b))),
        ("min.u32", &|x| *x.iter().min().expect("lanes")),
        ("max.u32", &|x| *x.iter().max().expect("lanes")),
        ("min.s32", &|x| x.iter().map(signed).min().expect("lanes") as u32),
        ("max.s32", &|x| x.iter().map(signed).max().expect("lanes") as u32),
        ("and.b32", &|x| x.iter().fold(u32::MAX, |a, &b| a & b)),
        ("or.b32", &|x| x.iter().fold(0, |a, &b| a | b)),
        ("xor.b32", &|x| x.iter().fold(0, |a, &b| a ^ b)),
    ];
    let edges: Vec<u32> = ints(32).iter().map(|&x| x as u32).collect();
    for (op, reduce) in ops {
        let body = format!(
            "ld.global.u32 %r0, [%src];\nredux.sync.{op} %r1, %r0, 0xffffffff;\n\
             st.global.u32 [%dst], %r1;\nsetp.ge.u32 %p0, %me, 20;\n\
             @%p0 redux.sync.{op} %r1, %r0, 0xfff00000;\nst.global.u32 [%dst+128], %r1;"
        );
        for round in 0..4 {
            let pick = |_| match round {
                0 => edges[random.below(edges.len() as u64) as usize],
                1 => random.next() as u32 | 0xff00_ff00,
                _ => random.next() as u32,
            };
            let input: Vec<u32> = (0..32).map(pick).collect();
            let got = Program::new(32, &body).output(&device, &input, 64);
            let (all, part) = (reduce(&input), reduce(&input[20..]));
            for lane in 0..32 {
                assert_eq!(got[lane], all, "{op} lane {lane}");
                assert_eq!(got[32 + lane], if lane < 20 { all } else { part }, "{op} lane {lane}");
            }
        }
    }
}

/// Of f32 (sm_100a): NaNs are left out, or win; magnitudes alone.
#[test]
fn reductions_of_floats() {
    let profile = cuda_emulator::Profile::sm_100();
    let device = device_with(cuda_emulator::DeviceConfig { profile, ..Default::default() });
    let mut random = Random(5);
    let nan = f32::from_bits(0xffc0_1234);
    let specials =
        [nan, f32::INFINITY, f32::NEG_INFINITY, 0.0, -0.0, f32::from_bits(1), f32::MAX, f32::MIN];
    for (max, op) in [(false, "min"), (true, "max")] {
        for (abs, wins) in [(false, false), (true, false), (false, true), (true, true)] {
            let suffix =
                format!("{}{}", if abs { ".abs" } else { "" }, if wins { ".NaN" } else { "" });
            let body = format!(
                "ld.global.f32 %r0, [%src];\nredux.sync.{op}{suffix}.f32 %r1, %r0, 0xffffffff;\n\
                 st.global.f32 [%dst], %r1;\nsetp.ge.u32 %p0, %me, 20;\n\
                 @%p0 redux.sync.{op}{suffix}.f32 %r1, %r0, 0xfff00000;\nst.global.f32 [%dst+128], %r1;"
            );
            for round in 0..5 {
                let input: Vec<f32> = (0..32)
                    .map(|lane| match round {
                        0 => nan,
                        1 => specials[(lane * 5 + 1) % specials.len()],
                        2 if lane == 25 => nan,
                        _ => f32::from_bits(random.next() as u32 & 0xbfff_ffff),
                    })
                    .collect();
                let reduce = |of: &[f32]| {
                    let of = of.iter().map(|x| if abs { x.abs() } else { *x });
                    if of.clone().all(f32::is_nan) || wins && of.clone().any(f32::is_nan) {
                        return 0x7fff_ffff;
                    }
                    // The total order has -0 below +0, as PTX.
                    let numbers = of.filter(|x| !x.is_nan());
                    let best = if max {
                        numbers.max_by(f32::total_cmp)
                    } else {
                        numbers.min_by(f32::total_cmp)
                    };
                    best.expect("a number").to_bits()
                };
                let program = Program { target: "sm_100a", ..Program::new(32, &body) };
                let got = program.output(&device, &input, 64);
                let (all, part) = (reduce(&input), reduce(&input[20..]));
                for lane in 0..32 {
                    assert_eq!(got[lane], all, "{op}{suffix} round {round} lane {lane}");
                    let want = if lane < 20 { all } else { part };
                    assert_eq!(got[32 + lane], want, "{op}{suffix} round {round} lane {lane}");
                }
            }
        }
    }
}

#[test]
fn masks_of_the_warp() {
    let device = device();
    let body = "mov.u32 %r0, %lanemask_eq;\nmov.u32 %r1, %lanemask_lt;\nmov.u32 %r2, %lanemask_le;\n\
                mov.u32 %r3, %lanemask_gt;\nmov.u32 %r4, %lanemask_ge;\nst.global.u32 [%dst], %r0;\n\
                st.global.u32 [%dst+128], %r1;\nst.global.u32 [%dst+256], %r2;\n\
                st.global.u32 [%dst+384], %r3;\nst.global.u32 [%dst+512], %r4;\n\
                activemask.b32 %r5;\nsetp.lt.u32 %p0, %me, 10;\n@%p0 activemask.b32 %r5;\n\
                st.global.u32 [%dst+640], %r5;\nmov.u32 %r6, 0;\n\
                elect.sync %r7|%p1, 0xffffffff;\n@%p1 add.u32 %r6, %r6, 1;\n\
                shl.b32 %r7, %r7, 8;\nor.b32 %r6, %r6, %r7;\nst.global.u32 [%dst+768], %r6;";
    let got = Program::new(32, body).output(&device, &[0u32], 32 * 7);
    let elected: Vec<u32> =
        (0..32).filter(|&i| got[32 * 6 + i] & 1 == 1).map(|i| i as u32).collect();
    assert_eq!(elected.len(), 1, "one thread is elected");
    for lane in 0..32usize {
        let eq = 1u32 << lane;
        let want = [eq, eq - 1, eq | (eq - 1), !(eq | (eq - 1)), !(eq - 1)];
        let at: Vec<u32> = (0..5).map(|i| got[32 * i + lane]).collect();
        assert_eq!(at, want, "lane {lane}");
        assert_eq!(got[160 + lane], if lane < 10 { 0x3ff } else { u32::MAX });
        assert_eq!(got[192 + lane] >> 8, elected[0], "all see the leader");
    }
}

/// Nested branches, loops of unlike lengths and early exits, against the same program in Rust.
#[test]
fn divergence() {
    let device = device();
    let body = "mov.u32 %r0, 0;\nand.b32 %r1, %me, 3;\nsetp.eq.u32 %p0, %r1, 3;\n@%p0 bra END;\n\
                mov.u32 %r2, 0;\nLOOP:\nsetp.ge.u32 %p1, %r2, %me;\n@%p1 bra DONE;\n\
                and.b32 %r3, %r2, 1;\nsetp.eq.u32 %p2, %r3, 0;\n@%p2 bra EVEN;\nadd.u32 %r0, %r0, 7;\n\
                setp.eq.u32 %p3, %r2, 9;\n@%p3 bra DONE;\nbra NEXT;\nEVEN:\nmad.lo.u32 %r0, %r0, 3, 1;\n\
                NEXT:\nadd.u32 %r2, %r2, 1;\nbra LOOP;\nDONE:\nsetp.eq.u32 %p4, %r1, 1;\n\
                @!%p4 bra LAST;\nst.global.u32 [%dst], %r0;\nret;\nLAST:\nadd.u32 %r0, %r0, 1000;\n\
                END:\nst.global.u32 [%dst], %r0;";
    let got = Program::new(64, body).output(&device, &[0u32], 64);
    let one = |me: u32| {
        let mut x = 0u32;
        if me & 3 == 3 {
            return x;
        }
        for i in 0..me {
            if i & 1 == 0 {
                x = x.wrapping_mul(3).wrapping_add(1);
            } else {
                x = x.wrapping_add(7);
                if i == 9 {
                    break;
                }
            }
        }
        if me & 3 == 1 { x } else { x.wrapping_add(1000) }
    };
    let want: Vec<u32> = (0..64).map(one).collect();
    assert_eq!(got, want);
}

/// A jump table, and warps that come together again behind it.
#[test]
fn branch_by_index() {
    let device = device();
    let body = "and.b32 %r0, %me, 3;\nmov.u32 %r1, 0;\nTS: .branchtargets A, B, C, D;\n\
                brx.idx %r0, TS;\nA:\nadd.u32 %r1, %r1, 1;\nB:\nadd.u32 %r1, %r1, 10;\nbra.uni OUT;\n\
                C:\nadd.u32 %r1, %r1, 100;\nD:\nadd.u32 %r1, %r1, 1000;\nOUT:\n\
                shfl.sync.bfly.b32 %r2, %r1, 3, 0x1f, 0xffffffff;\nmad.lo.u32 %r1, %r2, 10000, %r1;\n\
                st.global.u32 [%dst], %r1;";
    let got = Program::new(32, body).output(&device, &[0u32], 32);
    let value = |me: usize| [11, 10, 1100, 1000][me & 3];
    let want: Vec<u32> = (0..32).map(|me| value(me) + 10000 * value(me ^ 3)).collect();
    assert_eq!(got, want);
}

#[test]
fn special_registers() {
    let device = device();
    let body = "mov.u32 %r0, %laneid;\nmov.u32 %r1, %warpid;\nmov.u32 %r2, %nctaid.x;\n\
                mov.u32 %r3, %ntid.y;\nmov.u32 %r4, %tid.y;\nmov.u32 %r6, %clock;\n\
                mov.u64 %l1, %clock64;\nmov.u64 %l2, %globaltimer;\nmov.u64 %l3, %clock64;\n\
                setp.ge.u64 %p0, %l3, %l1;\nselp.u32 %r7, 1, 0, %p0;\n\
                mul.wide.u32 %l0, %all, 32;\nadd.u64 %l0, %out, %l0;\n\
                st.global.v4.u32 [%l0], {%r0, %r1, %r2, %r3};\n\
                st.global.v4.u32 [%l0+16], {%r4, %cta, %all, %r7};";
    let got = Program::new(40, body).grid(3).output(&device, &[0u32], 3 * 40 * 8);
    for (i, row) in got.chunks(8).enumerate() {
        let me = i as u32 % 40;
        assert_eq!(row, [me % 32, me / 32, 3, 1, 0, i as u32 / 40, i as u32, 1]);
    }
}

/// Threads that have exited are named by a mask and not waited for (PTX ISA, "redux.sync": all
/// non-exited threads of the mask).
#[test]
fn masks_with_exited_threads() {
    let device = device();
    let body = "mov.u32 %r2, 7;\nsetp.eq.u32 %p0, %me, 31;\n@%p0 ret;\nbar.warp.sync -1;\n\
                redux.sync.add.u32 %r0, %me, -1;\nvote.sync.ballot.b32 %r1, %p0, -1;\n\
                st.global.u32 [%dst], %r0;";
    let got = Program::new(32, body).output(&device, &[0u32], 31);
    assert_eq!(got, [(0..31).sum::<u32>(); 31]);
}
