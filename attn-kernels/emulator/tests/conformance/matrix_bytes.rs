//! `ldmatrix` and `stmatrix` of bytes and of packed 6- and 4-bit elements (sm_100a and later), and the
//! matrices' addresses without `.shared` (PTX ISA, "ldmatrix", "stmatrix"). The figures of the PTX ISA
//! give these layouts as pictures; as formulas they stand in CUTLASS (`copy_traits_sm100.hpp`, as
//! maps from lane and value to a bit), which is where the tables here are from. No two bytes of the data
//! could be exchanged unnoticed.

use cuda_emulator::{Device, DeviceConfig, Profile};

use crate::common::launch::device_with;
use crate::common::program::Program;

fn blackwell(profile: Profile) -> Device {
    device_with(DeviceConfig { profile, ..DeviceConfig::default() })
}

/// Both architectures that have them, and what their modules are for.
fn devices() -> [(Device, &'static str); 2] {
    [(blackwell(Profile::sm_100()), "sm_100a"), (blackwell(Profile::sm_120()), "sm_120a")]
}

fn program(target: &'static str, body: &str) -> Program {
    Program { target, ..Program::new(32, body) }
}

/// Row `row` of a matrix stands anywhere: the lane that names it says where.
fn place(row: usize) -> usize {
    (row * 13 + 5) % 32 * 16
}

/// 512 bytes of which no two of a row, and no two rows, are the same.
fn bytes() -> Vec<u8> {
    (0..512).map(|at: usize| (at % 16 * 17 + at / 16 * 37 + at / 256 * 3 + 1) as u8).collect()
}

/// Element `i` of the row at `at`: of 8 bits, or the `i`-th of 6 or 4 bits from the lowest bit on, as
/// an unsigned number.
fn element(data: &[u8], at: usize, bits: usize, i: usize) -> u8 {
    let bit = |k: usize| data[at + k / 8] >> (k % 8) & 1;
    (0..bits).map(|b| bit(i * bits + b) << b).sum()
}

/// Every lane copies its row of 16 bytes in, `load` puts `count` registers from %r10 on, and they go
/// out. `address` is what turns `%r4`, the offset of the lane's row, into the address in %r5 or %l5.
fn loaded(
    device: &Device,
    target: &'static str,
    load: &str,
    count: usize,
    address: &str,
    offsets: &[u32],
) -> Vec<u32> {
    let mut body = format!(
        ".shared .align 16 .b8 rows[512];\nmov.u32 %r0, rows;\nmad.lo.u32 %r1, %me, 16, %r0;\n\
         mul.wide.u32 %l2, %me, 16;\nadd.u64 %l2, %in, %l2;\n\
         ld.global.v4.u32 {{%r20, %r21, %r22, %r23}}, [%l2];\n\
         st.shared.v4.u32 [%r1], {{%r20, %r21, %r22, %r23}};\nbar.sync 0;\n\
         ld.global.u32 %r3, [%src+512];\nadd.u32 %r4, %r0, %r3;\n{address}\n{load}\n\
         mul.wide.u32 %l3, %me, {};\nadd.u64 %l3, %out, %l3;\n",
        count * 4
    );
    for i in 0..count {
        body += &format!("st.global.u32 [%l3+{}], %r{};\n", i * 4, 10 + i);
    }
    let data = bytes();
    let words = data.as_chunks::<4>().0.iter().map(|word| u32::from_le_bytes(*word));
    let input: Vec<u32> = words.chain(offsets.iter().copied()).collect();
    program(target, &body).output(device, &input, 32 * count)
}

fn list(count: usize) -> String {
    (10..10 + count).map(|i| format!("%r{i}")).collect::<Vec<_>>().join(", ")
}

/// The offsets of the first `rows` rows; other lanes give none that counts.
fn offsets(rows: usize) -> Vec<u32> {
    (0..32).map(|lane| if lane < rows { place(lane) as u32 } else { 0xfff1 }).collect()
}

/// The two ways to say where: an offset in `.shared`, and a generic address.
const SPACES: [(&str, &str, &str); 3] = [
    (".shared", "mov.u32 %r5, %r4;", "%r5"),
    (".shared::cta", "mov.u32 %r5, %r4;", "%r5"),
    ("", "cvt.u64.u32 %l4, %r4;\ncvta.shared.u64 %l5, %l4;", "%l5"),
];

/// m16n16 with `.trans`: lane l, register r of a matrix, byte b: the row that lane 4·(l mod 4) + b
/// names, element l / 4 + 8·r.
#[test]
fn tall_matrices_are_transposed() {
    for (device, target) in devices() {
        for (ty, bits) in [("b8", 8), ("b8x16.b6x16_p32", 6), ("b8x16.b4x16_p64", 4)] {
            for (x, matrices) in [("x1", 1), ("x2", 2)] {
                for (space, address, at) in SPACES {
                    let count = 2 * matrices;
                    let load = format!(
                        "ldmatrix.sync.aligned.m16n16.{x}.trans{space}.{ty} {{{}}}, [{at}];",
                        list(count)
                    );
                    let rows = offsets(16 * matrices);
                    let got = loaded(&device, target, &load, count, address, &rows);
                    for lane in 0..32 {
                        for register in 0..count {
                            let (matrix, half) = (register / 2, register % 2);
                            let want: [u8; 4] = std::array::from_fn(|b| {
                                let row = 16 * matrix + 4 * (lane % 4) + b;
                                element(&bytes(), place(row), bits, lane / 4 + 8 * half)
                            });
                            let word = got[lane * count + register];
                            assert_eq!(word.to_le_bytes(), want, "{load}: lane {lane} {register}");
                        }
                    }
                }
            }
        }
    }
}

/// m8n16: lane l holds elements 4·(l mod 4) to 4·(l mod 4) + 3 of row l / 4, one register a matrix.
#[test]
fn packed_rows_are_unpacked() {
    for (device, target) in devices() {
        for (ty, bits) in [("b8x16.b6x16_p32", 6), ("b8x16.b4x16_p64", 4)] {
            for (x, count) in [("x1", 1), ("x2", 2), ("x4", 4)] {
                for (space, address, at) in SPACES {
                    let load = format!(
                        "ldmatrix.sync.aligned.m8n16.{x}{space}.{ty} {{{}}}, [{at}];",
                        list(count)
                    );
                    let got = loaded(&device, target, &load, count, address, &offsets(8 * count));
                    for lane in 0..32 {
                        for matrix in 0..count {
                            let row = place(8 * matrix + lane / 4);
                            let want: [u8; 4] = std::array::from_fn(|b| {
                                element(&bytes(), row, bits, 4 * (lane % 4) + b)
                            });
                            let word = got[lane * count + matrix];
                            assert_eq!(word.to_le_bytes(), want, "{load}: lane {lane} {matrix}");
                        }
                    }
                }
            }
        }
    }
}

/// The padding of packed rows need not have been written.
#[test]
fn padding_is_not_read() {
    for (ty, words) in [("b6x16_p32", 3), ("b4x16_p64", 2)] {
        let mut body = String::from(
            ".shared .align 16 .b8 rows[128];\nmov.u32 %r0, rows;\nand.b32 %r1, %me, 7;\n\
             mad.lo.u32 %r1, %r1, 16, %r0;\n",
        );
        for word in 0..words {
            body += &format!("st.shared.u32 [%r1+{}], 0x5a5a5a5a;\n", 4 * word);
        }
        body += &format!(
            "bar.sync 0;\nldmatrix.sync.aligned.m8n16.x1.shared.b8x16.{ty} {{%r2}}, [%r1];\n\
             st.global.u32 [%dst], %r2;"
        );
        let device = blackwell(Profile::sm_100());
        assert_eq!(program("sm_100a", &body).output(&device, &[0u32], 32).len(), 32);
    }
}

/// What `stmatrix` m16n8 leaves of registers with byte b of lane l being `value(matrix, l, b)`.
fn stored(x: &str, matrices: usize, space: &str, address: &str, at: &str) -> Vec<u8> {
    let mut body = String::from(
        ".shared .align 16 .b8 rows[512];\nmov.u32 %r0, rows;\nmad.lo.u32 %r1, %me, 16, %r0;\n\
         mov.u32 %r20, 0xeeeeeeee;\nst.shared.v4.u32 [%r1], {%r20, %r20, %r20, %r20};\nbar.sync 0;\n\
         ld.global.u32 %r3, [%src];\nadd.u32 %r4, %r0, %r3;\n",
    );
    for i in 0..matrices {
        body += &format!("ld.global.u32 %r{}, [%src+{}];\n", 10 + i, 128 * (i + 1));
    }
    body += &format!(
        "{address}\nstmatrix.sync.aligned.m16n8.{x}.trans{space}.b8 [{at}], {{{}}};\nbar.sync 0;\n\
         ld.shared.v4.u32 {{%r20, %r21, %r22, %r23}}, [%r1];\nmul.wide.u32 %l0, %me, 16;\n\
         add.u64 %l0, %out, %l0;\nst.global.v4.u32 [%l0], {{%r20, %r21, %r22, %r23}};",
        list(matrices)
    );
    let mut input = offsets(8 * matrices);
    for matrix in 0..matrices {
        for lane in 0..32 {
            input.push(u32::from_le_bytes(std::array::from_fn(|b| value(matrix, lane, b))));
        }
    }
    let device = blackwell(Profile::sm_120());
    let words = program("sm_120a", &body).output(&device, &input, 128);
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

fn value(matrix: usize, lane: usize, byte: usize) -> u8 {
    (matrix * 61 + lane * 4 + byte + 7) as u8
}

/// m16n8 with `.trans`: byte b of lane l goes to the row that lane 2·(l mod 4) + b mod 2 names, as its
/// byte l / 4 + 8·(b / 2).
#[test]
fn bytes_are_stored_transposed() {
    for (x, matrices) in [("x1", 1), ("x2", 2), ("x4", 4)] {
        for (space, address, at) in SPACES {
            let mut want = vec![0xee; 512];
            for matrix in 0..matrices {
                for lane in 0..32 {
                    for b in 0..4 {
                        let row = place(8 * matrix + 2 * (lane % 4) + b % 2);
                        want[row + lane / 4 + 8 * (b / 2)] = value(matrix, lane, b);
                    }
                }
            }
            assert_eq!(stored(x, matrices, space, address, at), want, "{x}{space}");
        }
    }
}

/// What CUTLASS relies on: with the rows named in the order 0, 1, 8, 9, 2, 3, 10, 11 …, and two bytes of
/// each pair of registers exchanged, m16n16 loads what m16n8.x2 stores.
#[test]
fn what_is_loaded_so_is_stored_back() {
    let rows: Vec<u32> =
        (0..32).map(|t: u32| 16 * (t % 2 + t / 2 % 2 * 8 + t / 4 % 4 * 2)).collect();
    let exchange = "prmt.b32 %r12, %r10, %r11, 0x5410;\nprmt.b32 %r13, %r10, %r11, 0x7632;\n\
                    mad.lo.u32 %r6, %me, 16, %r0;\nbar.sync 0;\n\
                    @%p1 st.shared.v4.u32 [%r6], {%r7, %r7, %r7, %r7};\nbar.sync 0;\n\
                    stmatrix.sync.aligned.m16n8.x2.trans.shared.b8 [%r6], {%r12, %r13};\nbar.sync 0;\n\
                    @%p1 ld.shared.v4.u32 {%r10, %r11, %r12, %r13}, [%r6];";
    let load = format!(
        "setp.lt.u32 %p1, %me, 16;\nmov.u32 %r7, 0;\n\
         ldmatrix.sync.aligned.m16n16.x1.trans.shared.b8 {{%r10, %r11}}, [%r4];\n{exchange}"
    );
    for (device, target) in devices() {
        let got = loaded(&device, target, &load, 4, "", &rows);
        let got: Vec<u8> = got[..64].iter().flat_map(|word| word.to_le_bytes()).collect();
        assert_eq!(got, bytes()[..256]);
    }
}

/// The forms of 16 bits, at generic addresses, on an architecture that has no others.
#[test]
fn generic_addresses_of_halves() {
    let device = device_with(DeviceConfig::default());
    let (_, address, at) = SPACES[2];
    for (trans, step) in [("", 1), (".trans", 8)] {
        let load = format!("ldmatrix.sync.aligned.m8n8.x1{trans}.b16 {{%r10}}, [{at}];");
        let got = loaded(&device, "sm_90", &load, 1, address, &offsets(8));
        for (lane, word) in got.into_iter().enumerate() {
            let half = |i: usize| {
                let (row, column) = (lane / 4, 2 * (lane % 4) + i);
                let (row, column) = if step == 1 { (row, column) } else { (column, row) };
                let at = place(row) + 2 * column;
                u32::from(u16::from_le_bytes([bytes()[at], bytes()[at + 1]]))
            };
            assert_eq!(word, half(0) | half(1) << 16, "{load}: lane {lane}");
        }
    }
    let store = format!(
        "mov.u32 %r10, %me;\nstmatrix.sync.aligned.m8n8.x1.b16 [{at}], {{%r10}};\nbar.sync 0;\n\
         ldmatrix.sync.aligned.m8n8.x1.b16 {{%r10}}, [{at}];"
    );
    let got = loaded(&device, "sm_90", &store, 1, address, &offsets(8));
    assert_eq!(got, (0..32).collect::<Vec<u32>>());
}
