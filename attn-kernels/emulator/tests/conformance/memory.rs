//! Loads and stores: every width, sign, vector and cache form, in every space; generic addresses;
//! variables with initial values; parameters (PTX ISA, "ld", "st", "cvta", "isspacep", "mov").

use crate::common::check::{Checker, bits};
use crate::common::launch::{Arg, device, download, upload};
use crate::common::program::Program;
use crate::common::values::{Row, cut, ints, ones};

const TYPES: [(&str, u32, bool); 14] = [
    ("b8", 8, false),
    ("u8", 8, false),
    ("s8", 8, true),
    ("b16", 16, false),
    ("u16", 16, false),
    ("s16", 16, true),
    ("b32", 32, false),
    ("u32", 32, false),
    ("s32", 32, true),
    ("f32", 32, false),
    ("b64", 64, false),
    ("u64", 64, false),
    ("s64", 64, true),
    ("f64", 64, false),
];

/// (name, declaration and the thread's address in `%t1` or `%u1`, that register).
fn places() -> [(&'static str, &'static str, &'static str); 4] {
    let shared = ".shared .align 16 .b8 place[1024];\nmov.u32 %t0, %tid.x;\nmov.u32 %t1, place;\n\
                  mad.lo.u32 %t1, %t0, 32, %t1;\n";
    let local = ".local .align 16 .b8 place[32];\nmov.u32 %t1, place;\n";
    let generic = ".shared .align 16 .b8 place[1024];\nmov.u32 %t0, %tid.x;\nmov.u64 %u0, place;\n\
                   cvta.shared.u64 %u1, %u0;\nmul.wide.u32 %u0, %t0, 32;\nadd.u64 %u1, %u1, %u0;\n";
    // The last 24 bytes of the thread's own result row.
    let global = "add.u64 %u1, %at1, 16;\n";
    [
        (".shared", shared, "%t1"),
        (".local", local, "%t1"),
        ("", generic, "%u1"),
        (".global", global, "%u1"),
    ]
}

#[test]
fn widths_and_signs() {
    let mut t = Checker::new();
    let rows = ones(&ints(64));
    for (space, setup, at) in places() {
        for (ty, n, signed) in TYPES {
            for (d, width) in [("h", 16), ("r", 32), ("l", 64)] {
                // Float and wide types take registers of their own size only.
                if width < n || ty.starts_with('f') && width != n {
                    continue;
                }
                for offset in (0..8).step_by(n as usize / 8) {
                    let body = format!(
                        "{setup}st{space}.b64 [{at}], $a;\nld{space}.{ty} $d, [{at}+{offset}];"
                    );
                    t.one(&body, "l", d, &rows, bits, |[a, ..]| {
                        let x = cut(a >> (8 * offset), n);
                        let x =
                            if signed { ((x << (64 - n)) as i64 >> (64 - n)) as u64 } else { x };
                        cut(x, width)
                    });
                }
            }
        }
    }
    t.finish();
}

#[test]
fn stores_change_their_bytes_only() {
    let mut t = Checker::new();
    let rows: Vec<Row> = ints(64).iter().map(|&a| [a, !a.rotate_left(13), 0, 0]).collect();
    for (space, setup, at) in places() {
        for (ty, n, _) in TYPES {
            for offset in (0..8).step_by(n as usize / 8) {
                let register = if ty == "f32" { "%t2" } else { "$b" };
                let body = format!(
                    "{setup}st{space}.b64 [{at}], $a;\ncvt.u32.u64 %t2, $b;\n\
                     st{space}.{ty} [{at}+{offset}], {register};\nld{space}.b64 $d, [{at}];"
                );
                t.one(&body, "ll", "l", &rows, bits, |[a, b, ..]| {
                    let mask = cut(u64::MAX, n) << (8 * offset);
                    a & !mask | b << (8 * offset) & mask
                });
            }
        }
    }
    t.finish();
}

#[test]
fn vectors() {
    let mut t = Checker::new();
    let rows: Vec<Row> = ints(64).iter().map(|&a| [a, a.rotate_left(29) ^ 0x55, 0, 0]).collect();
    for (space, setup, at) in places() {
        if space == ".global" {
            continue; // The result row has no 16 free bytes; `cache_forms` covers global.
        }
        for (n, lanes, registers) in [(8, 2, "rr"), (8, 4, "rrrr"), (16, 2, "hh"), (16, 4, "hhhh")]
        {
            let names = ["$d", "$f", "$g", "$h"][..lanes].join(", ");
            for ty in ["b", "u", "s"] {
                let body = format!(
                    "{setup}st{space}.b64 [{at}], $a;\nld{space}.v{lanes}.{ty}{n} {{{names}}}, [{at}];"
                );
                t.all(&body, "l", registers, &rows, bits, |[a, ..]| {
                    std::array::from_fn(|i| {
                        let x = if i < lanes { cut(a >> (n * i as u32), n) } else { 0 };
                        // A byte fills its 32-bit register as its type says.
                        let fill = ty == "s" && n == 8 && x >> 7 == 1;
                        if fill { x | 0xffff_ff00 } else { x }
                    })
                });
            }
        }
        for (lanes, kind, n) in [(2, "r", 32), (4, "r", 32), (2, "l", 64)] {
            let names = ["$d", "$f", "$g", "$h"][..lanes].join(", ");
            for ty in ["b", "u", "s", "f"] {
                let stores = format!(
                    "{setup}st{space}.v2.b64 [{at}], {{$a, $b}};\n\
                     ld{space}.v{lanes}.{ty}{n} {{{names}}}, [{at}];"
                );
                t.all(&stores, "ll", &kind.repeat(lanes), &rows, bits, |[a, b, ..]| {
                    let all = u128::from(b) << 64 | u128::from(a);
                    std::array::from_fn(|i| {
                        if i < lanes { cut((all >> (n * i as u32)) as u64, n) } else { 0 }
                    })
                });
            }
        }
        let four = format!(
            "{setup}mov.b64 {{%t2, %t3}}, $a;\nmov.b64 {{%t4, %t5}}, $b;\n\
             st{space}.v4.b32 [{at}], {{%t5, %t2, %t4, %t3}};\nld{space}.v2.b64 {{$d, $f}}, [{at}];"
        );
        t.all(&four, "ll", "ll", &rows, bits, |[a, b, ..]| {
            [b >> 32 | a << 32, cut(b, 32) | a >> 32 << 32, 0, 0]
        });
        let sink = format!(
            "{setup}st{space}.v2.b64 [{at}], {{$a, $b}};\nld{space}.v4.u32 {{_, $d, _, $f}}, [{at}];"
        );
        t.all(&sink, "ll", "rr", &rows, bits, |[a, b, ..]| [a >> 32, b >> 32, 0, 0]);
    }
    t.finish();
}

/// Every cache operator, eviction hint and ordering moves the same bytes.
#[test]
fn cache_forms() {
    let mut t = Checker::new();
    let rows = ones(&ints(64));
    let loads = [
        "ld.global",
        "ld.global.ca",
        "ld.global.cg",
        "ld.global.cs",
        "ld.global.lu",
        "ld.global.cv",
        "ld.global.L1::no_allocate",
        "ld.global.L1::evict_last",
        "ld.global.L2::128B",
        "ld.volatile.global",
        "ld.relaxed.gpu.global",
        "ld.acquire.gpu.global",
        "ld.acquire.sys.global",
        "ld.weak.global",
        "ld",
        "ld.volatile",
        "ld.relaxed.cta",
    ];
    let stores = [
        "st.global",
        "st.global.wb",
        "st.global.cg",
        "st.global.cs",
        "st.global.wt",
        "st.global.L1::no_allocate",
        "st.volatile.global",
        "st.relaxed.gpu.global",
        "st.release.gpu.global",
        "st.weak.global",
        "st",
        "st.release.cta",
    ];
    for load in loads {
        let body = format!("st.global.b64 [%at1+24], $a;\n{load}.b64 $d, [%at1+24];");
        t.one(&body, "l", "l", &rows, bits, |[a, ..]| a);
    }
    for store in stores {
        let body = format!("{store}.b64 [%at1+24], $a;\nld.global.b64 $d, [%at1+24];");
        t.one(&body, "l", "l", &rows, bits, |[a, ..]| a);
    }
    // The read-only path, from the input; with and without a vector.
    let rows: Vec<Row> = ints(64).iter().map(|&a| [a, !a, a.rotate_left(7), a ^ 99]).collect();
    for load in
        ["ld.global.nc", "ld.global.nc.L1::no_allocate", "ld.global.nc.L2::256B", "ldu.global"]
    {
        let body =
            format!("{load}.v2.b64 {{$d, $f}}, [%at0];\n{load}.v2.u64 {{$g, $h}}, [%at0+16];");
        t.all(&body, "llll", "llll", &rows, bits, |row| row);
        let body = format!("{load}.v4.b32 {{$d, $f, $g, $h}}, [%at0+16];");
        t.all(&body, "llll", "rrrr", &rows, bits, |[_, _, c, e]| {
            [cut(c, 32), c >> 32, cut(e, 32), e >> 32]
        });
        let body = format!("{load}.s8 $d, [%at0+3];\n{load}.u16 $f, [%at0+2];");
        t.all(&body, "llll", "rh", &rows, bits, |[a, ..]| {
            [(a >> 24) as u8 as i8 as u32 as u64, a >> 16 & 0xffff, 0, 0]
        });
    }
    t.finish();
}

/// Addresses of windows: to generic and back is the identity, and each lies in its own window only.
#[test]
fn generic_addresses() {
    let mut t = Checker::new();
    let body = ".shared .align 8 .b8 here[64];\n.local .align 8 .b8 mine[64];\n\
                mov.u64 %u0, here;\nadd.u64 %u0, %u0, 24;\ncvta.shared.u64 %u1, %u0;\n\
                cvta.to.shared.u64 %u2, %u1;\nsub.u64 $d, %u2, %u0;\n\
                mov.u64 %u3, mine;\nadd.u64 %u3, %u3, 8;\ncvta.local.u64 %u4, %u3;\n\
                cvta.to.local.u64 %u5, %u4;\nsub.u64 $f, %u5, %u3;\n\
                cvta.global.u64 %u6, %at1;\nsub.u64 $g, %u6, %at1;\n\
                cvta.to.global.u64 %u7, %at1;\nsub.u64 $h, %u7, %at1;";
    t.all(body, "", "llll", &[[0; 4]], bits, |_| [0; 4]);
    for (i, of) in ["%u1", "%u4", "%at1"].iter().enumerate() {
        let body = format!(
            ".shared .align 8 .b8 here[64];\n.local .align 8 .b8 mine[64];\n\
             mov.u64 %u0, here;\ncvta.shared.u64 %u1, %u0;\n\
             mov.u64 %u3, mine;\ncvta.local.u64 %u4, %u3;\n\
             isspacep.shared $d, {of};\nisspacep.local $f, {of};\nisspacep.global $g, {of};\n\
             isspacep.const $h, {of};"
        );
        let want = std::array::from_fn(|k| u64::from(k == i));
        t.all(&body, "", "pppp", &[[0; 4]], bits, move |_| want);
    }
    // One generic load reads whichever window a selected pointer is in.
    let body = ".shared .align 8 .b8 here[8];\n.local .align 8 .b8 mine[8];\n\
                mov.u64 %u0, here;\ncvta.shared.u64 %u1, %u0;\nmov.u64 %u3, mine;\n\
                cvta.local.u64 %u4, %u3;\nmov.u32 %t0, %tid.x;\nsetp.eq.u32 %q0, %t0, 0;\n\
                @%q0 st.shared.u64 [here], 77;\nst.local.u64 [mine], $b;\nbar.sync 0;\n\
                setp.eq.u64 %q1, $a, 0;\nselp.b64 %u5, %u1, %u4, %q1;\n\
                setp.eq.u64 %q2, $a, 1;\nselp.b64 %u5, %at0, %u5, %q2;\nld.u64 $d, [%u5];";
    let rows: Vec<Row> = (0..96).map(|i| [i % 3, i * 11, 0, 0]).collect();
    t.one(body, "ll", "l", &rows, bits, |[a, b, ..]| match a {
        0 => 77,
        1 => 1,
        _ => b,
    });
    t.finish();
}

/// Module variables: initial bytes, zero without, addresses as initial values, `.const` too.
#[test]
fn variables() {
    let device = device();
    let program = Program::new(
        1,
        "ld.const.u16 %h0, [table+4];\ncvt.u32.u16 %r0, %h0;\nst.global.u32 [%out], %r0;\n\
         ld.global.s32 %r1, [numbers+8];\nst.global.u32 [%out+4], %r1;\n\
         ld.global.u32 %r2, [zeros+60];\nst.global.u32 [%out+8], %r2;\n\
         ld.global.u64 %l0, [pointer];\nld.u32 %r3, [%l0];\nst.global.u32 [%out+12], %r3;\n\
         ld.global.u64 %l1, [pointer+8];\nld.u32 %r4, [%l1];\nst.global.u32 [%out+16], %r4;\n\
         mov.u64 %l2, numbers;\nld.global.u32 %r5, [%l2+4];\nst.global.u32 [%out+20], %r5;\n\
         ld.global.f32 %r6, [floats+4];\nst.global.f32 [%out+24], %r6;\n\
         mov.u64 %l3, table;\ncvta.const.u64 %l4, %l3;\nld.u8 %r7, [%l4+3];\n\
         st.global.u32 [%out+28], %r7;\n\
         st.global.u32 [zeros], 5;\nld.global.u32 %r8, [zeros];\nst.global.u32 [%out+32], %r8;\n\
         ld.global.u8 %r9, [text+1];\nst.global.u32 [%out+36], %r9;",
    )
    .module(
        ".const .align 4 .b8 table[8] = {1, 2, 3, 4, 0xff, 0x7f};\n\
         .global .align 4 .u32 numbers[3] = {10, 20, -30};\n\
         .global .align 8 .b8 zeros[64];\n\
         .global .align 8 .u64 pointer[2] = {generic(numbers), generic(numbers)+4};\n\
         .global .align 4 .f32 floats[2] = {0f3F800000, 0f40200000};\n\
         .global .align 1 .b8 text[3] = {104, 105, 0};\n",
    );
    let want = [0x7fff, -30i32 as u32, 0, 10, 20, 20, 2.5f32.to_bits(), 4, 5, 105];
    assert_eq!(program.output(&device, &[0u32], want.len()), want);
}

/// Parameters at the offsets of the C ABI: natural alignment, arrays of bytes at their own.
#[test]
fn parameters() {
    let device = device();
    let text = ".version 8.6\n.target sm_90\n.address_size 64\n.visible .entry main(\n\
        .param .u8 a, .param .u16 b, .param .u8 c, .param .u32 d, .param .u64 out,\n\
        .param .align 16 .b8 block[24], .param .f32 e)\n{\n.reg .b16 %h<4>;\n.reg .b32 %r<8>;\n\
        .reg .b64 %l<8>;\nld.param.u64 %l0, [out];\nld.param.u8 %r0, [a];\n\
        st.global.u32 [%l0], %r0;\nld.param.s16 %r1, [b];\nst.global.u32 [%l0+4], %r1;\n\
        ld.param.u8 %h0, [c];\ncvt.u32.u16 %r2, %h0;\nst.global.u32 [%l0+8], %r2;\n\
        ld.param.u32 %r3, [d];\nst.global.u32 [%l0+12], %r3;\n\
        ld.param.v2.u32 {%r4, %r5}, [block+16];\nst.global.u32 [%l0+16], %r4;\n\
        st.global.u32 [%l0+20], %r5;\nld.param.f32 %r6, [e];\nst.global.f32 [%l0+24], %r6;\n\
        mov.b64 %l1, block;\nld.param.u32 %r7, [%l1+4];\nst.global.u32 [%l0+28], %r7;\nret;\n}\n";
    crate::common::check::dump(text);
    let module = device.load_ptx("parameters.ptx", text).expect("legal");
    let out = upload(&device, "out", &[0u32; 8]);
    // One u64 parameter tells what bits a device pointer has.
    let pointer = crate::common::launch::params(&[Arg::Ptr(out)]);
    let mut bytes = vec![7, 0, 0xfe, 0xff, 9, 0, 0, 0];
    bytes.extend(100u32.to_le_bytes());
    bytes.extend([0; 4]);
    bytes.extend(&pointer);
    bytes.extend([0; 8]);
    bytes.extend((0..6u32).flat_map(|i| (1000 + i).to_le_bytes()));
    bytes.extend(1.5f32.to_le_bytes());
    let kernel = module.kernel("main").expect("an entry");
    let config = cuda_emulator::LaunchConfig { grid: [1, 1, 1], block: [1, 1, 1], shared_bytes: 0 };
    device.launch(&kernel, config, &bytes).expect("a launch");
    let want = [7, -2i32 as u32, 9, 100, 1004, 1005, 1.5f32.to_bits(), 1001];
    assert_eq!(download::<u32>(&device, out, 8), want);
}

/// Static arrays do not overlap, dynamic shared memory starts behind them, aligned as declared.
#[test]
fn shared_arrays() {
    let device = device();
    let program = Program::new(
        64,
        ".shared .align 4 .b8 first[12];\n.shared .align 16 .b8 second[16];\n\
         mov.u32 %r0, first;\nmov.u32 %r1, second;\nmov.u32 %r2, tail;\nmov.u32 %r4, %dynamic_smem_size;\n\
         and.b32 %r3, %r2, 63;\nsetp.ne.u32 %p0, %me, 0;\n@%p0 bra DONE;\n\
         st.shared.u32 [first+8], 1;\nst.shared.u32 [second], 2;\nst.shared.u32 [tail], 3;\n\
         st.shared.u32 [tail+252], 4;\nld.shared.u32 %r5, [first+8];\nld.shared.u32 %r6, [second];\n\
         ld.shared.u32 %r7, [tail];\nld.shared.u32 %r8, [tail+252];\nand.b32 %r9, %r1, 15;\n\
         st.global.v4.u32 [%out], {%r5, %r6, %r7, %r8};\nst.global.v4.u32 [%out+16], {%r3, %r4, %r9, %r9};\n\
         DONE:",
    )
    .module(".extern .shared .align 64 .b8 tail[];\n")
    .dynamic_shared(256);
    assert_eq!(program.output(&device, &[0u32], 8), [1, 2, 3, 4, 0, 256, 0, 0]);
}

/// Each thread has a `.local` of its own.
#[test]
fn local_memory() {
    let device = device();
    let program = Program::new(
        64,
        ".local .align 8 .b8 stack[64];\nmov.u64 %l0, stack;\nst.local.u32 [%l0+20], %me;\n\
         cvta.local.u64 %l1, %l0;\nbar.sync 0;\nld.u32 %r0, [%l1+20];\nst.global.u32 [%dst], %r0;",
    );
    let want: Vec<u32> = (0..64).collect();
    assert_eq!(program.output(&device, &[0u32], 64), want);
    let mut grid = program.clone();
    grid.block = [8, 2, 4];
    grid.body = "mov.u32 %r0, %tid.y;\nmov.u32 %r1, %tid.z;\nmov.u32 %r2, %ntid.y;\n\
                 mad.lo.u32 %r3, %r1, %r2, %r0;\nmad.lo.u32 %r3, %r3, %size, %me;\n\
                 mul.wide.u32 %l0, %r3, 4;\nadd.u64 %l0, %out, %l0;\nmov.u32 %r4, %laneid;\n\
                 mov.u32 %r5, %warpid;\nmad.lo.u32 %r4, %r5, 32, %r4;\nst.global.u32 [%l0], %r4;"
        .to_owned();
    // x fastest, then y, then z: the flat index is warp · 32 + lane.
    assert_eq!(grid.output(&device, &[0u32], 64), want);
}
