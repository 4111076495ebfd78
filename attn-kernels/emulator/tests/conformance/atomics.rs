//! `atom` and `red`: every operation, type and space, alone and under contention (PTX ISA, "atom",
//! "red").

use crate::common::check::{Checker, bits};
use crate::common::exact::{BF16, F16, F32, Mode};
use crate::common::launch::device;
use crate::common::program::Program;
use crate::common::values::{Row, cut, floats32, halves, ints, packed, pairs, triples};

/// Runs `atom` and `red` of an operation on a place of the thread's own, in global and shared memory:
/// results are the old and the new value.
fn everywhere(t: &mut Checker, op: &str, n: u32, rows: &[Row], f: impl Fn(u64, u64, u64) -> u64) {
    let r = match n {
        16 => "h",
        32 => "r",
        _ => "l",
    };
    let cas = op.starts_with("cas");
    let (operands, ins) = if cas { ("$b, $c", r.repeat(3)) } else { ("$b", r.repeat(2)) };
    let shared = ".shared .align 8 .b8 place[256];\nmov.u32 %t0, %tid.x;\nmov.u32 %t1, place;\n\
                  mad.lo.u32 %t1, %t0, 8, %t1;\n";
    let generic = format!("{shared}cvt.u64.u32 %u2, %t1;\ncvta.shared.u64 %u3, %u2;\n");
    for (space, setup, at) in [
        (".global", "", "%at1+24"),
        (".shared", shared, "%t1"),
        ("", generic.as_str(), "%u3"),
        (".relaxed.gpu.global", "", "%at1+24"),
        (".acq_rel.cta.shared", shared, "%t1"),
    ] {
        let kind = if space.contains("shared") { ".shared" } else { space };
        let kind = if kind.contains("global") { ".global" } else { kind };
        let body = format!(
            "{setup}st{kind}.b{n} [{at}], $a;\natom{space}.{op} $d, [{at}], {operands};\n\
             ld{kind}.b{n} $f, [{at}];"
        );
        t.all(&body, &ins, &r.repeat(2), rows, bits, |[a, b, c, _]| [a, f(a, b, c), 0, 0]);
        if cas || op.starts_with("exch") {
            continue; // `red` has neither.
        }
        // `red` returns nothing, so there is nothing that it could acquire.
        let ordered = space.replace("acq_rel", "release");
        let body = format!(
            "{setup}st{kind}.b{n} [{at}], $a;\nred{ordered}.{op} [{at}], {operands};\n\
             ld{kind}.b{n} $d, [{at}];"
        );
        t.one(&body, &ins, r, rows, bits, |[a, b, c, _]| f(a, b, c));
    }
}

#[test]
fn integers() {
    let mut t = Checker::new();
    for n in [32, 64] {
        let rows = pairs(&ints(n), &ints(n));
        let signed = move |x: u64| (x << (64 - n)) as i64;
        everywhere(&mut t, &format!("add.u{n}"), n, &rows, |a, b, _| cut(a.wrapping_add(b), n));
        everywhere(&mut t, &format!("min.u{n}"), n, &rows, |a, b, _| a.min(b));
        everywhere(&mut t, &format!("max.u{n}"), n, &rows, |a, b, _| a.max(b));
        everywhere(&mut t, &format!("min.s{n}"), n, &rows, |a, b, _| {
            if signed(b) < signed(a) { b } else { a }
        });
        everywhere(&mut t, &format!("max.s{n}"), n, &rows, |a, b, _| {
            if signed(b) > signed(a) { b } else { a }
        });
        everywhere(&mut t, &format!("and.b{n}"), n, &rows, |a, b, _| a & b);
        everywhere(&mut t, &format!("or.b{n}"), n, &rows, |a, b, _| a | b);
        everywhere(&mut t, &format!("xor.b{n}"), n, &rows, |a, b, _| a ^ b);
        everywhere(&mut t, &format!("exch.b{n}"), n, &rows, |_, b, _| b);
    }
    let rows = pairs(&ints(32), &ints(32));
    everywhere(&mut t, "add.s32", 32, &rows, |a, b, _| cut(a.wrapping_add(b), 32));
    everywhere(&mut t, "inc.u32", 32, &rows, |a, b, _| if a >= b { 0 } else { a + 1 });
    everywhere(&mut t, "dec.u32", 32, &rows, |a, b, _| if a == 0 || a > b { b } else { a - 1 });
    t.finish();
}

#[test]
fn compare_and_swap() {
    let mut t = Checker::new();
    for n in [16, 32, 64] {
        let mut rows = triples(&ints(n), &ints(n), &ints(n), 200);
        rows.extend(ints(n).iter().map(|&a| [a, a, !a & (u64::MAX >> (64 - n)), 0]));
        everywhere(&mut t, &format!("cas.b{n}"), n, &rows, |a, b, c| if a == b { c } else { a });
    }
    t.finish();
}

