//! Attention against the f64 reference that rounds what the kernels round (`rounded.rs`), within
//! 1e-5, over a grid: every kernel that ships, and every pair of stored types, on every architecture.

use std::collections::BTreeSet;

use attn_kernels::{AttentionShape, AttnMath, KvLayout, ReferenceBackend, Variant};
use fp8_format::ElementType::{self, Bf16, F8E4M3, F8E5M2, F16, Int8};

use crate::common::{World, errors};
use crate::device::{ARCHS, Cuda, Emulated, test_ptx};
use crate::rounded::Rounded;

const TYPES: [ElementType; 5] = [F8E4M3, F8E5M2, Int8, F16, Bf16];

/// One cell of the grid.
#[derive(Debug, Clone)]
struct Case {
    arch: &'static str,
    types: (ElementType, ElementType),
    d: usize,
    math: AttnMath,
    /// The rest follows from it: group, block size, layout, dynamic scales, variant, splits.
    number: usize,
}

const BLOCK_SIZES: [usize; 6] = [16, 32, 64, 128, 8, 256];

impl Case {
    fn group(&self) -> usize {
        1 + self.number * 7 % 16
    }

    fn block_size(&self) -> usize {
        BLOCK_SIZES[self.number % 6]
    }

    /// Which sides have a scale per token and head.
    fn dynamic(&self) -> (bool, bool) {
        let wanted = [(false, false), (true, true), (false, false), (false, true), (true, false)];
        let (k, v) = wanted[self.number % 5];
        (k && self.types.0.is_quantized(), v && self.types.1.is_quantized())
    }

    fn variant(&self, heads: usize) -> Variant {
        let mut variant = Variant::default();
        let kind = self.number % 7;
        if kind == 1 {
            variant.causal = false;
            return variant;
        }
        if kind == 2 || kind == 6 {
            variant.window = Some(100);
        }
        if kind == 3 || kind == 6 {
            variant.soft_cap = Some(5.0);
        }
        if kind == 4 || kind == 6 {
            variant.alibi_slopes = Some((0..heads).map(|h| 0.02 * (h % 5) as f32).collect());
        }
        if kind == 5 || kind == 6 {
            variant.sinks = Some((0..heads).map(|h| (h % 4) as f32 - 1.5).collect());
        }
        variant
    }
}

/// Largest errors of a case, and how many weights needed a choice.
#[derive(Debug, Default)]
struct Found {
    worst: f64,
    /// From the plain reference, relative to the largest output of all rows.
    plain: f64,
    rows: usize,
    unsure: usize,
    chosen: usize,
}

/// Decodes at the edges of blocks and chunks, and prefills over them with more than 16 rows; every
/// element within 1e-5 of the row's largest, and the lse.
fn check(case: &Case) -> Found {
    let (group, bs) = (case.group(), case.block_size());
    let kv_heads = 1 + case.number % 2;
    let heads = group * kv_heads;
    let world = World::new(1000 + case.number as u64, heads, kv_heads, case.d, &[283, 1]);
    let layout = if case.number.is_multiple_of(2) { KvLayout::Nhd } else { KvLayout::Hnd };
    let (k_own, v_own) = case.dynamic();
    let shape =
        world.shape(bs, layout, case.types.0, case.types.1).with_per_token_head(k_own, v_own);
    let mut world = world.with_scales(&shape, !case.number.is_multiple_of(3));
    if case.math.uses_q_scale() {
        world = world.with_q_scales(case.number % 2 == 1);
        world.scales.prob = (case.number % 3 == 1).then_some(1.0 / 300.0);
    }
    let attention = world.attention().with_math(case.math).with_variant(case.variant(heads));
    let wanted = if (case.number / 2).is_multiple_of(2) { 1 } else { 1000 };
    let cuda = Cuda::with(Emulated::new(case.arch).wanting(wanted));
    let tables = world.tables(&shape, 7);
    let device = world.fill(&cuda, &shape, &tables);
    let host = world.fill(&ReferenceBackend, &shape, &tables);
    let tokens = (32 / group + 2).min(40);
    let mut queries = vec![(1, 0, 1), (0, 30, 30), (0, 256 - tokens / 2, 256 + tokens.div_ceil(2))];
    for edge in [bs.min(128), bs.min(128) + 1, 255, 256, 257, 283] {
        queries.push((0, edge - 1, edge));
    }
    let (out, lse) = world.attend(&cuda, &device, &attention, &tables, &queries);
    multiplied_as_wanted(case, &cuda);

    let mut found = Found::default();
    let plain = world.attend(&ReferenceBackend, &host, &attention, &tables, &queries);
    if case.math != AttnMath::Fp8 {
        let (worst, _) = errors(&out, &plain.0);
        assert!(worst <= 2e-3, "{case:?}: {worst} from the plain reference");
        found.plain = worst;
    }

    let mut row = 0;
    for &(s, from, to) in &queries {
        let of_head = |h| Rounded::new(&host, &world.scales, &attention, (&tables[s], to, h));
        let kv: Vec<Rounded<'_>> = (0..kv_heads).map(of_head).collect();
        for token in from..to {
            for head in 0..heads {
                let visible = visible(&attention, token, to);
                let q = &world.q[s][(token * heads + head) * case.d..][..case.d];
                let got = &out[row * case.d..][..case.d];
                let want = kv[head / group].nearest(q, head, visible, got);
                let absmax = want.out.iter().fold(0.0f64, |m, x| m.max(x.abs()));
                for (e, (g, w)) in got.iter().zip(&want.out).enumerate() {
                    let error = (f64::from(*g) - w).abs() / absmax;
                    assert!(
                        error <= 1e-5,
                        "{case:?} group {group}, blocks of {bs}: out[{row}][{e}] {error:e}"
                    );
                    found.worst = found.worst.max(error);
                }
                let error = (f64::from(lse[row]) - want.lse).abs();
                assert!(error <= 1e-5 * want.lse.abs().max(1.0), "{case:?} lse: {error}");
                found.rows += 1;
                found.unsure += want.unsure;
                found.chosen += want.chosen;
                row += 1;
            }
        }
    }
    found
}

