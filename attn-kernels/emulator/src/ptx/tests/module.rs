//! Modules: variables, parameters, scopes, labels, calls, directives.

use super::{load, lowered, with_body};
use crate::isa::{Access, Addr, Guard, Num, Op, Ordering, Pred, Reg, Space, Src};
use crate::ptx::PtxError;

const HEAD: &str = ".version 8.0\n.target sm_80\n.address_size 64\n";

fn refused(text: &str, line: u32, message: &str) {
    let error = load(text).expect_err(text).to_string();
    assert!(
        error.starts_with(&format!("kernel.ptx:{line}: ")) && error.contains(message),
        "{error}"
    );
}

#[test]
fn initial_values() {
    let code = load(&format!(
        "{HEAD}.global .align 8 .u64 table[3] = {{generic(a), 0, generic(b)+6}};\n\
         .const .align 4 .b8 a[8] = {{1, 2, 0xFF, -1}};\n.global .f32 b[2][2] = {{{{1.0, 0f40000000}}, {{3.0}}}};\n\
         .global .s16 c = -2;\n.global .u64 e = b+4;\n.global .align 16 .b8 d[];\n"
    ));
    // `d[]` has no size.
    assert!(code.is_err());
    let code = load(&format!(
        "{HEAD}.global .align 8 .u64 table[3] = {{generic(a), 0, generic(b)+6}};\n\
         .const .align 4 .b8 a[8] = {{1, 2, 0xFF, -1}};\n.global .f32 b[2][2] = {{{{1.0, 0f40000000}}, {{3.0}}}};\n\
         .global .s16 c = -2;\n.global .u64 e = b+4;\n.global .align 1 .b8 s[] = {{7, 8, 9}};\n"
    ))
    .unwrap();
    let [table, a, b, c, e, s] = &code.variables[..] else { panic!("{:?}", code.variables) };
    assert_eq!(table.pointers, [(0, 1, 0), (16, 2, 6)]);
    assert_eq!((table.size, table.align, table.space), (24, 8, Space::Global));
    assert_eq!(a.init.as_deref(), Some(&[1, 2, 255, 255, 0, 0, 0, 0][..]));
    assert_eq!(a.space, Space::Const);
    let floats: Vec<u8> = [1.0_f32, 2.0, 3.0, 0.0].iter().flat_map(|x| x.to_le_bytes()).collect();
    assert_eq!(b.init.as_deref(), Some(floats.as_slice()));
    assert_eq!(c.init.as_deref(), Some(&[0xFE, 0xFF][..]));
    assert_eq!(e.pointers, [(0, 2, 4)]);
    assert_eq!(s.size, 3);
}

#[test]
fn parameters_follow_the_abi() {
    let code = load(&format!(
        "{HEAD}.visible .entry k(.param .u8 a, .param .align 16 .b8 s[20], .param .u64 .ptr .global .align 4 p,\n\
         .param .f32 f)\n.maxntid 64, 2\n.minnctapersm 3\n{{ ret; }}\n.entry e() .reqntid 32 {{ }}"
    ))
    .unwrap();
    let k = &code.kernels[0];
    let places: Vec<_> = k.params.iter().map(|p| (p.offset, p.size)).collect();
    assert_eq!(places, [(0, 1), (16, 20), (40, 8), (48, 4)]);
    assert_eq!((k.param_bytes, k.max_threads, k.min_ctas), (52, Some(128), Some(3)));
    assert_eq!(code.kernels[1].required_block, Some([32, 1, 1]));
    assert_eq!((code.version, code.sm, code.specific), ((8, 0), 80, false));
}

#[test]
fn shared_memory_static_then_dynamic() {
    // The dynamic array is used before the last static one is declared.
    let code = load(&format!(
        "{HEAD}.extern .shared .align 64 .b8 dyn[];\n.shared .b8 m[3];\n.entry k() {{\n.reg .b32 %r<4>;\n\
         mov.u32 %r0, dyn;\n{{ .shared .align 8 .b64 x[2]; mov.u32 %r1, x; }}\nmov.u32 %r2, m; ret; }}"
    ))
    .unwrap();
    let k = &code.kernels[0];
    let sources: Vec<_> = k
        .code
        .iter()
        .filter_map(|i| if let Op::Mov { src, .. } = &i.op { Some(*src) } else { None })
        .collect();
    assert_eq!(sources, [Src::Imm(64), Src::Imm(0), Src::Imm(16)]);
    assert_eq!((k.shared_bytes, k.dynamic_shared), (64, true));
    assert_eq!(k.shared, [("x".to_owned(), 0, 16), ("m".to_owned(), 16, 3)]);
}