/// Sums of floats. f32 in global memory flushes subnormals, in shared memory it does not; the 16-bit
/// types say `.noftz`.
#[test]
fn floats() {
    let mut t = Checker::new();
    let plain: Vec<u64> = floats32()
        .into_iter()
        .filter(|&x| !F32.is_nan(x) && !F32.is_infinite(x) && (x == 0 || F32.flush(x) == x))
        .filter(|&x| F32.value(x) == 0.0 || F32.value(x).abs() > 1e-20)
        .collect();
    let rows = pairs(&plain, &plain);
    everywhere(&mut t, "add.f32", 32, &rows, |a, b, _| F32.add(a, b, Mode::Rn));
    let doubles: Vec<u64> =
        [0.0, 1.0, -1.0, 1e300, -1e-300, 0.1, 1e16, -0.3].map(f64::to_bits).into();
    everywhere(&mut t, "add.f64", 64, &pairs(&doubles, &doubles), |a, b, _| {
        (f64::from_bits(a) + f64::from_bits(b)).to_bits()
    });
    for (ty, format) in [("f16", F16), ("bf16", BF16)] {
        let numbers: Vec<u64> = halves().into_iter().filter(|&x| !format.is_nan(x)).collect();
        let rows: Vec<Row> = pairs(&numbers, &numbers)
            .into_iter()
            .filter(|&[a, b, ..]| !format.is_nan(format.add(a, b, Mode::Rn)))
            .collect();
        let add = |a: u64, b: u64| format.add(a & 0xffff, b & 0xffff, Mode::Rn);
        everywhere(&mut t, &format!("add.noftz.{ty}"), 16, &rows, |a, b, _| add(a, b));
        let n = rows.len();
        let wide: Vec<Row> = (0..n)
            .map(|i| {
                let other = rows[(i * 3 + 1) % n];
                [packed(rows[i][0], other[0]), packed(rows[i][1], other[1]), 0, 0]
            })
            .collect();
        everywhere(&mut t, &format!("add.noftz.{ty}x2"), 32, &wide, |a, b, _| {
            packed(add(a, b), add(a >> 16, b >> 16))
        });
    }
    t.finish();
}

/// 8 CTAs of 96 threads on one word.
#[test]
fn contention() {
    let device = device();
    let n = 8 * 96;
    let all = |op: &str| {
        let body = format!(
            "add.u32 %r0, %all, 1;\n{op}\n\
             mul.wide.u32 %l0, %all, 4;\nadd.u64 %l1, %out, %l0;\nst.global.u32 [%l1+4], %r1;"
        );
        Program::new(96, &body).grid(8).output(&device, &[0u32; 4], n + 1)
    };
    let mut old = all("atom.global.add.u32 %r1, [%in], 1;")[1..].to_vec();
    old.sort_unstable();
    assert!(old.iter().enumerate().all(|(i, &x)| x == i as u32), "every old value once");
    let mut old = all("atom.global.exch.b32 %r1, [%in], %r0;")[1..].to_vec();
    old.sort_unstable();
    let distinct = old.windows(2).all(|w| w[0] < w[1]);
    assert!(distinct && old[0] == 0, "each exchanged value is seen at most once");
    let mut old = all("atom.global.inc.u32 %r1, [%in], 99;")[1..].to_vec();
    old.sort_unstable();
    let mut want: Vec<u32> = (0..n as u32).map(|i| i % 100).collect();
    want.sort_unstable();
    assert_eq!(old, want);
}

/// A loop around `cas` adds as `add` does; a histogram in shared memory counts every thread.
#[test]
fn loops_around_cas() {
    let device = device();
    let body = "LOOP:\nld.volatile.global.u32 %r0, [%out];\nadd.u32 %r1, %r0, %me;\n\
                atom.global.cas.b32 %r2, [%out], %r0, %r1;\nsetp.ne.u32 %p0, %r2, %r0;\n\
                @%p0 bra LOOP;";
    let sum = Program::new(64, body).grid(3).output(&device, &[0u32], 1)[0];
    assert_eq!(sum, 0xdead_beefu32.wrapping_add(3 * (63 * 64 / 2)));
    let body = ".shared .align 4 .b8 bins[64];\nsetp.lt.u32 %p0, %me, 16;\nmov.u32 %r0, bins;\n\
                mad.lo.u32 %r1, %me, 4, %r0;\n@%p0 st.shared.u32 [%r1], 0;\nbar.sync 0;\n\
                ld.global.u32 %r2, [%src];\nand.b32 %r2, %r2, 15;\nmad.lo.u32 %r3, %r2, 4, %r0;\n\
                red.shared.add.u32 [%r3], 1;\nbar.sync 0;\n\
                @%p0 ld.shared.u32 %r4, [%r1];\n@%p0 st.global.u32 [%dst], %r4;";
    let data: Vec<u32> = (0..256).map(|i| i * i * 7 + i / 3).collect();
    let mut want = vec![0; 16];
    data.iter().for_each(|x| want[(x & 15) as usize] += 1);
    assert_eq!(Program::new(256, body).output(&device, &data, 16), want);
}