/// The keys that a token of a sequence sees.
fn visible(attention: &AttentionShape, token: usize, kv_len: usize) -> std::ops::Range<usize> {
    if !attention.variant.causal {
        return 0..kv_len;
    }
    let window = attention.variant.window.unwrap_or(usize::MAX);
    (token + 1).saturating_sub(window)..token + 1
}

/// FP8 arithmetic runs on codes where the device ships a kernel for that, and default arithmetic never
/// does; more than 16 rows run as 32 wherever shared memory allows that.
fn multiplied_as_wanted(case: &Case, cuda: &Cuda) {
    let launches = cuda.0.driver().launches.borrow();
    let kernels: Vec<&str> = launches.iter().map(|(name, _)| name.as_str()).collect();
    let of = |start: &str| kernels.iter().filter(|kernel| kernel.starts_with(start)).count();
    let able = ["sm_89", "sm_120a"].contains(&case.arch);
    if case.math == AttnMath::Fp8 && able && case.types == (F8E4M3, F8E4M3) && !case.dynamic().1 {
        assert_eq!(of("attention_fp8_"), of("attention_"), "{case:?}: {kernels:?}");
    }
    if case.math == AttnMath::Default || !able {
        assert_eq!(of("attention_fp8"), 0, "{case:?}: {kernels:?}");
    }
    let two_tiles = kernels.iter().any(|kernel| kernel.ends_with("_m2"));
    let wide = case.d == 256 && [case.types.0, case.types.1].iter().any(|t| t.size() == 2);
    assert!(of("attention_") > 0 && two_tiles != wide, "{case:?}: {kernels:?}");
}

/// What was seen of a grid.
#[derive(Default)]
struct Seen {
    groups: BTreeSet<usize>,
    block_sizes: BTreeSet<usize>,
    found: Found,
    cases: usize,
}

impl Seen {
    fn run(&mut self, case: &Case) {
        let found = check(case);
        self.groups.insert(case.group());
        self.block_sizes.insert(case.block_size());
        self.cases += 1;
        self.found.worst = self.found.worst.max(found.worst);
        self.found.plain = self.found.plain.max(found.plain);
        self.found.rows += found.rows;
        self.found.unsure += found.unsure;
        self.found.chosen += found.chosen;
    }

    fn print(&self, name: &str) {
        let Found { worst, plain, rows, unsure, chosen } = self.found;
        println!(
            "{name}: {} cases, {rows} rows, worst {worst:.1e}, from the plain reference {plain:.1e}; \
             {unsure} weights near a tie, {chosen} rounded the other way",
            self.cases
        );
    }
}