#[test]
fn scopes_labels_and_guards() {
    let code = lowered(
        "@%p1 bra L;\n{ .reg .b32 %r1; L: mov.u32 %r1, 1;\n@!%p2 bra L; }\nL: mov.u32 %r1, 2; bra M; M:",
    );
    let mov = |register, value| Op::Mov { dst: Reg::R32(register), src: Src::Imm(value) };
    let ops: Vec<_> = code.iter().map(|i| i.op.clone()).collect();
    assert_eq!(
        ops,
        [Op::Bra { target: 3 }, mov(0, 1), Op::Bra { target: 1 }, mov(1, 2), Op::Bra { target: 5 }]
    );
    assert_eq!(code[0].guard, Some(Guard { pred: Pred(0), negate: false }));
    assert_eq!(code[2].guard, Some(Guard { pred: Pred(1), negate: true }));
    let lines: Vec<_> = code.iter().map(|i| i.line - super::FIRST).collect();
    assert_eq!(lines, [0, 1, 2, 3, 3]);
    let table = lowered("T: .branchtargets B, A;\nbrx.idx %r1, T;\nA: trap;\nB:");
    assert_eq!(table[0].op, Op::BrxIdx { index: Src::Reg(Reg::R32(0)), targets: [2, 1].into() });
}

#[test]
fn calls_are_inlined() {
    let function = ".func (.param .b32 out) f(.param .b32 in)\n{ .reg .b32 %r<3>; .reg .pred %p;\n\
                    ld.param.u32 %r1, [in]; setp.eq.s32 %p, %r1, 0; @%p bra E;\n\
                    st.param.b32 [out], %r1; ret;\nE: st.param.b32 [out], 7; ret; }\n";
    let call = "{ .param .b32 a; .param .b32 b; st.param.b32 [a], %r1; call (b), f, (a); ld.param.b32 %r1, [b]; }";
    let text = format!(
        "{HEAD}.func (.param .b32 out) f(.param .b32 in);\n{function}.entry k() {{ .reg .b32 %r<2>; {call}\n{call} ret; }}"
    );
    let code = load(&text).unwrap();
    assert_eq!(code.kernels.len(), 1);
    let k = &code.kernels[0];
    let local = Access { space: Space::Local, ty: Num::U32, nc: false, order: Ordering::Weak };
    // st a, ld in, setp, bra, st out, bra end, st out, ld b: the last ret falls through.
    assert_eq!(k.code.len(), 17);
    let addr = |offset| Addr { base: Src::Imm(offset), offset: 0, generic: false };
    assert_eq!(
        k.code[1].op,
        Op::Ld { access: local, dst: [Some(Reg::R32(1))].into(), addr: addr(0) }
    );
    assert_eq!(k.code[3].op, Op::Bra { target: 6 });
    assert_eq!(k.code[5].op, Op::Bra { target: 7 });
    // The second call has its own memory and its own registers.
    assert!(matches!(&k.code[9].op, Op::Ld { addr: found, .. } if *found == addr(8)));
    assert_eq!((k.local_bytes, k.regs32, k.preds), (16, 3, 2));

    let recursive = function.replace("E: st", "E: { .param .b32 x; call (x), f, (x); } st");
    refused(&format!("{HEAD}{recursive}"), 8, "recursion: `f` calls itself");
    let external = ".extern .func (.param .b32 r) vprintf(.param .b64 a, .param .b64 b);\n";
    let print = ".entry k() { .param .b64 a; .param .b64 b; .param .b32 r;\ncall.uni (r), vprintf, (a, b); ret; }";
    refused(&format!("{HEAD}{external}{print}"), 6, "call of the external function `vprintf`");
    let fail = ".extern .func __assertfail(.param .b64 a);\n.entry k() { .param .b64 a; call __assertfail, (a); }";
    assert_eq!(load(&format!("{HEAD}{fail}")).unwrap().kernels[0].code[0].op, Op::Trap);
}