/// Vectors of floats in global memory (sm_90): each thread's own place, old and new values.
#[test]
fn vectors() {
    let device = device();
    type Of = fn(f32) -> u64;
    let half: Of = |x| half::f16::from_f32(x).to_bits().into();
    let brain: Of = |x| half::bf16::from_f32(x).to_bits().into();
    let single: Of = |x| x.to_bits().into();
    for (ty, bits, count, of) in [
        ("f32", 32, 2, single),
        ("f32", 32, 4, single),
        ("f16", 16, 2, half),
        ("f16", 16, 4, half),
        ("f16", 16, 8, half),
        ("bf16", 16, 2, brain),
        ("bf16", 16, 4, brain),
        ("bf16", 16, 8, brain),
        ("f16x2", 32, 2, half),
        ("f16x2", 32, 4, half),
        ("bf16x2", 32, 2, brain),
        ("bf16x2", 32, 4, brain),
    ] {
        let ops: &[&str] = if ty == "f32" { &["add"] } else { &["add", "min", "max"] };
        for op in ops {
            let noftz = if ty == "f32" { "" } else { ".noftz" };
            let per = if ty.ends_with("x2") { 2 } else { 1 };
            let words = bits * count / 32;
            // Numbers that are exact in all of the types, no two alike in a vector.
            let old = |lane: usize, i: usize| (lane * 3 + i) as f32 - 40.0;
            let new = |lane: usize, i: usize| 9.0 - (lane + 5 * i) as f32;
            let vector = |of_lane: &dyn Fn(usize, usize) -> f32, lane: usize| -> Vec<u32> {
                let width = bits / per;
                let items: Vec<u64> = (0..count * per).map(|i| of(of_lane(lane, i))).collect();
                let per_word = 32 / width;
                let word = |part: &[u64]| part.iter().rev().fold(0, |w, x| w << (width % 32) | x);
                items.chunks(per_word).map(|part| word(part) as u32).collect()
            };
            let (prefix, load) = if bits == 16 { ("h", "b16") } else { ("r", "b32") };
            let step = bits / 8;
            let mut body = format!(
                "mul.wide.u32 %l0, %me, {0};\nadd.u64 %l1, %out, %l0;\nadd.u64 %l2, %in, %l0;\n\
                 add.u64 %l3, %l2, {1};\n",
                4 * words,
                32 * 4 * words
            );
            // The place is in the output; what is added follows what stands there first.
            for word in 0..words {
                body += &format!(
                    "ld.global.b32 %r40, [%l2+{0}];\nst.global.b32 [%l1+{0}], %r40;\n",
                    4 * word
                );
            }
            for i in 0..count {
                body += &format!("ld.global.{load} %{prefix}{}, [%l3+{}];\n", 10 + i, step * i);
            }
            let list = |from: usize| {
                let names: Vec<String> =
                    (from..from + count).map(|i| format!("%{prefix}{i}")).collect();
                names.join(", ")
            };
            body += &format!(
                "atom.global.{op}{noftz}.v{count}.{ty} {{{}}}, [%l1], {{{}}};\n\
                 red.relaxed.gpu.global.{op}{noftz}.v{count}.{ty} [%l1], {{{}}};\n",
                list(20),
                list(10),
                list(10)
            );
            for i in 0..count {
                let at = 32 * 4 * words + step * i;
                body += &format!("st.global.{load} [%l1+{at}], %{prefix}{};\n", 20 + i);
            }
            let input: Vec<u32> = (0..32)
                .flat_map(|lane| vector(&old, lane))
                .chain((0..32).flat_map(|lane| vector(&new, lane)))
                .collect();
            let got = Program::new(32, &body).output(&device, &input, 64 * words);
            let apply = |a: f32, b: f32| match *op {
                "add" => a + b,
                "min" => a.min(b),
                _ => a.max(b),
            };
            let twice =
                |lane: usize, i: usize| apply(apply(old(lane, i), new(lane, i)), new(lane, i));
            let want: Vec<u32> = (0..32)
                .flat_map(|lane| vector(&twice, lane))
                .chain((0..32).flat_map(|lane| vector(&old, lane)))
                .collect();
            assert_eq!(got, want, "{op} v{count} {ty}");
        }
    }
}