/// Every attention kernel that ships for an architecture.
fn shipped(arch: &'static str, at: usize) {
    let mut seen = Seen::default();
    let dims = |stored| if stored == F8E4M3 { &[64, 96, 128, 256][..] } else { &[64, 128] };
    let all = TYPES.iter().flat_map(|&t| dims(t).iter().map(move |&d| (t, d, AttnMath::Default)));
    let fp8 = [F8E4M3, F8E5M2].into_iter();
    let fp8 = fp8.flat_map(|t| [64, 96, 128, 256].map(|d| (t, d)));
    let fp8 = fp8.filter(|&(t, d)| dims(t).contains(&d));
    let maths = [AttnMath::Fp8, AttnMath::Fp8, AttnMath::Fp8Q];
    let quantized = fp8.flat_map(|(t, d)| maths.map(|math| (t, d, math)));
    for (i, (stored, d, math)) in all.chain(quantized).enumerate() {
        seen.run(&Case { arch, types: (stored, stored), d, math, number: at + i });
    }
    assert_eq!(seen.groups.len(), 16, "every group");
    assert_eq!(seen.block_sizes.len(), BLOCK_SIZES.len());
    seen.print(arch);
}

#[test]
fn shipped_for_sm_80() {
    shipped(ARCHS[0], 0);
}

#[test]
fn shipped_for_sm_89() {
    shipped(ARCHS[1], 31);
}

#[test]
fn shipped_for_sm_90a() {
    shipped(ARCHS[2], 62);
}

#[test]
fn shipped_for_sm_100a() {
    shipped(ARCHS[3], 93);
}

#[test]
fn shipped_for_sm_120a() {
    shipped(ARCHS[4], 124);
}

/// What runs on one of two architectures is what runs on the other.
#[test]
fn two_pairs_of_architectures_have_the_same_code() {
    for (a, b) in [("sm_89", "sm_90a"), ("sm_100a", "sm_120a")] {
        let text = |arch: &str, name: &std::ffi::OsStr| {
            let file = crate::device::shipped_ptx(arch).join(name);
            let text = std::fs::read_to_string(&file).unwrap_or_default();
            let named = |line: &&str| !line.starts_with(".version") && !line.starts_with(".target");
            text.lines().filter(named).map(str::to_owned).collect::<Vec<_>>()
        };
        let mut compared = 0;
        for entry in std::fs::read_dir(crate::device::shipped_ptx(a)).unwrap() {
            let name = entry.unwrap().file_name();
            let other = text(b, &name);
            if !other.is_empty() {
                assert!(text(a, &name) == other, "{} of {a} and {b}", name.display());
                compared += 1;
            }
        }
        assert!(compared >= 9, "{compared} files of {a} and {b}");
    }
}

/// What is compiled at run time: K and V of different types, and head dimensions that do not ship.
#[test]
fn what_does_not_ship() {
    let mut seen = Seen::default();
    let mut number = 0;
    for arch in ["sm_80", "sm_89", "sm_120a"] {
        for (k, v) in TYPES.iter().flat_map(|&k| TYPES.map(|v| (k, v))) {
            number += 1;
            let module = format!("attention_{}_{}", short(k), short(v));
            let file = test_ptx(&module, arch);
            if !file.is_file() {
                if k == F8E4M3 && v == k {
                    continue; // All of it ships.
                }
                assert!(std::env::var_os("CI").is_none(), "{} is missing", file.display());
                println!("skipped: no {}; `cargo xtask kernels --tests` makes it", file.display());
                continue;
            }
            let text = std::fs::read_to_string(&file).unwrap();
            for d in [64, 96, 128, 256] {
                if text.contains(&format!(".entry {module}_d{d}_m1(")) {
                    seen.run(&Case { arch, types: (k, v), d, math: AttnMath::Default, number });
                }
            }
        }
    }
    // Q and K as codes, P and V as numbers.
    for arch in ["sm_89", "sm_120a"] {
        number += 1;
        if test_ptx("attention_fp8q_e5m2_f16", arch).is_file() {
            let (types, math) = ((F8E5M2, F16), AttnMath::Fp8Q);
            seen.run(&Case { arch, types, d: 96, math, number });
        }
    }
    seen.print("what does not ship");
}

fn short(stored: ElementType) -> &'static str {
    match stored {
        F8E4M3 => "e4m3",
        F8E5M2 => "e5m2",
        Int8 => "int8",
        F16 => "f16",
        _ => "bf16",
    }
}