#[test]
fn debugging_data_is_skipped() {
    let text = format!(
        "{HEAD}.file 1 \"a \\\"b\\\".cu\", 123, 45\n.entry k() {{ .pragma \"nounroll\";\n.loc 1 2 3\n\
         .loc 1 2 3, function_name $L__info, inlined_at 1 4 5\nexit; // end\n/* a\nb */ }}\n\
         .section .debug_str {{ $L__info: .b8 1,2,3 }}\n"
    );
    let code = load(&text).unwrap();
    assert_eq!(code.kernels[0].code[0].line, 8);
}

#[test]
fn refuses_broken_modules() {
    refused("", 1, "a module starts with `.version`");
    refused(".version 9.0\n", 1, "PTX 9.0");
    refused(".version 8.0\n.target sm_40", 2, "target `sm_40`");
    refused(".version 7.0\n.target sm_90", 1, "target sm_90 needs PTX 7.8");
    let old = ".version 8.0\n.target sm_52\n.entry k() { .reg .b32 %r;\n";
    refused(&format!("{old}dp4a.u32.u32 %r, %r, %r, %r; }}"), 4, "dp4a needs sm_61");
    refused(&format!("{old}match.any.sync.b32 %r, %r, -1; }}"), 4, "match needs sm_70");
    refused(&format!("{old}add.f16x2 %r, %r, %r; }}"), 4, "add.f16x2 needs sm_53");
    refused(".version 8.0\n.target sm_80, map_f64_to_f32", 2, "target option");
    refused(".version 8.0\n.target sm_80\n.address_size 32", 3, "only 64");
    refused(&format!("{HEAD}.extern .global .u32 x;"), 4, "there is no linker");
    refused(&format!("{HEAD}.global .u32 x = y;"), 4, "unknown name `y`");
    refused(&format!("{HEAD}.global .u8 x[2] = {{1,2,3}};"), 4, "3 initial values for 2");
    refused(&format!("{HEAD}.global .u8 x = 256;"), 4, "does not fit the 8 bits");
    refused(&format!("{HEAD}.global .u8 x;\n.global .u8 x;"), 5, "declared twice");
    refused(&format!("{HEAD}.global .align 2 .u32 x;"), 4, "alignment 2 below 4");
    refused(&format!("{HEAD}.const .b8 x[65537];"), 4, "limit 65536");
    refused(&format!("{HEAD}.global .b8 x[4294967296][4294967296];"), 4, "larger than 2^36");
    refused(&format!("{HEAD}.global .texref t;"), 4, "variable of type `.texref`");
    refused(&format!("{HEAD}.entry k() .maxntid 2048 {{ }}"), 4, "1 to 1024");
    refused(&format!("{HEAD}.entry k() .reqnctapercluster 2 {{ }}"), 4, "reqnctapercluster");
    refused(&format!("{HEAD}.entry k()\n{{ ret"), 5, "found end of text");
    refused(&format!("{HEAD}.entry k() {{ /* "), 4, "comment without end");
    refused(&format!("{HEAD}.entry k(.param .b8 x[40000]) {{ }}"), 4, "limit 32764");
    refused(&format!("{HEAD}.entry k() {{ .shared .b8 x[300000]; }}"), 4, "bytes of shared memory");
    refused(&format!("{HEAD}.entry k() {{ .local .b8 x[600000]; }}"), 4, "bytes of local memory");
    refused(&format!("{HEAD}.entry k();"), 4, "without a body");
    refused(&format!("{HEAD}.entry k() {{ {} }}", "{".repeat(100)), 4, "nested deeper");
    let deep = "{".repeat(100);
    refused(&format!("{HEAD}.global .u8 x = {deep}"), 4, "nested deeper");
    refused(&format!("{HEAD}.global .u64 t = f;\n.func f() {{ }}"), 4, "address of function");
    assert!(matches!(
        load(&with_body("wgmma.fence.sync.aligned;")),
        Err(PtxError::Unsupported { what, .. }) if what.contains("wgmma.fence")
    ));
}

#[test]
fn calls_cannot_blow_up() {
    // Each function calls the next twice: 2^40 instructions if it were let.
    let mut text = format!("{HEAD}.func f0() {{ trap; }}\n");
    for i in 1..40 {
        text += &format!(".func f{i}() {{ call f{}; call f{}; }}\n", i - 1, i - 1);
    }
    let error = load(&text).unwrap_err().to_string();
    assert!(error.contains("instructions") || error.contains("nested"), "{error}");
}
